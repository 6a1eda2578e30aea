"""What the commands share: options, consoles, JSON, summaries."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from neuronym._core.json import clean

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the result.")]
OutOption = Annotated[str | None, typer.Option("--out", metavar="ATLAS")]


def print_json(data: Any) -> None:
    """Print data as JSON; NaN and infinities become null."""
    utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    text = json.dumps(clean(data), indent=2, ensure_ascii=not utf8)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(clean(data), indent=2)
    print(text)
