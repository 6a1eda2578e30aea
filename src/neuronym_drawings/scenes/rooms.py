"""Rooms."""

from __future__ import annotations

import numpy as np

from neuronym_drawings import palette, places
from neuronym_drawings.canvas import Canvas
from neuronym_drawings.compose import put
from neuronym_drawings.noise import SIZE, pick
from neuronym_drawings.scenes.base import scene


def _room(c: Canvas, floor: str, wallpaper: str | None = None) -> float:
    places.wall(c, wallpaper)
    y = SIZE * c.rng.uniform(0.62, 0.7)
    places.ground(c, y, floor, "floor", haze=0.05)
    c.rgb[round(y) - 5 : round(y)] = c.rgb[round(y) - 5 : round(y)] * 0.4 + 0.55
    return y


def _framed(c: Canvas, x: float, y: float, wide: float, high: float) -> None:
    """A picture on the wall."""
    outer = np.array(
        [(x - wide, y - high), (x + wide, y - high), (x + wide, y + high), (x - wide, y + high)]
    )
    notes = places.objects("picture")[0]
    c.shadow(x + 3, y + 4, wide, high, 0.3)
    c.fill([outer], palette.rgb(pick(c.rng, ("3c2818", "c8a050", "1c1c1c", "e8e4dc"))), notes)
    inner = (outer - (x, y)) * 0.84 + (x, y)
    c.fill(
        [inner],
        palette.shade(c.rng, pick(c.rng, palette.BASIC)),
        notes,
        "down",
        strength=2,
        grain="leaf",
        rough=0.3,
    )


@scene("bedroom", "wall, floor, bed, lamp, window, picture")
def bedroom(c: Canvas) -> None:
    _room(c, pick(c.rng, ("wood", "fabric")), pick(c.rng, ("paint", "paper")))
    put(c, "window", SIZE * 0.26, SIZE * 0.26, c.rng.uniform(34, 42), "white", 0, notes="name")
    _framed(c, SIZE * c.rng.uniform(0.62, 0.76), SIZE * 0.22, 22, 16)
    put(c, "bed", SIZE * 0.56, SIZE * 0.93, c.rng.uniform(78, 88), notes="name")
    put(c, "lamp", SIZE * 0.09, SIZE * 0.78, c.rng.uniform(26, 34), notes="name")


@scene("living room", "wall, floor, sofa, lamp, picture, television")
def living_room(c: Canvas) -> None:
    _room(c, pick(c.rng, ("wood", "fabric")), pick(c.rng, ("paint", "paper", "brick")))
    _framed(c, SIZE * c.rng.uniform(0.3, 0.5), SIZE * 0.22, 26, 18)
    put(c, "television", SIZE * 0.8, SIZE * 0.62, c.rng.uniform(30, 38), "black", notes="name")
    put(c, "sofa", SIZE * 0.42, SIZE * 0.9, c.rng.uniform(64, 76), notes="name")
    put(c, "lamp", SIZE * 0.9, SIZE * 0.92, c.rng.uniform(36, 46), notes="name")


@scene("kitchen", "wall, cupboard, counter, bottle, bowl, cup, window")
def kitchen(c: Canvas) -> None:
    places.wall(c, "paint")
    rgb = np.asarray(places.tile("tile", int(c.rng.integers(5))), np.float32) / 255
    c.cover(rgb, places.objects("wall")[0])
    put(c, "window", SIZE * c.rng.uniform(0.42, 0.58), SIZE * 0.25, 38, "white", 0, notes="name")
    wood = palette.rgb(pick(c.rng, ("a87844", "e8e4dc", "7c94a0", "6c8468", "8c5c34")))
    for x in (-0.12, 0.09, 0.74, 0.95):
        _panel(c, SIZE * x, -4, SIZE * (x + 0.2), SIZE * 0.38, wood, "cupboard")
    top = SIZE * 0.66
    for k in range(5):
        _panel(
            c,
            SIZE * (k * 0.21 - 0.03),
            top + 12,
            SIZE * (k * 0.21 + 0.17),
            SIZE * 1.05,
            wood,
            "cupboard",
        )
    board = np.array([(-5, top), (SIZE + 5, top), (SIZE + 5, top + 12), (-5, top + 12)])
    c.fill(
        [board],
        palette.rgb(pick(c.rng, ("4c4848", "d8d0c4", "8c6440"))),
        places.objects("counter")[0],
        "flat",
        grain="stone",
    )
    for k, name in enumerate(c.rng.permutation(["bottle", "bowl", "cup"])):
        put(c, str(name), SIZE * (0.2 + 0.3 * k), top + 4, c.rng.uniform(24, 32), notes="name")


