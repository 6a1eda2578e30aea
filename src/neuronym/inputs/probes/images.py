"""Decoding: any image file, PIL image, array or tensor to upright RGB.

The rules, the same for every source:

- The EXIF orientation is applied, and only the first frame of an animation or multi-page file
  counts.
- Transparent pixels lie on white, which is what a viewer shows; dropping the alpha channel would
  show the arbitrary colours that editors leave under it.
- Values of more than 8 bits become black to white by one range for all images (`values`), read by
  libraries that keep them whole (`deep`). PPM files say themselves what white is.
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
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from neuronym._core import hashing
from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import CorruptImageError, NeuronymError
from neuronym.inputs.probes import deep
from neuronym.inputs.probes.values import OVERSHOOT, BandsError, Values, as_image_array, choose

#: Images up to this many pixels are decoded exactly; above, at 1/2, 1/4 or 1/8 of their size.
EXACT_PIXELS = 50_000_000
#: Images above this many pixels are refused: real photographs end at about 200 megapixels.
MAX_PIXELS = 300_000_000
#: The limit of formats whose decoders need several times the memory of the pixels.
MAX_PIXELS_OF = dict.fromkeys(("WEBP", "JPEG2000", "AVIF", "HEIF"), 125_000_000)
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


# Pillow logs some damage on stderr, although it also raises.
logging.getLogger("PIL").addHandler(logging.NullHandler())


#: How an image on its own is shown.
ALONE = Values()
#: Floats below 0 and not above this are normalised ones, not pictures.
_NORMALISED = 32


def decode(data: bytes, values: Values = ALONE) -> Image.Image:
    """The image in an encoded file, RGB and upright.

    Safe to call from many threads at once; emits no warnings.

    Args:
        data: the bytes of a JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, JPEG 2000, AVIF, HEIF, JPEG XL,
            npy or npz file.
        values: what becomes black and white where these are not 8 bit, and which bands are shown.

    Returns:
        A loaded image of mode RGB. Above `EXACT_PIXELS` it is smaller than `size` says.

    Raises:
        CorruptImageError: not an image, truncated, damaged, or above the limit of its format.
    """
    silence()
    with _one_error():
        header = _look(data, values)
        if header is not None:
            factor = _factor(header.size[0] * header.size[1])
            with _in_turn(factor):
                _, colours, alpha = header.read()
                image = _shrunk(_picture(colours, alpha, values), factor)
            return _turned(image, header.orientation)
        image = open_header(data)
        factor = _factor(image.width * image.height)
        with _in_turn(factor):
            if factor > 1 and isinstance(image, _jpeg()):
                # The decoder itself scales: an eighth of the time, and no full image.
                image.draft(image.mode, (image.width // factor, image.height // factor))
            return _finish(image, values)


def with_bands(source: Any, values: Values) -> tuple[Image.Image, np.ndarray]:
    """What `decode` or `to_rgb` give, and all bands of the same image, uint8 `[y, x, band]`.

    Bands are in the order of the file or array, alpha among them. Those that are stored in other
    ways (a palette, CMYK) are red, green and blue.

    Raises:
        CorruptImageError, UsageError: as `decode` and `to_rgb`.
    """
    silence()
    with _one_error():
        header = _look(source, values) if isinstance(source, bytes) else None
        if header is None and isinstance(source, bytes):
            source = open_header(source)
        factor, orientation = 1, 1
        if header is not None:
            factor, orientation = _factor(header.size[0] * header.size[1]), header.orientation
        elif isinstance(source, Image.Image):
            factor, orientation = _factor(source.width * source.height), _orientation(source)
        with _in_turn(factor):
            if isinstance(source, Image.Image) and not _is_deep(source):
                image = _finish(source, values)
                array = np.atleast_3d(np.asarray(_plain(source)))
            else:
                parts = header.read() if header is not None else _of_python(source, values)
                array, colours, alpha = parts
                image = _turned(_shrunk(_picture(colours, alpha, values), factor), orientation)
            planes = [
                np.asarray(_turned(_shrunk(Image.fromarray(plane), factor), orientation))
                for plane in np.ascontiguousarray(np.moveaxis(values.to_bytes(array), 2, 0))
            ]
        return image, np.stack(planes, axis=2)


def size(data: bytes, values: Values = ALONE) -> tuple[int, int]:
    """Width and height of an encoded image once it is upright, from its header alone.

    Raises:
        CorruptImageError: the header is not that of an image, or declares too many pixels.
    """
    silence()
    with _one_error():
        header = _look(data, values)
        if header is not None:
            return header.size[::-1] if header.orientation >= 5 else header.size
        return _upright_size(open_header(data), header_only=True)


def size_of(source: Any, values: Values = ALONE) -> tuple[int, int]:
    """Width and height of a PIL image, array or tensor once it is upright."""
    if isinstance(source, Image.Image):
        return _upright_size(source, header_only=False)
    array = as_image_array(source, values)
    return array.shape[1], array.shape[0]


def to_rgb(source: Any, values: Values = ALONE) -> Image.Image:
    """A PIL image, array or tensor as an upright RGB image.

    Args:
        source: a PIL image of any mode; or an array or tensor of numbers, `[height, width]`,
            `[height, width, channel]` or `[channel, height, width]` with 1 (grey) or 3 (RGB)
            channels. Of other numbers of channels `values.bands` says which are meant.
        values: what becomes black and white where these are not 8 bit, and which bands are shown.

    Raises:
        CorruptImageError: the PIL image's file is damaged, or the array holds no pixels.
        UsageError: the shape or the values are not those of an image.
    """
    silence()
    with _one_error():
        if isinstance(source, Image.Image) and not _is_deep(source):
            with _in_turn(_factor(source.width * source.height)):
                return _finish(source, values)
        factor, orientation = 1, 1
        if isinstance(source, Image.Image):
            factor, orientation = _factor(source.width * source.height), _orientation(source)
        with _in_turn(factor):
            _, colours, alpha = _of_python(source, values)
            image = _shrunk(_picture(colours, alpha, values), factor)
        return _turned(image, orientation)


def deep_values(source: Any, values: Values) -> np.ndarray | None:
    """The values `[y, x, band]` of encoded bytes, a PIL image or an array; None: it has 8 bits.

    Those of the bands that are shown, or of all if the target sees them.

    Raises:
        CorruptImageError, UsageError: as `decode` and `to_rgb`.
    """
    with _one_error():
        if isinstance(source, bytes):
            header = _look(source, values)
            if header is None:
                return None
            every, colours, _ = header.read()
        elif isinstance(source, Image.Image) and not _is_deep(source):
            return None
        else:
            every, colours, _ = _of_python(source, values)
        return colours if values.seen is None else every


def content_hash(source: bytes | Any, values: Values = ALONE) -> str:
    """Hash of what an image is and how it is shown.

    Of encoded bytes with 8 bits a value: of the bytes. Of others: of the bytes and the range that
    becomes black to white. Of an image or array: of its RGB pixels, and of all its bands if the
    target sees them.
    """
    if not isinstance(source, bytes):
        if values.seen is None:
            return hashing.of_array(np.asarray(to_rgb(source, values)))
        parts = (np.asarray(part) for part in with_bands(source, values))
        return hashing.of_texts(hashing.of_array(part) for part in parts)
    try:
        plain = values.bands is None and deep.look(source, values) is None
    except CorruptImageError:
        plain = True  # that it is damaged is said when it is decoded
    chunks = [source] if plain else [source, values.token().encode()]
    return hashing.of_bytes(*chunks)


def _look(data: bytes, values: Values) -> deep.Deep | None:
    header = deep.look(data, values)
    if header is not None and header.size[0] * header.size[1] > MAX_PIXELS:
        raise _too_large(*header.size, MAX_PIXELS)
    return header


@contextmanager
def _one_error() -> Iterator[None]:
    """Whatever a decoder raises for a damaged file, as one kind of error."""
    try:
        yield
    except NeuronymError:
        raise
    except Exception as error:
        raise CorruptImageError(f"cannot be decoded: {_reason(error)}") from error


def _is_deep(image: Image.Image) -> bool:
    """Whether a PIL image has more than 8 bits, and no file that says what white is."""
    return (image.mode == "F" or image.mode.startswith("I")) and image.format != "PPM"


def _of_python(source: Any, values: Values) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """As `deep.Deep.read`."""
    if isinstance(source, Image.Image):
        source.load()
        array = np.asarray(source)[:, :, None]
        return array, *choose(array, values.bands, None)
    array = as_image_array(source, values)
    if 0 in array.shape:
        raise CorruptImageError("has no pixels")
    try:
        found, alpha = choose(array, values.bands, None)
    except BandsError as error:
        if values.seen is not None:
            raise
        raise misuse(
            "image",
            "grey (1 channel) or RGB (3 channels)",
            Verbatim(f"{array.shape[2]} channels"),
            "Say which are red, green and blue with bands (in Python bands=(3, 2, 1), on the "
            "command line --bands 3,2,1; 1,2,3,4 where the fourth is alpha).",
        ) from error
    if found.dtype.kind == "f" and values.range is None:
        every = found if values.seen is None else array
        finite = every[np.isfinite(every)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        if low < -OVERSHOOT and high <= _NORMALISED:
            raise misuse(
                "image",
                "an array of values in 0…1 or 0…255",
                Verbatim(f"{low:.3g}…{high:.3g}"),
                "Give images as they are before normalisation: neuronym normalises them itself. "
                'If these are the values as they are, say so with value_range="percentile".',
            )
    return array, found, alpha


def _picture(pixels: np.ndarray, alpha: np.ndarray | None, values: Values) -> Image.Image:
    """Values `[y, x, 1 | 3]` in RGB, on white where alpha `[y, x]` says that there is nothing."""
    if not pixels.size:
        raise CorruptImageError("has no pixels")
    grey = values.to_bytes(pixels)
    if alpha is not None:
        if alpha.dtype == np.bool_ or alpha.dtype.kind == "f":
            clear = np.clip(np.nan_to_num(alpha.astype(np.float64)), 0, 1) * 255
        else:
            clear = np.clip(alpha / (np.iinfo(alpha.dtype).max / 255), 0, 255)
        grey = np.dstack([grey, np.rint(clear).astype(np.uint8)])
    flat = grey[:, :, 0] if grey.shape[2] == 1 else grey
    return _rgb(Image.fromarray(np.ascontiguousarray(flat)))


def _shrunk(image: Image.Image, factor: int) -> Image.Image:
    return image.reduce(factor) if factor > 1 else image


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def read_file(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        CorruptImageError: the file is gone, unreadable, or above `deep.MAX_BYTES`.
    """
    try:
        # To open a pipe would wait for its other end.
        if stat.S_ISFIFO(os.stat(path).st_mode):
            raise CorruptImageError("is a pipe, not a file")
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > deep.MAX_BYTES:
                raise CorruptImageError(f"is larger than {deep.MAX_BYTES >> 20} MB")
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
    silence()
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
            raise _too_large(image.width, image.height, limit)
        return image
    if reasons:
        raise CorruptImageError(f"cannot be decoded: {reasons[0]}")
    if (needed := deep.unreadable(data)) is not None:
        raise deep.NeedsPackageError(needed)
    raise CorruptImageError(f"is not an image (it starts with {_shown(data[:8])})")


