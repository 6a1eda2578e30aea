"""Embeddings of words: every word is kept in the cache by itself, and only new ones are made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch

from neuronym._core import hashing
from neuronym._core.errors import NeuronymError
from neuronym._core.progress import Progress, silent
from neuronym.extraction.cache import Cache, CacheEntry
from neuronym.extraction.precision import arithmetic, precision
from neuronym.inputs.concepts.base import ConceptSet
from neuronym.inputs.encoders.base import Encoder, embed_concepts

#: On another device `precision` changes nothing in float32.
_CPU = torch.device("cpu")
_KEY = 16  # bytes that stand for a word in its templates
_BLOCK = 2048  # words that are embedded before they are kept


def concept_embeddings(
    encoder: Encoder,
    concepts: ConceptSet,
    cache: Cache,
    progress: Progress = silent,
    *,
    keep: bool = True,
) -> np.ndarray:
    """Unit vectors float32 `[concept, dim]`; words that the cache has are not embedded again.

    Args:
        encoder: gives the vectors of words that are not there.
        concepts: words and templates.
        cache: where to look.
        progress: told the number of texts that are embedded.
        keep: write new ones to the cache, if it can be written to.
    """
    found, lacking = cached(encoder, concepts, cache)
    if not len(lacking):
        return found
    entry = cache.entry("texts", _about(encoder))
    with progress("embedding concepts", len(lacking) * len(concepts.templates)) as tick:
        for low in range(0, len(lacking), _BLOCK):  # what is finished is kept, whatever comes
            places = lacking[low : low + _BLOCK]
            words = [concepts.words[place] for place in places]
            with precision(_CPU, "float32"):
                found[places] = embed_concepts(encoder, words, concepts.templates)
            tick.advance(len(words) * len(concepts.templates))
            if keep:
                names = _names(words, concepts.templates)
                new = {"words": np.frombuffer(b"".join(names), np.uint8).reshape(-1, _KEY)}
                with suppress(NeuronymError):  # they are there, and soon made again
                    entry.write(hashing.of_bytes(*names), {**new, "values": found[places]}, {})
    return found


def cached(encoder: Encoder, concepts: ConceptSet, cache: Cache) -> tuple[np.ndarray, np.ndarray]:
    """What the cache knows of the words.

    Returns:
        Vectors float32 `[concept, dim]`, and the numbers of the words whose rows are still empty.
    """
    # 0.1.0 kept whole lists, under the list's name.
    whole = cache.entry("texts", _about(encoder) | {"concepts": concepts.name})
    if (known := whole.read(concepts.fingerprint)) is not None:
        return np.array(known[0]["values"]), np.empty(0, np.int64)
    found = np.zeros((len(concepts), encoder.dim), np.float32)
    entry, lacking = cache.entry("texts", _about(encoder)), np.ones(len(concepts), bool)
    _fill(found, lacking, _names(concepts.words, concepts.templates), entry)
    return found, np.flatnonzero(lacking)


def _fill(found: np.ndarray, lacking: np.ndarray, names: list[bytes], entry: CacheEntry) -> None:
    """Copy the vectors of words that some shard has, until none is lacking."""
    places: dict[bytes, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    for key in entry.shards():
        shard = entry.read(key) if lacking.any() else None
        if shard is None or "words" not in shard[0]:
            continue
        there, values = shard[0]["words"].tobytes(), shard[0]["values"]
        for row in range(len(values)):
            own = places.get(there[row * _KEY : (row + 1) * _KEY], [])
            found[own], lacking[own] = values[row], False


def _names(words: Sequence[str], templates: Sequence[str]) -> list[bytes]:
    """What stands for each word in these templates."""
    return [bytes.fromhex(hashing.of_texts([word, *templates])) for word in words]


def _about(encoder: Encoder) -> dict[str, str]:
    return {
        "encoder": encoder.name,
        "weights": encoder.fingerprint,
        "arithmetic": arithmetic(_CPU, "float32", 0),
    }
