"""`neuronym show`: an atlas, or one of its neurons, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronym._core.checks import misuse
from neuronym.cli.options import (
    AtlasArgument,
    DrawingOption,
    JsonOption,
    MethodOption,
    SignificantOption,
)
from neuronym.cli.output import print_json

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas
    from neuronym.atlas.unit import Unit


def show(
    atlas: AtlasArgument,
    unit: Annotated[
        str | None,
        typer.Argument(metavar="LAYER:UNIT", help="Such as layer4:1802. Without: a summary."),
    ] = None,
    figure: DrawingOption = None,
    images: Annotated[int, typer.Option(metavar="N", help="Images in the figure.", min=1)] = 16,
    heat: Annotated[
        bool,
        typer.Option("--heat", help="Lay the unit's activation maps over the figure's images."),
    ] = False,
    method: MethodOption = None,
    significant: SignificantOption = False,
    json: JsonOption = False,
) -> None:
    """Print an atlas or a neuron, with the labels of one method: the first, or --method.

    Examples:

      neuronym show demo-atlas _fc:417

      neuronym show demo-atlas _fc:417 --figure balloon.png

      neuronym show demo-atlas _blocks.15:7 --figure unit.png --heat

      neuronym show demo-atlas --method clip-avg
    """
    from neuronym.atlas.reader import open_atlas

    opened = open_atlas(atlas, significant=significant)
    if heat and figure is None:
        raise misuse("figure", "given with --heat, such as --figure unit.png", figure)
    if unit is None and figure is not None:
        raise misuse("unit", "given with --figure, such as layer4:1802", unit)
    if unit is None:
        _print_atlas(opened, method, json)
        return
    one = opened[unit]
    if figure is not None:
        from neuronym.report.figures import save

        save(one.figure(images, method=method, heat=heat), figure)
    _print_unit(one, method, figure, json)


def _print_atlas(atlas: Atlas, method: str | None, json: bool) -> None:
    from neuronym.report import summary

    if json:
        print_json(summary.facts(atlas, method))
    else:
        summary.print_summary(atlas, method=method)


def _print_unit(unit: Unit, method: str | None, figure: Path | None, json: bool) -> None:
    from neuronym.report import summary

    drawn = str(figure) if figure else None
    if json:
        print_json({**summary.unit_facts(unit, method), "figure": drawn})
        return
    summary.print_unit(unit, method)
    if drawn:
        print(f"\nFigure: {drawn}")
