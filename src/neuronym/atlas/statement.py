"""What is told wherever an atlas is shown: what it is of, without folders, and what leads."""

from __future__ import annotations

from neuronym._core.folders import without_folders
from neuronym.atlas.schema import Manifest

UNKNOWN = "confidence unknown"


def leading(label: str | None, confidence: float | None, reason: str | None = None) -> str:
    """The statement that leads.

    >>> leading("cat", 0.794), leading("cat", None), leading(None, None, "dead unit")
    ('cat, confidence 79%', 'cat, confidence unknown', 'no label: dead unit')
    """
    if label is None:
        return f"no label: {reason}" if reason else "no label"
    return f"{label}, {UNKNOWN if confidence is None else f'confidence {confidence:.0%}'}"


def shown(manifest: Manifest) -> Manifest:
    """The same with names in place of absolute paths; see `without_folders`."""
    data = manifest.to_data()
    kept = {key: data["target"].pop(key, None) for key in ("class_names", "layers")}
    data = without_folders(data)
    data["target"] |= kept
    return Manifest.read(data)
