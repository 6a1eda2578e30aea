"""`neuronym effect`: what neurons do to the output of their network."""

from __future__ import annotations

from typing import Annotated

import typer

from neuronym._core import progress
from neuronym.cli.options import (
    AtlasArgument,
    CacheOption,
    DeviceOption,
    JsonOption,
    OverwriteOption,
    QuietOption,
    WorkersOption,
)
from neuronym.cli.output import aside, print_json, print_tables


def effect(
    atlas: AtlasArgument,
    units: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LAYER:UNIT]…", help="Such as layer4:1802.", show_default=False),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option("--all", metavar="LAYER", help="All neurons of a layer.", show_default=False),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="mean or zero: the neuron is ablated, it puts out its mean, or 0, everywhere; "
            "steer: it puts out --amount standard deviations more.",
        ),
    ] = "mean",
    amount: Annotated[
        float, typer.Option(metavar="X", help="Of --mode steer; below 0: less.")
    ] = 3.0,
    outputs: Annotated[
        int,
        typer.Option(
            "-n", "--outputs", metavar="N", help="Classes that fall, and that rise.", min=1
        ),
    ] = 5,
    images: Annotated[
        int, typer.Option(metavar="N", help="Exemplars per neuron, and random images.", min=6)
    ] = 20,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the draw of random images.")] = 0,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
    workers: WorkersOption = 0,
    cache: CacheOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure what neurons do to the output: run the network without them, or with more of them.

    Examples:

      neuronym effect demo-atlas _blocks.15:3

      neuronym effect demo-atlas --all _blocks.15 --mode zero

      neuronym effect demo-atlas _blocks.15:3 _blocks.15:5 --mode steer --amount 2
    """
    from neuronym.analysis.effect import table
    from neuronym.analysis.effect.run import measure_effects
    from neuronym.atlas.reader import open_atlas

    opened = open_atlas(atlas)
    with aside():
        found = measure_effects(
            opened,
            units or (),
            layer=layer,
            mode=mode,
            amount=amount,
            outputs=outputs,
            images=images,
            seed=seed,
            overwrite=overwrite,
            progress=progress.automatic(quiet),
            device=device,
            workers=workers,
            cache=cache,
        )
    labels = table.first_labels(opened)
    if json:
        print_json(table.facts(found, labels))
    else:
        print_tables([table.effect_table(found, labels)], None, None, quiet)
