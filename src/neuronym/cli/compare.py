"""`neuronym compare`: labelling methods side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuronym._core import progress
from neuronym._core.errors import UsageError
from neuronym.cli.options import AtlasArgument, DrawingOption, JsonOption, SynonymsOption, listed
from neuronym.cli.output import aside, print_files, print_json


def compare(
    atlas: AtlasArgument,
    other: Annotated[
        str | None,
        typer.Argument(metavar="[B]", help="A second atlas: then as `neuronym diff A B`."),
    ] = None,
    methods: Annotated[
        str | None, typer.Option(metavar="M,…", help="Only these method-ids. Default: all.")
    ] = None,
    synonyms: SynonymsOption = None,
    figure: DrawingOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the pairs as .csv.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show labelling methods side by side: agreement, abstentions, disagreements.

    Two atlases are compared by `neuronym diff`, which this calls when it is given two.

    Examples:

      neuronym compare demo-atlas

      neuronym compare demo-atlas --synonyms 0.7 --figure agreement.png
    """
    if other is not None:
        if methods is not None or synonyms is not None:
            raise UsageError(
                "Expected --methods and --synonyms with one atlas, got two atlases. What changed "
                "between two is told by `neuronym diff A B`, whose --method names one."
            )
        from neuronym.cli.diff import diff

        diff(atlas, other, figure=figure, out=out, json=json)
        return
    from neuronym.analysis import comparison
    from neuronym.atlas.context import Sources
    from neuronym.atlas.reader import open_atlas
    from neuronym.report import comparison_sheet

    opened = open_atlas(atlas)
    # Labels that are no concepts of the atlas have no embedding in it.
    embed = Sources(opened, progress=progress.automatic()).embed_words
    with aside():
        found = comparison.compare(opened, listed(methods), synonyms=synonyms, embed=embed)
    if figure is not None:
        from neuronym.report.figures import save

        save(comparison_sheet.draw(found), figure)
    if out is not None:
        comparison_sheet.write_csv(found, out)
    if json:
        print_json(comparison_sheet.to_json(found))
        return
    comparison_sheet.print_comparison(found)
    print_files({"Figure": figure, "Pairs": out})
