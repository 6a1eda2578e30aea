"""Textures under the adjectives of the Describable Textures Dataset (Cimpoi et al. 2014)."""

from __future__ import annotations

from neuronym_drawings.textures import cells, flows, lines, spots, woven
from neuronym_drawings.textures.base import (
    TEXTURES,
    Rendered,
    Texture,
    frame,
    render,
)

__all__ = [
    "TEXTURES",
    "Rendered",
    "Texture",
    "cells",
    "flows",
    "frame",
    "lines",
    "render",
    "spots",
    "woven",
]
