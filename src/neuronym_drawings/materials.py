"""Surfaces of common materials, seen from above, in their own colours."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image

from neuronym_drawings import noise, palette
from neuronym_drawings.noise import SIZE, fbm, pick, ramp, smooth, streaks
from neuronym_drawings.textures.base import Frame, Pattern, Rendered, frame, render

#: Each draws the surface in one of its usual colours.
MATERIALS: dict[str, Callable[[np.random.Generator], Rendered]] = {}


def _material(name: str, low: float, high: float, turn: str = "none", bend: float = 0.0):
    def decorate(draw: Callable[[Frame], tuple[Pattern, list[str]]]):
        def make(rng: np.random.Generator) -> Rendered:
            pattern, colours = draw(frame(rng, low, high, turn, bend))
            table = np.stack([palette.rgb(text) for text in colours])
            at = np.clip(pattern.mix, 0, 1) * (len(table) - 1)
            first = np.minimum(at.astype(np.intp), len(table) - 2)
            rgb = table[first] + (table[first + 1] - table[first]) * (at - first)[..., None]
            lit = Pattern(pattern.mix, pattern.height, pattern.tone, rgb, pattern.gloss)
            return render(lit, table[0], table[-1], rng)

        MATERIALS[name] = make
        return draw

    return decorate


@functools.cache
def tile(name: str, variant: int) -> Image.Image:
    """One of the ready-made pictures of a material, for grounds and walls."""
    rgb = MATERIALS[name](noise.generator("tile", name, variant)).rgb
    return Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8))


#: How many ready-made pictures there are of each material.
TILES = 5


@_material("wood", 34, 80, "square")
def _wood(f: Frame) -> tuple[Pattern, list[str]]:
    row = np.floor(f.v)
    shift = noise.lookup(f.rng, row)
    seam = np.minimum(
        np.abs(f.v - np.round(f.v)), np.abs(f.u / 4 + shift - np.round(f.u / 4 + shift)) * 4
    )
    gap = 1 - ramp(seam, 0.0, 0.04)
    bent = f.v * 5 + shift * 40 + 1.1 * streaks(f.rng, 150, 26, -f.angle)
    rings = 0.5 + 0.5 * np.sin(bent * 2.5)
    grain = streaks(f.rng, 80, 1.5, -f.angle)
    mix = 0.35 + 0.22 * rings + 0.1 * grain + 0.3 * (shift - 0.5)
    colours = pick(
        f.rng,
        (
            ["3c2412", "7a4a26", "b07844"],
            ["5a3a1c", "a8743c", "d8aa6c"],
            ["6e5138", "b89468", "e6cda0"],
            ["4a2016", "8a4428", "b8683c"],
        ),
    )
    return Pattern(mix, -2 * gap + 0.3 * grain, -0.5 * gap), colours


@_material("brick", 20, 40, "none", 1.5)
def _brick(f: Frame) -> tuple[Pattern, list[str]]:
    row = np.floor(f.v)
    u = f.u / 2.2 + 0.5 * np.mod(row, 2)
    d = np.minimum(np.abs(u - np.round(u)) * 2.2, np.abs(f.v - np.round(f.v)))
    d = d + 0.02 * fbm(f.rng, 8, 3)
    body = ramp(d, 0.04, 0.1)
    tone = noise.lookup(f.rng, np.floor(u), row) - 0.5
    mix = body * (0.72 + 0.35 * tone + 0.05 * fbm(f.rng, 6, 3))
    colours = pick(
        f.rng,
        (
            ["c8bfb2", "7c3020", "b4563c"],
            ["9a948c", "8c4030", "c07850"],
            ["d8d2c8", "a06a48", "c89868"],
            ["707070", "6a241c", "a03c2c"],
        ),
    )
    mix = np.where(body > 0.5, 0.5 + 0.5 * np.clip(mix, 0, 1), mix * 0.6)
    return Pattern(mix, 3 * body + 0.7 * fbm(f.rng, 5, 3), 0.06 * fbm(f.rng, 30, 3)), colours


@_material("stone", 34, 64, "none", 4)
def _stone(f: Frame) -> tuple[Pattern, list[str]]:
    c = noise.cells(
        f.rng, f.u * 0.8 + 0.08 * fbm(f.rng, 20, 3), f.v + 0.08 * fbm(f.rng, 20, 3), 0.8
    )
    body = ramp(c.edge, 0.03, 0.16)
    mix = body * (0.3 + 0.5 * c.value) + 0.08 * fbm(f.rng, 8, 4)
    colours = pick(
        f.rng,
        (
            ["4a4640", "8c8478", "c4bcac"],
            ["3c4044", "7c8286", "b4b8b8"],
            ["4c3c2c", "94785a", "c8b08c"],
        ),
    )
    return Pattern(mix, 7 * body + 1.2 * fbm(f.rng, 9, 5), 0.05 * fbm(f.rng, 10, 4)), colours


@_material("metal", 30, 60, "any")
def _metal(f: Frame) -> tuple[Pattern, list[str]]:
    brushed = streaks(f.rng, 120, 1.2, f.angle)
    sheen = np.sin(f.u * 1.3 + 0.5 * smooth(f.rng, 90))
    scratch = (streaks(f.rng, 90, 1.6, f.angle + float(f.rng.uniform(-20, 20))) > 2.6) * 0.2
    colours = pick(
        f.rng,
        (
            ["50545a", "989ca2", "eef0f4"],
            ["5a4a20", "b8963c", "fff0b0"],
            ["5c3020", "b46c44", "ffd0a8"],
            ["30343c", "686e78", "c8ccd4"],
        ),
    )
    return Pattern(
        0.5 + 0.26 * sheen + 0.07 * brushed + scratch, 0.12 * brushed, gloss=0.1
    ), colours


@_material("fabric", 4, 9, "square", 3)
def _fabric(f: Frame) -> tuple[Pattern, list[str]]:
    # A weave one can see, in folds; plain, striped or checked.
    over = np.mod(np.floor(f.u) + np.floor(f.v), 2)
    if f.rng.random() < 0.4:
        over = f.stripes(f.u / 2 + f.v / 2, 0.5, 2)
    across = np.sqrt(np.abs(np.sin(np.pi * f.u)))
    down = np.sqrt(np.abs(np.sin(np.pi * f.v)))
    weave = np.where(over > 0.5, across, down)
    folds = streaks(f.rng, 220, f.rng.uniform(20, 60), float(f.rng.uniform(0, 180)))
    mix = 0.3 + 0.22 * weave + 0.05 * smooth(f.rng, 1.5) + 0.03 * fbm(f.rng, 40, 3)
    wide = f.rng.uniform(5, 14)
    kind = f.rng.random()
    if kind < 0.5:
        bars = f.stripes(f.u / wide, f.rng.uniform(0.2, 0.5), 4)
        if kind < 0.25:
            bars = 0.5 * (bars + f.stripes(f.v / wide, f.rng.uniform(0.2, 0.5), 4))
        mix = mix + 0.35 * bars
    base = palette.shade(f.rng, pick(f.rng, palette.BASIC))
    colours = [_hex(base * 0.45), _hex(base), _hex(base * 0.45 + 0.5)]
    return Pattern(mix, f.rng.uniform(1, 7) * folds + 0.7 * weave), colours


@_material("sand", 14, 30, "any", 9)
def _sand(f: Frame) -> tuple[Pattern, list[str]]:
    ripple = np.sin(2 * np.pi * (f.v + 0.12 * fbm(f.rng, 40, 3))) * ramp(smooth(f.rng, 90), -1, 1)
    grain = f.rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    mix = 0.5 + 0.08 * ripple + 0.09 * grain + 0.06 * fbm(f.rng, 50, 4)
    colours = pick(
        f.rng,
        (
            ["a88858", "d8bc88", "f4e2b8"],
            ["b49870", "e0cca0", "fbf0d4"],
            ["a06c40", "d09860", "ecc490"],
        ),
    )
    return Pattern(mix, 1.8 * ripple * f.rng.uniform(0.2, 1) + 0.25 * grain), colours


@_material("water", 16, 40, "none", 10)
def _water(f: Frame) -> tuple[Pattern, list[str]]:
    wave = streaks(f.rng, f.period * 2.4, f.period * 0.6) + 0.6 * streaks(f.rng, f.period, 4)
    c = 1 - np.abs(smooth(f.rng, f.period * 0.8, wide=f.period * 1.4))
    caustic = np.clip(c, 0, 1) ** 5
    colours = pick(
        f.rng,
        (
            ["0c3c5c", "2478a4", "9cdcf0"],
            ["0a4a50", "2c9098", "b4f0e8"],
            ["102848", "305c8c", "a8c8e8"],
            ["1c3c30", "4c7c68", "b8d8c4"],
        ),
    )
    return Pattern(0.35 + 0.16 * wave + 0.3 * caustic, 2.2 * wave, gloss=0.35), colours


@_material("grass", 10, 22)
def _grass(f: Frame) -> tuple[Pattern, list[str]]:
    blades = np.full((SIZE, SIZE), -9, np.float32)
    for _ in range(4):
        angle = float(f.rng.normal(90, 32))
        blades = np.maximum(
            blades, streaks(f.rng, f.period * 1.6, 1.8, angle) + 0.5 * smooth(f.rng, 9)
        )
    blades = noise.unit(blades)
    colours = pick(
        f.rng,
        (
            ["16300c", "4c8426", "b0d060"],
            ["203810", "608c30", "c4cc70"],
            ["0c3414", "2c7c30", "84c858"],
            ["3c4414", "8c9838", "d8d080"],
        ),
    )
    return Pattern(0.45 + 0.22 * blades + 0.05 * fbm(f.rng, 60, 3), 1.6 * blades), colours


@_material("gravel", 9, 20, "any")
def _gravel(f: Frame) -> tuple[Pattern, list[str]]:
    c = noise.cells(f.rng, f.u, f.v, 0.95)
    body = ramp(c.edge, 0.02, 0.35)
    mix = body * (0.35 + 0.55 * c.value) + 0.05 * fbm(f.rng, 5, 3)
    colours = pick(
        f.rng,
        (
            ["2c2a28", "808080", "d4d2cc"],
            ["342c24", "94806a", "dcccb4"],
            ["28282c", "6c7078", "c0c4c8"],
        ),
    )
    return Pattern(mix, f.period * 0.45 * body + 0.5 * fbm(f.rng, 4, 2)), colours


@_material("fur", 9, 20, "any")
def _fur(f: Frame) -> tuple[Pattern, list[str]]:
    angle = f.angle
    hair = streaks(f.rng, f.period * 2.5, 1.5, angle) + 0.8 * streaks(
        f.rng, f.period, 1.4, angle + 14
    )
    tuft = streaks(f.rng, f.period * 3, f.period * 0.9, angle)
    marks = ramp(streaks(f.rng, 50, 22, angle + 90), 0.1, 0.9) * f.rng.choice([0.0, 0.35])
    colours = pick(
        f.rng,
        (
            ["3c2814", "946838", "dcb888"],
            ["282420", "787068", "d8d0c8"],
            ["5c3010", "c07830", "f4c888"],
            ["8c8478", "dcd4c8", "ffffff"],
            ["0c0a0a", "2c2624", "6c625c"],
        ),
    )
    return Pattern(0.5 + 0.13 * hair + 0.1 * tuft - marks, 0.9 * hair + 2 * tuft), colours


@_material("leather", 4.5, 9, "any", 4)
def _leather(f: Frame) -> tuple[Pattern, list[str]]:
    c = noise.cells(f.rng, f.u + 0.2 * smooth(f.rng, 9), f.v + 0.2 * smooth(f.rng, 9), 0.9)
    body = ramp(c.edge, 0.0, 0.3)
    crease = 1 - ramp(np.abs(fbm(f.rng, 50, 3)), 0.0, 0.08)
    colours = pick(
        f.rng,
        (
            ["2c140a", "6c3a1e", "a8703c"],
            ["0c0a0a", "2a2626", "5c5450"],
            ["3c0c0c", "801c1c", "b84c3c"],
            ["4a3018", "a07440", "d8b07c"],
        ),
    )
    height = 1.5 * body + 2.5 * smooth(f.rng, 45) - 1.2 * crease
    return Pattern(
        0.3 + 0.25 * body - 0.12 * crease + 0.05 * fbm(f.rng, 50, 3), height, gloss=0.2
    ), colours


@_material("paper", 30, 60, "any")
def _paper(f: Frame) -> tuple[Pattern, list[str]]:
    ridges = sum((1 - np.abs(smooth(f.rng, f.period * k))) * k for k in (1.0, 0.5))
    crumple = ridges * 6 * f.rng.choice([0.0, 0.6, 1.0])
    fibre = smooth(f.rng, 1.6) + 0.6 * fbm(f.rng, 12, 3)
    colours = pick(
        f.rng,
        (
            ["c8c4b8", "f0eee6", "ffffff"],
            ["a88c5c", "d8c090", "f4e4c0"],
            ["8c6a44", "b89468", "d8b890"],
            ["b8c4cc", "e4ecf0", "ffffff"],
        ),
    )
    return Pattern(0.5 + 0.06 * fibre, crumple + 0.15 * fibre), colours


@_material("tile", 30, 70, "square")
def _tile(f: Frame) -> tuple[Pattern, list[str]]:
    d = np.minimum(np.abs(f.u - np.round(f.u)), np.abs(f.v - np.round(f.v)))
    body = ramp(d, 0.025, 0.06)
    tone = noise.lookup(f.rng, np.floor(f.u), np.floor(f.v)) - 0.5
    base = palette.shade(
        f.rng, pick(f.rng, ("white", "blue", "green", "grey", "brown", "white", "orange"))
    )
    colours = [_hex(np.array([0.55, 0.54, 0.52])), _hex(base * 0.8), _hex(base * 0.75 + 0.25)]
    mix = body * (0.7 + 0.3 * tone + 0.03 * fbm(f.rng, 30, 4))
    return Pattern(mix, 2.5 * body + 0.8 * smooth(f.rng, 60), gloss=0.3), colours


@_material("concrete", 40, 80)
def _concrete(f: Frame) -> tuple[Pattern, list[str]]:
    stain = fbm(f.rng, 70, 5, rough=0.65)
    pores = noise.cells(f.rng, f.u * 5, f.v * 5, 0.95)
    hole = (1 - ramp(pores.near, 0.06, 0.16)) * (pores.value > 0.75)
    colours = pick(f.rng, (["5c5c5a", "9a9892", "c8c6c0"], ["545860", "8c9094", "bcc0c4"]))
    return Pattern(0.5 + 0.1 * stain - 0.3 * hole, 0.6 * fbm(f.rng, 6, 3) - 2 * hole), colours


@_material("foliage", 13, 28, "any")
def _foliage(f: Frame) -> tuple[Pattern, list[str]]:
    light, height = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.float32)
    for layer, scale in enumerate((1.25, 1.0, 0.8)):
        c = noise.cells(f.rng, f.u * scale, f.v * scale, 0.95)
        a = c.value * 40
        along, across = c.x * np.cos(a) + c.y * np.sin(a), c.y * np.cos(a) - c.x * np.sin(a)
        inside = f.near(np.abs(across), 0.3 * np.sqrt(np.clip(1 - (along / 0.62) ** 2, 0, 1)), 1.5)
        inside = inside * (np.abs(along) < 0.62)
        rib = 1 - ramp(np.abs(across), 0.0, 0.05)
        leaf = 0.3 + 0.18 * layer + 0.25 * c.value + 0.12 * rib
        light += (leaf - light) * inside
        height += (-np.abs(across) * f.period * 0.7 - height) * inside
    colours = pick(
        f.rng,
        (
            ["081808", "2c6c20", "9cd050"],
            ["0c1c10", "3c7c3c", "b0d890"],
            ["101808", "6c8c20", "d8d860"],
            ["241008", "a84c18", "f0b040"],
        ),
    )
    return Pattern(light, height, 0.08 * fbm(f.rng, 40, 3)), colours


@_material("bark", 12, 24)
def _bark(f: Frame) -> tuple[Pattern, list[str]]:
    u = f.u * 0.85 + 0.3 * streaks(f.rng, 40, 14, 90)
    c = noise.cells(f.rng, u, f.v * 0.28, 0.95)
    body = ramp(c.edge, 0.03, 0.3)
    rough = streaks(f.rng, 18, 2, 90)
    mix = 0.25 + 0.4 * body * (0.6 + 0.5 * c.value) + 0.08 * rough
    colours = pick(
        f.rng,
        (
            ["1c120c", "5c4030", "9c8068"],
            ["181614", "4c4640", "8c8478"],
            ["2c1c10", "7c5434", "b89068"],
        ),
    )
    return Pattern(mix, f.period * 0.4 * body + 1.0 * rough), colours


@_material("snow", 30, 60)
def _snow(f: Frame) -> tuple[Pattern, list[str]]:
    # Soft drifts with blue shade, fine grains that glitter, and perhaps a trail of steps.
    drift = smooth(f.rng, f.rng.uniform(50, 110), wide=f.rng.uniform(80, 200))
    grain = f.rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    glint = (f.rng.random((SIZE, SIZE), dtype=np.float32) > 0.985) * 0.35
    steps = np.zeros((SIZE, SIZE), np.float32)
    if f.rng.random() < 0.35:
        v = f.v / 1.5
        row = np.floor(v)
        side = np.where(np.mod(row, 2) < 1, 0.35, -0.35)
        middle = float(f.u.mean()) + f.rng.uniform(-1, 1)
        r = np.hypot((f.u - middle - side) * 2.2, v - row - 0.5)
        steps = 1 - ramp(r, 0.3, 0.48)
    colours = ["7c94c0", "ccdaec", "fafcff"]
    mix = 0.6 + 0.12 * drift + 0.05 * grain + glint - 0.3 * steps
    return Pattern(mix, 4.5 * drift + 0.35 * grain - 6 * steps), colours


@_material("rust", 24, 50)
def _rust(f: Frame) -> tuple[Pattern, list[str]]:
    # Paint or bare iron, from which rust eats away and runs down.
    field = fbm(f.rng, f.period, 5, rough=0.65)
    field = field + f.rng.uniform(0, 0.7) * streaks(f.rng, 110, 9, 90)
    scab = ramp(noise.unit(field), -1.2 + f.rng.uniform(0, 1.2), 0.7)
    flake = fbm(f.rng, 8, 4, rough=0.7)
    rusty = pick(f.rng, (["8c4a20", "c47430"], ["6c3418", "a85c2c"], ["74402a", "b0683c"]))
    left = pick(f.rng, ("6c7478", "9c988c", "54504c", "5c7486", "b8b4a4", "6c7c6c", "8c3c34"))
    height = 2.2 * scab + 0.9 * flake * scab
    return Pattern(scab * (0.75 + 0.12 * flake), height, 0.05 * flake), [left, *rusty]


def _hex(colour: np.ndarray) -> str:
    return "".join(f"{round(float(c) * 255):02x}" for c in np.clip(colour, 0, 1))
