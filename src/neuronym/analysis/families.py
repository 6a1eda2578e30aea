"""Families: words of one meaning, grouped before any neuron is looked at."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from neuronym._core.errors import MissingExtraError
from neuronym._core.words import fold, lemma
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.atlas.writer import AtlasWriter

STAGE, FILE = "families", "families.parquet"
TEXT_MODEL = "conse"  # its texts are those of all-MiniLM-L6-v2
NOTE = "Words are grouped by spelling alone: install neuronym[embedded] to group them by meaning."

#: Words are compared in this sentence: it says which sense is meant, the one that can be seen, and
#: moves opposites apart (red and blue: cosine .73 as bare words, .54 in the sentence).
SENTENCE = "a photo of {}"
#: Two words of one family: the cosine of their sentences with the leading word's, at least.
LEVEL = 0.75
#: Words that are compared at once.
_BLOCK = 2048


def group(
    vectors: Float[np.ndarray, "word dim"], words: Sequence[str], level: float = LEVEL
) -> Int64[np.ndarray, " word"]:
    """The leading word of every word's family; words that are like no other lead their own.

    Words are taken from the commonest in English to the rarest; one that is no neighbour of the
    leading words so far leads a family. Then every word joins the leading word that it is nearest
    to. The order of the list, and the images, play no part.

    Args:
        vectors: unit vectors of the words in `SENTENCE`.
        words: the words, all different.
        level: cosine from which two words are neighbours.

    Returns:
        The row of each word's leading word.
    """
    vectors = np.asarray(vectors, np.float32)
    near: list[np.ndarray] = []
    for low in range(0, len(words), _BLOCK):
        cosines = vectors[low : low + _BLOCK] @ vectors.T
        near += [np.flatnonzero(row >= level) for row in cosines]
    order = sorted(range(len(words)), key=lambda row: (-_frequency(words[row]), words[row]))
    taken, leading = np.zeros(len(words), bool), np.zeros(len(words), bool)
    for row in order:
        if not taken[row]:
            leading[row] = True
            taken[near[row]] = taken[row] = True
    rank = np.empty(len(words), np.int64)
    rank[order] = np.arange(len(words))
    found = np.arange(len(words))
    for row in np.flatnonzero(~leading).tolist():
        heads = near[row][leading[near[row]]]
        cosines = np.round(vectors[heads] @ vectors[row], 5)
        found[row] = heads[np.lexsort((rank[heads], -cosines))[0]]
    return found


def _frequency(word: str) -> float:
    from wordfreq import zipf_frequency

    return zipf_frequency(word, "en")


class Families:
    """Which words are of one family.

    Args:
        leading: word → the leading word of its family.
        about: how they were grouped, for people.
    """

    def __init__(self, leading: Mapping[str, str], about: Mapping[str, Any]) -> None:
        self._leading, self.about = leading, about
        self._spelled = {lemma(fold(word)): head for word, head in reversed([*leading.items()])}

    def of(self, word: str) -> str:
        """The leading word; a word that was not grouped is with those of its spelling, or alone."""
        key = lemma(fold(word))
        return self._leading.get(word) or self._spelled.get(key) or key

    def same(self, first: str | None, second: str | None) -> bool:
        """Whether two words are of one family; None is of none."""
        return first is not None and second is not None and self.of(first) == self.of(second)

    def together(self, words: Sequence[str], most: int = 3) -> list[str]:
        """The first of some words and, in their order, the others of its family, `most` in all."""
        return [word for word in words if self.same(words[0], word)][:most]

    @functools.cached_property
    def members(self) -> dict[str, list[str]]:
        """Leading word → the words of its family, in the order of the list."""
        found: dict[str, list[str]] = {}
        for word, head in self._leading.items():
            found.setdefault(head, []).append(word)
        return found


def families_of(atlas: Atlas) -> Families:
    """The families that were added to an atlas; without them words are grouped by spelling."""
    facts = atlas.manifest.more.get(STAGE)
    if facts is None or STAGE not in atlas.manifest.stages:
        return Families(_spelling(tuple(atlas.concepts["concept"])), {"by": "spelling"})
    frame = atlas.families
    return Families(dict(zip(frame["concept"], frame["family"], strict=True)), facts)


def add_families(context: LabelContext) -> Atlas:
    """Group the words of an atlas and keep the families in it, where that was not done before.

    Without the package of the text model, singular and plural alone make a family, and the atlas
    says so.
    """
    atlas = context.atlas
    if STAGE in atlas.manifest.stages:
        return atlas
    words = tuple(atlas.concepts["concept"])
    facts: dict[str, Any]
    try:
        encoder = context.sources.encoder(TEXT_MODEL)
    except MissingExtraError:
        leading = _spelling(words)
        facts = {"by": "spelling", "note": NOTE}
    else:
        vectors = context.sources.embed_words(words, (SENTENCE,), encoder)
        heads = group(vectors, words)
        leading = {word: words[head] for word, head in zip(words, heads, strict=True)}
        facts = {"by": "all-MiniLM-L6-v2", "sentence": SENTENCE, "level": LEVEL}
    sizes = Counter(leading.values())
    facts |= {"families": len(sizes), "median_size": float(np.median(list(sizes.values())))}
    with AtlasWriter.extend(atlas.folder) as writer:
        columns = {"concept": list(leading), "family": list(leading.values())}
        file = writer.table(FILE, "families", columns)
        writer.manifest.more[STAGE] = facts
        writer.finish(STAGE, [file])
    return open_atlas(atlas.folder)


def _spelling(words: Sequence[str]) -> dict[str, str]:
    """Word → the first word of the list with the same singular."""
    first: dict[str, str] = {}
    return {word: first.setdefault(lemma(fold(word)), word) for word in words}
