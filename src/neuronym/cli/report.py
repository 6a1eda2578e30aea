"""`neuronym report`: what an atlas shows, as one document."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronym._core import progress
from neuronym._core.checks import choice
from neuronym._core.terminal import printable, size
from neuronym.cli.options import (
    AtlasArgument,
    JsonOption,
    LayersOption,
    MethodOption,
    QuietOption,
    SignificantOption,
    TruthOption,
    listed,
)
from neuronym.cli.output import aside, print_json

if TYPE_CHECKING:
    from neuronym.report.document.blocks import Document
    from neuronym.report.plots.base import Selection


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
    significant: SignificantOption = False,
    truth: TruthOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a report of an atlas: figures, tables, neurons, caveats, in one file.

    Examples:

      neuronym report demo-atlas

      neuronym report demo-atlas --truth classes --out report.md
    """
    from neuronym.atlas.reader import open_atlas
    from neuronym.report.document import compose
    from neuronym.report.plots.base import select

    if form is not None:
        choice("format", form, compose.FORMATS)
        out = out if out != Path("report.html") else Path(f"report{compose.FORMATS[form]}")
    compose.prepare(out, form)
    shown = progress.automatic(quiet or json)
    seen = select(
        open_atlas(atlas, significant=significant),
        layers=listed(layers),
        method=method,
        truth=truth,
    )
    with aside():
        made = compose.build(seen, shown)
        files = compose.write(made, out, form)
    if json:
        _print_json(made, files, seen)
    else:
        _print(made, files, quiet)


def _print_json(made: Document, files: list[Path], seen: Selection) -> None:
    from neuronym.report import summary

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


def _print(made: Document, files: list[Path], quiet: bool) -> None:
    if not quiet:
        for sentence in made.lead:
            print(printable(sentence))
        for missing in made.left_out:
            print(printable(f"Left out: {missing}"), file=sys.stderr)
    total = size(sum(file.stat().st_size for file in files))
    beside = f" and {len(files) - 1} images beside it" if len(files) > 1 else ""
    print(printable(f"Report: {files[0]}{beside} ({total})"))
