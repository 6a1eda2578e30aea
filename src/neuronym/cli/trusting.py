"""`neuronym trust` and `neuronym significance`: how far labels can be trusted."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated, Any

import typer

from neuronym.cli.inspecting import AtlasArgument, MethodOption
from neuronym.cli.output import JsonOption, QuietOption, print_json

_OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Make again what is there already.")
]
_DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:N, mps; where networks run if they must.")
]
_WorkersOption = Annotated[
    int, typer.Option(metavar="N", help="Threads that decode images. 0: one per core.", min=0)
]
_CacheOption = Annotated[
    str | None, typer.Option(metavar="DIR", help="Cache directory.", show_default=False)
]


def trust(
    atlas: AtlasArgument,
    analyses: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ANALYSIS]…",
            help="Such as significance, bootstrap:resamples=200; see `neuronym list analyses`. "
            "Default: all that can examine these labels.",
            show_default=False,
        ),
    ] = None,
    method: MethodOption = None,
    overwrite: _OverwriteOption = False,
    device: _DeviceOption = "auto",
    workers: _WorkersOption = 0,
    cache: _CacheOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Examine how far a method's labels can be trusted; units that fail abstain.

    Examples:

      neuronym trust demo-atlas

      neuronym trust demo-atlas bootstrap:resamples=200,halves=20

      neuronym trust demo-atlas significance --method clip-dissect.rank-reorder
    """
    origins = {"device": device, "workers": workers, "cache": cache}
    _run(atlas, analyses or None, method, overwrite, origins, json, quiet)


def significance(
    atlas: AtlasArgument,
    sets: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Random image sets to compare with. Default: units of the widest layer / fdr, at "
            "least 10,000 and at most 50,000.",
            show_default=False,
        ),
    ] = None,
    fdr: Annotated[
        float, typer.Option(metavar="X", help="Share of false discoveries accepted per layer.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the random draws.")] = 0,
    method: MethodOption = None,
    overwrite: _OverwriteOption = False,
    device: _DeviceOption = "auto",
    workers: _WorkersOption = 0,
    cache: _CacheOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Test every label against chance: the same search for permuted activations.

    Examples:

      neuronym significance demo-atlas

      neuronym significance demo-atlas --fdr 0.01 --sets 50000
    """
    from neuronym.analysis.trust.significance import Significance

    origins = {"device": device, "workers": workers, "cache": cache}
    given = [Significance(sets, fdr, seed)]
    _run(atlas, given, method, overwrite, origins, json, quiet)


def _run(
    atlas: str,
    analyses: Any,
    method: str | None,
    overwrite: bool,
    origins: dict[str, Any],
    json: bool,
    quiet: bool,
) -> None:
    from neuronym._core import progress
    from neuronym.analysis.trust.base import open_analysis
    from neuronym.analysis.trust.run import analyse
    from neuronym.atlas.reader import open_atlas
    from neuronym.report import trust_sheet

    with contextlib.redirect_stdout(sys.stderr):  # what user code prints is no result of ours
        made = analyse(
            open_atlas(atlas),
            analyses,
            method=method,
            overwrite=overwrite,
            progress=progress.automatic(quiet),
            **origins,
        )
    chosen = made.method(method)
    names = [open_analysis(given).name for given in analyses] if analyses else made.analyses(chosen)
    if json:
        print_json(trust_sheet.facts(made, chosen, names))
    elif quiet:
        for name in names:
            print(name)
    else:
        trust_sheet.print_trust(made, chosen, names)
