"""Textures of dots, flecks, studs and holes."""

from __future__ import annotations

import numpy as np

from neuronym_drawings import noise, palette
from neuronym_drawings.textures.base import Frame, Pattern, texture


def _lattice(f: Frame, staggered: bool) -> tuple[np.ndarray, np.ndarray]:
    """Offset from the nearest point of a square or staggered lattice."""
    v = f.v * (1.1547 if staggered else 1.0)
    row = np.round(v)
    u = f.u + (np.mod(row, 2) * 0.5 if staggered else 0.0)
    return u - np.round(u), (v - row) / (1.1547 if staggered else 1.0)


@texture("dotted", 9, 20, "white/black black/white blue/white white/red grey/black yellow/blue")
def dotted(f: Frame) -> Pattern:
    x, y = _lattice(f, bool(f.rng.integers(2)))
    return Pattern(
        f.near(np.hypot(x, y), f.rng.uniform(0.14, 0.22)), tone=0.03 * noise.fbm(f.rng, 30)
    )


@texture(
    "polka-dotted", 26, 64, "red/white white/red blue/white pink/white white/black black/white"
)
def polka_dotted(f: Frame) -> Pattern:
    x, y = _lattice(f, f.rng.random() < 0.75)
    dots = f.near(np.hypot(x, y), f.rng.uniform(0.22, 0.33))
    folds = noise.streaks(f.rng, 160, 45, float(f.rng.uniform(0, 180)))
    return Pattern(dots, 2.5 * folds, 0.03 * noise.smooth(f.rng, 1.6))


@texture(
    "flecked",
    9,
    18,
    "white/black grey/white brown/white blue/white green/yellow white/blue",
    clean=False,
)
def flecked(f: Frame) -> Pattern:
    on = np.zeros_like(f.u)
    for scale, stretch in ((1.0, 2.2), (1.5, 1.6)):
        c = noise.cells(f.rng, f.u * scale / stretch, f.v * scale, 0.95)
        size = 0.1 + 0.22 * c.value
        wobble = 0.08 * noise.smooth(f.rng, 3)
        on = np.maximum(on, f.near(np.hypot(c.x * stretch, c.y) + wobble, size) * (c.value > 0.25))
    return Pattern(on, 0.6 * noise.fbm(f.rng, 10, 4), 0.06 * noise.fbm(f.rng, 9, 4))


@texture("freckled", 10, 34, "orange/brown pink/brown white/brown", turn="any", clean=False)
def freckled(f: Frame) -> Pattern:
    on = 0.12 * noise.fbm(f.rng, 40, 3)
    for scale in (0.8, 1.3, 2.1):
        c = noise.cells(f.rng, f.u * scale, f.v * scale, 1.0)
        spot = np.hypot(c.x, c.y) + 0.07 * noise.smooth(f.rng, 4)
        on = np.maximum(on, (1 - noise.ramp(spot, 0.08, 0.36)) * noise.ramp(c.value, 0.35, 0.9))
    # Skin, pale to dark; eggshell; the peel of a pear or a banana.
    ground, spots = noise.pick(
        f.rng,
        (
            ("f0c8aa", "8c5432"),
            ("f3d2ba", "a0643c"),
            ("d9a07c", "7a4426"),
            ("a8704c", "54301c"),
            ("7c5038", "3c2014"),
            ("f4e8d8", "8c6c50"),
            ("dce8ec", "5c5450"),
            ("c8c860", "7c5c28"),
            ("a8b864", "5c4c24"),
            ("f0d868", "6c4420"),
            ("e8b878", "a04c24"),
        ),
    )
    skin, brown = palette.rgb(ground), palette.rgb(spots)
    rgb = skin + (brown - skin) * np.clip(on * f.rng.uniform(0.7, 1.1), 0, 1)[..., None]
    pores = noise.cells(f.rng, f.u * 3.4, f.v * 3.4).edge
    return Pattern(on, 0.7 * noise.ramp(pores, 0, 0.3), 0.03 * noise.fbm(f.rng, 70, 3), rgb)


@texture("sprinkled", 12, 22, "white/red pink/white brown/white yellow/red blue/white", clean=False)
def sprinkled(f: Frame) -> Pattern:
    on, colour, height = np.zeros_like(f.u), np.zeros((*f.u.shape, 3), np.float32), 0
    table = np.stack(
        [
            palette.shade(f.rng, term)
            for term in ("red", "yellow", "green", "blue", "pink", "orange", "white")
        ]
    )
    for scale in (1.0, 1.27):
        c = noise.cells(f.rng, f.u * scale, f.v * scale, 0.9)
        a = c.value * 37
        along, across = c.x * np.cos(a) + c.y * np.sin(a), c.y * np.cos(a) - c.x * np.sin(a)
        d = np.hypot(np.maximum(np.abs(along) - 0.24, 0), across)
        here = f.near(d, 0.12) * (c.value > 0.2)
        kind = np.floor(c.value * 791) % len(table)
        colour += (table[kind.astype(int)] - colour) * here[..., None]
        on = np.maximum(on, here)
        height = np.maximum(height, np.sqrt(np.clip(0.0144 - d * d, 0, 1)) * here)
    ground = palette.shade(f.rng, noise.pick(f.rng, ("white", "pink", "brown", "white", "yellow")))
    rgb = ground + (colour - ground) * on[..., None]
    return Pattern(on, f.period * height * 1.2 + 0.5 * noise.fbm(f.rng, 30, 3), None, rgb, 0.25)


