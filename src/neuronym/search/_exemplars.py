"""What stands beside the units' highest images: annotations, and names of files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from neuronym.search._words import WordIndex
from neuronym.search.relations import Units

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas


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


def parts_of(path: str) -> list[str]:
    """The folders and the file name of an image id, without its ending.

    >>> parts_of("dtd/striped_0001.jpg")
    ['dtd', 'striped_0001']
    """
    *folders, name = path.split("/")
    stem, dot, ending = name.rpartition(".")
    return [part for part in (*folders, stem if dot and len(ending) <= 5 else name) if part]
