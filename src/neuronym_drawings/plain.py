"""Plain pictures: colours, textures and materials that fill the frame, or cover a simple body."""

from __future__ import annotations

import numpy as np

from neuronym_drawings import camera, noise, palette, places
from neuronym_drawings.backdrops import BACKDROPS
from neuronym_drawings.canvas import Canvas, Note, Notes
from neuronym_drawings.materials import MATERIALS
from neuronym_drawings.noise import SIZE, fbm, pick, smooth, streaks
from neuronym_drawings.textures.base import TEXTURES, Rendered, frame, render
from neuronym_drawings.things.base import ellipse, rectangle, rounded

#: How many pictures of each colour there are, and which of them show another colour, too.
COLOUR_VARIANTS = 22
BESIDE = {8: "straight", 9: "wavy", 10: "disc", 20: "stripes", 21: "splash"}
#: Before what a body with a texture or of a material is shown.
_STANDS = (
    "studio",
    "table",
    "floor",
    "wall",
    "blur",
    "dark",
    "lawn",
    "sand",
    "on wood",
    "on paper",
)
#: Materials of which a body may be.
SOLID = ("brick", "concrete", "fabric", "fur", "leather", "metal", "paper", "rust", "stone", "wood")


def colour(c: Canvas, term: str, other: str, variant: int) -> None:
    """A colour alone (most variants), or beside another (`BESIDE`)."""
    rng, notes = c.rng, _notes("colour", term)
    first = palette.shade(rng, term)
    if variant in BESIDE:
        c.cover(first, notes)
        where = _part(rng, BESIDE[variant])
        c.cover(palette.shade(rng, other), _notes("colour", other), where)
    elif variant < 3:
        c.cover(first, notes)
    else:
        c.cover(_SURFACES[(variant - 3) % len(_SURFACES)](c, term, first), notes)
    calm = variant < 3 or variant in BESIDE
    camera.shoot(c, view=0.0 if calm else 1.0, light=0.2 if calm else 0.4, lens=0.35)


def _graded(c: Canvas, term: str, first: np.ndarray) -> np.ndarray:
    t = np.linspace(-0.5, 0.5, SIZE, dtype=np.float32)
    a = c.rng.uniform(0, 2 * np.pi)
    slope = 0.5 + 0.7 * (np.cos(a) * t[None, :] + np.sin(a) * t[:, None])
    if c.rng.random() < 0.4:
        slope = 1.6 * np.hypot(t[None, :] - c.rng.uniform(-0.3, 0.3), t[:, None])
    return first + (palette.shade(c.rng, term) - first) * np.clip(slope, 0, 1)[..., None]


def _mottled(c: Canvas, term: str, first: np.ndarray) -> np.ndarray:
    field = fbm(c.rng, c.rng.uniform(10, 70), 4)
    return first * (1 + np.float32(c.rng.uniform(0.05, 0.11)) * field)[..., None]


def _grainy(c: Canvas, term: str, first: np.ndarray) -> np.ndarray:
    field = smooth(c.rng, 1.5) + smooth(c.rng, 40)
    return first * (1 + np.float32(c.rng.uniform(0.04, 0.08)) * field)[..., None]


def _patches(c: Canvas, term: str, first: np.ndarray) -> np.ndarray:
    t = np.linspace(0, c.rng.uniform(2.5, 9), SIZE, dtype=np.float32)
    table = np.stack([palette.shade(c.rng, term) for _ in range(6)])
    found = noise.cells(c.rng, *np.meshgrid(t, t), c.rng.choice([0.0, 0.9]))
    return table[(found.value * 6).astype(int)]


def _bokeh(c: Canvas, term: str, first: np.ndarray) -> np.ndarray:
    c.cover(_patches(c, term, first))
    c.blur(c.rng.uniform(3, 9))
    return c.rgb.copy()


def _folds(c: Canvas, term: str, first: np.ndarray) -> np.ndarray:
    wide = c.rng.uniform(14, 60)
    height = wide * 0.22 * streaks(c.rng, 260, wide, c.rng.uniform(0, 180))
    light = noise.slopes(height)[0] - noise.slopes(height)[1]
    return first * np.clip(1 + 0.35 * light, 0.6, 1.2)[..., None]


def _strokes(c: Canvas, term: str, first: np.ndarray) -> np.ndarray:
    field = streaks(c.rng, c.rng.uniform(30, 120), c.rng.uniform(2, 8), c.rng.uniform(0, 180))
    mixed = np.clip(0.5 + 0.35 * field, 0, 1)[..., None]
    return first + (palette.shade(c.rng, term) - first) * mixed


def _crumpled(c: Canvas, term: str, first: np.ndarray) -> np.ndarray:
    height = -9 * (np.abs(smooth(c.rng, 46)) + 0.5 * np.abs(smooth(c.rng, 22)))
    light = noise.slopes(height)[0] + noise.slopes(height)[1]
    return first * np.clip(1 + 0.3 * light, 0.65, 1.2)[..., None]


_SURFACES = (
    _graded,
    _graded,
    _mottled,
    _grainy,
    _bokeh,
    _folds,
    _strokes,
    _crumpled,
    _patches,
)


