"""The tensor in whatever a module returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def tensor_of(output: object) -> Tensor | None:
    """The first tensor in a module's output: of mappings logits, then last_hidden_state, first."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        first = [output[k] for k in ("logits", "last_hidden_state") if k in output]
        parts: Iterable[object] = [*first, *output.values()]
    elif isinstance(output, list | tuple):
        parts = output
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        return tensor_of({f.name: getattr(output, f.name) for f in dataclasses.fields(output)})
    else:
        return None
    return next((found for part in parts if (found := tensor_of(part)) is not None), None)


def in_precision_of(model: nn.Module, batch: Tensor) -> Tensor:
    """The batch in the floating-point type of the model's first parameter that has one."""
    known = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    kinds = (p.dtype for p in model.parameters() if p.dtype in known)
    return batch.to(next(kinds, batch.dtype))
