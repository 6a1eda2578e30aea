"""What the input of a network could be, by what it says and by its layers: offered, never taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from neuronym.inputs.preprocess.given import text_of
from neuronym.inputs.targets.base import forward_once

#: Usual heights and widths of inputs, tried in this order where the assumed one does not run.
SIZES = (32, 28, 64, 96, 224, 48, 84, 112, 128, 160, 192, 240, 256, 299, 320, 384, 448, 512)
# A network that keeps 1/8 of the height or more at its end was made for small images: networks
# for 224 pixels end at 1/32 or 1/16 of it.
_SMALL = 8
_ATTRIBUTES = ("image_size", "img_size", "input_size")


class Guess(NamedTuple):
    """A guess at a network's preprocessing, as settings to try, and what it is made from."""

    option: str
    why: str

    @property
    def words(self) -> str:
        """An offer for people."""
        blank = (
            " (with the mean and std of its training)" if "mean=0.5,std=0.5" in self.option else ""
        )
        return (
            f"{self.why}: try --preprocess {self.option}{blank}, in Python "
            f'preprocess="{self.option}".'
        )


def guess(target: Any) -> Guess | None:
    """What the preprocessing of a target could be, if anything hints at it.

    By the first of these: a `default_cfg` with an input size; sizes that the network states and
    runs on; the usual sizes, where the assumed one does not run; and how far its layers reduce the
    image.
    """
    stated = getattr(target.model, "default_cfg", None)
    if isinstance(stated, Mapping) and stated.get("input_size"):
        said = {"size": tuple(stated["input_size"][-2:])}
        said |= {name: tuple(stated[name]) for name in ("mean", "std") if stated.get(name)}
        return Guess(text_of(said), "Its default_cfg states them")
    count, size = target.preprocess.count, target.preprocess.size
    for place in (target.model, getattr(target.model, "config", None)):
        for name in _ATTRIBUTES:
            told = getattr(place, name, None)
            own = told[-1] if isinstance(told, list | tuple) and told else told
            if not isinstance(own, int) or own <= 0 or (own, own) == size:
                continue
            if _runs(target, count, (own, own)):
                return Guess(_option(own), f"Its {name} is {own}")
    if not _runs(target, count, size):
        for channels in dict.fromkeys((count, 1)):
            for side in SIZES:
                if (side, side) != size and _runs(target, channels, (side, side)):
                    kind = "" if channels == count else "grey "
                    return Guess(
                        _option(side, grey=channels != count),
                        f"It runs on {kind}images of {side} × {side} pixels",
                    )
        return None
    least = _smallest_map(target, count, size)
    if least is not None and least * _SMALL >= size[0] > 64:
        return Guess(
            _option(32),
            f"Its layers reduce {size[0]} pixels to no fewer than {least}, as those of networks "
            "for small images do",
        )
    return None


def _option(side: int, grey: bool = False) -> str:
    return f"size={side},{'channels=grey,' if grey else ''}mean=0.5,std=0.5"


def _runs(target: Any, count: int, size: tuple[int, int]) -> bool:
    try:
        forward_once(lambda batch: target.forward(target.model, batch), target.model, count, size)
    except Exception:
        return False
    return True


def _smallest_map(target: Any, count: int, size: tuple[int, int]) -> int | None:
    """The least height of what convolutions put out, of more than one position."""
    found: list[int] = []

    def look(module: nn.Module, inputs: object, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[-2] > 1:
            found.append(output.shape[-2])

    convolutions = [m for m in target.model.modules() if isinstance(m, nn.Conv2d)]
    handles = [m.register_forward_hook(look) for m in convolutions]
    try:
        _runs(target, count, size)
    finally:
        for handle in handles:
            handle.remove()
    return min(found, default=None)