def _too_large(width: int, height: int, limit: int) -> CorruptImageError:
    return CorruptImageError(f"has {width} × {height} pixels, above the limit of {limit:,}")


def _shown(start: bytes) -> str:
    """The first bytes of a file for people: as text if it is one, else in hexadecimal."""
    text = start.decode("ascii", "replace")
    return f"“{text}”" if text.isprintable() and "\ufffd" not in text else start.hex(" ")


@functools.cache
def _openers() -> dict[str, tuple[Any, Any]]:
    """Pillow's table of formats, which it fills on demand."""
    Image.init()
    deep.heif()
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


def _finish(image: Image.Image, values: Values) -> Image.Image:
    """Load, convert to RGB, shrink if huge, turn upright."""
    image.load()
    if not image.width or not image.height:
        raise CorruptImageError("has no pixels")
    orientation = _orientation(image)
    if image.mode == "CMYK" and isinstance(image, _jpeg()) and "adobe" not in image.info:
        # Pillow takes every CMYK JPEG for an inverted one of Adobe's; without the marker it is not.
        image = ImageChops.invert(image)
    if values.bands is not None:
        image = _picked(image, values.bands)
    image = _reduced_rgb(image, _factor(image.width * image.height))
    return _turned(image, orientation)


def _plain(image: Image.Image) -> Image.Image:
    """With its bands as they are; what is stored in other ways becomes RGB."""
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _picked(image: Image.Image, bands: Sequence[int]) -> Image.Image:
    """The named bands of an image of 8 bits."""
    image = _plain(image)
    colours, alpha = choose(np.asarray(image).reshape(image.height, image.width, -1), bands, None)
    whole = colours if alpha is None else np.dstack([colours, alpha])
    return Image.fromarray(np.ascontiguousarray(whole[:, :, 0] if whole.shape[2] == 1 else whole))


