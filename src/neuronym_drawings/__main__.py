"""`python -m neuronym_drawings FOLDER`: contact sheets, one PNG for each kind of picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

from neuronym_drawings.catalogue import Picture, catalogue, draw


def sheet(rows: dict[str, list[Picture]], seed: int, side: int, columns: int) -> Image.Image:
    """The pictures of each name in a row under the name; the rows stand in `columns`."""
    high, long = side + 14, max(map(len, rows.values()))
    deep = -(-len(rows) // columns)
    whole = Image.new("RGB", (columns * (long * side + 8), deep * high), "white")
    pen = ImageDraw.Draw(whole)
    for place, (name, pictures) in enumerate(rows.items()):
        x, y = place // deep * (long * side + 8), place % deep * high
        pen.text((x, y), name, fill="black")
        for k, picture in enumerate(pictures):
            small = Image.fromarray(draw(picture, seed).pixels()).resize((side, side))
            whole.paste(small, (x + k * side, y + 13))
    return whole


def main() -> None:
    """Read the command line and write the sheets."""
    parser = argparse.ArgumentParser(prog="python -m neuronym_drawings", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", help="only this kind, for example object")
    parser.add_argument("--per-name", type=int, default=12, help="pictures of each name")
    parser.add_argument("--side", type=int, default=96, help="pixels of a picture's side")
    parser.add_argument("--columns", type=int, default=1)
    given = parser.parse_args()
    kinds: dict[str, dict[str, list[Picture]]] = {}
    for picture in catalogue(given.seed):
        kind, name, *_ = picture.id.split("/")
        row = kinds.setdefault(kind, {}).setdefault(name, [])
        if len(row) < given.per_name:
            row.append(picture)
    given.folder.mkdir(parents=True, exist_ok=True)
    for kind in given.kind or sorted(kinds):
        rows = dict(sorted(kinds[kind].items()))
        file = given.folder / f"{kind}.png"
        sheet(rows, given.seed, given.side, given.columns).save(file)
        print(file)


if __name__ == "__main__":
    main()
