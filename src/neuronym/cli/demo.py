"""`neuronym demo`: label a real network with nothing but installed packages."""

from __future__ import annotations

from typing import Annotated

import typer

from neuronym.cli.dissect import run
from neuronym.cli.options import QuietOption
from neuronym.inputs.settings import DissectSettings

#: A real ImageNet network, another one behind the encoder, the embedded images and words.
DEMO = {
    "target": "efficientnet-lite0",
    "layers": ["_blocks.4", "_blocks.10", "_blocks.15", "_fc"],
    "probe": "synthetic",
    "concepts": "english-10k",
    "encoder": "sketch",
    "similarity": "soft-wpmi",
}


def demo(
    out: Annotated[
        str, typer.Option(metavar="ATLAS", help="Where the atlas is written.")
    ] = "demo-atlas",
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Use a sample of N images.", min=1)
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Label a real network (EfficientNet-Lite0) with nothing but installed packages.

    Run it again and it shows the atlas that is already there.
    """
    run(DissectSettings(**DEMO, out=out, limit=limit), resume=True, quiet=quiet)
