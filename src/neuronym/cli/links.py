"""`neuronym links`: neurons that feed neurons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuronym._core import progress
from neuronym.cli.options import (
    AtlasArgument,
    CacheOption,
    DeviceOption,
    FormatOption,
    JsonOption,
    MethodOption,
    OverwriteOption,
    QuietOption,
    WorkersOption,
)
from neuronym.cli.output import aside, print_json, print_lines, print_tables


def links(
    atlas: AtlasArgument,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="LAYER", help="Sources. Default: the layer before --to."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER",
            help="Targets. Default: the layer behind --from, and without either all neighbours.",
        ),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(metavar="LAYER:UNIT", help="Show what feeds this neuron, and so on back."),
    ] = None,
    depth: Annotated[
        int, typer.Option(metavar="N", min=1, help="With --of: through how many layers.")
    ] = 3,
    check: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Links of each pair of layers that are checked by ablation."
        ),
    ] = 200,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", min=0, help="Begin no further checks after so many minutes."),
    ] = None,
    keep: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Links kept of each neuron by correlation, and by weight."
        ),
    ] = 10,
    ablate: Annotated[
        str, typer.Option(metavar="HOW", help="What takes the place of a neuron: mean or zero.")
    ] = "mean",
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of permutations and random images.")
    ] = 0,
    method: MethodOption = None,
    count: Annotated[
        int, typer.Option("-n", "--count", metavar="N", min=1, help="Neurons shown of each pair.")
    ] = 20,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
    workers: WorkersOption = 0,
    cache: CacheOption = None,
    json: JsonOption = False,
    form: FormatOption = None,
    out: Annotated[Path | None, typer.Option(metavar="PATH", help="Write the tables here.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Find neurons that feed neurons: by correlation, by weights, and by ablation.

    Examples:

      neuronym links demo-atlas

      neuronym links demo-atlas --from _blocks.15 --to _fc --check 50

      neuronym links demo-atlas --of _fc:417 --depth 3 --check 30
    """
    from neuronym.analysis.links.run import layer_pairs, link
    from neuronym.atlas.reader import open_atlas
    from neuronym.atlas.unit import unit_name
    from neuronym.report.links import links_table, pair_data, way_back, way_lines

    with aside():
        made = link(
            open_atlas(atlas),
            from_,
            to,
            of=of,
            depth=depth,
            check=check,
            seconds=None if minutes is None else 60 * minutes,
            keep=keep,
            ablate=ablate,
            seed=seed,
            overwrite=overwrite,
            progress=progress.automatic(quiet),
            device=device,
            workers=workers,
            cache=cache,
        )
    if of is not None:
        way = way_back(made, *unit_name(of), depth, method=method)
        if json:
            print_json(way.to_data())
        else:
            equation = [] if way.equation is None else ["", way.equation]
            print_lines([*way_lines(way), *equation])
        return
    pairs = layer_pairs(made, from_, to)
    if json:
        print_json(pair_data(made, pairs, method))
        return
    tables = [links_table(made, *pair, targets=count, method=method) for pair in pairs]
    print_tables(tables, form, out, quiet)
