"""Where and how torch computes: devices, dtypes, and matrix products on the fast path."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from neuronym._core.checks import choice, misuse
from neuronym._core.errors import UsageError

DTYPES = ("float32", "bfloat16", "float16")
_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16"}


def product(left: Float[Tensor, "m dim"], right: Float[Tensor, "n dim"]) -> Float[Tensor, "m n"]:
    """left · rightᵀ in float32."""
    if left.device.type == "cpu" and onednn():
        return _by_onednn(left, right)
    return left @ right.T


@functools.cache
def onednn() -> bool:
    """Whether products go through oneDNN instead of torch's default library (MKL).

    oneDNN uses AVX-512 on processors of every maker, MKL on Intel's alone. The rule is fixed, not a
    race between the two: their results differ in the last bits.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    try:
        ones = torch.ones(2, 16)
        return bool((_by_onednn(ones, ones) == 16).all())
    except (AttributeError, RuntimeError):  # not part of this torch: the operator is not public
        return False


@contextmanager
def full_precision() -> Iterator[None]:
    """Products in float32 proper, also where the user has traded digits for speed in training."""
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # set by both of torch's interfaces at once, which it cannot read back
        before = "highest"
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)


def _by_onednn(left: Tensor, right: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")


def resolve_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, then Apple's MPS, then the CPU; other names are checked for presence."""
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
