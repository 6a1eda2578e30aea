"""Plants and things of the sky."""

from __future__ import annotations

import numpy as np

from neuronym_drawings.things.base import Pen, ellipse, mirror, star, thing

LEAF = ("2c5c20", "3c7c2c", "4c8c38", "58803c", "2a6c3c")


@thing(
    "tree",
    "trunk crown",
    "green green green orange yellow",
    "lawn snow road",
    size=(86, 108),
    turn=2,
)
def tree(p: Pen) -> None:
    bark = p.any("5c4030", "6e5440", "4c3a2c")
    p.poly(
        "-.09,.95 -.06,.1 -.3,-.3 -.22,-.34 0,-.02 .24,-.36 .3,-.32 .07,.1 .1,.95",
        bark,
        "trunk",
        shade="upright",
        grain="wood",
        rough=0.16,
    )
    for _ in range(26):
        a, r = p.rng.uniform(0, 2 * np.pi), np.sqrt(p.rng.random())
        x, y = 0.58 * r * np.cos(a), -0.42 + 0.38 * r * np.sin(a)
        p.oval(
            x,
            y,
            p.rng.uniform(0.14, 0.26),
            p.rng.uniform(0.12, 0.2),
            None,
            "crown",
            tone=p.rng.uniform(0.62, 1.1) - 0.22 * (y + 0.4),
            grain="leaf",
            rough=0.28,
        )


@thing("pine", "trunk", "green", "lawn snow", size=(86, 108), turn=2)
def pine(p: Pen) -> None:
    p.box(-0.06, 0.6, 0.06, 0.95, "4c3626", "trunk", shade="upright", grain="wood", rough=0.1)
    layers = p.any(6, 7, 8)
    for k in range(layers, 0, -1):
        top, wide = -1 + 1.5 * (k - 1) / layers, 0.1 + 0.5 * k / layers
        drop = top + 0.52
        xs = np.linspace(-wide, wide, 11)
        hem = [(x, drop + (0.05 if i % 2 else -0.02) - 0.1 * abs(x)) for i, x in enumerate(xs)]
        p.poly(
            [(0, top), *hem[::-1]], None, grain="leaf", rough=0.3, tone=0.7 + 0.05 * (layers - k)
        )


@thing("palm", "trunk leaf", "green", "sand sea", size=(86, 106))
def palm(p: Pen) -> None:
    p.line("-.12,.97 -.1,.5 0,0 .12,-.4", 0.15, "8c6c48", "trunk", taper=0.6, shade="upright")
    for t in np.linspace(0.1, 0.95, 9):
        x, y = -0.12 + 0.24 * t**1.4, 0.95 - 1.3 * t
        p.line(
            [(x - 0.06 + 0.02 * t, y), (x + 0.06 - 0.02 * t, y - 0.03)], 0.018, "5c4430", "trunk"
        )
    for a in (-2.9, -2.3, -1.75, -1.2, -0.6, -0.1, 0.35, 2.75):
        dx, dy = np.cos(a), np.sin(a)
        tip = (0.12 + 0.72 * dx, -0.42 + 0.48 * dy + 0.28)
        middle = (0.12 + 0.42 * dx, -0.42 + 0.5 * dy - 0.05)
        p.line(
            [(0.12, -0.42), middle, tip],
            0.15,
            None,
            "leaf",
            taper=0.12,
            grain="leaf",
            rough=0.3,
            tone=p.rng.uniform(0.75, 1.1),
        )


