"""Fingerprints: short hashes of content, so that a cache never mistakes one thing for another."""

from __future__ import annotations

import hashlib
import json
import re
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

    Two networks get the same fingerprint only if their module trees with the plain settings of
    every module, the source code of every module class from outside torch, and all parameters and
    buffers agree. What happens outside of modules (a function that a forward calls) is not seen.
    """
    import inspect

    import torch

    digest = hashlib.blake2b(digest_size=16)

    def add(text: str) -> None:
        digest.update(f"{len(text)}:{text}".encode("utf-8", "surrogatepass"))

    # Addresses of functions in a repr would differ in every process.
    add(re.sub(r" at 0x[0-9a-fA-F]+", "", repr(model)))
    for path, module in model.named_modules():
        plain = {k: v for k, v in vars(module).items() if k not in _STATE and _is_plain(v)}
        if plain:
            add(f"{path}: {sorted(plain.items())!r}")
    classes = {type(m) for m in model.modules()}
    for kind in sorted(classes, key=lambda c: (c.__module__, c.__qualname__)):
        add(f"{kind.__module__}.{kind.__qualname__}")
        if not kind.__module__.startswith("torch."):
            try:
                add(inspect.getsource(kind))
            except (OSError, TypeError):
                pass  # defined interactively: structure and weights still count
    tensors = dict(model.state_dict(keep_vars=False))
    tensors |= {f"buffer {name}": value for name, value in model.named_buffers()}
    for name, value in sorted(tensors.items()):
        if not isinstance(value, torch.Tensor):
            add(f"{name}={value!r}")
            continue
        add(f"{name}:{value.dtype}:{tuple(value.shape)}")
        data = value.detach().cpu().contiguous()
        if data.numel():
            digest.update(memoryview(data.reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


# What a module's attributes say about its state or history, not about what it computes.
_STATE = {"training", "_is_full_backward_hook", "_is_hf_initialized", "name_or_path"}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str)
