"""What changed from one atlas of the site to another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from neuronym._core.errors import NeuronymError
from neuronym.analysis.diff.run import Diff, diff
from neuronym.report import diff_sheet
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.view import View, number

_UNITS, _CONCEPTS, _PARTNERS, _IMAGES = 60, 30, 60, 12
#: Images of a neuron that left, and that came.
_THUMBS = 5


@dataclass(frozen=True)
class Changed:
    """A unit that changed: its labels, and thumbnails of the images that left and came."""

    layer: str
    unit: int
    state: str
    correlation: float | None
    low: float | None
    high: float | None
    kept: float | None
    labels: tuple[str | None, str | None]
    confidence: tuple[float | None, float | None]
    left: tuple[str, ...]
    came: tuple[str, ...]


@dataclass(frozen=True)
class DiffPage(Page):
    """The units that changed most, images that came to many, concepts, and matched units."""

    template: ClassVar[str] = "diff.html"
    steady: ClassVar[bool] = True
    other: str
    names: tuple[str, str]
    headline: str
    rule: str
    by: str
    units: tuple[Changed, ...]
    changed: int
    moved: tuple[dict[str, Any], ...]
    layers: tuple[dict[str, Any], ...]
    concepts: tuple[dict[str, Any], ...]
    partners: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]


def every(view: View) -> Iterator[tuple[str, ...]]:
    """To every other atlas of the site."""
    return ((other,) for other in view.beside)


@page("diff", every)
def changes(view: View, parts: tuple[str, ...], query: Query) -> DiffPage:
    """The page `diff/OTHER-ATLAS`: from this atlas (before) to the other one (after)."""
    other = view.beside.get(parts[0]) if len(parts) == 1 else None
    if other is None:
        raise NotFoundError(f"{view.name} has no diff {'/'.join(parts)[:80]}.")
    try:  # no network is run for a page
        found = view.once(
            ("diff", other.name, other.stamp),
            lambda: diff(view.atlas, other.atlas, passes=False),
        )
    except NeuronymError as error:
        raise NotFoundError(f"{view.name} and {other.name} cannot be compared: {error}") from error
    concepts = found.concepts[found.concepts["change"] != ""].head(_CONCEPTS)
    headline = diff_sheet.headline(found)
    rows = found.changed.head(_UNITS).to_dict("records")
    return DiffPage(
        f"{view.name} → {other.name} · what changed",
        headline,
        ("a", view.name, "diff", other.name),
        other.name,
        (view.title, other.title),
        headline,
        diff_sheet.rule(found) if len(found.changed) else "",
        found.by,
        tuple(_unit(found, view, other, row) for row in rows),
        len(found.changed),
        tuple(_moved(found, view, other)),
        tuple(diff_sheet.records(found.layers)),
        tuple(diff_sheet.records(concepts)),
        tuple(diff_sheet.records(found.partners.head(_PARTNERS))),
        found.notes,
    )


def _unit(found: Diff, view: View, other: View, row: dict[str, Any]) -> Changed:
    left, came = found.exemplars(row["layer"], row["unit"])
    correlation, low, high, kept = (number(row[k]) for k in ("correlation", "low", "high", "kept"))
    first, second = (x if isinstance(x, str) else None for x in (row["a_label"], row["b_label"]))
    return Changed(
        row["layer"],
        int(row["unit"]),
        row["state"],
        correlation,
        low,
        high,
        kept,
        (first, second),
        (number(row["a_confidence"]), number(row["b_confidence"])),
        _thumbs(view, left),
        _thumbs(other, came),
    )


def _thumbs(view: View, images: list[str]) -> tuple[str, ...]:
    return tuple(thumb for image in images[:_THUMBS] if (thumb := view.thumb(image)))


def _moved(found: Diff, view: View, other: View) -> Iterator[dict[str, Any]]:
    """The images that came to most of the units that changed."""
    often = found.moved[found.moved["came"] >= diff_sheet.OFTEN].head(_IMAGES)
    for row in often.itertuples():
        thumb = other.thumb(row.image_id) or view.thumb(row.image_id)
        yield {"image_id": row.image_id, "came": int(row.came), "thumb": thumb}
