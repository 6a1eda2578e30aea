"""`neuronym diff`: what changed between two atlases."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from neuronym._core import progress
from neuronym.cli.options import (
    CacheOption,
    DeviceOption,
    JsonOption,
    LayersOption,
    MethodOption,
    WorkersOption,
    listed,
)
from neuronym.cli.output import aside, print_files, print_json


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="The folder of an atlas: before.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The folder of an atlas: after.")],
    count: Annotated[
        int, typer.Option("-n", "--count", metavar="N", help="How many rows to show.", min=1)
    ] = 20,
    by: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="Compare units (two checkpoints), concepts (different networks), or auto.",
        ),
    ] = "auto",
    layers: LayersOption = None,
    method: MethodOption = None,
    same: Annotated[
        float,
        typer.Option(
            metavar="R",
            help="Correlation from which on a neuron counts as unchanged.",
            min=0,
            max=1,
        ),
    ] = 0.99,
    fdr: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Allowed share of false ones among what is listed.", min=0, max=1
        ),
    ] = 0.05,
    figure: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also draw the images that left and came: .png, .svg or .pdf.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the table: .parquet, .csv or .json."),
    ] = None,
    device: DeviceOption = "auto",
    workers: WorkersOption = 0,
    cache: CacheOption = None,
    json: JsonOption = False,
) -> None:
    """Show what changed from one atlas to another.

    Two checkpoints of one network are compared neuron by neuron: how far the responses to the same
    images changed, which images left and came, and the labels. Different networks are compared
    concept by concept, and their neurons are matched.

    Examples:

      neuronym diff before after

      neuronym diff before after -n 12 --figure changed.png --out changed.parquet
    """
    from neuronym.analysis.diff.run import diff as compare_atlases
    from neuronym.report import diff_sheet

    if figure is not None:
        from neuronym.report.figures import check_format

        check_format(figure)
    if out is not None:
        diff_sheet.check_format(out)
    with aside():
        found = compare_atlases(
            before,
            after,
            by=by,
            method=method,
            layers=listed(layers),
            same=same,
            fdr=fdr,
            device=device,
            workers=workers,
            cache=cache,
            progress=progress.automatic(),
        )
    if figure is not None and found.changed.empty:
        print("There is nothing to draw: no neuron is known to have changed.", file=sys.stderr)
        figure = None
    elif figure is not None:
        from neuronym.report.figures import save

        save(diff_sheet.draw(found, min(count, diff_sheet.DRAWN)), figure)
    if out is not None:
        diff_sheet.write(found, out)
    if json:
        print_json(diff_sheet.to_json(found, count))
        return
    diff_sheet.print_diff(found, count)
    print_files({"Figure": figure, "Table": out})
