"""Runs the site: a socket, a browser, a server."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import webbrowser
from collections.abc import Sequence

from neuronym._core.checks import misuse
from neuronym.atlas.reader import Atlas
from neuronym.web.server import application


def is_own(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address; port 0: any free one.

    Raises:
        UsageError: nothing can listen there.
    """
    made = None
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol's number asyncio sends without delay; without it, answers wait 40 ms.
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(where)
        made.listen(128)  # two that are bound to one port are told apart only now
    except OSError as error:
        if made is not None:
            made.close()
        what = "port" if port else "host"
        why = f"{error.strerror or error}. Leave --port out to take a free one."
        raise misuse(what, "free on this machine", f"{host}:{port}", why) from error
    return made


def address(host: str, bound: socket.socket, page: str | None, access: str | None) -> str:
    """What to open in a browser."""
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
    shown = f"[{shown}]" if ":" in shown else shown
    token = f"?token={access}" if access else ""
    return f"http://{shown}:{bound.getsockname()[1]}/{page or ''}{token}"


def serve(
    atlases: Sequence[Atlas],
    bound: socket.socket,
    *,
    writing: bool = False,
    access: str | None = None,
    browse: str | None = None,
) -> None:
    """Serve the site until it is stopped.

    Args:
        atlases: opened.
        bound: from `listen`.
        writing: let readers annotate.
        access: a token that readers need.
        browse: what to open in a browser as soon as the server answers.
    """
    import uvicorn

    own = bound.getsockname()[0]
    # Who has the token came by the address that was printed.
    hosts = ["*"] if access else [f"[{own}]" if ":" in own else own]
    site = application(atlases, writing=writing, hosts=hosts, access=access)
    config = uvicorn.Config(
        site,
        log_level="critical",  # what goes wrong is logged by the site itself
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,  # Ctrl-C waits for no slow reader
        h11_max_incomplete_event_size=1 << 16,  # long addresses, and headers that repeat them
    )
    threading.Thread(target=site.state.warm, daemon=True).start()
    if browse:
        opening = threading.Timer(0.5, webbrowser.open, [browse])
        opening.daemon = True
        opening.start()
    with contextlib.suppress(KeyboardInterrupt):  # it was asked to stop, and has
        uvicorn.Server(config).run(sockets=[bound])
