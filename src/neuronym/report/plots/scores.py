"""How high the best scores are, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neuronym.report.figures import COLOURS, FAINT, INK, new, shown
from neuronym.report.plots.base import (
    FIGURES,
    WIDE,
    Selection,
    grid,
    layer_colour,
    nothing,
    short,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_BINS = 40


@FIGURES.register("scores")
def scores(seen: Selection) -> Figure:
    """Histogram of each neuron's best score, one panel per layer, all on one scale."""
    columns = 1 if len(seen.layers) <= 4 else 2 if len(seen.layers) <= 12 else 4
    lines = -(-len(seen.layers) // columns)
    width = {1: 7.2, 2: 8.6, 4: WIDE}[columns]
    figure = new(figsize=(width, max(1.5 * lines + 1.2, 3.4)), layout="constrained", dpi=120)
    every = np.concatenate([rows["score"].to_numpy() for rows in seen.best.values()])
    every = every[np.isfinite(every)]
    low, high = (every.min(), every.max()) if len(every) else (0.0, 1.0)
    pad = (high - low or 1.0) * 0.02
    edges = np.linspace(low - pad, high + pad, _BINS + 1)
    panels = grid(figure, len(seen.layers), columns, sharex=True, sharey=len(every) > 0)
    abstaining = [
        _panel(axes, seen, layer, edges) for axes, layer in zip(panels, seen.layers, strict=True)
    ]
    for axes in panels[-columns:]:
        axes.tick_params(labelbottom=True)
    figure.supylabel("neurons (% of the layer)", fontsize=9, color=INK)
    note = f"{shown(seen.method, 60)} · solid line: median of the labelled neurons"
    if any(seen.chance(layer) is not None for layer in seen.layers):
        note += " · dashed line: scores above it beat chance"
    if any(abstaining):
        note += " · grey: neurons that abstain"
    panels[(lines - 1) * columns].set_xlabel("score of a neuron's best label", loc="left")
    title(figure, f"How high the best scores are, {seen.target}", note)
    return figure


def _panel(axes: Axes, seen: Selection, layer: str, edges: np.ndarray) -> bool:
    """Draw one layer; whether some of the neurons drawn abstain."""
    rows = seen.best[layer]
    rows = rows[np.isfinite(rows["score"])]
    total = seen.atlas.layers[layer]["units"]
    named, silent = (rows["score"][rows["abstained"] == a].to_numpy() for a in (False, True))
    counts = [np.histogram(values, edges)[0] * 100 / total for values in (named, silent)]
    if not len(rows):
        nothing(axes, "no neuron has a score")
    colour = layer_colour(seen.atlas, layer)
    axes.stairs(counts[0], edges, fill=True, color=colour, label="labelled")
    if len(silent):
        axes.stairs(
            counts[0] + counts[1],
            edges,
            baseline=counts[0],
            fill=True,
            color=FAINT,
            label="abstaining",
        )
    median = f", median {np.median(named):.2f}" if len(named) else ""
    narrow = len(seen.layers) > 12
    between = "\n" if narrow else " · "
    counted = f"{len(named):,} of {total:,}{'' if narrow else ' labelled'}{median}"
    axes.set_title(f"{short(layer)}{between}{counted}")
    if len(named):
        axes.axvline(float(np.median(named)), color=INK, linewidth=0.9)
    threshold = seen.chance(layer)
    if threshold is not None:
        axes.axvline(threshold, color=COLOURS[3], linewidth=1.2, linestyle=(0, (3, 2)))
    return len(silent) > 0
