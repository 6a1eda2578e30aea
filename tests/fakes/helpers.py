"""Small real things that several tests use."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from neuronym._core.errors import CorruptImageError
from neuronym.atlas.schema import Manifest
from neuronym.inputs.probes.base import Annotation, Mask, Probe, RawImage


def picture(seed: int, size: tuple[int, int] = (20, 16)) -> np.ndarray:
    """A reproducible image: coloured noise over a gradient, uint8 `[height, width, 3]`."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(0, 255, 3) + np.linspace(-60, 60, size[0])[:, None, None]
    return np.clip(base + rng.normal(0, 25, (*size, 3)), 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


class ListProbe(Probe):
    """Images from memory; `broken` ones hold no image, `gone` ones cannot be read."""

    def __init__(
        self,
        count: int,
        *,
        broken: Sequence[int] = (),
        gone: Sequence[int] = (),
        name: str = "list",
    ) -> None:
        self.name, self.count = name, count
        self.broken, self.gone = set(broken), set(gone)
        self.reads = 0

    def __len__(self) -> int:
        return self.count

    def image_id(self, index: int) -> str:
        return f"{index:04d}"

    def read(self, index: int) -> RawImage:
        self.reads += 1
        if index in self.gone:
            raise CorruptImageError("permission denied")
        data = b"not an image %d" % index if index in self.broken else png(picture(index))
        return RawImage(data)

    def labels(self, index: int) -> Sequence[Annotation]:
        return [Annotation("parity", "odd" if index % 2 else "even")]

    def masks(self, index: int) -> Sequence[Mask]:
        pixels = np.zeros((20, 16), bool)
        pixels[:5] = True
        return [Mask("part", "top", pixels)]


def manifest(**parts: dict) -> Manifest:
    """A manifest that says as little as it may, and what is given: `target={"name": …}`."""
    unknown = {"fingerprint": None, "preprocess": None}
    least = {
        "config": {},
        "identity": {},
        "target": {"name": "t", "pretrained": True, "class_names": None, "layers": [], **unknown},
        "probe": {"name": "p"},
        "concepts": {
            "name": "c",
            "count": None,
            "templates": ["{}"],
            "fingerprint": None,
            "cleaning": None,
        },
        "encoder": {"name": "e", "dim": None, "logit_scale": None, "note": None, **unknown},
        "stages": {},
    }
    return Manifest.read(least | {name: least.get(name, {}) | part for name, part in parts.items()})
