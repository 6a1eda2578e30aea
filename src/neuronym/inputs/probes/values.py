"""Values that are not 8 bit: which of them become black and white, the same in all of a probe.

Files of 12-bit cameras, satellites and scanners do not say what white is. One range for the whole
probe does: the same value is the same grey in every image. Images of 8 bits never need it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import CorruptImageError

#: Up to so many images of a probe are looked at, and so many values of each.
IMAGES, VALUES = 200, 16_384
#: The share of values that may lie below or above the range that is found, in percent.
TAILS = 0.1
#: How far floats may lie beyond 0…1 or 0…255 and still be meant so: resizing overshoots.
OVERSHOOT = 0.2
#: Floats that nowhere exceed this share of 1 or 255 are not meant so: they would come out black.
_DARK = 0.125
_ROWS = 256
Limits = tuple[float, float]


class BandsError(CorruptImageError):
    """It is not known which bands of an image are red, green and blue."""


@dataclass(frozen=True)
class Values:
    """How the values of images become 8 bits, and which of their bands are red, green and blue.

    Args:
        range: two numbers, which become black and white; `percentile`: the 0.1 and the 99.9
            percentile of the probe; `dtype`: what the type of the numbers can hold, 0…1 for
            floats; None: for integers the percentiles rounded out to 2ⁿ − 1, for floats 0…1 or
            0…255 where that is what they are, else the percentiles.
        bands: numbers from 1: one is grey, three are red, green and blue; one more is alpha.
        integers, floats: the ranges that were found for images that are not 8 bit.
        images: in how many of them they were found; None: nobody has looked.
        seen: how many bands the target sees: all of each image, and the ranges are found in all.
            None: it sees red, green and blue.
    """

    range: str | Limits | None = None
    bands: tuple[int, ...] | None = None
    integers: Limits | None = None
    floats: Limits | None = None
    images: int | None = None
    seen: int | None = None

    @classmethod
    def asked(cls, value_range: Any = None, bands: Any = None) -> Values:
        """From what a user says: `0,4095`, `percentile`, `dtype`, and `3,2,1`.

        Raises:
            UsageError: it is none of these.
        """
        return cls(_range(value_range), _bands(bands))

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Values:
        """What `to_data` made."""
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**given)

    def to_data(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @property
    def matter(self) -> bool:
        """Whether they decide what some image looks like."""
        return bool(self.images) or self.bands is not None

    @property
    def summary(self) -> str:
        """One sentence for people; empty where all images are 8 bit."""
        told = []
        for kind, limits in (("integers", self.integers), ("floats", self.floats)):
            if self.images and limits is not None:
                told.append(f"{kind} {limits[0]:g}…{limits[1]:g}")
        if not told:
            return ""
        how = {None: "found in", "percentile": "0.1–99.9 percentile of", "dtype": "by type, for"}
        seen = "image that is" if self.images == 1 else "images that are"
        why = "as given" if isinstance(self.range, tuple) else f"{how[self.range]} {self.images}"
        rest = "" if isinstance(self.range, tuple) else f" {seen} not 8 bit"
        return f"{' and '.join(told)} become black…white ({why}{rest})"

    def token(self) -> str:
        """What decides the pixels of an image that is not 8 bit, for its content hash."""
        data: list[Any] = [self.range, self.bands, self.integers, self.floats]
        data += [] if self.seen is None else [self.seen]
        return "values " + json.dumps(data)

    def measured(self, arrays: Iterable[np.ndarray]) -> Values:
        """With the ranges of these images `[y, x, band]`, of which those of 8 bits do not count."""
        found = _Pool()
        for array in arrays:
            found.add(array)
        integers, floats = found.limits(self.range)
        return replace(self, integers=integers, floats=floats, images=found.images)

    @staticmethod
    def thinned(array: np.ndarray) -> np.ndarray:
        """At most `VALUES` of an array's values, which follow from their number alone."""
        flat = array.reshape(-1)
        if flat.size <= VALUES:
            return flat
        return flat[np.random.default_rng(0).integers(0, flat.size, VALUES)]

    def to_bytes(self, array: np.ndarray) -> np.ndarray:
        """The values of one image as uint8, of the same shape.

        Raises:
            CorruptImageError: it holds no numbers, or its values lie elsewhere than those of the
                other images.
        """
        if array.dtype == np.uint8:
            return np.ma.filled(array, 0)
        if array.dtype == np.bool_:
            return array.astype(np.uint8) * 255
        low, high = limits = self._limits(array)
        found, outside, count = np.empty(array.shape, np.uint8), 0, 0
        for start in range(0, len(array), _ROWS):
            # float64: float32 has no room for 32-bit integers.
            part = np.ma.filled(array[start : start + _ROWS].astype(np.float64), np.nan)
            finite = np.isfinite(part)
            slack = OVERSHOOT * (high - low)
            outside += int(
                np.count_nonzero(finite & ((part < low - slack) | (part > high + slack)))
            )
            count += int(np.count_nonzero(finite))
            grey = (np.where(finite, part, low) - low) * (255 / max(high - low, 1e-300))
            found[start : start + _ROWS] = np.rint(np.clip(grey, 0, 255))
        if not count:
            raise CorruptImageError("holds no finite values")
        self._check(array, limits, outside / count)
        return found

    def _limits(self, array: np.ndarray) -> Limits:
        if isinstance(self.range, tuple):
            return self.range
        kind = self.floats if array.dtype.kind == "f" else self.integers
        if kind is not None:
            return kind
        if self.images is None:  # an image of its own
            alone = self.measured([array])
            return alone.floats or alone.integers or (0, 1)
        # None of the images that were looked at had numbers of this kind.
        return _of_type(array.dtype)

    def _check(self, array: np.ndarray, limits: Limits, outside: float) -> None:
        """Refuse an image that the range of the probe would make black or white altogether."""
        if self.range is not None:
            return
        assumed = limits in ((0, 1), (0, 255))
        if outside > (0.05 if assumed and array.dtype.kind == "f" else 0.5):
            low, high = float(np.nanmin(array)), float(np.nanmax(array))
            raise CorruptImageError(
                f"holds values {low:.6g}…{high:.6g}, where those of the probe lie in "
                f"{limits[0]:g}…{limits[1]:g}; say which are black and white with --value-range"
            )


