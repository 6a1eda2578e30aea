"""Textures that repeat: lines, lattices, dots, cells of one size."""

from __future__ import annotations

import numpy as np

from training.sketch.drawings import ramp, unit
from training.sketch.sheet import Look, Sheet, fold, hexagons, kind


@kind("striped")
def stripes(s: Sheet) -> Look:
    u, _ = s.lay(14, 60)
    share = s.between(0.3, 0.7)
    return Look(s.within(fold(u), share / 2, s.any(1, 1, 6)), colours=2)


@kind("striped")
def zebra(s: Sheet) -> Look:
    u, _v = s.lay(16, 50, bend=0)
    bent = u + s.between(0.3, 0.9) * s.smooth(s.between(50, 120)) + 0.08 * s.smooth(20)
    return Look(s.within(fold(bent), s.between(0.18, 0.3) + 0.05 * s.smooth(60), 2), colours=2)


@kind("striped", "banded")
def awning(s: Sheet) -> Look:
    u, _ = s.lay(20, 70)
    widths = np.cumsum(s.rng.uniform(0.3, 1.5, 200))
    band = np.searchsorted(widths, (u - u.min()) * 1.5)
    part = s.rng.random(201)[band].astype(np.float32)
    return Look((band % 2).astype(np.float32), part=part, colours=s.any(2, 4))


@kind("striped")
def tiger(s: Sheet) -> Look:
    u, _v = s.lay(14, 36, bend=0)
    ridge = np.sin(2 * np.pi * (u + 0.4 * s.smooth(70) + 0.15 * s.smooth(25)))
    return Look(ramp(ridge + 0.5 * s.smooth(45), 0.2, 0.7), height=0.5 * s.streaks(12, 2, 0))


@kind("striped")
def packed_lines_relief(s: Sheet) -> Look:
    u, _ = s.lay(12, 40)
    t = fold(u)
    return Look(s.within(t, 0.25), height=s.between(0, 3) * s.within(t, 0.25, 3))


@kind("banded")
def bands(s: Sheet) -> Look:
    _, v = s.lay(40, 130, "square")
    row = np.floor(v + 0.06 * s.fbm(40))
    tone = s.lookup(row)
    return Look(0.15 + 0.8 * tone, part=tone, colours=6)


@kind("banded")
def agate(s: Sheet) -> Look:
    u, v = s.lay(60, 140)
    x, y = u - u.mean() + s.between(-1, 1), v - v.mean() + s.between(-1, 1)
    t = np.hypot(x, y) * s.between(3, 7) + 0.4 * s.fbm(60)
    whole = np.floor(t)
    blend = ramp(t - whole, 0.7, 1)
    tone = s.lookup(whole) * (1 - blend) + s.lookup(whole + 1) * blend
    return Look(tone, colours=5)


@kind("banded")
def smooth_bands(s: Sheet) -> Look:
    u, _ = s.lay(20, 70)
    return Look(0.5 + 0.5 * np.sin(2 * np.pi * (u + 0.2 * s.fbm(90))), colours=3)


@kind("lined")
def ruled(s: Sheet) -> Look:
    u, _ = s.lay(8, 26, "square", bend=s.any(0, 0, 2))
    return Look(s.within(fold(u), s.between(0.04, 0.09)), height=0.3 * s.fbm(4, 2))


@kind("lined")
def drawn_lines(s: Sheet) -> Look:
    u, _ = s.lay(7, 22, bend=0)
    wobble = u + 0.12 * s.streaks(160, 14, -np.degrees(s.angle) - 90) + 0.3 * s.smooth(140)
    wide = 0.08 + 0.05 * s.smooth(20)
    return Look(s.within(fold(wobble), wide, 1.5))


@kind("lined")
def pinstripes(s: Sheet) -> Look:
    u, _v = s.lay(10, 34)
    fine = s.streaks(30, 1.3, 0) + s.streaks(30, 1.3, 90)
    return Look(s.within(fold(u), 0.05) * (0.8 + 0.1 * fine), height=0.4 * fine)


@kind("lined")
def scratched_lines(s: Sheet) -> Look:
    angle = s.between(0, 180)
    t = s.streaks(300, s.scale(2, 6), angle)
    return Look(ramp(t, 0.2, 1.4), height=s.between(0, 1.2) * t, gloss=s.any(0, 0.2))


@kind("grooved", "ridged")
def grooves(s: Sheet) -> Look:
    u, _ = s.lay(8, 34)
    t = fold(u) * 2
    deep = s.any(ramp(t, 0.1, 0.5), np.sqrt(np.clip(t, 0, 1)), 1 - t * t)
    return Look(
        0.3 + 0.4 * deep, height=s.period * s.between(0.25, 0.5) * deep, gloss=s.any(0, 0.3)
    )


