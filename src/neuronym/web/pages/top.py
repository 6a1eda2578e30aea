"""The neurons one can rely on most, by a stated rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from neuronym._core.errors import UsageError
from neuronym.report.statement import why_unknown
from neuronym.report.top import MEANING
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.view import Card, View

_MOST = 200
COUNT = 50


@dataclass(frozen=True)
class Top(Page):
    """The first neurons by a rule."""

    template: ClassVar[str] = "top.html"
    steady: ClassVar[bool] = True
    by: str
    rule: str
    rules: tuple[str, ...]
    method: str
    units: tuple[Card, ...]
    unknown: str | None
    caveats: tuple[str, ...]


def every(view: View) -> Iterator[tuple[str, ...]]:
    """The first method's, by the first rule."""
    yield ()


@page("top", every)
def top(view: View, parts: tuple[str, ...], query: Query) -> Top:
    """`top?by=score&method=clip-avg&layer=layer4&n=100`."""
    if parts:
        raise NotFoundError(f"{view.name} has no page top/{'/'.join(parts)[:80]}.")
    count = query.get("n", "")
    n = min(int(count), _MOST) if count.isdecimal() and count.isascii() and int(count) else COUNT
    layers = [layer for layer in query.every("layer") if layer in view.layers] or None
    try:
        method = view.atlas.method(query.get("method") or None)
        found = view.best(n, layers=layers, by=query.get("by") or None, method=method)
    except UsageError as error:
        raise NotFoundError(str(error)) from error
    by = found.attrs["by"]
    cards = tuple(
        view.card(view.units.starts[row["layer"]] + row["unit"], method)
        for row in found.to_dict("records")
    )
    labels = view.labels(method).frame
    return Top(
        f"The neurons to rely on · {view.title}",
        f"The {len(cards)} neurons of {view.title} whose labels one can rely on most, by {by}.",
        ("a", view.name, "top"),
        by,
        MEANING[by],
        tuple(rule for rule in MEANING if rule in labels and labels[rule].notna().any()),
        method,
        cards,
        why_unknown(view.atlas, method),
        tuple(view.atlas.caveats(method)) if by == "confidence" else (),
    )
