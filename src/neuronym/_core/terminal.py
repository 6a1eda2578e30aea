"""Text for terminals: a console, numbers for people, and nothing that changes what is shown."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import Any


def console() -> Any:
    """A rich console on standard output; text from data is shown as it is, never as markup."""
    from rich.console import Console

    # Without a terminal nothing is cut to a width: names are there to be copied and searched for.
    free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, markup=False, emoji=False, width=240 if free else None)


def printable(text: str, lines: bool = False) -> str:
    """The text without control characters, which could change what a terminal shows.

    Args:
        text: from anywhere, such as a file name.
        lines: keep line breaks.
    """
    return "".join(c if c.isprintable() or (lines and c == "\n") else "�" for c in text)


def command() -> str:
    """How the reader calls neuronym: by its name where that is found, else by the path used."""
    used = sys.argv[0]
    if os.path.basename(used) != "neuronym" or shutil.which("neuronym"):
        return "neuronym"
    return shlex.quote(os.path.relpath(used))


def counted(count: int, what: str) -> str:
    """A number of things for people.

    >>> counted(1, "neuron"), counted(1472, "neuron")
    ('1 neuron', '1,472 neurons')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def size(count: float) -> str:
    """A number of bytes for people.

    >>> size(1536)
    '1.5 kB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """A time for people: 48 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def add_row(table: Any, *cells: object) -> None:
    """Add a row to a rich table; text from data is made printable."""
    table.add_row(*(printable(str(cell)) for cell in cells))
