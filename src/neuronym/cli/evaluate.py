"""`neuronym evaluate`: labels against a ground truth, as several tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuronym.cli.options import (
    TRUTHS,
    AllLabelsOption,
    AtlasArgument,
    FormatOption,
    JsonOption,
    MatchOption,
    MatchSynonymsOption,
    MethodsOption,
    QuietOption,
)
from neuronym.cli.output import aside, print_tables
from neuronym.cli.table import check, evaluation

#: The tables for every truth.
_TABLES = ("accuracy", "correctness", "known", "curve")


def evaluate(
    atlas: AtlasArgument,
    truth: Annotated[str, typer.Option(metavar="TRUTH", help=TRUTHS)],
    methods: MethodsOption = None,
    match: MatchOption = "exact",
    synonyms: MatchSynonymsOption = None,
    all_labels: AllLabelsOption = False,
    form: FormatOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Write a file (.txt, .md, .tex, .json, .html), or a folder with a file per table.",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Hold labels against a ground truth: accuracy, score against correctness, ranks.

    Examples:

      neuronym evaluate demo-atlas --truth classes

      neuronym evaluate demo-atlas --truth mine.csv --match lemma --format markdown

      neuronym evaluate demo-atlas --truth annotations --out tables --format latex
    """
    from neuronym.analysis.evaluation.base import table as make

    form = "json" if json else form
    check(form, out, truth, several=True)
    about = evaluation(atlas, methods, truth, match, synonyms, quiet)
    names = _TABLES if truth == "classes" else (*_TABLES, "agreement")
    with aside():
        tables = [make(name, about) for name in names]
    print_tables(tables, form, out, quiet)
