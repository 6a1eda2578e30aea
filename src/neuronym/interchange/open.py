"""Published results in and out: one file per format; see docs/interchange.md."""

from __future__ import annotations

from neuronym._core import registry
from neuronym.interchange.annotations import AnnotationsFile
from neuronym.interchange.base import FORMATS, Format


def open_format(name: str) -> Format | AnnotationsFile:
    """A format by its name, such as `clip-search`.

    Raises:
        UsageError: there is none of this name, or it was given parameters.
    """
    parsed = registry.parse(name, "format")
    entry = FORMATS[parsed.kind]
    if parsed.detail or parsed.params:
        raise FORMATS.unknown(name)
    return entry.make()
