"""A tiny network on whole numbers, and images of odd sizes with labels and masks.

All maps hold small whole numbers, and stretching them to the grid multiplies by quarters, so that
float32 is exact, and ties are many.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import neuronym as nym
from neuronym.atlas.reader import Atlas
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Annotation, Mask, Probe, RawImage
from neuronym.inputs.targets.base import Target
from small_world import ColourEncoder

#: The masks must follow the resizing and the crop of both axes.
INPUT = Preprocess(size=(12, 16), resize=(14, 18), mean=(0, 0, 0), std=(1 / 255,) * 3)
UNITS, DEAD, NAN, RARE = 7, 4, 5, 6


class Whole(nn.Module):
    """Seven strided filters of whole numbers; one is dead, one gives NaN, one rarely responds."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, UNITS, 2, stride=2)
        self.relu = nn.ReLU()
        self.pool, self.flat = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            shape = self.maps.weight.shape
            self.maps.weight.copy_(torch.randint(-2, 3, shape, generator=generator).float())
            self.maps.weight[DEAD] = 0
            self.maps.weight[RARE] = 1
            self.maps.bias.zero_()
            self.maps.bias[NAN] = torch.nan
            self.maps.bias[RARE] = -40

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.flat(self.pool(self.relu(self.maps(images))))


class Masked(Probe):
    """Images of a few grey levels with labels and rectangular masks; every fourth has neither."""

    name = "masked images"

    def __init__(self, count: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._images, self._labels, self._masks = [], [], []
        for number in range(count):
            # Odd sizes: the centre of a cell never lies between two pixels.
            shape = tuple(int(side) for side in 9 + 2 * rng.integers(0, 11, 2))
            self._images.append(rng.integers(0, 4, (*shape, 3), dtype=np.uint8))
            self._labels.append(() if number % 4 else self._some(rng))
            bare = number % 4 == 3
            self._masks.append(() if bare else tuple(self._rectangles(rng, shape)))

    @staticmethod
    def _some(rng: np.random.Generator) -> tuple[Annotation, ...]:
        words = rng.permutation(["smooth", "rough", "sky"])[: rng.integers(1, 3)]
        return tuple(Annotation("texture", str(word)) for word in sorted(words))

    @staticmethod
    def _rectangles(rng: np.random.Generator, shape: tuple[int, int]) -> list[Mask]:
        found = []
        for category, word in (("object", "sky"), ("object", "sea"), ("part", "edge")):
            if rng.random() < 0.6:
                pixels = np.zeros(shape, bool)
                y, x = rng.integers(0, shape[0] - 4), rng.integers(0, shape[1] - 4)
                pixels[y : y + rng.integers(3, 20), x : x + rng.integers(3, 20)] = True
                found.append(Mask(category, word, pixels))
        return found

    def __len__(self) -> int:
        return len(self._images)

    def image_id(self, index: int) -> str:
        return f"{index:03d}"

    def read(self, index: int) -> RawImage:
        return RawImage(self._images[index])

    def labels(self, index: int) -> Sequence[Annotation]:
        return self._labels[index]

    def masks(self, index: int) -> Sequence[Mask]:
        return self._masks[index]


def build() -> Target:
    """The target; its layer `maps` has maps of 6 × 8, `relu` the same without the negative part."""
    return Target("whole numbers", Whole().eval(), INPUT)


def dissect(folder: Path, probe: Probe, **settings: Any) -> Atlas:
    """An atlas of the network's layers."""
    return nym.dissect(
        build(),
        layers=["maps", "relu", "flat"],
        probe=probe,
        concepts=["red", "green"],
        encoder=ColourEncoder(),
        similarity="cos",
        out=folder / "atlas",
        batch_size=5,
        cache=str(folder / "cache"),
        **{"duplicates": "all", **settings},  # small patterns of two colours are soon alike
    )


def stretched(small: np.ndarray, high: int, wide: int) -> np.ndarray:
    """Bilinear, by the definition: cells of both grids cover the same image; borders repeat."""
    out = np.zeros((high, wide))
    for y in range(high):
        for x in range(wide):
            v = min(max((y + 0.5) * small.shape[0] / high - 0.5, 0), small.shape[0] - 1)
            u = min(max((x + 0.5) * small.shape[1] / wide - 0.5, 0), small.shape[1] - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, small.shape[0] - 1), min(left + 1, small.shape[1] - 1)
            a, b = v - top, u - left
            out[y, x] = (
                (1 - a) * (1 - b) * small[top, left]
                + (1 - a) * b * small[top, right]
                + a * (1 - b) * small[bottom, left]
                + a * b * small[bottom, right]
            )
    return out


def seen(pixels: np.ndarray) -> np.ndarray:
    """A mask through Pillow's own resizing, and a crop by hand."""
    height, width = pixels.shape
    ratio = min(height / 14, width / 18)
    size = (round(width / ratio), round(height / ratio))
    large = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))
    top, left = round((size[1] - 12) / 2), round((size[0] - 16) / 2)
    return large[top : top + 12, left : left + 16]