def _part(rng: np.random.Generator, edge: str) -> np.ndarray:
    """Coverage `[SIZE, SIZE]` of a part of the picture, about half of it."""
    t = np.arange(SIZE, dtype=np.float32) + 0.5 - SIZE / 2
    x, y = np.meshgrid(t, t)
    if edge == "disc":
        centre = rng.uniform(-20, 20, 2)
        return np.clip(rng.uniform(55, 85) - np.hypot(x - centre[0], y - centre[1]) + 0.5, 0, 1)
    if edge == "splash":
        return np.clip(40 * (smooth(rng, rng.uniform(40, 90)) + rng.uniform(-0.3, 0.3)) + 0.5, 0, 1)
    a = pick(rng, (0, 0.5, 1, 1.5, rng.uniform(0, 2))) * np.pi
    line = x * np.cos(a) + y * np.sin(a) + rng.uniform(-25, 25)
    if edge == "stripes":
        period = rng.uniform(50, 90)
        line = np.abs(np.mod(line, period) - period / 2) - period / 4
    if edge == "wavy":
        line = line + 16 * smooth(rng, 60)
    return np.clip(line + 0.5, 0, 1)


def texture(c: Canvas, name: str, ground: str, figure: str, whole: bool = True) -> None:
    """A texture that fills the picture, or covers a body; `ground` is "" for colours of any kind.

    Where it fills the picture and is clean, its two colours have masks.
    """
    rendered = _rendered(c.rng, name, ground, figure, tilt=whole)
    if not whole:
        _body(c, rendered.rgb, _notes("texture", name))
        camera.shoot(c)
        return
    c.cover(rendered.rgb)
    named = texture_colours(name, ground, figure)
    if named:
        c.own(rendered.ground, _notes("colour", ground))
        c.own(rendered.figure, _notes("colour", figure))
    camera.shoot(c, light=0.5 if named else 1.0)


def texture_colours(name: str, ground: str, figure: str) -> tuple[str, ...]:
    """The colours whose masks a texture that fills the picture has."""
    return (ground, figure) if TEXTURES[name].clean and ground and ground != figure else ()


def _rendered(
    rng: np.random.Generator, name: str, ground: str, figure: str, tilt: bool
) -> Rendered:
    kind = TEXTURES[name]
    low, high = kind.period
    pattern = kind.draw(frame(rng, low * 0.85, high * 1.25, kind.turn, kind.bend))
    if ground:
        colours = palette.shade(rng, ground), palette.shade(rng, figure)
    else:
        colours = palette.any_two(rng)
    return render(pattern, *colours, rng, tilt and kind.tilt)


def _body(c: Canvas, rgb: np.ndarray, notes: Notes) -> None:
    """A plain body whose surface is a picture: a ball, a cushion, a pebble, a pillar or a sheet."""
    rng = c.rng
    level = BACKDROPS[pick(rng, _STANDS)].draw(c)
    c.own(np.ones((SIZE, SIZE), bool), ())
    kind = pick(rng, ("ball", "cushion", "pebble", "pillar", "sheet"))
    wide, high = rng.uniform(62, 96, 2)
    if kind == "ball":
        high = wide
    x = rng.uniform(wide, SIZE - wide)
    y = rng.uniform(high * 0.9, SIZE - high * 0.9)
    if level < SIZE * 0.95:
        y = min(level + rng.uniform(-6, 14), SIZE) - high
        c.shadow(x, y + high, wide, high * 0.18, 0.5)
    if kind in ("ball", "pebble"):
        outline = ellipse(x, y, wide, high, rng.uniform(0, 180) if kind == "pebble" else 0)
        if kind == "pebble":
            t = np.linspace(0, 2 * np.pi, 8, endpoint=False) + rng.uniform(0, 1)
            reach = rng.uniform(0.75, 1.0, 8)
            points = np.stack([x + wide * reach * np.cos(t), y + high * reach * np.sin(t)], 1)
            outline = rounded(points)
        c.fill([outline], rgb, notes, "sphere", rough=0.0)
        return
    box = rectangle(x - wide, y - high, x + wide, y + high, {"cushion": 0.4}.get(kind, 0.04) * wide)
    if kind == "sheet":
        box = box + 4 * np.sin(box[:, ::-1] / rng.uniform(9, 20))
    shade = {"cushion": "soft", "pillar": "upright", "sheet": "down"}[kind]
    c.fill([box], rgb, notes, shade, rough=0.0)


def patchwork(c: Canvas, names: tuple[str, ...]) -> None:
    """Two or three textures in one picture, with exact masks."""
    for k, name in enumerate(names):
        ground, figure = pick(c.rng, TEXTURES[name].colours)
        rgb = _rendered(c.rng, name, ground, figure, tilt=False).rgb
        where = _part(c.rng, pick(c.rng, ("straight", "wavy", "disc", "splash"))) if k else None
        if k == 2:
            where = _part(c.rng, "disc")
        c.cover(rgb, _notes("texture", name), where)
    camera.shoot(c, view=0.6)


def material(c: Canvas, name: str, whole: bool = True) -> None:
    """A material that fills the picture, lies as a plane before the viewer, or covers a body."""
    rgb = MATERIALS[name](c.rng).rgb
    if not whole:
        _body(c, rgb, _notes("material", name))
    elif c.rng.random() < 0.25:
        c.cover(rgb, _notes("material", name))
        places.ground(c, 0, name, "", near=c.rng.uniform(0.3, 0.6), haze=c.rng.uniform(0, 0.2))
        c.own(np.ones((SIZE, SIZE), bool), _notes("material", name))
    else:
        c.cover(rgb, _notes("material", name))
    camera.shoot(c)


def _notes(category: str, name: str) -> Notes:
    return (Note(category, name),)
