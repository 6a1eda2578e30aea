"""Labelling methods side by side, or two atlases side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from neuronym._core.errors import NeuronymError
from neuronym._core.words import fold
from neuronym.analysis.comparison import compare
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.view import Card, View

_MOST = 300  # neurons listed per layer
_METHODS = 6


@dataclass(frozen=True)
class Row:
    """One unit, and what each column says of it; `same`: None where not all have a label."""

    layer: str
    unit: int
    same: bool | None
    cards: tuple[Card | None, ...]


@dataclass(frozen=True)
class ComparePage(Page):
    """Methods, or atlases, side by side."""

    template: ClassVar[str] = "compare.html"
    steady: ClassVar[bool] = True
    columns: tuple[str, ...]
    agreement: tuple[dict[str, Any], ...]
    layer: str
    layers: tuple[str, ...]
    rows: tuple[Row, ...]
    units: int
    others: tuple[str, ...]
    other: str | None
    note: str


def every(view: View) -> Iterator[tuple[str, ...]]:
    """All layers, with every other atlas that has them."""
    yield ()
    for layer in view.paged:
        yield (layer,)
        for other in view.beside:
            if layer in view.beside[other].layers:
                yield layer, other


@page("compare", every)
def compared(view: View, parts: tuple[str, ...], query: Query) -> ComparePage:
    """The page of a comparison: `compare/LAYER`, `compare/LAYER/OTHER-ATLAS`."""
    layer = view.layer_of(parts[0]) if parts else [*view.paged, *view.layers][len(view.paged) - 1]
    other = view.beside.get(parts[1]) if len(parts) == 2 else None
    if (
        layer is None
        or len(parts) > 2
        or (len(parts) == 2 and (not other or layer not in other.layers))
    ):
        raise NotFoundError(f"{view.name} has no comparison {'/'.join(parts)[:80]}.")
    note = ""
    if other is not None:
        columns: tuple[str, ...] = (view.name, other.name)
        sides = [(view, view.methods[0]), (other, other.methods[0])]
        agreement: tuple[dict[str, Any], ...] = ()
        note = _networks(view, other, layer)
    else:
        columns = tuple(m for m in view.methods if layer in view.atlas.labelled_layers(m))[
            :_METHODS
        ]
        sides = [(view, method) for method in columns]
        agreement = tuple(row for row in _agreement(view) if row["layer"] == layer)
        if len(view.methods) < 2:
            note = (
                "This atlas has the labels of one method. Add another one: "
                "neuronym label ATLAS --method clip-avg"
            )
    units = min(v.layers[layer]["units"] for v, _ in sides)
    rows = [_row(sides, layer, unit) for unit in view.paged.get(layer, []) if unit < units]
    shown = sorted(rows, key=lambda row: (False, None, True).index(row.same))[:_MOST]
    target = view.title
    return ComparePage(
        f"{layer} compared · {target}",
        f"{' and '.join(columns)} side by side, neuron by neuron.",
        ("a", view.name, "compare", *([layer] if parts else []), *([other.name] if other else [])),
        columns,
        agreement,
        layer,
        tuple(name for name in view.layers if other is None or name in other.layers),
        tuple(shown),
        units,
        tuple(name for name, v in view.beside.items() if layer in v.layers),
        other.name if other else None,
        note,
    )


def _networks(view: View, other: View, layer: str) -> str:
    """What equal numbers are in two atlases, where they are not the same network."""
    prints = [v.atlas.shown.target.fingerprint for v in (view, other)]
    if prints[0] == prints[1]:
        return ""
    if view.layers[layer]["units"] == other.layers[layer]["units"]:
        return (
            f"The two atlases have different weights, and in {layer} as many neurons: if one is a "
            "copy of the other that was trained further, equal numbers are equal neurons."
        )
    return "The two atlases are of different networks: equal numbers are not equal neurons."


def _row(sides: list[tuple[View, str]], layer: str, unit: int) -> Row:
    cards = tuple(v.card(v.units.starts[layer] + unit, method) for v, method in sides)
    words = [fold(card.concept) for card in cards if card.concept and not card.abstained]
    same = len(set(words)) == 1 if len(words) == len(cards) > 1 else None
    return Row(layer, unit, same, cards)


def _agreement(view: View) -> tuple[dict[str, Any], ...]:
    """Shares of units with the same first label, by layer and pair of methods."""
    if len(view.methods) < 2:
        return ()
    try:
        frame = view.once("agreement", lambda: compare(view.atlas).agreement)
    except NeuronymError:
        return ()
    rows = frame[["layer", "a", "b", "units", "same", "jaccard"]].replace({np.nan: None})
    return tuple(rows.to_dict("records"))
