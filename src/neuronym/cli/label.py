"""`neuronym label`: another method's labels for an atlas."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuronym._core import progress
from neuronym._core.terminal import command, duration, printable
from neuronym.cli.options import (
    AtlasArgument,
    CacheOption,
    DeviceOption,
    JsonOption,
    LayersOption,
    QuietOption,
    WorkersOption,
    listed,
)
from neuronym.cli.output import aside, print_json

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas
    from neuronym.labelling.estimate import Estimate


_METHOD = (
    "The method, with parameters: clip-avg:k=10, clip-dissect:cos, … See `neuronym list methods`."
)


def label(
    atlas: AtlasArgument,
    method: Annotated[str, typer.Option("--method", "-m", metavar="METHOD", help=_METHOD)],
    layers: LayersOption = None,
    labels: Annotated[
        int, typer.Option(metavar="N", help="Labels kept per unit.", min=1, show_default=True)
    ] = 20,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Label again what the method has labelled.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")
    ] = False,
    device: DeviceOption = "auto",
    workers: WorkersOption = 0,
    cache: CacheOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Add another method's labels to an atlas.

    Examples:

      neuronym label demo-atlas --method clip-avg

      neuronym label demo-atlas --method clip-dissect:rank-reorder

      neuronym label demo-atlas --method netdissect:quantile=0.01 --layers _blocks.15
    """
    from neuronym.atlas.reader import open_atlas
    from neuronym.labelling import run
    from neuronym.labelling.base import open_labeller
    from neuronym.labelling.estimate import estimate

    opened, labeller = open_atlas(atlas), open_labeller(method)
    what: dict[str, Any] = {"layers": listed(layers), "overwrite": overwrite}
    how: dict[str, Any] = {"device": device, "workers": workers, "cache": cache}
    if dry_run:
        with aside():
            found = estimate(opened, labeller, **what, **how)
        _print_estimate(found, json)
        return
    shown = progress.automatic(quiet)
    with aside():
        made = run.label(opened, labeller, labels=labels, progress=shown, **what, **how)
    _print_labelled(made, labeller.method_id, json, quiet)


def _print_estimate(found: Estimate, json: bool) -> None:
    if json:
        print_json({"method": found.method, "layers": found.layers, "cost": found.cost})
        return
    print(
        printable(
            f"Would label {found.units:,} units of {', '.join(found.layers)} as {found.method}. "
            f"{found.cost or 'This takes seconds to minutes.'} Nothing was written."
        )
    )


def _print_labelled(made: Atlas, method: str, json: bool, quiet: bool) -> None:
    facts = made.manifest.methods[method]
    if json:
        print_json({"atlas": str(made.folder), "method": method, **facts})
    elif quiet:
        print(method)
    else:
        from neuronym.report.summary import print_method

        print_method(made, method)
        print(f"\nLabelling took {duration(facts.seconds)}. Next:")
        print(printable(f"  {command()} compare {shlex.quote(str(made.folder))}"))
