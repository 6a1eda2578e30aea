"""`neuronym merge`: one atlas of several of the same target."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from neuronym._core import progress
from neuronym.cli.options import CacheOption, DeviceOption, JsonOption, QuietOption, WorkersOption
from neuronym.cli.output import aside, print_json

_ATLASES = "Atlases over all parts of a probe (dissect --part), over parts of its layers, or both."


def merge(
    atlases: Annotated[list[str], typer.Argument(metavar="ATLAS…", help=_ATLASES)],
    out: Annotated[
        str, typer.Option("--out", metavar="ATLAS", help="Where the merged atlas is written.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the atlas at --out.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the atlas at --out.")
    ] = False,
    trust: Annotated[
        bool | None,
        typer.Option(
            "--trust/--no-trust",
            help="Examine how far the labels can be trusted. Default: as the runs were told.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    workers: WorkersOption = 0,
    cache: CacheOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make one atlas of several of the same target, as one run over everything would.

    Examples:

      neuronym merge part-1 part-2 part-3 --out atlas

      neuronym merge early-layers late-layers --out atlas --no-trust
    """
    from neuronym.pipeline.merge import merge as merge_atlases

    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other.")
    started, shown = time.monotonic(), progress.automatic(quiet)
    how: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "trust": trust}
    where: dict[str, Any] = {"device": device, "workers": workers, "cache": cache}
    with aside():
        made = merge_atlases(atlases, out=out, progress=shown, **how, **where)
    if json:
        from neuronym.report.summary import facts

        print_json(facts(made))
    elif quiet:
        print(made.folder)
    else:
        from neuronym.report.summary import print_summary

        print_summary(made, seconds=time.monotonic() - started)
