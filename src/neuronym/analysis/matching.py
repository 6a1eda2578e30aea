"""When two labels are the same: exactly, as singular and plural, or as synonyms."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64

from neuronym._core.checks import choice, real
from neuronym._core.errors import NeuronymError
from neuronym._core.words import fold, lemma
from neuronym.atlas.reader import Atlas

#: Ways to match; each accepts what the one before it accepts.
MATCHES = ("exact", "lemma", "synonyms")
RARE = 10_000  # without a threshold, one in so many pairs of words counts as synonyms
_SAMPLE = 3000  # words among which such pairs are counted
_UNITS = 1024  # compared at once

#: Words → unit vectors `[word, dim]`, for example `Sources(atlas).embed_words`.
Embed = Callable[[Sequence[str]], np.ndarray]


class Vocabulary:
    """Numbered words, of which it says which are the same.

    `exact`: the same but for case, underscores and spaces (`fold`). `lemma`: also as singular and
    plural (`words.lemma`). `synonyms`: also where the cosine of their text embeddings reaches
    the threshold.

    Args:
        words: all words that are to be compared.
        rows: word → row of its embedding. Words without one are synonyms of nothing.
        vectors: unit vectors `[row, dim]`.
        threshold: see above.
    """

    def __init__(
        self,
        words: Iterable[str],
        rows: dict[str, int] | None = None,
        vectors: np.ndarray | None = None,
        threshold: float = 1.0,
    ) -> None:
        self.words = list(dict.fromkeys(words))
        self.number = {word: place for place, word in enumerate(self.words)}
        self.threshold = threshold
        known = rows or {}
        self.unembedded = tuple(word for word in self.words if word not in known)
        folded = [fold(word) for word in self.words]
        self._keys = {"exact": _numbers(folded), "lemma": _numbers(map(lemma, folded))}
        self._row = np.array([*(known.get(word, -1) for word in self.words), -1])
        self._vectors = np.zeros((0, 1)) if vectors is None else vectors

    def numbers(self, words: Iterable[str | None]) -> Int64[np.ndarray, " word"]:
        """The number of each word; −1 for None."""
        return np.array([-1 if word is None else self.number[word] for word in words], np.int64)

    def same(self, a: str, b: str, how: str = "exact") -> bool:
        """Whether two words are the same."""
        left, right = self.numbers([a])[:, None], self.numbers([b])[:, None]
        return bool(self.pairs(left, right, how)[0, 0, 0])

    def pairs(
        self, a: Int64[np.ndarray, "unit n"], b: Int64[np.ndarray, "unit m"], how: str = "exact"
    ) -> Bool[np.ndarray, "unit n m"]:
        """Per unit which of a's words are the same as which of b's.

        Args:
            a, b: numbers of words; −1 for none, which is the same as nothing.
            how: one of `MATCHES`.
        """
        key = self._keys["exact" if choice("match", how, MATCHES) == "exact" else "lemma"]
        there = (a >= 0)[:, :, None] & (b >= 0)[:, None]
        same = there & (key[a][:, :, None] == key[b][:, None])
        if how != "synonyms" or not same.size:
            return same
        left, right = self._row[a], self._row[b]
        for low in range(0, len(a) if len(self._vectors) else 0, _UNITS):
            some = slice(low, low + _UNITS)
            cosines = self._vectors[left[some]] @ self._vectors[right[some]].transpose(0, 2, 1)
            both = (left[some] >= 0)[:, :, None] & (right[some] >= 0)[:, None] & there[some]
            same[some] |= both & (cosines >= self.threshold - 1e-6)  # float32 cosines
        return same


def _numbers(keys: Iterable[str]) -> Int64[np.ndarray, " word_and_none"]:
    """Equal keys have equal numbers. One place more, for −1."""
    known: dict[str, int] = {}
    return np.array([*(known.setdefault(key, len(known)) for key in keys), -1])


def vocabulary(
    atlas: Atlas, words: Iterable[str], synonyms: float | None = None, embed: Embed | None = None
) -> Vocabulary:
    """A vocabulary with the text embeddings of an atlas.

    Args:
        atlas: whose concepts have embeddings. One without any (imported labels): all words are
            embedded by `embed`.
        words: to be compared; they need not be concepts of the atlas.
        synonyms: the cosine from which on two words are synonyms. None: that which 1 in 10,000
            pairs of concepts reach, because how alike texts are depends on the encoder.
        embed: for words that are no concepts of the atlas. None, or where it raises NeuronymError
            (an encoder is not at hand): such words have no synonyms.
    """
    words = list(dict.fromkeys(words))
    rows, vectors = _concepts(atlas)
    if embed is not None and words and not rows:
        with contextlib.suppress(NeuronymError):
            vectors = np.asarray(embed(words), np.float32)
            rows = {word: row for row, word in enumerate(words)}
    threshold = rare_cosine(vectors) if synonyms is None else real("synonyms", synonyms, -1, 1)
    folded = {fold(word): row for word, row in reversed(rows.items())}
    found = {word: rows.get(word, folded.get(fold(word))) for word in words}
    known = {word: row for word, row in found.items() if row is not None}
    strange = [word for word in words if word not in known]
    if embed is not None and strange and len(vectors):
        with contextlib.suppress(NeuronymError):
            new = np.asarray(embed(strange), np.float32)
            known |= {word: len(vectors) + place for place, word in enumerate(strange)}
            vectors = np.concatenate([vectors, new])
    return Vocabulary(words, known, vectors, threshold)


def _concepts(atlas: Atlas) -> tuple[dict[str, int], np.ndarray]:
    """The row of each concept, and the embeddings; empty for an atlas without."""
    if not (atlas.folder / "arrays/embeddings.safetensors").exists():
        return {}, np.zeros((0, 1), np.float32)
    concepts = atlas.concepts["concept"]
    return {word: row for row, word in enumerate(concepts)}, np.asarray(
        atlas.embeddings()["concepts"]
    )


def rare_cosine(vectors: Float[np.ndarray, "word dim"]) -> float:
    """The cosine that one in `RARE` pairs of words reach; 1 for too few words to tell."""
    some = vectors[
        np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE)).astype(int))
    ]
    cosines = (some @ some.T)[np.triu_indices(len(some), 1)]
    count = len(cosines) // RARE
    return float(min(np.partition(cosines, -count)[-count], 1)) if count else 1.0


def threshold_text(found: Vocabulary, chosen: bool) -> str:
    """What counted as synonyms, in a sentence or two.

    Args:
        found: the words that were compared.
        chosen: whether the threshold follows from the words, not from the caller.
    """
    if len(found.unembedded) == len(found.words):
        return "No synonyms were looked for: there are no text embeddings of the labels."
    how = f", which 1 in {RARE:,} pairs of concepts reach" if chosen else ""
    if chosen and found.threshold >= 1:
        how = ": too few concepts to tell which cosines are rare"
    text = f"Synonyms: cosine of text embeddings of {found.threshold:.2f} or more{how}."
    if found.unembedded:
        text += (
            f" {len(found.unembedded):,} labels, such as {found.unembedded[0]!r}, are no concepts "
            "of the atlas and were compared without synonyms."
        )
    return text
