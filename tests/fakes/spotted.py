"""Pictures with one small spot, and a network whose unit 0 sees it in maps of every kind."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Annotation, Mask, Probe, RawImage
from neuronym.inputs.targets.base import Target

SIDE = 96
PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}
#: What networks do with pictures before they see them.
WAYS = {
    "crop": Preprocess((SIDE, SIDE), 104, "crop", **PLAIN),
    "squash": Preprocess((SIDE, SIDE), None, "squash", **PLAIN),
    "pad": Preprocess((SIDE, SIDE), None, "pad", **PLAIN),
}
#: Layers of `Spots` with maps, and why each is there.
LAYERS = {
    "strided": "NCHW, three convolutions of stride 2 that pad both sides: it looks half a cell off",
    "last": "NHWC",
    "tokens": "patches behind a class token",
    "inside": "NCHW of a part that resizes its input to another size",
}


class Strided(nn.Module):
    """From 96 × 96 to 12 × 12 as ResNets do it."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Conv2d(1, 1, 3, 2, 1, bias=False) for _ in range(3))
        for step in self.steps:
            nn.init.constant_(step.weight, 1 / 9)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            maps = step(maps)
        return torch.cat([maps, maps * 0 + 1, -maps], 1)


class Last(nn.Module):
    """Maps with the units behind the positions, 12 × 12."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        found = functional.avg_pool2d(maps, 8).permute(0, 2, 3, 1)
        return torch.cat([found, -found], 3)


class Tokens(nn.Module):
    """12 × 12 patches as tokens behind one class token, which holds their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 2))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        found = functional.avg_pool2d(maps, 8).flatten(2).transpose(1, 2)
        found = torch.cat([found, -found], 2)
        return torch.cat([self.cls_token + found.mean(1, keepdim=True), found], 1)


class Inside(nn.Module):
    """Maps of 20 × 20, larger than an atlas keeps, of the input resized to 80 × 80."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        small = functional.interpolate(maps, (80, 80), mode="bilinear", antialias=True)
        found = functional.avg_pool2d(small, 4)
        return torch.cat([found, -found], 1)


class Spots(nn.Module):
    """Where a picture is red and not bright, in several maps; and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.strided, self.last, self.tokens, self.inside = Strided(), Last(), Tokens(), Inside()
        self.head = nn.Linear(3, 4)

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        red = functional.relu(rgb[:, :1] - rgb[:, 1:].amax(1, keepdim=True))
        made = self.strided(red)
        self.last(red), self.tokens(red), self.inside(red)
        return self.head(made.mean((2, 3)))


def build(way: str = "crop") -> Target:
    """The network behind one of `WAYS`."""
    torch.manual_seed(0)
    return Target(f"spots-{way}", Spots().eval(), WAYS[way])


class Spotted(Probe):
    """Square, tall and wide pictures in turn, each with a red disc of at most 5 % of it.

    The disc lies where a central crop sees all of it. Every third picture has none.
    """

    name = "spotted pictures"

    def __init__(self, count: int = 60) -> None:
        rng = np.random.default_rng(5)
        self._made = [self._draw(rng, n) for n in range(count)]

    @staticmethod
    def _draw(rng: np.random.Generator, number: int) -> tuple[RawImage, np.ndarray]:
        high, wide = [(120, 120), (190, 110), (100, 170), (131, 97)][number % 4]
        pixels = rng.integers(90, 130, (high, wide, 1)).repeat(3, 2)
        pixels = (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)
        mask = np.zeros((high, wide), bool)
        if number % 3:
            side = min(high, wide)
            radius = rng.uniform(0.1, 0.125) * side  # at most 0.049 of a square
            room = side * 0.46 - radius
            y = high / 2 + rng.uniform(-room, room)
            x = wide / 2 + rng.uniform(-room, room)
            rows, columns = np.mgrid[:high, :wide] + 0.5
            mask = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
            pixels[mask] = [230, 20 + number, 20]
        return RawImage(pixels), mask

    def __len__(self) -> int:
        return len(self._made)

    def image_id(self, index: int) -> str:
        return f"spot-{index:02d}"

    def read(self, index: int) -> RawImage:
        return self._made[index][0]

    def mask(self, index: int) -> np.ndarray:
        """Where the spot is, `[y, x]`."""
        return self._made[index][1]

    def masks(self, index: int) -> list[Mask]:
        return [Mask("object", "red", self.mask(index))] if self.mask(index).any() else []

    def vocabulary(self) -> list[Annotation]:
        return [Annotation("object", "red")]