@thing(
    "flower",
    "petal stem leaf",
    "red yellow purple pink white orange blue",
    "garden garden studio lawn",
    size=(84, 106),
    turn=8,
)
def flower(p: Pen) -> None:
    p.line("0,-.2 .04,.3 -.02,1.3", 0.07, "4c7c2c", "stem", shade="upright")
    p.blob("0,.62 .3,.4 .56,.44 .34,.64", "3c7c2c", "leaf")
    p.blob(mirror("0,.8 .26,.55 .5,.54 .3,.78"), "4c8c34", "leaf")
    count = p.any(5, 6, 8, 11, 14)
    long = p.any(0.3, 0.34)
    for a in np.arange(count) * 2 * np.pi / count + 0.2:
        p.oval(
            0.34 * np.cos(a),
            -0.35 + 0.34 * np.sin(a),
            long,
            min(0.22, 1.35 / count + 0.04),
            None,
            "petal",
            turn=np.degrees(a),
            tone=p.rng.uniform(0.88, 1.08),
            strength=1.5,
        )
    p.oval(
        0,
        -0.35,
        0.17,
        0.17,
        p.any("f0c020", "8c5a1c", "e8b020"),
        shade="sphere",
        grain="stone",
        rough=0.25,
    )


@thing("sunflower", "petal", "yellow", "garden sky", foot=None, size=(84, 104), turn=40)
def sunflower(p: Pen) -> None:
    for ring, (count, radius) in enumerate(((20, 0.66), (17, 0.58))):
        for a in np.arange(count) * 2 * np.pi / count + ring * 0.15:
            p.oval(
                radius * np.cos(a),
                radius * np.sin(a),
                0.3,
                0.1,
                None,
                "petal",
                turn=np.degrees(a),
                tone=p.rng.uniform(0.82, 1.0),
                strength=1.6,
            )
    p.oval(0, 0, 0.46, 0.46, "4a2c14", shade="sphere", grain="stone", rough=0.3)
    for k in range(90):
        r, a = 0.045 * np.sqrt(k + 1), k * 2.39996
        p.oval(r * np.cos(a), r * np.sin(a), 0.02, 0.02, p.any("7a4a1c", "2c1a0c"), rough=0)


@thing(
    "leaf",
    "vein stem",
    "green green yellow orange red brown",
    "surface studio blur",
    foot=None,
    size=(84, 104),
    turn=180,
)
def leaf(p: Pen) -> None:
    p.line("0,.7 .05,1", 0.05, "6c7c3c", "stem")
    p.blob("0,-.98 .28,-.6 .5,-.1 .42,.36 0,.74 -.42,.36 -.5,-.1 -.28,-.6", grain="leaf", rough=0.1)
    p.line("0,-.95 0,.74", 0.035, "d8e0a0", "vein", taper=1.3)
    for y in np.arange(-0.6, 0.6, 0.2):
        wide = 0.42 * (1 - ((y - 0.02) / 1.0) ** 2) * 0.9
        for s in (-1, 1):
            p.line(
                [(0, y + 0.12), (s * wide * 0.6, y + 0.02), (s * wide, y - 0.12)],
                0.018,
                "c8d490",
                "vein",
            )


@thing("mushroom", "cap stem", "red brown orange white yellow", "garden lawn", size=(78, 100))
def mushroom(p: Pen) -> None:
    p.blob("-.18,.95 -.2,.5 -.14,0 .14,0 .2,.5 .22,.95", "f0e8d4", "stem", shade="upright")
    p.blob("-.3,.22 0,.14 .3,.22 .12,.32 -.12,.32", "e4d8c0", "stem")
    p.blob("-.86,.1 -.7,-.4 -.3,-.76 .3,-.76 .7,-.4 .86,.1 .4,.2 -.4,.2", None, "cap", gloss=0.3)
    if p.term in ("red", "orange"):
        for x, y, r in (
            (-0.5, -0.18, 0.1),
            (-0.2, -0.5, 0.12),
            (0.2, -0.2, 0.13),
            (0.55, -0.12, 0.09),
            (0.36, -0.55, 0.09),
            (-0.12, 0.02, 0.07),
        ):
            p.oval(x, y, r, r * 0.8, "f8f4e8", "cap")


