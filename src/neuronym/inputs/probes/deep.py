"""Files whose values have more than 8 bits, or whose bands Pillow would take for others.

Pillow reads 16-bit colour as 8 bits, and four bands as red, green, blue and alpha. Such files are
read by tifffile, imagecodecs and numpy, with all their bits; everything else stays with Pillow.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

from neuronym._core.errors import CorruptImageError
from neuronym.inputs.probes.values import Values, as_image_array, choose

#: Files that always have 8 bits a value, by their endings: nobody has to look inside.
EIGHT_BIT = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".apng", ".ico", ".avif", ".heic"}
    | {".heif", ".ppm", ".pgm", ".pbm", ".pnm"}
)
#: Kinds of array files.
ARRAYS = frozenset({".npy", ".npz"})
#: Files above this many bytes are refused.
MAX_BYTES = 1 << 30
# tifffile logs damaged tags on stderr, although it reads on or raises.
logging.getLogger("tifffile").addHandler(logging.NullHandler())
_ORIENTATION = 274
_NODATA = 42113
#: Bands that a TIFF's photometric interpretation names: grey, grey, RGB, palette, CMYK, YCbCr, Lab.
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}


class NeedsPackageError(CorruptImageError):
    """A file that could be read if a package were installed."""


@dataclass(frozen=True, eq=False)
class Deep:
    """The header of such a file, and how to read the rest.

    Attributes:
        size: width and height as stored, before it is turned upright.
        load: the values as stored, `[y, x, band]`.
        values: which of the bands are shown.
        alpha: the number of bands → the place of the one that the file says is alpha.
        colours: how many of the first bands the file says are red, green and blue.
        orientation: as EXIF and TIFF number it.
        nodata: the value of pixels that hold nothing, as a GeoTIFF writes it.
        negative: white is the lowest value.
    """

    size: tuple[int, int]
    load: Callable[[], np.ndarray]
    values: Values
    alpha: Callable[[int], int | None] = lambda count: None
    colours: int | None = None
    orientation: int = 1
    nodata: str = ""
    negative: bool = False

    def read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """All bands `[y, x, band]`; those that are shown, `[y, x, 1 | 3]`; alpha `[y, x]` or None.

        Raises:
            BandsError: nothing says which bands are shown.
        """
        array, bands = self.load(), self.values.bands
        shown, clear = choose(array, bands, self.alpha(array.shape[2]), self.colours)
        array, shown = (_without(part, self.nodata) for part in (array, shown))
        return array, _negative(shown) if self.negative and bands is None else shown, clear


def look(data: bytes, values: Values) -> Deep | None:
    """The header of a file that Pillow would not read right; None for all others.

    Args:
        data: the bytes of any file.
        values: which bands are shown, and whether the target sees all of them.

    Raises:
        NeedsPackageError: a package is missing that reads it.
        CorruptImageError: the header is damaged.
    """
    for magic, reader in _READERS:
        if data.startswith(magic):
            try:
                return reader(data, values)
            except CorruptImageError:
                raise
            except Exception as error:  # a damaged file can make a reader raise nearly anything
                raise CorruptImageError(f"cannot be decoded: {_reason(error)}") from error
    return None


def _png(data: bytes, values: Values) -> Deep | None:
    if len(data) < 33 or data[24] != 16:
        return None
    width, height = struct.unpack(">II", data[16:24])

    def load() -> np.ndarray:
        if data[25] == 0:  # grey: Pillow keeps all bits
            return np.asarray(PngImagePlugin.PngImageFile(io.BytesIO(data)))[:, :, None]
        array = _package("imagecodecs", "a PNG with 16 bits a value").png_decode(data)
        return np.atleast_3d(array)

    return Deep((width, height), load, values, _last)


def _jpeg2000(data: bytes, values: Values) -> Deep | None:
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0:
        return None
    _, _, right, bottom, left, top = struct.unpack(">HHIIII", data[start + 4 : start + 24])
    if (data[start + 42] & 0x7F) < 8:
        return None

    def load() -> np.ndarray:
        codecs = _package("imagecodecs", "a JPEG 2000 file with more than 8 bits a value")
        return np.atleast_3d(codecs.jpeg2k_decode(data))

    return Deep((right - left, bottom - top), load, values)


def _jpeg_xl(data: bytes, values: Values) -> Deep:
    array = _package("imagecodecs", "a JPEG XL file").jpegxl_decode(data)
    array = array[0] if array.ndim == 4 else array  # of animations the first frame

    # The format knows grey and RGB; what follows is alpha.
    return Deep((array.shape[1], array.shape[0]), lambda: np.atleast_3d(array), values, _last)


def _last(count: int) -> int | None:
    """The place of alpha behind grey, or behind red, green and blue."""
    return count - 1 if count in (2, 4) else None


def _npy(data: bytes, values: Values) -> Deep:
    return _array(np.load(io.BytesIO(data), allow_pickle=False), values)


def _npz(data: bytes, values: Values) -> Deep | None:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            return None
        names = file.files
        if file.zip is not None and max(i.file_size for i in file.zip.infolist()) > MAX_BYTES:
            raise CorruptImageError(f"holds an array of more than {MAX_BYTES >> 20} MB")
        if len(names) != 1 and "image" not in names:
            raise CorruptImageError(
                f"holds {len(names)} arrays ({', '.join(names[:4])}), none of them called image"
            )
        return _array(file[names[0] if len(names) == 1 else "image"], values)


def _array(array: np.ndarray, values: Values) -> Deep:
    if array.ndim not in (2, 3):
        shape = " × ".join(map(str, array.shape)) or "one number"
        raise CorruptImageError(
            f"holds an array of {shape}, which is no image; many images in one file are opened "
            "with arrays:PATH"
        )

    # The size is known whatever is shown.
    height, width = as_image_array(array, replace(values, bands=values.bands or (1,))).shape[:2]
    return Deep((width, height), lambda: as_image_array(array, values), values)


def _tiff(data: bytes, values: Values) -> Deep | None:
    tags = _tags(data)
    bits, kinds = tags.get(258, (1,)), tags.get(339, (1,))
    count, photometric = int(tags.get(277, 1)), tags.get(262, 1)
    extra = tuple(tags.get(338, ()))
    colours = _COLOURS.get(photometric, 1)
    alpha = extra.index(2) if 2 in extra else extra.index(1) if 1 in extra else None
    eight = max(bits) <= 8 and set(kinds) == {1}
    usual = count == colours or (count == colours + 1 and len(extra) == 1 and alpha == 0)
    # Pillow drops the fourth, too.
    named = photometric == 2 and count == 4 and extra == (0,) and values.seen is None
    wanted = values.seen or max(values.bands or (1,))
    pages = wanted if count == 1 < wanted and photometric in (0, 1) and tags.next else 0
    if eight and (usual or named) and not pages:
        return None
    whole = None
    if (
        count == 1 and not pages and not _installed("tifffile")
    ):  # Pillow keeps all bits, and turns it upright
        whole = TiffImagePlugin.TiffImageFile(io.BytesIO(data))

    def load() -> np.ndarray:
        return np.asarray(whole)[:, :, None] if whole else _read_tiff(data, pages)

    place = None if alpha is None else count - len(extra) + alpha
    return Deep(
        whole.size if whole else (int(tags[256]), int(tags[257])),
        load,
        values,
        lambda count: place,
        3 if photometric == 2 else None,  # RGB, and bands beside them
        1 if whole else int(tags.get(_ORIENTATION, 1)),
        str(tags.get(_NODATA, "")).strip("\0 "),
        photometric == 0,
    )


def _tags(data: bytes) -> Any:
    """The tags of a TIFF file's first image."""
    big = data[2:4] in (b"+\0", b"\0+")
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if big else 8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    return tags


