"""What a target is: the network under study, ready to run, with its preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from neuronym import _fingerprint
from neuronym._registry import Registry
from neuronym.preprocess import Preprocess

TARGETS = Registry("target", "targets")


def _call(model: torch.nn.Module, batch: torch.Tensor) -> Any:
    return model(batch)


@dataclass(frozen=True, eq=False)
class Target:
    """The network under study.

    Attributes:
        name: the full name that opens it again, or a description.
        model: in evaluation mode, on the CPU until a pass moves it.
        preprocess: from a decoded image to its input.
        class_names: what the units of the output layer stand for, if known.
        forward: runs the model on a float batch `[image, 3, height, width]`.
        pretrained: False when the weights are random.
    """

    name: str
    model: torch.nn.Module
    preprocess: Preprocess
    class_names: tuple[str, ...] | None = None
    forward: Callable[[torch.nn.Module, torch.Tensor], Any] = _call
    pretrained: bool = True

    @cached_property
    def fingerprint(self) -> str:
        """Of structure, own source code and the bytes of all weights; not of the name."""
        return _fingerprint.of_module(self.model)
