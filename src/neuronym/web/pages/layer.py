"""One layer: all its neurons as a table, as pictures, and as a map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from neuronym._core.errors import NeuronymError
from neuronym._core.terminal import counted
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.view import Card, View

FORMS = ("table", "pictures", "map")
TRUSTED = ("confidence", "stability", "q")
_WORDS = 26


@dataclass(frozen=True)
class LayerPage(Page):
    """One layer."""

    template: ClassVar[str] = "layer.html"
    steady: ClassVar[bool] = True
    layer: str
    form: str
    facts: dict[str, Any]
    units: tuple[Card, ...]
    columns: tuple[str, ...]  # of the table: what analyses found
    frequent: tuple[tuple[str, int], ...]
    places: tuple[tuple[float, float], ...] | None
    previous: str | None
    next: str | None


def every(view: View) -> Iterator[tuple[str, ...]]:
    """All layers, in all forms."""
    for layer in view.paged:
        yield (layer,)
        for form in FORMS[1:]:
            yield layer, form


@page("layer", every)
def layer(view: View, parts: tuple[str, ...], query: Query) -> LayerPage:
    """The page of one layer."""
    name = view.layer_of(parts[0]) if parts else None
    form = parts[1] if len(parts) == 2 else FORMS[0]
    if name is None or len(parts) > 2 or form not in FORMS:
        raise NotFoundError(f"{view.name} has no layer {'/'.join(parts)[:80]}.")
    start, count = view.units.starts[name], view.layers[name]["units"]
    units = tuple(view.card(start + unit) for unit in range(count))
    order = sorted(
        range(count), key=lambda unit: -(units[unit].confidence or 0)
    )  # the surest first
    paged = set(view.paged.get(name, ()))
    order = [unit for unit in order if unit in paged]
    words = Counter(card.concept for card in units if card.concept and not card.abstained)
    units = tuple(units[unit] for unit in order)
    names = list(view.layers)
    at = names.index(name)
    before, after = ([n for n in part if n in view.paged] for part in (names[:at], names[at + 1 :]))
    facts = {
        "units": count,
        "labelled": sum(not card.abstained for card in units),
        "distinct": len(words),
        "bins": view.bins[0].get(name),
        "how": view.bins[1],
        **{k: view.layers[name].get(k) for k in ("shape", "pool")},
    }
    target, places = view.title, None
    if form == "map" and (spots := view.once(("map", name), lambda: _places(view, start, count))):
        places = tuple(spots[unit] for unit in order)
    return LayerPage(
        f"{name} · {target}",
        f"{counted(count, 'neuron')} of {name} in {target}, with their labels.",
        ("a", view.name, "layer", name, *([form] if form != FORMS[0] else [])),
        name,
        form,
        facts,
        units,
        tuple(c for c in TRUSTED if any(getattr(card, c) is not None for card in units)),
        tuple(words.most_common(_WORDS)),
        places,
        before[-1] if before else None,
        after[0] if after else None,
    )


def _places(view: View, start: int, count: int) -> tuple[tuple[float, float], ...] | None:
    """Each unit in the plane of the two widest directions of exemplar embeddings, on [0, 1]²."""
    try:
        directions = view.searcher().relations.directions[start : start + count]
    except (NeuronymError, KeyError):
        return None
    plane = principal(directions.astype(np.float64))
    low, high = plane.min(0), plane.max(0)
    scaled = (plane - low) / np.where(high > low, high - low, 1)
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in scaled)


def principal(rows: Float[np.ndarray, "row dim"]) -> Float[np.ndarray, "row 2"]:
    """The first two principal components of each row; their features are fixed."""
    centred = rows - rows.mean(0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :2]
    largest = axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])]
    plane = np.zeros((len(rows), 2))
    plane[:, : axes.shape[1]] = centred @ (axes * np.sign(largest))
    return plane
