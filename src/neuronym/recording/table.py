"""Which layers a network has, and of what shape and layout their outputs are."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from neuronym import pooling
from neuronym._checks import Verbatim, misuse
from neuronym._errors import NeuronymError
from neuronym.recording.outputs import tensor_of

# Two, so that an output whose first dimension is not the images gives itself away.
_IMAGES = 2


@dataclass(frozen=True)
class LayerInfo:
    """One module of a network and what it puts out.

    Attributes:
        name: dotted.
        type: its class.
        shape: of its output, without the image dimension; None: it does not run, or gives none.
        units: how many neurons it has, or None.
        layout: NCHW, NHWC, tokens, vector, or other (which cannot be pooled).
        calls: how often it runs in one pass.
        depth: how many dots its name has.
        params: how many parameters it and its children have.
        prefix_tokens: class and register tokens before the patches; None: unknown.
        note: what is uncertain about it, or "".
    """

    name: str
    type: str
    shape: tuple[int, ...] | None
    units: int | None
    layout: str
    calls: int
    depth: int
    params: int
    prefix_tokens: int | None = None
    note: str = ""

    @property
    def grid(self) -> tuple[int, int] | None:
        """Height and width of the map, or None where there is none."""
        if self.shape is None:
            return None
        if self.layout == "NCHW":
            return (self.shape[1], self.shape[2])
        if self.layout == "NHWC":
            return (self.shape[0], self.shape[1])
        if self.layout == "tokens":
            patches = self.shape[0] - (self.prefix_tokens or 0)
            side = math.isqrt(max(patches, 0))
            return (side, side) if side and side * side == patches else None
        return None


def describe_layers(target: Any, layout: str | None = None) -> list[LayerInfo]:
    """Every module of a target in order, with its output as seen in a pass over two noise images.

    Args:
        target: the network under study.
        layout: NCHW or NHWC, where the guess for four-dimensional outputs would be wrong.

    Raises:
        NeuronymError: the network cannot run on images of its preprocessing's size.
    """
    model, size = target.model, target.preprocess.size
    shapes, calls = _shapes(target, size)
    changed: dict[str, tuple[int, ...] | None] = {}
    modules = [(name, module) for name, module in model.named_modules() if name]
    if layout is None and any(_unsure(module, shapes.get(name)) for name, module in modules):
        with contextlib.suppress(NeuronymError):  # many networks take one size only
            changed, _ = _shapes(target, (size[0] + 64, size[1] + 64))
    prefix = pooling.prefix_tokens_of(model)
    return [
        _describe(name, module, shapes.get(name), changed.get(name), calls[name], prefix, layout)
        for name, module in modules
    ]


def _unsure(module: nn.Module, shape: tuple[int, ...] | None) -> bool:
    return shape is not None and len(shape) == 4 and bool(pooling.layout_of(module, shape[1:]).note)


def _describe(
    name: str,
    module: nn.Module,
    shape: Sequence[int] | None,
    other: Sequence[int] | None,
    calls: int,
    prefix: int | None,
    layout: str | None,
) -> LayerInfo:
    params = sum(p.numel() for p in module.parameters())
    common = (calls, name.count("."), params)
    kind = type(module).__name__
    if shape is None:
        note = "gives no tensor" if calls else "does not run"
        return LayerInfo(name, kind, None, None, "other", *common, note=note)
    own = tuple(shape[1:])
    if not shape or shape[0] != _IMAGES:
        note = "its first dimension is not the images"
        return LayerInfo(name, kind, own, None, "other", *common, note=note)
    guess = pooling.layout_of(module, own, None if other is None else other[1:])
    if layout is not None and guess.layout in ("NCHW", "NHWC"):
        guess = pooling.Guess("NHWC" if layout.upper() == "NHWC" else "NCHW")
    units = {"NCHW": own[0] if own else None, "other": None}.get(
        guess.layout, own[-1] if own else None
    )
    tokens = pooling.prefix_tokens_at(own[0], prefix) if guess.layout == "tokens" else None
    return LayerInfo(name, kind, own, units, guess.layout, *common, tokens, guess.note)


def _shapes(
    target: Any, size: tuple[int, int]
) -> tuple[dict[str, tuple[int, ...] | None], dict[str, int]]:
    """Output shapes and numbers of calls of all modules in one pass."""
    model = target.model
    names = [name for name, _ in model.named_modules() if name]
    shapes: dict[str, tuple[int, ...] | None] = {}
    calls = dict.fromkeys(names, 0)
    handles = []

    def hook(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: object, output: object) -> None:
            found = tensor_of(output)
            shapes[name] = None if found is None else tuple(found.shape)
            calls[name] += 1

        return keep

    some = next(model.parameters(), torch.empty(0))
    noise = torch.rand((_IMAGES, 3, *size), generator=torch.Generator().manual_seed(0)).to(
        some.device
    )
    try:
        for name in names:
            handles.append(model.get_submodule(name).register_forward_hook(hook(name)))
        with torch.no_grad():
            target.forward(model, noise)
    except Exception as error:
        what = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NeuronymError(
            f"{target.name} does not run on images of {size[0]} × {size[1]} pixels: "
            f"{what.rstrip('.')}. "
            "Give the preprocessing that it was trained with."
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return shapes, calls


def output_layer(target: Any, layers: Sequence[LayerInfo] | None = None) -> str:
    """The last layer with one number per image and unit: the class neurons of a classifier.

    Where the class names are known, the last one with as many units as there are names.

    Args:
        target: the network under study.
        layers: what `describe_layers` gave, if it is at hand.

    Raises:
        UsageError: no layer puts out plain vectors.
    """
    found = [layer for layer in layers or describe_layers(target) if layer.layout == "vector"]
    if not found:
        raise misuse(
            "layers", "given, because no layer puts out plain vectors", Verbatim("none"),
            f"List them with `neuronym layers {target.name}`.",
        )  # fmt: skip
    classes = len(target.class_names or ())
    return ([layer for layer in found if layer.units == classes] or found)[-1].name
