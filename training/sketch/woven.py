"""Textures of thread, wire and rope."""

from __future__ import annotations

import numpy as np

from training.sketch.drawings import ramp, unit
from training.sketch.sheet import SIDE, Look, Sheet, fold, hexagons, kind


def _over(s: Sheet, u, v, width: float, rule):
    """Threads across and down, over and under by a rule: (which is on top, height, shade)."""
    iu, iv = np.round(u), np.round(v)
    du, dv = (u - iu) / width, (v - iv) / width
    up = rule(iu, iv)
    on_u, on_v = np.abs(du) < 0.5, np.abs(dv) < 0.5
    round_u = np.sqrt(np.clip(1 - (2 * du) ** 2, 0, 1))
    round_v = np.sqrt(np.clip(1 - (2 * dv) ** 2, 0, 1))
    arch_u = np.cos(np.pi * (v - iv)) ** 2
    arch_v = np.cos(np.pi * (u - iu)) ** 2
    hu = np.where(on_u, round_u * 0.5 + np.where(up, 1, -1) * arch_u * 0.5 + 0.6, 0)
    hv = np.where(on_v, round_v * 0.5 + np.where(up, -1, 1) * arch_v * 0.5 + 0.6, 0)
    return hu > hv, np.maximum(hu, hv).astype(np.float32)


def _plain(iu, iv):
    return (iu + iv) % 2 < 1


@kind("woven")
def cloth(s: Sheet) -> Look:
    u, v = s.lay(6, 24)
    top, h = _over(s, u, v, s.between(0.8, 1), _plain)
    thread = s.lookup(np.where(top, np.round(u), 0), np.where(top, 0, np.round(v)))
    return Look(
        0.25 + 0.4 * top + 0.25 * (thread - 0.5), height=s.period * 0.25 * h, dark=0.4, colours=3
    )


@kind("woven", "twill")
def twill(s: Sheet) -> Look:
    u, v = s.lay(5, 16)
    top, h = _over(s, u, v, 0.95, lambda i, j: (i + j) % s.any(3, 4) < 2)
    return Look(0.3 + 0.5 * top, height=s.period * 0.25 * h, dark=0.3)


@kind("woven", "wicker", "basket")
def wicker(s: Sheet) -> Look:
    u, v = s.lay(14, 40, "square")
    v = v * s.between(1.5, 2.5)
    side = np.where(_plain(np.round(v), np.floor(u)), 1, -1)
    bow = side * np.sin(np.pi * (u - np.floor(u)))
    t = fold(v) * 2
    body = np.sqrt(np.clip(1 - t * t, 0, 1))
    stake = (np.abs(u - np.round(u)) < 0.12) * (bow < 0.2)
    tone = s.lookup(np.round(v)) * 0.3 + 0.06 * s.streaks(40, 2, 0)
    return Look(
        0.35 + 0.2 * bow + tone,
        height=s.period * (0.2 * body + 0.15 * bow) + 2 * stake,
        dark=0.6,
        colours=4,
    )


@kind("woven", "burlap")
def burlap(s: Sheet) -> Look:
    u, v = s.lay(5, 12)
    u, v = u + 0.18 * s.smooth(9), v + 0.18 * s.smooth(9)
    top, h = _over(s, u, v, s.between(0.55, 0.85), _plain)
    return Look(
        np.where(h > 0.01, 0.5 + 0.2 * top + 0.1 * s.smooth(4), 0.1),
        height=s.period * 0.3 * h,
        colours=3,
    )


@kind("woven", "interlaced")
def ribbons(s: Sheet) -> Look:
    u, v = s.lay(20, 60)
    top, h = _over(s, u, v, s.between(0.75, 0.98), _plain)
    tone = np.where(top, s.lookup(np.round(u)), s.lookup(np.round(v) + 17))
    fine = np.where(top, np.sin(u * 60), np.sin(v * 60))
    return Look(
        np.where(h > 0, 0.3 + 0.5 * tone + 0.06 * fine, 0),
        part=tone,
        height=4 * h,
        dark=0.5,
        colours=4,
    )


