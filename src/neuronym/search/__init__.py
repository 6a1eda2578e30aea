"""Search: units by concept, new word, picture, or likeness to another unit."""

from __future__ import annotations

from neuronym.search.hits import Hits
from neuronym.search.searcher import PLACES, Searcher

__all__ = ["PLACES", "Hits", "Searcher"]
