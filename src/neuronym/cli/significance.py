"""`neuronym significance`: labels against chance."""

from __future__ import annotations

from typing import Annotated

import typer

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
from neuronym.cli.trust import run


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
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
    workers: WorkersOption = 0,
    cache: CacheOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Test every label against chance: the same search for permuted activations.

    Examples:

      neuronym significance demo-atlas

      neuronym significance demo-atlas --fdr 0.01 --sets 50000
    """
    from neuronym.analysis.trust.significance import Significance

    how = {"device": device, "workers": workers, "cache": cache, "overwrite": overwrite}
    run(atlas, [Significance(sets, fdr, seed)], method, json, quiet, **how)
