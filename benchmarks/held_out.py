"""What docs/faithfulness.md says of the held-out tests, measured again on atlases.

    python -m benchmarks.held_out permuted ATLAS LAYER,… [TIMES]   all units say nothing
    python -m benchmarks.held_out half ATLAS LAYER,… [TIMES]       half of the units say nothing
    python -m benchmarks.held_out compare ATLAS…       one row per layer: trained, random, …

Images that stand for copies are one row of an atlas, so what is permuted are groups. All units
share one permutation, so that they depend on each other as real ones do. Atlases are only read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from neuronym._core.numerics.topk import as_array
from neuronym.analysis.trust.faithfulness import Faithfulness
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.atlas.view import View

LEVEL = 0.05
TESTS = ("held_out_q", "words_q")


class Shuffled(View):
    """An atlas with the activations of some units moved to other images, all in the same way."""

    def __init__(self, whole: LabelContext, order: np.ndarray, moved: dict[str, np.ndarray]):
        super().__init__(whole)
        self._order, self._moved = order, moved

    def activations(self, layer: str) -> np.ndarray:
        """float32 `[image, unit]`."""
        rows = as_array(self._whole.activations(layer)[0 : self._whole.count])
        return np.where(self._moved[layer], rows[self._order], rows)


def shuffled(
    context: LabelContext, layers: Sequence[str], times: int, share: float = 1.0
) -> Iterator[tuple[dict[str, np.ndarray], dict]]:
    """Per permutation which units were moved, and what the tests find of all units."""
    method = context.atlas.method()
    for seed in range(times):
        rng = np.random.default_rng(seed)
        order = rng.permutation(context.count)
        moved = {layer: rng.random(context.units(layer)) < share for layer in layers}
        view = Shuffled(context, order, moved)
        yield moved, Faithfulness(metrics="f1", seed=seed).run(view, method, layers).layers


def permuted(atlas: Atlas, layers: Sequence[str], times: int = 200) -> None:
    """In how many permutations of all units is there a discovery, and of how many units."""
    context = LabelContext(atlas)
    any_of = {(layer, test): [] for layer in layers for test in TESTS}
    for _, found in shuffled(context, layers, times):
        for (layer, test), counts in any_of.items():
            counts.append(int((found[layer][test] <= LEVEL).sum()))
    for (layer, test), counts in any_of.items():
        print(
            f"| {atlas.folder.name} | {layer} | {context.units(layer):,} | {test} | {times} | "
            f"{np.count_nonzero(counts)} | {np.sum(counts)} |"
        )


def half(atlas: Atlas, layers: Sequence[str], times: int = 20) -> None:
    """With half of the units moved: the share of these among the discoveries, and its error."""
    context = LabelContext(atlas)
    counts = {(layer, test): [] for layer in layers for test in TESTS}
    for moved, found in shuffled(context, layers, times, 0.5):
        for (layer, test), rows in counts.items():
            hit = found[layer][test] <= LEVEL
            rows.append((int((hit & moved[layer]).sum()), int(hit.sum())))
    for (layer, test), rows in counts.items():
        wrong, every = np.array(rows, float).T
        shares = wrong / np.maximum(every, 1)
        error = shares.std(ddof=1) / np.sqrt(times)
        print(
            f"| {atlas.folder.name} | {layer} | {context.units(layer):,} | {test} | {times} | "
            f"{every.mean():.1f} | {shares.mean():.1%} ± {2 * error:.1%} |"
        )


def compare(paths: Sequence[Path]) -> None:
    """Per layer the share of units whose words hold, by either test, and the agreements."""
    for path in paths:
        atlas = open_atlas(path)
        layers = list(atlas.layers)
        made = Faithfulness().run(LabelContext(atlas), atlas.method(), layers)
        for layer in layers:
            own, chance = made.layers[layer], made.facts["permuted"][layer]
            both = np.nanmean((own["held_out_q"] <= LEVEL) & (own["words_q"] <= LEVEL))
            held = [np.nanmean(own[test] <= LEVEL) for test in TESTS]
            words, family = (
                f"{np.nanmean(own[name]):.0%} ({chance[name]:.0%})"
                for name in ("word_agreement", "agreement")
            )
            print(
                f"| {path.name} | {layer} | {len(own['effect']):,} | "
                f"{np.nanmean(own['effect']):.2f} | {np.nanmean(own['auprc']):.3f} | "
                f"{held[0]:.0%} | {held[1]:.0%} | {both:.0%} | {words} | {family} |"
            )


if __name__ == "__main__":
    part, *given = sys.argv[1:]
    if part == "compare":
        compare([Path(name) for name in given])
    else:
        folder, layers, *times = given
        {"permuted": permuted, "half": half}[part](
            open_atlas(Path(folder)), layers.split(","), *map(int, times)
        )
