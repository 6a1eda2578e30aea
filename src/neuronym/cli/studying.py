"""`neuronym stability` and `neuronym grid`: how stable labels are, several atlases in one go."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronym._core.errors import NeuronymError
from neuronym._core.tables import print_table
from neuronym._core.terminal import duration, printable, size
from neuronym.cli.output import JsonOption, QuietOption, print_json

if TYPE_CHECKING:
    from neuronym.pipeline.grid import Cost


_PARTS = (
    "What to measure beside the published score, of images, bootstrap, halves, order, words, "
    "prompts, pairs; `none`: nothing. Default: all."
)


def _parts(text: str | None) -> dict[str, tuple[str, ...]]:
    """What `--parts` says, as a setting."""
    if text is None:
        return {}
    return {"parts": () if text == "none" else tuple(_listed(text))}


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def stability(
    atlases: Annotated[
        list[str], typer.Argument(metavar="ATLAS…", help="Folders of atlases of one target.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where report, tables and figures go; finished parts are kept there, too. "
            "Default: nothing is written.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD", help="Only these labels of each atlas. Default: all of clip-dissect."
        ),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="L,…", help="Only these layers, by exact name.")
    ] = None,
    parts: Annotated[str | None, typer.Option(metavar="P,…", help=_PARTS)] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="K,…", help="Numbers of images. Default: 5,10,16,28,50,100."),
    ] = None,
    resamples: Annotated[
        int, typer.Option(metavar="N", min=2, help="Bootstrap resamples of the images.")
    ] = 100,
    splits: Annotated[
        int, typer.Option(metavar="N", min=1, help="Random splits of the images into halves.")
    ] = 5,
    subsets: Annotated[
        int, typer.Option(metavar="N", min=1, help="Random parts of the concept set.")
    ] = 5,
    template: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Another prompt template with one {}; repeat for more. Default: a photo of a {}.",
        ),
    ] = None,
    synonyms: Annotated[
        float | None,
        typer.Option(
            metavar="COSINE",
            min=-1,
            max=1,
            help="Labels count as synonyms from this "
            "cosine on. Default: what 1 in 10,000 pairs of concepts reach.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of everything random.")] = 0,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:N, mps; where scores are computed.")
    ] = "auto",
    cache: Annotated[
        str | None, typer.Option(metavar="DIR", help="Cache directory.", show_default=False)
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show how stable labels are: the published score, and real stability beside it.

    The atlases are only read. Pairs of them that differ in one thing (probe, concepts, templates,
    encoder, similarity) are compared, too.

    Examples:

      neuronym stability demo-atlas --out stability

      neuronym stability photos-atlas synthetic-atlas --parts halves,pairs

      neuronym stability demo-atlas --parts prompts --template "a photo of a {}" --template "{}."
    """
    from neuronym._core import progress
    from neuronym.analysis.stability.study import Settings, study
    from neuronym.report import stability_report

    settings = Settings(
        resamples=resamples,
        splits=splits,
        subsets=subsets,
        synonyms=synonyms,
        seed=seed,
        **_parts(parts),
        **({"images": tuple(_listed(images))} if images else {}),
        **({"templates": tuple(template)} if template else {}),
    )
    with contextlib.redirect_stdout(sys.stderr):
        found = study(
            list(atlases),
            method=method,
            layers=_listed(layers) if layers else None,
            settings=settings,
            out=out,
            progress=progress.automatic(quiet),
            device=device,
            cache=cache,
        )
    if out is not None:
        stability_report.write(found, out)
    if json:
        print_json(stability_report.to_json(found))
    elif not quiet:
        stability_report.print_study(found)
    if out is not None and not json:
        print(printable(f"{'' if quiet else 'Report, tables and figures: '}{out / 'report.md'}"))


def grid(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.toml", help="Settings of dissect, and [grid] axes.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where atlases, tables and figures go.")],
    parts: Annotated[
        str, typer.Option(metavar="P,…", help=_PARTS.replace("Default: all.", ""))
    ] = "pairs",
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
    from neuronym._core import progress
    from neuronym.analysis.stability.study import Settings
    from neuronym.pipeline import grid as grids
    from neuronym.report import stability_report

    cells, settings = grids.read(file), Settings(**_parts(parts))
    if dry_run:
        with contextlib.redirect_stdout(sys.stderr):
            found = grids.cost(cells, out)
        print_json(asdict(found)) if json else _print_cost(found)
        return
    with contextlib.redirect_stdout(sys.stderr):
        made = grids.run(
            cells,
            out,
            settings=settings,
            progress=progress.automatic(quiet),
            say=lambda text: None if quiet else print(printable(text), file=sys.stderr),
        )
    table = stability_report.write_several(
        made.studies, out, [f"Failed: {one.cell.name}. {one.error}" for one in made.failed]
    )
    if json:
        print_json(
            {
                "cells": [grids.as_data(cell) for cell in made.cells],
                "studies": [stability_report.to_json(study) for study in made.studies],
            }
        )
    elif quiet:
        print(printable(str(out)))
    else:
        print_table(table)
        print(printable(f"\nTable: {out}/table.md, more in {out}/stability/", lines=True))
    if made.failed:
        reasons = "; ".join(f"{one.cell.name}: {one.error}" for one in made.failed)
        raise NeuronymError(f"{len(made.failed)} of {len(cells)} atlases failed. {reasons}")


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