def _in_turn(factor: int) -> AbstractContextManager[object]:
    return _ONE_HUGE if factor > 1 else nullcontext()


def _reduced_rgb(image: Image.Image, factor: int) -> Image.Image:
    """The image in RGB with both sides divided by `factor`, converted tile by tile."""
    if factor == 1 and image.mode == "RGB" and "transparency" not in image.info:
        return image
    wide = image.mode.startswith("I")  # a PPM file: Pillow has brought its white to 65535
    found = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for left, top, tile in _tiles(image):
        if wide:
            tile = Image.fromarray(np.clip(np.asarray(tile) >> 8, 0, 255).astype(np.uint8))
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
    file = getattr(image, "fp", None)
    data = file.getbuffer() if isinstance(file, io.BytesIO) else b""
    return b"eXIf" in bytes(data[-65_536:])


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def silence() -> None:
    """Ignore the warnings of Pillow's modules, once per list of filters.

    `warnings.catch_warnings` is not thread-safe, and a warning per damaged EXIF block would bury
    what the user should read: images that cannot be used are counted and named by the pass.
    """
    if not _QUIET or _QUIET[0] not in warnings.filters:
        # Of data sets that open files themselves, too: our own limits stand above.
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.")
        _QUIET[:] = [warnings.filters[0]]
