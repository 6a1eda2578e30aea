"""`neuronym table`: one table of a study."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuronym._core import progress
from neuronym._core.checks import misuse
from neuronym.cli.options import (
    TRUTHS,
    AllLabelsOption,
    AtlasArgument,
    CaptionOption,
    ColumnsOption,
    FormatOption,
    JsonOption,
    MatchOption,
    MatchSynonymsOption,
    MethodsOption,
    QuietOption,
    TableFileOption,
    listed,
)
from neuronym.cli.output import aside, print_tables

if TYPE_CHECKING:
    from neuronym._core.tables import Table
    from neuronym.analysis.evaluation.base import EvaluationContext


def table(
    atlas: AtlasArgument,
    name: Annotated[
        str,
        typer.Argument(
            metavar="TABLE", help="Such as bins or concepts:top=10; see `neuronym list tables`."
        ),
    ],
    truth: Annotated[
        str | None, typer.Option(metavar="TRUTH", help=f"For tables that need it: {TRUTHS}")
    ] = None,
    methods: MethodsOption = None,
    match: MatchOption = "exact",
    synonyms: MatchSynonymsOption = None,
    all_labels: AllLabelsOption = False,
    form: FormatOption = None,
    columns: ColumnsOption = None,
    caption: CaptionOption = None,
    out: TableFileOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make one table of an atlas.

    Examples:

      neuronym table demo-atlas concepts:top=5

      neuronym table demo-atlas bins:high=0.5,medium=0.4,low=0.3 --out bins.tex

      neuronym table demo-atlas bins --columns layer,high,medium --caption "The demo" --out bins.tex

      neuronym table demo-atlas correctness:precision=0.8 --truth classes --format csv
    """
    from neuronym.analysis.evaluation.base import open_table

    opened = open_table(name)
    if truth is None and "truth" in opened.needs:
        raise typer.BadParameter(f"The table {opened.name} needs --truth: {TRUTHS}")
    form = "json" if json else form
    check(form, out, truth)
    about = evaluation(atlas, methods, truth, match, synonyms, quiet)
    with aside():
        made = opened.make(about)
    print_tables([worded(made, columns, caption)], form, out, quiet)


def worded(made: Table, columns: str | None, caption: str | None) -> Table:
    """A table with the columns and under the title that are asked for."""
    chosen = listed(columns)
    made = made if chosen is None else made.only(chosen)
    return made if caption is None else dataclasses.replace(made, title=caption)


def evaluation(
    atlas: str,
    methods: str | None,
    truth: str | None,
    match: str,
    synonyms: float | None,
    quiet: bool,
) -> EvaluationContext:
    """What tables are about, from what the options say.

    Raises:
        typer.BadParameter, UsageError: the options contradict each other, or one is wrong.
    """
    from neuronym.analysis.evaluation.base import open_context
    from neuronym.atlas.context import Sources
    from neuronym.atlas.reader import open_atlas

    if synonyms is not None and match != "synonyms":
        raise typer.BadParameter("--synonyms needs --match synonyms.")
    opened = open_atlas(atlas)
    given: dict[str, Any] = {"progress": progress.automatic(quiet)}
    return open_context(
        opened,
        listed(methods),
        truth=truth,
        match=match,
        synonyms=synonyms,
        embed=Sources(opened, **given).embed_words,
        context=given,
    )


def check(form: str | None, out: Path | None, truth: str | None, several: bool = False) -> None:
    """Refuse at once what could only fail after the tables are made.

    Raises:
        UsageError: an unknown format, or a place where the tables cannot go.
    """
    from neuronym._core.tables import check_format, format_of

    chosen = check_format(form) if form else None
    if out is None:
        return
    chosen = chosen or format_of(out)
    if several and chosen == "csv" and out.suffix and not out.is_dir():
        raise misuse("out", "a folder: CSV holds one table per file", str(out))
    if truth and out.is_file() and Path(truth).is_file() and out.samefile(truth):
        raise misuse("out", "another file than the truth", str(out))