@kind("interlaced")
def lattice(s: Sheet) -> Look:
    u, v = s.lay(20, 60)
    top, h = _over(s, u, v, s.between(0.25, 0.5), _plain)
    back = 0.15 + 0.1 * s.fbm(60)
    return Look(
        np.where(h > 0.01, 0.65 + 0.15 * top, back), height=s.period * 0.2 * h, dark=0.5, colours=3
    )


@kind("interlaced")
def knots(s: Sheet) -> Look:
    u, v = s.lay(26, 64)
    best, tone = np.full((SIDE, SIDE), -9, np.float32), np.zeros((SIDE, SIDE), np.float32)
    for k in range(3):
        phase = 2 * np.pi * k / 3
        for axis in (0, 1):
            a, b = (u, v) if axis else (v, u)
            centre = 0.33 * np.sin(np.pi * a + phase)
            d = (b - np.round(b - centre) - centre) / 0.13
            over = np.cos(2 * np.pi * a + phase + axis * np.pi)
            h = np.where(np.abs(d) < 1, np.sqrt(np.clip(1 - d * d, 0, 1)) + over, -9)
            tone = np.where(h > best, k / 3 + 0.2 * axis, tone)
            best = np.maximum(best, h)
    on = best > -8
    return Look(
        np.where(on, 0.5 + 0.4 * tone, 0.1),
        height=np.where(on, 4 * (best + 1), 0),
        dark=0.5,
        colours=4,
    )


@kind("interlaced", "chain")
def rings(s: Sheet) -> Look:
    u, v = s.lay(18, 50)
    best, on = np.full((SIDE, SIDE), -9, np.float32), np.zeros((SIDE, SIDE), bool)
    for shift in (0.0, 0.5):
        x, y = u + shift - np.round(u + shift), v + shift - np.round(v + shift)
        r = np.hypot(x, y)
        d = (r - 0.4) / 0.08
        h = np.where(
            np.abs(d) < 1,
            np.sqrt(np.clip(1 - d * d, 0, 1)) + np.sin(2 * np.arctan2(y, x) + shift * 6.28),
            -9,
        )
        on |= np.abs(d) < 1
        best = np.maximum(best, h)
    return Look(np.where(on, 0.8, 0.15), height=np.where(on, 3 * best, -3), gloss=0.6, colours=3)


@kind("braided", "plaited")
def braid(s: Sheet) -> Look:
    u, v = s.lay(22, 60, bend=2)
    columns = s.between(0.6, 1.2)
    x = v * columns
    x = (x - np.round(x)) * 2.6
    best, tone = np.full((SIDE, SIDE), -9, np.float32), np.zeros((SIDE, SIDE), np.float32)
    for k in range(3):
        phase = 2 * np.pi * (u + k / 3)
        d = (x - 0.62 * np.sin(phase)) / 0.5
        h = np.where(np.abs(d) < 1, np.sqrt(np.clip(1 - d * d, 0, 1)) + 0.8 * np.cos(2 * phase), -9)
        hair = np.sin(d * s.between(8, 14) + 2 * np.sin(phase))
        tone = np.where(h > best, 0.5 + 0.12 * hair + 0.1 * k, tone)
        best = np.maximum(best, h)
    on = best > -8
    return Look(
        np.where(on, tone, 0.05),
        height=np.where(on, s.period * 0.18 * best, -s.period * 0.3),
        dark=0.6,
        colours=3,
    )


@kind("braided", "rope", "twisted")
def rope(s: Sheet) -> Look:
    u, v = s.lay(18, 60)
    x = v - np.round(v)
    strand = u * s.between(1, 1.6) + s.any(-1, 1) * x * s.between(0.8, 1.4)
    t = fold(strand) * 2
    body = np.sqrt(np.clip(1 - (2 * x) ** 2, 0, 1))
    fine = np.sin(2 * np.pi * (strand * 5 + x * 3))
    return Look(
        (0.3 + 0.4 * (1 - t) + 0.06 * fine) * body,
        height=s.period * (0.35 * body + 0.2 * np.sqrt(np.clip(1 - t * t, 0, 1))),
        dark=0.5,
    )


