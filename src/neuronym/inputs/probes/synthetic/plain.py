"""Plain pictures: colours, textures and materials that fill the frame."""

from __future__ import annotations

import numpy as np

from neuronym.inputs.probes.base import Annotation, Mask
from neuronym.inputs.probes.synthetic import noise, palette
from neuronym.inputs.probes.synthetic.canvas import Canvas, Notes
from neuronym.inputs.probes.synthetic.materials import MATERIALS
from neuronym.inputs.probes.synthetic.noise import SIZE, fbm, pick, ramp, smooth
from neuronym.inputs.probes.synthetic.textures.base import TEXTURES, Rendered, frame, render

#: How many pictures of each colour there are, and which of them are one colour all over.
COLOUR_VARIANTS = 11
WHOLE = range(8)


def colour(c: Canvas, term: str, other: str, variant: int) -> None:
    """A colour: flat (0–2), as a gradient (3, 4), mottled (5, 6), blurred (7), beside another."""
    rng = c.rng
    notes = _notes("colour", term)
    first = palette.shade(rng, term)
    t = np.linspace(0, 1, SIZE, dtype=np.float32)
    if variant < 3:
        c.cover(first, notes)
        c.rgb += rng.standard_normal((SIZE, SIZE, 1), dtype=np.float32) * np.float32(0.004)
    elif variant < 5:
        a = rng.uniform(0, 2 * np.pi)
        slope = 0.5 + 0.7 * (np.cos(a) * (t[None, :] - 0.5) + np.sin(a) * (t[:, None] - 0.5))
        second = palette.shade(rng, term)
        c.cover(first + (second - first) * np.clip(slope, 0, 1)[..., None], notes)
    elif variant < 7:
        field = (
            fbm(rng, rng.uniform(10, 70), 4) if variant == 5 else smooth(rng, 1.5) + smooth(rng, 40)
        )
        c.cover(first * (1 + np.float32(rng.uniform(0.04, 0.08)) * field)[..., None], notes)
        c.expose(0.5)
    elif variant == 7:
        table = np.stack([palette.shade(rng, term) for _ in range(6)])
        cells = noise.cells(rng, *np.meshgrid(t * 4, t * 4), 0.9)
        c.cover(table[(cells.value * 6).astype(int)], notes)
        c.blur(rng.uniform(3, 9))
    else:
        second = palette.shade(rng, other)
        where = _half(rng, ("straight", "wavy", "disc")[variant - 8])
        c.cover(first, notes)
        c.cover(second, _notes("colour", other), where)
        c.rgb += rng.standard_normal((SIZE, SIZE, 1), dtype=np.float32) * np.float32(0.006)


def _half(rng: np.random.Generator, edge: str) -> np.ndarray:
    """Coverage `[SIZE, SIZE]` of a part of the picture, about half of it."""
    t = np.arange(SIZE, dtype=np.float32) + 0.5 - SIZE / 2
    x, y = np.meshgrid(t, t)
    if edge == "disc":
        centre = rng.uniform(-20, 20, 2)
        return np.clip(rng.uniform(55, 85) - np.hypot(x - centre[0], y - centre[1]) + 0.5, 0, 1)
    a = pick(rng, (0, 0.5, 1, 1.5, rng.uniform(0, 2))) * np.pi
    line = x * np.cos(a) + y * np.sin(a) + rng.uniform(-25, 25)
    if edge == "wavy":
        line = line + 16 * smooth(rng, 60)
    return np.clip(line + 0.5, 0, 1)


def texture(c: Canvas, name: str, ground: str, figure: str) -> None:
    """A texture that fills the picture; its two colours have masks where they are clean."""
    rendered = _rendered(c.rng, name, ground, figure, tilt=True)
    c.cover(rendered.rgb)
    c.expose()
    if texture_colours(name, ground, figure):
        for term, where in ((ground, rendered.ground), (figure, rendered.figure)):
            c.extra.append(Mask("colour", term, where))


def texture_colours(name: str, ground: str, figure: str) -> tuple[str, ...]:
    """The colours whose masks a texture has."""
    return (ground, figure) if TEXTURES[name].clean and ground != figure else ()


def _rendered(
    rng: np.random.Generator, name: str, ground: str, figure: str, tilt: bool
) -> Rendered:
    kind = TEXTURES[name]
    pattern = kind.draw(frame(rng, *kind.period, kind.turn, kind.bend))
    colours = palette.shade(rng, ground), palette.shade(rng, figure)
    return render(pattern, *colours, rng, tilt and kind.tilt)


def patchwork(c: Canvas, first: str, second: str) -> None:
    """Two textures in one picture, with exact masks."""
    for k, name in enumerate((first, second)):
        ground, figure = pick(c.rng, TEXTURES[name].colours)
        rgb = _rendered(c.rng, name, ground, figure, tilt=False).rgb
        where = _half(c.rng, pick(c.rng, ("straight", "wavy", "disc"))) if k else None
        c.cover(rgb, _notes("texture", name), where)
    c.expose()


def material(c: Canvas, name: str) -> None:
    """A material that fills the picture."""
    c.cover(MATERIALS[name](c.rng).rgb)
    if c.rng.random() < 0.4:  # a shadow that falls across it
        x = ramp(_half(c.rng, "wavy") + 0.0, 0, 1)
        c.rgb *= (0.62 + 0.38 * x)[..., None]
    c.expose()


def _notes(category: str, name: str) -> Notes:
    return (Annotation(category, name),)
