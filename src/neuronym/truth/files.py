"""Ground truth as CSV: what a spreadsheet or the site writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from neuronym._checks import misuse, nearest
from neuronym._errors import NeuronymError, UsageError
from neuronym._files import atomic_write
from neuronym.atlas import Atlas
from neuronym.truth.base import COLUMNS, Answer

_SHOWN = 5  # malformed rows that are named


def read_answers(
    path: str | Path, atlas: Atlas | None = None, *, other_layers: bool = False
) -> list[Answer]:
    """The answers of a ground-truth file, in its order.

    The columns are `layer`, `unit`, `label`, `status`, `annotator`, `time`, in any order; further
    ones are ignored. Only `layer`, `unit` and one of `label` and `status` must be there: a label
    without a status has the status `label`; without an annotator the file's name stands for one,
    without a time that of the file. Commas, semicolons or tabs separate.

    Args:
        path: of the file, UTF-8 with or without byte-order mark.
        atlas: whose units the rows must be of. None: any.
        other_layers: leave out rows of layers that the atlas does not have, in place of refusing.

    Raises:
        UsageError: malformed rows, each named with its line. Nothing is read then.
        NeuronymError: the file cannot be read.
    """
    path = Path(path)
    answers: list[Answer] = []
    wrong: list[str] = []
    for line, row in _rows(path):
        if atlas is not None and other_layers and row.get("layer", "") not in atlas.layers:
            continue
        try:
            answers.append(_answer(row, atlas))
        except UsageError as error:
            wrong.append(f"line {line}: {error}")
    if wrong:
        more = f" … and {len(wrong) - _SHOWN:,} more." if len(wrong) > _SHOWN else ""
        plural = "rows" if len(wrong) > 1 else "row"
        raise UsageError(
            f"{path} has {len(wrong):,} malformed {plural}, so nothing of it is used. "
            + " ".join(wrong[:_SHOWN]) + more
        )  # fmt: skip
    if not answers:
        raise misuse("truth", "rows about the atlas's units", str(path),
                     "See docs/ground-truth.md.")  # fmt: skip
    return answers


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of each row that is not blank; defaults are filled in."""
    try:
        text = path.read_text("utf-8-sig")
        modified = path.stat().st_mtime
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise NeuronymError(f"Cannot read {path}: {why or error}.") from error
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    headings = [(heading or "").strip().lower() for heading in reader.fieldnames or []]
    lacking = [name for name in ("layer", "unit") if name not in headings]
    lacking += [] if {"label", "status"} & set(headings) else ["label"]
    if lacking:
        near = nearest(lacking[0], headings)
        remedy = f"Did you mean {near[0]!r}?" if near else "See docs/ground-truth.md."
        raise misuse(str(path), f"have the columns {', '.join(COLUMNS)}", headings, remedy)
    reader.fieldnames = headings
    default = {"annotator": path.stem, "time": datetime.fromtimestamp(modified, UTC).isoformat()}
    try:
        for row in reader:
            extra = row.pop(None, None)  # type: ignore[call-overload]
            cells = {k: (v or "").strip() for k, v in row.items() if k in COLUMNS}
            if extra or None in row.values():
                cells["layer"] = ""  # refused below, with its line
                cells["status"] = "too many cells" if extra else "too few cells"
            elif not any(cells.values()):
                continue
            yield reader.line_num, cells | {k: v for k, v in default.items() if not cells.get(k)}
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}. Nothing was read.") from error


def _answer(row: dict[str, str], atlas: Atlas | None) -> Answer:
    if not row.get("layer"):
        raise misuse("row", "layer, unit, label and status", row.get("status") or "no layer")
    label = row.get("label", "")
    status = row.get("status", "").lower() or ("label" if label else "")
    if not status:
        raise misuse("status", "given where there is no label", "")
    answer = Answer(row["layer"], row["unit"], status, label, row["annotator"], row["time"])  # type: ignore[arg-type]
    if atlas is not None:
        atlas.check_unit(answer.layer, answer.unit)
    return answer


def write_answers(answers: Iterable[Answer], path: str | Path) -> None:
    """Write a ground-truth file that `read_answers` reads as the same answers."""
    with atomic_write(Path(path), "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(answer, name) for name in COLUMNS] for answer in answers)
