"""A network with planted colour detectors, an encoder that sees colours, and coloured images."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from neuronym.inputs.encoders.base import Encoder
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target

COLOURS = {
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "yellow": (1.0, 1.0, 0.0),
    "purple": (1.0, 0.0, 1.0),
}
#: What the units of `detect` respond to; unit 5 is dead, unit 6 is a mixture.
PLANTED = ["red", "green", "blue", "yellow", "purple"]
SMALL = Preprocess(size=(16, 16), resize=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class Detectors(nn.Module):
    """Seven 1×1 filters over the image, and a small head."""

    def __init__(self, spoil: float = 0.0) -> None:
        super().__init__()
        self.detect = nn.Conv2d(3, 7, 1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(7, 4)
        generator = torch.Generator().manual_seed(0)
        weight = torch.zeros(7, 3)
        for unit, colour in enumerate(PLANTED):
            vector = torch.tensor(COLOURS[colour])
            weight[unit] = 2 * vector - 1
        weight[6] = torch.randn(3, generator=generator)
        with torch.no_grad():
            self.detect.weight.copy_(weight[:, :, None, None])
            self.detect.bias.zero_()
            self.head.weight.copy_(torch.randn(4, 7, generator=generator))
            self.head.bias.zero_()
            if spoil:
                self.detect.bias[1] = spoil

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.relu(self.detect(images))).flatten(1))


def build() -> Target:
    """The target, as `python:small_world:build` opens it."""
    return Target("detectors", Detectors().eval(), SMALL)


class ColourEncoder(Encoder):
    """Embeds an image as its mean colour, a word as the colour it names, near enough.

    Attributes:
        blur: how far a text lies from the colour, or from nowhere; with 0 many words are one.
    """

    blur = 0.005

    name, preprocess, dim, logit_scale = "colours", SMALL, 4, 10.0

    @property
    def fingerprint(self) -> str:
        return "colours" if self.blur == ColourEncoder.blur else f"colours {self.blur}"

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        colour = batch.mean((2, 3))
        vectors = torch.cat([colour, torch.full((len(batch), 1), 0.3)], 1)
        return nn.functional.normalize(vectors, dim=1)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        rows = []
        for text in texts:
            known = [np.array(v) * 2 - 1 for k, v in COLOURS.items() if k in text.split()]
            row = np.array([*known[0], 0.3] if known else [0.1, 0.1, 0.1, -1.0])
            rng = np.random.default_rng(zlib.crc32(text.encode()))
            rows.append(row + (text not in COLOURS) * self.blur * rng.uniform(-1, 1, 4))
        return nn.functional.normalize(torch.tensor(np.array(rows), dtype=torch.float32), dim=1)

    def to(self, device: torch.device | str) -> ColourEncoder:
        return self


def coloured_images(count: int, seed: int = 0) -> list[np.ndarray]:
    """Noisy images of the five colours in turn, uint8 `[20, 18, 3]`, all different."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(count):
        colour = np.array(list(COLOURS.values())[number % len(COLOURS)])
        base = colour * rng.uniform(150, 255) + (1 - colour) * rng.uniform(0, 70)
        images.append(np.clip(base + rng.normal(0, 20, (20, 18, 3)), 0, 255).astype(np.uint8))
    return images