@kind("grooved", "ridged")
def round_grooves(s: Sheet) -> Look:
    u, v = s.lay(9, 26)
    x, y = u - u.mean() + s.between(-6, 6), v - v.mean() + s.between(-6, 6)
    t = fold(np.hypot(x, y)) * 2
    return Look(0.4 + 0.3 * t, height=s.period * 0.4 * ramp(t, 0, 0.7), gloss=s.any(0, 0.5))


@kind("grooved", "ridged")
def brain(s: Sheet) -> Look:
    cell = s.scale(7, 16)
    field = s.smooth(cell) - s.smooth(cell * 2.2)
    maze = unit(np.sin(field * s.between(1.6, 2.6)))
    return Look(0.5 + 0.25 * maze, height=cell * 0.35 * ramp(maze, -1, 1), dark=0.4)


@kind("grooved", "ridged")
def corrugated(s: Sheet) -> Look:
    u, _ = s.lay(12, 44, "square", bend=1)
    wave = np.sin(2 * np.pi * u)
    stain = s.fbm(60)
    return Look(0.5 + 0.15 * stain, height=s.period * 0.16 * wave, gloss=s.any(0, 0.4))


@kind("pleated")
def pleats(s: Sheet) -> Look:
    u, _v = s.lay(12, 44, "square", bend=3)
    t = u - np.floor(u)
    saw = np.minimum(t / s.between(0.7, 0.9), (1 - t) * 6)
    return Look(0.5 + 0.2 * saw, height=s.period * 0.45 * saw, dark=0.5)


@kind("pleated")
def curtain(s: Sheet) -> Look:
    u, _v = s.lay(16, 50, "none", bend=0)
    t = u + 0.35 * s.streaks(600, 60, 90) + 0.1 * s.streaks(300, 20, 90)
    wave = np.sin(2 * np.pi * t) + 0.3 * np.sin(4 * np.pi * t + 1)
    return Look(0.4 + 0.3 * wave, height=s.period * 0.22 * wave, dark=0.5)


@kind("pleated")
def fan(s: Sheet) -> Look:
    cx, cy = s.between(-160, 160), s.any(-1, 1) * s.between(100, 220)
    turn = np.arctan2(s.y - cy, s.x - cx)
    t = turn * s.between(12, 40) + 0.1 * s.smooth(60)
    saw = 2 * fold(t)
    return Look(0.3 + 0.5 * saw, height=7 * saw, dark=0.3)


@kind("zigzagged")
def chevrons(s: Sheet) -> Look:
    u, v = s.lay(16, 60)
    rows = s.between(1.2, 3)
    t = v * rows / 2 + s.between(0.4, 1.0) * 2 * fold(u)
    row = np.floor(t)
    if s.chance(0.5):
        return Look((row % 2).astype(np.float32))
    return Look(s.lookup(row), part=s.lookup(row), colours=6)


@kind("zigzagged")
def thin_zigzags(s: Sheet) -> Look:
    u, v = s.lay(18, 50)
    t = v + s.between(0.5, 1.2) * fold(u)
    return Look(s.within(fold(t), s.between(0.06, 0.16)), height=s.any(None, 0.6 * s.fbm(3, 2)))


@kind("zigzagged")
def herringbone(s: Sheet) -> Look:
    u, v = s.lay(20, 56)
    column = np.floor(u)
    t = v * s.between(1.5, 3) + (u - column) * np.where(column % 2 < 1, 1, -1) * s.between(1.5, 3)
    return Look(s.within(fold(t), 0.25, 1.5), height=2 * s.within(fold(t), 0.25, 2))


@kind("chequered", "checkered")
def checks(s: Sheet) -> Look:
    u, v = s.lay(16, 60)
    on = (np.floor(u) + np.floor(v)) % 2
    return Look(on.astype(np.float32), part=s.lookup(np.floor(u), np.floor(v)))


@kind("chequered", "plaid")
def gingham(s: Sheet) -> Look:
    u, v = s.lay(14, 44)
    a, b = s.within(fold(u), 0.25), s.within(fold(v), 0.25)
    weave = 0.06 * (s.streaks(9, 1.3, 0) + s.streaks(9, 1.3, 90))
    return Look((a + b) / 2 + weave, colours=2, height=s.any(None, 6 * weave))


