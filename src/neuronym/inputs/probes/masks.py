"""Masks in files: one image per photograph whose pixel values are codes of names."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import CorruptImageError, NeuronymError
from neuronym.inputs.probes import images
from neuronym.inputs.probes.base import Annotation, Mask, RawImage, valid_text

#: The category of masks whose names come without one.
OBJECT = "object"
_SUFFIXES = (".png", ".PNG", ".tif", ".tiff", ".bmp", ".gif")
_NAME_FILES = ("labels.csv", "labels.txt")


class MaskFolder:
    """Masks that lie in a folder of their own, under the same relative paths as the images.

    Args:
        root: the folder of masks.
        names: what each code stands for; pixels with other codes are unlabelled.
    """

    def __init__(self, root: Path, names: dict[int, Annotation]) -> None:
        self._root, self._names = root, names

    def vocabulary(self) -> Sequence[Annotation]:
        return sorted(set(self._names.values()))

    def read(self, image: str, raw: RawImage) -> Sequence[Mask]:
        """The masks of one image; none if it has no mask file.

        Args:
            image: its path below the folder of images.
            raw: the image itself, for its size.
        """
        stem = self._root / PurePosixPath(image).with_suffix("")
        for suffix in _SUFFIXES:
            path = stem.with_name(stem.name + suffix)
            if path.is_file():
                codes = fit(read_codes(path), raw.size, path)
                return split_codes(codes, self._names)
        return ()


def read_codes(path: Path) -> np.ndarray:
    """The codes of an index image, integers `[height, width]`; of an RGB one, red + 256 · green.

    Raises:
        CorruptImageError: unreadable, or without codes.
    """
    shown = valid_text(str(path))
    try:
        mask = images.open_header(images.read_file(path))
        mask.load()
        values = np.asarray(mask, np.uint8 if mask.mode == "1" else None)
    except CorruptImageError as error:
        raise CorruptImageError(f"the mask {shown} {error}") from error
    except Exception as error:
        raise CorruptImageError(f"the mask {shown} cannot be decoded: {error}") from error
    if mask.mode in ("RGB", "RGBA"):
        return values[:, :, 0] + 256 * values[:, :, 1].astype(np.int32)
    if values.ndim != 2 or not values.size or values.dtype.kind not in "iu":
        raise CorruptImageError(f"the mask {shown} is not an index image")
    return values


def fit(codes: np.ndarray, size: tuple[int, int], path: Path) -> np.ndarray:
    """Codes brought to an image's width and height by taking the nearest pixel.

    Output row i shows input row ⌊(i + ½) · input height / output height⌋.

    Raises:
        CorruptImageError: the mask lies across: it was drawn before the image was turned upright.
    """
    width, height = size
    if codes.shape == (height, width):
        return codes
    if codes.shape == (width, height):
        raise CorruptImageError(
            f"the mask {valid_text(str(path))} is {codes.shape[1]} × {codes.shape[0]} pixels, the "
            f"upright image {width} × {height}: turn the mask as the image's EXIF orientation says"
        )
    rows = (2 * np.arange(height) + 1) * codes.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * codes.shape[1] // (2 * width)
    return codes[rows[:, None], columns[None, :]]


def present(codes: np.ndarray) -> list[int]:
    """The codes that occur, ascending."""
    if int(codes.min()) < 0 or int(codes.max()) > 0xFFFF:
        return np.unique(codes).tolist()
    return np.flatnonzero(np.bincount(codes.ravel())).tolist()  # ten times faster than sorting


def split_codes(codes: np.ndarray, names: dict[int, Annotation]) -> list[Mask]:
    """One boolean mask per name that occurs, sorted; several codes of one name are joined."""
    pixels: dict[Annotation, np.ndarray] = {}
    for code in present(codes):
        entry = names.get(code)
        if entry is not None:
            here = codes == code
            pixels[entry] = pixels[entry] | here if entry in pixels else here
    return [Mask(entry.category, entry.name, pixels[entry]) for entry in sorted(pixels)]


def read_names(names: str | None, beside: Sequence[Path]) -> dict[int, Annotation]:
    """What the codes of masks stand for.

    Args:
        names: `sky|building|…` for the codes 0, 1, …; or a file; or None to look for `labels.csv`
            or `labels.txt` in the folders `beside`. A .csv file has rows `code,name[,category]`,
            with or without a header; a .txt file has the name of code 0 in its first line. An
            empty name leaves its code out.

    Raises:
        UsageError: no names, or a file that does not exist.
        NeuronymError: a malformed row.
    """
    if names is not None and "|" in names:
        return _numbered(names.split("|"))
    if names is not None:
        paths = [Path(names).expanduser()]
    else:
        paths = [folder / file for folder in beside for file in _NAME_FILES]
    for path in paths:
        if path.is_file():
            table = _read_csv(path) if path.suffix == ".csv" else _read_lines(path)
            if not table:
                raise NeuronymError(f"{path} names no codes.")
            return table
    remedy = (
        "Write names=sky|building|… for the codes 0, 1, …, or names=FILE, or put a labels.csv "
        "(code,name,category) beside the folder of masks; masks=no ignores them."
    )
    if names is not None:
        raise misuse("names", "a list a|b|… or an existing file", names, remedy)
    raise misuse("masks", "have names for their codes", Verbatim("none"), remedy)


def _numbered(names: Sequence[str]) -> dict[int, Annotation]:
    stripped = [valid_text(name.strip()) for name in names]
    return {code: Annotation(OBJECT, name) for code, name in enumerate(stripped) if name}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise NeuronymError(f"{path} is not readable as UTF-8 text: {error}.") from error


def _read_lines(path: Path) -> dict[int, Annotation]:
    return _numbered(_text(path).rstrip("\n").split("\n"))


def _read_csv(path: Path) -> dict[int, Annotation]:
    table: dict[int, Annotation] = {}
    for number, row in enumerate(csv.reader(_text(path).splitlines()), start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and not cells[0].isdecimal()):
            continue
        if len(cells) < 2 or not cells[0].isdecimal():
            raise NeuronymError(
                f"{path}, line {number}: expected code,name[,category], got {','.join(row)!r}."
            )
        if int(cells[0]) in table:
            raise NeuronymError(f"{path}, line {number}: the code {cells[0]} has two names.")
        if cells[1]:
            category = cells[2] if len(cells) > 2 and cells[2] else OBJECT
            table[int(cells[0])] = Annotation(category, cells[1])
    return table
