"""netdissect: a folder with one file per layer, of the best concept of each category."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from neuronym._core.checks import Verbatim, misuse
from neuronym.inputs.probes.broden import plain_name
from neuronym.interchange import _labels, _rows
from neuronym.interchange.base import FORMATS, Format, Published

_BEST = ["unit", "category", "label", "score"]
_COUNTS = ("truth", "activation", "intersect")
_GROUP = ("label", *_COUNTS, "iou")
_DETAILS = ("category", "name", *_COUNTS, "iou")
#: Before the layer in the names of published files: resnet50_imagenet_layer4.csv.
_PREFIX = re.compile(r"[a-z0-9]+_(?:imagenet|places365|places)_(?=.)")
#: What a concept of the probe is called whose name in the file is empty.
UNNAMED = "(unnamed)"


@FORMATS.register("netdissect")
class NetDissect(Format):
    """A folder of LAYER.csv or NETWORK_DATA_LAYER.csv: unit from 1; per category label and IoU.

    The labels of a unit are those of its categories, by IoU; names lose Broden's suffixes (`red-c`
    is `red`), and stand as they are in the column `name`. The columns of a unit that abstains, and
    of a category without a label, are empty.
    """

    name: ClassVar[str] = "netdissect"
    labels: ClassVar[int] = 1_000  # one per category
    details: ClassVar[tuple[str, ...]] = _DETAILS

    def files(self, path: Path) -> list[Path]:
        return _rows.csv_files(path)

    def read(self, path: Path) -> Published:
        files = self.files(path)
        names = [_rows.layer_of(_PREFIX.sub("", file.stem, 1)) for file in files]
        layers, known = {}, {}
        for layer, file in _rows.by_layer(files, names).items():
            header, *rows = _rows.read(file)
            known[layer] = categories = _categories(header)
            units = _rows.by_unit(rows, 0, "unit", first=1)
            labels = [_unit(row, categories) for row in units]
            layers[layer] = _labels.from_rows(labels, _DETAILS)
        return Published(layers, facts={"categories": known})

    def write(self, published: Published) -> dict[str, str]:
        return {
            _name(layer): _file(published, layer, _order(published, layer))
            for layer in published.layers
        }


def _name(layer: str) -> str:
    name = _rows.file_of(layer)
    # A layer whose own name looks like network, data and layer must not lose its beginning.
    return name.replace("_", "%5F") if _PREFIX.match(name) else name


def _categories(header: _rows.Row) -> list[str]:
    """The categories that the columns name."""
    cells = list(header.cells)
    found = [cell.removesuffix("-label") for cell in cells[len(_BEST) :: len(_GROUP)]]
    if cells != _columns(found) or not all(found) or not 0 < len(found) == len(set(found)):
        expected = f"{', '.join(_BEST)}, and for each category its {', '.join(_GROUP)}"
        shown = ", ".join(cells[:6])
        raise header.wrong("header", expected, shown)
    return found


def _columns(categories: Sequence[str]) -> list[str]:
    return [*_BEST, *(f"{category}-{name}" for category in categories for name in _GROUP)]


def _unit(row: _rows.Row, categories: Sequence[str]) -> list[_labels.Label]:
    """The labels of a unit, that of the category which the row says is the best first."""
    found: dict[str, tuple[Any, ...]] = {}
    for place, category in enumerate(categories):
        first = len(_BEST) + place * len(_GROUP)
        label, iou = row.cells[first], row.real(first + len(_GROUP) - 1, f"{category}-iou")
        counts: list[int | None] = [
            row.whole(first + 1 + i, f"{category}-{name}") if row.cells[first + 1 + i] else None
            for i, name in enumerate(_COUNTS)
        ]
        if not any(row.cells[first : first + len(_GROUP)]):
            continue
        if not 0 <= iou <= 1:  # NaN too
            got = row.cells[first + len(_GROUP) - 1]
            raise row.wrong(f"{category}-iou", "a number 0…1", got)
        concept = plain_name(label, category) or UNNAMED
        found[category] = (concept, iou, category, label, *counts, iou)
    best = row.cells[1]
    if not found and not any(row.cells[1 : len(_BEST)]):
        return []
    if best not in found:
        there = ", ".join(found) or "none: all are empty"
        raise row.wrong("category", f"one of the categories with a label ({there})", best)
    label, iou = row.cells[2], row.real(3, "score")
    _, highest, _, name, *_ = found[best]
    if (label, iou) != (name, highest) or not label:
        mine, theirs = f"{label}, {row.cells[3]}", f"{name}, {highest}"
        raise row.wrong("label and score", f"those of the category {best} ({theirs})", mine)
    rest = [entry for category, entry in found.items() if category != best]
    if rest and max(entry[1] for entry in rest) > iou:
        raise row.wrong("category", "that of the highest IoU", best)
    return [found[best], *sorted(rest, key=lambda entry: -entry[1])]


def _order(published: Published, layer: str) -> list[str]:
    """The categories of a layer in the order of the columns they came in; else sorted."""
    labels = published.layers[layer]
    if "category" not in labels.details or not {"iou", "detector"} & set(labels.details):
        got = Verbatim(f"labels with {', '.join(labels.details) or 'neither'}")
        raise misuse(
            "method",
            "one whose labels have a category and an IoU",
            got,
            "Make them with `neuronym label ATLAS --method netdissect`, or export another method.",
        )
    given = published.facts.get("categories", {}).get(layer)
    there = {row[2] for unit in _labels.rows(labels, _DETAILS) for row in unit}
    return list(given) if given and there <= set(given) else sorted(there)


def _file(published: Published, layer: str, categories: Sequence[str]) -> str:
    rows = []
    for unit, labels in enumerate(_labels.rows(published.layers[layer], _DETAILS), 1):
        best: dict[str, list[str]] = {}
        for concept, score, category, name, *counts, iou in labels:
            if name is None:  # labels of neuronym's own netdissect
                name = concept
            value = _rows.number(score if iou is None or math.isnan(iou) else iou)
            best.setdefault(category, [name, *map(_count, counts), value])
        cells = [cell for category in categories for cell in best.get(category, [""] * 5)]
        category = labels[0][2] if labels else ""
        head = [category, best[category][0], best[category][-1]] if labels else ["", "", ""]
        rows.append([str(unit), *head, *cells])
    return _rows.text(_columns(categories), rows)


def _count(value: Any) -> str:
    return "" if value is None or value != value else str(int(value))
