"""Which neurons feed which: a small graph, layer by layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neuronym.report.figures import COLOURS, INK, PALE, new, shown
from neuronym.report.links import WIDTH, Way, check_of, links_table, sign_of, way_back
from neuronym.report.plots.base import FIGURES, Selection, key, nothing, short, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_Node = tuple[str, int]
#: How many neurons it begins from, where none is named.
_ROOTS = 4
#: Through how many layers it goes back.
_DEPTH = 3
#: By sign: what a line stands for, and its colour.
_SIGNS = {"+": ("drives up", COLOURS[0]), "−": ("drives down", COLOURS[1]), "?": ("unknown", PALE)}


@FIGURES.register("links")
def links(seen: Selection) -> Figure:
    """Which neurons feed which, as a graph: the way back from a neuron (--unit) or from a few."""
    ways = _ways(seen)
    nodes: dict[_Node, Way] = {}
    edges: dict[tuple[_Node, _Node], Mapping[str, Any]] = {}
    for way in ways:
        _collect(way, nodes, edges)
    layers = [layer for layer in seen.atlas.layers if any(node[0] == layer for node in nodes)]
    places = _places(layers, nodes, edges)
    tall = max((sum(node[0] == layer for node in nodes) for layer in layers), default=1)
    size = (max(6.0, 2.6 * len(layers)), max(2.6, 0.42 * tall + 1.4))
    figure = new(figsize=size, layout="constrained", dpi=120)
    axes = figure.subplots()
    axes.set_axis_off()
    if not edges:
        nothing(axes, "no links have been found: neuronym links ATLAS")
    for (source, target), link in edges.items():
        _edge(axes, places[source], places[target], link)
    for node, way in nodes.items():
        _node(axes, places[node], way)
    for x, layer in enumerate(layers):
        axes.text(x, 1.04, short(layer), ha="center", va="bottom", fontsize=9, color=PALE)
    axes.set_xlim(-0.45, max(len(layers) - 1, 0) + 0.45)
    axes.set_ylim(-0.03, 1.12)
    title(
        figure,
        f"Which neurons feed which, {seen.target}",
        "Wide lines: strong links. Broken lines: not checked by ablation. Links that it did not "
        f"confirm are left out. Labels: {shown(seen.method, 60)}.",
    )
    if edges:
        from matplotlib.lines import Line2D

        there = [_SIGNS[sign] for sign in _SIGNS if sign in map(sign_of, edges.values())]
        lines = [Line2D([], [], color=colour, linewidth=2) for _, colour in there]
        key(axes, lines, [name for name, _ in there], columns=3)
    return figure


def _ways(seen: Selection) -> list[Way]:
    """The neurons that it begins from, with what feeds them."""
    atlas = seen.atlas
    if seen.unit is not None:
        unit = atlas[seen.unit]
        return [way_back(atlas, unit.layer, unit.index, _DEPTH, method=seen.method)]
    pairs = [(f.from_layer, f.to_layer) for f in atlas.shown.links.values()]
    pairs = [pair for pair in pairs if set(pair) <= set(seen.layers)]
    if not pairs:
        return []
    order = list(seen.layers)
    pair = max(pairs, key=lambda pair: (order.index(pair[1]), order.index(pair[0])))
    rows = links_table(atlas, *pair, targets=_ROOTS, method=seen.method).rows
    names = dict.fromkeys(row["neuron"] for row in rows)
    units = [atlas[name] for name in names]
    return [
        way_back(atlas, unit.layer, unit.index, 2, width=WIDTH - 1, method=seen.method)
        for unit in units
    ]


def _collect(
    way: Way, nodes: dict[_Node, Way], edges: dict[tuple[_Node, _Node], Mapping[str, Any]]
) -> None:
    nodes.setdefault((way.layer, way.unit), way)
    for one in way.fed_by:
        edges[(one.layer, one.unit), (way.layer, way.unit)] = one.link or {}
        _collect(one, nodes, edges)


def _places(
    layers: list[str],
    nodes: Mapping[_Node, Way],
    edges: Mapping[tuple[_Node, _Node], Mapping[str, Any]],
) -> dict[_Node, tuple[float, float]]:
    """Where each neuron is drawn: columns by layer, in them each beside what it feeds."""
    fed: dict[_Node, list[_Node]] = defaultdict(list)
    for source, target in edges:
        fed[source].append(target)
    places: dict[_Node, tuple[float, float]] = {}
    for x in range(len(layers) - 1, -1, -1):
        column = [node for node in nodes if node[0] == layers[x]]
        heights = {
            node: [-places[target][1] for target in fed[node] if target in places]
            for node in column
        }
        column.sort(key=lambda node: sum(heights[node]) / max(1, len(heights[node])))
        for row, node in enumerate(column):
            places[node] = (float(x), 1 - (row + 0.5) / len(column))
    return places


def _edge(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], link: Mapping[str, Any]
) -> None:
    sure = check_of(link) == "confirmed"
    size = min(1.0, abs(link["effect"]) if sure else 0.3 * link["strength"])
    axes.plot(
        [start[0] + 0.02, end[0] - 0.02],
        [start[1], end[1]],
        color=_SIGNS[sign_of(link)][1],
        linewidth=0.6 + 5 * size,
        linestyle="-" if sure else (0, (4, 3)),
        alpha=0.75 if sure else 0.45,
        solid_capstyle="round",
        zorder=1,
    )


def _node(axes: Axes, place: tuple[float, float], way: Way) -> None:
    label = shown(way.label, 18) if way.label else "no label"
    axes.text(
        *place,
        f"{label}\n{shown(short(way.name, 20), 20)}",
        ha="center",
        va="center",
        fontsize=8,
        linespacing=1.25,
        color=INK if way.label else PALE,
        bbox={"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "#d0d4da"},
        zorder=2,
    )