@kind("braided", "plaited")
def braided_rows(s: Sheet) -> Look:
    u, v = s.lay(14, 44)
    column = np.floor(u)
    side = np.where(column % 2 < 1, 1, -1)
    x = u - column - 0.5
    t = v * s.between(1, 1.6) + side * x * s.between(0.8, 1.3)
    lobe = np.hypot(fold(t), x * 0.8) * 2
    h = np.sqrt(np.clip(1 - lobe**2, 0, 1))
    fine = np.sin(2 * np.pi * (t * 4 + x))
    return Look(
        0.2 + 0.5 * h + 0.06 * fine,
        part=s.lookup(np.round(t), column),
        height=s.period * 0.4 * h,
        dark=0.6,
        colours=3,
    )


@kind("braided")
def plaited_hair(s: Sheet) -> Look:
    u, v = s.lay(40, 110)
    x = v - v.mean() + s.between(-0.3, 0.3)
    t = u * s.between(1, 1.8) - np.abs(x) * s.between(0.8, 1.4) + 0.5 * (x > 0)
    lobe = fold(t) * 2
    width = np.clip(1 - np.abs(x) / s.between(0.5, 1.2), 0, 1) ** 0.3
    hair = np.sin(2 * np.pi * (t * 8 + 0.5 * s.smooth(14)))
    h = np.sqrt(np.clip(1 - lobe * lobe, 0, 1))
    return Look(
        (0.25 + 0.4 * h + 0.1 * hair) * width,
        height=s.period * 0.25 * h * width + hair,
        dark=0.4,
        colours=3,
    )


@kind("knitted", "knit")
def stockinette(s: Sheet) -> Look:
    u, v = s.lay(10, 34, "square", bend=2)
    column = np.floor(u)
    x = u - column - 0.5
    t = v * s.between(0.9, 1.3) - np.abs(x) * s.between(0.8, 1.2)
    lobe = np.hypot(fold(t) * 2, (np.abs(x) - 0.25) * 4 * 0.8)
    h = np.sqrt(np.clip(1 - lobe**2, 0, 1))
    fuzz = 0.08 * s.smooth(2)
    row = s.lookup(np.round(t)) if s.chance(0.4) else s.lookup(np.round(t), column) * 0.2
    return Look(0.25 + 0.45 * h + fuzz + 0.2 * row, part=row, height=s.period * 0.3 * h, dark=0.5)


@kind("knitted", "knit")
def rib(s: Sheet) -> Look:
    u, v = s.lay(14, 40, "square", bend=3)
    x = u - np.round(u)
    rise = np.cos(2 * np.pi * u)
    stitch = np.sin(2 * np.pi * (v * s.between(1.5, 2.5) + np.abs(x)))
    return Look(
        0.45 + 0.2 * rise + 0.1 * stitch + 0.06 * s.smooth(2),
        height=s.period * 0.2 * rise + 1.2 * stitch,
        dark=0.4,
    )


@kind("knitted", "knit")
def garter(s: Sheet) -> Look:
    u, v = s.lay(10, 26, "square", bend=2)
    row = np.floor(v)
    bump = np.hypot(fold(u * 1.2 + 0.5 * (row % 2)) * 1.6, (v - row - 0.5) * 1.4)
    h = np.sqrt(np.clip(1 - (bump * 1.2) ** 2, 0, 1))
    return Look(
        0.25 + 0.5 * h + 0.08 * s.smooth(2),
        part=s.lookup(np.floor(row / 3)),
        height=s.period * 0.35 * h,
        dark=0.5,
    )


