"""Seas, mountains, forests, deserts."""

from __future__ import annotations

import numpy as np

from neuronym_drawings import backdrops, palette, places
from neuronym_drawings.canvas import Canvas
from neuronym_drawings.compose import put
from neuronym_drawings.noise import SIZE, fbm, pick, ramp, smooth, streaks
from neuronym_drawings.scenes.base import hills, scene, some


@scene("beach", "sky, sea, sand, palm, umbrella")
def beach(c: Canvas) -> None:
    places.sky(c, "day")
    y = SIZE * c.rng.uniform(0.34, 0.46)
    places.sea(c, y)
    _shore(c, y + SIZE * c.rng.uniform(0.12, 0.22))
    some(c, "palm", (1, 2), (0.1, 0.9), (0.62, 0.9), (34, 62))
    some(c, "umbrella", (1, 2), (0.15, 0.85), (0.72, 0.8), (18, 30), 0.0)


def _shore(c: Canvas, y: float) -> None:
    """Sand in front of the sea, with a seam of foam."""
    before, owner = c.rgb.copy(), c.owner.copy()
    places.ground(c, y, "sand", "sand")
    line = y + 9 * smooth(c.rng, 50)[:1] + 12
    rows = np.arange(SIZE, dtype=np.float32)[:, None]
    sea = rows < line
    c.rgb[sea], c.owner[sea] = before[sea], owner[sea]
    foam = np.exp(-(((rows - line + 2) / 2.5) ** 2)) * ramp(smooth(c.rng, 6), -1.5, 0.5)
    c.rgb += (np.float32(0.97) - c.rgb) * foam[..., None]
    c.rgb *= 1 - 0.22 * np.exp(-(((rows - line - 7) / 6) ** 2))[..., None]


@scene("sea", "sky, sea, boat")
def open_sea(c: Canvas) -> None:
    kind = pick(c.rng, ("day", "grey", "day"))
    places.sky(c, kind)
    y = SIZE * c.rng.uniform(0.42, 0.6)
    places.sea(c, y, kind)
    some(c, "boat", (1, 3), (0.1, 0.9), (y / SIZE + 0.03, y / SIZE + 0.16), (12, 32), 0.25)


@scene("sunset", "sky, sun, sea")
def sunset(c: Canvas) -> None:
    places.sky(c, "sunset", c.rng.uniform(0.1, 0.45))
    y = SIZE * c.rng.uniform(0.58, 0.7)
    x = SIZE * c.rng.uniform(0.3, 0.7)
    r = c.rng.uniform(12, 22)
    t = np.linspace(0, 2 * np.pi, 40)
    at = (x, y - r * c.rng.uniform(0.2, 1.2))
    for k, alpha in ((4.5, 0.12), (3.0, 0.15), (1.8, 0.22)):
        c.fill(
            [np.stack([at[0] + k * r * np.cos(t), at[1] + k * r * np.sin(t)], 1)],
            palette.rgb("ffc878"),
            None,
            "flat",
            alpha=alpha,
            rough=0,
        )
    c.blur(2.5)
    c.fill(
        [np.stack([at[0] + r * np.cos(t), at[1] + r * np.sin(t)], 1)],
        palette.rgb("fff0b8"),
        places.objects("sun")[0],
        "flat",
    )
    places.sea(c, y, "sunset")
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    path = np.exp(-(((columns - x) / (8 + 0.35 * (rows - y))) ** 2)) * (rows > y)
    c.rgb += (
        (path * np.clip(0.5 + 0.5 * smooth(c.rng, 2.5, wide=14), 0, 1))[..., None]
        * palette.rgb("ffb060")
        * 0.75
    )


@scene("mountains", "sky, mountain, pine, grass")
def mountains(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "day", "sunset", "grey")))
    hills(c, 0.4, 2, ("a0b4cc", "7c94b0"), 34, "mountain", 0.6)
    for _ in range(2):
        put(
            c,
            "mountain",
            SIZE * c.rng.uniform(0.2, 0.8),
            SIZE * 0.55,
            c.rng.uniform(70, 100),
            pick(c.rng, ("grey", "brown")),
            0,
            notes="name",
        )
    y = SIZE * c.rng.uniform(0.68, 0.76)
    places.ground(c, y, "grass", "grass")
    some(c, "pine", (4, 8), (0.0, 1.0), (0.72, 0.95), (14, 38))


