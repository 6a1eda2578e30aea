"""Towns, roads, gardens and farms."""

from __future__ import annotations

import numpy as np

from neuronym_drawings import places
from neuronym_drawings.canvas import Canvas
from neuronym_drawings.compose import put
from neuronym_drawings.noise import SIZE, pick, streaks
from neuronym_drawings.scenes.base import hills, scene, some


@scene("city", "sky, building")
def city(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "sunset", "grey")))
    places.skyline(c, SIZE * 0.86, SIZE * 0.55)
    places.skyline(c, SIZE * 1.05, SIZE * 0.62)


@scene("city at night", "sky, building")
def city_night(c: Canvas) -> None:
    places.sky(c, "night")
    places.skyline(c, SIZE * 0.9, SIZE * 0.7, night=True)
    places.skyline(c, SIZE * 1.04, SIZE * 0.5, night=True, lit=0.55)


@scene("street", "sky, building, road, car, lamp post, person")
def street(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "grey")))
    y = SIZE * c.rng.uniform(0.52, 0.6)
    places.skyline(c, y + 4, SIZE * 0.5)
    places.ground(c, y, "concrete", "")
    places.road(c, y)
    some(c, "lamp post", (1, 2), (0.06, 0.2), (0.72, 0.88), (34, 56), 0.2)
    some(c, "person", (1, 3), (0.78, 0.96), (0.72, 0.95), (18, 36))
    put(
        c,
        "car",
        SIZE * c.rng.uniform(0.42, 0.6),
        SIZE * c.rng.uniform(0.72, 0.86),
        c.rng.uniform(26, 42),
        flip=c.rng.random() < 0.5,
        notes="name",
    )


@scene("highway", "sky, grass, road, car")
def highway(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "sunset", "grey")))
    y = SIZE * c.rng.uniform(0.42, 0.55)
    hills(c, y / SIZE - 0.02, 2, ("8c9cac", "6c8c6c"), 18, "")
    places.ground(c, y, pick(c.rng, ("grass", "grass", "sand")), "grass")
    places.road(c, y)
    put(
        c,
        "car",
        SIZE * c.rng.uniform(0.46, 0.56),
        y + SIZE * 0.22,
        c.rng.uniform(15, 22),
        notes="name",
    )


@scene("rain", "sky, building, road, umbrella")
def rain(c: Canvas) -> None:
    places.sky(c, "grey")
    y = SIZE * c.rng.uniform(0.58, 0.66)
    places.skyline(c, y, SIZE * 0.5)
    c.blur(1.6)
    places.ground(c, y, "concrete", "road")
    mirrored = c.rgb[: round(y)][::-1][: SIZE - round(y)]
    c.rgb[round(y) :] = c.rgb[round(y) :] * 0.45 + 0.45 * mirrored
    c.rgb *= np.array([0.72, 0.78, 0.86], np.float32)
    some(c, "umbrella", (1, 3), (0.15, 0.85), (0.55, 0.72), (24, 44), 0)
    drops = streaks(c.rng, 26, 1.1, 90 + c.rng.uniform(-14, 14))
    c.rgb += (0.22 * np.clip(drops - 1.6, 0, 1.5))[..., None]


@scene("garden", "sky, grass, flower, fence, tree")
def garden(c: Canvas) -> None:
    places.sky(c, "day")
    y = SIZE * c.rng.uniform(0.46, 0.54)
    places.treeline(c, y, 24)
    places.ground(c, y, "grass", "grass")
    some(c, "tree", (1, 2), (0.1, 0.9), (0.58, 0.66), (34, 46))
    for x in (0.17, 0.5, 0.83):
        put(c, "fence", SIZE * x, SIZE * 0.68, 34, "white", notes="name")
    some(c, "flower", (6, 11), (0.02, 0.98), (0.8, 1.04), (14, 28), 0)


