"""Pictures with three coloured discs each, and a network whose units see one colour.

The whole picture tells which colours there are; only the place tells which one the unit sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import neuronym as nym
from neuronym.atlas.context import LabelContext
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Mask, Probe, RawImage
from neuronym.inputs.targets.base import Target
from neuronym.labelling.base import Labeller, Labels, LayerLabels
from small_world import COLOURS, ColourEncoder

SIDE, GRID = 64, 16
LAYERS = ("maps", "tokens")
_SEEN = Preprocess((SIDE, SIDE), SIDE, "crop", mean=(0, 0, 0), std=(1, 1, 1))
_SHAPES = [(64, 64), (64, 96), (90, 64)]


class Discs(Probe):
    """Square, wide and tall pictures in turn; three discs of different colours, of 3 % each."""

    name = "pictures with discs"

    def __init__(self, count: int = 48, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._made = [self._draw(rng, *_SHAPES[n % 3]) for n in range(count)]

    @staticmethod
    def _draw(rng: np.random.Generator, high: int, wide: int) -> tuple[RawImage, list[Mask]]:
        pixels = rng.integers(90, 160, (high, wide, 1)).repeat(3, 2).astype(np.uint8)
        chosen, masks, taken = rng.permutation(list(COLOURS))[:3], [], np.zeros((high, wide), bool)
        rows, columns = np.mgrid[:high, :wide] + 0.5
        while len(masks) < len(chosen):
            y, x = np.array([high, wide]) / 2 + rng.uniform(-SIDE / 2 + 7, SIDE / 2 - 7, 2)
            mask = (rows - y) ** 2 + (columns - x) ** 2 <= 36
            if not (taken & mask).any():
                taken |= mask
                colour = str(chosen[len(masks)])
                pixels[mask] = np.array(COLOURS[colour]) * 200 + rng.integers(0, 40, 3)
                masks.append(Mask("object", colour, mask))
        return RawImage(pixels), masks

    def __len__(self) -> int:
        return len(self._made)

    def image_id(self, index: int) -> str:
        return f"discs-{index:03d}"

    def read(self, index: int) -> RawImage:
        return self._made[index][0]

    def masks(self, index: int) -> Sequence[Mask]:
        return self._made[index][1]


class Tokens(nn.Module):
    """The same as patches behind a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        found = maps.flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token + found.mean(1, keepdim=True), found], 1)


class Seen(nn.Module):
    """How near the colour of each patch is to one of the colours; unit 5 is dead."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(
            "colours", torch.tensor(list(COLOURS.values()))[None, :, :, None, None]
        )
        self.maps, self.tokens = nn.Identity(), Tokens()

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        small = functional.avg_pool2d(rgb, SIDE // GRID)[:, None]
        found = functional.relu(0.6 - (small - self.colours * 0.85).abs().sum(2))
        found = self.maps(torch.cat([found, found[:, :1] * 0], 1))
        self.tokens(found)
        return found.mean((2, 3))


@dataclass(frozen=True)
class Turned(Labeller):
    """The colours of the units, turned by some places: 0 is right, all else wrong."""

    name: ClassVar[str] = "turned"
    needs: ClassVar[tuple[str, ...]] = ()
    by: int = 0

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        words = list(COLOURS)
        made = {}
        for layer in layers:
            own = [words[(unit + self.by) % len(words)] for unit in range(len(words))] + [None]
            concepts = np.array(own, object)[:, None]
            made[layer] = LayerLabels(
                concepts, np.ones((len(own), 1), np.float32), (None,) * len(words) + ("dead unit",)
            )
        return Labels(made)


def sources(probe: Probe) -> dict[str, Any]:
    """What the atlas is made from."""
    return {
        "target": Target("discs", Seen().eval(), _SEEN),
        "probe": probe,
        "encoder": ColourEncoder(),
    }


def dissect(folder: Path, probe: Probe, **how: object) -> nym.Atlas:
    """An atlas with maps of both layers."""
    given = {"cache": str(folder / "cache"), "trust": False, "exemplars": 9} | how
    return nym.dissect(
        Target("discs", Seen().eval(), _SEEN),
        layers=list(LAYERS),
        concepts=[*COLOURS, "grey", "brown"],
        encoder=ColourEncoder(),
        similarity="soft-wpmi:top_k=5",
        out=folder / "atlas",
        duplicates="all",
        progress=None,
        probe=probe,
        **given,
    )