@scene("hills", "sky, hill, tree")
def rolling_hills(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "grey", "sunset")))
    hills(
        c,
        c.rng.uniform(0.5, 0.6),
        4,
        pick(c.rng, (("8cb0a4", "4c8430"), ("a4bc8c", "6c8c2c"), ("98a8b8", "3c6c34"))),
        26,
        "hill",
        0.2,
    )
    some(c, "tree", (2, 5), (0.0, 1.0), (0.78, 0.98), (14, 36))


@scene("field", "sky, field, tree")
def field(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "day", "sunset")))
    y = SIZE * c.rng.uniform(0.45, 0.58)
    places.treeline(c, y, 14)
    tint = palette.rgb(pick(c.rng, ("d8b448", "c8a040", "8cac3c", "e0d050", "a8944c", "b07cc0")))
    rows = np.arange(SIZE, dtype=np.float32)[:, None] - y + 3
    columns = np.arange(SIZE, dtype=np.float32)[None, :]
    centre = SIZE * c.rng.uniform(0.2, 0.8)
    furrow = np.sin((columns - centre) / np.maximum(rows, 1) * c.rng.uniform(14, 26))
    light = (
        1
        + 0.16 * furrow * np.clip(rows / 30, 0, 1)
        + 0.12 * streaks(c.rng, 7, 2, 90) * np.clip(rows / 60, 0.1, 1)
    )
    where = np.clip(rows - 2.5, 0, 1) * np.ones_like(columns)
    c.cover(tint * light[..., None], places.objects("field")[0], where)
    some(c, "tree", (1, 2), (0.1, 0.9), (y / SIZE + 0.02, y / SIZE + 0.06), (18, 30))


@scene("forest", "trunk, foliage, ground")
def forest(c: Canvas) -> None:
    places.bokeh(
        c,
        pick(
            c.rng,
            (
                ("3c5c2c", "8cac5c", "5c8040", "c8d898"),
                ("6c5c2c", "c8944c", "8c6c30", "e8c070"),
                ("2c4c44", "8cacA0", "4c7464", "c0d4c8"),
            ),
        ),
        10,
    )
    c.own(np.ones((SIZE, SIZE), bool), places.objects("foliage")[0])
    y = SIZE * c.rng.uniform(0.66, 0.78)
    places.ground(c, y, pick(c.rng, ("grass", "foliage", "bark")), "ground", haze=0.4)
    bark = palette.rgb(pick(c.rng, ("4c3828", "5c4838", "3c3430", "c8c4b8")))
    light = palette.rgb(pick(c.rng, ("a8b890", "b8b088")))
    notes = places.objects("trunk")[0]
    for layer in range(3):
        for _ in range((9, 6, 3)[layer]):
            x, w = c.rng.uniform(-5, SIZE + 5), (3, 7, 14)[layer] * c.rng.uniform(0.7, 1.3)
            foot = y + (2, 14, 34)[layer] * c.rng.uniform(0.6, 1.4)
            lean = c.rng.uniform(-8, 8)
            shape = np.array(
                [
                    (x - w + lean, -5),
                    (x + w + lean, -5),
                    (x + w * 1.1, foot - 8),
                    (x + w * 1.7, foot),
                    (x - w * 1.7, foot),
                    (x - w * 1.1, foot - 8),
                ]
            )
            tint = bark + (light - bark) * (0.55, 0.25, 0.0)[layer]
            c.fill([shape], tint, notes, "upright", grain="leaf", rough=0.16)
    for k in range(16):
        crown = palette.rgb(pick(c.rng, ("3c7030", "5c8c3c", "2c5828")))
        x, yy, r = c.rng.uniform(0, SIZE), c.rng.uniform(-8, 26), c.rng.uniform(10, 26)
        t = np.linspace(0, 2 * np.pi, 14)
        blob = np.stack([x + r * 1.3 * np.cos(t), yy + r * np.sin(t)], 1)
        c.fill(
            [blob],
            crown * (0.7 + 0.03 * k),
            places.objects("foliage")[0],
            grain="leaf",
            rough=0.3,
        )


