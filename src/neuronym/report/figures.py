"""What all figures share: how one is begun, its ink, and how it is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuronym._checks import misuse
from neuronym._errors import NeuronymError
from neuronym.cache import default_root

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, PALE = "#1f2430", "#8a91a0"
_FORMATS = (".png", ".svg", ".pdf", ".jpg", ".webp")


def new(**options: Any) -> Figure:
    """An empty figure; `options` are those of matplotlib's `Figure`."""
    # matplotlib keeps a list of fonts; it belongs into our cache, not into the user's home.
    os.environ.setdefault("MPLCONFIGDIR", str(default_root() / "matplotlib"))
    from matplotlib.figure import Figure

    return Figure(**options)


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the format follows from the file's ending.

    Raises:
        UsageError: the ending is none that can be written.
        NeuronymError: the file cannot be written.
    """
    if path.suffix.lower() not in _FORMATS:
        raise misuse("figure", f"a file name ending in {', '.join(_FORMATS)}", str(path))
    import warnings

    import matplotlib

    try:
        with warnings.catch_warnings(), matplotlib.rc_context({"svg.fonttype": "none"}):
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(path)
    except OSError as error:
        raise NeuronymError(f"Cannot write {path}: {error.strerror or error}.") from error
