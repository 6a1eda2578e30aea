"""A network built by hand whose channels detect things of the probe `synthetic`, and its world.

Five channels of the layer `units` are detectors (`PLANTED` says of what), the others are random
filters (`RANDOM`). `probe()` is a small part of `synthetic` with labels and masks, drawn once;
`Oracle` is an image–text model that knows the words of `PLANTED`. A labeller is tried on all of
this by `label(planted.atlas(), "its-name", **planted.sources())`.
"""

from __future__ import annotations

import atexit
import functools
import math
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.nn import functional

import neuronym as nym
from neuronym.atlas.reader import Atlas
from neuronym.inputs.encoders.base import Encoder
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Annotation, Mask, Probe, RawImage
from neuronym.inputs.targets.base import Target
from neuronym_drawings import camera, compose
from neuronym_drawings.backdrops import BACKDROPS
from neuronym_drawings.canvas import Canvas
from neuronym_drawings.catalogue import catalogue, draw
from neuronym_drawings.things.base import THINGS

#: unit → (category, name) of what it detects; `striped` in one orientation only, level.
PLANTED = {
    0: ("colour", "red"),
    1: ("colour", "blue"),
    2: ("texture", "striped"),
    3: ("texture", "polka-dotted"),
    4: ("object", "circle"),
}
#: Units with random weights.
RANDOM = (5, 6, 7)
WORDS = [name for _, name in PLANTED.values()]

SIDE = 56
INPUT = Preprocess(size=(SIDE, SIDE), resize=SIDE, mean=(0, 0, 0), std=(1, 1, 1))
_KINDS = {
    "colour": ("red", "blue", "green", "grey", "yellow", "pink", "white"),
    "texture": ("striped", "polka-dotted", "chequered", "marbled", "cracked"),
    "object": ("circle", "square", "star", "cross"),
    "material": ("wood", "brick"),
}
#: Of each kind the first pictures: more would only take longer. Picture 10 of a colour shows it on
#: a disc: a circle that no mask names; picture 4 of a texture shows it on a body.
_NUMBERS = {"colour": range(10), "texture": (0, 1, 2, 3, 5, 6, 7, 8), "object": range(6)}
_NUMBERS["material"] = range(4)


def _large(canvas: Canvas, name: str, tint: str | None, backdrop: str, beside: str | None) -> None:
    """One thing alone, as large as it comes: so large are the circles that are detected."""
    BACKDROPS[backdrop].draw(canvas)
    x, y = canvas.rng.uniform(100, 124, 2)
    compose.put(canvas, name, x, y, canvas.rng.uniform(*THINGS[name].size), tint)


class Chosen(Probe):
    """Some pictures of `synthetic`, large and seen from straight ahead, drawn once and kept."""

    name = "chosen pictures of synthetic"

    def __init__(self) -> None:
        wanted = {
            f"{category}/{name}/{k:02d}"
            for category, names in _KINDS.items()
            for name in names
            for k in _NUMBERS[category]
        }
        chosen = [picture for picture in catalogue(0) if picture.id in wanted]
        self._ids = [picture.id for picture in chosen]
        self._labels = [tuple(Annotation(*note) for note in picture.labels) for picture in chosen]
        with patch.object(camera, "shoot"), patch.object(compose, "alone", _large):
            drawn = [draw(picture, 0) for picture in chosen]
        self._images = [RawImage(canvas.pixels()) for canvas in drawn]
        self._masks = [
            tuple(Mask(*note, pixels) for note, pixels in canvas.masks()) for canvas in drawn
        ]

    def __len__(self) -> int:
        return len(self._ids)

    def image_id(self, index: int) -> str:
        return self._ids[index]

    def read(self, index: int) -> RawImage:
        return self._images[index]

    def labels(self, index: int) -> Sequence[Annotation]:
        return self._labels[index]

    def masks(self, index: int) -> Sequence[Mask]:
        return self._masks[index]

    def vocabulary(self) -> Sequence[Annotation]:
        marks = [mark for some in (*self._labels, *self._masks) for mark in some]
        return sorted({Annotation(mark.category, mark.name) for mark in marks})


@functools.cache
def probe() -> Chosen:
    """The pictures, the same object at every call."""
    return Chosen()