class _Pool:
    """Values of many images, a bounded number of each."""

    def __init__(self) -> None:
        self.images = 0
        self._kept: dict[str, list[np.ndarray]] = {"i": [], "f": []}
        self._types: set[np.dtype] = set()
        self._low, self._high = math.inf, -math.inf  # of the floats

    def add(self, array: np.ndarray) -> None:
        if array.dtype in (np.uint8, np.bool_) or not array.size:
            return
        flat = Values.thinned(array).reshape(-1)
        flat = np.ma.filled(flat.astype(np.float64), np.nan)
        flat = flat[np.isfinite(flat)]
        if not flat.size:
            return
        self.images += 1
        self._types.add(array.dtype)
        kind = "f" if array.dtype.kind == "f" else "i"
        self._kept[kind].append(flat)
        if kind == "f":
            self._low = min(self._low, float(flat.min()))
            self._high = max(self._high, float(flat.max()))

    def limits(self, asked: str | Limits | None) -> tuple[Limits | None, Limits | None]:
        """The ranges of integers and of floats."""
        there = {kind: np.concatenate(kept) for kind, kept in self._kept.items() if kept}
        integers, floats = there.get("i"), there.get("f")
        if isinstance(asked, tuple):
            return (None if integers is None else asked), (None if floats is None else asked)
        if asked == "dtype":
            whole = [_of_type(kind) for kind in self._types if kind.kind != "f"]
            span = (min(low for low, _ in whole), max(high for _, high in whole)) if whole else None
            return span, (None if floats is None else (0.0, 1.0))
        if asked is None and floats is not None:
            usual = self._usual(floats)
            if usual is not None and (usual == (0, 1) or integers is None):
                return (None if integers is None else _round_out(integers)), usual
        if not there:
            return None, None
        # One range for both: the same value is the same grey whatever its type is.
        every = np.concatenate(list(there.values()))
        plain = asked == "percentile" or integers is None
        span = _percentiles(every) if plain else _round_out(every)
        return (None if integers is None else span), (None if floats is None else span)

    def _usual(self, floats: np.ndarray) -> Limits | None:
        """0…1 or 0…255, if that is what these floats are meant to lie in."""
        low, high = np.percentile(floats, [1, 99])
        for white in (1.0, 255.0):
            slack = OVERSHOOT * white
            near = self._low >= -slack and self._high <= white + slack
            if near and low >= 0 and high <= white and self._high > _DARK * white:
                return 0.0, white
        return None


def _percentiles(values: np.ndarray) -> Limits:
    low, high = np.percentile(values, [TAILS, 100 - TAILS])
    return float(low), float(high)


