"""Textures that flow: marble, veins, swirls, spirals, stains, wrinkles, webs."""

from __future__ import annotations

import numpy as np

from neuronym_drawings import noise
from neuronym_drawings.noise import SIZE
from neuronym_drawings.textures.base import Frame, Pattern, texture
from neuronym_drawings.textures.lines import _fold


def _polar(f: Frame, spread: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Distance in pixels and angle about a point near the picture's middle."""
    t = np.arange(SIZE, dtype=np.float32)
    cx, cy = SIZE * (0.5 + f.rng.uniform(-spread, spread, 2))
    x, y = np.meshgrid(t - cx, t - cy)
    x = x + 3 * noise.smooth(f.rng, 70)
    y = (y + 3 * noise.smooth(f.rng, 70)) * f.rng.uniform(0.8, 1.25)
    return np.hypot(x, y), np.arctan2(y, x)


@texture(
    "marbled",
    26,
    70,
    "white/grey black/white green/white pink/white brown/white blue/white",
    clean=False,
)
def marbled(f: Frame) -> Pattern:
    turbulence = noise.fbm(f.rng, 60, 5)
    t = np.sin(2 * np.pi * (f.u * 0.5 + 0.45 * turbulence))
    vein = (1 - np.abs(t)) ** f.rng.uniform(2.5, 6)
    thin = (1 - np.clip(np.abs(noise.fbm(f.rng, 50, 5)) * 3, 0, 1)) ** 3
    mix = np.clip(0.85 * vein + 0.5 * thin + 0.1 * noise.fbm(f.rng, 40, 5), 0, 1)
    return Pattern(mix, None, 0.03 * noise.fbm(f.rng, 30, 4))


@texture(
    "veined",
    20,
    34,
    "green/yellow green/white red/pink yellow/green pink/red white/blue",
    clean=False,
)
def veined(f: Frame) -> Pattern:
    u, v = f.u + 0.1 * noise.smooth(f.rng, 30), f.v + 0.1 * noise.smooth(f.rng, 30)
    middle = u - np.mean(u)
    side = v + 0.55 * np.abs(middle) ** 0.85
    main = f.near(np.abs(middle), 0.1 * np.ones_like(u), 2)
    ribs = f.near(_fold(side / 1.5) * 1.5, 0.05, 2)
    net = noise.cells(f.rng, u * 1.7, v * 1.7, 0.9)
    fine = noise.cells(f.rng, u * 4.2, v * 4.2, 0.9)
    mix = np.maximum(np.maximum(main, 0.85 * ribs), 0.45 * f.near(net.edge / 1.7, 0.03, 2))
    mix = np.maximum(mix, 0.22 * f.near(fine.edge / 4.2, 0.02, 2))
    puff = noise.ramp(_fold(side / 1.5) * 2, 0, 1) * f.period * 0.16
    return Pattern(mix, puff + 2 * noise.ramp(net.edge, 0, 0.5), 0.06 * noise.fbm(f.rng, 14, 4))


@texture(
    "swirly",
    18,
    40,
    "blue/white purple/pink orange/yellow black/white red/yellow green/white",
    bend=0,
    clean=False,
)
def swirly(f: Frame) -> Pattern:
    u, v = f.u, f.v
    middle_u, middle_v = float(u.mean()), float(v.mean())
    reach = SIZE / 2 / f.period
    for _ in range(4):
        cu = middle_u + reach * f.rng.uniform(-0.8, 0.8)
        cv = middle_v + reach * f.rng.uniform(-0.8, 0.8)
        du, dv = u - cu, v - cv
        turn = (
            f.rng.choice([-1, 1])
            * f.rng.uniform(3, 6)
            * np.exp(-(du * du + dv * dv) / (f.rng.uniform(0.3, 0.55) * reach) ** 2)
        )
        u, v = (
            cu + du * np.cos(turn) - dv * np.sin(turn),
            cv + du * np.sin(turn) + dv * np.cos(turn),
        )
    t = 0.5 * u + 0.12 * noise.fbm(f.rng, 60, 3)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * t)
    fine = 0.5 + 0.5 * np.sin(2 * np.pi * t * 3 + 1)
    return Pattern(
        0.78 * noise.ramp(wave, 0.25, 0.75) + 0.22 * fine, 2.5 * wave, 0.03 * noise.fbm(f.rng, 9)
    )


@texture(
    "spiralled",
    16,
    40,
    "white/black white/red yellow/orange blue/white brown/white pink/red",
    bend=0,
)
def spiralled(f: Frame) -> Pattern:
    r, a = _polar(f)
    arms = int(f.rng.integers(1, 4))
    way = noise.pick(f.rng, (-1, 1))
    if f.rng.random() < 0.5:
        t = r / f.period + way * arms * a / (2 * np.pi)
    else:
        t = np.log(np.maximum(r, 1) / 8) * SIZE / f.period / 4 + way * arms * a / (2 * np.pi)
    d = _fold(t)
    mix = noise.ramp(d, 0.2, 0.3)
    return Pattern(mix, f.period * 0.18 * np.sqrt(d), 0.05 * noise.fbm(f.rng, 14, 4))


