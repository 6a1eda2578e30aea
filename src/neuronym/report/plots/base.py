"""What a figure of an atlas is: a function of a view that returns a drawing."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from neuronym._core.checks import misuse
from neuronym._core.registry import Registry
from neuronym.analysis.evaluation.base import EvaluationContext, open_context
from neuronym.atlas import schema
from neuronym.atlas.reader import Atlas, first_of
from neuronym.report.figures import COLOURS, INK, PALE, shown, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


FIGURES = Registry("figure", "figures", "neuronym.report.plots")
#: A figure of one panel per layer shows so many layers of bars at most.
MOST = 6
#: Inches of the widest figures, as wide as a page of the report.
WIDE = 9.6


@dataclass(frozen=True, eq=False)
class Selection:
    """What a figure shows: one method's labels on some layers of an atlas.

    Attributes:
        atlas: which.
        method: a method-id.
        layers: in network order.
        truth: where right labels come from (see docs/ground-truth.md), or None.
        unit: the neuron of a neuron sheet, such as `layer4:1802`, or None.
        images: how many images a neuron sheet shows.
        sources: what `LabelContext` needs beside the atlas where a figure embeds words.
    """

    atlas: Atlas
    method: str
    layers: tuple[str, ...]
    truth: str | None = None
    unit: str | None = None
    images: int = 16
    sources: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def labels(self) -> pd.DataFrame:
        """The method's labels on the view's layers, with what analyses found."""
        labels = self.atlas.labels(method=self.method)
        return labels[labels["layer"].isin(self.layers)]

    @functools.cached_property
    def best(self) -> dict[str, pd.DataFrame]:
        """By layer the rank-1 row of every unit; units that abstain may have no concept."""
        first = first_of(self.labels)
        return {layer: first[first["layer"] == layer] for layer in self.layers}

    def named(self, layer: str) -> pd.Series:
        """The labels of a layer's units, without those that abstain."""
        rows = self.best[layer]
        return rows["concept"][~rows["abstained"]]

    def left_out(self, layers: Sequence[str]) -> str:
        """`, without 871 neurons that abstain`: what counts of labels in these layers leave out."""
        silent = sum(int(self.best[layer]["abstained"].sum()) for layer in layers)
        verb = "abstains" if silent == 1 else "abstain"
        return f", without {numbered(silent, 'neuron')} that {verb}" if silent else ""

    def chance(self, layer: str) -> float | None:
        """The score above which a unit of the layer beats chance, where that was examined."""
        key = schema.analysis_id("significance", self.method)
        facts: Any = self.atlas.shown.analyses.get(key, {})
        return facts.get("chance", {}).get(layer, {}).get("threshold")

    def evaluation(self, every: bool = False) -> EvaluationContext:
        """What the tables of the study are about: this method, or every method, and the truth.

        Raises:
            UsageError: no truth was given.
        """
        if self.truth is None:
            raise misuse(
                "truth",
                "given for this figure",
                None,
                "Write --truth classes, --truth annotations or --truth FILE.",
            )
        methods = self.atlas.methods if every else [self.method]
        return open_context(self.atlas, methods, truth=self.truth, context=self.sources)

    @property
    def truth_note(self) -> str:
        """Where the truth comes from, for the small print."""
        return f"truth: {shown(str(self.truth).rpartition('/')[2], 40)}, exact matches"

    @property
    def target(self) -> str:
        """The network's name, short enough for a title."""
        return shown(self.atlas.shown.target.name, 34)


def select(
    atlas: Atlas,
    *,
    layers: Sequence[str] | None = None,
    method: str | None = None,
    **options: Any,
) -> Selection:
    """A view of an atlas.

    Args:
        atlas: which.
        layers: names of layers; None: all that the method has labelled.
        method: a method-id or another name of a method; None: the first one.
        **options: see `Selection`.

    Raises:
        UsageError: an unknown method or layer, or a layer that the method has not labelled.
    """
    method = atlas.method(method)
    there = atlas.labelled_layers(method)
    for layer in layers or ():
        atlas.check_unit(layer)
        if layer not in there:
            raise misuse(
                "layers",
                f"layers that {method} has labelled",
                layer,
                f"It has labelled {', '.join(there)}.",
            )
    chosen = there if layers is None else [layer for layer in there if layer in set(layers)]
    return Selection(atlas, method, tuple(chosen), **options)


def draw(name: str, seen: Selection) -> Figure:
    """Draw a registered figure.

    Args:
        name: one of `neuronym list figures`.
        seen: of what.

    Raises:
        UsageError: no such figure.
        NeuronymError: the atlas lacks what it shows; says what would add it.
    """
    entry = FIGURES[name]
    with style():
        return entry.make(seen)


def title(figure: Figure, text: str, note: str = "") -> None:
    """What is seen, above; how it was made, below."""
    width = figure.get_figwidth()
    lines = textwrap.fill(text, int(8.5 * width))
    figure.suptitle(lines, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    if note:
        lines = textwrap.fill(note, int(15 * width))
        figure.supxlabel(lines, x=0.01, ha="left", fontsize=8, color=PALE)


def key(axes: Axes, handles: Sequence[Any], names: Sequence[str], columns: int = 1) -> None:
    """What marks stand for, above a panel and its title."""
    # A name that begins with _ would get no entry without being given.
    above = 0.4 + (1.7 if axes.get_title(loc="left") else 0)
    axes.legend(
        handles,
        names,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=above,
        ncols=columns,
        handlelength=1.2,
        columnspacing=1.4,
        borderpad=0,
    )


def short(layer: str, most: int = 28) -> str:
    """A layer's name in at most so many characters; what is left out is in its middle.

    >>> short("encoder.layers.11.mlp.fc1", 17)
    'encoder.….mlp.fc1'
    """
    name = shown(layer, 10_000)
    half = most // 2
    return name if len(name) <= most else f"{name[: most - half - 1]}…{name[-half:]}"


def numbered(number: int, noun: str) -> str:
    """`1 label`, `2 labels`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def layer_colour(atlas: Atlas, layer: str) -> Any:
    """A layer's colour in all figures: viridis by depth, without its ends."""
    import matplotlib

    names = list(atlas.layers)
    return matplotlib.colormaps["viridis"](
        0.25 + 0.53 * names.index(layer) / max(len(names) - 1, 1)
    )


def method_colour(atlas: Atlas, method: str) -> str:
    """A method's colour in all figures."""
    return COLOURS[atlas.methods.index(method) % len(COLOURS)]


def some(layers: Sequence[str]) -> tuple[list[str], str]:
    """At most `MOST` layers, evenly spread, and the sentence that says so where some are left."""
    if len(layers) <= MOST:
        return list(layers), ""
    places = [round(k * (len(layers) - 1) / (MOST - 1)) for k in range(MOST)]
    text = f"{MOST} of {len(layers)} layers; choose others with --layers."
    return [layers[place] for place in places], text


def grid(figure: Figure, count: int, columns: int, **options: Any) -> list[Axes]:
    """Panels line by line, as many as are asked for."""
    lines = -(-count // columns)
    axes = list(figure.subplots(lines, columns, squeeze=False, **options).flat)
    for spare in axes[count:]:
        spare.set_axis_off()
    return axes[:count]


def nothing(axes: Axes, text: str) -> None:
    """An empty panel, and why it is empty."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=8.5, color=PALE
    )
    axes.set_yticks([])
