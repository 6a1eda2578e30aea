"""Arrays and tensors as images."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import CorruptImageError


def size(source: Any) -> tuple[int, int]:
    """Width and height of an array or tensor, in pixels."""
    array = _hwc(*_values(source))
    return array.shape[1], array.shape[0]


def to_image(source: Any) -> Image.Image:
    """An array or tensor as a PIL image of mode L, LA, RGB or RGBA.

    Raises:
        CorruptImageError: it holds no pixels.
        UsageError: its shape or its values are not those of an image.
    """
    array = _hwc(*_values(source))
    if 0 in array.shape:
        raise CorruptImageError("has no pixels")
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 255):  # also catches NaN
            raise misuse(
                "image",
                "an array of values in 0…1 or 0…255",
                Verbatim(f"{low:.3g}…{high:.3g}"),
                "Give images as they are before normalisation: neuronym normalises them itself.",
            )
        scale = 255 if array.dtype.kind == "f" and high <= 1 else 1
        array = np.round(array * scale).astype(np.uint8)
    flat = array[:, :, 0] if array.shape[2] == 1 else array
    return Image.fromarray(np.ascontiguousarray(flat))


def _values(source: Any) -> tuple[np.ndarray, bool]:
    """The values of an array or tensor, and whether the channels are expected to come first."""
    if hasattr(source, "detach") and hasattr(source, "cpu"):
        tensor = source.detach().cpu()
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy(), True
    array = np.asarray(source) if hasattr(source, "__array__") else None
    if array is None or array.dtype.kind not in "buif":
        raise misuse(
            "image",
            "a PIL image, an array, a tensor, encoded bytes or a path",
            Verbatim(type(source).__name__),
        )
    return array, False


def _hwc(array: np.ndarray, channels_first: bool) -> np.ndarray:
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim == 3:
        first, last = array.shape[0] in (1, 2, 3, 4), array.shape[2] in (1, 2, 3, 4)
        if first and (channels_first or not last):
            return array.transpose(1, 2, 0)
        if last:
            return array
    raise misuse(
        "image",
        "an array [height, width], [height, width, channel] or [channel, height, width] "
        "with 1 to 4 channels",
        Verbatim(f"the shape {list(array.shape)}"),
    )
