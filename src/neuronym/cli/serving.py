"""`neuronym serve` and `neuronym annotate`: the site."""

from __future__ import annotations

from typing import Annotated

import typer

from neuronym._core.terminal import printable

AtlasesArgument = Annotated[
    list[str], typer.Argument(metavar="ATLAS…", help="The folders of one or several atlases.")
]
PortOption = Annotated[
    int, typer.Option(metavar="N", help="Port. 0: any free one.", min=0, max=65535)
]
HostOption = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Address to listen at. Any but this machine's own also asks readers for a token, "
        "which is part of the address that is printed.",
    ),
]
NoOpenOption = Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")]


def serve(
    atlas: AtlasesArgument,
    port: PortOption = 0,
    host: HostOption = "127.0.0.1",
    no_open: NoOpenOption = False,
) -> None:
    """Open the site of one or several atlases in a browser.

    Examples:

      neuronym serve demo-atlas

      neuronym serve before-atlas after-atlas --port 8000 --no-open
    """
    _run(atlas, port, host, no_open, writing=False)


def annotate(
    atlas: AtlasesArgument,
    port: PortOption = 0,
    host: HostOption = "127.0.0.1",
    no_open: NoOpenOption = False,
) -> None:
    """Open the site with a place to say what neurons respond to.

    Answers are kept in annotations.sqlite in the atlas; see `neuronym evaluate --truth annotations`
    and `neuronym export --format annotations`.

    Example:

      neuronym annotate demo-atlas
    """
    _run(atlas, port, host, no_open, writing=True)


def _run(atlases: list[str], port: int, host: str, no_open: bool, *, writing: bool) -> None:
    import secrets

    from neuronym.atlas.reader import open_atlas
    from neuronym.web import serving

    opened = [open_atlas(atlas) for atlas in atlases]
    access = None if serving.is_own(host) else secrets.token_urlsafe(24)
    socket = serving.listen(host, port)
    address = serving.address(host, socket, "annotate" if writing else None, access)
    print(printable(f"Serving {', '.join(atlases)} at {address}"))
    print("Stop with Ctrl-C.", flush=True)
    serving.serve(
        opened, socket, writing=writing, access=access, browse=None if no_open else address
    )
