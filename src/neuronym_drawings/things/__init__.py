"""Simple objects with parts, each drawn with shading in many sizes, poses and colours."""

from __future__ import annotations

from neuronym_drawings.things import (
    animals,
    birds,
    buildings,
    clothes,
    food,
    fruit,
    furniture,
    household,
    mammals,
    nature,
    people,
    shapes,
    tableware,
    vehicles,
)
from neuronym_drawings.things.base import THINGS, Pen, Thing

__all__ = [
    "THINGS",
    "Pen",
    "Thing",
    "animals",
    "birds",
    "buildings",
    "clothes",
    "food",
    "fruit",
    "furniture",
    "household",
    "mammals",
    "nature",
    "people",
    "shapes",
    "tableware",
    "vehicles",
]
