"""Textures of dots, holes, studs, scales and spirals."""

from __future__ import annotations

import numpy as np

from training.sketch.drawings import ramp
from training.sketch.sheet import Look, Sheet, fold, hexagons, kind


@kind("dotted")
def dots(s: Sheet) -> Look:
    u, v = s.lay(7, 22)
    u = u + s.any(0, 0.5) * (np.floor(v + 0.5) % 2)
    return Look(s.within(np.hypot(fold(u), fold(v)), s.between(0.15, 0.32)))


@kind("dotted")
def halftone(s: Sheet) -> Look:
    u, v = s.lay(6, 15, bend=0)
    size = 0.28 + 0.1 * s.smooth(70)
    return Look(s.within(np.hypot(fold(u), fold(v)), size))


@kind("dotted")
def loose_dots(s: Sheet) -> Look:
    u, v = s.lay(9, 24)
    c = s.cells(u, v, s.between(0.3, 0.7))
    return Look(
        s.within(c.near, s.between(0.15, 0.28)), part=c.value, height=s.any(None, 0.4 * s.fbm(5, 2))
    )


@kind("dotted")
def stippled(s: Sheet) -> Look:
    on, part, _ = s.blobs(int(s.between(500, 1300)), 1.2, 2.8)
    return Look(on, part=part)


@kind("polka-dotted")
def polka(s: Sheet) -> Look:
    u, v = s.lay(26, 70)
    u = u + 0.5 * (np.floor(v + 0.5) % 2)
    d = np.hypot(fold(u), fold(v))
    return Look(
        s.within(d, s.between(0.18, 0.33)), part=s.lookup(np.floor(u + 0.5), np.floor(v + 0.5))
    )


@kind("polka-dotted", "spotted")
def big_spots(s: Sheet) -> Look:
    on, part, _ = s.blobs(int(s.between(15, 60)), 8, 20)
    return Look(on, part=part)


@kind("polka-dotted")
def square_polka(s: Sheet) -> Look:
    u, v = s.lay(20, 56)
    fold_shade = 0.12 * s.fbm(90)
    on = s.within(np.hypot(fold(u), fold(v)), s.between(0.15, 0.36))
    return Look(on, height=30 * fold_shade)


@kind("polka-dotted", "spotted")
def ladybird(s: Sheet) -> Look:
    u, v = s.lay(30, 70, bend=2)
    c = s.cells(u, v, 0.5)
    return Look(
        s.within(c.near, 0.28 + 0.08 * (c.value - 0.5)), gloss=0.4, height=10 * s.smooth(90)
    )


@kind("spotted")
def leopard(s: Sheet) -> Look:
    u, v = s.lay(24, 50)
    c = s.cells(u + 0.08 * s.smooth(12), v + 0.08 * s.smooth(12), 0.7)
    ring = s.within(np.abs(c.near - 0.3), 0.09 + 0.05 * s.smooth(9), 2)
    core = 0.4 * s.within(c.near, 0.25, 4)
    return Look(
        np.maximum(ring, core), height=0.6 * s.streaks(9, 1.5, s.between(0, 180)), colours=3
    )


@kind("spotted", "speckled")
def rough_spots(s: Sheet) -> Look:
    u, v = s.lay(14, 40)
    c = s.cells(u + 0.1 * s.smooth(8), v + 0.1 * s.smooth(8), 0.8)
    return Look(s.within(c.near, 0.3 + 0.12 * (c.value - 0.5), 2))


@kind("perforated")
def holes(s: Sheet) -> Look:
    u, v = s.lay(9, 32)
    u = u + s.any(0, 0.5) * (np.floor(v + 0.5) % 2)
    d = np.hypot(fold(u), fold(v))
    size = s.between(0.18, 0.34)
    hole = s.within(d, size)
    return Look(
        0.85 - 0.8 * hole + 0.06 * s.fbm(60),
        height=-4 * ramp(-d, -size - 0.06, -size + 0.04),
        gloss=0.3,
    )


@kind("perforated")
def slots(s: Sheet) -> Look:
    u, v = s.lay(10, 26)
    v = v / s.between(2, 4)
    u = u + 0.5 * 0
    v = v + 0.5 * (np.floor(u + 0.5) % 2)
    d = np.hypot(fold(u), np.maximum(fold(v) - 0.25, 0) * 3)
    return Look(0.8 - 0.75 * s.within(d, 0.25), height=-3 * s.within(d, 0.28, 2), gloss=0.3)


@kind("perforated")
def punched(s: Sheet) -> Look:
    u, v = s.lay(14, 40, "square")
    d = np.maximum(fold(u), fold(v)) if s.chance(0.5) else 0.5 - hexagons(u, v)[0]
    size = s.between(0.2, 0.36)
    back = 0.2 + 0.15 * s.fbm(60)
    return Look(
        np.where(s.within(d, size) > 0.5, back, 0.85), height=-4 * s.within(d, size, 2), gloss=0.2
    )


