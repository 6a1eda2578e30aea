"""Words that are one to the encoder, words that it cuts, and words of which it knows nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from neuronym._core.errors import NeuronymError
from neuronym._core.terminal import counted
from neuronym.inputs.concepts.base import ConceptSet
from neuronym.inputs.encoders.base import Encoder

#: Unit vectors no further apart than this are one: rounding moves them by a tenth of it.
TOLERANCE = 1e-5
#: Lists of fewer words, and probes of fewer images, are too small to trust a label without a look.
FEW_WORDS, FEW_IMAGES = 50, 100
_NAMED = 3  # groups and words that are named


@dataclass(frozen=True)
class WordGroups:
    """What the encoder makes of a list of words.

    Attributes:
        same_as: for every word the first one of the same embedding; None for that one itself.
        cut: whether the encoder reads only the beginning of the word in some template.
        unknown: whether nothing in the word is a token that the encoder knows.
    """

    same_as: tuple[str | None, ...]
    cut: tuple[bool, ...]
    unknown: tuple[bool, ...]

    def notes(self, words: Sequence[str], encoder: Encoder) -> list[str]:
        """What has to be said of them, in sentences."""
        found = []
        groups: dict[str, list[str]] = {}
        for word, first in zip(words, self.same_as, strict=True):
            if first is not None:
                groups.setdefault(first, [first]).append(word)
        if groups:
            same = [" = ".join(_few(group, _NAMED + 1)) for group in groups.values()]
            count = sum(map(len, groups.values()))
            found.append(
                f"{counted(count, 'word')} of {len(words):,} are one with others to the encoder "
                f"{encoder.name}, in {counted(len(groups), 'group')}: "
                f"{'; '.join(_few(same, _NAMED))}. A group counts once, under its first word "
                "(column same_as of concepts.parquet)."
            )
        if any(self.cut):
            long = [_beginning(w) for w, cut in zip(words, self.cut, strict=True) if cut]
            what = "word or phrase is" if len(long) == 1 else "words or phrases are"
            found.append(
                f"{len(long):,} {what} cut at {encoder.max_tokens} tokens, the most that "
                f"{encoder.name} reads: {'; '.join(_few(long, _NAMED))}."
            )
        if any(self.unknown):
            strange = [word for word, new in zip(words, self.unknown, strict=True) if new]
            what = "word holds" if len(strange) == 1 else "words hold"
            found.append(
                f"{len(strange):,} {what} no token that {encoder.name} knows: "
                f"{', '.join(_few(strange, _NAMED))}. As labels they mean nothing."
            )
        return [note.replace("….", "…") for note in found]


def find_word_groups(
    concepts: ConceptSet, vectors: Float[np.ndarray, "word dim"], encoder: Encoder
) -> tuple[WordGroups, Float[np.ndarray, "word dim"]]:
    """Which words an encoder cannot tell apart, or not read as they are.

    Returns:
        The groups, and the embeddings in which those of one group are equal to the last bit.

    Raises:
        NeuronymError: all words are one to the encoder.
    """
    first = same_rows(vectors)
    words = concepts.words
    if not first.any():
        raise NeuronymError(
            f"All {len(words)} words have one embedding under {encoder.name}, {words[0]!r} as well "
            f"as {words[1]!r}, so nothing tells one label from another. Use an encoder that knows "
            "them, or words that this one knows."
        )
    same = tuple(words[f] if f != row else None for row, f in enumerate(first.tolist()))
    read = encoder.read_texts(words)
    unknown = (False,) * len(words) if read is None else read.unknown
    grouped = any(one is not None for one in same)
    return WordGroups(same, _cut(concepts, encoder), unknown), vectors[
        first
    ] if grouped else vectors


def same_rows(
    vectors: Float[np.ndarray, "row dim"], tolerance: float = TOLERANCE
) -> Int64[np.ndarray, " row"]:
    """For every row the first that lies within a distance of it; for most, the row itself.

    Rows that are alike are alike along any direction: only neighbours along one are compared.
    """
    dim = vectors.shape[1]
    direction = np.random.default_rng(0).normal(size=(dim,))
    direction /= np.linalg.norm(direction)
    along = np.concatenate(
        [
            vectors[low : low + 4096].astype(np.float64) @ direction
            for low in range(0, len(vectors), 4096)
        ]
    )
    order = np.argsort(along, kind="stable")
    near = np.diff(along[order]) <= tolerance
    open_, of = list[int](), np.arange(len(vectors))
    for row, follows, leads in zip(order.tolist(), [False, *near], [*near, False], strict=True):
        if not follows:
            open_ = []
        if not follows and not leads:
            continue
        open_ = [other for other in open_ if along[row] - along[other] <= tolerance]
        for other in open_:
            if np.linalg.norm(vectors[row].astype(np.float64) - vectors[other]) <= tolerance:
                of[row] = other
                break
        else:
            open_.append(row)
    first = np.arange(len(vectors))
    np.minimum.at(first, of, np.arange(len(vectors)))
    return first[of]


def _cut(concepts: ConceptSet, encoder: Encoder) -> tuple[bool, ...]:
    most, found = encoder.max_tokens, [False] * len(concepts)
    if most is None:
        return tuple(found)
    for template in concepts.templates:
        prompts = concepts.prompts(template)
        # No tokenizer makes more tokens than bytes, and most words are short.
        long = [row for row, text in enumerate(prompts) if _bytes(text) + 2 > most]
        read = encoder.read_texts([prompts[row] for row in long]) if long else None
        for row, length in zip(long, read.lengths if read else (), strict=bool(read)):
            found[row] |= length > most
    return tuple(found)


def _bytes(text: str) -> int:
    return len(unicodedata.normalize("NFKD", text).encode("utf-8", "surrogatepass"))


def _few(things: Sequence[str], count: int) -> list[str]:
    return [*things[:count], *(["…"] if len(things) > count else [])]


def _beginning(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
