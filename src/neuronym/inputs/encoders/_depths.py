"""What EfficientNet-Lite2 sees at several depths, as one row of numbers per image."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

#: Blocks whose channels are summed up by mean and standard deviation over places.
BLOCKS = (3, 6, 10, 14, 18, 20)
#: Side at which the network sees an image without fine detail, in pixels.
SHRUNK = 190
#: A photograph has about a quarter of the energy (log −1.5) at the scale of one pixel that it has
#: at that of four; one that was enlarged from 32 pixels has a 200th (log −5.4).
DETAIL = -4.0


def detail(batch: torch.Tensor) -> torch.Tensor:
    """Log energy at the scale of one pixel less that at four pixels; `[image]`.

    Args:
        batch: normalised images `[image, 3, height, width]`.
    """
    grey, energy = batch.float().mean(1, keepdim=True), []
    for scale in range(3):
        coarse = functional.avg_pool2d(grey, 2)
        if scale != 1:
            smooth = functional.interpolate(
                coarse, size=grey.shape[-2:], mode="bilinear", align_corners=False
            )
            energy.append(torch.log((grey - smooth).square().mean((1, 2, 3)) + 1e-6))
        grey = coarse
    return energy[0] - energy[1]


def blurred(batch: torch.Tensor) -> torch.Tensor:
    """Whether each normalised image lacks fine detail; bool `[image]`."""
    return detail(batch) < DETAIL


def depths(
    model: nn.Module, batch: torch.Tensor, without: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Statistics of the network's channels, and its class scores.

    Images without fine detail, as those enlarged from few pixels, are seen at `SHRUNK` pixels: the
    network knows things by edges of the sharpness that photographs have.

    Args:
        model: EfficientNet-Lite2.
        batch: normalised images `[image, 3, 260, 260]`.
        without: whether each of them lacks fine detail.

    Returns:
        float32 `[image, statistic]` and `[image, class]`.
    """
    rows, scores = dict[int, torch.Tensor](), dict[int, torch.Tensor]()
    for chosen in (False, True):
        places = torch.nonzero(without == chosen).flatten()
        if not len(places):
            continue
        seen = batch[places]
        if chosen:
            seen = functional.interpolate(
                seen.float(), size=(SHRUNK, SHRUNK), mode="bilinear", antialias=True
            ).to(batch.dtype)
        found, classes = _run(model, seen)
        for k, place in enumerate(places.tolist()):
            rows[place], scores[place] = found[k], classes[k]
    every = range(len(batch))
    return torch.stack([rows[k] for k in every]), torch.stack([scores[k] for k in every])


def _run(model: nn.Module, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    found: dict[int, torch.Tensor] = {}
    blocks, last = cast(nn.ModuleList, model._blocks), cast(nn.Module, model._fc)

    def keep(number: int):
        def hook(module: nn.Module, given: object, output: torch.Tensor) -> None:
            flat = output.float().flatten(2)
            found[number] = torch.cat([flat.mean(-1), flat.std(-1)], 1)

        return hook

    def head(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        found[len(blocks)] = given[0].float()

    hooks = [blocks[number].register_forward_hook(keep(number)) for number in BLOCKS]
    hooks.append(last.register_forward_pre_hook(head))
    try:
        scores = model(batch.contiguous(memory_format=torch.channels_last))
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat([found[key] for key in sorted(found)], 1), scores.float()
