"""One layer: its neurons as a table, as pictures, and as a map, some at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float

from neuronym._core.errors import NeuronymError
from neuronym._core.terminal import counted
from neuronym._core.words import fold
from neuronym.web.addresses import Asked
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.view import Card, View

FORMS = ("table", "pictures", "map")
TRUSTED = ("confidence", "stability", "q")
#: Neurons on a page. Layers that have no more are sorted and filtered by the page's script.
AT_ONCE = 250
#: What a table can be sorted by, and whether the highest comes first unless it is asked otherwise.
SORTS = {
    "neuron": False,
    "label": False,
    "score": True,
    "confidence": True,
    "stability": True,
    "q": False,
}
_WORDS = 26


@dataclass(frozen=True)
class Part:
    """Which neurons of a layer are on a page, out of those that were asked for, in which order.

    Attributes:
        number, of: the page, from 1, and how many there are.
        first, units: the first neuron on it, from 1, and how many were asked for.
        sort, down: by what they are ordered, and whether the highest comes first.
        show: what stands in their number, label or class; "": all.
        labelled: only those with a label.
        usual: by what they are ordered unless it is asked otherwise.
    """

    number: int
    of: int
    first: int
    units: int
    sort: str
    down: bool
    show: str
    labelled: bool
    usual: str

    def asked(self, **other: Any) -> Asked:
        """The query of this page, or of one that differs in something."""
        wanted = {"page": 1, "sort": self.sort, "down": self.down, "show": self.show}
        wanted |= {"labelled": self.labelled} | other
        usual = {"page": 1, "sort": self.usual, "down": SORTS[str(wanted["sort"])], "show": ""}
        usual |= {"labelled": False}
        as_text = {name: str(int(v) if isinstance(v, bool) else v) for name, v in wanted.items()}
        return {name: text for name, text in as_text.items() if wanted[name] != usual[name]}

    def by(self, column: str) -> Asked:
        """The query of the same sorted by a column, or the other way round if it is already."""
        return self.asked(sort=column, down=not self.down if column == self.sort else SORTS[column])

    @property
    def near(self) -> tuple[int | None, ...]:
        """Numbers of pages to offer: the first, the last, those around this one; None: a gap."""
        wanted = {1, self.of, *range(max(1, self.number - 2), min(self.of, self.number + 2) + 1)}
        found: list[int | None] = []
        for number in sorted(wanted):
            if found and number - (found[-1] or 0) > 1:
                found.append(None)
            found.append(number)
        return tuple(found)


@dataclass(frozen=True)
class LayerPage(Page):
    """One layer."""

    template: ClassVar[str] = "layer.html"
    steady: ClassVar[bool] = True
    at_once: ClassVar[int] = AT_ONCE
    layer: str
    form: str
    facts: dict[str, Any]
    part: Part
    units: tuple[Card, ...]
    columns: tuple[str, ...]  # of the table: what analyses found
    frequent: tuple[tuple[str, int], ...]
    places: tuple[tuple[float, float], ...] | None  # of `units`
    cloud: str  # those of all others, as the path of a drawing
    previous: str | None
    next: str | None

    def to_json(self) -> dict[str, Any]:
        """Without the drawing."""
        return {name: value for name, value in super().to_json().items() if name != "cloud"}


def every(view: View) -> Iterator[tuple[str, ...]]:
    """All layers, in all forms; of large layers all pages, and the map once."""
    for layer, units in view.paged.items():
        yield (layer,)
        yield (layer, "map")
        yield (layer, "pictures")
        for form in FORMS[:2]:
            for number in range(2, -(-len(units) // LayerPage.at_once) + 1):
                yield layer, form, str(number)


@page("layer", every)
def layer(view: View, parts: tuple[str, ...], query: Query) -> LayerPage:
    """The page of one layer: `layer/LAYER`, `layer/LAYER/FORM`, `layer/LAYER/FORM/PAGE`."""
    name = view.layer_of(parts[0]) if parts else None
    form = parts[1] if len(parts) > 1 else FORMS[0]
    wanted = parts[2] if len(parts) == 3 else query.get("page", "1")
    if name is None or len(parts) > 3 or form not in FORMS:
        raise NotFoundError(f"{view.name} has no layer {'/'.join(parts)[:80]}.")
    rows = view.once(("rows", name), lambda: _rows(view, name))
    part, numbers = _part(view, name, rows, wanted, query)
    start, count = view.units.starts[name], len(rows)
    words = view.once(
        ("words", name), lambda: Counter(rows["concept"][~rows["abstained"]].dropna())
    )
    names = list(view.layers)
    at = names.index(name)
    before, after = ([n for n in part if n in view.paged] for part in (names[:at], names[at + 1 :]))
    facts = {
        "units": count,
        "labelled": int((~rows["abstained"]).sum()),
        "distinct": len(words),
        "bins": view.bins[0].get(name),
        "how": view.bins[1],
        **{k: view.layers[name].get(k) for k in ("shape", "pool")},
    }
    places, cloud = None, ""
    if form == "map":
        plane = view.once(("map", name), lambda: _places(view, start, count))
        if plane is not None:
            places = tuple((float(x), float(y)) for x, y in plane[numbers])
            cloud = _cloud(np.delete(plane, numbers, 0))
    target, more = view.title, f", page {part.number}" if part.number > 1 else ""
    return LayerPage(
        f"{name}{more} · {target}",
        f"{counted(count, 'neuron')} of {name} in {target}, with their labels.",
        ("a", view.name, "layer", *((name, *parts[1:]) if parts[1:] != FORMS[:1] else (name,))),
        name,
        form,
        facts,
        part,
        tuple(view.card(start + int(unit)) for unit in numbers),
        tuple(c for c in TRUSTED if c in rows and rows[c].notna().any()),
        tuple(words.most_common(_WORDS)),
        places,
        cloud,
        before[-1] if before else None,
        after[0] if after else None,
    )


def _rows(view: View, layer: str) -> pd.DataFrame:
    """The first row of every unit, in the order of units; those without one abstain."""
    frame = view.labels().frame
    frame = frame[(frame["layer"] == layer) & (frame["rank"] == 1)].set_index("unit")
    frame = frame.reindex(range(view.layers[layer]["units"]))
    silent = frame["abstained"].astype(object)
    return frame.assign(abstained=silent.where(silent.notna(), True).astype(bool))


def _part(
    view: View, layer: str, rows: pd.DataFrame, wanted: Any, query: Query
) -> tuple[Part, np.ndarray]:
    """The units of a page."""
    show = str(query.get("show", ""))[:200].strip()
    known = "confidence" in rows and rows["confidence"].notna().any()
    usual = "confidence" if known else "neuron"  # the surest first
    sort = str(query.get("sort")) if query.get("sort") in SORTS else usual
    down = query.get("down", str(int(SORTS[sort]))) == "1"
    labelled = query.get("labelled") == "1"
    units = np.array(view.paged.get(layer, []), np.int64)
    if labelled:
        units = units[~rows["abstained"].to_numpy()[units]]
    if show:
        classes, text = view.atlas.class_names(layer), fold(show)
        units = units[[_matches(rows["concept"].iat[u], classes, int(u), text) for u in units]]
    columns: dict[str, str | None] = {"neuron": None, "label": "concept"}
    column = columns.get(sort, sort)
    if column is not None and column in rows:
        values = rows[column].iloc[units]
        keys = values.astype(object).map(fold, na_action="ignore") if sort == "label" else values
        keys = keys.reset_index(drop=True)
        units = units[keys.sort_values(ascending=not down, kind="stable").index.to_numpy()]
    elif down:
        units = units[::-1]
    of = max(1, -(-len(units) // LayerPage.at_once))
    fits = str(wanted).isascii() and str(wanted).isdecimal() and len(str(wanted)) < 9
    if not (fits and 1 <= int(wanted) <= of):
        raise NotFoundError(f"{layer} has the pages 1…{of} here.")
    first = (int(wanted) - 1) * LayerPage.at_once
    part = Part(int(wanted), of, first + 1, len(units), sort, down, show, labelled, usual)
    return part, units[first : first + LayerPage.at_once]


def _matches(concept: Any, classes: Mapping[int, str], unit: int, text: str) -> bool:
    """Whether a text stands in what the table says of a unit."""
    said = (concept, classes.get(unit))
    return text in str(unit) or any(isinstance(one, str) and text in fold(one) for one in said)


def _places(view: View, start: int, count: int) -> Float[np.ndarray, "unit 2"] | None:
    """Each unit in the plane of the two widest directions of exemplar embeddings, on [0, 1]²."""
    try:
        directions = view.searcher().relations.directions[start : start + count]
    except (NeuronymError, KeyError):
        return None
    plane = principal(directions.astype(np.float64))
    low, high = plane.min(0), plane.max(0)
    return np.round((plane - low) / np.where(high > low, high - low, 1), 4)


def _cloud(plane: Float[np.ndarray, "unit 2"]) -> str:
    """Dots as one path of the map's drawing."""
    spots = np.unique(np.round(plane * [1000, -700] + [0, 700]).astype(int), axis=0)
    return "".join(f"M{x} {y}h0" for x, y in spots.tolist())


def principal(rows: Float[np.ndarray, "row dim"]) -> Float[np.ndarray, "row 2"]:
    """The first two principal components of each row; their features are fixed."""
    centred = rows - rows.mean(0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :2]
    largest = axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])]
    plane = np.zeros((len(rows), 2))
    plane[:, : axes.shape[1]] = centred @ (axes * np.sign(largest))
    return plane