@thing("cactus", "arm", "green", "sand", size=(82, 104))
def cactus(p: Pen) -> None:
    for s, y in ((-1, 0.25), (1, 0.0)):
        p.line(
            [(0, y), (s * 0.45, y), (s * 0.5, y - 0.2), (s * 0.5, y - 0.5)],
            0.24,
            None,
            "arm",
            shade="upright",
            tone=0.95,
        )
    p.box(-0.22, -0.95, 0.22, 1, r=0.22, shade="upright")
    for x in (-0.12, 0, 0.12):
        p.line([(x, -0.85), (x, 0.98)], 0.018, "1e4c20", rough=0)
    for _ in range(50):
        x, y = p.rng.uniform(-0.2, 0.2), p.rng.uniform(-0.85, 0.95)
        p.line([(x, y), (x + 0.03, y - 0.03)], 0.01, "f0ecc8", rough=0, solid=False)


@thing("sun", "ray", "yellow orange", "sky", foot=None, size=(60, 96), turn=20)
def sun(p: Pen) -> None:
    p.poly(star(0, 0, 0.98, 0.55, p.any(10, 12, 16)), None, "ray", shade="flat", tone=1.05)
    p.oval(0, 0, 0.56, 0.56, p.any("ffd028", "ffb41e", "fff08c"), shade="flat")


@thing("moon", "", "white yellow grey", "night", foot=None, size=(48, 90), turn=60)
def moon(p: Pen) -> None:
    if p.rng.random() < 0.5:
        p.oval(0, 0, 0.9, 0.9, shade="sphere", grain="stone", rough=0.07, strength=0.6)
        for _ in range(9):
            a, r = p.rng.uniform(0, 6.3), p.rng.uniform(0, 0.7)
            p.oval(r * np.cos(a), r * np.sin(a), p.rng.uniform(0.04, 0.17), None, None, tone=0.84)
    else:
        t = np.linspace(-np.pi / 2, np.pi / 2, 30)
        outer = np.stack([0.9 * np.cos(t), 0.9 * np.sin(t)], 1)
        inner = np.stack([0.45 * np.cos(t), 0.9 * np.sin(t)], 1)
        p.poly(np.concatenate([outer, inner[::-1]]), grain="stone", rough=0.05, shade="flat")


@thing("cloud", "", "white grey", "sky", foot=None, size=(80, 110), turn=0)
def cloud(p: Pen) -> None:
    for _ in range(22):
        x = p.rng.uniform(-0.72, 0.72)
        y = 0.2 - p.rng.random() * 0.55 * (1 - abs(x))
        r = p.rng.uniform(0.14, 0.3) * (1.15 - abs(x) * 0.6)
        p.oval(
            x,
            y,
            r * 1.2,
            r,
            tone=p.rng.uniform(0.93, 1.05),
            strength=0.5,
            grain="plain",
            rough=0.03,
        )


@thing("rainbow", "", "", "sky lawn", foot=None, size=(98, 112), turn=6)
def rainbow(p: Pen) -> None:
    bands = ("d2302c", "f08a24", "f4dc3c", "46aa46", "2c6cd2", "4a3ca0", "8c46a8")
    t = np.linspace(np.pi, 2 * np.pi, 60)
    for k, colour in enumerate(bands):
        outer, inner = 0.96 - 0.06 * k, 0.96 - 0.06 * (k + 1)
        arc = np.concatenate(
            [
                np.stack([outer * np.cos(t), 0.6 + 1.3 * outer * np.sin(t)], 1),
                np.stack([inner * np.cos(t), 0.6 + 1.3 * inner * np.sin(t)], 1)[::-1],
            ]
        )
        p.poly(arc, colour, shade="flat", alpha=0.62)


