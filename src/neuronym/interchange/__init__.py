"""Published results in and out: one file per format; see docs/interchange.md."""

from __future__ import annotations

from neuronym import _names
from neuronym.interchange import (  # noqa: F401  (registers what it imports)
    clip_dissect,
    clip_search,
    milan,
    netdissect,
)
from neuronym.interchange.annotations import AnnotationsFile
from neuronym.interchange.base import FORMATS, Format, Published
from neuronym.interchange.exporting import Exported, export_labels
from neuronym.interchange.importing import Imported, import_labels

__all__ = [
    "FORMATS",
    "AnnotationsFile",
    "Exported",
    "Format",
    "Imported",
    "Published",
    "export_labels",
    "import_labels",
    "open_format",
]


def open_format(name: str) -> Format | AnnotationsFile:
    """A format by its name, such as `clip-search`.

    Raises:
        UsageError: there is none of this name, or it was given parameters.
    """
    parsed = _names.parse(name, "format")
    entry = FORMATS[parsed.kind]
    if parsed.detail or parsed.params:
        raise FORMATS.unknown(name)
    return entry.make()
