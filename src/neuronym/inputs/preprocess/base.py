"""From a decoded image to a network's input, as data: what it does can be recorded and hashed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from neuronym._core.checks import choice, misuse

if TYPE_CHECKING:
    from PIL.Image import Image


#: Pillow's filters by name.
FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}

# A resized image longer than this many times its shorter side is never made whole.
_THIN = 16


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop, scale to [0, 1], normalise.

    The image is resized as `fit` and `resize` say, then a box of `size` is cut out of its centre;
    what lies outside the resized image is filled with one colour.

    Attributes:
        size: height and width that the network sees, in pixels.
        resize: the size to resize to before the centre crop. A number: with `fit="crop"` the
            shorter side gets this many pixels; other fits ignore it. A pair (height, width): the
            proportions are kept and the pair is covered (`crop`) or not exceeded (`pad`), or the
            proportions are ignored (`squash`). None: the same as `size`.
        fit: `crop` keeps the proportions and cuts the edges off, `squash` ignores the proportions,
            `pad` keeps the whole image and fills the rest with the mean colour.
        interpolation: one of nearest, bilinear, bicubic, lanczos, box, hamming (Pillow's filters).
        mean, std: per channel, on the [0, 1] scale, in the order of `channels`.
        fill: red, green, blue (0 to 255) outside the image. None: the mean colour with
            `fit="pad"`, black otherwise, as torchvision pads.
        centre: which pixel the crop starts at when the margin is odd: `round` as torchvision, timm
            and open_clip do (halves to even), `floor` as Hugging Face does.
        channels: the order of the network's input channels.
    """

    size: tuple[int, int] = (224, 224)
    resize: int | tuple[int, int] | None = 256
    fit: Literal["crop", "squash", "pad"] = "crop"
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    fill: tuple[int, int, int] | None = None
    centre: Literal["round", "floor"] = "round"
    channels: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        choice("fit", self.fit, ("crop", "squash", "pad"))
        choice("interpolation", self.interpolation, FILTERS)
        choice("centre", self.centre, ("round", "floor"))
        choice("channels", self.channels, ("rgb", "bgr"))
        for name, length in (("size", 2), ("resize", 2), ("mean", 3), ("std", 3), ("fill", 3)):
            value = getattr(self, name)
            if value is None or (name == "resize" and not isinstance(value, list | tuple)):
                continue
            if not isinstance(value, list | tuple | np.ndarray) or len(value) != length:
                raise misuse(name, f"{length} numbers", value)
            kind = float if name in ("mean", "std") else int
            object.__setattr__(self, name, tuple(kind(v) for v in value))
        pixels = self.resize if isinstance(self.resize, tuple) else (self.resize or 1,)
        if min(*self.size, *pixels) < 1:
            raise misuse("size", "at least one pixel high and wide", (self.size, self.resize))
        if min(self.std) <= 0:
            raise misuse("std", "three numbers above 0", self.std)

    @cached_property
    def pixel_steps(self) -> Preprocess:
        """What decides the pixels: the same for networks that only normalise them differently."""
        plain = {"mean": (0, 0, 0), "std": (1, 1, 1), "channels": "rgb"}
        return replace(self, fill=self._fill(), **plain)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-able data."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Preprocess:
        """The settings that `to_dict` wrote.

        Raises:
            UsageError: a setting is unknown or has no possible value.
        """
        known = [field.name for field in fields(cls)]
        for key in data:
            choice("preprocess", key, known)
        return cls(**data)

    def pixels(self, image: Image) -> np.ndarray:
        """The resized and cropped image, uint8 `[height, width, 3]`.

        Bit for bit what torchvision's `Resize` and `CenterCrop` make of a Pillow image, except
        for images resized to more than 16 times longer than wide: those are resized only where
        they are seen, so that memory stays bounded, and may be one level off.
        """
        if image.mode != "RGB":
            image = image.convert("RGB")
        (left, top, right, bottom), inner = self._geometry(image.width, image.height)
        seen = (max(left, 0), max(top, 0), min(right, inner[0]), min(bottom, inner[1]))
        part = _resize_crop(image, inner, seen, FILTERS[self.interpolation])
        high, wide = self.size
        if part.size == (wide, high):
            return np.array(part)
        canvas = np.empty((high, wide, 3), np.uint8)
        canvas[:] = self._fill()
        y, x = seen[1] - top, seen[0] - left
        canvas[y : y + part.height, x : x + part.width] = np.asarray(part)
        return canvas

    def mask(self, pixels: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """What the network sees of a mask: resized and cropped as the image, by the nearest pixel.

        Args:
            pixels: `[y, x]` of the upright image.
            size: height and width of the result. None: those of the network's input.

        Returns:
            `[height, width]`, 0 outside the image.
        """
        height, width = pixels.shape
        (left, top, right, bottom), inner = self._geometry(width, height)
        high, wide = size or self.size
        rows, in_rows = _nearest(top, bottom, inner[1], height, high)
        columns, in_columns = _nearest(left, right, inner[0], width, wide)
        seen = pixels[rows[:, None], columns]
        return np.where(in_rows[:, None] & in_columns, seen, np.zeros((), pixels.dtype))

    def _fill(self) -> tuple[int, int, int]:
        if self.fill is not None:
            return self.fill
        if self.fit != "pad":
            return (0, 0, 0)
        red, green, blue = (min(max(round(255 * value), 0), 255) for value in self.mean)
        return (red, green, blue) if self.channels == "rgb" else (blue, green, red)

    def _geometry(
        self, width: int, height: int
    ) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
        """The visible box (left, top, right, bottom) on the resized image, and its size."""
        high, wide = self.size
        pair = self.resize if isinstance(self.resize, tuple) else self.size
        if self.fit == "squash":
            inner = (pair[1], pair[0])
        elif (
            self.fit == "crop"
            and (not isinstance(self.resize, tuple))
            and (self.resize or high == wide)
        ):
            short = self.resize or high
            if width <= height:
                inner = (short, int(short * height / width))
            else:
                inner = (int(short * width / height), short)
        else:
            pick = min if self.fit == "crop" else max
            ratio = pick(height / pair[0], width / pair[1])
            inner = (max(1, round(width / ratio)), max(1, round(height / ratio)))
        left, top = self._offset(inner[0], wide), self._offset(inner[1], high)
        return (left, top, left + wide, top + high), inner

    def _offset(self, inner: int, size: int) -> int:
        if self.centre == "floor":
            return (inner - size) // 2
        # torchvision pads the smaller half before, and rounds a crop's start half to even.
        return -((size - inner) // 2) if inner < size else round((inner - size) / 2)

    def normalise(self, batch: torch.Tensor) -> torch.Tensor:
        """uint8 `[image, height, width, 3]` → float32 `[image, 3, height, width]`."""
        batch = torch.as_tensor(batch)
        mean = torch.tensor(self.mean, device=batch.device) * 255
        std = torch.tensor(self.std, device=batch.device) * 255
        if self.channels == "bgr":
            batch = batch.flip(-1)
        # The result is channels-last in memory, which convolutions prefer.
        return batch.to(torch.float32, copy=True).sub_(mean).div_(std).permute(0, 3, 1, 2)

    def on_image(self, y: float, x: float, width: int, height: int) -> tuple[float, float]:
        """Where a point of the input lies on the original image, all as fractions 0…1.

        Args:
            y, x: down and across the network's input.
            width, height: of the original image, in pixels.

        Returns:
            Down and across the original image; points on the filled border go to its edge.
        """
        (left, top, right, bottom), inner = self._geometry(width, height)
        across = (left + x * (right - left)) / inner[0]
        down = (top + y * (bottom - top)) / inner[1]
        return min(max(down, 0.0), 1.0), min(max(across, 0.0), 1.0)


def _nearest(
    start: int, stop: int, inner: int, length: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """For `count` cells from `start` to `stop` of an axis resized to `inner` pixels: the pixels of
    the original `length` below their centres (of two the second), and whether there are any."""
    # In whole numbers, so that no rounding moves a pixel.
    at = (2 * start * count + (2 * np.arange(count) + 1) * (stop - start)) * length
    at = at // (2 * count * inner)
    return np.clip(at, 0, length - 1), (at >= 0) & (at < length)


def _resize_crop(
    image: Image, inner: tuple[int, int], box: tuple[int, int, int, int], resample: int
) -> Image:
    """Resize to `inner` and cut `box`, which lies inside, out of it."""
    if max(inner) <= _THIN * min(inner) or inner == image.size:
        resized = image if inner == image.size else image.resize(inner, resample)
        return resized if box == (0, 0, *inner) else resized.crop(box)
    # The whole resized image could be gigabytes. Pillow can resize a part (its filter still reads
    # the neighbours), but keeps the part's corners in single precision: so cut near it first.
    starts, ends, spans = [], [], []
    for axis in (0, 1):
        scale = image.size[axis] / inner[axis]
        margin = 4 * scale + 4
        first = max(0, int(box[axis] * scale - margin))
        last = min(image.size[axis], int(box[axis + 2] * scale + margin) + 1)
        starts.append(first)
        ends.append(last)
        spans.append((box[axis] * scale - first, min(box[axis + 2] * scale - first, last - first)))
    near = image.crop((*starts, *ends))
    inside = (spans[0][0], spans[1][0], spans[0][1], spans[1][1])
    return near.resize((box[2] - box[0], box[3] - box[1]), resample, box=inside)
