"""Files whose values have more than 8 bits, or whose bands Pillow would take for others.

Pillow reads 16-bit colour as 8 bits, and four bands as red, green, blue and alpha. Such files are
read by tifffile, imagecodecs and numpy, with all their bits; everything else stays with Pillow.
"""

from __future__ import annotations

import importlib
import io
import logging
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

from neuronym._core.errors import CorruptImageError
from neuronym.inputs.probes.values import as_image_array, choose

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
        read: the bands to take → the values `[y, x, 1 | 3]`, and alpha `[y, x]` or None.
        orientation: as EXIF and TIFF number it.
    """

    size: tuple[int, int]
    read: Callable[[Sequence[int] | None], tuple[np.ndarray, np.ndarray | None]]
    orientation: int = 1


def look(data: bytes) -> Deep | None:
    """The header of a file that Pillow would not read right; None for all others.

    Raises:
        NeedsPackageError: a package is missing that reads it.
        CorruptImageError: the header is damaged.
    """
    for magic, reader in _READERS:
        if data.startswith(magic):
            try:
                return reader(data)
            except CorruptImageError:
                raise
            except Exception as error:  # a damaged file can make a reader raise nearly anything
                raise CorruptImageError(f"cannot be decoded: {_reason(error)}") from error
    return None


def _png(data: bytes) -> Deep | None:
    if len(data) < 33 or data[24] != 16:
        return None
    width, height = struct.unpack(">II", data[16:24])

    def read(bands: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray | None]:
        if data[25] == 0:  # grey: Pillow keeps all bits
            array = np.asarray(PngImagePlugin.PngImageFile(io.BytesIO(data)))
        else:
            array = _package("imagecodecs", "a PNG with 16 bits a value").png_decode(data)
        return _chosen(array, bands, alpha=array.ndim == 3 and array.shape[2] in (2, 4))

    return Deep((width, height), read)


def _jpeg2000(data: bytes) -> Deep | None:
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0:
        return None
    _, _, right, bottom, left, top = struct.unpack(">HHIIII", data[start + 4 : start + 24])
    if (data[start + 42] & 0x7F) < 8:
        return None

    def read(bands: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray | None]:
        codecs = _package("imagecodecs", "a JPEG 2000 file with more than 8 bits a value")
        return _chosen(codecs.jpeg2k_decode(data), bands)

    return Deep((right - left, bottom - top), read)


def _jpeg_xl(data: bytes) -> Deep:
    array = _package("imagecodecs", "a JPEG XL file").jpegxl_decode(data)
    array = array[0] if array.ndim == 4 else array  # of animations the first frame

    def read(bands: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray | None]:
        # The format knows grey and RGB; what follows is alpha.
        return _chosen(array, bands, alpha=array.ndim == 3 and array.shape[2] in (2, 4))

    return Deep((array.shape[1], array.shape[0]), read)


def _npy(data: bytes) -> Deep:
    return _array(np.load(io.BytesIO(data), allow_pickle=False))


def _npz(data: bytes) -> Deep | None:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            return None
        names = file.files
        if max(info.file_size for info in file.zip.infolist()) > MAX_BYTES:
            raise CorruptImageError(f"holds an array of more than {MAX_BYTES >> 20} MB")
        if len(names) != 1 and "image" not in names:
            raise CorruptImageError(
                f"holds {len(names)} arrays ({', '.join(names[:4])}), none of them called image"
            )
        return _array(file[names[0] if len(names) == 1 else "image"])


def _array(array: np.ndarray) -> Deep:
    if array.ndim not in (2, 3):
        shape = " × ".join(map(str, array.shape)) or "one number"
        raise CorruptImageError(
            f"holds an array of {shape}, which is no image; many images in one file are opened "
            "with arrays:PATH"
        )

    def read(bands: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray | None]:
        return choose(as_image_array(array, bands), bands, None)

    first = array.ndim == 3 and as_image_array(array, (1,)).shape[0] != array.shape[0]
    height, width = array.shape[1:] if first else array.shape[:2]
    return Deep((width, height), read)


def _tiff(data: bytes) -> Deep | None:
    tags = _tags(data)
    bits, kinds = tags.get(258, (1,)), tags.get(339, (1,))
    count, photometric = int(tags.get(277, 1)), tags.get(262, 1)
    extra = tuple(tags.get(338, ()))
    colours = _COLOURS.get(photometric, 1)
    alpha = extra.index(2) if 2 in extra else extra.index(1) if 1 in extra else None
    eight = max(bits) <= 8 and set(kinds) == {1}
    usual = count == colours or (count == colours + 1 and len(extra) == 1 and alpha == 0)
    named = photometric == 2 and count == 4 and extra == (0,)  # Pillow drops the fourth, too
    if eight and (usual or named):
        return None
    known = 3 if photometric == 2 else None  # RGB, and bands beside them
    whole = None
    if count == 1 and not _installed("tifffile"):  # Pillow keeps all bits, and turns it upright
        whole = TiffImagePlugin.TiffImageFile(io.BytesIO(data))

    def read(bands: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray | None]:
        array = np.asarray(whole)[:, :, None] if whole else _read_tiff(data, count, bands)
        nodata = str(tags.get(_NODATA, "")).strip("\0 ")
        place = None if alpha is None or bands else count - len(extra) + alpha
        values, clear = choose(array, bands, place, known)
        values = _without(values, nodata)
        if photometric == 0 and bands is None:  # white is 0
            values = _negative(values)
        return values, clear

    if whole is not None:
        return Deep(whole.size, read)
    orientation = int(tags.get(_ORIENTATION, 1))
    return Deep((int(tags[256]), int(tags[257])), read, orientation)


def _tags(data: bytes) -> Any:
    """The tags of a TIFF file's first image."""
    big = data[2:4] in (b"+\0", b"\0+")
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if big else 8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    return tags


def _read_tiff(data: bytes, count: int, bands: Sequence[int] | None) -> np.ndarray:
    tifffile = _package("tifffile", "a TIFF file with more than 8 bits a value or many bands")
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            array = page.asarray()
            if page.axes == "SYX":
                array = np.moveaxis(array, 0, 2)
            pages = file.series[0].shape
            if bands and count == 1 and len(pages) == 3 and pages[0] >= max(bands):
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


def _chosen(
    array: np.ndarray, bands: Sequence[int] | None, alpha: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    array = array[:, :, None] if array.ndim == 2 else array
    return choose(array, bands, array.shape[2] - 1 if alpha else None)


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


_READERS: tuple[tuple[bytes, Callable[[bytes], Deep | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    *((magic, _tiff) for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"\x93NUMPY", _npy),
    (b"PK\x03\x04", _npz),
    (b"\xff\x0a", _jpeg_xl),
    (b"\0\0\0\x0cJXL \r\n\x87\n", _jpeg_xl),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _jpeg2000),
    (b"\xff\x4f\xff\x51", _jpeg2000),
)