@kind("studded")
def studs(s: Sheet) -> Look:
    u, v = s.lay(18, 56)
    u = u + s.any(0, 0.5) * (np.floor(v + 0.5) % 2)
    d = np.hypot(fold(u), fold(v))
    size = s.between(0.18, 0.32)
    dome = np.sqrt(np.clip(1 - (d / size) ** 2, 0, 1))
    grain = s.fbm(5, 3)
    return Look(
        0.15 + 0.8 * s.within(d, size), height=s.period * size * dome + 0.4 * grain, gloss=0.8
    )


@kind("studded")
def pyramids(s: Sheet) -> Look:
    u, v = s.lay(14, 44)
    d = np.maximum(fold(u), fold(v))
    size = s.between(0.25, 0.46)
    point = np.clip(1 - d / size, 0, 1)
    return Look(0.2 + 0.7 * s.within(d, size), height=s.period * size * point, gloss=0.7)


@kind("studded")
def rivets(s: Sheet) -> Look:
    u, v = s.lay(36, 80, "square")
    d = np.hypot(fold(u * 3) / 3, fold(v))
    dome = np.sqrt(np.clip(1 - (d / 0.1) ** 2, 0, 1))
    seam = ramp(fold(v + 0.25), 0, 0.03)
    return Look(
        0.4 + 0.3 * dome + 0.1 * s.fbm(50), height=s.period * 0.1 * dome + 3 * seam, gloss=0.6
    )


@kind("waffled")
def waffle(s: Sheet) -> Look:
    u, v = s.lay(16, 52, s.any("square", "any"))
    d = np.minimum(fold(u), fold(v))
    floor = ramp(d, s.between(0.05, 0.12), s.between(0.18, 0.3))
    return Look(
        0.8 - 0.5 * floor + 0.08 * s.fbm(10),
        height=-s.period * 0.4 * floor,
        gloss=0.2,
        dark=0.3,
        colours=3,
    )


@kind("waffled")
def waffle_cloth(s: Sheet) -> Look:
    u, v = s.lay(10, 22)
    d = np.minimum(fold(u), fold(v)) + 0.03 * s.fbm(3, 2)
    bowl = np.minimum(d * 2, 1)
    return Look(0.6 - 0.2 * bowl, height=-s.period * 0.5 * bowl, dark=0.3)


@kind("waffled")
def round_waffle(s: Sheet) -> Look:
    _turn, far = np.arctan2(s.y, s.x), np.hypot(s.x, s.y)
    u, v = s.lay(18, 36, bend=0)
    d = np.minimum(fold(u), fold(v)) + 0.02 * s.fbm(8)
    inside = ramp(-far, -s.between(90, 140), -80)
    floor = ramp(d, 0.1, 0.22) * inside
    return Look(
        0.3 + 0.5 * inside - 0.3 * floor + 0.08 * s.fbm(25),
        height=8 * inside - 7 * floor,
        colours=3,
    )


@kind("scaly")
def scallops(s: Sheet) -> Look:
    u, v = s.lay(14, 44)
    v = v * s.between(1.2, 2)
    best, tone, _rim = None, None, None
    for k in (1, 0, -1):
        row = np.floor(v) + k
        uu = u + 0.5 * (row % 2)
        column = np.round(uu)
        d = np.hypot(uu - column, (v - row) * s.any(0.5, 0.5))
        on = d < 0.56
        t = s.lookup(column, row)
        if best is None:
            best, tone, _rim = np.where(on, d, 9), t, on
        else:
            best, tone = np.where(on, d, best), np.where(on, t, tone)
    best = np.minimum(best, 0.6)
    return Look(
        0.25 + 0.5 * best / 0.56 + 0.2 * (tone - 0.5),
        height=s.period * 0.3 * (0.56 - best),
        part=tone,
        gloss=s.any(0, 0.5),
        colours=3,
    )


@kind("scaly")
def reptile(s: Sheet) -> Look:
    u, v = s.lay(9, 28)
    c = s.cells(u, v * s.between(0.5, 0.9), 0.35)
    dome = ramp(c.edge, 0, 0.5)
    tone = 0.5 + 0.25 * s.fbm(60) + 0.3 * (c.value - 0.5)
    return Look(tone * dome, height=s.period * 0.3 * dome, gloss=s.any(0, 0.4), dark=0.4, colours=3)


@kind("scaly")
def diamonds_scales(s: Sheet) -> Look:
    u, v = s.lay(9, 26)
    a, b = u + v * 0.6, u - v * 0.6
    d = np.minimum(fold(a + 0.5), fold(b + 0.5))
    dome = ramp(d, 0.02, 0.4)
    pattern = 0.5 + 0.5 * np.sign(np.sin(u * 0.9) + np.sin(v * 0.6))
    return Look(
        0.2 + 0.6 * (pattern * 0.6 + 0.4 * s.lookup(np.floor(a + 0.5), np.floor(b + 0.5))) * dome,
        height=s.period * 0.35 * dome,
        gloss=0.4,
        colours=3,
    )


