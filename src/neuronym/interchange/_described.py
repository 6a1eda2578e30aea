"""What clip-dissect and milan share: one row per unit with a description, and perhaps a score."""

from __future__ import annotations

import math
from pathlib import Path

from neuronym.interchange import _labels, _rows
from neuronym.interchange.base import Published

_HEADER = ["layer", "unit", "description"]
files = _rows.one_csv


def read(path: Path, *score: str) -> Published:
    """Read a file whose rows end with a score of this name, if one is given."""
    (file,) = files(path)
    layers: dict[str, list[_rows.Row]] = {}
    for row in _rows.read(file, [*_HEADER, *score])[1:]:
        if not row.cells[0]:
            raise row.wrong("layer", "a name", "")
        layers.setdefault(row.cells[0], []).append(row)
    return Published(
        {
            layer: _labels.from_rows(
                [_label(row, *score) for row in _rows.by_unit(rows, 1, "unit")]
            )
            for layer, rows in layers.items()
        }
    )


def _label(row: _rows.Row, *score: str) -> list[_labels.Label]:
    value = row.real(3, *score) if score else math.nan
    if row.cells[2]:
        return [(row.cells[2], value)]
    if not math.isnan(value):
        raise row.wrong(score[0], "empty without a description", row.cells[3])
    return []


def write(published: Published, *score: str) -> str:
    """The text of such a file."""
    rows = []
    for layer, labels in published.layers.items():
        for unit, found in enumerate(_labels.rows(labels)):
            concept, value = found[0] if found else ("", math.nan)
            rows.append([layer, str(unit), concept, *([_rows.number(value)] if score else [])])
    return _rows.text([*_HEADER, *score], rows)
