"""Puts things before backdrops: one alone, or several together."""

from __future__ import annotations

import numpy as np

from neuronym_drawings.backdrops import BACKDROPS
from neuronym_drawings.canvas import Canvas
from neuronym_drawings.noise import SIZE
from neuronym_drawings.things.base import THINGS, Pen


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


#: Backdrops before which things hang: they throw no shadow there.
_AIR = ("sky", "night", "storm", "underwater", "blur", "garden", "dark", "skin", "wall", "plain")


def alone(
    canvas: Canvas, name: str, tint: str | None, backdrop: str, beside: str | None = None
) -> None:
    """One thing before a backdrop, in a random size and pose, perhaps with another `beside` it.

    The other thing is smaller; it stands behind or before it and may be partly hidden.
    """
    rng, thing = canvas.rng, THINGS[name]
    level = BACKDROPS[backdrop].draw(canvas)
    scale = float(np.exp(rng.uniform(np.log(0.6 * thing.size[0]), np.log(thing.size[1]))))
    spare = max(0.0, SIZE / 2 - scale * 0.97)
    x = SIZE / 2 + rng.uniform(-spare, spare)
    stands = thing.foot is not None
    if stands:
        # The smaller, the farther: things stand a little higher up then.
        y = min(level, SIZE * 0.97) + rng.uniform(-4, 6)
        y -= (SIZE * 0.88 - scale * 2) * 0.2 * rng.random() if y - 2 * scale > 0 else 0
    elif backdrop in ("table", "floor"):
        y = min(level - scale * rng.uniform(0.6, 0.8), SIZE - scale * 0.9)
    else:
        y = SIZE / 2 + rng.uniform(-spare, spare) * 0.9
    shadow = 0.0 if backdrop in _AIR else 0.45
    behind = rng.random() < 0.6
    if beside and behind:
        _beside(canvas, beside, x, y, scale, stands, shadow)
    put(
        canvas,
        name,
        x,
        y,
        scale,
        tint,
        shadow=shadow,
        turn=rng.uniform(-1, 1) * thing.turn,
        flip=rng.random() < 0.5,
        stretch=rng.uniform(0.82, 1.16),
    )
    if beside and not behind:
        _beside(canvas, beside, x, y, scale, stands, shadow)


def _beside(
    canvas: Canvas, name: str, x: float, y: float, scale: float, stands: bool, shadow: float
) -> None:
    """A smaller thing at the side of a thing that stands (or has its middle) at x, y."""
    rng, thing = canvas.rng, THINGS[name]
    size = scale * rng.uniform(0.35, 0.65)
    side = 1 if x < SIZE / 2 else -1
    x = float(np.clip(x + side * (scale * 0.8 + size * 0.5), 0.3 * size, SIZE - 0.3 * size))
    if thing.foot is None and stands:
        y -= size
    elif thing.foot is not None and not stands:
        y += thing.foot * size + rng.uniform(-0.4, 0.4) * scale
    turn, flip = rng.uniform(-1, 1) * thing.turn, rng.random() < 0.5
    put(canvas, name, x, y, size, shadow=shadow, turn=turn, flip=flip, notes="name")


def together(canvas: Canvas, members: list[tuple[str, str | None]], backdrop: str) -> None:
    """Two to five things side by side before a backdrop, or strewn over a surface."""
    rng = canvas.rng
    level = BACKDROPS[backdrop].draw(canvas)
    floats = backdrop in ("sky", "night", "underwater", "wall")
    flat = backdrop.startswith("on ") or floats
    count = len(members)
    scale = {2: 54, 3: 42, 4: 46 if flat else 33, 5: 40 if flat else 28}[count]
    cells = rng.permutation(6 if count > 4 else 4)
    for k, (name, tint) in enumerate(members):
        thing = THINGS[name]
        if flat and count > 3:
            wide = 3 if count > 4 else 2
            x = SIZE * (cells[k] % wide + 0.5) / wide + rng.uniform(-8, 8)
            y = SIZE * (0.27 + 0.46 * (cells[k] // wide)) + rng.uniform(-8, 8)
        elif flat:
            x, y = SIZE * (k + 0.5) / count, SIZE * (0.5 + rng.uniform(-0.2, 0.2))
        else:
            x, y = SIZE * (k + 0.5) / count, min(level, SIZE * 0.94) - rng.uniform(0, 20)
        size = scale * rng.uniform(0.75, 1.15)
        if flat and thing.foot is not None:
            y += thing.foot * size
        elif not flat and thing.foot is None:
            y -= size * rng.uniform(0.9, 1.0)
        put(
            canvas,
            name,
            x + rng.uniform(-6, 6),
            y,
            size,
            tint,
            shadow=0.0 if floats else 0.45,
            turn=rng.uniform(-1, 1) * thing.turn,
            flip=rng.random() < 0.5,
        )
