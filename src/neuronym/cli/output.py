"""What the commands share: options, consoles, JSON, summaries."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the result.")]
OutOption = Annotated[str | None, typer.Option("--out", metavar="ATLAS")]


def print_json(data: Any) -> None:
    """Print data as JSON; NaN and infinities become null."""
    print(json.dumps(clean(data), indent=2, ensure_ascii=False))


def clean(data: Any) -> Any:
    """The same data with plain Python numbers and no NaN."""
    if isinstance(data, dict):
        return {str(k): clean(v) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [clean(v) for v in data]
    if hasattr(data, "tolist"):
        return clean(data.tolist())
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data


def console() -> Any:
    """A rich console on standard output; text from data is shown as it is, never as markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def printable(text: str) -> str:
    """The text without control characters, which could change what a terminal shows."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


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
