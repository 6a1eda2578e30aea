"""Commands that look: layers, show, list, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuronym._core.terminal import add_row, console
from neuronym.cli.output import JsonOption, print_json

AtlasArgument = Annotated[str, typer.Argument(metavar="ATLAS", help="The folder of an atlas.")]
MethodOption = Annotated[
    str | None,
    typer.Option(metavar="METHOD", help="Whose labels. Default: those of the run that made it."),
]


def layers(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The network, e.g. resnet50.")],
    weights: Annotated[
        str | None, typer.Option(metavar="PATH", help="Local weights (.safetensors or .pth).")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option("--layers", metavar="L,…", help="Only these, by name or glob.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the layers of a network: names, unit counts, output shapes.

    Example:

      neuronym layers efficientnet-lite0 --layers '_blocks.*'
    """
    from neuronym._core.torchvision_compat import prepare_torchvision
    from neuronym.extraction.passes import default_layers
    from neuronym.extraction.recording import describe_layers, resolve_layers
    from neuronym.inputs.targets.base import open_target

    prepare_torchvision()
    network = open_target(target, weights=weights)
    infos = describe_layers(network)
    chosen = {info.name for info in default_layers(infos)}
    if pattern:
        names = set(resolve_layers(network, pattern))
        infos = [info for info in infos if info.name in names]
    if json:
        print_json([{**vars(info), "default": info.name in chosen} for info in infos])
        return
    from rich.table import Table

    table = Table(title=f"{network.name}: {len(infos)} layers", title_justify="left", box=None)
    for heading in ("layer", "type", "output", "layout", "units", ""):
        side = "right" if heading == "units" else "left"
        table.add_column(heading, justify=side, overflow="fold")
    for info in infos:
        shape = " × ".join(map(str, info.shape)) if info.shape else "–"
        remarks = ["default"] if info.name in chosen else []
        remarks += [f"called {info.calls} times, the last is recorded"] if info.calls > 1 else []
        remarks += ["not called"] if info.calls == 0 else []
        units = f"{info.units:,}" if info.units else "–"
        add_row(table, info.name, info.type, shape, info.layout, units, "; ".join(remarks))
    console().print(table)


def show(
    atlas: AtlasArgument,
    unit: Annotated[
        str | None,
        typer.Argument(metavar="LAYER:UNIT", help="Such as layer4:1802. Without: a summary."),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw it: .png, .svg or .pdf."),
    ] = None,
    images: Annotated[int, typer.Option(metavar="N", help="Images in the figure.", min=1)] = 16,
    method: MethodOption = None,
    json: JsonOption = False,
) -> None:
    """Print a neuron: labels, scores, highest activating images.

    Examples:

      neuronym show demo-atlas _fc:417

      neuronym show demo-atlas _fc:417 --figure balloon.png
    """
    from neuronym._core.checks import misuse
    from neuronym.atlas.reader import open_atlas
    from neuronym.report import summary

    opened = open_atlas(atlas)
    if unit is None and figure is not None:
        raise misuse("unit", "given with --figure, such as layer4:1802", unit)
    if unit is None:
        if json:
            print_json(summary.facts(opened))
        else:
            summary.print_summary(opened)
        return
    one = opened[unit]
    if figure is not None:
        from neuronym.report.figures import save

        save(one.figure(images, method=method), figure)
    if json:
        drawn = str(figure) if figure else None
        print_json({**summary.unit_facts(one, method), "figure": drawn})
        return
    summary.print_unit(one, method)
    if figure is not None:
        print(f"\nFigure: {figure}")


def list_names(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="targets, probes, concepts, encoders, similarities, methods, analyses, formats, "
            "tables or figures.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the names that exist: targets, probes, concepts, encoders, methods, tables and more."""
    from neuronym._core.checks import choice
    from neuronym.cli.registries import registries

    kinds: dict[str, Any] = registries()
    if kind is not None:
        kinds = {kind: kinds[choice("kind", kind, kinds)]}
    if json:
        print_json(
            {
                name: {
                    "entries": [
                        {
                            "name": e.name,
                            "syntax": e.syntax,
                            "example": e.example,
                            "summary": e.summary,
                            "extra": e.extra,
                        }
                        for e in registry
                    ],
                    "aliases": registry.aliases,
                }
                for name, registry in kinds.items()
            }
        )
        return
    from rich.table import Table

    for name, registry in kinds.items():
        table = Table(title=name, title_justify="left", box=None, title_style="bold")
        for heading in ("name", "example", "what"):
            table.add_column(heading, overflow="fold")
        for entry in registry:
            add_row(table, entry.syntax, entry.example, entry.summary)
        console().print(table)
        for line in _short_names(registry.aliases):
            console().print(line, style="dim")
        print()


def _short_names(aliases: dict[str, str]) -> list[str]:
    """Lines that explain aliases; `resnet50 = torchvision:resnet50` and its like share one."""
    plain: dict[str, list[str]] = {}
    lines = []
    for short, full in aliases.items():
        kind, _, detail = full.partition(":")
        if detail == short:
            plain.setdefault(kind, []).append(short)
        else:
            lines.append(f"{short} stands for {full}")
    lines += [f"without {kind}: — {', '.join(names)}" for kind, names in plain.items()]
    return lines


def doctor(json: JsonOption = False) -> None:
    """Check this installation: versions, devices, optional parts, cache."""
    from neuronym.cli.doctor_report import examine, print_report

    found = examine()
    print_json(found) if json else print_report(found)
