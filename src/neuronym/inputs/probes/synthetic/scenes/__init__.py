"""Simple scenes: places made of skies, grounds and the things that belong there."""

from __future__ import annotations

from neuronym.inputs.probes.synthetic.scenes import nature, rooms, town
from neuronym.inputs.probes.synthetic.scenes.base import SCENES, Scene

__all__ = ["SCENES", "Scene", "nature", "rooms", "town"]
