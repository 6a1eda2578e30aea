"""Similarities: from activations and embeddings to scores per unit and concept."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """What this package itself held in 0.1.0, until 0.3."""
    from neuronym._core.former import find

    return find("similarity", name)
