"""Textures of thread and wire."""

from __future__ import annotations

import numpy as np

from neuronym_drawings import noise
from neuronym_drawings.textures.base import Frame, Pattern, texture
from neuronym_drawings.textures.lines import _fold, _frac


def _round(t: np.ndarray, half: float) -> np.ndarray:
    """The profile of a thread of half-width `half` around t = 0: 1 on its ridge, 0 at its sides."""
    return np.sqrt(np.clip(1 - (t / half) ** 2, 0, 1))


@texture("woven", 11, 34, "brown/yellow brown/orange white/brown blue/white grey/white red/pink")
def woven(f: Frame) -> Pattern:
    iu, iv = np.round(f.u), np.round(f.v)
    du, dv = f.u - iu, f.v - iv
    warp_on_top = np.mod(iu + iv, 2) < 1
    warp = _round(du, 0.46) * (0.6 + 0.4 * np.cos(dv * np.pi) * np.where(warp_on_top, 1, -1))
    weft = _round(dv, 0.46) * (0.6 + 0.4 * np.cos(du * np.pi) * np.where(warp_on_top, -1, 1))
    top = np.maximum(warp, weft)
    fibre = np.where(warp > weft, noise.lookup(f.rng, iu), noise.lookup(f.rng, iv)) - 0.5
    strands = np.where(warp > weft, np.sin(du * 26), np.sin(dv * 26))
    tone = 0.1 * fibre + 0.05 * strands - 0.55 * (1 - noise.ramp(top, 0.1, 0.6))
    return Pattern((warp > weft).astype(np.float32), f.period * 0.3 * top, tone)


@texture("interlaced", 26, 62, "black/yellow blue/white brown/orange green/white purple/pink")
def interlaced(f: Frame) -> Pattern:
    iu, iv = np.round(f.u), np.round(f.v)
    du, dv = f.u - iu, f.v - iv
    half = f.rng.uniform(0.24, 0.33)
    over = np.where(np.mod(iu + iv, 2) < 1, 1.0, -1.0)
    first = np.where(np.abs(du) < half, 1 + 0.3 * over * np.cos(dv * np.pi), 0)
    second = np.where(np.abs(dv) < half, 1 - 0.3 * over * np.cos(du * np.pi), 0)
    across = np.where(first > second, du, dv)
    band = f.near(
        np.minimum(
            np.where(first >= second, np.abs(du), 9), np.where(second > first, np.abs(dv), 9)
        ),
        half,
    )
    rim = noise.ramp(np.abs(across) / half, 0.7, 0.95)
    height = f.period * 0.3 * np.maximum(first, second) * band
    return Pattern(band, height, -0.5 * rim * band + 0.05 * noise.fbm(f.rng, 9, 3))


@texture(
    "knitted",
    13,
    30,
    "red/red blue/blue white/white grey/grey green/green orange/orange",
    turn="square",
    bend=4,
    clean=False,
)
def knitted(f: Frame) -> Pattern:
    x = _frac(f.u) - 0.5
    t = f.v * 1.15 + 0.85 * np.abs(x) * 1.5
    loop = _frac(t) - 0.5
    yarn = _round(loop, 0.5) * _round(np.abs(x) - 0.25, 0.28)
    twist = np.sin((loop + np.sign(x) * x * 2) * 18)
    tone = 0.05 * twist + 0.1 * noise.smooth(f.rng, 1.6) - 0.5 * (1 - noise.ramp(yarn, 0, 0.6))
    return Pattern(0.4 * yarn, f.period * 0.3 * yarn, tone)


@texture(
    "braided", 30, 64, "brown/yellow brown/brown yellow/orange black/brown grey/white", clean=False
)
def braided(f: Frame) -> Pattern:
    x, best, lines = (_frac(f.u) - 0.5) * 2, np.full_like(f.u, -1), np.zeros_like(f.u)
    for k in range(3):
        phase = 2 * np.pi * (f.v * 0.55 + k / 3)
        centre = 0.52 * np.sin(phase)
        across = x - centre
        height = _round(across, 0.44) + 0.55 * np.cos(2 * phase)
        height = np.where(np.abs(across) < 0.44, height, -1)
        strand = across * 9 + np.cos(phase) * 1.5
        lines = np.where(height > best, strand, lines)
        best = np.maximum(best, height)
    inside = best > -0.99
    fine = np.sin(lines * 3.3 + 0.6 * noise.smooth(f.rng, 6))
    tone = np.where(inside, 0.13 * fine + 0.16 * best, -0.6)
    return Pattern(
        np.where(inside, 0.5 + 0.3 * fine, 0), f.period * 0.2 * np.maximum(best, -0.6), tone
    )


