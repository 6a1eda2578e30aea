"""What the commands print with: JSON, tables, what was written, and a place for other output."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuronym._core.json import clean
from neuronym._core.terminal import printable

if TYPE_CHECKING:
    from neuronym._core.tables import Table


def aside() -> AbstractContextManager[Any]:
    """Within it, what networks and user code print goes to standard error: it is no result."""
    return contextlib.redirect_stdout(sys.stderr)


def print_json(data: Any) -> None:
    """Print data as JSON; NaN and infinities become null."""
    utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    text = json.dumps(clean(data), indent=2, ensure_ascii=not utf8)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(clean(data), indent=2)
    print(text)


def print_lines(lines: Sequence[str]) -> None:
    """Print sentences, one a line, without what could change a terminal."""
    print("\n".join(map(printable, lines)))


def print_files(files: dict[str, Path | None], quiet: bool = False) -> None:
    """Say which files were written.

    Args:
        files: by what they are; None: was not asked for.
        quiet: print the paths alone.
    """
    for what, path in files.items():
        if path is not None:
            print(printable(str(path) if quiet else f"{what}: {path}"))


def print_tables(tables: list[Table], form: str | None, out: Path | None, quiet: bool) -> None:
    """Print tables, or write them; several of them into a folder or into one file."""
    from neuronym._core.tables import as_text, format_of, write_tables

    if out is None:
        print(as_text(tables, form or "terminal"), end="")
        return
    for file in write_tables(tables, out, form or format_of(out)):
        if not quiet:
            print_files({"Table": file})
