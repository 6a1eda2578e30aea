"""The one seam to the probe's drawings: what this folder uses of them, under its own names.

Where the drawings move, this file alone changes. Their kinds are drawn with seeds of this folder
only, never with one that a probe of the user can have.
"""

from __future__ import annotations

import numpy as np

from neuronym.inputs.probes.synthetic import palette
from neuronym.inputs.probes.synthetic.backdrops import BACKDROPS, SURFACES
from neuronym.inputs.probes.synthetic.canvas import Canvas
from neuronym.inputs.probes.synthetic.compose import alone
from neuronym.inputs.probes.synthetic.materials import MATERIALS
from neuronym.inputs.probes.synthetic.noise import (
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
from neuronym.inputs.probes.synthetic.plain import material, texture
from neuronym.inputs.probes.synthetic.scenes.base import SCENES
from neuronym.inputs.probes.synthetic.textures.base import TEXTURES
from neuronym.inputs.probes.synthetic.things.base import THINGS

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
        canvas.expose()
    else:
        SCENES[name].draw(canvas)
        canvas.expose()
    return canvas.pixels()
