"""Words looked up in the labels of units, and beside their highest images."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

from neuronym._core.checks import choice
from neuronym._core.words import fold
from neuronym.search.relations import Relations, Units

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas


#: Ways in which a text finds a word.
TEXT_MATCHES = ("exact", "substring", "stem")
_ROUNDING = 1e-5  # by which scores differ that were computed in another order


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
            UsageError: `match` is none of `TEXT_MATCHES`.
        """
        choice("match", match, TEXT_MATCHES)
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


@dataclass(frozen=True, eq=False)
class Labels:
    """The table of labels as arrays `[row]`."""

    index: WordIndex
    words: np.ndarray
    unit: Int64[np.ndarray, " row"]
    rank: Int64[np.ndarray, " row"]
    score: np.ndarray
    first: Int64[np.ndarray, " unit"]  # the row of each unit's first label, or −1
    abstains: Bool[np.ndarray, " unit"]  # has labels that do not beat chance

    @classmethod
    def of(cls, atlas: Atlas, method: str, relations: Relations) -> Labels:
        frame = atlas.labels(method=method)
        frame = frame[frame["concept"].notna()]
        words, unit = frame["concept"].to_numpy(object), relations.units.numbers(frame)
        rank = frame["rank"].to_numpy(np.int64)
        first = np.full(len(relations.units), -1, np.int64)
        first[unit[rank == 1]] = np.flatnonzero(rank == 1)
        abstains = np.zeros(len(first), bool)
        abstains[unit] = frame["abstained"].to_numpy(bool)
        score = frame["score"].to_numpy()
        return cls(WordIndex(words), words, unit, rank, score, first, abstains)

    def of_first(self, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first label of each unit and its score; None and NaN where it abstains."""
        rows = self.first[units]
        there = (rows >= 0) & ~self.abstains[units]
        if not there.any():
            return np.full(len(units), None, object), np.full(len(units), np.nan)
        words = np.where(there, self.words[rows], cast(Any, None))
        return words, np.where(there, self.score[rows], np.nan)

    def rank_of(
        self, word: str, units: np.ndarray, scores: np.ndarray
    ) -> Float64[np.ndarray, " unit"]:
        """Which rank a word with these scores has among each unit's kept labels; NaN: below all."""
        new = np.full(len(self.first), np.nan)
        new[units] = scores
        higher = self.unit[self.score > new[self.unit] + _ROUNDING]
        above, kept = (np.bincount(u, minlength=len(new)) for u in (higher, self.unit))
        ranks = np.where(above < kept, above + 1.0, np.nan)
        own = self.words == word
        ranks[self.unit[own]] = self.rank[own]  # it is one of them
        return ranks[units]


@dataclass(frozen=True, eq=False)
class Seen:
    """Units among whose highest images some match.

    Attributes:
        units: their numbers.
        ranks: of the highest image that matches.
        words: the annotation or part of a path by which it does.
        counts: how many images match.
    """

    units: Int64[np.ndarray, " hit"]
    ranks: Int64[np.ndarray, " hit"]
    words: np.ndarray
    counts: Int64[np.ndarray, " hit"]


class ExemplarIndex:
    """The exemplars of an atlas, indexed by the annotations and paths of their images.

    Args:
        atlas: any.
        units: of the atlas.
        depth: exemplars of each unit that are looked at.
    """

    def __init__(self, atlas: Atlas, units: Units, depth: int) -> None:
        images = atlas.images
        row_of = {image_id: row for row, image_id in enumerate(images["image_id"])}
        frame = atlas.exemplars()
        frame = frame[frame["rank"] <= depth].sort_values("rank", kind="stable")
        self._unit, self._rank = units.numbers(frame), frame["rank"].to_numpy(np.int64)
        self._image = frame["image_id"].map(row_of).to_numpy(np.int64)
        words, rows = [], []
        for row, (image_id, marks) in enumerate(
            zip(images["image_id"], images["annotations"], strict=True)
        ):
            names = sorted({mark["name"] for mark in marks}) if marks is not None else []
            for text in (*names, *parts_of(image_id)):
                words.append(text)
                rows.append(row)
        self._words, self._rows = WordIndex(words), np.array(rows, np.int64)
        self._images = len(images)

    def find(self, text: str, match: str) -> Seen:
        """The units with such images."""
        rows = np.sort(self._words.find(text, match))[::-1]
        named = np.full(self._images, -1, np.int64)
        named[self._rows[rows]] = self._words.codes[rows]  # the first of an image's words stays
        there = np.flatnonzero(named[self._image] >= 0)
        units, first, counts = np.unique(self._unit[there], return_index=True, return_counts=True)
        best = there[first]  # rows are sorted by rank
        words = np.array(self._words.words, object)[named[self._image[best]]]
        return Seen(units, self._rank[best], words, counts)


@functools.lru_cache(1 << 16)
def stem(phrase: str) -> str:
    """The phrase with every English word brought to its stem.

    >>> stem("striped"), stem("stripes")
    ('stripe', 'stripe')
    """
    import snowballstemmer

    return " ".join(snowballstemmer.stemmer("english").stemWords(phrase.split()))


def parts_of(path: str) -> list[str]:
    """The folders and the file name of an image id, without its ending.

    >>> parts_of("dtd/striped_0001.jpg")
    ['dtd', 'striped_0001']
    """
    *folders, name = path.split("/")
    stem, dot, ending = name.rpartition(".")
    return [part for part in (*folders, stem if dot and len(ending) <= 5 else name) if part]


def _groups(words: Sequence[str]) -> dict[str, list[int]]:
    """The places of each word."""
    found: dict[str, list[int]] = {}
    for place, word in enumerate(words):
        found.setdefault(word, []).append(place)
    return found
