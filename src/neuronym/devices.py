"""Where and how precisely networks run."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from neuronym._checks import choice, misuse
from neuronym._errors import UsageError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16"}


def resolve_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, then Apple's MPS, then the CPU; other names are checked for presence."""
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise misuse("device", "auto, cpu, cuda, cuda:N or mps", name) from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise misuse("device", "auto, cpu, cuda, cuda:N or mps", name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"Expected `device` to exist, got {name!r}, but torch sees no CUDA device."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UsageError(
            f"Expected `device` to exist, got {name!r}, but there are {count} of them."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"Expected `device` to exist, got {name!r}, but torch sees no MPS device.")
    return device


def resolve_dtype(name: str) -> str:
    """The full name of a dtype: `bf16` → `bfloat16`."""
    return choice("dtype", _SHORT.get(name, name), DTYPES)


def precision(device: torch.device, dtype: str) -> AbstractContextManager:
    """The context in which a network runs: autocast for half precision, nothing for float32.

    Weights keep requiring gradients and the context is `no_grad`, not `inference_mode`: autocast
    keeps its converted weights only then, and is several times slower without.
    """
    import torch

    if dtype == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, dtype))