@kind("plaid", "tartan", "chequered")
def tartan(s: Sheet) -> Look:
    u, v = s.lay(50, 110)
    rows = np.sort(s.rng.random(5))
    tones = s.rng.random(6)

    def threads(t):
        return tones[np.searchsorted(rows, t - np.floor(t))].astype(np.float32)

    twill = ((np.floor(s.x + s.y) % 4) < 2).astype(np.float32)
    pick = s.any(0.5, twill)
    return Look(threads(u) * pick + threads(v) * (1 - pick), colours=5)


@kind("chequered")
def board_relief(s: Sheet) -> Look:
    u, v = s.lay(18, 50, "square")
    on = (np.floor(u) + np.floor(v)) % 2
    edge = np.minimum(fold(u), fold(v))
    tone = 0.15 * (s.lookup(np.floor(u), np.floor(v)) - 0.5) + 0.06 * s.fbm(12)
    return Look(on * 0.8 + 0.1 + tone, height=3 * ramp(edge, 0, 0.08), gloss=s.any(0, 0.3))


@kind("grid")
def lines_grid(s: Sheet) -> Look:
    u, v = s.lay(12, 50, s.any("square", "any"))
    d = np.minimum(fold(u), fold(v * s.any(1, 1, 0.6)))
    return Look(s.within(d, s.between(0.03, 0.1)), height=0.3 * s.fbm(5, 2))


@kind("grid")
def panes(s: Sheet) -> Look:
    u, v = s.lay(20, 60, "square", bend=0.5)
    v = v * s.between(0.6, 1)
    d = np.minimum(fold(u), fold(v))
    frame = s.within(d, s.between(0.08, 0.16))
    pane = s.lookup(np.floor(u + 0.5), np.floor(v + 0.5))
    glass = 0.25 + 0.5 * pane + 0.15 * s.fbm(60)
    return Look(np.where(frame > 0.5, s.any(0, 1), glass), height=4 * frame, colours=3)


@kind("grid", "tiled")
def bathroom(s: Sheet) -> Look:
    u, v = s.lay(18, 56, "square")
    d = np.minimum(fold(u), fold(v))
    body = ramp(d, 0.02, 0.08)
    tone = s.lookup(np.floor(u + 0.5), np.floor(v + 0.5))
    return Look(body * (0.6 + 0.4 * tone), part=tone, height=3 * body, gloss=s.any(0, 0.4))


@kind("grid")
def bars(s: Sheet) -> Look:
    u, v = s.lay(16, 44, "square")
    back = 0.3 + 0.2 * s.fbm(70)
    rod = np.maximum(s.within(fold(u), 0.1), s.within(fold(v), 0.1))
    bulge = np.maximum(
        np.sqrt(np.clip(1 - (fold(u) / 0.1) ** 2, 0, 1)),
        np.sqrt(np.clip(1 - (fold(v) / 0.1) ** 2, 0, 1)),
    )
    return Look(np.where(rod > 0.5, 0.9, back), height=s.period * 0.1 * bulge, gloss=0.4, colours=3)


@kind("honeycombed")
def comb(s: Sheet) -> Look:
    u, v = s.lay(14, 44)
    d, cu, cv = hexagons(u, v)
    wall = s.within(d, s.between(0.04, 0.12), 2)
    tone = s.lookup(np.round(cu * 2), np.round(cv * 2))
    deep = ramp(d, 0.05, 0.3)
    return Look(0.75 * wall + 0.25 * tone, height=-s.period * 0.4 * deep, dark=0.5, colours=3)


@kind("honeycombed")
def wild_comb(s: Sheet) -> Look:
    u, v = s.lay(14, 34)
    u, v = u + 0.15 * s.smooth(20), v + 0.15 * s.smooth(20)
    d, cu, cv = hexagons(u, v)
    fill = s.lookup(np.round(cu * 2), np.round(cv * 2))
    hole = ramp(d, 0.06, 0.2) * (fill < s.between(0.5, 1.1))
    return Look(
        0.9 - 0.7 * hole + 0.1 * s.fbm(20), height=-8 * hole, gloss=0.3, dark=0.5, colours=4
    )


@kind("honeycombed")
def hex_lines(s: Sheet) -> Look:
    u, v = s.lay(14, 50)
    d, cu, cv = hexagons(u, v)
    return Look(
        s.within(d, s.between(0.03, 0.08)), part=s.lookup(np.round(cu * 2), np.round(cv * 2))
    )


@kind("honeycombed")
def soft_comb(s: Sheet) -> Look:
    u, v = s.lay(12, 30)
    c = s.cells(u, v * 1.15 + 0.0, 0.25)
    deep = ramp(c.edge, 0.05, 0.35)
    return Look(
        0.8 - 0.6 * deep + 0.1 * s.fbm(40), height=-s.period * 0.5 * deep, dark=0.6, colours=3
    )
