"""What was visited in this browser; filled in by the browser itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuronym.web.pages.base import Page, Query, page
from neuronym.web.view import View


@dataclass(frozen=True)
class HistoryPage(Page):
    """Neurons and concepts visited."""

    template: ClassVar[str] = "history.html"


@page("history")
def history(view: View, parts: tuple[str, ...], query: Query) -> HistoryPage:
    """The page of what was visited."""
    target = view.title
    return HistoryPage(
        f"History · {target}",
        "Neurons and concepts visited in this browser.",
        ("a", view.name, "history"),
    )
