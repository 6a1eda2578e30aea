"""Words, and the rows of a table in which each stands."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int64

from neuronym._core.checks import choice
from neuronym._core.words import fold

MATCHES = ("exact", "substring", "stem")


class WordIndex:
    """Distinct words, and the rows of a table in which each stands.

    Args:
        words: one for each row.
    """

    def __init__(self, words: Sequence[str]) -> None:
        codes, distinct = pd.factorize(np.asarray(words, object))
        self.words: list[str] = list(distinct)
        self.codes = codes
        self._folded = [fold(word) for word in self.words]
        self._rows = np.argsort(codes, kind="stable")
        self._starts = np.searchsorted(codes[self._rows], np.arange(len(self.words) + 1))
        self._stems: dict[str, list[int]] = {}
        self._exact = _groups(self._folded)

    def find(self, text: str, match: str) -> Int64[np.ndarray, " row"]:
        """The rows whose word matches.

        Raises:
            UsageError: `match` is none of `MATCHES`.
        """
        choice("match", match, MATCHES)
        wanted = fold(text)
        if match == "exact":
            numbers = self._exact.get(wanted, [])
        elif match == "substring":
            numbers = [number for number, word in enumerate(self._folded) if wanted in word]
        else:
            self._stems = self._stems or _groups([stem(word) for word in self._folded])
            numbers = self._stems.get(stem(wanted), [])
        parts = [self._rows[self._starts[n] : self._starts[n + 1]] for n in numbers]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


@functools.lru_cache(1 << 16)
def stem(phrase: str) -> str:
    """The phrase with every English word brought to its stem.

    >>> stem("striped"), stem("stripes")
    ('stripe', 'stripe')
    """
    import snowballstemmer

    return " ".join(snowballstemmer.stemmer("english").stemWords(phrase.split()))


def _groups(words: Sequence[str]) -> dict[str, list[int]]:
    """The places of each word."""
    found: dict[str, list[int]] = {}
    for place, word in enumerate(words):
        found.setdefault(word, []).append(place)
    return found