@scene("desert", "sky, sand, cactus")
def desert(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "sunset")), c.rng.uniform(0, 0.2))
    y = SIZE * c.rng.uniform(0.48, 0.6)
    hills(c, y / SIZE - 0.05, 3, ("d0a880", "c08048"), 20, "sand", 0.15)
    places.ground(c, y + 14, "sand", "sand")
    some(c, "cactus", (2, 4), (0.05, 0.95), (0.7, 0.95), (14, 40))


@scene("snow", "sky, snow, pine, house")
def snowfield(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "grey")))
    y = SIZE * c.rng.uniform(0.5, 0.6)
    hills(c, y / SIZE - 0.05, 2, ("b8c8dc", "dce6f0"), 22, "snow", 0.4)
    places.ground(c, y, "snow", "snow")
    some(c, "pine", (4, 7), (0.0, 1.0), (0.62, 0.8), (14, 34), 0.2)
    put(
        c,
        "house",
        SIZE * c.rng.uniform(0.25, 0.75),
        SIZE * 0.82,
        c.rng.uniform(26, 38),
        shadow=0.2,
        notes="name",
    )
    flakes = (c.rng.random((SIZE, SIZE), dtype=np.float32) > 0.9975).astype(np.float32)
    flakes = np.maximum(flakes, np.maximum(np.roll(flakes, 1, 0), np.roll(flakes, 1, 1)))
    c.rgb += (1 - c.rgb) * (flakes * c.rng.choice([0.0, 0.85]))[..., None]


@scene("night", "sky, moon, hill")
def night(c: Canvas) -> None:
    places.sky(c, "night")
    put(
        c,
        "moon",
        SIZE * c.rng.uniform(0.25, 0.75),
        SIZE * c.rng.uniform(0.2, 0.4),
        c.rng.uniform(14, 26),
        "white",
        0,
        notes="name",
    )
    hills(c, c.rng.uniform(0.76, 0.84), 2, ("141c2c", "080c12"), 26, "hill")


@scene("storm", "sky, sea, lightning")
def storm(c: Canvas) -> None:
    places.sky(c, "storm")
    for _ in range(int(c.rng.integers(1, 4))):
        size = SIZE * c.rng.uniform(0.2, 0.36)
        x, tint = SIZE * c.rng.uniform(0.15, 0.85), pick(c.rng, ("white", "white", "yellow"))
        turn = c.rng.uniform(-20, 20)
        put(c, "lightning", x, size, size, tint, 0, turn, c.rng.random() < 0.5, notes="name")
    places.sea(c, SIZE * c.rng.uniform(0.55, 0.75), "storm")


@scene("river", "sky, grass, river, tree")
def river(c: Canvas) -> None:
    places.sky(c, "day")
    y = SIZE * c.rng.uniform(0.4, 0.5)
    hills(c, y / SIZE - 0.02, 2, ("8ca8b0", "6c9470"), 18, "")
    places.ground(c, y, "grass", "grass")
    _winding(c, y, "river")
    some(c, "tree", (3, 6), (0.0, 0.3), (0.52, 0.8), (14, 34))
    some(c, "tree", (2, 5), (0.75, 1.0), (0.52, 0.8), (14, 34))


def _winding(c: Canvas, y: float, name: str) -> None:
    before, owner = c.rgb.copy(), c.owner.copy()
    places.sea(c, y, name=name)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    t = np.clip((rows - y) / (SIZE - y), 0, 1)
    centre = SIZE * (0.52 + 0.16 * np.sin(7 * t**0.6 + c.rng.uniform(0, 6)) * (0.25 + t))
    dry = np.abs(columns - centre) > 4 + SIZE * c.rng.uniform(0.2, 0.32) * t
    c.rgb[dry], c.owner[dry] = before[dry], owner[dry]