@texture("meshed", 13, 36, "black/grey green/white blue/black white/grey brown/yellow grey/black")
def meshed(f: Frame) -> Pattern:
    a, b = f.u + f.v, f.u - f.v
    wire = f.rng.uniform(0.09, 0.14)
    over = np.mod(np.floor(a) + np.floor(b), 2) < 1
    da, db = _fold(a), _fold(b)
    d = np.minimum(da, db)
    on = f.near(d, wire, 1.4)
    twist = np.where(over, np.sin(40 * a), np.sin(40 * b)) * 0.08
    behind = 0.12 * noise.fbm(f.rng, 60, 3) * (1 - on)
    return Pattern(on, f.period * 0.35 * _round(d, wire), behind + twist * on, gloss=0.25)


@texture(
    "gauzy", 5, 8, "grey/white blue/white pink/white purple/white yellow/white", bend=4, clean=False
)
def gauzy(f: Frame) -> Pattern:
    along = float(f.rng.uniform(70, 110) if f.rng.random() < 0.7 else f.rng.uniform(0, 180))
    folds = noise.streaks(f.rng, 260, f.rng.uniform(12, 34), along)
    dense = noise.ramp(folds, -0.6, 1.6)
    sag = 0.5 * noise.smooth(f.rng, 30)
    thread = np.maximum(f.near(_fold(f.u + sag), 0.16, 1.2), f.near(_fold(f.v + sag), 0.16, 1.2))
    behind = noise.ramp(noise.smooth(f.rng, 55), -0.3, 0.3)
    behind = 0.55 * noise.ramp(noise.smooth(f.rng, 90) + 0.4 * behind, -1.2, 1.2)
    cloth = 0.62 + 0.3 * dense
    veil = np.clip(0.3 + 0.5 * dense, 0, 0.9)
    mix = behind + (cloth - behind) * np.maximum(veil, 0.75 * thread)
    return Pattern(np.clip(mix, 0, 1), 3 * folds, 0.1 * (thread - 0.4))


@texture("lacelike", 34, 62, "black/white brown/white grey/white red/white blue/white", clean=False)
def lacelike(f: Frame) -> Pattern:
    odd = np.mod(np.round(f.v), 2) * 0.5
    x, y = f.u + odd - np.round(f.u + odd), f.v - np.round(f.v)
    r, a = np.hypot(x, y), np.arctan2(y, x)
    petals = int(f.rng.integers(5, 9))
    rim = 0.3 + 0.07 * np.cos(petals * a)
    thread = 0.03
    on = f.near(np.abs(r - rim), thread)
    on = np.maximum(on, f.near(np.abs(r - rim * 0.5), thread))
    on = np.maximum(on, f.near(r, 0.06))
    spoke = np.abs(np.sin(petals * a / 2)) * r * 2 / petals
    on = np.maximum(on, f.near(spoke, thread * 0.7) * (r < rim))
    net = np.minimum(_fold((f.u + f.v) * 4), _fold((f.u - f.v) * 4)) / 4
    on = np.maximum(on, f.near(net, 0.012) * (r > rim))
    return Pattern(
        on, 1.2 * on, 0.05 * noise.fbm(f.rng, 20, 4) + 0.06 * noise.smooth(f.rng, 1.5) * on
    )


@texture(
    "waffled", 18, 44, "brown/orange yellow/brown white/white orange/yellow blue/blue", clean=False
)
def waffled(f: Frame) -> Pattern:
    d = np.minimum(_fold(f.u), _fold(f.v))
    floor = noise.ramp(d, 0.1, 0.24)
    height = -f.period * 0.4 * floor + 0.35 * noise.fbm(f.rng, 8, 4)
    return Pattern(1 - floor, height, -0.25 * floor + 0.06 * noise.fbm(f.rng, 14, 4), gloss=0.1)


@texture("matted", 10, 20, "brown/white grey/white black/grey brown/orange white/grey", clean=False)
def matted(f: Frame) -> Pattern:
    tufts = np.full_like(f.u, -9)
    for _ in range(4):
        hair = noise.streaks(f.rng, f.period * 2.2, 1.5, float(f.rng.uniform(0, 180)))
        tufts = np.maximum(tufts, hair + 0.9 * noise.smooth(f.rng, f.period * 1.3))
    tufts = noise.unit(tufts)
    return Pattern(np.clip(0.45 + 0.25 * tufts, 0, 1), 1.3 * tufts, 0.16 * tufts)


@texture(
    "fibrous",
    6,
    14,
    "brown/yellow yellow/white white/grey green/yellow brown/orange",
    bend=9,
    clean=False,
)
def fibrous(f: Frame) -> Pattern:
    bundle = noise.streaks(f.rng, 200, f.period * 1.2, f.angle)
    hair = noise.streaks(f.rng, 110, 1.6, f.angle)
    stray = noise.streaks(f.rng, 60, 1.3, f.angle + float(f.rng.uniform(10, 25)))
    total = noise.unit(0.6 * bundle + 0.8 * hair + 0.4 * np.maximum(stray, 1))
    return Pattern(np.clip(0.5 + 0.28 * total, 0, 1), 1.1 * total, 0.14 * total)