@texture(
    "smeared",
    20,
    50,
    "white/red white/blue yellow/red blue/white black/white green/yellow",
    clean=False,
)
def smeared(f: Frame) -> Pattern:
    broad = noise.streaks(f.rng, 130, f.period, f.angle) + 0.5 * noise.smooth(f.rng, 60)
    bristle = noise.streaks(f.rng, 150, 2.2, f.angle)
    paint = noise.unit(broad + 0.55 * bristle)
    return Pattern(
        noise.ramp(paint, -0.7, 0.8), 1.4 * bristle + 1.5 * broad, 0.05 * bristle, gloss=0.15
    )


@texture(
    "stained",
    40,
    80,
    "white/brown white/grey grey/brown yellow/brown blue/brown white/red",
    clean=False,
)
def stained(f: Frame) -> Pattern:
    mix = np.zeros_like(f.u)
    for scale in (1.0, 1.7, 2.4):
        c = noise.cells(f.rng, f.u * scale, f.v * scale, 0.9)
        d = c.near + 0.13 * noise.fbm(f.rng, 40, 4)
        radius = 0.2 + 0.25 * c.value
        inside = f.near(d / scale, radius / scale, 3) * (c.value > 0.3)
        rim = np.exp(-(((d - radius) / 0.035) ** 2)) * inside
        mix = np.maximum(mix, inside * (0.3 + 0.25 * c.value) + 0.5 * rim)
    weave = 0.06 * noise.streaks(f.rng, 8, 1.4) + 0.06 * noise.streaks(f.rng, 8, 1.4, 90)
    return Pattern(np.clip(mix, 0, 1), None, weave + 0.05 * noise.fbm(f.rng, 60, 4))


@texture(
    "blotchy",
    24,
    60,
    "white/red pink/red green/yellow brown/black grey/blue white/purple",
    clean=False,
)
def blotchy(f: Frame) -> Pattern:
    field = noise.fbm(f.rng, f.period, 4, rough=0.55)
    mix = noise.ramp(field, 0.0, 0.7) * (0.75 + 0.15 * noise.smooth(f.rng, 20))
    return Pattern(np.clip(mix, 0, 1), None, 0.06 * noise.fbm(f.rng, 12, 4))


@texture(
    "wrinkled",
    30,
    70,
    "white/white brown/brown grey/grey blue/blue orange/brown pink/pink",
    clean=False,
)
def wrinkled(f: Frame) -> Pattern:
    ridges = np.zeros_like(f.u)
    for scale, weight in ((1.0, 1.0), (0.55, 0.6), (0.3, 0.35)):
        ridges += weight * (1 - np.abs(noise.smooth(f.rng, f.period * scale))) * scale
    creases = noise.cells(f.rng, f.u * 0.8 + 0.2 * noise.smooth(f.rng, 30), f.v * 0.8, 1.0)
    facets = creases.near * (creases.value - 0.3)
    return Pattern(
        0.3 * noise.ramp(ridges, 0, 2),
        f.period * (0.28 * ridges + 0.5 * facets),
        0.04 * noise.smooth(f.rng, 1.8) - 0.1 * (1 - noise.ramp(creases.edge, 0, 0.08)),
    )


@texture(
    "cobwebbed",
    13,
    26,
    "black/white brown/white black/grey green/white blue/white",
    bend=0,
    clean=False,
    tilt=False,
    free=False,
)
def cobwebbed(f: Frame) -> Pattern:
    r, a = _polar(f)
    spokes = int(f.rng.integers(11, 19))
    irregular = a + 0.1 * np.sin(3 * a + 1) + 0.05 * np.sin(7 * a)
    sector = irregular * spokes / (2 * np.pi)
    thread = f.near(_fold(sector) * (2 * np.pi / spokes) * r * f.px, 0.55 * f.px, 1.2)
    # Between two spokes the spiral thread hangs inwards.
    sag = r * (1 + 0.28 * _fold(sector) ** 2 * 4 * 0.5)
    turn = sag / f.period + irregular / (2 * np.pi) + 0.12 * np.sin(5 * a)
    gap = noise.smooth(f.rng, 50) > -1.1
    ring = f.near(_fold(turn), 0.5 * f.px, 1.2) * gap
    dew = noise.lookup(f.rng, np.floor(turn * 1), np.floor(sector * 9)) > 0.8
    mix = np.clip(0.75 * thread + 0.7 * ring * (1 + 0.5 * dew), 0, 1)
    behind = 0.35 * noise.fbm(f.rng, 60, 3)
    return Pattern(mix, None, behind * (1 - mix))
