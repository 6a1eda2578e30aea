"""Drawings of 32 × 32 pixels, a network that learns them, and an encoder that knows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from neuronym.inputs.encoders.base import Encoder
from neuronym.inputs.preprocess.base import Preprocess

CLASSES = ("rows", "columns", "checks", "plain")
#: What the network is trained on, as `--preprocess` takes it.
RIGHT = "size=32,mean=0.3,std=0.5"


def drawings(count: int, seed: int = 0, channels: int = 3) -> list[np.ndarray]:
    """Patterns of period 4 in two random colours, uint8 `[32, 32, channel]`, classes in turn."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    images = []
    for number in range(count):
        phase = rng.integers(0, 4, 2)
        rows, columns = (y + phase[0]) // 2 % 2, (x + phase[1]) // 2 % 2
        pattern = (rows, columns, rows ^ columns, 0 * rows)[number % 4][:, :, None]
        dark, light = rng.uniform(0, 90, channels), rng.uniform(150, 255, channels)
        image = dark + pattern * (light - dark) + rng.normal(0, 6, (32, 32, channels))
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    return images


class Small(nn.Sequential):
    """As networks for small pictures are: little is reduced, and any size runs."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, len(CLASSES)),
        )


def trained(channels: int = 3) -> nn.Module:
    """`Small`, taught on drawings with a mean of 0.3 and a standard deviation of 0.5."""
    images = torch.from_numpy(np.stack(drawings(128, seed=1, channels=channels)))
    batch = (images.permute(0, 3, 1, 2).float() / 255 - 0.3) / 0.5
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Small(channels)
        optimiser = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(80):
            loss = nn.functional.cross_entropy(model(batch), torch.arange(128) % 4)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    assert loss.item() < 0.1
    return model.eval().requires_grad_(False)


class Patterns(Encoder):
    """Embeds an image by how much it changes down and across, a word as the class it names."""

    name, dim, logit_scale = "patterns", 3, 20.0

    def __init__(self, channels: int = 3) -> None:
        kind = "rgb" if channels == 3 else "bands"
        zero, one = (0.0,) * channels, (1.0,) * channels
        self.preprocess = Preprocess((32, 32), None, mean=zero, std=one, channels=kind)

    @property
    def fingerprint(self) -> str:
        return "patterns"

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        grey = batch.mean(1)
        down = grey.diff(dim=1).abs().mean((1, 2))
        across = grey.diff(dim=2).abs().mean((1, 2))
        return nn.functional.normalize(torch.stack([down, across, 0 * down + 0.03], 1), dim=1)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        known = {"rows": (1, 0, 0), "columns": (0, 1, 0), "checks": (1, 1, 0), "plain": (0, 0, 1)}
        rows = torch.tensor([known[text] for text in texts], dtype=torch.float32)
        return nn.functional.normalize(rows, dim=1)

    def to(self, device: torch.device | str) -> Patterns:
        return self
