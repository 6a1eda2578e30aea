"""Whether higher scores mean righter labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuronym._core.errors import NeuronymError
from neuronym.analysis.evaluation.base import table
from neuronym.analysis.evaluation.curves import precision_at
from neuronym.analysis.evaluation.judging import judge
from neuronym.report.figures import FAINT, new, shown
from neuronym.report.plots.base import (
    FIGURES,
    WIDE,
    Selection,
    key,
    layer_colour,
    nothing,
    numbered,
    short,
    some,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_GROUPS = {
    "mean_top1": "first label\nright",
    "mean_top3": "one of three\nright",
    "mean_top5": "one of five\nright",
    "mean_wrong": "none right, or\nnot interpretable",
    "mean_all": "all",
}
#: A share of fewer neurons than these is not drawn.
FEWEST = 10


@FIGURES.register("correctness")
def correctness(seen: Selection) -> Figure:
    """Mean score of right and wrong labels, and how many labels are right above each score."""
    evaluation = seen.evaluation()
    rows = [r for r in table("correctness", evaluation).rows if r["layer"] in seen.layers]
    if not rows:
        raise NeuronymError(f"The truth ({seen.truth}) says nothing about these layers.")
    layers, left = some([row["layer"] for row in rows])
    rows = [row for row in rows if row["layer"] in layers]
    (units,), _notes = judge(evaluation)
    figure = new(figsize=(WIDE, 4.4), layout="constrained", dpi=120)
    means, curve = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _means(means, seen, rows)
    for layer in layers:
        own = units[units["layer"] == layer]
        own = own[np.isfinite(own["score"])]
        _curve(curve, seen, layer, own["score"].to_numpy(float), own["rank"].to_numpy() == 1)
    curve.set_title("how many first labels are right above a score")
    curve.set_xlabel("score of the first label, at least")
    curve.set_ylabel("neurons whose first label is right (%)")
    curve.set_ylim(0, 101)
    if not curve.lines:
        nothing(curve, f"fewer than {FEWEST} neurons have a score")
    names = [
        f"{short(layer)} ({numbered(int((units['layer'] == layer).sum()), 'neuron')})"
        for layer in layers
    ]
    key(means, means.containers, names, columns=2)
    title(
        figure,
        f"Whether higher scores mean righter labels, {seen.target}",
        f"{shown(seen.method, 60)}; {seen.truth_note} {left}",
    )
    return figure


def _means(axes: Axes, seen: Selection, rows: Sequence[Mapping[str, Any]]) -> None:
    width = 0.8 / max(len(rows), 1)
    for place, row in enumerate(rows):
        values = [row[name] for name in _GROUPS]
        there = [k for k, value in enumerate(values) if value is not None]
        axes.bar(
            [k + (place + 0.5) * width - 0.4 for k in there],
            [values[k] for k in there],
            width * 0.9,
            color=layer_colour(seen.atlas, row["layer"]),
        )
        for k in there if len(rows) <= 2 else ():
            axes.annotate(
                f"{values[k]:.2f}",
                (k + (place + 0.5) * width - 0.4, values[k]),
                (0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7.5,
            )
    axes.axhline(0, color=FAINT, linewidth=0.6)
    axes.set_xticks(range(len(_GROUPS)), list(_GROUPS.values()))
    axes.tick_params(bottom=False)
    axes.set_ylabel("mean score of the first label")
    axes.set_title("scores of right and wrong labels")


def _curve(axes: Axes, seen: Selection, layer: str, scores: np.ndarray, right: np.ndarray) -> None:
    limits, counts, shares = precision_at(scores, right)
    enough = counts >= FEWEST
    if enough.any():
        axes.plot(
            limits[enough],
            100 * shares[enough],
            color=layer_colour(seen.atlas, layer),
            linewidth=1.6,
        )