@thing("lightning", "", "yellow white", "storm night", foot=None, size=(86, 108), turn=12)
def lightning(p: Pen) -> None:
    x, y, path = p.rng.uniform(-0.3, 0.3), -1.0, []
    while y < 1:
        path.append((x, y))
        x, y = x + p.rng.uniform(-0.26, 0.26), y + p.rng.uniform(0.12, 0.24)
    p.line(path, 0.2, "8c8cff", curve=False, alpha=0.18, shade="flat", solid=False)
    p.line(path, 0.055, curve=False, shade="flat", tone=1.2, taper=0.4)
    fork = path[len(path) // 2]
    p.line(
        [fork, (fork[0] + 0.25, fork[1] + 0.2), (fork[0] + 0.22, fork[1] + 0.45)],
        0.035,
        curve=False,
        shade="flat",
        tone=1.2,
        taper=0.4,
    )


@thing("fire", "flame", "orange", "night dark", size=(76, 102))
def fire(p: Pen) -> None:
    for s in (-1, 1):
        p.line(
            [(-0.6 * s, 0.95), (0.55 * s, 0.72)],
            0.16,
            "4a2c18",
            curve=False,
            grain="wood",
            rough=0.2,
        )
    layers = ((1.0, None), (0.72, "ffb428"), (0.42, "fff0a0"))
    for size, colour in layers:
        wob = p.rng.uniform(-0.1, 0.1, 5)
        p.blob(
            [
                (-0.5 * size, 0.75),
                (-0.55 * size, 0.3),
                (-0.3 * size + wob[0], 0.3 - 0.6 * size),
                (-0.16 * size, 0.4 - 0.4 * size),
                (wob[1], 0.75 - 1.7 * size),
                (0.2 * size, 0.35 - 0.3 * size),
                (0.34 * size + wob[2], 0.4 - 0.8 * size),
                (0.55 * size, 0.3),
                (0.5 * size, 0.75),
            ],
            colour,
            "flame",
            shade="flat",
        )


@thing("mountain", "peak", "grey brown", "sky lawn", foot=None, size=(104, 118), turn=0)
def mountain(p: Pen) -> None:
    xs = np.linspace(-1.1, 1.1, 26)
    rough = np.cumsum(p.rng.uniform(-0.05, 0.05, 26))
    ys = -0.75 + 1.35 * np.abs(xs - p.rng.uniform(-0.2, 0.2)) ** 0.85 + rough * 0.6
    ridge = np.stack([xs, ys], 1)
    p.poly([*ridge, (1.4, 1.0), (-1.4, 1.0)], None, grain="stone", rough=0.22, shade="flat")
    top = ys.min()
    snow = [(x, y) for x, y in ridge if y < top + 0.42]
    hem = [(x, top + 0.4 + p.rng.uniform(-0.02, 0.22)) for x, _ in snow[::-1]]
    p.poly(snow + hem, "f2f6fc", "peak", grain="stone", rough=0.1, shade="flat")


@thing("snowman", "hat nose arm", "", "snow", size=(82, 102))
def snowman(p: Pen) -> None:
    for s in (-1, 1):
        p.line([(s * 0.3, 0), (s * 0.62, -0.2), (s * 0.84, -0.42)], 0.04, "4c3422", "arm")
        p.line([(s * 0.68, -0.26), (s * 0.84, -0.22)], 0.03, "4c3422", "arm")
    for y, r in ((0.56, 0.42), (-0.02, 0.32), (-0.48, 0.24)):
        p.oval(0, y, r, r * 0.96, "eef2f8", shade="sphere", strength=0.55, grain="stone")
    for x, y, r in ((-0.09, -0.54, 0.03), (0.09, -0.54, 0.03), (0, -0.1, 0.03), (0, 0.06, 0.03)):
        p.oval(x, y, r, r, "18181a")
    p.poly("0,-.5 .3,-.43 0,-.42", "f07818", "nose")
    p.box(-0.3, -0.7, 0.3, -0.65, "1c1c20", "hat")
    p.box(-0.19, -0.98, 0.19, -0.68, "1c1c20", "hat")
    p.box(-0.19, -0.76, 0.19, -0.7, "b02020", "hat")


@thing(
    "planet", "ring", "orange yellow blue brown purple", "night", foot=None, size=(76, 98), turn=40
)
def planet(p: Pen) -> None:
    ring = ellipse(0, 0, 0.98, 0.26)
    inner = ellipse(0, 0, 0.68, 0.17)
    p.poly([*ring[22:], *inner[22:][::-1]], "c8b48c", "ring", shade="flat", rough=0.08)
    p.oval(0, 0, 0.55, 0.55, shade="sphere", grain="metal", rough=0.12)
    p.poly([*ring[:23], *inner[:23][::-1]], "d8c49c", "ring", shade="flat", rough=0.08)
