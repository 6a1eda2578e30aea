"""`neuronym trust`: how far labels can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuronym._core import progress
from neuronym.cli.options import (
    AtlasArgument,
    CacheOption,
    DeviceOption,
    JsonOption,
    MethodOption,
    OverwriteOption,
    QuietOption,
    WorkersOption,
)
from neuronym.cli.output import aside, print_json

if TYPE_CHECKING:
    from neuronym.analysis.trust.base import Analysis


def trust(
    atlas: AtlasArgument,
    analyses: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ANALYSIS]…",
            help="Such as significance, bootstrap:resamples=200; see `neuronym list analyses`. "
            "Default: all that can examine these labels, but spatial, which runs the encoder on "
            "crops and so takes long.",
            show_default=False,
        ),
    ] = None,
    method: MethodOption = None,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
    workers: WorkersOption = 0,
    cache: CacheOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Examine how far a method's labels can be trusted; units that fail abstain.

    Examples:

      neuronym trust demo-atlas

      neuronym trust demo-atlas bootstrap:resamples=200,halves=20

      neuronym trust demo-atlas significance --method clip-dissect.rank-reorder

      neuronym trust demo-atlas spatial
    """
    how = {"device": device, "workers": workers, "cache": cache, "overwrite": overwrite}
    run(atlas, analyses or None, method, json, quiet, **how)


def run(
    atlas: str,
    analyses: Sequence[str | Analysis] | None,
    method: str | None,
    json: bool,
    quiet: bool,
    **how: Any,
) -> None:
    """Examine labels, and print what came out.

    Args:
        atlas: its folder.
        analyses: names or objects. None: all that can examine these labels.
        method: whose labels. None: the first method's.
        json: print JSON.
        quiet: print only the names of the analyses.
        **how: see `analyse`: overwrite, device, workers, cache.
    """
    from neuronym.analysis.trust.base import open_analysis
    from neuronym.analysis.trust.run import analyse
    from neuronym.atlas.reader import open_atlas
    from neuronym.report import trust_sheet

    with aside():
        made = analyse(
            open_atlas(atlas), analyses, method=method, progress=progress.automatic(quiet), **how
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
