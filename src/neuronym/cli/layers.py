"""`neuronym layers`: what there is to label in a network."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from neuronym._core.terminal import add_row, console
from neuronym.cli.options import JsonOption, PreprocessOption
from neuronym.cli.output import print_json

if TYPE_CHECKING:
    from neuronym.extraction.recording import LayerInfo
    from neuronym.inputs.targets.base import Target


def layers(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The network, e.g. resnet50.")],
    weights: Annotated[
        str | None, typer.Option(metavar="PATH", help="Local weights (.safetensors or .pth).")
    ] = None,
    preprocess: PreprocessOption = None,
    pattern: Annotated[
        str | None, typer.Option("--layers", metavar="L,…", help="Only these, by name or glob.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the layers of a network: names, unit counts, output shapes, and how they are pooled.

    Example:

      neuronym layers efficientnet-lite0 --layers '_blocks.*'
    """
    from neuronym._core.torchvision_compat import prepare_torchvision
    from neuronym.extraction.passes import default_layers
    from neuronym.extraction.recording import describe_layers, resolve_layers
    from neuronym.inputs.targets.base import open_target

    prepare_torchvision()
    network = open_target(target, weights=weights, preprocess=preprocess)
    infos = describe_layers(network)
    chosen = {info.name for info in default_layers(infos)}
    if pattern:
        names = set(resolve_layers(network, pattern))
        infos = [info for info in infos if info.name in names]
    if json:
        print_json(
            [{**vars(i), "pooling": _pooling(i), "default": i.name in chosen} for i in infos]
        )
    else:
        _print_layers(network, infos, chosen)


def _pooling(info: LayerInfo) -> str:
    """How `--pool auto` pools a layer, in words."""
    from neuronym.extraction.pooling import in_words, mode_of

    if info.layout == "other":
        return "–"
    mode = mode_of("auto", info.layout, info.prefix_tokens)
    return in_words(mode, info.layout, info.prefix_tokens)


def _print_layers(network: Target, infos: Sequence[LayerInfo], chosen: Collection[str]) -> None:
    from rich.table import Table

    from neuronym.inputs.preprocess.given import describe

    print(f"input: {describe(network.preprocess)} ({network.origin.words})\n")
    table = Table(title=f"{network.name}: {len(infos)} layers", title_justify="left", box=None)
    for heading in ("layer", "type", "output", "layout", "units", "pooling", ""):
        side = "right" if heading == "units" else "left"
        table.add_column(heading, justify=side, overflow="fold")
    for info in infos:
        shape = " × ".join(map(str, info.shape)) if info.shape else "–"
        remarks = ["default"] if info.name in chosen else []
        remarks += [f"called {info.calls} times, the last is recorded"] if info.calls > 1 else []
        remarks += ["not called"] if info.calls == 0 else []
        units = f"{info.units:,}" if info.units else "–"
        add_row(
            table,
            info.name,
            info.type,
            shape,
            info.layout,
            units,
            _pooling(info),
            "; ".join(remarks),
        )
    console().print(table)