@kind("knitted", "knit")
def cable(s: Sheet) -> Look:
    u, v = s.lay(40, 80, "square", bend=2)
    x = (u - np.round(u)) * 2.2
    cord = np.full((SIDE, SIDE), -1, np.float32)
    for k in range(2):
        phase = 2 * np.pi * v + np.pi * k
        d = (x - 0.35 * np.sin(phase)) / 0.38
        cord = np.maximum(
            cord,
            np.where(np.abs(d) < 1, np.sqrt(np.clip(1 - d * d, 0, 1)) + 0.5 * np.cos(phase), -1),
        )
    stitch = np.sin(v * 40 + np.abs(fold(u * 8)) * 9) + 0.6 * np.sin(u * 50)
    return Look(0.45 + 0.15 * cord + 0.08 * stitch, height=5 * cord + stitch, dark=0.4)


@kind("knitted", "knit")
def fair_isle(s: Sheet) -> Look:
    u, v = s.lay(6, 14, "square", bend=1)
    iu, iv = np.floor(u), np.floor(v)
    x = u - iu - 0.5
    h = np.sqrt(
        np.clip(1 - (np.hypot(fold(v - np.abs(x)) * 1.8, (np.abs(x) - 0.25) * 3)) ** 2, 0, 1)
    )
    figure = s.lookup(np.minimum(iu % 8, 7 - iu % 8), iv) > 0.5
    return Look(0.1 + 0.8 * figure * (0.6 + 0.4 * h), height=s.period * 0.3 * h, dark=0.3)


@kind("meshed", "mesh", "wire mesh")
def chain_link(s: Sheet) -> Look:
    u, v = s.lay(18, 60, "none" if s.chance(0.5) else "any")
    a, b = u + v, u - v
    wire = s.between(0.04, 0.1)
    d = np.minimum(fold(a), fold(b))
    on = s.within(d, wire, 1.5)
    back = 0.3 + 0.2 * s.smooth(s.between(30, 110))
    bright = s.any(0.95, 0.05)
    return Look(
        back * (1 - on) + on * bright,
        height=6 * np.sqrt(np.clip(1 - (d / wire) ** 2, 0, 1)),
        gloss=0.4,
        colours=4,
    )


@kind("meshed", "mesh", "wire mesh")
def wire_cloth(s: Sheet) -> Look:
    u, v = s.lay(6, 22)
    top, h = _over(s, u, v, s.between(0.25, 0.45), _plain)
    return Look(
        np.where(h > 0.01, 0.6 + 0.2 * top, 0.15 + 0.08 * s.fbm(60)),
        height=s.period * 0.2 * h,
        gloss=0.3,
        colours=3,
    )


@kind("meshed", "mesh", "net")
def hex_net(s: Sheet) -> Look:
    u, v = s.lay(16, 46)
    v = v * s.between(0.8, 1.2)
    d = hexagons(u + 0.06 * s.smooth(25), v + 0.06 * s.smooth(25))[0]
    on = s.within(d, s.between(0.03, 0.07), 1.3)
    back = 0.3 + 0.22 * s.fbm(90, 3)
    return Look(back * (1 - on) + on * s.any(0.95, 0.03), height=3 * on, colours=4)


@kind("meshed", "mesh", "net")
def netting(s: Sheet) -> Look:
    u, v = s.lay(9, 30, bend=5)
    a, b = u + v, u - v
    knot = s.within(np.hypot(fold(a), fold(b)), 0.14, 2)
    on = np.maximum(s.within(np.minimum(fold(a), fold(b)), 0.05, 1.5), knot)
    return Look(0.2 + 0.15 * s.smooth(70) + 0.6 * on, height=2 * on, colours=3)


@kind("gauzy", "sheer")
def gauze(s: Sheet) -> Look:
    veil = s.streaks(260, s.scale(14, 50), s.between(40, 140))
    u, v = s.lay(3.5, 7, bend=3)
    thread = np.maximum(s.within(fold(u), 0.12), s.within(fold(v), 0.12))
    return Look(0.5 + 0.22 * veil + 0.12 * thread, height=s.any(None, 4 * veil), colours=2)


@kind("gauzy", "sheer")
def veils(s: Sheet) -> Look:
    total = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(s.any(3, 4, 6)):
        edge = ramp(s.streaks(300, s.scale(30, 90), s.between(0, 180)), -0.2, s.between(0.0, 0.8))
        total += edge * s.between(0.1, 0.25)
    net = 0.05 * (s.streaks(7, 1.3, 0) + s.streaks(7, 1.3, 90))
    return Look(0.15 + total + net)


