"""Textures that are poured, worn, matted or folded."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from training.sketch.drawings import ramp, unit
from training.sketch.sheet import SIDE, Look, Sheet, fold, kind


@kind("marbled")
def marble(s: Sheet) -> Look:
    u, _ = s.lay(30, 90, bend=0)
    wave = np.sin(2 * np.pi * (u + s.between(0.5, 1.3) * s.fbm(80, 5)))
    return Look(0.5 + 0.5 * np.sign(wave) * np.abs(wave) ** s.between(0.3, 1.4), colours=3)


@kind("marbled", "swirly")
def ink(s: Sheet) -> Look:
    cell = s.scale(40, 90)
    field = s.fbm(cell, 3)
    for _ in range(s.any(2, 3)):
        field = s.warp(field, 25 * s.smooth(cell), 25 * s.smooth(cell))
    return Look(0.5 + 0.5 * np.sin(field * s.between(2, 6)), colours=5)


@kind("marbled", "veined", "marble")
def veins_marble(s: Sheet) -> Look:
    base = 0.75 + 0.08 * s.fbm(70)
    vein = s.ridges(s.scale(50, 110), 4) ** s.between(3, 6)
    return Look(base - 0.7 * s.warp(vein, 15 * s.smooth(50), 15 * s.smooth(50)), gloss=0, colours=3)


@kind("marbled")
def combed_paper(s: Sheet) -> Look:
    u, v = s.lay(26, 60, bend=0)
    teeth = (
        np.where(np.floor(u) % 2 < 1, 1, -1)
        * (0.25 - (u - np.floor(u) - 0.5) ** 2)
        * s.between(2, 6)
    )
    row = v * s.between(1, 2) + teeth + 0.2 * s.fbm(60)
    return Look(s.lookup(np.floor(row)), part=s.lookup(np.floor(row)), colours=6)


@kind("matted", "tangled")
def tangle(s: Sheet) -> Look:
    on, tone = s.strokes(
        int(s.between(500, 1400)), s.between(30, 80), s.between(0.6, 1.8), s.between(0.8, 2)
    )
    return Look(0.15 + on * (0.2 + 0.6 * tone), height=3 * tone, dark=0.3, colours=3)


@kind("matted", "furry", "fur")
def fur(s: Sheet) -> Look:
    tufts = s.smooth(s.scale(20, 45))
    gy, gx = np.gradient(tufts)
    angle = np.arctan2(gy, gx) + s.between(0, 6.3)
    t = s.along(s.rng.standard_normal((SIDE, SIDE)).astype(np.float32), angle, 7, 1.3)
    return Look(0.45 + 0.15 * t + 0.15 * tufts, height=1.3 * t + 2 * tufts, colours=3)


@kind("matted", "felt")
def felt(s: Sheet) -> Look:
    t = unit(sum(s.streaks(s.scale(10, 30), 1.3, s.between(0, 180)) for _ in range(6)))
    return Look(0.5 + 0.15 * t + 0.1 * s.fbm(60), height=0.8 * t)


@kind("matted", "grass", "lawn")
def lawn(s: Sheet) -> Look:
    on, tone = s.strokes(
        int(s.between(1500, 3000)),
        s.between(10, 26),
        s.between(0.6, 1.6),
        0.4,
        np.pi / 2 + s.between(-0.3, 0.3),
    )
    return Look(0.1 + on * (0.15 + 0.7 * tone), height=2.5 * tone, colours=3)


@kind("pitted")
def pits(s: Sheet) -> Look:
    on, _part, dome = s.blobs(int(s.between(80, 350)), 1.5, s.between(4, 9))
    base = 0.6 + 0.1 * s.fbm(50)
    return Look(base - 0.35 * on, height=-0.9 * dome + 0.6 * s.fbm(8), colours=3)


@kind("pitted")
def rust_pits(s: Sheet) -> Look:
    field = s.smooth(s.scale(4, 9)) + 0.8 * s.smooth(30)
    pit = ramp(field, 1.0, 1.5)
    return Look(
        0.6 + 0.15 * s.fbm(30) - 0.5 * pit,
        height=-3 * pit + 0.5 * s.fbm(4),
        gloss=s.any(0, 0.3),
        colours=3,
    )


@kind("pitted")
def craters(s: Sheet) -> Look:
    height = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(int(s.between(25, 90))):
        r = s.scale(3, 26)
        d = np.hypot(s.x - s.between(-120, 120), s.y - s.between(-120, 120)) / r
        height += r * 0.25 * (np.exp(-((d - 1) ** 2) * 8) - (d < 1) * (1 - d * d))
    return Look(0.6 + 0.1 * s.fbm(40), height=height + 0.6 * s.fbm(8))


@kind("pitted", "dimpled")
def golf(s: Sheet) -> Look:
    u, v = s.lay(10, 30)
    d = np.hypot(*[fold(t) for t in (u + 0.5 * (np.floor(v + 0.5) % 2), v)])
    return Look(
        0.8 - 0.2 * s.within(d, 0.3, 4),
        height=-s.period * 0.25 * np.sqrt(np.clip(1 - (d / 0.42) ** 2, 0, 1)),
        gloss=0.2,
    )


@kind("porous", "spongy")
def sponge(s: Sheet) -> Look:
    u, v = s.lay(16, 40)
    hole = np.zeros((SIDE, SIDE), np.float32)
    for k in (1, 2.1, 4.3):
        c = s.cells(u * k, v * k, 1.0)
        hole = np.maximum(
            hole, ramp(-c.near, -0.25 - 0.25 * c.value, -0.2 * c.value) * (c.value > 0.25)
        )
    return Look(0.75 - 0.6 * hole + 0.08 * s.fbm(20), height=-6 * hole, dark=0.5, colours=3)


@kind("porous", "spongy")
def pumice(s: Sheet) -> Look:
    hole = np.maximum(ramp(s.smooth(s.scale(5, 10)), 0.7, 1.1), ramp(s.smooth(3), 1.0, 1.5))
    return Look(
        0.7 - 0.5 * hole + 0.08 * s.fbm(30), height=-4 * hole + 0.6 * s.fbm(6), dark=0.4, colours=3
    )


@kind("porous")
def bread(s: Sheet) -> Look:
    on, _, dome = s.blobs(int(s.between(150, 400)), 1.2, s.between(5, 12), 1.6)
    return Look(
        0.75 + 0.06 * s.fbm(15) - 0.4 * on, height=-0.5 * dome + 0.5 * s.fbm(5), dark=0.3, colours=3
    )


@kind("porous")
def coral(s: Sheet) -> Look:
    cell = s.scale(5, 9)
    field = s.smooth(cell) - s.smooth(cell * 2)
    hole = ramp(field, 0.1, 0.9)
    return Look(0.8 - 0.6 * hole, height=-cell * 0.5 * hole, dark=0.5)


@kind("potholed")
def road_holes(s: Sheet) -> Look:
    ground = s.fbm(70, 5)
    deep = sum(
        ramp(
            -np.hypot((s.x - s.between(-80, 80)) / s.between(1, 2), s.y - s.between(-70, 80))
            - 4 * s.fbm(16),
            -s.between(18, 40),
            -8,
        )
        for _ in range(s.any(1, 2, 3))
    )
    deep = np.clip(deep, 0, 1)
    grit = s.fbm(3, 2)
    water = s.any(0, 0.5) * ramp(deep, 0.7, 0.8)
    return Look(
        0.55 + 0.08 * ground + 0.08 * grit - 0.3 * deep + water * 0.5,
        height=-9 * deep + 0.9 * grit,
        dark=0.2,
        colours=3,
    )


@kind("potholed")
def many_holes(s: Sheet) -> Look:
    hole = ramp(s.fbm(s.scale(30, 60), 4), 0.7, 1.1)
    grit = s.fbm(4, 3)
    return Look(0.55 + 0.12 * grit - 0.25 * hole, height=-7 * hole + grit, dark=0.3, colours=3)


@kind("potholed")
def dirt_road(s: Sheet) -> Look:
    far = (s.y + SIDE / 2) / SIDE
    hole = ramp(s.smooth(26) * (0.5 + far), 0.9, 1.2)
    stones = ramp(s.smooth(3), 1.2, 1.6)
    return Look(
        0.5 + 0.15 * s.fbm(30) - 0.3 * hole + 0.2 * stones,
        height=-6 * hole + 1.5 * stones,
        colours=4,
    )


@kind("smeared")
def smear(s: Sheet) -> Look:
    a = s.between(0, 180)
    t = unit(s.streaks(120, s.scale(8, 26), a) + 0.5 * s.streaks(160, 3, a))
    patch = ramp(s.fbm(80), -0.8, 0.6)
    return Look(0.5 + 0.3 * t * patch, height=s.between(0, 1.5) * t, colours=4)


@kind("smeared")
def paint_strokes(s: Sheet) -> Look:
    on, tone = s.strokes(int(s.between(60, 220)), s.between(60, 150), s.between(7, 18), 0.6)
    angle = s.smooth(70) + s.between(0, 3)
    hair = s.along(s.rng.standard_normal((SIDE, SIDE)).astype(np.float32), angle, 8)
    return Look(
        on * tone + 0.06 * hair, height=1.2 * hair + 2 * tone, gloss=s.any(0, 0.3), colours=5
    )


@kind("smeared")
def finger(s: Sheet) -> Look:
    field = s.fbm(50, 3)
    bend = 40 * s.smooth(90)
    moved = s.warp(field, bend, 0.3 * bend)
    fine = s.warp(s.streaks(200, 2, 0), bend * 0, 12 * s.smooth(60))
    return Look(0.5 + 0.3 * moved + 0.08 * fine, height=0.8 * fine, colours=4)


@kind("sprinkled")
def sprinkles(s: Sheet) -> Look:
    on, tone = s.strokes(int(s.between(60, 260)), s.between(7, 14), s.between(1.6, 3.2), 0.1)
    return Look(
        on, part=np.clip(tone, 0, 0.99), height=3 * on + 1.5 * s.smooth(50), gloss=0.3, colours=3
    )


@kind("sprinkled")
def powder(s: Sheet) -> Look:
    density = ramp(s.fbm(60, 3), -0.7, 1)
    grain = (s.smooth(1.6) > 1.9 - 1.4 * density).astype(np.float32)
    return Look(0.15 + 0.75 * grain + 0.1 * s.fbm(40) * 0.5, height=grain)


@kind("sprinkled")
def seeds(s: Sheet) -> Look:
    on, part, dome = s.blobs(int(s.between(80, 300)), 1.5, 3.5, s.between(1, 2.2))
    base = 0.15 * s.fbm(40) + 0.2
    return Look(
        np.clip(base + on, 0, 1), part=part, height=dome + 1.2 * s.fbm(20), gloss=0.3, colours=4
    )


@kind("sprinkled")
def stars(s: Sheet) -> Look:
    on, part, _ = s.blobs(int(s.between(150, 700)), 0.6, 2.2)
    haze = ramp(s.fbm(90), 0, 2.5)
    return Look(0.05 + 0.3 * haze + 0.9 * on * part, colours=3)


@kind("stained")
def spill(s: Sheet) -> Look:
    base = 0.15 + 0.05 * s.fbm(50)
    for _ in range(s.any(2, 4, 7)):
        field = np.hypot(s.x - s.between(-100, 100), s.y - s.between(-100, 100)) + 10 * s.fbm(50)
        r = s.between(15, 70)
        rim = np.exp(-((field - r) ** 2) / s.between(4, 20))
        base = base + s.between(0.1, 0.35) * ramp(-field, -r - 2, -r + 2) + 0.3 * rim
    return Look(base, height=s.any(None, 0.5 * s.fbm(4, 2)))


@kind("stained")
def dirty(s: Sheet) -> Look:
    spot = ramp(s.fbm(50, 5), 0.3, 1.4)
    drip = ramp(s.streaks(200, 10, 90), 0.6, 2) * ramp(s.smooth(90), -0.5, 1)
    grain = s.fbm(4, 2)
    return Look(0.2 + 0.5 * spot + 0.4 * drip + 0.04 * grain, height=0.5 * grain, colours=3)


@kind("stained")
def splashes(s: Sheet) -> Look:
    on, part, _ = s.blobs(int(s.between(20, 90)), 1.5, s.between(14, 34), 1.2, 3)
    edge = on - ndimage.gaussian_filter(on, 3)
    return Look(
        0.15 + on * (0.25 + 0.3 * part) + 0.6 * np.abs(edge) + 0.05 * s.fbm(30),
        height=s.any(None, 0.4 * s.fbm(4, 2)),
        colours=3,
    )


@kind("stratified", "layered")
def strata(s: Sheet) -> Look:
    _, v = s.lay(8, 30, "square", bend=0)
    t = v + 0.7 * s.fbm(120, 3) + 0.12 * s.fbm(15)
    tone = s.lookup(np.floor(t))
    lines = s.streaks(120, 2, -np.degrees(s.angle))
    return Look(
        0.2 + 0.6 * tone + 0.06 * lines,
        height=6 * tone + 0.6 * lines + 0.4 * s.fbm(8),
        dark=0.4,
        colours=5,
    )


@kind("stratified", "layered")
def ledges(s: Sheet) -> Look:
    _, v = s.lay(12, 44, "none", bend=0)
    t = v + 0.4 * s.fbm(70, 4)
    whole = np.floor(t)
    saw = t - whole
    block = s.lookup(np.floor(s.x / 40 + 9 * s.lookup(whole)), whole)
    return Look(
        0.35 + 0.3 * s.lookup(whole) + 0.1 * block,
        height=s.period * 0.5 * saw + 4 * block + s.fbm(8),
        dark=0.5,
        colours=4,
    )


@kind("stratified", "layered")
def sediment(s: Sheet) -> Look:
    y = s.y * np.cos(s.between(-0.5, 0.5)) + s.x * s.between(-0.4, 0.4)
    t = y / s.between(10, 30) + 0.8 * s.smooth(120)
    field = np.sin(t * 2.1) + np.sin(t * 5.3 + 1) + np.sin(t * 11.7 + 2)
    return Look(
        0.5 + 0.16 * field + 0.06 * s.fbm(10), height=1.5 * field + 0.7 * s.fbm(6), colours=5
    )


@kind("swirly", "curly")
def vortices(s: Sheet) -> Look:
    x, y = s.x.copy(), s.y.copy()
    for _ in range(int(s.between(3, 10))):
        cx, cy, r = s.between(-110, 110), s.between(-110, 110), s.between(25, 80)
        dx, dy = x - cx, y - cy
        a = s.any(-1, 1) * s.between(2, 6) * np.exp(-np.hypot(dx, dy) / r * 1.5)
        x, y = cx + dx * np.cos(a) - dy * np.sin(a), cy + dx * np.sin(a) + dy * np.cos(a)
    t = (x * 0.7 + y * 0.7) / s.between(14, 40)
    return Look(
        s.any(0.5 + 0.5 * np.sin(2 * np.pi * t), ramp(np.sin(2 * np.pi * t), -0.15, 0.15)),
        colours=4,
    )


@kind("swirly", "curly")
def brush_swirls(s: Sheet) -> Look:
    field = s.smooth(s.between(50, 90))
    gy, gx = np.gradient(field)
    angle = np.arctan2(gy, gx) + np.pi / 2
    fine = s.along(s.smooth(s.scale(3, 7)), angle, 14, 1.8)
    return Look(0.5 + 0.28 * fine, height=1.5 * fine, colours=5)


@kind("swirly", "curly")
def arabesques(s: Sheet) -> Look:
    u, v = s.lay(36, 70)
    c = s.cells(u, v, 0.8)
    way = np.where(c.value > 0.5, 1, -1)
    t = c.near * 4 + way * np.arctan2(c.y, c.x) / (2 * np.pi) + 0.1 * s.smooth(20)
    return Look(np.clip((0.13 - fold(t)) / (s.px * 5) + 0.5, 0, 1) * ramp(-c.near, -0.65, -0.55))


@kind("veined", "leaf")
def leaf(s: Sheet) -> Look:
    u, v = s.lay(20, 46, bend=1)
    x = v - v.mean() + s.between(-1, 1)
    side = np.abs(x)
    t = u - s.between(0.5, 1.0) * side**0.8
    main = np.clip(1.6 - side * s.period / 1.6, 0, 1)
    branch = np.clip(1.3 - fold(t) * s.period / 0.9, 0, 1)
    fine = s.cells(u * 5, v * 5, 0.9).edge
    net = ramp(-fine, -0.12, 0) * 0.4
    vein = np.maximum(np.maximum(main, branch), net)
    return Look(
        0.4 + 0.1 * s.fbm(60) + s.any(-0.3, 0.4) * vein,
        height=1.5 * vein,
        gloss=s.any(0, 0.3),
        colours=3,
    )


@kind("veined")
def rivers(s: Sheet) -> Look:
    vein = np.maximum(s.ridges(s.scale(60, 120), 1) ** 8, 0.7 * s.ridges(40, 1) ** 8)
    vein = np.maximum(vein, 0.5 * s.ridges(20, 1) ** 6)
    return Look(0.35 + 0.1 * s.fbm(60) + 0.5 * vein, height=s.any(None, 2 * vein), colours=3)


@kind("veined")
def network(s: Sheet) -> Look:
    u, v = s.lay(24, 60)
    w = 0.12 * s.fbm(30)
    net = sum(
        s.within(s.cells(u * k + w, v * k - w, 0.95).edge, 0.05 / k**0.3, 2) * 0.6 / k**0.6
        for k in (1, 2.2, 4.5)
    )
    return Look(0.3 + 0.06 * s.fbm(50) + 0.6 * net, height=s.any(None, 2 * net), colours=3)


@kind("wrinkled", "crumpled")
def crumpled(s: Sheet) -> Look:
    height = np.zeros((SIDE, SIDE), np.float32)
    for k in range(4):
        u, v = s.lay(70 / 1.8**k, 80 / 1.8**k, bend=0)
        c = s.cells(u, v, 1.0)
        a = c.value * 60
        height += (c.x * np.cos(a) + c.y * np.sin(a)) * s.period * 0.4
    return Look(0.5 + 0.05 * s.fbm(80), height=ndimage.gaussian_filter(height, 1))


@kind("wrinkled", "creased")
def creases(s: Sheet) -> Look:
    a = s.between(0, 180)
    t = s.streaks(80, s.scale(5, 12), a) + 0.7 * s.streaks(50, 4, a + s.between(-40, 40))
    return Look(0.5 + 0.06 * t, height=3 * unit(np.abs(t)), dark=0.3)


@kind("wrinkled")
def skin(s: Sheet) -> Look:
    u, v = s.lay(6, 18)
    c = s.cells(u + 0.3 * s.smooth(40), v * s.between(0.5, 1), 0.9)
    deep = ramp(c.edge, 0, 0.25)
    fold_lines = s.ridges(50, 2) ** 3
    return Look(
        0.45 + 0.2 * deep + 0.08 * s.fbm(40),
        height=s.period * 0.25 * deep - 5 * fold_lines,
        dark=0.3,
    )


@kind("wrinkled", "creased")
def folds(s: Sheet) -> Look:
    t = s.ridges(s.scale(50, 120), 3)
    return Look(0.5 + 0.05 * s.fbm(30), height=s.between(10, 26) * t, dark=0.2, gloss=s.any(0, 0.3))


@kind("frilly", "ruffled")
def ruffles(s: Sheet) -> Look:
    u, v = s.lay(26, 60, "square", bend=2)
    row = np.floor(v)
    wave = np.sin(2 * np.pi * (u * s.between(1, 2) + s.lookup(row) + 0.15 * s.smooth(30)))
    t = v + 0.18 * wave
    saw = t - np.floor(t)
    return Look(0.4 + 0.5 * saw, height=s.period * 0.5 * saw + 5 * wave * saw, dark=0.6)


@kind("frilly", "ruffled")
def petals(s: Sheet) -> Look:
    x, y = s.x + s.between(-40, 40), s.y + s.between(-40, 40)
    turn, far = np.arctan2(y, x), np.hypot(x, y)
    edge = 0.25 * np.sin(turn * s.any(7, 11, 16) + 3 * s.smooth(60)) + 0.1 * np.sin(turn * 29)
    t = far / s.between(18, 40) + edge
    saw = t - np.floor(t)
    return Look(0.3 + 0.6 * saw, height=10 * saw + 4 * np.sin(turn * 20) * saw, dark=0.6, colours=3)


@kind("frilly", "ruffled")
def kale(s: Sheet) -> Look:
    field = s.warp(s.fbm(50, 3), 20 * s.smooth(18), 20 * s.smooth(18))
    t = field * 2.2
    saw = t - np.floor(t)
    return Look(0.3 + 0.5 * saw, height=11 * saw + 2 * s.smooth(8), dark=0.6, colours=3)
