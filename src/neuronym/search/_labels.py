"""The labels of a method by row, and parts of what a search finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64

from neuronym.search._words import WordIndex
from neuronym.search.relations import Relations

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas


_ROUNDING = 1e-5  # by which scores differ that were computed in another order


@dataclass(frozen=True, eq=False)
class Part:
    """Units found in one place, each once; see `Hits.units`."""

    found: str
    units: np.ndarray
    ranks: np.ndarray
    concepts: np.ndarray
    scores: np.ndarray
    matched: np.ndarray
    images: np.ndarray | int = 0

    def __len__(self) -> int:
        return len(self.units)

    def only(self, keep: np.ndarray) -> Part:
        """Some of the units."""
        arrays = (self.units, self.ranks, self.concepts, self.scores, self.matched)
        return Part(self.found, *(array[keep] for array in arrays))


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
        return (np.where(there, self.words[rows], None), np.where(there, self.score[rows], np.nan))

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
