"""Puts things before backdrops: one alone, or several together."""

from __future__ import annotations

import numpy as np

from neuronym.inputs.probes.synthetic.backdrops import BACKDROPS
from neuronym.inputs.probes.synthetic.canvas import Canvas
from neuronym.inputs.probes.synthetic.noise import SIZE
from neuronym.inputs.probes.synthetic.things.base import THINGS, Pen


def put(
    canvas: Canvas,
    name: str,
    x: float,
    y: float,
    scale: float,
    tint: str | None = None,
    shadow: float = 0.45,
    turn: float = 0.0,
    flip: bool = False,
    stretch: float = 1.0,
    notes: str = "all",
) -> None:
    """Draw a thing of half-width `scale` pixels.

    Args:
        x: its middle.
        y: where it stands, or its middle if it does not stand.
        tint: the colour of its main part; None for one of its own at random, without saying which.
        notes: `all`, or `name` for a mask of the whole thing only.
    """
    thing = THINGS[name]
    rng = canvas.rng
    said = tint
    if tint is None and thing.tints:
        tint = thing.tints[int(rng.integers(len(thing.tints)))]
    foot = thing.foot
    middle = y if foot is None else y - foot * scale
    pen = Pen(canvas, thing, tint, x, middle, scale, turn, stretch, flip)
    pen.says = notes if said or not thing.tints else "parts" if notes == "all" else notes
    if foot is not None and shadow:
        canvas.shadow(
            x + 0.12 * scale * -np.sign(canvas.light[0]), y, scale * 0.85, scale * 0.13, shadow
        )
    elif shadow and foot is None and notes == "all":
        canvas.shadow(
            x - 6 * canvas.light[0],
            y - 6 * canvas.light[1],
            scale * 0.7,
            scale * 0.7,
            shadow * 0.45,
        )
    thing.draw(pen)


def alone(canvas: Canvas, name: str, tint: str | None, backdrop: str) -> None:
    """One thing before a backdrop, in a random size and pose."""
    rng, thing = canvas.rng, THINGS[name]
    level = BACKDROPS[backdrop].draw(canvas)
    floats = backdrop in (
        "sky",
        "night",
        "storm",
        "underwater",
        "blur",
        "garden",
        "dark",
        "skin",
        "wall",
    )
    scale = rng.uniform(*thing.size)
    spare = max(0.0, SIZE / 2 - scale * 0.97)
    x = SIZE / 2 + rng.uniform(-spare, spare)
    if thing.foot is None and backdrop in ("table", "floor"):
        y = min(level - scale * rng.uniform(0.6, 0.8), SIZE - scale * 0.9)
    elif thing.foot is None:
        y = SIZE / 2 + rng.uniform(-spare, spare) * 0.8
    else:
        y = min(level, SIZE * 0.97) + rng.uniform(-4, 6)
    put(
        canvas,
        name,
        x,
        y,
        scale,
        tint,
        shadow=0.0 if floats else 0.45,
        turn=rng.uniform(-1, 1) * thing.turn,
        flip=rng.random() < 0.5,
        stretch=rng.uniform(0.9, 1.08),
    )


def together(canvas: Canvas, members: list[tuple[str, str | None]], backdrop: str) -> None:
    """Two to four things side by side before a backdrop."""
    rng = canvas.rng
    level = BACKDROPS[backdrop].draw(canvas)
    floats = backdrop in ("sky", "night", "underwater", "wall")
    flat = backdrop.startswith("on ") or floats
    count = len(members)
    scale = {2: 54, 3: 40, 4: 48 if flat else 31}[count]
    for k, (name, tint) in enumerate(members):
        thing = THINGS[name]
        if flat and count == 4:
            x, y = SIZE * (0.26 + 0.48 * (k % 2)), SIZE * (0.26 + 0.48 * (k // 2))
        elif flat:
            x, y = SIZE * (k + 0.5) / count, SIZE * (0.5 + rng.uniform(-0.16, 0.16))
        else:
            x, y = SIZE * (k + 0.5) / count, min(level, SIZE * 0.94) - rng.uniform(0, 12)
        size = scale * rng.uniform(0.88, 1.08)
        if flat and thing.foot is not None:
            y += thing.foot * size
        elif not flat and thing.foot is None:
            y -= size * rng.uniform(0.9, 1.0)
        put(
            canvas,
            name,
            x + rng.uniform(-4, 4),
            y,
            size,
            tint,
            shadow=0.0 if floats else 0.45,
            turn=rng.uniform(-1, 1) * thing.turn,
            flip=rng.random() < 0.5,
        )