def _panel(
    c: Canvas, x0: float, y0: float, x1: float, y1: float, tint: np.ndarray, name: str
) -> None:
    notes = places.objects(name)[0]
    for inset, light in ((0, 1.0), (5, 0.86), (7, 1.04)):
        box = np.array(
            [
                (x0 + inset, y0 + inset),
                (x1 - inset, y0 + inset),
                (x1 - inset, y1 - inset),
                (x0 + inset, y1 - inset),
            ]
        )
        c.fill([box], np.clip(tint * light, 0, 1), notes, "soft", grain="wood", rough=0.06)
    t = np.linspace(0, 2 * np.pi, 12)
    knob = np.stack([x1 - 9 + 2 * np.cos(t), (y0 + y1) / 2 + 2 * np.sin(t)], 1)
    c.fill([knob], palette.rgb("c8c0a8"), notes, "sphere")


@scene("dining room", "wall, floor, table, chair, vase, picture")
def dining_room(c: Canvas) -> None:
    _room(c, pick(c.rng, ("wood", "tile")))
    _framed(c, SIZE * c.rng.uniform(0.35, 0.65), SIZE * 0.2, 28, 18)
    for x, flip in ((0.14, False), (0.86, True)):
        put(c, "chair", SIZE * x, SIZE * 0.86, 44, "brown", flip=flip, notes="name")
    put(c, "table", SIZE * 0.5, SIZE * 0.93, c.rng.uniform(60, 68), "brown", notes="name")
    put(c, "vase", SIZE * 0.5, SIZE * 0.66, c.rng.uniform(22, 28), notes="name")


@scene("office", "wall, floor, table, laptop, chair, lamp, book")
def office(c: Canvas) -> None:
    y = _room(
        c, pick(c.rng, ("wood", "concrete", "fabric")), pick(c.rng, ("paint", "plaster", "brick"))
    )
    shelf = SIZE * 0.26
    board = np.array(
        [
            (SIZE * 0.1, shelf),
            (SIZE * 0.72, shelf),
            (SIZE * 0.72, shelf + 5),
            (SIZE * 0.1, shelf + 5),
        ]
    )
    c.fill([board], palette.rgb("7c5430"), (), grain="wood", rough=0.1)
    x = SIZE * 0.13
    while x < SIZE * 0.68:
        wide, high = c.rng.uniform(5, 11), c.rng.uniform(22, 34)
        box = np.array([(x, shelf - high), (x + wide, shelf - high), (x + wide, shelf), (x, shelf)])
        c.fill(
            [box],
            palette.shade(c.rng, pick(c.rng, palette.BASIC)),
            places.objects("book")[0],
            "upright",
        )
        x += wide + c.rng.choice([0.5, 0.5, 0.5, 8])
    put(c, "table", SIZE * 0.46, SIZE * 0.95, 92, "brown", notes="name")
    put(c, "laptop", SIZE * 0.42, y - 5, c.rng.uniform(34, 40), notes="name")
    put(c, "lamp", SIZE * 0.76, y - 8, c.rng.uniform(28, 34), notes="name")
    put(c, "chair", SIZE * 0.5, SIZE * 1.0, c.rng.uniform(36, 44), "black", notes="name")
