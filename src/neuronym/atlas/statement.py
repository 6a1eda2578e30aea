"""The statement that leads wherever a neuron is shown: its label, and how sure it is."""

from __future__ import annotations

UNKNOWN = "confidence unknown"


def leading(label: str | None, confidence: float | None, reason: str | None = None) -> str:
    """The statement that leads.

    >>> leading("cat", 0.794), leading("cat", None), leading(None, None, "dead unit")
    ('cat, confidence 79%', 'cat, confidence unknown', 'no label: dead unit')
    """
    if label is None:
        return f"no label: {reason}" if reason else "no label"
    return f"{label}, {UNKNOWN if confidence is None else f'confidence {confidence:.0%}'}"