@texture("studded", 16, 40, "black/grey brown/yellow black/yellow red/grey blue/white", clean=False)
def studded(f: Frame) -> Pattern:
    x, y = _lattice(f, bool(f.rng.integers(2)))
    r, radius = np.hypot(x, y), 0.27
    stud = f.near(r, radius)
    dome = np.sqrt(np.clip(radius**2 - r * r, 0, 1))
    leather = noise.cells(f.rng, f.u * f.period / 4, f.v * f.period / 4).edge
    shadow = -0.5 * (1 - noise.ramp(np.hypot(x - 0.06, y - 0.06), radius, radius + 0.15))
    height = f.period * dome * 0.9 + 0.5 * noise.ramp(leather, 0, 0.4) * (1 - stud)
    return Pattern(stud, height, shadow * (1 - stud), gloss=0.6)


@texture("perforated", 13, 32, "grey/black white/black white/grey brown/black blue/black")
def perforated(f: Frame) -> Pattern:
    x, y = _lattice(f, bool(f.rng.integers(2)))
    r, radius = np.hypot(x, y), f.rng.uniform(0.2, 0.29)
    hole = f.near(r, radius)
    rim = np.clip((r - radius) / 0.1, 0, 1)
    metal = noise.streaks(f.rng, 60, 1.3, f.angle)
    return Pattern(
        hole, f.period * 0.1 * rim, 0.06 * metal * (1 - hole) - 0.1 * (1 - rim), gloss=0.2
    )


@texture("pitted", 10, 24, "grey/grey brown/brown white/grey orange/brown black/grey", clean=False)
def pitted(f: Frame) -> Pattern:
    depth = np.zeros_like(f.u)
    for scale, share in ((0.8, 0.4), (1.5, 0.5), (2.4, 0.55)):
        c = noise.cells(f.rng, f.u * scale, f.v * scale, 0.95)
        d = c.near + 0.06 * noise.smooth(f.rng, 5)
        pit = (1 - noise.ramp(d, 0.1, 0.2 + 0.22 * c.value)) * (c.value > share) / scale
        depth = np.maximum(depth, pit)
    height = -f.period * 0.42 * depth + 0.8 * noise.fbm(f.rng, 9, 4)
    return Pattern(np.clip(depth, 0, 1), height, -0.4 * depth + 0.05 * noise.fbm(f.rng, 20, 4))


@texture(
    "porous", 14, 34, "yellow/brown orange/brown grey/black white/grey brown/black", clean=False
)
def porous(f: Frame) -> Pattern:
    hole = np.zeros_like(f.u)
    for scale in (0.75, 1.4, 2.6):
        c = noise.cells(f.rng, f.u * scale, f.v * scale, 0.9)
        d = c.near + 0.08 * noise.smooth(f.rng, 7)
        hole = np.maximum(hole, 1 - noise.ramp(d, 0.06 + 0.2 * c.value, 0.18 + 0.2 * c.value))
    height = -f.period * 0.4 * hole + 0.6 * noise.fbm(f.rng, 7, 4)
    return Pattern(hole, height, -0.5 * hole + 0.06 * noise.fbm(f.rng, 10, 4))


@texture("potholed", 70, 120, "grey/brown grey/black", turn="none", bend=0, clean=False)
def potholed(f: Frame) -> Pattern:
    c = noise.cells(f.rng, f.u, f.v, 0.7)
    d = c.near + 0.09 * noise.fbm(f.rng, 34, 4)
    hole = 1 - noise.ramp(d, 0.16 + 0.2 * c.value, 0.24 + 0.22 * c.value)
    wet = (1 - noise.ramp(d, 0.08 + 0.2 * c.value, 0.12 + 0.2 * c.value)) * (f.rng.random() < 0.6)
    grit = noise.fbm(f.rng, 5, 3, rough=0.8)
    asphalt = palette.rgb(noise.pick(f.rng, ("6e6e70", "5c5c60", "807c76", "8c8880")))
    mud = palette.rgb(noise.pick(f.rng, ("5a4a38", "3c3834", "6b5a44")))
    sky = palette.rgb(noise.pick(f.rng, ("8c9cae", "b4bec8", "6e7c8c")))
    rgb = asphalt + (mud - asphalt) * hole[..., None]
    rgb = rgb + (sky - rgb) * (0.75 * wet)[..., None]
    cracks = 1 - noise.ramp(np.abs(noise.fbm(f.rng, 60, 4)), 0.0, 0.05)
    dry = 1 - wet
    height = -9 * hole * dry + grit * (0.7 + 0.9 * hole) * dry
    return Pattern(
        hole, height, (0.1 * grit - 0.35 * cracks * (1 - hole)) * dry - 0.15 * hole * dry, rgb
    )
