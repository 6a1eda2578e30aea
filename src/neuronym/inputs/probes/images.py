"""Decoding: any image file, PIL image, array or tensor to upright RGB.

The rules, the same for every source:

- The EXIF orientation is applied, and only the first frame of an animation or multi-page file
  counts.
- Transparent pixels lie on white, which is what a viewer shows; dropping the alpha channel would
  show the arbitrary colours that editors leave under it.
- 16-bit channels keep their high byte, so that 0…65535 becomes 0…255. Other number formats are
  scaled by the range that their values fit into (see `_bytes_of`).
- Colour profiles are ignored, as in the pipelines that vision networks were trained with.
- Images above `EXACT_PIXELS` come back reduced by a whole factor, and only one of them is decoded
  at a time. The decoder's own memory remains, by measurement 4 bytes per pixel for PNG, 4 to 7 for
  progressive JPEG, 6 for TIFF of floats, and 9 to 18 for WebP, AVIF and JPEG 2000: at the limits of
  the formats, 1.3 GB for PNG and about 2 GB for the others. Above its limit an image is refused.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import CorruptImageError

#: Images up to this many pixels are decoded exactly; above, at 1/2, 1/4 or 1/8 of their size.
EXACT_PIXELS = 50_000_000
#: Images above this many pixels are refused: real photographs end at about 200 megapixels.
MAX_PIXELS = 300_000_000
#: The limit of formats whose decoders need several times the memory of the pixels.
MAX_PIXELS_OF = dict.fromkeys(("WEBP", "JPEG2000", "AVIF", "HEIF"), 125_000_000)
#: Files above this many bytes are refused.
MAX_BYTES = 1 << 30
# Pillow opens more formats than these: some start other programs (EPS), some have no signature and
# take anything for an image (TGA). HEIF is there once pillow-heif has been registered.
_FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "PPM",
    "JPEG2000",
    "AVIF",
    "HEIF",
    "ICO",
)
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pixels are converted in squares of this side, a multiple of every factor: a huge image and its
# converted copy are never in memory together.
_TILE = 2048
# Held while an image above EXACT_PIXELS is decoded.
_ONE_HUGE = threading.Lock()
_QUIET: list[Any] = []


def _size_of_array(source: Any) -> tuple[int, int]:
    """Width and height of an array or tensor, in pixels."""
    array = _hwc(*_values(source))
    return array.shape[1], array.shape[0]


def _array_to_image(source: Any) -> Image.Image:
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


# Pillow logs some damage on stderr, although it also raises.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def decode(data: bytes) -> Image.Image:
    """The image in an encoded file, RGB and upright.

    Safe to call from many threads at once; emits no warnings.

    Args:
        data: the bytes of a JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, JPEG 2000 or AVIF file.

    Returns:
        A loaded image of mode RGB. Above `EXACT_PIXELS` it is smaller than `size` says.

    Raises:
        CorruptImageError: not an image, truncated, damaged, or above the limit of its format.
    """
    try:
        image = open_header(data)
        factor = _factor(image.width * image.height)
        with _in_turn(factor):
            if factor > 1 and isinstance(image, _jpeg()):
                # The decoder itself scales: an eighth of the time, and no full image.
                image.draft(image.mode, (image.width // factor, image.height // factor))
            return _finish(image)
    except CorruptImageError:
        raise
    except Exception as error:  # a damaged file can make a decoder raise nearly anything
        raise CorruptImageError(f"cannot be decoded: {_reason(error)}") from error


def size(data: bytes) -> tuple[int, int]:
    """Width and height of an encoded image once it is upright, from its header alone.

    Raises:
        CorruptImageError: the header is not that of an image, or declares too many pixels.
    """
    try:
        image = open_header(data)
        return _upright_size(image, header_only=True)
    except CorruptImageError:
        raise
    except Exception as error:
        raise CorruptImageError(f"cannot be decoded: {_reason(error)}") from error


def size_of(source: Any) -> tuple[int, int]:
    """Width and height of a PIL image, array or tensor once it is upright."""
    if isinstance(source, Image.Image):
        return _upright_size(source, header_only=False)
    return _size_of_array(source)


def to_rgb(source: Any) -> Image.Image:
    """A PIL image, array or tensor as an upright RGB image.

    Args:
        source: a PIL image of any mode; or a uint8, uint16, bool or float array or tensor,
            `[height, width]`, `[height, width, channel]` or `[channel, height, width]` with 1
            (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels. Floats lie in 0…1 or in 0…255.

    Raises:
        CorruptImageError: the PIL image's file is damaged, or the array holds no pixels.
        UsageError: the shape or the values are not those of an image.
    """
    if not isinstance(source, Image.Image):
        return _finish(_array_to_image(source))
    try:
        with _in_turn(_factor(source.width * source.height)):
            return _finish(source)
    except CorruptImageError:
        raise
    except Exception as error:
        raise CorruptImageError(f"cannot be decoded: {_reason(error)}") from error


def read_file(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        CorruptImageError: the file is gone, unreadable, or above `MAX_BYTES`.
    """
    try:
        # To open a pipe would wait for its other end.
        if stat.S_ISFIFO(os.stat(path).st_mode):
            raise CorruptImageError("is a pipe, not a file")
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise CorruptImageError(f"is larger than {MAX_BYTES >> 20} MB")
            return file.read()
    except OSError as error:
        raise CorruptImageError(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the path
        raise CorruptImageError(f"cannot be read: {error}") from error


def open_header(data: bytes) -> Image.Image:
    """The image with its header read and its pixels not yet, as it is in the file.

    As `Image.open` for the formats we read, with our own limit in place of Pillow's, which cannot
    be changed for one caller only.

    Raises:
        CorruptImageError: not an image, or above the limit of its format.
    """
    _silence()
    if not data:
        raise CorruptImageError("is an empty file")
    reasons = []
    for kind in _FORMATS:
        factory, accept = _openers().get(kind, (None, None))
        accepted = accept(data[:16]) if accept is not None else True
        if factory is None or not accepted or isinstance(accepted, str):  # a text says why not
            continue
        try:
            image = factory(io.BytesIO(data), "")
        except Exception as error:
            reasons.append(_reason(error))
            continue
        limit = min(MAX_PIXELS, MAX_PIXELS_OF.get(kind, MAX_PIXELS))
        if image.width * image.height > limit:
            raise CorruptImageError(
                f"has {image.width} × {image.height} pixels, above the limit of {limit:,}"
            )
        return image
    if reasons:
        raise CorruptImageError(f"cannot be decoded: {reasons[0]}")
    raise CorruptImageError(f"is not an image (it starts with {_shown(data[:8])})")


def _shown(start: bytes) -> str:
    """The first bytes of a file for people: as text if it is one, else in hexadecimal."""
    text = start.decode("ascii", "replace")
    return f"“{text}”" if text.isprintable() and "\ufffd" not in text else start.hex(" ")


@functools.cache
def _openers() -> dict[str, tuple[Any, Any]]:
    """Pillow's table of formats, which it fills on demand."""
    Image.init()
    return Image.OPEN


@functools.cache
def _jpeg() -> type:
    from PIL.JpegImagePlugin import JpegImageFile

    return JpegImageFile


def _factor(pixels: int) -> int:
    """The whole factor by which both sides shrink so that at most `EXACT_PIXELS` remain."""
    factor = 1
    while pixels > EXACT_PIXELS * factor**2:
        factor *= 2
    return factor


def _finish(image: Image.Image) -> Image.Image:
    """Load, convert to RGB, shrink if huge, turn upright."""
    _silence()
    image.load()
    if not image.width or not image.height:
        raise CorruptImageError("has no pixels")
    turn = _UPRIGHT.get(_orientation(image))
    if image.mode == "CMYK" and isinstance(image, _jpeg()) and "adobe" not in image.info:
        # Pillow takes every CMYK JPEG for an inverted one of Adobe's; without the marker it is not.
        image = ImageChops.invert(image)
    image = _reduced_rgb(image, _factor(image.width * image.height))
    return image.transpose(turn) if turn is not None else image


def _in_turn(factor: int) -> AbstractContextManager[object]:
    return _ONE_HUGE if factor > 1 else nullcontext()


def _reduced_rgb(image: Image.Image, factor: int) -> Image.Image:
    """The image in RGB with both sides divided by `factor`, converted tile by tile."""
    if factor == 1 and image.mode == "RGB" and "transparency" not in image.info:
        return image
    wide = image.mode == "F" or image.mode.startswith("I")
    white = _range(image) if wide and not _is_16_bit(image) else None
    found = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for left, top, tile in _tiles(image):
        if wide:
            tile = Image.fromarray(_bytes_of(np.asarray(tile), white))
        tile = _rgb(tile)
        tile = tile.reduce(factor) if factor > 1 else tile
        found.paste(tile, (left // factor, top // factor))
    return found


def _tiles(image: Image.Image) -> Iterator[tuple[int, int, Image.Image]]:
    for top in range(0, image.height, _TILE):
        for left in range(0, image.width, _TILE):
            right, bottom = min(left + _TILE, image.width), min(top + _TILE, image.height)
            yield left, top, image.crop((left, top, right, bottom))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _is_16_bit(image: Image.Image) -> bool:
    """PNG and PPM know no wider integers, although Pillow may give these 32 bits."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _range(image: Image.Image) -> tuple[float, float]:
    """The values that become black and white in a grey image of 32-bit integers or floats.

    These files do not say what white is: the first of 0…1 (floats), 0…255, 0…65535 that holds all
    values is taken, else the range from the smallest to the largest value.
    """
    low, high = np.inf, -np.inf
    for _, _, tile in _tiles(image):
        values = _finite(np.asarray(tile))
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    for white in (1, 255, 65535):
        if low >= 0 and high <= white and (white > 1 or image.mode == "F"):
            return 0, white
    return low, high


def _bytes_of(values: np.ndarray, limits: tuple[float, float] | None) -> np.ndarray:
    """Grey values with more than 8 bits as uint8: by their range, or the high byte of 16 bits."""
    if limits is None:
        return np.clip(values >> 8, 0, 255).astype(np.uint8)
    low, high = limits
    return np.round((_finite(values) - low) * (255 / max(high - low, 1e-300))).astype(np.uint8)


def _finite(values: np.ndarray) -> np.ndarray:
    """float64, with black in place of NaN and infinities."""
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _upright_size(image: Image.Image, header_only: bool) -> tuple[int, int]:
    turned = _orientation(image, header_only) >= 5
    return (image.height, image.width) if turned else (image.width, image.height)


def _orientation(image: Image.Image, header_only: bool = False) -> int:
    """The EXIF orientation that is still to be applied, 1 where none is readable."""
    if image.format == "TIFF":
        return 1  # Pillow turns TIFF files itself, and gives their upright size from the start
    if header_only and image.format == "PNG" and not _has_exif(image):
        return 1  # to look for EXIF behind the pixels Pillow would decode them
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF is no reason to lose the pixels
        return 1
    return value if value in _UPRIGHT else 1


def _has_exif(image: Image.Image) -> bool:
    head = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}
    if not head.isdisjoint(image.info):
        return True
    data = image.fp.getbuffer() if isinstance(image.fp, io.BytesIO) else b""
    return b"eXIf" in bytes(data[-65_536:])


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _silence() -> None:
    """Ignore the warnings of Pillow's modules, once per list of filters.

    `warnings.catch_warnings` is not thread-safe, and a warning per damaged EXIF block would bury
    what the user should read: images that cannot be used are counted and named by the pass.
    """
    if not _QUIET or _QUIET[0] not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        _QUIET[:] = [warnings.filters[0]]
