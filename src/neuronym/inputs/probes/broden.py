"""Broden, the broadly and densely labelled data set of Network Dissection, as its authors ship it.

```
broden1_224/
  index.csv        image,split,ih,iw,sh,sw,<one column per category>
  label.csv        number,name,category,frequency,coverage,syns
  c_<category>.csv code,number,name,frequency,coverage
  images/          photographs and mask files
```

A cell of a category's column holds numbers, which label the whole image, or names of mask files
(in `images/`), in which a pixel's number is red + 256 · green; several are separated by `;`. The
numbers are those of `label.csv`, 0 is unlabelled. The categories that a number occurs in stand in
the `c_` files, or, without these, in `label.csv`.

Reference: Bau, Zhou, Khosla, Oliva, Torralba: Network Dissection, CVPR 2017.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuronym._core.checks import Verbatim, choice, misuse
from neuronym._core.errors import CorruptImageError, NeuronymError
from neuronym._core.registry import Name, known_params, write
from neuronym.inputs.probes import images
from neuronym.inputs.probes.base import PROBES, Annotation, Mask, Probe, RawImage, valid_text
from neuronym.inputs.probes.masks import fit, present, read_codes, split_codes

#: Where to look for Broden when the name does not say.
VARIABLE = "NEURONYM_BRODEN"
_USUAL = ("broden1_224", "dataset/broden1_224")
_META = ("image", "split", "ih", "iw", "sh", "sw")


@PROBES.register("broden", syntax="broden[:PATH][,split=train|val]", example="broden:broden1_224")
def open_broden(name: Name) -> Probe:
    """Broden in its original layout: image-wide labels and pixel masks of six categories.

    Raises:
        UsageError: no Broden at the path, or no such split.
        NeuronymError: a malformed table, named by file and line.
    """
    known_params(name, "split")
    return BrodenProbe(_find(name.detail), valid_text(write(name)), name.params.get("split"))


def _find(detail: str) -> Path:
    if detail:
        root = Path(detail).expanduser()
        if not (root / "index.csv").is_file():
            raise misuse(
                "broden",
                "a folder with index.csv, label.csv and images/",
                Verbatim(f"{root}, {_what_is(root)}"),
            )
        return root
    given = os.environ.get(VARIABLE)
    for place in [given] if given else _USUAL:
        if (Path(place).expanduser() / "index.csv").is_file():
            return Path(place).expanduser()
    looked = f"{VARIABLE}={given}" if given else ", ".join(_USUAL)
    raise misuse(
        "probe",
        "broden:PATH with the folder of Broden",
        Verbatim(f"no path, and there is none at {looked}"),
        f"Broden can also be given by the variable {VARIABLE}. Without it, use the embedded probe "
        "`synthetic`, or your own images with folder:PATH.",
    )


def _what_is(root: Path) -> str:
    if not root.exists():
        return "which does not exist"
    return "which has no index.csv" if root.is_dir() else "which is a file"


@dataclass(frozen=True)
class _Row:
    """One image: its path, the numbers and the mask files per category."""

    image: str
    numbers: tuple[tuple[str, int], ...]
    masks: tuple[tuple[str, str], ...]


class BrodenProbe(Probe):
    """The images of Broden in the order of index.csv.

    The id of an image is its path below `images/`. Names lose the suffix that says their
    category: colour `red-c` becomes `red`, scene `street-s` becomes `street`.

    Args:
        root: the folder with index.csv.
        name: the name that opens it again.
        split: keep the images of this split only.
    """

    def __init__(self, root: Path, name: str, split: str | None = None) -> None:
        self.name = name
        self._root = root
        self._names = _label_names(root)
        self._categories: list[str] = []
        rows = list(self._read_index())
        if split is not None:
            choice("split", split, sorted({part for part, _ in rows}))
        self._rows = [row for part, row in rows if split in (None, part)]
        if not self._rows:
            raise NeuronymError(f"{root / 'index.csv'} lists no images.")

    def __len__(self) -> int:
        return len(self._rows)

    def image_id(self, index: int) -> str:
        return self._rows[index].image

    def source(self, index: int) -> str | None:
        return valid_text(str(self._root / "images" / self._rows[index].image))

    def read(self, index: int) -> RawImage:
        return RawImage(images.read_file(self._root / "images" / self._rows[index].image))

    def labels(self, index: int) -> Sequence[Annotation]:
        found = (self._annotation(cat, number) for cat, number in self._rows[index].numbers)
        return tuple(dict.fromkeys(found))

    def masks(self, index: int) -> Sequence[Mask]:
        row = self._rows[index]
        if not row.masks:
            return ()
        size = self.read(index).size
        # A category may come in several layers (parts of parts): a name's pixels are joined.
        joined: dict[Annotation, np.ndarray] = {}
        for category, file in row.masks:
            path = self._root / "images" / file
            codes = read_codes(path)
            names = self._names_in(codes, category, path)
            for mask in split_codes(fit(codes, size, path), names):
                key = Annotation(mask.category, mask.name)
                joined[key] = joined[key] | mask.pixels if key in joined else mask.pixels
        return [Mask(key.category, key.name, joined[key]) for key in sorted(joined)]

    def vocabulary(self) -> Sequence[Annotation]:
        entries = set()
        listed = _numbers_by_category(self._root, self._categories)
        for category in self._categories:
            for number in listed[category]:
                if number in self._names:
                    entries.add(self._annotation(category, number))
        for row in self._rows:
            entries.update(self._annotation(category, number) for category, number in row.numbers)
        return sorted(entries)

    def _annotation(self, category: str, number: int) -> Annotation:
        return Annotation(category, plain_name(self._names[number], category))

    def _names_in(self, codes: np.ndarray, category: str, path: Path) -> dict[int, Annotation]:
        """The names of the numbers that a mask file holds."""
        names = {}
        for number in present(codes):
            if number == 0:
                continue
            if number not in self._names:
                shown = valid_text(str(path))
                raise CorruptImageError(f"the mask {shown} holds {number}, a number without a name")
            names[number] = self._annotation(category, number)
        return names

    def _read_index(self) -> Iterator[tuple[str, _Row]]:
        path = self._root / "index.csv"
        seen: dict[str, int] = {}
        for line, row in _table(path, ("image", "split")):
            if not self._categories:
                self._categories = [column for column in row if column not in _META]
            image = row["image"]
            if not image:
                raise NeuronymError(f"{path}, line {line}: the column image is empty.")
            if image in seen:
                raise NeuronymError(
                    f"{path}, line {line}: {image} is already in line {seen[image]}."
                )
            seen[image] = line
            numbers, masks = [], []
            for category in self._categories:
                where = f"{path}, line {line}, column {category}"
                for item in filter(None, map(str.strip, row[category].split(";"))):
                    if not item.isdecimal():
                        masks.append((category, _mask_file(item, where)))
                    elif int(item) and int(item) not in self._names:
                        raise NeuronymError(f"{where}: the number {item} has no name in label.csv.")
                    elif int(item):
                        numbers.append((category, int(item)))
            yield row["split"], _Row(image, tuple(numbers), tuple(masks))


def _mask_file(item: str, where: str) -> str:
    if not re.search(r"\.\w+$", item):
        raise NeuronymError(
            f"{where}: expected numbers or mask files separated by ';', got {item!r}."
        )
    return item


def plain_name(name: str, category: str) -> str:
    """The name without the suffix of its category: ("red-c", "color") → "red"."""
    suffix = f"-{category[:1]}"
    return name[: -len(suffix)] if name.endswith(suffix) and len(name) > len(suffix) else name


def _label_names(root: Path) -> dict[int, str]:
    """What the numbers stand for: from label.csv, else from all c_ files."""
    path = root / "label.csv"
    tables = [path] if path.is_file() else sorted(root.glob("c_*.csv"))
    names: dict[int, str] = {}
    for table in tables:
        for line, row in _table(table, ("number", "name")):
            number = _number(table, line, row["number"])
            if names.setdefault(number, row["name"]) != row["name"]:
                raise NeuronymError(
                    f"{table}, line {line}: the number {number} has two names, "
                    f"{names[number]!r} and {row['name']!r}."
                )
    if not names:
        raise NeuronymError(f"{root} has neither a label.csv nor c_*.csv files with names in them.")
    return names


def _numbers_by_category(root: Path, categories: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {category: [] for category in categories}
    for category in categories:
        path = root / f"c_{category}.csv"
        if path.is_file():
            rows = _table(path, ("number",))
            found[category] = [_number(path, line, row["number"]) for line, row in rows]
    path = root / "label.csv"
    if path.is_file():
        for line, row in _table(path, ("number",)):
            # For example `material(36);object(3)`: the counts are of no interest here.
            for item in (row.get("category") or "").split(";"):
                category = item.partition("(")[0].strip()
                if category in found and not (root / f"c_{category}.csv").is_file():
                    found[category].append(_number(path, line, row["number"]))
    return found


def _number(path: Path, line: int, text: str) -> int:
    if not text.strip().isdecimal():
        raise NeuronymError(f"{path}, line {line}: expected a whole number, got {text!r}.")
    return int(text)


def _table(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with a header, with their line numbers. All cells stay text."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            absent = [column for column in needed if column not in (reader.fieldnames or ())]
            if absent:
                raise NeuronymError(f"{path}, line 1: the column {absent[0]} is missing.")
            for row in reader:
                extra = row.pop(None, [])
                cells = sum(value is not None for value in row.values()) + len(extra)
                if cells != len(row) or extra:
                    raise NeuronymError(
                        f"{path}, line {reader.line_num}: expected {len(row)} cells as in the "
                        f"header, got {cells}."
                    )
                yield reader.line_num, row
    except csv.Error as error:
        raise NeuronymError(f"{path}, line {reader.reader.line_num}: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise NeuronymError(f"{path} is not readable as UTF-8 text: {error}.") from error