@scene("park", "sky, grass, bench, tree, person")
def park(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "grey")))
    y = SIZE * c.rng.uniform(0.48, 0.56)
    places.treeline(c, y, 26)
    places.ground(c, y, "grass", "grass")
    some(c, "tree", (2, 4), (0.0, 1.0), (0.6, 0.76), (34, 60))
    put(
        c,
        "bench",
        SIZE * c.rng.uniform(0.25, 0.5),
        SIZE * 0.88,
        c.rng.uniform(30, 42),
        notes="name",
    )
    put(
        c,
        "person",
        SIZE * c.rng.uniform(0.7, 0.86),
        SIZE * 0.92,
        c.rng.uniform(30, 42),
        notes="name",
    )


@scene("farm", "sky, grass, house, cow, fence, tree")
def farm(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "grey")))
    y = SIZE * c.rng.uniform(0.44, 0.52)
    hills(c, y / SIZE - 0.02, 2, ("98b0a0", "6c9458"), 14, "")
    places.ground(c, y, "grass", "grass")
    some(c, "tree", (1, 3), (0.6, 1.0), (0.54, 0.6), (18, 28))
    put(
        c,
        "house",
        SIZE * c.rng.uniform(0.18, 0.4),
        SIZE * 0.62,
        c.rng.uniform(32, 44),
        "red",
        notes="name",
    )
    some(c, "cow", (2, 3), (0.2, 0.95), (0.68, 0.84), (20, 32))
    for x in (0.17, 0.5, 0.83):
        put(c, "fence", SIZE * x, SIZE * 0.99, 36, "brown", notes="name")


@scene("harbor", "sky, sea, boat, ship, lighthouse")
def harbor(c: Canvas) -> None:
    kind = pick(c.rng, ("day", "sunset", "grey"))
    places.sky(c, kind)
    y = SIZE * c.rng.uniform(0.46, 0.54)
    hills(c, y / SIZE - 0.01, 1, ("8c9cac", "7c8c98"), 10, "")
    places.sea(c, y, kind)
    put(
        c,
        "lighthouse",
        SIZE * c.rng.uniform(0.1, 0.2),
        y + 12,
        c.rng.uniform(34, 46),
        "red",
        0.2,
        notes="name",
    )
    put(
        c,
        "ship",
        SIZE * c.rng.uniform(0.5, 0.8),
        y + SIZE * 0.13,
        c.rng.uniform(30, 44),
        shadow=0.25,
        notes="name",
    )
    some(c, "boat", (2, 4), (0.05, 0.95), (0.82, 0.97), (16, 30), 0.25)


@scene("balloon festival", "sky, hill, balloon")
def festival(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "sunset")))
    hills(c, 0.86, 2, ("8cac9c", "5c8448"), 14, "hill")
    some(c, "balloon", (4, 7), (0.06, 0.94), (0.16, 0.6), (14, 40), 0)


@scene("orchard", "sky, grass, tree, apple, basket")
def orchard(c: Canvas) -> None:
    places.sky(c, "day")
    y = SIZE * 0.5
    places.ground(c, y, "grass", "grass")
    for row, (scale, at) in enumerate(((22, 0.56), (36, 0.7), (60, 0.92))):
        for x in np.arange(0.1, 1.0, (0.2, 0.34, 0.62)[row]):
            put(
                c,
                "tree",
                SIZE * (x + c.rng.uniform(-0.03, 0.03)),
                SIZE * at,
                scale,
                "green",
                notes="name",
            )
    some(c, "apple", (8, 13), (0.04, 0.9), (0.54, 0.7), (4, 6), 0)
    put(c, "basket", SIZE * c.rng.uniform(0.4, 0.6), SIZE * 0.96, 26, "brown", notes="name")


@scene("railway", "sky, grass, train, pine")
def railway(c: Canvas) -> None:
    places.sky(c, pick(c.rng, ("day", "grey", "sunset")))
    hills(c, 0.45, 3, ("a0b4c8", "5c8464"), 24, "")
    places.ground(c, SIZE * 0.6, "grass", "grass")
    some(c, "pine", (4, 7), (0.0, 1.0), (0.62, 0.68), (20, 34))
    put(
        c,
        "train",
        SIZE * c.rng.uniform(0.42, 0.58),
        SIZE * 0.88,
        c.rng.uniform(66, 84),
        flip=c.rng.random() < 0.5,
        notes="name",
    )
