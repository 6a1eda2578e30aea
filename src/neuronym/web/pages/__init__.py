"""Pages of the site, one file per kind."""

from __future__ import annotations

from neuronym.web.pages import (  # noqa: F401  (registers what it imports)
    annotate,
    compare,
    concept,
    history,
    home,
    layer,
    report,
    search,
    unit,
)
from neuronym.web.pages.base import KINDS, Kind, NotFoundError, Page, Query

__all__ = ["KINDS", "Kind", "NotFoundError", "Page", "Query"]
