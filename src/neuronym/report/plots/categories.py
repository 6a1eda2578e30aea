"""How the mix of what labels name changes with depth."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from neuronym.report.categories import CATEGORIES, of_words
from neuronym.report.figures import COLOURS, FAINT, INK, new, shown
from neuronym.report.plots.base import FIGURES, Selection, key, nothing, short, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_COLOURS = dict(zip(CATEGORIES, (*COLOURS, FAINT), strict=True))
#: Ink on the bars that are too dark for black, or follow the page.
_ON = {"object": "white", "other": INK}
_ROOM = 6  # percent of a bar in which its number has room


@FIGURES.register("categories")
def categories(seen: Selection) -> Figure:
    """What labels name (objects, parts, scenes, materials, …), in % of a layer's labels."""
    from matplotlib.patches import Rectangle

    found, how = _kinds(seen)
    there = {kind for counts in found.values() for kind in counts}
    kinds = [kind for kind in (*CATEGORIES, *sorted(there - set(CATEGORIES))) if kind in there]
    figure = new(figsize=(9, 0.34 * len(seen.layers) + 1.9), layout="constrained", dpi=120)
    axes = figure.subplots()
    for place, layer in enumerate(seen.layers):
        _bar(axes, place, found[layer], kinds)
    names = [f"{short(layer)} ({len(seen.named(layer)):,})" for layer in seen.layers]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("labelled neurons (%); their number in brackets")
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    if kinds:
        handles = [Rectangle((0, 0), 1, 1, color=_colour(kind)) for kind in kinds]
        key(axes, handles, kinds, len(kinds))
    else:
        nothing(axes, "no neuron is labelled")
        axes.set_xticks([])
    note = f"first labels{seen.left_out(seen.layers)}; {how}"
    title(figure, f"What labels name, {seen.target}", note)
    return figure


def _kinds(seen: Selection) -> tuple[dict[str, Counter[str]], str]:
    """By layer how many labels are of which category, and a sentence on how it was found."""
    rows = {layer: best[~best["abstained"]] for layer, best in seen.best.items()}
    every = pd.concat(rows.values())
    if "category" in every and every["category"].notna().all():
        spelling = {"color": "colour"}
        return {
            layer: Counter(spelling.get(kind, kind) for kind in some["category"])
            for layer, some in rows.items()
        }, f"categories as told by {shown(seen.method, 60)}"
    words = list(every["concept"].unique())
    found, how = of_words(seen.atlas, words, **seen.sources) if words else ({}, "")
    counts = {layer: Counter(found[w] for w in some["concept"]) for layer, some in rows.items()}
    return counts, how


def _bar(axes: Axes, place: int, counts: Counter[str], kinds: list[str]) -> None:
    left, total = 0.0, sum(counts.values())
    for kind in kinds:
        share = 100 * counts[kind] / total if total else 0.0
        if not share:
            continue
        axes.barh(place, share, 0.8, left, color=_colour(kind), edgecolor="white", linewidth=0.8)
        if share >= _ROOM:
            axes.text(
                left + share / 2,
                place,
                f"{share:.0f}",
                ha="center",
                va="center",
                fontsize=7.5,
                color=_ON.get(kind, "#111111"),
            )
        left += share


def _colour(kind: str) -> str:
    return _COLOURS.get(kind, "#9aa1ad")
