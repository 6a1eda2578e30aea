"""`neuronym top`: the neurons one can rely on."""

from __future__ import annotations

from typing import Annotated

import typer

from neuronym.cli.options import (
    AtlasArgument,
    CaptionOption,
    ColumnsOption,
    FormatOption,
    JsonOption,
    LayersOption,
    MethodOption,
    SignificantOption,
    TableFileOption,
    listed,
)
from neuronym.cli.output import print_json, print_tables
from neuronym.cli.table import check, worded


def top(
    atlas: AtlasArgument,
    count: Annotated[
        int, typer.Option("-n", "--count", metavar="N", help="How many neurons.", min=1)
    ] = 50,
    layers: LayersOption = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Rank by confidence, effect, stability, score or q. Default: the first of these "
            "that is known.",
        ),
    ] = None,
    method: MethodOption = None,
    significant: SignificantOption = False,
    columns: ColumnsOption = None,
    caption: CaptionOption = None,
    form: FormatOption = None,
    out: TableFileOption = None,
    json: JsonOption = False,
) -> None:
    """List the neurons whose label one can rely on most.

    Examples:

      neuronym top demo-atlas

      neuronym top demo-atlas --layers _fc -n 10 --by score

      neuronym top demo-atlas --columns neuron,label,confidence --out surest.tex
    """
    from neuronym.atlas.reader import open_atlas
    from neuronym.report.top import top_table

    check(form, out, None)
    found = top_table(
        open_atlas(atlas, significant=significant),
        count,
        layers=listed(layers),
        by=by,
        method=method,
    )
    if json:
        print_json({"notes": found.notes, "neurons": found.records})
    else:
        print_tables([worded(found, columns, caption)], form, out, False)
