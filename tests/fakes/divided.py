"""A small network, an encoder that knows nothing of it, and pictures with copies among them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import neuronym as nym

WORDS = [f"word{n}" for n in range(60)]
SIZE = nym.Preprocess(size=(16, 16), resize=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class Small(nn.Module):
    """A layer with positions, of which many units are silent for most images, and a vector."""

    def __init__(self, spoil: float = 0.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.filters = nn.Conv2d(3, 9, 4, stride=4)
        self.rare = nn.ReLU()
        self.head = nn.Linear(9, 6)
        with torch.no_grad():
            for weights in self.parameters():
                weights.copy_(torch.randn(weights.shape, generator=generator) / 4 + spoil)
            self.filters.bias.copy_(torch.linspace(-1.3, -2.4, 9))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.rare(self.filters(images)).mean((2, 3)))


class Blind(nym.Encoder):
    """Embeds images by random projections, words at random."""

    name, preprocess, dim, logit_scale, fingerprint = "blind", SIZE, 24, None, "blind"

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        weights = torch.randn(3 * 16 * 16, 24, generator=generator)
        return nn.functional.normalize(batch.flatten(1) @ weights, dim=1)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        rows = [np.random.default_rng(zlib.crc32(t.encode())).normal(size=24) for t in texts]
        return nn.functional.normalize(torch.tensor(np.array(rows), dtype=torch.float32), dim=1)

    def to(self, device: torch.device | str) -> Blind:
        return self


def build() -> nym.Target:
    return nym.Target("small", Small().eval(), SIZE)


def pictures(root: Path, count: int) -> Path:
    """Noise; every seventh picture is a copy of one far before it, exact or nearly."""
    root.mkdir(parents=True)
    for number in range(count):
        seed = number if number % 7 else number * 2 // 5
        values = np.random.default_rng(seed).normal(128, 60, (16, 16, 3))
        if number % 14 == 0:
            values = values * 0.99
        if number == 40:
            (root / f"{number:03d}.png").write_bytes(b"no picture")
            continue
        shade = np.random.default_rng(seed + 1000).uniform(-60, 60, 3)
        Image.fromarray(np.clip(values + shade, 0, 255).astype(np.uint8)).save(
            root / f"{number:03d}.png"
        )
    return root
