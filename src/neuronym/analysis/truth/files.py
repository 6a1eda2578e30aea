"""Ground truth as CSV: what a spreadsheet or the site writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neuronym._core.checks import Verbatim, misuse, nearest
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.storage import atomic_write
from neuronym.analysis.truth.base import COLUMNS, Answer
from neuronym.atlas.reader import Atlas

_SHOWN = 5  # malformed rows that are named
_WRONG = ""  # key of what is wrong with the number of cells; no column is called so


def read_answers(
    path: str | Path, atlas: Atlas | None = None, *, others: dict[str, int] | None = None
) -> list[Answer]:
    """The answers of a ground-truth file, in its order.

    The columns are `layer`, `unit`, `label`, `status`, `annotator`, `time`, in any order; further
    ones are ignored. Only `layer`, `unit` and one of `label` and `status` must be there: a label
    without a status has the status `label`; without an annotator the file's name stands for one,
    without a time that of the file. Commas, semicolons or tabs separate.

    Args:
        path: of the file, UTF-8 with or without byte-order mark.
        atlas: whose units the rows must be of. None: any.
        others: leave out rows of layers that the atlas does not have, in place of refusing, and
            count them here by layer.

    Raises:
        UsageError: malformed rows, each named with its line. Nothing is read then.
        NeuronymError: the file cannot be read.
    """
    path = Path(path)
    answers: list[Answer] = []
    wrong: list[str] = []
    for line, row in _rows(path):
        layer = row.get("layer")
        other = bool(others is not None and atlas and layer and layer not in atlas.layers)
        try:
            answer = _answer(row, None if other else atlas)
            if other and others is not None:
                others[answer.layer] = others.get(answer.layer, 0) + 1
            else:
                answers.append(answer)
        except UsageError as error:
            wrong.append(f"line {line}: {error}")
    if wrong:
        more = f" … and {len(wrong) - _SHOWN:,} more." if len(wrong) > _SHOWN else ""
        plural = "rows" if len(wrong) > 1 else "row"
        raise UsageError(
            f"{path} has {len(wrong):,} malformed {plural}, so nothing of it is used. "
            + " ".join(wrong[:_SHOWN])
            + more
        )
    if not answers:
        layers = f"of the layers {', '.join(atlas.layers)} " if atlas is not None else ""
        got = f"{path} with rows of {', '.join(others)}" if others else f"{path} without rows"
        raise misuse("truth", f"have rows about units {layers}".rstrip(), Verbatim(got))
    return answers


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """First line and cells of each row that is not blank; defaults are filled in."""
    try:
        text = path.read_text("utf-8-sig")
        modified = path.stat().st_mtime
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise NeuronymError(f"Cannot read {path}: {why or error}.") from error
    rows = _records(path, text)
    _, first = next(rows, (1, []))
    headings = [heading.strip().lower() for heading in first]
    _check_headings(path, headings)
    default = {"annotator": path.stem, "time": datetime.fromtimestamp(modified, UTC).isoformat()}
    for line, cells in rows:
        named = zip(headings, map(str.strip, cells), strict=False)
        row = {name: cell for name, cell in named if name in COLUMNS}
        if len(cells) != len(headings):
            row[_WRONG] = "too many cells" if len(cells) > len(headings) else "too few cells"
        elif not any(row.values()):
            continue
        yield line, row | {k: v for k, v in default.items() if not row.get(k)}


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV that are not blank, and the lines that they begin on."""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UsageError(
            f"{path}, line {line}: a zero byte, so this is no text file, or it is damaged. "
            "Nothing was read."
        )
    head = next((line for line in text.split("\n") if line.strip()), "")
    separator = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{path}, line {line}: {error}. Nothing was read.") from error


def _check_headings(path: Path, headings: list[str]) -> None:
    """Refuse a file without the columns that it must have, or with one of ours twice."""
    lacking = [name for name in ("layer", "unit") if name not in headings]
    lacking += [] if {"label", "status"} & set(headings) else ["label"]
    if lacking:
        near = nearest(lacking[0], set(headings) - set(COLUMNS))
        remedy = f"Did you mean {near[0]!r}?" if near else "See docs/ground-truth.md."
        got = Verbatim(", ".join(headings) or "none")
        raise misuse(
            str(path),
            f"have the columns {', '.join(COLUMNS)}",
            got,
            f"{lacking[0]} is missing. {remedy}",
        )
    twice = [name for name in COLUMNS if headings.count(name) > 1]
    if twice:
        raise misuse(str(path), "have each column once", Verbatim(f"{twice[0]} twice"))


def _answer(row: dict[str, str], atlas: Atlas | None) -> Answer:
    if _WRONG in row or not row["layer"]:
        got = row.get(_WRONG) or "no layer"
        raise misuse("row", "layer, unit, label and status", Verbatim(got))
    label, unit = row.get("label", ""), row["unit"]
    status = row.get("status", "").lower() or ("label" if label else "")
    if not status:
        raise misuse("status", "given where there is no label", "")
    if not (unit.isascii() and unit.isdigit()):  # int() also takes 1_0 and digits of other scripts
        raise misuse("unit", "a whole number of at least 0", unit)
    number: Any = unit  # which Answer reads
    answer = Answer(row["layer"], number, status, label, row["annotator"], row["time"])
    if atlas is not None:
        atlas.check_unit(answer.layer, answer.unit)
    return answer


def write_answers(answers: Iterable[Answer], path: str | Path) -> None:
    """Write a ground-truth file that `read_answers` reads as the same answers."""
    with atomic_write(Path(path), "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(answer, name) for name in COLUMNS] for answer in answers)
