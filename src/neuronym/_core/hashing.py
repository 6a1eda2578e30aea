"""Fingerprints: short hashes of content, so that a cache never mistakes one thing for another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

#: Part of every fingerprint: raise it when cached arrays change their meaning.
SCHEMA = 1


def of_bytes(*chunks: bytes | memoryview) -> str:
    """32 hexadecimal digits (BLAKE2b-128) over the chunks, each preceded by its length."""
    return _of_chunks(chunks)


def _of_chunks(chunks: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for chunk in chunks:
        view = memoryview(chunk).cast("B") if not isinstance(chunk, bytes) else chunk
        digest.update(len(view).to_bytes(8, "little"))
        digest.update(view)
    return digest.hexdigest()


def of_data(data: Any) -> str:
    """Fingerprint of anything JSON can hold; the order of dictionary keys does not matter."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return of_bytes(text.encode())


def of_array(array: np.ndarray) -> str:
    """Fingerprint of an array's dtype, shape and values."""
    head = json.dumps([array.dtype.str, list(array.shape)]).encode()
    return of_bytes(head, np.ascontiguousarray(array).tobytes())


def of_texts(texts: Iterable[str]) -> str:
    """Fingerprint of an ordered list of texts."""
    return _of_chunks(text.encode("utf-8", "surrogatepass") for text in texts)


def tie_order(hashes: Any, ids: Any) -> np.ndarray:
    """int64 `[image]`: the place of each image in the order of content hashes, then ids.

    Both may be lists of texts, or columns of pandas or Arrow.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = pa.table({"hash": hashes, "id": ids})
    order = pc.sort_indices(keys, sort_keys=[("hash", "ascending"), ("id", "ascending")])
    places = np.empty(len(order), np.int64)
    places[np.asarray(order)] = np.arange(len(order))
    return places
