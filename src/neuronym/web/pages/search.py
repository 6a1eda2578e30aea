"""What a search found: by a word, by a neuron's name or number, by a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from neuronym._errors import CorruptImageError, NeuronymError, UsageError
from neuronym.matching import fold
from neuronym.probes.images import decode, open_header
from neuronym.search import PLACES
from neuronym.search.searcher import Hits
from neuronym.web.pages.base import Page, Query, page
from neuronym.web.view import Card, View, number

_MOST = 60  # neurons shown at once
LONGEST = 200  # letters of a query
_PIXELS = 50_000_000  # of a picture; decoding holds a few bytes for each


@dataclass(frozen=True)
class SearchPage(Page):
    """Neurons by a word; `named`: those whose name or number it is."""

    template: ClassVar[str] = "search.html"
    query: str
    match: str = "substring"
    places: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    known: bool = True
    found: int = 0
    layers: tuple[tuple[str, int, float | None], ...] = ()
    units: tuple[Card, ...] = ()
    suggestions: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    note: str = ""
    named: tuple[Card, ...] = ()
    exact: bool = False  # `named` is the one neuron of this name
    concept: str | None = None
    picture: str = ""  # by what the neurons that respond to a picture are sorted


@page("search")
def search(view: View, parts: tuple[str, ...], query: Query) -> SearchPage:
    """The page of a search: `?q=dog&match=substring&in=labels,images&layers=layer3,layer4`."""
    text = query.get("q", "").strip()[:LONGEST]
    match = query.get("match") or "substring"
    places = tuple(p for p in query.get("in", "").split(",") if p)
    chosen = tuple(layer for layer in query.get("layers", "").split(",") if layer)
    address = ("a", view.name, "search")
    if not text:
        return SearchPage(f"Search · {view.title}", f"Search the neurons of {view.title}.", address,
                          "", match, places, chosen)  # fmt: skip
    named, exact = _named(view, text)
    asked = {"query": text, "match": match, "places": places, "chosen": chosen,
             "named": named, "exact": exact}  # fmt: skip
    try:
        hits = view.searcher().find(
            text, match=match, places=[p for p in places if p in PLACES] or None,
            layers=chosen or None,
        )  # fmt: skip
    except NeuronymError as error:
        note = "" if named else str(error)
        return SearchPage(f"{text} · {view.title}", "Nothing was found.", address, **asked,
                          note=note)  # fmt: skip
    word = fold(text)
    return SearchPage(
        f"{text} · {view.title}", f"Neurons of {view.title} that respond to {text}.", address,
        **asked, **_found(view, hits), concept=word if word in view.labelled else None,
    )  # fmt: skip


def by_picture(view: View, content: bytes, by: str) -> SearchPage:
    """The neurons that respond to a picture.

    Args:
        view: of the atlas.
        content: of the picture's file.
        by: `target` or `encoder`; see `Searcher.by_picture`.
    """
    address, note = ("a", view.name, "search"), ""
    title, said = f"A picture · {view.title}", f"Neurons of {view.title} that respond to a picture."
    try:
        header = open_header(content)
        if header.width * header.height > _PIXELS:
            raise CorruptImageError(f"has more than {_PIXELS:,} pixels")
        picture = decode(content)
    except CorruptImageError as error:
        note = f"This picture {error}."
        return SearchPage(title, said, address, "", note=note)
    try:
        hits = view.searcher().by_picture(picture, by=by)
    except (NeuronymError, UsageError) as error:
        return SearchPage(title, said, address, "", note=f"This cannot be searched: {error}")
    column = "deviation" if by == "target" else "likeness"
    shown = hits.units.head(_MOST)
    cards = tuple(
        view.card(int(place), **{column: float(value)})
        for place, value in zip(view.units.numbers(shown), shown[column], strict=True)
    )
    return SearchPage(title, said, address, "", found=len(hits.units), units=cards, picture=column)


def _found(view: View, hits: Hits) -> dict[str, Any]:
    numbers = view.units.numbers(hits.units.head(_MOST)) if len(hits.units) else []
    cards = tuple(
        view.card(
            int(place), rank=int(row.rank), found=row.found, matched=row.matched,
            images=int(row.images), match=number(row.score),
        )
        for place, row in zip(numbers, hits.units.itertuples(), strict=False)
    )  # fmt: skip
    counts = tuple(
        (row.layer, int(row.units), number(row.best)) for row in hits.layers.itertuples()
    )
    return {
        "known": hits.known, "found": len(hits.units), "layers": counts, "units": cards,
        "suggestions": hits.suggestions, "related": hits.related, "note": hits.note,
    }  # fmt: skip


def _named(view: View, text: str) -> tuple[tuple[Card, ...], bool]:
    """The neuron called so (`layer4:1802`, `layer4 1802`), or those with this number."""
    layer, _, unit = text.replace(":", " ").rpartition(" ")
    if not (unit.isdecimal() and unit.isascii() and len(unit) < 9):
        return (), False
    layer = layer.strip()
    within = [layer] if layer in view.layers else [] if layer else list(view.layers)
    cards = tuple(
        view.card(view.units.starts[name] + int(unit))
        for name in within if int(unit) < view.layers[name]["units"]
    )  # fmt: skip
    return cards, bool(layer and cards)
