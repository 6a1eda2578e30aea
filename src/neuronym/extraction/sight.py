"""Where one cell of a map looks at the picture, and how far: measured, not derived.

The gradient of cells in the middle of a map with respect to the input, on noise, shows what they
look at: with convolutions a bump that is much narrower than the theoretical receptive field (Luo
et al., Understanding the Effective Receptive Field, NeurIPS 2016, arXiv 1701.04128), with attention
whatever the tokens attend to. Its squares are summed over units, channels and images. A cell's
*field* is as high and as wide as the middle `_SHARE` of them. Their centre need not lie in the
middle of the cell: a convolution of stride 2 that pads both sides alike looks half a pixel to the
left, and five of them after one another, as in a ResNet, half a cell. That is the layer's *shift*.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neuronym.extraction.names import Layers, eager
from neuronym.extraction.passes import LayerPlan
from neuronym.extraction.recording import run_target, tensor_of
from neuronym.inputs.targets.base import Target

#: Of the squared gradient along each axis, this share lies within the field.
_SHARE = 0.9
_IMAGES = 4
#: Shifts are rounded to this part of a cell, and none is smaller: so much is a matter of the noise.
_STEP = 0.25


@dataclass(frozen=True)
class Sight:
    """What a layer's cells look at, down and across, as fractions of the input.

    Attributes:
        field: height and width of what one cell sees; None: no gradient reaches the input.
        shift: how far below and right of the middle of the cell the middle of that lies.
    """

    field: tuple[float, float] | None = None
    shift: tuple[float, float] = (0.0, 0.0)


def sights_of(target: Target, layers: Sequence[LayerPlan]) -> dict[str, Sight]:
    """By layer what its cells look at; of layers without positions, and of networks that cannot be
    differentiated (exported, quantised), what `Sight()` says."""
    found = {layer.info.name: Sight() for layer in layers}
    layers = [layer for layer in layers if layer.grid not in (None, (1, 1))]
    parameters = list(target.model.parameters())
    device = parameters[0].device if parameters else torch.device("cpu")
    generator = torch.Generator().manual_seed(0)
    shape = (_IMAGES, target.preprocess.count, *target.preprocess.size)
    noise = torch.rand(shape, generator=generator).to(device).requires_grad_(True)
    outputs: dict[str, torch.Tensor] = {}
    try:
        with torch.enable_grad(), ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            stack.enter_context(eager())
            stack.enter_context(torch.random.fork_rng(devices=[]))
            for layer in layers:
                _keep(target, layer, outputs, stack)
            run_target(target, noise)
        for layer in layers:
            if layer.info.name in outputs:
                cells = _cells(layer)
                some = _at(outputs[layer.info.name], layer, cells)
                (gradient,) = torch.autograd.grad(some, noise, retain_graph=True)
                found[layer.info.name] = _sight(gradient, cells, layer)
    except Exception:  # whatever it is that cannot be differentiated, nothing depends on it
        pass
    return found


def _keep(
    target: Target, layer: LayerPlan, outputs: dict[str, torch.Tensor], stack: ExitStack
) -> None:
    layers, name, calls = Layers(target.model), layer.info.name, 0
    plain, wanted = layers.find(name) or (name, None)

    def hook(module: Any, inputs: object, output: object) -> None:
        nonlocal calls
        calls += 1
        found = tensor_of(output)
        if found is not None and wanted in (None, calls):
            outputs[name] = found.clone()  # an operation in place may follow

    stack.callback(layers[plain].register_forward_hook(hook).remove)


def _cells(layer: LayerPlan) -> list[tuple[int, int]]:
    """Of each image one cell around the middle of the map."""
    assert layer.grid is not None
    high, wide = layer.grid
    corners = [((high - down) // 2, (wide - across) // 2) for down in (0, 1) for across in (0, 1)]
    return [corners[k % 4] for k in range(_IMAGES)]


def _at(output: torch.Tensor, layer: LayerPlan, cells: list[tuple[int, int]]) -> torch.Tensor:
    """The sum over units and images at these cells, each unit with a sign of its own."""
    info = layer.info
    output = info.axes.arrange(output.float())
    assert info.grid is not None
    assert info.units is not None
    image, (y, x) = torch.arange(len(cells)), torch.tensor(cells).T
    if info.layout == "NCHW":
        some = output[image, :, y, x]
    elif info.layout == "NHWC":
        some = output[image, y, x]
    else:
        some = output[image, (info.prefix_tokens or 0) + y * info.grid[1] + x]
    signs = torch.randint(0, 2, (info.units,), generator=torch.Generator().manual_seed(0)) * 2 - 1
    return (some * signs.to(some)).sum()


def _sight(gradient: torch.Tensor, cells: list[tuple[int, int]], layer: LayerPlan) -> Sight:
    squares = gradient.double().square().sum(1).cpu().numpy()
    if not np.isfinite(squares).all() or squares.sum((1, 2)).min() == 0 or layer.grid is None:
        return Sight()
    field, shift = [], []
    for axis in (0, 1):
        along = squares.sum(2 - axis)
        share = along / along.sum(1, keepdims=True)
        places, count = (np.arange(share.shape[1]) + 0.5) / share.shape[1], layer.grid[axis]
        middle = np.array([(cell[axis] + 0.5) / count for cell in cells])
        off = float(np.mean((share * places).sum(1) - middle)) * count
        shift.append(round(off / _STEP) * _STEP / count if abs(off) >= _STEP else 0.0)
        ends = [
            np.array([np.interp(part, np.cumsum(one), places) for one in share])
            for part in ((1 - _SHARE) / 2, (1 + _SHARE) / 2)
        ]
        field.append(round(float(np.mean(ends[1] - ends[0])) + 1 / share.shape[1], 3))
    return Sight((field[0], field[1]), (shift[0], shift[1]))
