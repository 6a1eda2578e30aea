"""Threads that read, hash and decode the images of a probe."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from neuronym._core.errors import CorruptImageError
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Probe, RawImage
from neuronym.inputs.probes.deep import NeedsPackageError

#: Larger encoded images are read again for decoding rather than held in memory.
_HOLD_BYTES = 1 << 18


@dataclass(frozen=True, eq=False)
class Header:
    """One image, read and hashed but not decoded."""

    index: int
    content_hash: str
    annotations: tuple[tuple[str, str, float], ...] = ()
    error: str | None = None
    warning: str | None = None
    raw: RawImage | None = None


@dataclass(frozen=True, eq=False)
class Decoded:
    """One decoded image: its size, and uint8 pixels for each preprocessing, or an error."""

    index: int
    width: int = 0
    height: int = 0
    pixels: tuple[np.ndarray, ...] = ()
    error: str | None = None
    passing: bool = False  # the error may be gone the next time


class Loader:
    """Threads that read and decode images of a probe. Use as a context manager."""

    def __init__(self, probe: Probe, workers: int) -> None:
        self.probe = probe
        self._threads = ThreadPoolExecutor(max(1, workers), thread_name_prefix="neuronym-load")

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def header(self, indices: Sequence[int]) -> list[Future[Header]]:
        """Start reading, hashing and collecting annotations."""
        return [self._threads.submit(self._header, index) for index in indices]

    def decode(
        self, headers: Sequence[Header], steps: Sequence[Preprocess | Any]
    ) -> list[Future[Decoded]]:
        """Start decoding and preprocessing, once per image for all networks."""
        return [self._threads.submit(self._decode, header, steps) for header in headers]

    def _header(self, index: int) -> Header:
        try:
            raw = self.probe.read(index)
            content_hash = raw.content_hash
        except CorruptImageError as error:
            return Header(index, "unreadable", error=str(error))
        held = raw if _size(raw) <= _HOLD_BYTES else None
        try:
            annotations = self._annotations(index)
        except CorruptImageError as error:
            # The image itself is fine; its annotations are lost, and that is said.
            return Header(index, content_hash, (), warning=str(error), raw=held)
        return Header(index, content_hash, annotations, raw=held)

    def _annotations(self, index: int) -> tuple[tuple[str, str, float], ...]:
        """Image-wide labels (area 1) and masks (their share of the image)."""
        found: dict[tuple[str, str], float] = {}
        for mask in self.probe.masks(index):
            key = (mask.category, mask.name)
            share = float(np.count_nonzero(mask.pixels) / max(mask.pixels.size, 1))
            found[key] = min(1.0, found.get(key, 0.0) + share)
        for label in self.probe.labels(index):
            found[label.category, label.name] = 1.0
        return tuple((*key, area) for key, area in sorted(found.items()))

    def _decode(self, header: Header, steps: Sequence[Preprocess | Any]) -> Decoded:
        if header.error is not None:
            return Decoded(header.index, error=header.error)
        try:
            raw = header.raw or self.probe.read(header.index)
        except CorruptImageError as error:
            return Decoded(header.index, error=str(error), passing=True)
        try:
            pixels = raw.seen(*steps)
            width, height = raw.size
        except NeedsPackageError as error:
            return Decoded(header.index, error=str(error), passing=True)
        except CorruptImageError as error:
            return Decoded(header.index, error=str(error))
        return Decoded(header.index, width, height, pixels)


def decoder() -> str:
    """What decides which images can be decoded: Pillow's version and its formats."""
    import PIL

    Image.init()
    return f"Pillow {PIL.__version__}: {' '.join(sorted(Image.OPEN))}"


def _size(raw: RawImage) -> int:
    if isinstance(raw.data, bytes):
        return len(raw.data)
    if not isinstance(raw.data, Image.Image):
        return raw.data.nbytes  # an array or a tensor
    return raw.data.width * raw.data.height * 3
