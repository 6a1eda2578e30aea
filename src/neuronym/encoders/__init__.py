"""Encoders: image–text models that put images and words into one space."""

from __future__ import annotations

import torch

from neuronym import _names
from neuronym._checks import misuse
from neuronym.devices import resolve_device
from neuronym.encoders import conse, hf, open_clip  # noqa: F401  (registered by being imported)
from neuronym.encoders.base import ENCODERS, Encoder
from neuronym.encoders.spread import cosine_spread, measured_sharpness
from neuronym.encoders.texts import embed_concepts

__all__ = [
    "ENCODERS",
    "Encoder",
    "cosine_spread",
    "embed_concepts",
    "measured_sharpness",
    "open_encoder",
]


def open_encoder(spec: str | Encoder, *, device: torch.device | str = "cpu") -> Encoder:
    """Open an encoder by its name, ready to encode.

    Args:
        spec: a name such as `clip`, `open-clip:ViT-B-16/openai`, `hf:PATH` or `conse`; an
            `Encoder` is only moved.
        device: where its networks shall run; `auto` takes a GPU if there is one.

    Raises:
        UsageError: the name, a parameter or a file is wrong.
        NeuronymError: it cannot be loaded: no network, a missing package, damaged files.
    """
    where = resolve_device(str(device))
    if isinstance(spec, Encoder):
        return spec.to(where)
    if not isinstance(spec, str) or not spec.strip():
        raise misuse("encoder", "a name such as 'clip' or 'conse', or an Encoder", spec)
    name = _names.parse(ENCODERS.expand(spec.strip()), "encoder")
    return ENCODERS[name.kind].make(name).to(where)
