"""`neuronym figure` and `neuronym report`: what an atlas shows, as pictures and as a page."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from neuronym._core.terminal import printable, size
from neuronym.cli.inspecting import AtlasArgument, MethodOption
from neuronym.cli.output import JsonOption, QuietOption, print_json

LayersOption = Annotated[
    str | None, typer.Option(metavar="L,…", help="Only these layers. Default: all.")
]
TruthOption = Annotated[
    str | None,
    typer.Option(
        metavar="TRUTH",
        help="Right labels: classes (unit i of the output layer is class i), annotations "
        "(people's, in the atlas), or a ground-truth file (.csv).",
    ),
]


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
    truth: TruthOption = None,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER:UNIT", help="For the figure neuron: which. Default: a striking one."
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
    from neuronym.report.figures import check_format, save, style
    from neuronym.report.plots.base import FIGURES, draw

    FIGURES[name]
    path = out or Path(f"{name}.png")
    check_format(path)
    seen = _view(atlas, layers, method, truth=truth, unit=unit, images=images)
    with contextlib.redirect_stdout(sys.stderr), style():
        save(draw(name, seen), path)
    if json:
        print_json(
            {"figure": str(path), "name": name, "method": seen.method, "layers": seen.layers}
        )
    else:
        print(printable(f"Figure: {path}"))


def report(
    atlas: AtlasArgument,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The page (.html), or Markdown (.md).")
    ] = Path("report.html"),
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="html or markdown. Default: by --out.",
            show_default=False,
        ),
    ] = None,
    layers: LayersOption = None,
    method: MethodOption = None,
    truth: TruthOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a report of an atlas: figures, tables, neurons, caveats, in one file.

    Examples:

      neuronym report demo-atlas

      neuronym report demo-atlas --truth classes --out report.md
    """
    from neuronym._core import progress
    from neuronym._core.checks import choice
    from neuronym.report import summary
    from neuronym.report.document import write

    if form is not None:
        choice("format", form, write.FORMATS)
        out = out if out != Path("report.html") else Path(f"report{write.FORMATS[form]}")
    write.prepare(out, form)
    shown = progress.automatic(quiet or json)
    seen = _view(atlas, layers, method, truth=truth)
    with contextlib.redirect_stdout(sys.stderr):
        made = write.build(seen, shown)
        files = write.write(made, out, form)
    if json:
        print_json(
            {
                "report": str(files[0]),
                "files": [str(file) for file in files],
                "sections": {part.name: part.title for part in made.sections},
                "lead": made.lead,
                "left_out": made.left_out,
                "facts": summary.facts(seen.atlas, seen.method),
            }
        )
        return
    if not quiet:
        for sentence in made.lead:
            print(printable(sentence))
        for missing in made.left_out:
            print(printable(f"Left out: {missing}"), file=sys.stderr)
    total = size(sum(file.stat().st_size for file in files))
    beside = f" and {len(files) - 1} images beside it" if len(files) > 1 else ""
    print(printable(f"Report: {files[0]}{beside} ({total})"))


def _view(atlas: str, layers: str | None, method: str | None, **options: object):
    from neuronym.atlas.reader import open_atlas
    from neuronym.report.plots.base import view

    chosen = [name.strip() for name in layers.split(",")] if layers else None
    return view(open_atlas(atlas), layers=chosen, method=method, **options)