def _read_tiff(data: bytes, wanted: int) -> np.ndarray:
    """The values `[y, x, band]` of the first page, or of at least `wanted` pages that are bands."""
    tifffile = _package("tifffile", "a TIFF file with more than 8 bits a value or many bands")
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            array = page.asarray()
            if page.axes == "SYX":
                array = np.moveaxis(array, 0, 2)
            pages = file.series[0].shape
            if wanted and len(pages) == 3 and pages[0] >= wanted:
                array = np.moveaxis(file.series[0].asarray(), 0, 2)  # one page for each band
    except Exception as error:
        if "imagecodecs" in str(error) and not _installed("imagecodecs"):
            raise _needs("a compressed TIFF file") from error
        raise
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3:
        raise CorruptImageError(f"holds an array of {' × '.join(map(str, array.shape))}")
    return array


def _without(values: np.ndarray, nodata: str) -> np.ndarray:
    """With the pixels that hold nothing, as the file says, NaN; of integers masked."""
    try:
        absent = values == float(nodata)
    except ValueError:
        return values
    if not absent.any():
        return values
    if values.dtype.kind == "f":
        return np.where(absent, np.nan, values)
    return np.ma.masked_array(values, absent)


def _negative(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        return -values
    bounds = np.iinfo(values.dtype)
    return (bounds.max - (values - bounds.min)).astype(values.dtype)


def lacking(suffix: str) -> str:
    """What has to be installed before files with this ending can be read; empty: nothing."""
    Image.init()
    if suffix in (".heic", ".heif", ".hif"):
        return "" if "HEIF" in Image.OPEN or heif() else "pillow-heif"
    if suffix == ".avif":
        return "" if "AVIF" in Image.OPEN else "Pillow 11.3 or later"
    if suffix == ".jxl":
        return "" if _installed("imagecodecs") else '"neuronym[images]"'
    return ""


def heif() -> bool:
    """Let Pillow read HEIF, which cameras of telephones write, if pillow-heif is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def unreadable(data: bytes) -> str | None:
    """What a file is that Pillow does not know, if a package would read it."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
        return "is HEIF, which needs pillow-heif: pip install pillow-heif"
    if brand in (b"avif", b"avis"):
        return "is AVIF, which needs Pillow 11.3 or later: pip install --upgrade pillow"
    return None


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _package(name: str, what: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise _needs(what) from None


def _needs(what: str) -> NeedsPackageError:
    return NeedsPackageError(f'is {what}, which needs: pip install "neuronym[images]"')


def _reason(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error)) or type(error).__name__


_READERS: tuple[tuple[bytes, Callable[[bytes, Values], Deep | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    *((magic, _tiff) for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"\x93NUMPY", _npy),
    (b"PK\x03\x04", _npz),
    (b"\xff\x0a", _jpeg_xl),
    (b"\0\0\0\x0cJXL \r\n\x87\n", _jpeg_xl),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _jpeg2000),
    (b"\xff\x4f\xff\x51", _jpeg2000),
)
