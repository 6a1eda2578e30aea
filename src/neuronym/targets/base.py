"""What a target is: the network under study, ready to run, with its preprocessing."""

from __future__ import annotations

import sys
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
        model: set to evaluation mode; on the CPU until a pass moves it.
        preprocess: from a decoded image to its input.
        class_names: what the units of the output layer stand for, if known.
        forward: runs the model on a float batch `[image, 3, height, width]`.
        pretrained: False when the weights are random.
        maker: the user's function that made it: its files count in the fingerprint.
    """

    name: str
    model: torch.nn.Module
    preprocess: Preprocess
    class_names: tuple[str, ...] | None = None
    forward: Callable[[torch.nn.Module, torch.Tensor], Any] = _call
    pretrained: bool = True
    maker: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        self.model.eval()

    @cached_property
    def fingerprint(self) -> str:
        """Of structure, source code, `forward` and the bytes of all weights; not of the name."""
        return _fingerprint.of_module(self.model, self.forward, self._makers_file())

    def _makers_file(self) -> Any:
        # The module, and not the function: two functions may make the same network.
        return None if self.maker is None else sys.modules.get(self.maker.__module__)
