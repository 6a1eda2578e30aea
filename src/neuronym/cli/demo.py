"""`neuronym demo`: label a real network with nothing but installed packages."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neuronym.cli import serve as site
from neuronym.cli.dissect import run
from neuronym.cli.options import NoOpenOption, PortOption, QuietOption
from neuronym.inputs.settings import DissectSettings

#: A real ImageNet network, another one behind the encoder, the embedded images and words.
DEMO: dict[str, Any] = {
    "target": "efficientnet-lite0",
    "layers": ["_blocks.4", "_blocks.10", "_blocks.15", "_fc"],
    "probe": "synthetic",
    "concepts": "english-10k",
    "encoder": "sketch",
    "similarity": "soft-wpmi",
}
#: A network of another family, for the same images and words: it knows drawings alone.
SECOND: dict[str, Any] = {
    "target": "drawings-vit",
    "layers": ["blocks.0", "blocks.1", "blocks.2", "head"],
}


def demo(
    out: Annotated[
        str, typer.Option(metavar="ATLAS", help="Where the atlas is written.")
    ] = "demo-atlas",
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Use a sample of N images.", min=1)
    ] = None,
    second: Annotated[
        bool,
        typer.Option("--second", help="Label a small transformer, too, as something to compare."),
    ] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Open the site when done.")] = False,
    port: PortOption = 0,
    no_open: NoOpenOption = False,
    quiet: QuietOption = False,
) -> None:
    """Label a real network (EfficientNet-Lite0) with nothing but installed packages.

    Run it again and it shows the atlas that is already there.

    Examples:

      neuronym demo --serve

      neuronym demo --second   (and a transformer of drawings, in demo-atlas-vit)
    """
    atlases = [out]
    run(DissectSettings(**DEMO, out=out, limit=limit), resume=True, quiet=quiet)
    if second:
        atlases.append(f"{out.rstrip('/')}-vit")
        settings = DissectSettings(**(DEMO | SECOND), out=atlases[-1], limit=limit)
        run(settings, resume=True, quiet=quiet)
    if serve:
        site.run(atlases, port, "127.0.0.1", no_open, writing=False)
