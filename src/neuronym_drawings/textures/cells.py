"""Textures of cells, scales, plates and bubbles."""

from __future__ import annotations

import numpy as np

from neuronym_drawings import noise, palette
from neuronym_drawings.textures.base import Frame, Pattern, texture


def _hexagon(f: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distance to the nearest edge of a hexagon, offsets from its centre, and its indices."""
    root = np.sqrt(3).astype(np.float32)
    ax, ay = f.u - np.round(f.u), f.v - np.round(f.v / root) * root
    bx = f.u - np.floor(f.u) - 0.5
    by = f.v - (np.floor(f.v / root) + 0.5) * root
    first = ax * ax + ay * ay < bx * bx + by * by
    x, y = np.where(first, ax, bx), np.where(first, ay, by)
    iu, iv = np.round((f.u - x) * 2), np.round((f.v - y) / root * 2)
    edge = 0.5 - np.maximum(np.abs(x), np.abs(x) * 0.5 + np.abs(y) * (root / 2))
    return edge, x, y, iu, iv


@texture("honeycombed", 20, 48, "orange/yellow brown/yellow brown/orange black/yellow grey/white")
def honeycombed(f: Frame) -> Pattern:
    edge, x, y, iu, iv = _hexagon(f)
    wall = f.near(edge, f.rng.uniform(0.05, 0.09), 1.5)
    depth = noise.ramp(edge, 0.04, 0.26)
    cell = noise.lookup(f.rng, iu, iv) - 0.5
    glow = 0.25 * cell + 0.35 * (x * 0.6 + y) - 0.3 * (1 - depth)
    tone = glow * (1 - wall) + 0.05 * noise.fbm(f.rng, 12, 4)
    return Pattern(wall, -f.period * 0.3 * depth, tone, gloss=0.2)


@texture(
    "scaly",
    22,
    56,
    "green/green blue/blue brown/brown grey/white green/yellow orange/red",
    clean=False,
)
def scaly(f: Frame) -> Pattern:
    # Rows of half discs; each lies on the row above it, so the first that covers a pixel wins.
    v = f.v * 2
    best = np.full_like(f.u, 2.0)
    value, done = np.zeros_like(f.u), np.zeros(f.u.shape, bool)
    for k in (0, 1, 2):
        row = np.floor(v) - k
        u = f.u + np.mod(row, 2) * 0.5
        column = np.round(u)
        r = np.hypot(u - column, (v - row - 0.15) / 2.3)
        here = (r < 0.58) & ~done if k < 2 else ~done
        best = np.where(here, r, best)
        value = np.where(here, noise.lookup(f.rng, row, column), value)
        done |= here
    rim = noise.ramp(best, 0.4, 0.56)
    height = f.period * (0.22 * best + 0.06 * noise.ramp(best, 0.3, 0.5))
    tone = 0.22 * (value - 0.5) - 0.45 * noise.ramp(best, 0.5, 0.58) + 0.05 * noise.fbm(f.rng, 8, 3)
    return Pattern(np.clip(0.2 + 0.6 * rim + 0.2 * value, 0, 1), height, tone, gloss=0.22)


@texture("cracked", 30, 70, "brown/black grey/black white/grey orange/brown yellow/brown", bend=5)
def cracked(f: Frame) -> Pattern:
    wobble = 0.09
    u = f.u + wobble * noise.fbm(f.rng, 18, 4)
    v = f.v + wobble * noise.fbm(f.rng, 18, 4)
    c = noise.cells(f.rng, u, v, 0.95)
    fine = noise.cells(f.rng, u * 2.1, v * 2.1, 0.95)
    gap = f.rng.uniform(0.03, 0.07)
    crack = np.maximum(f.near(c.edge, gap, 2), 0.7 * f.near(fine.edge, gap * 0.45, 2))
    plate = noise.ramp(c.edge, 0.0, 0.35)
    height = f.period * 0.14 * plate + 0.7 * noise.fbm(f.rng, 9, 5) - 3 * crack
    return Pattern(crack, height, 0.14 * (c.value - 0.5) + 0.05 * noise.fbm(f.rng, 14, 4))


@texture(
    "crystalline", 16, 44, "blue/white purple/white white/white green/white pink/white", clean=False
)
def crystalline(f: Frame) -> Pattern:
    tall = f.rng.uniform(0.45, 0.9)
    c = noise.cells(f.rng, f.u, f.v * tall, 1.0)
    s = noise.cells(f.rng, f.u * 2.3 + 0.7 * c.value, f.v * 2.3 * tall, 1.0)
    facet = np.where(np.sin(c.value * 90) * c.x + np.cos(c.value * 70) * c.y > 0, 0.2, -0.2)
    bright = 0.5 + 0.55 * (c.value - 0.5) + 0.35 * (s.value - 0.5) + facet
    edges = 1 - noise.ramp(c.edge, 0.0, 0.09)
    glint = (s.value > 0.93).astype(np.float32)
    mix = np.clip(bright + 0.35 * edges + glint, 0, 1)
    return Pattern(mix, None, 0.22 * facet + 0.2 * edges + 0.04 * noise.fbm(f.rng, 8, 3))


@texture("bubbly", 22, 60, "blue/white white/blue green/white orange/white grey/white", clean=False)
def bubbly(f: Frame) -> Pattern:
    light = 0.25 + 0.08 * noise.fbm(f.rng, 50, 3)
    for scale in (2.5, 1.5, 0.9):
        c = noise.cells(f.rng, f.u * scale, f.v * scale, 0.55)
        radius = 0.22 + 0.26 * c.value
        r = np.minimum(c.near / radius, 1.3)
        inside = f.near(c.near / scale, radius / scale) * (c.value > 0.3)
        # A bubble: clear in the middle, a bright rim inside a thin dark one, and a window's glint.
        body = 0.22 + 0.6 * noise.ramp(r, 0.55, 0.9) - 0.75 * noise.ramp(r, 0.9, 1.0)
        body = body - 0.3 * (c.x * 0.4 + c.y) / radius
        hx, hy = c.x / radius + 0.36, c.y / radius + 0.42
        body = np.where(hx * hx + 1.6 * hy * hy < 0.045, 1.1, body)
        light = light + (body - light) * inside
    return Pattern(np.clip(light, 0, 1), None, np.minimum(light, 0) * 0.6)


@texture(
    "bumpy", 14, 40, "grey/grey orange/orange white/white green/green brown/brown", clean=False
)
def bumpy(f: Frame) -> Pattern:
    u, v = f.u + 0.1 * noise.smooth(f.rng, 20), f.v + 0.1 * noise.smooth(f.rng, 20)
    c = noise.cells(f.rng, u, v, 0.8)
    dome = np.sqrt(np.clip(1 - (c.near / 0.75) ** 2, 0, 1)) * (0.6 + 0.6 * c.value)
    dome = dome * noise.ramp(c.edge, -0.05, 0.4)
    height = f.period * 0.4 * dome + 0.3 * noise.fbm(f.rng, 5, 3)
    return Pattern(0.4 * dome, height, -0.3 * (1 - noise.ramp(c.edge, 0, 0.25)), gloss=0.2)


@texture(
    "paisley",
    50,
    90,
    "red/yellow blue/white purple/pink green/yellow white/blue orange/red",
    clean=False,
)
def paisley(f: Frame) -> Pattern:
    odd = np.mod(np.floor(f.v), 2)
    u = f.u + 0.5 * odd
    x, y = u - np.floor(u) - 0.5, f.v - np.floor(f.v) - 0.5
    x = np.where(odd > 0, -x, x)
    # A drop: a disc whose upper half narrows and leans over.
    lean = np.clip(0.12 - y, 0, 1)
    bx = x + 0.1 - 1.05 * lean**2
    half = 0.27 * np.sqrt(np.clip(1 - ((y - 0.12) / 0.27) ** 2, 0, 1))
    top = 0.27 * np.clip(1 - lean / 0.52, 0, 1) ** 0.75
    half = np.where(y > 0.12, half, top)
    d = np.abs(bx) - half
    ring = np.maximum(f.near(np.abs(d), 0.03), f.near(np.abs(d + 0.085), 0.018))
    a = np.arctan2(y - 0.12, x + 0.1)
    r = np.hypot(x + 0.1, y - 0.12)
    flower = f.near(r, 0.09 + 0.03 * np.cos(6 * a)) * (1 - f.near(r, 0.035))
    outer = f.near(np.abs(d - 0.06), 0.022) * (np.sin(30 * a + 3 * y) > 0)
    c = noise.cells(f.rng, f.u * 3.2, f.v * 3.2, 0.8)
    buds = f.near(c.near, 0.12) * (d > 0.11)
    first, second, ground = (palette.shade(f.rng, t) for t in f.rng.permutation(palette.VIVID)[:3])
    cream = palette.rgb(noise.pick(f.rng, ("f5ead2", "ffffff", "f0d080")))
    rgb = ground * 0.8 + (first - ground * 0.8) * f.near(d, 0.0)[..., None]
    for layer, colour in ((ring, cream), (flower, second), (outer, cream), (buds, second)):
        rgb = rgb + (colour - rgb) * layer[..., None]
    cloth = 0.06 * noise.smooth(f.rng, 1.5) + 0.04 * noise.fbm(f.rng, 60, 3)
    return Pattern(f.near(d, 0.0), 2.0 * noise.streaks(f.rng, 150, 40, 60), cloth, rgb)


@texture(
    "frilly",
    46,
    80,
    "white/white pink/pink white/pink red/red purple/purple",
    turn="square",
    bend=5,
    clean=False,
)
def frilly(f: Frame) -> Pattern:
    # Rows of gathered cloth; each hangs over the one below it and ends in a wavy hem.
    height, shade, found = np.zeros_like(f.u), np.zeros_like(f.u), np.zeros(f.u.shape, bool)
    for k in (0, 1, 2):
        row = np.floor(f.v) - 1 + k
        start = noise.lookup(f.rng, row) * 9
        wave = f.u * 1.3 + start + 0.16 * np.sin(f.u * 3.1 + start)
        fold = np.sin(2 * np.pi * wave)
        depth = np.clip((f.v - row) / 1.3, 0, 1)
        hem = row + 1.15 + 0.16 * fold + 0.1 * np.cos(4 * np.pi * wave)
        here = (f.v < hem) & ~found
        near_hem = 1 - np.clip((hem - f.v) / 0.07, 0, 1)
        lit = (0.1 + 0.28 * depth) * np.sin(2 * np.pi * wave + 0.9) + 0.3 * near_hem
        shade = np.where(here, lit - 0.3 * (1 - noise.ramp(depth, 0.0, 0.4)), shade)
        height = np.where(here, f.period * 0.14 * fold * depth + 1.5 * near_hem, height)
        found |= here
    return Pattern(np.clip(0.5 + shade, 0, 1), height, shade + 0.04 * noise.smooth(f.rng, 2))
