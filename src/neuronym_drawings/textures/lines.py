"""Textures made of lines and bands."""

from __future__ import annotations

import numpy as np

from neuronym_drawings import noise
from neuronym_drawings.textures.base import Frame, Pattern, texture


def _frac(t: np.ndarray) -> np.ndarray:
    return t - np.floor(t)


def _fold(t: np.ndarray) -> np.ndarray:
    """Triangle wave: 0 at whole numbers, 0.5 between."""
    return np.abs(t - np.round(t))


@texture("striped", 16, 60, "white/red white/blue white/black yellow/black orange/black white/grey")
def striped(f: Frame) -> Pattern:
    return Pattern(f.stripes(f.u, f.rng.uniform(0.4, 0.6)), tone=0.03 * noise.fbm(f.rng, 20, 4))


@texture("banded", 26, 60, "brown/orange grey/white blue/white brown/yellow red/white", clean=False)
def banded(f: Frame) -> Pattern:
    # Bands of unequal width: the lattice is squeezed and stretched before it is numbered.
    t = f.u + 0.55 * np.sin(f.u * 2.1) + 0.25 * np.sin(f.u * 5.3 + 1)
    low, high = np.floor(t), np.floor(t) + 1
    table = np.array([0, 0.9, 0.35, 1, 0.1, 0.65, 0.3], np.float32)
    first, second = (table[np.mod(i, 7).astype(int)] for i in (low, high))
    edge = np.clip((_frac(t) - 1) / (f.px * 3) + 1, 0, 1)
    return Pattern(first + (second - first) * edge, tone=0.05 * noise.streaks(f.rng, 90, 3))


@texture(
    "lined", 9, 22, "white/blue white/grey yellow/brown white/black pink/purple", turn="square"
)
def lined(f: Frame) -> Pattern:
    width = f.rng.uniform(0.06, 0.12)
    return Pattern(f.near(_fold(f.v), width), tone=0.04 * noise.fbm(f.rng, 30, 5))


@texture("grooved", 9, 26, "grey/grey brown/brown black/grey white/grey blue/blue", clean=False)
def grooved(f: Frame) -> Pattern:
    d = _fold(f.u)
    depth = noise.ramp(d, 0.05, 0.32)
    grain = noise.streaks(f.rng, 50, 1.4, 90 - f.angle)
    return Pattern(1 - depth, f.period * 0.3 * depth, 0.08 * grain - 0.3 * (1 - depth), gloss=0.15)


@texture("pleated", 22, 60, "blue/blue red/red white/grey purple/purple green/green", clean=False)
def pleated(f: Frame) -> Pattern:
    t = f.u + 0.08 * noise.smooth(f.rng, 60)
    saw = _frac(t)
    height = f.period * 0.32 * np.where(saw < 0.85, saw / 0.85, (1 - saw) / 0.15)
    cloth = 0.05 * noise.smooth(f.rng, 1.5)
    return Pattern(0.4 * saw, height, cloth - 0.35 * noise.ramp(saw, 0.8, 0.98))


@texture(
    "zigzagged", 20, 52, "white/black white/red yellow/blue white/purple orange/brown pink/white"
)
def zigzagged(f: Frame) -> Pattern:
    slope = f.rng.uniform(0.7, 1.3)
    wave = 2 * _fold(f.u * f.rng.uniform(0.7, 1.1)) * slope
    soft = 1 + slope
    return Pattern(f.stripes(f.v + wave, 0.5, soft), tone=0.04 * noise.fbm(f.rng, 16, 4))


@texture(
    "stratified",
    14,
    34,
    "brown/orange grey/white brown/yellow red/orange",
    turn="square",
    bend=7,
    clean=False,
)
def stratified(f: Frame) -> Pattern:
    t = f.v + 0.25 * noise.streaks(f.rng, 120, 20) + 0.08 * noise.fbm(f.rng, 24, 4)
    layer = noise.lookup(f.rng, np.floor(t))
    seam = noise.ramp(_fold(t), 0.0, 0.16)
    height = f.period * 0.22 * seam * (0.5 + layer) + 0.8 * noise.fbm(f.rng, 12, 4)
    return Pattern(layer, height, 0.1 * noise.streaks(f.rng, 40, 2.5) - 0.4 * (1 - seam))


@texture("crosshatched", 7, 15, "white/black white/brown yellow/brown white/blue grey/black")
def crosshatched(f: Frame) -> Pattern:
    ink = np.zeros_like(f.u)
    for turn, share in ((0.5, 1.0), (-0.5, 0.75), (1.5, 0.3)):
        t = f.u * np.cos(turn) + f.v * np.sin(turn) + 0.06 * noise.smooth(f.rng, 40)
        pressure = noise.smooth(f.rng, 45) + 2.5 * share - 1.2
        ink = np.maximum(ink, f.near(_fold(t), 0.1) * np.clip(pressure, 0, 1))
    return Pattern(ink, tone=0.04 * noise.fbm(f.rng, 8, 4))


@texture(
    "grid",
    14,
    44,
    "white/black blue/white white/blue black/green grey/black white/grey",
    turn="square",
)
def grid(f: Frame) -> Pattern:
    width = f.rng.uniform(0.045, 0.12)
    lines = f.near(np.minimum(_fold(f.u), _fold(f.v)), width)
    return Pattern(lines, 1.5 * lines, 0.05 * noise.fbm(f.rng, 25, 4))


@texture(
    "chequered", 20, 70, "white/black white/red yellow/black white/blue white/green brown/yellow"
)
def chequered(f: Frame) -> Pattern:
    du = np.clip(_fold(f.u) / f.px, 0, 0.5)
    side_u = np.where(np.mod(np.floor(f.u), 2) < 1, 1, -1) * np.minimum(2 * du, 1)
    dv = np.clip(_fold(f.v) / f.px, 0, 0.5)
    side_v = np.where(np.mod(np.floor(f.v), 2) < 1, 1, -1) * np.minimum(2 * dv, 1)
    return Pattern((side_u * side_v + 1) / 2, tone=0.04 * noise.fbm(f.rng, 30, 5))
