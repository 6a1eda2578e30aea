"""How unevenly labels are used: share of neurons against the label's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neuronym.report.figures import PALE, new, shown
from neuronym.report.plots.base import (
    FIGURES,
    Selection,
    layer_colour,
    nothing,
    numbered,
    short,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_NAMED = 10  # more layers than these are told apart by a colour bar


@FIGURES.register("ranks")
def ranks(seen: Selection) -> Figure:
    """How many neurons have a layer's most frequent label, its second, …; logarithmic axes."""
    figure = new(figsize=(8.2, 4.8), layout="constrained", dpi=120)
    axes = figure.subplots()
    drawn = [layer for layer in seen.layers if len(seen.named(layer))]
    for layer in drawn:
        counts = np.sort(seen.named(layer).value_counts().to_numpy())[::-1]
        shares = counts * 100 / counts.sum()
        sizes = numbered(len(counts), "label"), numbered(counts.sum(), "neuron")
        name = f"{short(layer)} ({' on '.join(sizes)})"
        axes.plot(
            np.arange(1, len(counts) + 1),
            shares,
            color=layer_colour(seen.atlas, layer),
            linewidth=1.6,
            marker="o",
            markersize=3,
            markevery=[0],
            label=name,
        )
    if drawn:
        _scales(axes)
        _key(figure, axes, seen, drawn)
    else:
        nothing(axes, "no neuron is labelled")
        axes.set_xticks([])
    axes.set_xlabel("place of the label in its layer")
    axes.set_ylabel("labelled neurons that have it (%)")
    note = f"first labels ({shown(seen.method, 60)}){seen.left_out(drawn)}"
    note += "; a steep line: few labels name most neurons"
    title(figure, f"How unevenly labels are used, {seen.target}", note)
    return figure


def _scales(axes: Axes) -> None:
    from matplotlib.ticker import NullFormatter

    axes.set_xscale("log")
    axes.set_yscale("log")
    drawn = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    axes.set_xlim(0.85, max(10, 1.2 * max(map(len, drawn))))
    axes.set_ylim(None, min(130, 1.3 * max(float(ys[0]) for ys in drawn)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _place: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())


def _key(figure: Figure, axes: Axes, seen: Selection, layers: list[str]) -> None:
    if len(layers) <= _NAMED:
        names = [str(line.get_label()) for line in axes.lines]
        axes.legend(list(axes.lines), names, loc="upper right")
        return
    import matplotlib
    from matplotlib.colors import ListedColormap, Normalize

    colours = ListedColormap([layer_colour(seen.atlas, layer) for layer in layers])
    mapping = matplotlib.cm.ScalarMappable(Normalize(-0.5, len(layers) - 0.5), colours)
    bar = figure.colorbar(mapping, ax=axes, pad=0.02)
    ends = (0, len(layers) - 1)
    bar.set_ticks(ends, labels=[short(layers[place], 18) for place in ends])
    bar.set_label(f"{len(layers)} layers, first to last", fontsize=8, color=PALE)
    bar.outline.set_visible(False)
