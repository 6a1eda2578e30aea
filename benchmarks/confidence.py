"""What docs/confidence.md says of confidence, measured again on atlases of classifiers.

    python -m benchmarks.confidence cells ATLAS…       how well calibrated, on each atlas
    python -m benchmarks.confidence surest ATLAS…      the fifty surest of each
    python -m benchmarks.confidence inner ATLAS…       how it is distributed over layers

An atlas is named NETWORK-PROBE, and holds the output layer. Calibrators that are fitted without a
network are fitted on the other networks' atlases of the same probe. Atlases are only read.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuronym._core import hashing
from neuronym._core.errors import UsageError
from neuronym.analysis.trust import calibration, reliability
from neuronym.analysis.trust.calibration import fit, folds, open_calibrator
from neuronym.analysis.trust.features import features
from neuronym.analysis.trust.own import class_layer, class_units, own_calibrator
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import open_atlas

#: Right labels among so many of the surest.
SUREST = 50


@dataclass(frozen=True, eq=False)
class Cell:
    """The class neurons of one network on one probe."""

    network: str
    probe: str
    layer: str
    classes: int
    values: Mapping[str, np.ndarray]
    right: np.ndarray
    units: np.ndarray


@functools.cache
def cell(path: Path) -> Cell:
    """Label the class neurons of an atlas again, with their class names among the words."""
    context = LabelContext(open_atlas(path))
    network, _, probe = path.name.partition("-")
    layer = class_layer(context)
    if layer is None:
        raise UsageError(f"Expected an atlas with an output layer and class names, got {path}.")
    values, right, units = class_units(context, context.atlas.method(), layer)
    return Cell(network, probe, layer, context.units(layer), values, right, units)


def cross_fitted(one: Cell) -> np.ndarray:
    """The confidence of each unit by a calibrator that was fitted without it and its tenth."""
    found = np.empty(len(one.right))
    for inside, outside in folds(one.right):
        part = fit({n: v[inside] for n, v in one.values.items()}, one.right[inside], kind="own")
        found[outside] = part.probability({n: v[outside] for n, v in one.values.items()})
    return found


def others(one: Cell, every: Sequence[Cell]) -> calibration.Calibrator | None:
    """A calibrator fitted on the other networks, by the same probe."""
    some = [c for c in every if c.probe == one.probe and c.network != one.network]
    if not some:
        return None
    values = {n: np.concatenate([c.values[n] for c in some]) for n in one.values}
    return fit(values, np.concatenate([c.right for c in some]), kind="others")


def probabilities(one: Cell, every: Sequence[Cell]) -> dict[str, np.ndarray]:
    """By what it was fitted on, the confidence of every unit."""
    found = {"itself, cross-fitted": cross_fitted(one)}
    rest = others(one, every)
    if rest is not None:
        found["the other networks"] = rest.probability(one.values)
    found["shipped"] = open_calibrator("default").probability(one.values)
    return found


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % limits of a share (Wilson)."""
    z = 1.959963984540054
    middle = (right + z * z / 2) / (count + z * z)
    half = z * np.sqrt(right * (count - right) / count + z * z / 4) / (count + z * z)
    return middle - half, middle + half


def cells(every: Sequence[Cell]) -> None:
    """ECE with interval, Brier score and AUC, against always saying the base rate."""
    print(
        "| network | probe | with one | right | fitted on | mean | ECE | if exact | Brier | "
        "of the base rate | AUC |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for one in every:
        base = one.right.mean() * (1 - one.right.mean())
        for name, p in probabilities(one, every).items():
            m = reliability.measure(p, one.right)
            print(
                f"| {one.network} | {one.probe} | {len(p) / one.classes:.0%} | "
                f"{m.share:.1%} | {name} | {m.mean:.1%} | {m.ece.value:.3f} "
                f"[{m.ece.low:.3f}, {m.ece.high:.3f}] | {m.expected:.3f} | "
                f"{m.brier.value:.3f} | {base:.3f} | {m.auc:.3f} |"
            )


def surest(every: Sequence[Cell]) -> None:
    """Of the units with the highest confidence, how many are right; ties by a hash."""
    for one in every:
        order = np.array([hashing.of_data([one.layer, int(unit)]) for unit in one.units])
        for name, p in probabilities(one, every).items():
            chosen = np.lexsort((order, -p))[:SUREST]
            right = int(one.right[chosen].sum())
            low, high = wilson(right, len(chosen))
            tied = int((p >= p[chosen].min()).sum())
            print(
                f"| {one.network} | {one.probe} | {name} | {right} of {len(chosen)} "
                f"[{low:.0%}, {high:.0%}] | {p[chosen].mean():.0%} | {tied} |"
            )


def inner(paths: Sequence[Path]) -> None:
    """Confidence per layer: its mean, quantiles and how much of it is high.

    A network without class names, such as one with random weights, borrows the calibrator of the
    first atlas.
    """
    first = own_calibrator(LabelContext(open_atlas(paths[0])), open_atlas(paths[0]).method())
    for path in paths:
        context = LabelContext(open_atlas(path))
        method = context.atlas.method()
        own = first if class_layer(context) is None else own_calibrator(context, method)
        for layer in context.atlas.layers:
            p = own.probability(features(context, method, layer, own.features))
            known = p[np.isfinite(p)]
            low, middle, high = np.quantile(known, [0.1, 0.5, 0.9])
            print(
                f"| {path.name} | {layer} | {len(p):,} | {len(known) / len(p):.0%} | "
                f"{known.mean():.2f} | {low:.2f} · {middle:.2f} · {high:.2f} | {known.max():.2f} | "
                f"{(known >= 0.5).mean():.1%} |"
            )


if __name__ == "__main__":
    part, *names = sys.argv[1:]
    if part == "inner":
        inner([Path(name) for name in names])
    else:
        {"cells": cells, "surest": surest}[part]([cell(Path(name)) for name in names])
