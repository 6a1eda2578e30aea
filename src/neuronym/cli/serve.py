"""`neuronym serve`: the site of atlases in a browser."""

from __future__ import annotations

import secrets

from neuronym._core.terminal import printable
from neuronym.cli.options import AtlasesArgument, HostOption, NoOpenOption, PortOption


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
    run(atlas, port, host, no_open, writing=False)


def run(atlases: list[str], port: int, host: str, no_open: bool, *, writing: bool) -> None:
    """Serve until it is stopped; strangers need a token.

    Args:
        atlases: their folders.
        port: to listen at; 0: any free one.
        host: address to listen at.
        no_open: open no browser.
        writing: let readers annotate.
    """
    from neuronym.analysis.truth.store import Annotations
    from neuronym.atlas.reader import open_atlas
    from neuronym.web import serving

    opened = [open_atlas(atlas) for atlas in atlases]
    for one in opened if writing else ():
        Annotations(one).check_writable()
    access = None if serving.is_own(host) else secrets.token_urlsafe(24)
    socket = serving.listen(host, port)
    address = serving.address(host, socket, "annotate" if writing else None, access)
    print(printable(f"Serving {', '.join(atlases)} at {address}"))
    print("Stop with Ctrl-C.", flush=True)
    serving.serve(
        opened, socket, writing=writing, access=access, browse=None if no_open else address
    )