def _round_out(values: np.ndarray) -> Limits:
    """The percentiles, rounded out to 0…2ⁿ − 1 with n ≥ 8, or to −2ᵐ…2ⁿ − 1."""
    low, high = _percentiles(values)
    least = 0 if low >= 0 else -(1 << math.ceil(math.log2(-low))) if low < -1 else -1
    most = (1 << max(8, math.ceil(math.log2(max(high, 1) + 1)))) - 1
    return float(least), float(most)


def _of_type(dtype: np.dtype) -> Limits:
    if dtype.kind == "f":
        return 0.0, 1.0
    bounds = np.iinfo(dtype)
    return float(bounds.min), float(bounds.max)


def _range(value: Any) -> str | Limits | None:
    if value is None or value in ("percentile", "dtype"):
        return value
    expected = "LOW,HIGH, percentile or dtype"
    parts = re.split(r"[,…]", value) if isinstance(value, str) else value
    try:
        low, high = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise misuse("value_range", expected, value) from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise misuse("value_range", f"{expected}, with LOW below HIGH", value)
    return low, high


def _bands(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    expected = "one to four numbers of bands from 1, such as 3,2,1 (red, green, blue)"
    given = value.split(",") if isinstance(value, str) else value
    numbers = [str(band).strip() for band in given] if isinstance(given, list | tuple) else []
    if not 1 <= len(numbers) <= 4 or not all(band.isdecimal() and int(band) for band in numbers):
        raise misuse("bands", expected, value)
    return tuple(map(int, numbers))


def choose(
    array: np.ndarray, bands: Sequence[int] | None, alpha: int | None, colours: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Grey or red, green, blue `[y, x, 1 | 3]`, and alpha `[y, x]` where there is one.

    Args:
        array: `[y, x, band]`.
        bands: as in `Values`; None: all there are.
        alpha: the place of the band that is said to be alpha, if any.
        colours: how many of the first bands are said to be grey or red, green, blue.

    Raises:
        BandsError: there are fewer bands than asked for, or so many that somebody has to say.
    """
    count = array.shape[2]
    if bands is not None:
        if max(bands) > count:
            has = f"{count} band{'s' if count > 1 else ''}"
            raise BandsError(f"has {has}, and --bands asks for band {max(bands)}")
        picked = array[:, :, [band - 1 for band in bands]]
        if len(bands) in (2, 4):
            return picked[:, :, :-1], picked[:, :, -1]
        return picked, None
    clear = None if alpha is None else array[:, :, alpha]
    rest = [place for place in range(count) if place != alpha][:colours]
    if len(rest) not in (1, 3):
        raise BandsError(
            f"has {count} bands, and nothing says which are red, green and blue or alpha: say it "
            "with --bands, such as 3,2,1, or 1,2,3,4 where the fourth is alpha"
        )
    return (array if len(rest) == count else array[:, :, rest]), clear


def as_image_array(source: Any, values: Values) -> np.ndarray:
    """An array or tensor as `[y, x, band]`, from `[y, x]`, `[y, x, band]` or `[band, y, x]`.

    The bands are as many as the target sees, or 1 to 4, or the shorter axis if `values` says which
    of them are shown. Tensors have them first where both could be meant, arrays last.

    Raises:
        UsageError: it is no array of numbers, or has no shape of an image.
    """
    first = hasattr(source, "detach") and hasattr(source, "cpu")
    if first:
        tensor = source.detach().cpu()
        if tensor.is_floating_point() and tensor.dtype.itemsize == 2:
            tensor = tensor.float()  # numpy has no bfloat16
        array = tensor.numpy()
    else:
        array = np.asarray(source) if hasattr(source, "__array__") else np.empty(0, "U1")
    if array.dtype.kind not in "buif":
        expected = "a PIL image, an array, a tensor, encoded bytes or a path"
        raise misuse("image", expected, Verbatim(type(source).__name__))
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim == 3:
        sizes = array.shape[0], array.shape[2]
        leads, ends = (size == values.seen for size in sizes)
        if not (leads or ends):
            leads, ends = (1 <= size <= 4 for size in sizes)
        if values.bands is not None and not (leads or ends):  # then they are the shorter axis
            leads, ends = sizes[0] <= sizes[1], sizes[1] <= sizes[0]
        if leads and (first or not ends):
            return array.transpose(1, 2, 0)
        if ends or 0 in array.shape:
            return array
    raise misuse(
        "image",
        "an array [height, width], [height, width, channel] or [channel, height, width] "
        "with 1 to 4 channels",
        Verbatim(f"the shape {list(array.shape)}"),
        "Of more channels, bands says which are red, green and blue.",
    )
