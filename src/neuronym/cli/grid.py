"""`neuronym grid`: several atlases in one go."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronym._core import progress
from neuronym._core.errors import NeuronymError
from neuronym._core.terminal import duration, printable, size
from neuronym.cli.options import PARTS, JsonOption, QuietOption, parts_of
from neuronym.cli.output import aside, print_json

if TYPE_CHECKING:
    from neuronym._core.tables import Table
    from neuronym.pipeline.grid import Cost, Grid


def grid(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.toml", help="Settings of dissect, and [grid] axes.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where atlases, tables and figures go.")],
    parts: Annotated[str, typer.Option(metavar="P,…", help=PARTS)] = "pairs",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be made and what it would cost.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make the atlases of a grid of settings, and the stability table over all of them.

    Finished atlases are skipped, interrupted ones go on; one that fails does not stop the others.

    Examples:

      neuronym grid grid.toml --out study --dry-run

      neuronym grid grid.toml --out study
    """
    from neuronym.analysis.stability.study import Settings
    from neuronym.pipeline import grid as grids
    from neuronym.report import stability_report

    cells, settings = grids.read(file), Settings(**parts_of(parts))
    if dry_run:
        with aside():
            found = grids.cost(cells, out)
        print_json(asdict(found)) if json else _print_cost(found)
        return
    with aside():
        made = grids.run(
            cells,
            out,
            settings=settings,
            progress=progress.automatic(quiet),
            say=lambda text: None if quiet else print(printable(text), file=sys.stderr),
        )
    failures = [f"Failed: {one.cell.name}. {one.error}" for one in made.failed]
    table = stability_report.write_several(made.studies, out, failures)
    if json:
        _print_json(made)
    elif quiet:
        print(printable(str(out)))
    else:
        _print_grid(table, out)
    if made.failed:
        reasons = "; ".join(f"{one.cell.name}: {one.error}" for one in made.failed)
        raise NeuronymError(f"{len(made.failed)} of {len(cells)} atlases failed. {reasons}")


def _print_json(made: Grid) -> None:
    from neuronym.pipeline import grid as grids
    from neuronym.report import stability_report

    print_json(
        {
            "cells": [grids.as_data(cell) for cell in made.cells],
            "studies": [stability_report.to_json(study) for study in made.studies],
        }
    )


def _print_grid(table: Table, out: Path) -> None:
    from neuronym._core.tables import print_table

    print_table(table)
    print(printable(f"\nTable: {out}/table.md, more in {out}/stability/", lines=True))


def _print_cost(found: Cost) -> None:
    for name, state in found.states.items():
        print(printable(f"{name:<40} {state}"))
    todo = sum(state in ("begun", "missing") for state in found.states.values())
    print(
        f"Would make {todo} of {len(found.states)} atlases: about {duration(found.seconds)} for "
        f"the passes over the images (less for what is cached), {size(found.cache_bytes)} in the "
        f"cache and {size(found.atlas_bytes)} in the atlases; {size(found.free_bytes)} are free. "
        "Nothing was written."
    )
