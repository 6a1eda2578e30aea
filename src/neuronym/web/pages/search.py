"""What a search found: by a word, by a neuron's name or number, by a picture."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
from PIL import Image as Pillow

from neuronym._core.checks import misuse
from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.folders import without_folders
from neuronym._core.words import fold
from neuronym.inputs.probes.images import decode, open_header
from neuronym.inputs.probes.values import Values
from neuronym.search.searcher import PLACES, Hits
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.view import Card, View, by_layer, number

_MOST = 60  # neurons shown at once
LONGEST = 200  # letters of a query
_PIXELS = 50_000_000  # of a picture; decoding holds a few bytes for each
_ONE = threading.Lock()  # picture at a time: a decoded one takes up to 200 MB


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
    hidden: int = 0
    abstained: bool = False  # neurons whose labels do not beat chance are shown, too
    method: str = ""
    named: tuple[Card, ...] = ()
    absent: bool = False  # the query is the number of a neuron that there is not
    exact: bool = False  # `named` is the one neuron of this name
    concept: str | None = None
    picture: str = ""  # by what the neurons that respond to a picture are sorted
    image: str = ""  # the exemplar whose place was asked for
    thumb: str | None = None  # its address
    point: tuple[float, float] | None = None  # the place in it: fractions from its left and top

    @property
    def layer_pairs(self) -> list[tuple[str, str]]:
        """The chosen layers as a query has them: names may hold commas."""
        return [("layers", layer) for layer in self.chosen]


@page("search")
def search(view: View, parts: tuple[str, ...], query: Query) -> SearchPage:
    """The page of a search: `?q=dog&match=substring&in=labels,images&layers=layer3,layer4`.

    `&method=clip-avg`: in the labels of another method than the first; `&abstained=yes`: also
    neurons whose labels do not beat chance. `?image=ID&at=0.31,0.5` in their place: what responds
    at a place of an image, in fractions from its left and top.
    """
    text = query.get("q", "").strip()[:LONGEST]
    match = query.get("match") or "substring"
    places = tuple(p for p in query.get("in", "").split(",") if p)
    chosen = tuple(
        layer
        for part in query.every("layers")
        for layer in ([part] if part in view.layers else filter(None, part.split(",")))
    )
    address = ("a", view.name, "search")
    if query.get("image"):
        return at_place(view, query)
    method = query.get("method") or view.methods[0]
    if method not in view.methods:
        raise NotFoundError(f"There are no labels of {method[:80]!r}.")
    abstained = query.get("abstained") == "yes"
    asked: dict[str, Any] = {
        "query": text,
        "match": match,
        "places": places,
        "chosen": chosen,
        "method": method,
        "abstained": abstained,
    }
    if not text:
        return SearchPage(
            f"Search · {view.title}", f"Search the neurons of {view.title}.", address, **asked
        )
    number_of = _neuron(view, text, method)
    layer, named = number_of or ("", ())
    asked |= {"named": named, "exact": bool(layer and named)}
    where = [p for p in places if p in PLACES]
    if not where and number_of and fold(text) not in view.known:
        where = ["labels", "images"]  # a neuron's number is no word to be scored anew
        asked["absent"] = not named
    try:
        hits = view.searcher(method).find(
            text, match=match, places=where or None, layers=chosen or None, abstained=abstained
        )
    except NeuronymError as error:
        note = "" if named else without_folders(str(error))
        return SearchPage(
            f"{text} · {view.title}", "Nothing was found.", address, **asked, note=note
        )
    word = fold(text)
    return SearchPage(
        f"{text} · {view.title}",
        f"Neurons of {view.title} that respond to {text}.",
        address,
        **asked,
        **_found(view, hits, method),
        concept=word if word in view.labelled else None,
    )


def by_picture(view: View, content: bytes, by: str, at: str = "") -> SearchPage:
    """The neurons that respond to a picture, or at a place of it.

    Args:
        view: of the atlas.
        content: of the picture's file.
        by: `target` or `encoder`; see `Searcher.by_picture`; `place`: see `Searcher.at`.
        at: of `place`, in percent from the left and the top, such as `31,50`.
    """
    address = ("a", view.name, "search")
    title, said = f"A picture · {view.title}", f"Neurons of {view.title} that respond to a picture."
    try:
        header = open_header(content)
        if header.width * header.height > _PIXELS:
            raise CorruptImageError(f"has more than {_PIXELS:,} pixels")
        values = Values.from_data(view.atlas.shown.probe.values or {})
        with _ONE:
            picture = decode(content, values)
            if by == "place":
                point = _percent(at, picture.size)
                hits = view.searcher().at(picture, point=point)
            else:
                hits = view.searcher().by_picture(picture, by=by)
    except CorruptImageError as error:
        return SearchPage(title, said, address, "", note=f"This picture {error}.")
    except (NeuronymError, UsageError) as error:
        return SearchPage(
            title, said, address, "", note=without_folders(f"This cannot be searched: {error}")
        )
    column = {"target": "deviation", "place": "strength"}.get(by, "likeness")
    shown = hits.units.head(_MOST)
    cards = tuple(
        view.card(int(place), None, **{column: float(value)})
        for place, value in zip(view.units.numbers(shown), shown[column], strict=True)
    )
    return SearchPage(title, said, address, "", found=len(hits.units), units=cards, picture=column)


def at_place(view: View, query: Query) -> SearchPage:
    """The neurons that respond at a place of an exemplar: `?image=ID&at=0.31,0.5`.

    Without scripts a click on the small copy sends its pixel, `&at.x=69&at.y=112`, in its place.
    """
    address = ("a", view.name, "search")
    image = query["image"]
    if image not in view.atlas.sizes or (thumb := view.thumb(image)) is None:
        raise NotFoundError("There is no such image.")
    title = f"A place of {image} · {view.title}"
    said = f"Neurons of {view.title} that respond at a place of an image."
    point = _point(view, image, query)
    shown: dict[str, Any] = {"image": image, "thumb": thumb, "point": point}
    if point is None:
        return SearchPage(title, said, address, "", **shown)
    try:
        searcher = view.searcher()
        row = view.atlas.images["image_id"].tolist().index(image)
        with _ONE:
            picture = searcher.sources.picture(row)
            pixel = point[0] * picture.width, point[1] * picture.height
            hits = searcher.at(picture, point=pixel)
    except (NeuronymError, UsageError) as error:
        note = without_folders(f"This cannot be searched: {error}")
        return SearchPage(title, said, address, "", note=note, **shown)
    first = hits.units.head(_MOST)
    cards = tuple(
        view.card(int(place), strength=float(strength))
        for place, strength in zip(view.units.numbers(first), first["strength"], strict=True)
    )
    found = len(hits.units)
    return SearchPage(
        title, said, address, "", found=found, units=cards, picture="strength", **shown
    )


def _percent(at: str, size: tuple[int, int]) -> tuple[float, float]:
    """A place in pixels, from percent.

    Raises:
        UsageError: there are not two numbers between 0 and 100.
    """
    try:
        x, y = (float(part) for part in at.split(","))
    except ValueError:
        x = y = -1.0
    if not (0 <= x <= 100 and 0 <= y <= 100):
        raise misuse("the place", "percent from the left and the top, such as 31,50", at[:40])
    return x / 100 * size[0], y / 100 * size[1]


def _point(view: View, image: str, query: Query) -> tuple[float, float] | None:
    """The place that was asked for, as fractions of the image; None: none."""
    try:
        thumb = view.atlas.thumb(image)
        if thumb is not None and "at.x" in query and "at.y" in query:
            with Pillow.open(thumb) as small:
                wide, high = small.size
            x, y = (float(query["at.x"]) + 0.5) / wide, (float(query["at.y"]) + 0.5) / high
        else:
            x, y = (float(part) for part in query.get("at", "").split(","))
    except (ValueError, OSError):
        return None
    inside = 0 <= x <= 1 and 0 <= y <= 1
    return (round(x, 4), round(y, 4)) if inside else None


def _found(view: View, hits: Hits, method: str) -> dict[str, Any]:
    numbers: Any = view.units.numbers(hits.units.head(_MOST)) if len(hits.units) else []
    cards = tuple(
        view.card(
            int(place),
            method,
            rank=None if pd.isna(row.rank) else int(row.rank),
            found=row.found,
            matched=row.matched,
            images=int(row.images),
            match=number(row.score),
        )
        for place, row in zip(numbers, hits.units.itertuples(), strict=False)
    )
    return {
        "known": hits.known,
        "found": len(hits.units),
        "layers": by_layer(hits),
        "units": cards,
        "suggestions": hits.suggestions,
        "related": hits.related,
        "note": hits.note,
        "hidden": hits.hidden,
    }


def _neuron(view: View, text: str, method: str) -> tuple[str, tuple[Card, ...]] | None:
    """Of `layer4:1802`, `layer4 1802` or `1802`: the layer, or "", and the neurons of this number.

    None: the text names no neuron, nor a layer of the atlas with a number.
    """
    layer, _, unit = text.replace(":", " ").rpartition(" ")
    layer = layer.strip()
    if not (unit.isdecimal() and unit.isascii() and len(unit) < 9):
        return None
    if layer and layer not in view.layers:
        return None
    return layer, tuple(
        view.card(view.units.starts[name] + int(unit), method)
        for name in ([layer] if layer else view.layers)
        if int(unit) < view.layers[name]["units"]
    )
