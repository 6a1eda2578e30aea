"""`neuronym figure`: one figure of an atlas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuronym.cli.options import (
    AtlasArgument,
    JsonOption,
    LayersOption,
    MethodOption,
    SignificantOption,
    TruthOption,
    listed,
)
from neuronym.cli.output import aside, print_files, print_json


def figure(
    atlas: AtlasArgument,
    name: Annotated[
        str, typer.Argument(metavar="FIGURE", help="Such as scores; see `neuronym list figures`.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=".png, .svg or .pdf. Default: FIGURE.png."),
    ] = None,
    layers: LayersOption = None,
    method: MethodOption = None,
    significant: SignificantOption = False,
    truth: TruthOption = None,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER:UNIT", help="For the figure neuron: which. Default: a top-scoring one."
        ),
    ] = None,
    images: Annotated[
        int, typer.Option(metavar="N", min=1, help="For the figure neuron: how many images.")
    ] = 16,
    json: JsonOption = False,
) -> None:
    """Draw a figure of an atlas.

    Examples:

      neuronym figure demo-atlas scores

      neuronym figure demo-atlas accuracy --truth classes --out accuracy.svg

      neuronym figure demo-atlas neuron --unit _fc:417 --images 10
    """
    from neuronym.atlas.reader import open_atlas
    from neuronym.report.figures import check_format, save, style
    from neuronym.report.plots.base import FIGURES, draw, select

    FIGURES[name]
    path = out or Path(f"{name}.png")
    check_format(path)
    how: dict[str, Any] = {"method": method, "truth": truth, "unit": unit, "images": images}
    seen = select(open_atlas(atlas, significant=significant), layers=listed(layers), **how)
    with aside(), style():
        save(draw(name, seen), path)
    if json:
        print_json(
            {"figure": str(path), "name": name, "method": seen.method, "layers": seen.layers}
        )
    else:
        print_files({"Figure": path})