def _mean(maps: torch.Tensor, side: int) -> torch.Tensor:
    """The mean over windows of `side` (odd) pixels; what lies outside repeats the border."""
    padded = functional.pad(maps, [side // 2] * 4, mode="replicate")
    return functional.avg_pool2d(functional.avg_pool2d(padded, (side, 1), 1), (1, side), 1)


def _max(maps: torch.Tensor, side: int) -> torch.Tensor:
    """The maximum over windows of `side` (odd) pixels."""
    rows = functional.max_pool2d(maps, (side, 1), 1, (side // 2, 0))
    return functional.max_pool2d(rows, (1, side), 1, (0, side // 2))


def _shifted(maps: torch.Tensor, down: float, across: float) -> torch.Tensor:
    """At every place what lies `down` and `across` of it; the border repeats."""
    y, x = round(down), round(across)
    margin = max(abs(y), abs(x))
    padded = functional.pad(maps, [margin] * 4, mode="replicate")
    high, wide = maps.shape[-2:]
    return padded[..., margin + y : margin + y + high, margin + x : margin + x + wide]


def _directions(count: int) -> list[tuple[float, float]]:
    """Unit vectors (down, across) all round."""
    angles = (2 * math.pi * k / count for k in range(count))
    return [(math.sin(angle), math.cos(angle)) for angle in angles]


class Detectors(nn.Module):
    """From RGB on [0, 1] to one map per planted unit, `[image, 5, 56, 56]`."""

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        red, green, blue = rgb.split(1, 1)
        maps = [
            functional.relu(red - 2 * torch.maximum(green, blue)),
            functional.relu(blue - 1.5 * red - 0.2 * green),
            self.stripes(rgb),
            self.dots(rgb),
            self.circles(rgb),
        ]
        return torch.cat(maps, 1)

    def stripes(self, rgb: torch.Tensor) -> torch.Tensor:
        """Many level edges in a window of 21 pixels, and few others."""
        grey = rgb.mean(1, keepdim=True)
        level = (_shifted(grey, 1, 0) - grey).abs()
        upright = (_shifted(grey, 0, 1) - grey).abs()
        return functional.relu(_mean(level, 21) - 2 * _mean(upright, 21) - 0.05)

    def dots(self, rgb: torch.Tensor) -> torch.Tensor:
        """Small discs, lighter or darker than what surrounds them on all sides, many of them."""
        grey = rgb.mean(1, keepdim=True)
        found = []
        for far in (3, 4.5, 6):
            around = torch.cat([_shifted(grey, far * y, far * x) for y, x in _directions(8)], 1)
            rise = (grey - around).amin(1, keepdim=True)
            fall = (around - grey).amin(1, keepdim=True)
            found.append(functional.relu(torch.maximum(rise, fall) - 0.1))
        return _mean(_max(torch.cat(found, 1).amax(1, keepdim=True), 5), 21)

    def circles(self, rgb: torch.Tensor) -> torch.Tensor:
        """Edges at one distance in all directions, across the way there, and few on the way."""
        edges, directions = [], _directions(16)
        for y, x in directions:
            step = (_shifted(rgb, y, x) - _shifted(rgb, -y, -x)).abs().amax(1)
            edges.append((4 * step - 0.2).clamp(0, 1))
        edge = _max(torch.stack(edges, 1), 3)
        busy = edge.amax(1, keepdim=True)
        found = []
        for radius in (11, 13, 16, 19, 21):
            on = [
                _shifted(edge[:, k : k + 1], radius * y, radius * x)
                for k, (y, x) in enumerate(directions)
            ]
            inside = _mean(busy, 2 * (radius // 2) + 1)
            centre = functional.relu(torch.cat(on, 1).amin(1, keepdim=True) - 2 * inside)
            found.append(_max(centre, 2 * int(0.7 * radius) + 1))
        return torch.cat(found, 1).amax(1, keepdim=True)


class Planted(nn.Module):
    """The detectors beside random filters, and a small head."""

    def __init__(self) -> None:
        super().__init__()
        self.detect = Detectors()
        self.random = nn.Conv2d(3, len(RANDOM), 7, padding=3, padding_mode="replicate")
        self.units = nn.AvgPool2d(2)
        self.head = nn.Linear(len(PLANTED) + len(RANDOM), 3)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in (self.random.weight, self.head.weight):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
            self.random.weight.sub_(self.random.weight.mean((2, 3), keepdim=True))
            self.random.bias.zero_()
            self.head.bias.zero_()

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        # Divided by the contrast around: else they would all detect what is rich in contrast.
        spread = _mean(rgb.square(), 7) - _mean(rgb, 7).square()
        contrast = spread.sum(1, keepdim=True).clamp(min=1e-4).sqrt()
        noise = functional.relu(self.random(rgb) / contrast)
        return self.head(self.units(torch.cat([self.detect(rgb), noise], 1)).mean((2, 3)))


def build() -> Target:
    """The target, as `python:planted:build` opens it; its layer `units` has maps of 28 × 28."""
    return Target("planted", Planted().eval(), INPUT)


class Oracle(Encoder):
    """Embeds an image as the detectors' mean responses, a word as the detector it names."""

    name, preprocess, dim, logit_scale = "oracle", INPUT, len(PLANTED) + 1, 10.0

    @property
    def fingerprint(self) -> str:
        return "oracle"

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        means = Detectors()(batch).mean((2, 3))
        vectors = torch.cat([means, torch.full((len(batch), 1), 0.05)], 1)
        return functional.normalize(vectors, dim=1)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        rows = torch.zeros(len(texts), self.dim)
        for row, text in enumerate(texts):
            known = [place for place, word in enumerate(WORDS) if word in text.split()]
            rows[row, known or -1] = 1
        return functional.normalize(rows, dim=1)

    def to(self, device: torch.device | str) -> Oracle:
        return self


@functools.cache
def atlas() -> Atlas:
    """An atlas of the layer `units`, made once per process; label it with `sources`."""
    folder = tempfile.mkdtemp(prefix="planted-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # One batch: many small operations are slow.
    return nym.dissect(
        build(),
        layers=["units"],
        probe=probe(),
        concepts=WORDS,
        encoder=Oracle(),
        out=f"{folder}/atlas",
        cache=f"{folder}/cache",
        batch_size=len(probe()),
    )


def sources() -> dict[str, Any]:
    """What `label` needs beside the atlas."""
    cache = str(atlas().folder.parent / "cache")
    return {"target": build(), "probe": probe(), "encoder": Oracle(), "cache": cache}
