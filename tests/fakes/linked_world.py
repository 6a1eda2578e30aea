"""Networks of three layers with planted links from the units of one to those of the next.

`first` has random filters; its last units nearly repeat its first ones, so that they correlate with
what those feed and feed nothing themselves. Every unit of `second` is fed by one to three of the
others, up or down, through a convolution and a batch norm; all other weights are 0.3 % of those.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import neuronym as nym
from small_world import COLOURS, SMALL, ColourEncoder

SOURCES, TWINS, TARGETS = 12, 4, 9


class Linked(nn.Module):
    """Three layers; `planted` are the (source, target) pairs between the first two."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        random = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.first = nn.Sequential(nn.Conv2d(3, SOURCES, 3, padding=1), nn.ReLU(inplace=True))
        self.between = nn.Conv2d(SOURCES, TARGETS, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(TARGETS)
        self.second = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(TARGETS, 4)
        weight = 0.003 * random.normal(size=(TARGETS, SOURCES, 3, 3))
        self.planted: set[tuple[int, int]] = set()
        for target in range(TARGETS):
            for source in random.choice(SOURCES - TWINS, random.integers(1, 4), replace=False):
                sign = 1 if target % 2 else random.choice([-1, 1])
                weight[target, source] += sign * random.uniform(0.5, 1, (3, 3))
                self.planted.add((int(source), target))
        with torch.no_grad():
            own = self.first[0]
            own.weight[-TWINS:] = own.weight[:TWINS] + 0.05 * torch.randn(TWINS, 3, 3, 3)
            own.bias.fill_(0.2)
            self.between.weight.copy_(torch.from_numpy(weight))
            self.norm.running_mean.copy_(torch.from_numpy(random.normal(size=TARGETS)))
            self.norm.running_var.copy_(torch.from_numpy(random.uniform(0.5, 2, TARGETS)))
            self.norm.weight.copy_(torch.from_numpy(random.uniform(0.5, 2, TARGETS)))
            self.norm.bias.fill_(1.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.second(self.norm(self.between(self.first(images))))
        return self.head(self.pool(found).flatten(1))


def images(count: int, seed: int = 0) -> list[np.ndarray]:
    """Noise of random colours, contrasts and grain, uint8 `[16, 16, 3]`."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        grain = int(random.choice([1, 2, 4, 8]))
        noise = random.normal(size=(16 // grain, 16 // grain, 3)).repeat(grain, 0).repeat(grain, 1)
        values = random.uniform(40, 215, 3) + random.uniform(5, 60) * noise
        found.append(np.clip(values, 0, 255).astype(np.uint8))
    return found


@dataclass(frozen=True)
class World:
    """An atlas, the network it is of, and what opens both again."""

    atlas: nym.Atlas
    network: Linked
    sources: dict[str, Any]


def world(folder: Path, seed: int = 0, count: int = 150, **options: Any) -> World:
    """An atlas of the layers `first`, `second` and `head`."""
    network = Linked(seed).eval()
    sources = {
        "target": nym.Target("linked", network, SMALL),
        "probe": images(count, seed),
        "encoder": ColourEncoder(),
        "cache": str(folder / "cache"),
    }
    atlas = nym.dissect(
        layers=["first", "second", "head"],
        concepts=list(COLOURS),
        out=folder / "atlas",
        **sources,
        **options,
    )
    return World(atlas, network, sources)
