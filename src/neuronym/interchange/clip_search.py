"""clip-search: a folder with one file per layer, of labels, similarities and images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

from neuronym.interchange import _labels, _rows
from neuronym.interchange.base import FORMATS, Format, Published

_LABELS, _IMAGES = 10, 20
_HEADER = ["", *map(str, range(2 * _LABELS + _IMAGES))]


@FORMATS.register("clip-search", syntax="clip-search", example="clip-search")
class ClipSearch(Format):
    """A folder of LAYER.csv: unit from 0; 10 concepts; 10 similarities; 20 image paths, best first.

    Cells stay empty where a unit has fewer of them; a unit that abstains has no concepts.
    """

    name: ClassVar[str] = "clip-search"
    labels: ClassVar[int] = _LABELS
    listed: ClassVar[int] = _IMAGES

    def files(self, path: Path) -> list[Path]:
        return _rows.csv_files(path)

    def read(self, path: Path) -> Published:
        files = self.files(path)
        layers, images = {}, {}
        named = _rows.by_layer(files, [_rows.layer_of(file.stem) for file in files])
        for layer, file in named.items():
            units = _rows.by_unit(_rows.read(file, _HEADER)[1:], 0, "unit")
            layers[layer] = _labels.from_rows([_unit(row) for row in units])
            images[layer] = [_images(row) for row in units]
        return Published(layers, images)

    def write(self, published: Published) -> dict[str, str]:
        return {_rows.file_of(layer): _file(published, layer) for layer in published.layers}


def _unit(row: _rows.Row) -> list[_labels.Label]:
    found: list[_labels.Label] = []
    for rank in range(1, _LABELS + 1):
        concept, score = row.cells[rank], row.real(_LABELS + rank, f"similarity {rank}")
        if not concept:
            if not math.isnan(score):
                raise row.wrong(f"similarity {rank}", "empty without a concept", score)
            continue
        if len(found) < rank - 1:
            raise row.wrong(f"concept {rank}", "empty behind an empty concept", concept)
        if found and score > found[-1][1]:
            expected = "at most the similarity before it"
            raise row.wrong(f"similarity {rank}", expected, row.cells[_LABELS + rank])
        found.append((concept, score))
    return found


def _images(row: _rows.Row) -> list[str]:
    cells = list(row.cells[1 + 2 * _LABELS :])
    count = next((place for place, cell in enumerate(cells) if not cell), len(cells))
    if any(cells[count:]):
        raise row.wrong(f"image {count + 1}", "a path, since there are images behind it", "")
    return cells[:count]


def _file(published: Published, layer: str) -> str:
    units = _labels.rows(published.layers[layer])
    images = published.images.get(layer) or [()] * len(published.layers[layer].reasons)
    rows = []
    for unit, (labels, listed) in enumerate(zip(units, images, strict=True)):
        concepts = [concept for concept, _ in labels[:_LABELS]]
        # As the study's own files: all digits of the float32 number.
        scores = [_rows.number(float(score)) for _, score in labels[:_LABELS]]
        cells = [concepts, scores, list(listed[:_IMAGES])]
        widths = (_LABELS, _LABELS, _IMAGES)
        filled = [c + [""] * (w - len(c)) for c, w in zip(cells, widths, strict=True)]
        rows.append([str(unit), *filled[0], *filled[1], *filled[2]])
    return _rows.text(_HEADER, rows)