@scene("lake", "sky, mountain, lake, tree")
def lake(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "sunset")))
    hills(
        c, 0.42, 3, pick(c.rng, (("a0b0c4", "5c7c70"), ("8c9cb8", "4c5c6c"))), 34, "mountain", 0.5
    )
    y = SIZE * c.rng.uniform(0.56, 0.62)
    places.sea(c, y, name="lake")
    top = round(y)
    mirrored = c.rgb[:top][::-1][: SIZE - top]
    high = mirrored.shape[0]
    c.rgb[top : top + high] = c.rgb[top : top + high] * 0.5 + mirrored * 0.45
    some(c, "tree", (2, 4), (0.0, 1.0), (y / SIZE + 0.01, y / SIZE + 0.03), (12, 20), 0)
    some(c, "tree", (1, 1), (0.0, 0.2), (0.98, 1.0), (46, 60), 0)


@scene("waterfall", "rock, waterfall, water, foliage")
def waterfall(c: Canvas) -> None:
    middle = SIZE * c.rng.uniform(0.25, 0.75)
    grain = fbm(c.rng, 30, 5, rough=0.6) + 0.6 * streaks(c.rng, 50, 12, 90)
    tint = palette.rgb(pick(c.rng, ("5c5850", "4c5450", "6c6054")))
    c.cover(tint * (1 + 0.22 * grain)[..., None], places.objects("rock")[0])
    for _ in range(30):
        x, y, r = (
            c.rng.uniform(0, SIZE),
            c.rng.choice([c.rng.uniform(-5, 40), c.rng.uniform(0, 150)]),
            c.rng.uniform(8, 20),
        )
        if abs(x - middle) > 45 or y < 18:
            t = np.linspace(0, 2 * np.pi, 14)
            c.fill(
                [np.stack([x + r * np.cos(t), y + r * np.sin(t)], 1)],
                palette.rgb(pick(c.rng, ("3c6c30", "4c7c38", "2c5828"))),
                places.objects("foliage")[0],
                grain="leaf",
                rough=0.3,
            )
    wide = c.rng.uniform(12, 60)
    columns = np.arange(SIZE, dtype=np.float32)[None, :]
    rows = np.arange(SIZE, dtype=np.float32)[:, None]
    edge = wide * (1 + 0.25 * rows / SIZE) + 5 * smooth(c.rng, 12, wide=400)
    fall = np.clip((edge - np.abs(columns - middle + 4 * smooth(c.rng, 60))) / 5, 0, 1) * (
        rows > c.rng.uniform(6, 60)
    )
    white = 0.82 + 0.1 * streaks(c.rng, 90, 2.2, 90) + 0.05 * streaks(c.rng, 40, 6, 90)
    c.cover(
        np.stack([white * 0.95, white * 0.98, white], -1),
        places.objects("waterfall")[0],
        fall.astype(np.float32),
    )
    y = SIZE * c.rng.uniform(0.68, 0.86)
    places.sea(c, y, "day", "water")
    mist = np.exp(-(((rows - y) / 16) ** 2) - ((columns - middle) / (wide * 2)) ** 2)
    c.rgb += (np.float32(0.95) - c.rgb) * (0.85 * mist)[..., None]


@scene("underwater", "water, fish, coral, sand")
def underwater(c: Canvas) -> None:
    backdrops.underwater(c)
    places.ground(c, SIZE * c.rng.uniform(0.8, 0.86), "sand", "sand", haze=0.5)
    c.rgb *= np.array([0.72, 0.95, 1.05], np.float32)
    for _ in range(int(c.rng.integers(4, 8))):
        x, y = SIZE * c.rng.random(), SIZE * c.rng.uniform(0.86, 0.98)
        tint = (
            palette.shade(c.rng, pick(c.rng, ("pink", "orange", "red", "purple", "yellow"))) * 0.9
        )
        for _ in range(9):
            a, long = c.rng.uniform(-2.5, -0.6), c.rng.uniform(14, 40)
            t = np.linspace(0, 1, 6)
            stem = np.stack(
                [x + long * t * np.cos(a) + 4 * np.sin(5 * t), y + long * t * np.sin(a)], 1
            )
            side = np.array([3.2, 0]) * (1 - 0.5 * t)[:, None]
            c.fill(
                [np.concatenate([stem - side, (stem + side)[::-1]])],
                tint * c.rng.uniform(0.7, 1.1),
                places.objects("coral")[0],
                grain="stone",
                rough=0.15,
            )
    some(c, "fish", (3, 6), (0.12, 0.88), (0.15, 0.7), (16, 34), 0)
