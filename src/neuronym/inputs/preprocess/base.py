"""From a decoded image to a network's input, as data: what it does can be recorded and hashed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from neuronym._core.checks import Verbatim, choice, misuse
from neuronym._core.terminal import counted
from neuronym.inputs.preprocess.geometry import Window

#: Pillow's filters by name.
FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}

#: Orders of a network's input channels. `bands`: those of arrays with any number of channels.
CHANNELS = ("rgb", "bgr", "grey", "bands")
Fit = Literal["crop", "squash", "pad"]
Channels = Literal["rgb", "bgr", "grey", "bands"]
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
        mean, std: per channel, on the [0, 1] scale, in the order of `channels`; one number goes
            for all channels.
        fill: red, green, blue (0 to 255) outside the image; of bands one number each. None: the
            mean colour with `fit="pad"`, black otherwise, as torchvision pads.
        centre: which pixel the crop starts at when the margin is odd: `round` as torchvision, timm
            and open_clip do (halves to even), `floor` as Hugging Face does.
        channels: the network's input channels: `rgb`, `bgr`, `grey` (one, the luminance), or
            `bands`: as many as `mean` has, of images that have as many.
    """

    size: tuple[int, int] = (224, 224)
    resize: int | tuple[int, int] | None = 256
    fit: Fit = "crop"
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    fill: tuple[int, ...] | None = None
    centre: Literal["round", "floor"] = "round"
    channels: Channels = "rgb"

    def __post_init__(self) -> None:
        choice("fit", self.fit, ("crop", "squash", "pad"))
        choice("interpolation", self.interpolation, FILTERS)
        choice("centre", self.centre, ("round", "floor"))
        choice("channels", self.channels, CHANNELS)
        for name in ("mean", "std"):
            object.__setattr__(self, name, self._per_channel(name))
        colours = self.count if self.channels == "bands" else 3
        for name, length in (("size", 2), ("resize", 2), ("fill", colours)):
            value = getattr(self, name)
            if value is None or (name == "resize" and not _several(value)):
                continue
            if not _several(value) or len(value) != length:
                raise misuse(name, f"{length} numbers", value)
            object.__setattr__(self, name, tuple(int(v) for v in value))
        whole = 1 if self.resize is None else self.resize
        pixels = whole if isinstance(whole, tuple) else (whole,)
        for name, sides in (("size", self.size), ("resize", pixels)):
            if min(sides) < 1:
                raise misuse(name, "at least one pixel high and wide", getattr(self, name))
        if min(self.std) <= 0:
            raise misuse("std", "numbers above 0", self.std)

    @property
    def count(self) -> int:
        """How many channels the network's input has."""
        return len(self.mean) if self.channels == "bands" else 1 if self.channels == "grey" else 3

    def _per_channel(self, name: str) -> tuple[float, ...]:
        """Mean or std as one number per channel."""
        value = getattr(self, name)
        values = tuple(float(v) for v in (value if _several(value) else [value]))
        count = len(values) if (name, self.channels) == ("mean", "bands") else self.count
        values = values * count if len(values) == 1 else values
        if len(values) != count or not count:
            raise misuse(name, f"{counted(count, 'number')}, one per channel", value)
        return values

    @cached_property
    def pixel_steps(self) -> Preprocess:
        """What decides the pixels: the same for networks that only normalise them differently."""
        channels: Channels = "rgb" if self.channels == "bgr" else self.channels
        zero, one = (0,) * self.count, (1,) * self.count
        return replace(self, fill=self._fill(), mean=zero, std=one, channels=channels)

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

    def pixels(self, image: Image.Image | np.ndarray) -> np.ndarray:
        """The resized and cropped image, `[height, width, channel]`; uint8, or float32 of floats.

        Bit for bit what torchvision's `Resize` and `CenterCrop` make of a Pillow image, except
        for images resized to more than 16 times longer than wide: those are resized only where
        they are seen, so that memory stays bounded, and may be one level off.

        Args:
            image: a Pillow image, or an array `[y, x, channel]` on the scale 0…255; of bands each
                is resized for itself.

        Raises:
            UsageError: an array has other channels than the network takes.
        """
        planes = self._planes(image)
        (left, top, right, bottom), inner = self._geometry(planes[0].width, planes[0].height)
        seen = (max(left, 0), max(top, 0), min(right, inner[0]), min(bottom, inner[1]))
        how = (inner, seen, FILTERS[self.interpolation])
        parts = [np.asarray(_resize_crop(plane, *how)) for plane in planes]
        part = np.concatenate([p.reshape(*p.shape[:2], -1) for p in parts], axis=2)
        high, wide = self.size
        if part.shape[:2] == (high, wide):
            return np.array(part)
        canvas = np.empty((high, wide, self.count), part.dtype)
        fill: Any = self._fill()
        if self.channels == "grey":
            fill = Image.new("RGB", (1, 1), fill).convert("L").getpixel((0, 0))
        canvas[:] = fill
        y, x = seen[1] - top, seen[0] - left
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
        return canvas

    def _planes(self, image: Image.Image | np.ndarray) -> list[Image.Image]:
        """What is resized: one image in colour or grey, or one for each band."""
        if isinstance(image, np.ndarray):
            bands = image if image.ndim == 3 else image[:, :, None]
            if self.channels == "bands" and bands.shape[2] == self.count:
                kind = np.uint8 if bands.dtype == np.uint8 else np.float32
                planes = np.ascontiguousarray(bands.transpose(2, 0, 1), kind)
                return [Image.fromarray(plane) for plane in planes]
            if self.channels == "bands" or bands.shape[2] not in (1, 3):
                raise self._other_channels(bands.shape[2])
            image = Image.fromarray(bands if bands.shape[2] == 3 else bands[:, :, 0])
        if self.channels == "bands":
            raise self._other_channels(len(image.getbands()))
        if self.channels == "grey":
            return [image if image.mode == "L" else image.convert("RGB").convert("L")]
        return [image if image.mode == "RGB" else image.convert("RGB")]

    def _other_channels(self, found: int) -> Exception:
        wanted = counted(self.count, "channel")
        remedy = (
            f"Give arrays [height, width, {self.count}], or a Target whose `forward` makes "
            f"{wanted} of three (docs/targets.md)."
            if self.channels == "bands"
            else "Say which channels are red, green and blue."
        )
        return misuse(
            "probe",
            f"hold images of {wanted}, as the network sees them",
            Verbatim(f"images of {counted(found, 'channel')}"),
            remedy,
        )

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

    def _fill(self) -> tuple[int, ...]:
        """The colour outside the image: red, green, blue, or one number for each band."""
        if self.fill is not None:
            return self.fill
        if self.fit != "pad":
            return (0,) * (self.count if self.channels == "bands" else 3)
        shades = tuple(min(max(round(255 * value), 0), 255) for value in self.mean)
        if self.channels == "grey":
            return shades * 3
        return shades[::-1] if self.channels == "bgr" else shades

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
        """What `pixels` makes, `[image, height, width, channel]`, as the network's input: float32
        `[image, channel, height, width]`."""
        batch = torch.as_tensor(batch)
        mean = torch.tensor(self.mean, device=batch.device) * 255
        std = torch.tensor(self.std, device=batch.device) * 255
        if self.channels == "bgr":
            batch = batch.flip(-1)
        # The result is channels-last in memory, which convolutions prefer.
        return batch.to(torch.float32, copy=True).sub_(mean).div_(std).permute(0, 3, 1, 2)

    def window(self, width: int, height: int) -> Window:
        """What of an original picture the network sees.

        Args:
            width, height: of the original, in pixels.
        """
        (left, top, right, bottom), (wide, high) = self._geometry(width, height)
        return Window(left / wide, top / high, right / wide, bottom / high)

    def on_image(self, y: float, x: float, width: int, height: int) -> tuple[float, float]:
        """Where a point of the input lies on the original image, all as fractions 0…1.

        Args:
            y, x: down and across the network's input.
            width, height: of the original image, in pixels.

        Returns:
            Down and across the original image; points on the filled border go to its edge.
        """
        down, across = self.window(width, height).on_image(y, x)
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
    image: Image.Image, inner: tuple[int, int], box: tuple[int, int, int, int], resample: int
) -> Image.Image:
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
    near = image.crop((starts[0], starts[1], ends[0], ends[1]))
    inside = (spans[0][0], spans[1][0], spans[0][1], spans[1][1])
    return near.resize((box[2] - box[0], box[3] - box[1]), resample, box=inside)


def _several(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray)
