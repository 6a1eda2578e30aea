"""Which labels are given most often, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuronym.report.figures import INK, new, shown
from neuronym.report.plots.base import (
    FIGURES,
    WIDE,
    Selection,
    grid,
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


#: Labels per layer, as many as the published study lists.
LABELS = 26


@FIGURES.register("concepts")
def concepts(seen: Selection) -> Figure:
    """The 26 labels that most neurons of a layer have, as bars, one panel per layer."""
    layers, left = some(seen.layers)
    columns = {4: 2}.get(len(layers), min(len(layers), 3))
    lengths = [min(LABELS, seen.named(layer).nunique()) for layer in layers]
    lines = [max(4, *lengths[low : low + columns]) + 3 for low in range(0, len(layers), columns)]
    figure = new(
        figsize=(max(WIDE / 3 * columns, 5.5), 0.165 * sum(lines) + 0.7),
        layout="constrained",
        dpi=120,
    )
    panels = grid(figure, len(layers), columns, height_ratios=lines)
    for place, (axes, layer) in enumerate(zip(panels, layers, strict=True)):
        _panel(axes, seen, layer, lines[place // columns] - 3)
    title(
        figure,
        f"Which labels are given most often, {seen.target}",
        f"neurons with this first label ({shown(seen.method, 60)}){seen.left_out(layers)}. {left}",
    )
    return figure


def _panel(axes: Axes, seen: Selection, layer: str, room: int) -> None:
    named = seen.named(layer)
    counts = named.value_counts()
    # Of labels that are given equally often, the alphabet's first come first.
    counts = counts.sort_index().sort_values(ascending=False, kind="stable")
    top = counts.head(LABELS)
    axes.set_title(
        f"{short(layer)}\n{numbered(len(counts), 'label')} on {numbered(len(named), 'neuron')}"
    )
    axes.tick_params(left=False)
    axes.set_xticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    if top.empty:
        nothing(axes, "no neuron is labelled")
        return
    axes.barh(range(len(top)), top, color=layer_colour(seen.atlas, layer), height=0.75)
    axes.set_yticks(range(len(top)), [shown(word, 22) for word in top.index])
    for place, count in enumerate(top):
        axes.annotate(
            f"{count:,}",
            (count, place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=INK,
        )
    axes.set_ylim(room - 0.4, -0.6)
    axes.set_xlim(0, top.iloc[0] * 1.12)
