"""`neuronym annotate`: the site, with a place to say what neurons respond to."""

from __future__ import annotations

from neuronym.cli.options import AtlasesArgument, HostOption, NoOpenOption, PortOption
from neuronym.cli.serve import run


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
    run(atlas, port, host, no_open, writing=True)
