"""`neuronym list`: the names that users write."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neuronym._core.checks import choice
from neuronym._core.registry import Registry
from neuronym._core.terminal import add_row, console
from neuronym.cli.options import JsonOption
from neuronym.cli.output import print_json
from neuronym.cli.registries import registries


def list_(
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
    kinds = registries()
    if kind is not None:
        kinds = {kind: kinds[choice("kind", kind, kinds)]}
    if json:
        print_json({name: _facts(registry) for name, registry in kinds.items()})
        return
    for name, registry in kinds.items():
        _print_registry(name, registry)


def _facts(registry: Registry) -> dict[str, Any]:
    shown = ("name", "syntax", "example", "summary", "extra")
    entries = [{fact: getattr(entry, fact) for fact in shown} for entry in registry]
    return {"entries": entries, "aliases": registry.aliases}


def _print_registry(name: str, registry: Registry) -> None:
    from rich.table import Table

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
