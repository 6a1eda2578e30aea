"""Simple scenes: places made of skies, grounds and the things that belong there."""

from __future__ import annotations

from neuronym_drawings.scenes import nature, rooms, town
from neuronym_drawings.scenes.base import SCENES, Scene

__all__ = ["SCENES", "Scene", "nature", "rooms", "town"]