@kind("gauzy", "sheer")
def tulle(s: Sheet) -> Look:
    u, v = s.lay(5, 10, bend=4)
    d = hexagons(u, v)[0]
    back = 0.4 + 0.25 * s.smooth(90)
    gather = s.streaks(220, 22, s.between(60, 120))
    return Look(back + 0.2 * s.within(d, 0.1) + 0.14 * gather, height=3 * gather)


@kind("lacelike", "lace", "lacy")
def lace(s: Sheet) -> Look:
    u, v = s.lay(34, 80)
    uu = u + 0.5 * (np.round(v) % 2)
    x, y = uu - np.round(uu), v - np.round(v)
    r, a = np.hypot(x, y), np.arctan2(y, x)
    n = s.any(5, 6, 8)
    flower = np.abs(r - 0.28 - 0.08 * np.cos(n * a))
    inner = np.abs(r - 0.13 - 0.04 * np.cos(n * a))
    net = np.minimum(fold((u + v) * 5), fold((u - v) * 5)) / 5
    thick = 0.03
    on = np.maximum.reduce(
        [
            s.within(flower, thick),
            s.within(inner, thick * 0.8),
            s.within(r, 0.05),
            s.within(net, 0.013) * (r > 0.34),
            s.within(np.abs(np.sin(n * a / 2)) * r, 0.018) * (r < 0.3),
        ]
    )
    return Look(on, height=1.5 * on)


@kind("lacelike", "lace", "lacy")
def doily(s: Sheet) -> Look:
    x, y = s.x + s.between(-50, 50), s.y + s.between(-50, 50)
    r, a = np.hypot(x, y) / s.between(18, 34), np.arctan2(y, x)
    n = s.any(8, 12, 16)
    ring = np.floor(r)
    t = r - ring
    which = s.lookup(ring, levels=3)
    turn = a * n * (1 + (ring > 2)) / (2 * np.pi)
    petals = np.abs(t - 0.2 - 0.6 * np.abs(np.sin(np.pi * turn)))
    beads = np.hypot(fold(turn) * 1.2, t - 0.5) - 0.25
    spokes = fold(turn * 2) * 0.8
    on = np.where(
        which < 1, petals < 0.09, np.where(which < 2, np.abs(beads) < 0.07, spokes < 0.12)
    )
    on = on | (fold(r) < 0.06)
    return Look(on.astype(np.float32), height=1.2 * on)


@kind("lacelike", "lace", "lacy")
def kaleidoscope(s: Sheet) -> Look:
    n, period = s.any(4, 6, 8), s.between(40, 110)
    u, v = s.x / period, s.y / period
    x, y = (u - np.round(u)) * period, (v - np.round(v)) * period
    r, a = np.hypot(x, y), np.arctan2(y, x)
    wedge = np.abs(((a / (2 * np.pi) * n) % 1) - 0.5) * 2 * np.pi / n
    field = unit(s.smooth(9) + s.smooth(18))
    rows, columns = SIDE / 2 + r * np.cos(wedge), SIDE / 2 + r * np.sin(wedge)
    seen = field[np.clip(rows, 0, SIDE - 1).astype(int), np.clip(columns, 0, SIDE - 1).astype(int)]
    return Look(1 - ramp(np.abs(seen), 0.2, 0.4))


@kind("lacelike", "lace", "lacy")
def crochet(s: Sheet) -> Look:
    u, v = s.lay(14, 34)
    hole = np.hypot(fold(u), fold(v)) < s.between(0.22, 0.34)
    motif = s.lookup(np.floor(np.abs(np.round(u) % 8 - 3.5)), np.round(v) % 9) > 0.55
    thread = 0.08 * s.smooth(2) + 0.1 * np.sin(30 * u)
    solid = ~hole | motif
    return Look(np.where(solid, 0.85 + thread, 0.1), height=2.0 * solid + thread * 5)
