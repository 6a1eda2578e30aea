"""Textures without a lattice: grown, broken, strewn."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from training.sketch.drawings import ramp, unit
from training.sketch.sheet import SIDE, Look, Sheet, fold, hexagons, kind


@kind("blotchy", "blotched")
def blotches(s: Sheet) -> Look:
    field = s.fbm(s.scale(25, 80), 5)
    edge = s.between(0.02, 0.4)
    return Look(ramp(field + s.between(-0.6, 0.6), -edge, edge), colours=3)


@kind("blotchy", "blotched")
def soft_blots(s: Sheet) -> Look:
    a, b = s.fbm(s.scale(30, 70), 4), s.fbm(s.scale(20, 60), 4)
    return Look(0.4 + 0.25 * ramp(a, -0.1, 0.5) + 0.35 * ramp(b, 0.2, 0.8), colours=4)


@kind("blotchy", "blotched", "camouflage")
def patches(s: Sheet) -> Look:
    field = s.fbm(s.scale(35, 70), 3)
    levels = s.any(3, 4, 5)
    part = np.floor((ndimage.uniform_filter(field, 3) * 0.22 + 0.5) * levels) / levels
    return Look(np.clip(part, 0, 0.99), part=np.clip(part, 0, 0.99), colours=5)


@kind("blotchy", "blotched")
def cow(s: Sheet) -> Look:
    field = s.smooth(s.scale(40, 80)) + 0.15 * s.fbm(14)
    hair = s.streaks(14, 1.6, s.between(0, 180))
    return Look(ramp(field, 0.1, 0.2), height=0.8 * hair)


@kind("bubbly")
def bubbles(s: Sheet) -> Look:
    on, _part, dome = s.blobs(int(s.between(60, 220)), 3, s.between(10, 26))
    gy, gx = np.gradient(dome)
    rim = ramp(np.hypot(gx, gy), 0.6, 2.0) * on
    shine = ramp(-(gx + gy), 0.3, 0.6) * ramp(gx + gy, -1.1, -0.6) * on
    back = 0.35 + 0.15 * s.smooth(120)
    return Look(
        np.clip(back + 0.5 * rim + 0.6 * shine, 0, 1), height=0.5 * dome, gloss=0.5, colours=3
    )


@kind("bubbly", "foamy")
def foam(s: Sheet) -> Look:
    u, v = s.lay(9, 44)
    c = s.cells(u, v, 0.95)
    dome = np.sqrt(np.clip(1 - (c.near / 0.75) ** 2, 0, 1))
    edge = s.within(c.edge, 0.06, 2)
    light = ramp(-np.hypot(c.x + 0.15, c.y + 0.15), -0.14, -0.05)
    return Look(
        0.35 + 0.35 * edge + 0.5 * light, height=s.period * 0.3 * dome, gloss=0.6, colours=3
    )


@kind("bubbly")
def fizz(s: Sheet) -> Look:
    u, v = s.lay(12, 34)
    c = s.cells(u + 0.1 * s.smooth(30), v, 0.9)
    size = 0.15 + 0.3 * c.value
    ring = s.within(np.abs(c.near - size), 0.035, 1.5)
    light = s.within(np.hypot(c.x + size * 0.4, c.y + size * 0.4), size * 0.25, 2)
    inside = 0.15 * (c.near < size)
    return Look(0.3 + 0.12 * s.smooth(90) + 0.6 * np.maximum(ring, light) + inside, colours=3)


@kind("bumpy", "rough")
def bumps(s: Sheet) -> Look:
    cell = s.scale(6, 26)
    return Look(0.5 + 0.1 * s.fbm(50), height=cell * 0.22 * s.smooth(cell), gloss=s.any(0, 0.3))


@kind("bumpy")
def knobs(s: Sheet) -> Look:
    u, v = s.lay(12, 40)
    c = s.cells(u, v, 0.7)
    dome = np.sqrt(np.clip(1 - (c.near / 0.55) ** 2, 0, 1))
    return Look(
        0.3 + 0.4 * dome, part=c.value, height=s.period * 0.45 * dome, gloss=s.any(0, 0.5), dark=0.4
    )


@kind("bumpy", "pebbled")
def pebbles(s: Sheet) -> Look:
    u, v = s.lay(9, 40)
    c = s.cells(u, v * s.between(0.7, 1.2), 0.85)
    dome = ramp(c.edge, 0, 0.55)
    return Look(
        0.15 + 0.75 * dome * (0.5 + 0.5 * c.value),
        part=c.value,
        height=s.period * 0.35 * dome,
        dark=0.5,
        colours=4,
    )


@kind("bumpy", "rough")
def rubble(s: Sheet) -> Look:
    field = s.fbm(s.scale(12, 45), 5, 0.6)
    return Look(0.5 + 0.2 * s.fbm(30), height=s.between(2, 6) * field, dark=0.3, colours=3)


@kind("bumpy")
def florets(s: Sheet) -> Look:
    big = s.lay(40, 80)
    c = s.cells(*big, 0.8)
    dome = np.sqrt(np.clip(1 - (c.near / 0.7) ** 2, 0, 1))
    period = s.period
    d = s.cells(big[0] * 5, big[1] * 5, 0.8)
    fine = np.sqrt(np.clip(1 - (d.near / 0.6) ** 2, 0, 1))
    return Look(
        0.3 + 0.3 * dome + 0.2 * fine, height=period * 0.4 * dome + period * 0.07 * fine, dark=0.5
    )


@kind("cobwebbed", "spider web")
def web(s: Sheet) -> Look:
    cx, cy = s.rng.uniform(-60, 60, 2)
    x, y = s.x - cx, s.y - cy
    turn, far = np.arctan2(y, x), np.hypot(x, y)
    spokes = s.any(10, 14, 18, 24)
    jitter = (
        np.sort((np.arange(spokes) + s.rng.uniform(-0.3, 0.3, spokes)) * 2 * np.pi / spokes) - np.pi
    )
    place = np.searchsorted(jitter, turn)
    low = jitter[(place - 1) % spokes] - np.where(place == 0, 2 * np.pi, 0)
    high = jitter[place % spokes] + np.where(place == spokes, 2 * np.pi, 0)
    t = (turn - low) / (high - low)
    spoke = np.minimum(turn - low, high - turn) * far
    sag = far * (1 + s.between(0.08, 0.2) * 4 * t * (1 - t)) / s.between(8, 18)
    ring = fold(sag + 0.15 * s.smooth(40)) * 10
    thread = np.clip(1.1 - np.minimum(spoke, ring), 0, 1) * ramp(-far, -s.between(90, 170), -60)
    back = 0.3 + 0.2 * s.smooth(s.between(40, 120))
    return Look(np.where(s.chance(0.8), back * 0.6 + 0.6 * thread, 1 - thread), colours=3)


@kind("cobwebbed")
def threads(s: Sheet) -> Look:
    on, _ = s.strokes(int(s.between(60, 200)), s.between(120, 300), 0.5, 0.15)
    haze = ramp(s.fbm(60), -0.5, 2)
    return Look(0.2 + 0.12 * s.smooth(60) + 0.6 * on + 0.2 * haze, colours=3)


@kind("cobwebbed")
def tangled_web(s: Sheet) -> Look:
    u, v = s.lay(20, 50)
    bent = 0.25 * s.smooth(40)
    lines = sum(
        s.within(s.cells(u * k + bent, v * k, 1.0).edge, 0.02 * k, 1) for k in (0.6, 1, 1.7)
    )
    return Look(0.2 + 0.15 * s.smooth(80) + 0.4 * lines, colours=3)


@kind("cracked")
def mud(s: Sheet) -> Look:
    u, v = s.lay(26, 70)
    w = 0.06 * s.fbm(20)
    c = s.cells(u + w, v + 0.06 * s.fbm(20), 0.95)
    gap = s.within(c.edge, s.between(0.02, 0.08), 2)
    return Look(
        (0.75 + 0.1 * c.value + 0.08 * s.fbm(15)) * (1 - gap * 0.9),
        height=-5 * gap + 2 * c.edge + 0.4 * s.fbm(5),
        colours=3,
    )


@kind("cracked")
def cracks(s: Sheet) -> Look:
    ridge = 1 - np.minimum(np.abs(s.fbm(s.scale(30, 90), 4)) * s.between(12, 25), 1)
    second = (1 - np.minimum(np.abs(s.fbm(30, 4)) * 16, 1)) * 0.5
    crack = np.maximum(ridge, second * s.any(0, 1))
    return Look(0.7 + 0.1 * s.fbm(40) - 0.65 * crack, height=-3 * crack + 0.5 * s.fbm(6), colours=3)


@kind("cracked")
def craquelure(s: Sheet) -> Look:
    u, v = s.lay(26, 50)
    a = s.cells(u + 0.05 * s.fbm(12), v + 0.05 * s.fbm(12), 1.0)
    b = s.cells(u * 2.3 + 7, v * 2.3, 1.0)
    crack = np.maximum(s.within(a.edge, 0.03), s.within(b.edge, 0.03) * (a.value > 0.4))
    curl = ramp(a.edge, 0, 0.3)
    return Look(0.65 + 0.2 * s.fbm(60) - 0.6 * crack, height=-2 * crack - 4 * curl, colours=3)


@kind("cracked")
def peeling(s: Sheet) -> Look:
    field = s.fbm(60, 5)
    u, v = s.lay(16, 34)
    c = s.cells(u + 0.1 * s.fbm(15), v, 0.95)
    off = ramp(field + 0.9 * (c.value - 0.5), 0.4, 0.5)
    crack = s.within(c.edge, 0.05, 1.5)
    return Look(
        np.clip(0.8 - 0.6 * off - 0.4 * crack, 0, 1), height=-3 * off - 2 * crack, colours=3
    )


@kind("crosshatched")
def hatch(s: Sheet) -> Look:
    u, v = s.lay(5, 14, bend=0)
    tilt = s.any(0, s.between(-0.5, 0.5))
    a = s.within(fold(u + 0.15 * s.smooth(30)), 0.12)
    b = s.within(fold(v + tilt * u + 0.15 * s.smooth(30)), 0.12)
    gate = ramp(s.smooth(50), -1.2, 0)
    return Look(np.maximum(a, b * gate))


@kind("crosshatched")
def pencil(s: Sheet) -> Look:
    angle, count = s.between(0, np.pi), int(s.between(250, 600))
    a, _ = s.strokes(count, s.between(40, 110), s.between(0.4, 0.9), 0.05, angle)
    b, _ = s.strokes(
        count, s.between(40, 110), s.between(0.4, 0.9), 0.05, angle + s.between(1, 1.6)
    )
    return Look(np.clip(0.75 * a + 0.75 * b, 0, 1))


@kind("crosshatched", "scratched")
def scratches(s: Sheet) -> Look:
    angle = s.between(0, 180)
    t = s.streaks(120, 1.8, angle) + s.streaks(120, 1.8, angle + s.between(50, 110))
    return Look(0.5 + 0.25 * t, height=0.8 * t, gloss=s.any(0, 0.4))


@kind("crosshatched")
def diamond_hatch(s: Sheet) -> Look:
    u, v = s.lay(9, 26)
    a, b = u + 0.7 * v, u - 0.7 * v
    d = np.minimum(fold(a), fold(b))
    return Look(s.within(d, s.between(0.05, 0.12)), height=-3 * s.within(d, 0.1, 2))


@kind("crystalline")
def shards(s: Sheet) -> Look:
    u, v = s.lay(14, 50)
    c = s.cells(u, v * s.between(0.4, 1), 1.0)
    a = c.value * 40
    slope = (c.x * np.cos(a) + c.y * np.sin(a)) * s.between(0.6, 1.5)
    rim = s.within(c.edge, 0.03)
    return Look(
        0.25 + 0.4 * c.value + 0.5 * slope + 0.3 * rim,
        height=s.period * 0.5 * slope,
        gloss=0.8,
        colours=4,
    )


@kind("crystalline")
def needles(s: Sheet) -> Look:
    u, v = s.lay(50, 110)
    c = s.cells(u, v, 1.0)
    turn = np.arctan2(c.y, c.x)
    ray = np.sin(turn * s.any(14, 22, 34) + 6 * s.smooth(30)) + np.sin(turn * 9 + c.value * 20)
    return Look(
        0.45 + 0.2 * ray * ramp(c.near, 0, 0.2) + 0.2 * c.value,
        height=1.5 * ray,
        gloss=0.5,
        colours=3,
    )


@kind("crystalline")
def facets(s: Sheet) -> Look:
    u, v = s.lay(16, 50)
    tone = np.zeros((SIDE, SIDE), np.float32)
    height = tone.copy()
    for k in range(5):
        c = s.cells(u * (1 + 0.7 * k) + 9 * k, v * (1 + 0.7 * k), 1.0)
        a = c.value * 50
        tone += (c.value - 0.5) / (k + 1)
        height += (c.x * np.cos(a) + c.y * np.sin(a)) * s.period / (k + 1) ** 2 * 0.5
    return Look(0.5 + 0.4 * tone, height=height, gloss=0.9, colours=4)


@kind("crystalline")
def cubes(s: Sheet) -> Look:
    u, v = s.lay(14, 44)
    _d, cu, cv = hexagons(u, v)
    x, y = u - cu, v - cv
    third = np.floor((np.arctan2(y, x) / (2 * np.pi) * 3 + s.between(0, 1)) % 3)
    return Look(
        0.1 + 0.4 * third + 0.15 * (s.lookup(np.round(cu * 2), np.round(cv * 2)) - 0.5),
        gloss=0,
        colours=3,
    )


@kind("fibrous", "hairy")
def fibres(s: Sheet) -> Look:
    a = s.between(0, 180)
    t = unit(s.streaks(150, s.scale(1.3, 4), a) + 0.6 * s.streaks(90, 1.4, a + s.between(-12, 12)))
    return Look(0.5 + 0.25 * t, height=1.2 * t, colours=3)


@kind("fibrous", "hairy", "furry")
def flowing_hair(s: Sheet) -> Look:
    angle = s.smooth(s.between(60, 160)) * s.between(0.3, 1) + s.between(0, 6.3)
    t = s.along(s.rng.standard_normal((SIDE, SIDE)).astype(np.float32), angle, 10, 1.5)
    return Look(
        0.45 + 0.22 * t + 0.12 * s.smooth(40), height=1.2 * t, colours=3, gloss=s.any(0, 0.2)
    )


@kind("fibrous", "straw")
def straw(s: Sheet) -> Look:
    angle = s.between(0, np.pi) if s.chance(0.6) else None
    on, tone = s.strokes(
        int(s.between(700, 1600)), s.between(50, 120), s.between(0.8, 2.2), 0.2, angle
    )
    return Look(on * (0.3 + 0.7 * tone), height=3 * tone, colours=4)


@kind("fibrous")
def wood_fibre(s: Sheet) -> Look:
    a = s.between(-10, 10) + s.any(0, 90)
    t = s.streaks(200, 2, a) + 0.8 * s.streaks(240, 9, a) + 0.5 * s.streaks(60, 1.3, a)
    return Look(0.5 + 0.2 * unit(t), height=1.0 * unit(t), colours=3)


@kind("flecked", "speckled")
def flecks(s: Sheet) -> Look:
    on, part, _ = s.blobs(int(s.between(150, 600)), 0.9, 2.6, s.between(1.5, 3))
    return Look(
        0.12 * s.fbm(40) * 0.3 + on, part=part, height=s.any(None, 0.4 * s.fbm(4, 2)), colours=3
    )


@kind("flecked", "speckled")
def terrazzo(s: Sheet) -> Look:
    u, v = s.lay(7, 24)
    c = s.cells(u, v, 1.0)
    on = s.within(c.near, 0.15 + 0.35 * c.value, 1) * (s.lookup(np.floor(c.value * 60)) > 0.4)
    return Look(0.15 + 0.8 * on, part=c.value, colours=4)


@kind("flecked", "speckled", "grainy")
def granite(s: Sheet) -> Look:
    a, b = s.smooth(s.scale(2, 5)), s.smooth(s.scale(3, 8))
    return Look(0.5 + 0.4 * (a > 0.8) - 0.4 * (b > 1.0) + 0.1 * s.smooth(2), colours=3)


@kind("flecked")
def tweed(s: Sheet) -> Look:
    weave = s.streaks(6, 1.3, 45) + s.streaks(6, 1.3, 135)
    spot = ramp(s.smooth(2.5), 1.5, 1.9)
    return Look(
        0.4 + 0.12 * weave + 0.5 * spot,
        height=0.8 * weave,
        part=s.lookup(np.floor(s.x / 9), np.floor(s.y / 9)),
        colours=4,
    )


@kind("freckled")
def freckles(s: Sheet) -> Look:
    on, _, _ = s.blobs(int(s.between(120, 420)), 1.2, 4.5, 1.3, 2.5)
    density = ramp(s.smooth(70), -0.8, 0.8)
    skin = 0.2 + 0.08 * s.fbm(50) + 0.03 * s.fbm(6)
    return Look(
        skin + s.between(0.3, 0.6) * on * density, height=0.4 * s.fbm(5, 2) + 6 * s.smooth(140)
    )


@kind("freckled", "speckled")
def egg(s: Sheet) -> Look:
    on, _, _ = s.blobs(int(s.between(60, 250)), 0.8, 6, 1.4, 1.5)
    far = np.hypot(s.x, s.y) / s.between(110, 240)
    return Look(
        0.15 + 0.1 * s.fbm(30) * 0.5 + 0.75 * on, height=60 * np.sqrt(np.clip(1 - far**2, 0, 1))
    )


@kind("freckled")
def soft_freckles(s: Sheet) -> Look:
    u, v = s.lay(8, 22)
    c = s.cells(u + 0.1 * s.smooth(6), v + 0.1 * s.smooth(6), 1.0)
    size = np.maximum(0.45 * c.value - 0.1, 0)
    return Look(
        0.25 + 0.06 * s.fbm(70) + 0.5 * ramp(-c.near, -size - 0.12, -size), height=0.3 * s.fbm(4)
    )
