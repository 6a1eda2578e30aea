"""Rows of CSV files: read with an eye on what can be wrong with them, written so that they return.

A file is UTF-8. Cells are quoted where they hold a comma, a quote or a line break, and are taken
as they stand otherwise: `null`, `nan` and blanks are text.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas import schema

#: More units no layer has; a number above would only make memory run out.
MAX_UNITS = 10_000_000
#: What float32 rounds to infinity begins half a step above its largest number.
_TOO_LARGE = float(2**128 - 2**103)


@dataclass(frozen=True)
class Row:
    """One record of a file, and the line on which it begins."""

    file: Path
    line: int
    cells: Sequence[str]

    def wrong(self, column: str, expected: str, got: object, remedy: str = "") -> UsageError:
        """The error for a cell: names the file and the line."""
        return malformed(self.file, self.line, str(misuse(column, expected, got, remedy)))

    def whole(self, place: int, column: str, low: int = 0, high: int = 2**53) -> int:
        """A cell as a whole number."""
        text = self.cells[place]
        if not re.fullmatch(r"[0-9]{1,16}", text) or not low <= int(text) <= high:
            bounds = f"a whole number of at least {low}" if high >= 2**53 else f"{low}…{high}"
            raise self.wrong(column, bounds, text)
        return int(text)

    def real(self, place: int, column: str) -> float:
        """A cell as a finite number that float32 can hold; NaN for an empty one."""
        text = self.cells[place]
        if not text:
            return math.nan
        if not re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text):
            raise self.wrong(column, "a number", text)
        if abs(float(text)) >= _TOO_LARGE:
            raise self.wrong(column, "a number that float32 can hold", text)
        return float(text)


def malformed(file: Path, line: int, what: str) -> UsageError:
    """The error for something wrong in a file."""
    return UsageError(f"{file}, line {line}: {what}")


def csv_files(path: Path) -> list[Path]:
    """A file, or the `.csv` files in a folder, numbers in their names counted as numbers.

    Raises:
        UsageError: there is nothing.
        NeuronymError: the folder cannot be read.
    """
    try:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise misuse(
                "path", "an existing file or folder", Verbatim(f"{path}, which is neither")
            )
        found = [p for p in path.iterdir() if p.suffix.lower() == ".csv" and p.is_file()]
    except OSError as error:
        raise NeuronymError(f"Cannot read {path}: {error.strerror or error}.") from error
    if not found:
        raise misuse("path", "a folder with .csv files", Verbatim(f"{path}, which has none"))
    return sorted(found, key=lambda p: [*_natural(p.name), p.name])


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(p), "") if p.isdecimal() else (0, 0, p) for p in parts]


def one_csv(path: Path) -> list[Path]:
    """A file, or the only `.csv` file in a folder.

    Raises:
        UsageError: there is none, or there are several.
    """
    found = csv_files(path)
    if len(found) > 1:
        names = ", ".join(p.name for p in found[:4])
        raise misuse("path", "one file", Verbatim(f"{path} with {len(found)} ({names}, …)"))
    return found


def layer_of(stem: str) -> str:
    """The layer that a file is named after; see `schema.file_name`."""
    return "" if stem == "%00" else unquote(stem, errors="replace")


def by_layer(files: Iterable[Path], layers: Iterable[str]) -> dict[str, Path]:
    """layer → file.

    Raises:
        UsageError: two files are named after the same layer.
    """
    found: dict[str, Path] = {}
    for file, layer in zip(files, layers, strict=True):
        if layer in found:
            raise UsageError(f"{found[layer]} and {file} are both named after the layer {layer}.")
        found[layer] = file
    return found


def file_of(layer: str) -> str:
    """The name of a layer's file."""
    return f"{schema.file_name(layer)}.csv"


def read(file: Path, header: Sequence[str] | None = None) -> list[Row]:
    """All records of a file; the first is its header. Blank lines are left out.

    Args:
        file: its path.
        header: what the first record must be. None: anything.

    Raises:
        UsageError: it is not UTF-8 CSV, has another header, or a record of another length.
        NeuronymError: it cannot be read.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise NeuronymError(f"Cannot read {file}: {error.strerror or error}.") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise malformed(file, line, "Not UTF-8. Save the file again as UTF-8.") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise malformed(file, line, "A zero byte: this is not a text file, or it is damaged.")
    found, reader = [], csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                found.append(Row(file, line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise malformed(file, line, f"Not CSV ({error}).") from error
    if not found:
        raise malformed(file, 1, "The file is empty.")
    if header is not None and list(found[0].cells) != list(header):
        expected, got = (
            f"{', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
            for names in (header, found[0].cells)
        )
        raise found[0].wrong("header", Verbatim(expected), Verbatim(got))
    for row in found[1:]:
        if len(row.cells) != len(found[0].cells):
            raise row.wrong("row", f"have {len(found[0].cells)} columns", len(row.cells))
    if len(found) == 1:
        raise malformed(file, 1, "There are no units, only a header.")
    return found


def by_unit(rows: Sequence[Row], place: int, column: str, first: int = 0) -> list[Row]:
    """The rows of a layer in the order of its units, each of which must be there once.

    Args:
        rows: at least one.
        place, column: where the unit's number stands, and what the column is called.
        first: the number of the first unit.

    Raises:
        UsageError: a number is none, is there twice, or is missing.
    """
    found: dict[int, Row] = {}
    for row in rows:
        unit = row.whole(place, column, first, MAX_UNITS)
        if unit in found:
            remedy = f"It stands in line {found[unit].line} too."
            raise row.wrong(column, "a unit that has no row yet", unit, remedy)
        found[unit] = row
    for unit in range(first, first + len(found)):
        if unit not in found:
            row = found[max(found)]
            raise row.wrong(
                column,
                f"a number counted from {first} on without a gap",
                row.cells[place],
                f"Unit {unit} is missing.",
            )
    return [found[unit] for unit in range(first, first + len(found))]


def text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A CSV file.

    Raises:
        UsageError: a cell holds a zero byte, which no reader of CSV takes.
    """
    return "".join(",".join(map(_cell, row)) + "\n" for row in (header, *rows))


def _cell(value: str) -> str:
    # Not csv.writer: before Python 3.13 it leaves a lone carriage return unquoted.
    if "\0" in value:
        raise misuse("cell", "text without zero bytes", value)
    return '"' + value.replace('"', '""') + '"' if re.search('[,"\r\n]', value) else value


def number(value: float) -> str:
    """The fewest digits that read back as the same number; empty for NaN."""
    return "" if math.isnan(value) else str(value)
