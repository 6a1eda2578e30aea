"""An atlas of colour detectors whose classes are known: some say what they are, some do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import neuronym as nym
from neuronym.atlas.reader import Atlas
from neuronym.inputs.targets.base import Target
from small_world import COLOURS, SMALL, ColourEncoder, coloured_images

NAMES = list(COLOURS)
#: Units; those from `LIARS` on detect another colour than their class.
UNITS, LIARS = 40, 28
WORDS = [*NAMES, "house", "tree", "very red", "green leaf"]


class Many(nn.Module):
    """Filters, each of a colour, with noise in their weights."""

    def __init__(self, noise: float, seed: int, units: int = UNITS) -> None:
        super().__init__()
        self.detect = nn.Conv2d(3, units, 1)
        generator = torch.Generator().manual_seed(seed)
        weight = torch.stack([torch.tensor(COLOURS[colour(unit)]) * 2 - 1 for unit in range(units)])
        weight += noise * torch.randn(units, 3, generator=generator)
        with torch.no_grad():
            self.detect.weight.copy_(weight[:, :, None, None])
            self.detect.bias.zero_()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.detect(images).mean((2, 3))


class Deep(Many):
    """With a layer of detectors, `inner`, before the class neurons, which see what it lets pass."""

    def __init__(self, noise: float, seed: int, units: int = UNITS) -> None:
        super().__init__(noise, seed, units)
        self.inner = nn.Conv2d(3, len(NAMES), 1)
        self.detect = self._modules.pop("detect")  # the class neurons come last
        with torch.no_grad():
            weight = torch.tensor([COLOURS[name] for name in NAMES]) * 2 - 1
            self.inner.weight.copy_(weight[:, :, None, None])
            self.inner.bias.zero_()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) + 0 * self.inner(images).mean((1, 2, 3))[:, None]


def colour(unit: int) -> str:
    """What a unit detects."""
    return NAMES[(unit if unit % UNITS < LIARS else unit + 1) % len(NAMES)]


def known_atlas(
    folder: Path,
    noise: float = 0.4,
    seed: int = 0,
    images: int = 60,
    units: int = UNITS,
    words: list[str] = WORDS,
    **settings: Any,
) -> Atlas:
    """Labels of the units of one such network, whose class names are colours in turn.

    With `layers` among the settings the network is a `Deep` one.
    """
    given = {"layers": ["detect"], "keep": "all"} | settings
    return nym.dissect(
        known_target(noise, seed, units, Deep if "layers" in settings else Many),
        probe=coloured_images(images, seed),
        concepts=words,
        encoder=ColourEncoder(),
        similarity="soft-wpmi:top_k=6",
        out=str(folder),
        cache=str(folder.parent / "cache"),
        **given,
    )


def known_target(noise: float, seed: int, units: int, kind: type[Many] = Many) -> Target:
    """Such a network, with its class names."""
    classes = tuple(NAMES[unit % len(NAMES)] for unit in range(units))
    return Target("detectors", kind(noise, seed, units).eval(), SMALL, classes)


def right(atlas: Atlas) -> np.ndarray:
    """Whether each unit's label is its class."""
    labels = atlas.labels(trust=False)
    first = labels[labels["rank"] == 1].sort_values("unit")
    classes = np.array([NAMES[unit % len(NAMES)] for unit in range(UNITS)])
    return first["concept"].to_numpy() == classes
