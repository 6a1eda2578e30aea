"""Fingerprints: short hashes of content, so that a cache can never mistake one thing for another."""

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
    return of_bytes(*(text.encode("utf-8", "surrogatepass") for text in texts))


def of_module(model: Any) -> str:
    """Fingerprint of a torch module: structure, source of its own classes, and weights' bytes.

    Two networks get the same fingerprint only if their module trees, the source code of every
    module class from outside torch, and all parameters and buffers agree.
    """
    import inspect

    import torch

    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(model).encode())
    for kind in sorted({type(m) for m in model.modules()}, key=lambda c: (c.__module__, c.__qualname__)):
        digest.update(f"{kind.__module__}.{kind.__qualname__}".encode())
        if not kind.__module__.startswith("torch."):
            try:
                digest.update(inspect.getsource(kind).encode())
            except (OSError, TypeError):
                pass  # defined interactively: structure and weights still count
    tensors = dict(model.state_dict(keep_vars=False))
    tensors |= {f"buffer {name}": value for name, value in model.named_buffers()}
    for name, value in sorted(tensors.items()):
        if not hasattr(value, "detach"):
            digest.update(f"{name}={value!r}".encode())
            continue
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
        data = value.detach().cpu().contiguous()
        digest.update(memoryview(data.reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()

