"""`neuronym layers`: what there is to label in a network."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

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

    No weights are downloaded: what is not on this machine is drawn at random.

    Example:

      neuronym layers efficientnet-lite0 --layers '_blocks.*'
    """
    from neuronym._core.torchvision_compat import prepare_torchvision
    from neuronym.extraction.names import resolve_layers
    from neuronym.extraction.passes import default_layers, described
    from neuronym.extraction.recording import describe_layers
    from neuronym.inputs.targets.base import open_target

    prepare_torchvision()
    network = open_target(target, weights=weights, preprocess=preprocess, download=False)
    infos = describe_layers(network)
    chosen = {info.name for info in default_layers(infos)}
    if pattern:
        names = resolve_layers(network, pattern)
        named = {name.strip() for name in pattern.split(",")}
        infos = list(
            described(network, describe_layers(network, calls=True), names, named).values()
        )
    if not network.pretrained and "weights=random" not in network.name:
        infos = [replace(info, checksum="") for info in infos]  # of weights that were drawn here
    if json:
        print_json([_facts(info, info.name in chosen) for info in infos])
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
        number = heading == "units"
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for info in infos:
        shape = " × ".join(map(str, info.shape)) if info.shape else "–"
        remarks = ["default"] if info.name in chosen else []
        if info.calls > 1:
            calls = f"{info.name}#1 … {info.name}#{info.calls}"
            remarks += [f"runs {info.calls} times: {calls}; without a number the last"]
        remarks += [info.note] if info.note else []
        units = f"{info.units:,}" if info.units else "–"
        add_row(
            table,
            info.name,
            info.type,
            shape,
            info.spelled,
            units,
            _pooling(info),
            "; ".join(remarks),
        )
    console().print(table)


def _facts(info: LayerInfo, default: bool) -> dict[str, Any]:
    facts = {**asdict(info), "layout": info.spelled}
    return {**facts, "pooling": _pooling(info), "default": default}
