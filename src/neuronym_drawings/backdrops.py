"""Where a single thing is shown: before what, and on what it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neuronym_drawings import palette, places
from neuronym_drawings.canvas import Canvas, Note
from neuronym_drawings.materials import MATERIALS
from neuronym_drawings.noise import SIZE, fbm, pick, smooth
from neuronym_drawings.textures.base import TEXTURES, frame, render


@dataclass(frozen=True)
class Backdrop:
    """One kind of background.

    Attributes:
        draw: paints it and returns the height (pixels from the top) at which things stand.
        notes: what its masks name.
    """

    draw: Callable[[Canvas], float]
    notes: tuple[Note, ...] = ()


BACKDROPS: dict[str, Backdrop] = {}


def _backdrop(name: str, objects: str = "") -> Callable:
    def decorate(draw: Callable[[Canvas], float]) -> Callable[[Canvas], float]:
        BACKDROPS[name] = Backdrop(draw, tuple(Note("object", word) for word in objects.split()))
        return draw

    return decorate


@_backdrop("studio")
def _studio(c: Canvas) -> float:
    base = palette.rgb(
        pick(
            c.rng,
            (
                "d8d8d4",
                "b8c0c8",
                "e8e4dc",
                "8c949c",
                "c8b8a4",
                "a4b4b8",
                "5c6068",
                "d8c8c8",
                "b0c0a8",
            ),
        )
    )
    horizon = c.rng.uniform(0.5, 0.75)
    t = np.linspace(0, 1, SIZE, dtype=np.float32)[:, None]
    light = (
        0.85
        + 0.2 * np.exp(-(((t - horizon) / 0.3) ** 2))
        - 0.12 * (t > horizon) * np.exp(-(t - horizon) / 0.05)
    )
    x = np.linspace(-1, 1, SIZE, dtype=np.float32)[None, :]
    c.cover(base * ((light - 0.12 * x * x) * (1 + 0.01 * fbm(c.rng, 50, 3)))[..., None])
    return SIZE * 0.88


@_backdrop("blur")
def _blur(c: Canvas) -> float:
    places.bokeh(
        c,
        pick(
            c.rng,
            (
                ("4c6c8c", "8ca4b8", "c8b8a0"),
                ("6c5444", "a48c70", "d8c8b0"),
                ("3c3c4c", "6c6478", "b0a0a8"),
                ("5c7c5c", "a0b088", "d8d8b0"),
                ("8c4c3c", "c88c64", "e8c8a0"),
            ),
        ),
    )
    return SIZE * 0.9


@_backdrop("plain")
def _plain(c: Canvas) -> float:
    first, second = palette.any_two(c.rng)
    angle = c.rng.uniform(0, 2 * np.pi)
    t = np.linspace(-0.5, 0.5, SIZE, dtype=np.float32)
    slope = 0.5 + np.cos(angle) * t[None, :] + np.sin(angle) * t[:, None]
    mixed = c.rng.uniform(0, 0.6) * np.clip(slope, 0, 1)
    c.cover((first + (second - first) * mixed[..., None]).astype(np.float32))
    return SIZE * 0.9


@_backdrop("textured")
def _textured(c: Canvas) -> float:
    kind = TEXTURES[pick(c.rng, sorted(TEXTURES))]
    pattern = kind.draw(frame(c.rng, *kind.period, kind.turn, kind.bend))
    c.cover(render(pattern, *palette.any_two(c.rng), c.rng).rgb)
    c.blur(c.rng.uniform(0.5, 4))
    return SIZE * 0.9


@_backdrop("garden")
def _garden(c: Canvas) -> float:
    places.bokeh(
        c, ("2c5424", "4c7c34", "7ca04c", "3c6438", "98a868", "5c6c3c"), c.rng.uniform(6, 14)
    )
    return SIZE * 0.9


@_backdrop("dark")
def _dark(c: Canvas) -> float:
    places.bokeh(c, ("0c0a10", "18141c", "241c20", "101420"))
    return SIZE * 0.9


@_backdrop("skin")
def _skin(c: Canvas) -> float:
    tone = palette.rgb(pick(c.rng, ("e8bc9c", "d8a07c", "b47c58", "8c5c40", "f0ccb4")))
    light = 1 + 0.05 * smooth(c.rng, 60) + 0.025 * fbm(c.rng, 8, 3)
    c.cover(tone * light[..., None])
    return SIZE


@_backdrop("table", "wall table")
def _table(c: Canvas) -> float:
    places.wall(c)
    c.blur(c.rng.uniform(1, 4))
    edge = SIZE * c.rng.uniform(0.5, 0.66)
    places.ground(
        c,
        edge,
        pick(c.rng, ("wood", "wood", "wood", "fabric", "concrete", "tile")),
        "table",
        near=0.55,
        haze=0.1,
    )
    c.rgb[round(edge) : round(edge) + 2] *= 0.7
    return SIZE * 0.86


@_backdrop("floor", "wall floor")
def _floor(c: Canvas) -> float:
    places.wall(c)
    edge = SIZE * c.rng.uniform(0.56, 0.68)
    places.ground(
        c, edge, pick(c.rng, ("wood", "wood", "tile", "fabric", "concrete")), "floor", haze=0.05
    )
    c.rgb[round(edge) - 6 : round(edge)] = c.rgb[round(edge) - 6 : round(edge)] * 0.4 + 0.55
    return SIZE * 0.9


@_backdrop("wall", "wall")
def _wall(c: Canvas) -> float:
    places.wall(c)
    return SIZE * 0.97


def _horizon(c: Canvas, sky: str, low: float = 0.46, high: float = 0.64) -> float:
    places.sky(c, sky)
    return SIZE * c.rng.uniform(low, high)


@_backdrop("lawn", "sky grass")
def _lawn(c: Canvas) -> float:
    y = _horizon(c, pick(c.rng, ("day", "day", "grey")))
    if c.rng.random() < 0.6:
        places.ridge(c, y - 8, 12, pick(c.rng, ("6c8c7c", "7c94a0", "5c7c5c")))
    if c.rng.random() < 0.7:
        places.treeline(c, y, 24)
    places.ground(c, y, "grass", "grass")
    c.blur(c.rng.uniform(0, 1.6))
    return SIZE * 0.88


@_backdrop("road", "sky grass road")
def _road(c: Canvas) -> float:
    y = _horizon(c, pick(c.rng, ("day", "day", "grey", "sunset")))
    places.ridge(c, y - 8, 14, pick(c.rng, ("6c8c7c", "7c94a0", "8c7c6c")))
    places.ground(c, y, pick(c.rng, ("grass", "grass", "sand")), "grass")
    top = y + 0.32 * (SIZE - y)
    tone = palette.rgb(pick(c.rng, ("5c5c60", "6c6a68", "4c4c52")))
    notes = (Note("object", "road"),)
    c.fill(
        [np.array([(-5, top), (SIZE + 5, top), (SIZE + 5, SIZE + 5), (-5, SIZE + 5)])],
        tone,
        notes,
        "flat",
        grain="stone",
        rough=0.07,
    )
    middle = top + 0.82 * (SIZE - top)
    for x in np.arange(-10, SIZE, 60):
        dash = np.array([(x, middle), (x + 30, middle), (x + 27, middle + 4), (x - 4, middle + 4)])
        c.fill([dash], palette.rgb("e8e4d4"), notes, "flat")
    c.blur(c.rng.uniform(0, 1.2))
    return top + 0.6 * (SIZE - top)


@_backdrop("street", "sky building road")
def _street(c: Canvas) -> float:
    y = _horizon(c, pick(c.rng, ("day", "grey", "grey")), 0.62, 0.72)
    places.skyline(c, y, SIZE * 0.6)
    c.blur(c.rng.uniform(0.8, 2.2))
    places.ground(c, y, "concrete", "road")
    return SIZE * 0.88


@_backdrop("sand", "sky sand")
def _sand(c: Canvas) -> float:
    y = _horizon(c, "day")
    if c.rng.random() < 0.5:
        places.ridge(c, y - 6, 14, pick(c.rng, ("c8a474", "b8906c", "d8b888")), wavelength=120)
    places.ground(c, y, "sand", "sand")
    return SIZE * 0.88


@_backdrop("snow", "sky snow")
def _snow(c: Canvas) -> float:
    y = _horizon(c, pick(c.rng, ("day", "grey")))
    places.ridge(c, y - 6, 16, pick(c.rng, ("a8b8cc", "c8d4e0", "8ca0b4")))
    if c.rng.random() < 0.6:
        places.treeline(c, y, 18)
    places.ground(c, y, "snow", "snow")
    return SIZE * 0.88


@_backdrop("sea", "sky sea")
def _sea(c: Canvas) -> float:
    kind = pick(c.rng, ("day", "day", "sunset", "grey"))
    y = _horizon(c, kind, 0.42, 0.58)
    places.sea(c, y, kind)
    return SIZE * 0.8


@_backdrop("sky", "sky")
def _sky(c: Canvas) -> float:
    places.sky(c, pick(c.rng, ("day", "day", "day", "sunset", "grey")))
    return SIZE


@_backdrop("night", "sky")
def _night(c: Canvas) -> float:
    places.sky(c, "night")
    return SIZE * 0.95


@_backdrop("storm", "sky")
def _storm(c: Canvas) -> float:
    places.sky(c, "storm")
    return SIZE


@_backdrop("underwater", "water")
def underwater(c: Canvas) -> float:
    top, low = (
        palette.rgb(text)
        for text in pick(c.rng, (("4cb8d8", "0c3c6c"), ("5cc8c0", "0c4c5c"), ("3c90d0", "08244c")))
    )
    t = np.linspace(0, 1, SIZE, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, SIZE, dtype=np.float32)[None, :]
    slant = x - 0.35 * t
    beams = np.clip(smooth(c.rng, 400, wide=14)[:1] * 0.6 + 0 * t, 0, 2)
    index = np.clip(((slant + 1.4) / 2.8 * (SIZE - 1)), 0, SIZE - 1).astype(np.intp)
    light = np.take_along_axis(np.broadcast_to(beams, (SIZE, SIZE)), index, axis=1) * (1 - t) ** 1.5
    rgb = top + (low - top) * t[..., None] + 0.16 * light[..., None]
    c.cover(np.broadcast_to(rgb, (SIZE, SIZE, 3)).astype(np.float32), (Note("object", "water"),))
    a = np.linspace(0, 2 * np.pi, 16)
    for _ in range(int(c.rng.integers(3, 16))):
        bx, by = c.rng.uniform(0, SIZE, 2)
        r = c.rng.uniform(1.5, 5)
        ring = np.stack([bx + r * np.cos(a), by + r * np.sin(a)], 1)
        c.fill([ring], palette.rgb("d8f4fc"), None, "sphere", alpha=0.4, rough=0)
    return SIZE


def _register_surfaces() -> None:
    for name in (
        "wood",
        "fabric",
        "stone",
        "paper",
        "leather",
        "tile",
        "concrete",
        "sand",
        "grass",
        "metal",
    ):
        BACKDROPS[f"on {name}"] = Backdrop(_surface(name), (Note("material", name),))


def _surface(name: str) -> Callable[[Canvas], float]:
    def draw(c: Canvas) -> float:
        c.cover(MATERIALS[name](c.rng).rgb, (Note("material", name),))
        if c.rng.random() < 0.5:
            c.blur(c.rng.uniform(0.4, 1.2))
        return SIZE * 0.9

    return draw


_register_surfaces()
#: What the word `surface` in a thing's `where` stands for.
SURFACES = tuple(name for name in BACKDROPS if name.startswith("on "))
