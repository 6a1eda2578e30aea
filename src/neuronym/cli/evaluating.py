"""`neuronym evaluate` and `neuronym table`: the tables of a study."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronym._core.terminal import printable
from neuronym.cli.inspecting import AtlasArgument
from neuronym.cli.output import JsonOption, QuietOption

if TYPE_CHECKING:
    import numpy as np

    from neuronym._core.tables import Table
    from neuronym.analysis.evaluation.base import Subject


_TRUTH = (
    "classes (unit i of the output layer is class i), annotations (people's, in the atlas), or a "
    "ground-truth file (.csv)."
)
MethodsOption = Annotated[
    str | None,
    typer.Option("--methods", "--method", metavar="M,…", help="Only these. Default: all."),
]
MatchOption = Annotated[
    str, typer.Option(metavar="HOW", help="When a label is right: exact, lemma or synonyms.")
]
SynonymsOption = Annotated[
    float | None,
    typer.Option(
        metavar="COSINE",
        min=-1,
        max=1,
        show_default=False,
        help="With --match synonyms: labels are synonyms from this cosine of their text embeddings "
        "on. Default: what 1 in 10,000 pairs of concepts reach.",
    ),
]
AllLabelsOption = Annotated[
    bool,
    typer.Option("--all-labels", help="Count also labels of units that do not beat chance."),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        show_default=False,
        help="terminal, csv, markdown, latex, json or html. Default: terminal, or by the ending of "
        "--out.",
    ),
]


def evaluate(
    atlas: AtlasArgument,
    truth: Annotated[str, typer.Option(metavar="TRUTH", help=_TRUTH)],
    methods: MethodsOption = None,
    match: MatchOption = "exact",
    synonyms: SynonymsOption = None,
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
    _check(form, out, truth, several=True)
    subject = _subject(atlas, methods, truth, match, synonyms, all_labels, quiet)
    names = ["accuracy", "correctness", "known", "curve"]
    names += [] if truth == "classes" else ["agreement"]
    with contextlib.redirect_stdout(sys.stderr):  # what models print is no result of ours
        tables = [make(name, subject) for name in names]
    _give(tables, form, out, quiet)


def table(
    atlas: AtlasArgument,
    name: Annotated[
        str,
        typer.Argument(
            metavar="TABLE", help="Such as bins or concepts:top=10; see `neuronym list tables`."
        ),
    ],
    truth: Annotated[
        str | None, typer.Option(metavar="TRUTH", help=f"For tables that need it: {_TRUTH}")
    ] = None,
    methods: MethodsOption = None,
    match: MatchOption = "exact",
    synonyms: SynonymsOption = None,
    all_labels: AllLabelsOption = False,
    form: FormatOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it: .csv, .md, .tex, .json, .html or .txt."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make one table of an atlas.

    Examples:

      neuronym table demo-atlas concepts:top=5

      neuronym table demo-atlas bins:high=0.5,medium=0.4,low=0.3 --out bins.tex

      neuronym table demo-atlas correctness:precision=0.8 --truth classes --format csv
    """
    from neuronym.analysis.evaluation.base import open_table

    opened = open_table(name)
    if truth is None and "truth" in opened.needs:
        raise typer.BadParameter(f"The table {opened.name} needs --truth: {_TRUTH}")
    form = "json" if json else form
    _check(form, out, truth)
    subject = _subject(atlas, methods, truth, match, synonyms, all_labels, quiet)
    with contextlib.redirect_stdout(sys.stderr):
        made = opened.make(subject)
    _give([made], form, out, quiet)


def _subject(
    atlas: str,
    methods: str | None,
    truth: str | None,
    match: str,
    synonyms: float | None,
    all_labels: bool,
    quiet: bool,
) -> Subject:
    from neuronym._core import progress
    from neuronym.analysis.evaluation.base import open_subject
    from neuronym.atlas.context import Material
    from neuronym.atlas.reader import open_atlas

    if synonyms is not None and match != "synonyms":
        raise typer.BadParameter("--synonyms needs --match synonyms.")
    opened = open_atlas(atlas)
    given = {"progress": progress.automatic(quiet)}

    def embed(words: Sequence[str]) -> np.ndarray:
        return Material(opened, **given).embed_words(words)

    chosen = [name.strip() for name in methods.split(",")] if methods else None
    return open_subject(
        opened,
        chosen,
        truth=truth,
        match=match,
        synonyms=synonyms,
        embed=embed,
        trust=not all_labels,
        material=given,
    )


def _check(form: str | None, out: Path | None, truth: str | None, several: bool = False) -> None:
    """Refuse at once what could only fail after the tables are made."""
    from neuronym._core.checks import misuse
    from neuronym._core.tables import check_format, format_of

    chosen = check_format(form) if form else None
    if out is None:
        return
    chosen = chosen or format_of(out)
    if several and chosen == "csv" and out.suffix and not out.is_dir():
        raise misuse("out", "a folder: CSV holds one table per file", str(out))
    if truth and out.is_file() and Path(truth).is_file() and out.samefile(truth):
        raise misuse("out", "another file than the truth", str(out))


def _give(tables: list[Table], form: str | None, out: Path | None, quiet: bool) -> None:
    """Print tables, or write them; several of them into a folder or into one file."""
    from neuronym._core.tables import as_text, format_of, write_tables

    if out is None:
        print(as_text(tables, form or "terminal"), end="")
        return
    files = write_tables(tables, out, form or format_of(out))
    if not quiet:
        for file in files:
            print(printable(f"Table: {file}"))