@kind("scaly")
def roof_scales(s: Sheet) -> Look:
    u, v = s.lay(14, 40, "none")
    row = np.floor(v)
    uu = u + 0.5 * (row % 2)
    t = v - row
    shape = np.hypot(fold(uu) * 2, np.maximum(t - 0.5, 0) * 2)
    on = (shape < 1).astype(np.float32)
    return Look(0.3 + 0.5 * s.lookup(np.round(uu), row), height=6 * t * on, dark=0.6, colours=3)


@kind("paisley")
def paisley(s: Sheet) -> Look:
    u, v = s.lay(44, 90)
    row = np.floor(v)
    uu = u + 0.5 * (row % 2)
    flip = np.where(s.lookup(np.floor(uu), row) > 0.5, 1, -1)
    x, y = (uu - np.floor(uu) - 0.5) * flip, v - row - 0.5
    bend = x - 0.5 * (y + 0.3) ** 2 * np.sign(0.3 - y)
    r = np.hypot(bend * (1.4 + 1.6 * np.clip(0.35 - y, 0, 1)), y)
    bands = np.floor((0.45 - r) * s.any(10, 14, 18))
    inside = r < 0.43
    petal = np.sin(np.arctan2(y, bend) * s.any(8, 12, 16)) > 0
    small = s.within(np.hypot(fold(u * 5), fold(v * 5)) / 5, 0.03)
    tone = np.where(
        inside, np.where(bands % 2 < 1, 0.85, np.where(petal, 0.1, 0.55)), 0.25 + 0.5 * small
    )
    return Look(tone.astype(np.float32), colours=6)


@kind("paisley")
def scattered_drops(s: Sheet) -> Look:
    u, v = s.lay(30, 60)
    c = s.cells(u, v, 0.6)
    a = c.value * 2 * np.pi
    x, y = c.x * np.cos(a) + c.y * np.sin(a), -c.x * np.sin(a) + c.y * np.cos(a)
    x = x + 0.8 * y * y
    r = np.hypot(x * (1.3 + 2 * np.clip(y + 0.1, 0, 1)), y)
    lines = np.floor((0.42 - r) / s.between(0.05, 0.09))
    fill = np.where(r < 0.42, (lines % 2) * 0.9 + 0.1 * c.value, 0.4)
    curl = s.within(fold(np.hypot(x, y) * 9 + np.arctan2(y, x) / 6.28) / 9, 0.012) * (r > 0.45)
    return Look(np.maximum(fill, curl).astype(np.float32), part=c.value, colours=5)


@kind("spiralled", "spiral")
def spiral(s: Sheet) -> Look:
    cx, cy = s.rng.uniform(-40, 40, 2)
    x, y = s.x - cx, (s.y - cy) * s.between(0.8, 1.2)
    turn, far = np.arctan2(y, x) / (2 * np.pi), np.hypot(x, y) + 1
    arms = s.any(1, 1, 2, 3, 5)
    t = (
        s.any(np.log(far) * s.between(1.2, 3.5), far / s.between(14, 40))
        + s.any(-1, 1) * arms * turn
    )
    wave = fold(t + 0.03 * s.fbm(30))
    return Look(
        s.within(wave, s.between(0.15, 0.3), 2) if s.chance(0.5) else 2 * wave,
        height=s.any(None, 10 * wave),
        gloss=s.any(0, 0.3),
    )


@kind("spiralled", "spiral")
def many_spirals(s: Sheet) -> Look:
    u, v = s.lay(40, 90)
    c = s.cells(u, v, s.any(0, 0.5))
    way = np.where(c.value > 0.5, 1, -1)
    t = c.near * s.between(5, 9) + way * np.arctan2(c.y, c.x) / (2 * np.pi)
    self_px = s.px * 6
    return Look(np.clip((0.2 - fold(t)) / self_px + 0.5, 0, 1), part=c.value)


@kind("spiralled", "spiral")
def shell(s: Sheet) -> Look:
    x, y = s.x + s.between(-30, 30), s.y + s.between(-30, 30)
    turn, far = np.arctan2(y, x) / (2 * np.pi), np.hypot(x, y) + 2
    t = np.log(far) * s.between(1, 1.8) + s.any(-1, 1) * turn
    whorl = t - np.floor(t)
    ribs = np.sin(2 * np.pi * turn * s.any(20, 34, 50))
    dome = np.sqrt(np.clip(4 * whorl * (1 - whorl), 0, 1))
    return Look(
        0.3 + 0.4 * whorl + 0.1 * ribs, height=far * 0.12 * dome + 0.5 * ribs, dark=0.4, colours=4
    )


@kind("spiralled", "spiral")
def rosette(s: Sheet) -> Look:
    x, y = s.x + s.between(-30, 30), s.y + s.between(-30, 30)
    turn, far = np.arctan2(y, x) / (2 * np.pi), np.log(np.hypot(x, y) + 4)
    a, b = s.any((5, 8), (8, 13), (3, 5))
    u, v = a * turn + far * s.between(2, 4), b * turn - far * s.between(2, 4)
    d = np.minimum(fold(u), fold(v))
    tone = s.lookup(np.round(u), np.round(v))
    return Look(
        0.3 + 0.5 * ramp(d, 0, 0.3) + 0.1 * tone, height=np.hypot(x, y) * 0.12 * d, dark=0.4
    )
