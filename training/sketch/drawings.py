"""The one seam to the probe's drawings: what this folder uses of them, under its own names.

Their kinds are drawn with seeds of this folder only, never with one that a probe can have.
"""

from __future__ import annotations

import numpy as np

from neuronym_drawings import camera, palette
from neuronym_drawings.backdrops import BACKDROPS, SURFACES
from neuronym_drawings.canvas import Canvas
from neuronym_drawings.compose import alone
from neuronym_drawings.materials import MATERIALS
from neuronym_drawings.noise import (
    Cells,
    cells,
    fbm,
    generator,
    lookup,
    ramp,
    slopes,
    smooth,
    streaks,
    unit,
)
from neuronym_drawings.plain import material, texture
from neuronym_drawings.scenes.base import SCENES
from neuronym_drawings.textures.base import TEXTURES
from neuronym_drawings.things.base import THINGS

__all__ = [
    "Cells",
    "cells",
    "colours",
    "draw",
    "fbm",
    "generator",
    "kinds",
    "lookup",
    "ramp",
    "slopes",
    "smooth",
    "streaks",
    "unit",
]

#: Goes into every seed, so that no drawing of the probe is drawn here: its seeds are numbers.
SEED = "training"


def kinds() -> dict[str, list[str]]:
    """The kinds that the probe draws, by group."""
    return {
        "texture": sorted(TEXTURES),
        "material": sorted(MATERIALS),
        "object": sorted(THINGS),
        "scene": sorted(SCENES),
    }


def colours() -> dict[str, np.ndarray]:
    """The shades of each basic colour term, sRGB on the [0, 1] scale, `[shade, 3]`."""
    return {term: palette.shades(term) for term in palette.BASIC}


def draw(group: str, name: str, number: int) -> np.ndarray:
    """One drawing of a kind, uint8 `[224, 224, 3]`."""
    canvas = Canvas(generator(SEED, group, name, number))
    rng = canvas.rng
    if group == "texture":
        ground, figure = (str(term) for term in rng.permutation(palette.BASIC)[:2])
        if not TEXTURES[name].clean or rng.random() < 0.4:
            known = TEXTURES[name].colours
            ground, figure = known[int(rng.integers(len(known)))]
        texture(canvas, name, ground, figure)
    elif group == "material":
        material(canvas, name)
    elif group == "object":
        thing = THINGS[name]
        tint = str(rng.choice(thing.tints)) if thing.tints else None
        where = str(rng.choice(thing.where))
        where = str(rng.choice(SURFACES)) if where == "surface" else where
        where = where if rng.random() < 0.6 else str(rng.choice(sorted(BACKDROPS)))
        alone(canvas, name, tint, where)
        camera.shoot(canvas, view=0.0)
    else:
        SCENES[name].draw(canvas)
        camera.shoot(canvas, view=0.0)
    return canvas.pixels()
