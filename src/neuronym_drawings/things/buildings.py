"""Buildings and things along a street."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuronym_drawings.things.base import Pen, thing

PANE = "51677c"


def pane(p: Pen, x0: float, y0: float, x1: float, y1: float, frame: str = "f0ece4") -> None:
    """A window with a frame and a cross bar."""
    p.box(x0, y0, x1, y1, frame, "window")
    w = 0.1 * (x1 - x0)
    p.box(x0 + w, y0 + w, x1 - w, y1 - w, PANE, "window", shade="down", gloss=0.2, strength=2)
    p.box((x0 + x1) / 2 - w / 3, y0, (x0 + x1) / 2 + w / 3, y1, frame, "window")
    p.box(x0, (y0 + y1) / 2 - w / 3, x1, (y0 + y1) / 2 + w / 3, frame, "window")


def _courses(p: Pen, x0: float, x1: float, y0: float, y1: float, step: float, colour: str) -> None:
    for y in np.arange(y0 + step, y1, step):
        p.line([(x0, y), (x1, y)], 0.012, colour, rough=0, alpha=0.5)


@thing(
    "house",
    "roof door window chimney",
    "white red yellow brown blue grey pink orange",
    "lawn street snow",
    size=(84, 104),
    turn=1,
)
def house(p: Pen) -> None:
    roof = p.any("7c3c28", "5c4a44", "8c4a34", "444a54")
    p.box(0.34, -0.9, 0.52, -0.3, "8c5c48", "chimney", shade="upright", grain="stone", rough=0.12)
    p.box(-0.72, -0.2, 0.72, 0.95, shade="down", grain="stone", rough=0.06)
    if p.rng.random() < 0.5:
        _courses(p, -0.72, 0.72, -0.2, 0.95, 0.08, "40342c")
    p.poly(
        "-.9,-.14 -.1,-.86 .1,-.86 .9,-.14", roof, "roof", grain="stone", rough=0.14, shade="down"
    )
    for y in np.arange(-0.74, -0.16, 0.12):
        half = 0.1 + (y + 0.86) * 1.11
        p.line([(-half, y), (half, y)], 0.014, "2c2420", "roof", rough=0, alpha=0.6)
    p.box(
        -0.15,
        0.35,
        0.15,
        0.95,
        p.any("5c3418", "2c5c40", "8c2420", "2c3c64"),
        "door",
        shade="upright",
        grain="wood",
        rough=0.1,
    )
    p.oval(0.1, 0.66, 0.022, 0.022, "e0c060", "door")
    for x in (-0.58, 0.28):
        pane(p, x, 0.34, x + 0.3, 0.68)
        if p.rng.random() < 0.7:
            pane(p, x, -0.1, x + 0.28, 0.18)


@thing("church", "roof door window tower", "white grey brown", "lawn snow", size=(86, 106), turn=1)
def church(p: Pen) -> None:
    p.box(-0.3, 0.1, 0.85, 0.95, shade="down", grain="stone", rough=0.1)
    p.poly("-.3,.12 -.1,-.3 .72,-.3 .95,.12", "54423c", "roof", grain="stone", rough=0.15)
    p.box(-0.7, -0.4, -0.2, 0.95, None, "tower", shade="upright", grain="stone", rough=0.1)
    p.poly("-.76,-.38 -.45,-.96 -.14,-.38", "54423c", "roof", grain="stone", rough=0.15)
    p.line("-.45,-1.1 -.45,-.94", 0.025, "d8b050", "roof")
    p.line("-.51,-1.04 -.39,-1.04", 0.025, "d8b050", "roof")
    p.oval(-0.45, -0.16, 0.1, 0.1, "f0ece0", "window")
    p.box(-0.57, 0.5, -0.33, 0.95, "4c3018", "door", r=0.12, grain="wood", rough=0.1)
    for x in (0.02, 0.32, 0.62):
        p.box(x - 0.08, 0.3, x + 0.08, 0.74, p.any("34506c", "6c3c5c", "3c5c4c"), "window", r=0.08)


@thing("castle", "tower gate window flag", "grey brown white", "lawn sky", size=(88, 108), turn=0)
def castle(p: Pen) -> None:
    stone: dict[str, Any] = {"grain": "stone", "rough": 0.14}

    def wall(x0: float, x1: float, y: float, part: str, tone: float) -> None:
        p.box(x0, y, x1, 0.95, None, part, shade="upright" if part else "down", tone=tone, **stone)
        count = max(2, round((x1 - x0) / 0.13))
        step = (x1 - x0) / (2 * count - 1)
        for k in range(count):
            left = x0 + 2 * k * step
            p.box(left, y - 0.11, left + step, y + 0.02, None, part, tone=tone, **stone)

    wall(-0.22, 0.22, -0.5, "tower", 0.85)
    wall(-0.7, 0.7, 0.12, "", 1.0)
    wall(-0.95, -0.58, -0.3, "tower", 0.95)
    wall(0.58, 0.95, -0.3, "tower", 0.95)
    p.line("0,-.6 0,-.98", 0.025, "4c3c2c", "flag")
    p.poly("0,-.98 .24,-.9 0,-.8", "c82828", "flag")
    p.box(-0.17, 0.42, 0.17, 0.95, "3a2616", "gate", r=0.16, grain="wood", rough=0.2)
    for x in (-0.76, 0.76, 0.0):
        p.box(x - 0.045, -0.16, x + 0.045, 0.06, "241e1a", "window", r=0.045)


@thing("lighthouse", "lamp window door", "red white black blue", "sea sand", size=(86, 106), turn=0)
def lighthouse(p: Pen) -> None:
    p.poly("-.34,.95 -.2,-.5 .2,-.5 .34,.95", "f4f2ec", shade="upright")
    for y in (-0.3, 0.12, 0.54):
        a, b = 0.2 + (y + 0.5) * 0.097, 0.2 + (y + 0.71) * 0.097
        p.poly([(-a, y), (a, y), (b, y + 0.21), (-b, y + 0.21)], shade="upright")
    p.box(-0.26, -0.56, 0.26, -0.48, "2c2c30")
    p.box(-0.14, -0.78, 0.14, -0.55, "fff0b4", "lamp", shade="upright")
    p.line("0,-.78 0,-.56", 0.02, "2c2c30", "lamp")
    p.poly("-.18,-.76 0,-.98 .18,-.76", "8c2420", shade="upright")
    p.box(-0.09, 0.74, 0.09, 0.95, "3c2818", "door", r=0.09)
    p.box(-0.05, 0.0, 0.05, 0.12, "33404c", "window")


@thing("skyscraper", "window", "grey blue white brown black", "street sky", size=(92, 110), turn=0)
def skyscraper(p: Pen) -> None:
    w = p.any(0.42, 0.5, 0.34)
    p.poly(
        [(w, -0.9), (w + 0.22, -0.78), (w + 0.22, 0.95), (w, 0.95)], None, tone=0.6, shade="flat"
    )
    p.box(-w, -0.95, w, 0.95, shade="down")
    lit = p.any("9cb8d0", "c8d8e4", "f0dc98")
    columns = p.any(5, 6, 7)
    step = 2 * w / columns
    for y in np.arange(-0.88, 0.84, 0.13):
        for k in range(columns):
            x = -w + (k + 0.2) * step
            glass = lit if p.rng.random() < 0.5 else "45586a"
            p.box(x, y, x + 0.62 * step, y + 0.085, glass, "window", shade="flat", rough=0.02)


@thing("bridge", "pillar", "brown grey red", "sea", foot=0.7, size=(98, 110), turn=0)
def bridge(p: Pen) -> None:
    p.poly([(-1.1, -0.1), (1.1, -0.1), (1.1, 0.06), (-1.1, 0.06)], None, grain="stone", rough=0.1)
    if p.rng.random() < 0.5:
        for x in (-0.55, 0.55):
            p.box(x - 0.06, -0.8, x + 0.06, 0.7, None, "pillar", shade="upright")
        for a, b in ((-0.55, 0.55), (-1.5, -0.55), (0.55, 1.5)):
            xs = np.linspace(max(a, -1.1), min(b, 1.1), 12)
            ys = -0.78 + 0.6 * (1 - ((2 * xs - a - b) / (b - a)) ** 2)
            p.line(np.stack([xs, ys], 1), 0.03, tone=0.8)
            for x, y in zip(xs, ys, strict=True):
                p.line([(x, y), (x, -0.08)], 0.012, tone=0.8, rough=0)
    else:
        t = np.linspace(0, np.pi, 20)
        for x in (-0.74, 0.0, 0.74):
            arch = [(x + 0.3 * np.cos(a), 0.55 - 0.42 * np.sin(a)) for a in t]
            outside = [(x - 0.37, 0.7), (x - 0.37, 0.0), (x + 0.37, 0.0), (x + 0.37, 0.7)]
            p.poly([*arch, *outside], None, "pillar", grain="stone", rough=0.2, tone=0.9)
        p.box(-1.1, -0.2, 1.1, -0.08, None, tone=1.05, grain="stone", rough=0.15)


@thing("windmill", "blade door window", "white brown grey red", "lawn", size=(84, 104), turn=0)
def windmill(p: Pen) -> None:
    p.poly("-.4,.95 -.24,-.3 .24,-.3 .4,.95", shade="upright", grain="stone", rough=0.08)
    p.blob("-.28,-.28 -.2,-.5 0,-.6 .2,-.5 .28,-.28", "5c4034")
    p.box(-0.1, 0.66, 0.1, 0.95, "3c2818", "door", r=0.08)
    p.box(-0.07, 0.1, 0.07, 0.28, "33404c", "window")
    start = p.rng.uniform(0.2, 1.3)
    for k in range(4):
        a = start + k * np.pi / 2
        c, s = np.cos(a), np.sin(a)
        at = [
            (u * c - v * s, -0.36 + u * s + v * c)
            for u, v in ((0.16, 0), (0.16, 0.16), (0.72, 0.16), (0.72, 0))
        ]
        p.poly(at, "e8e0d0", "blade", shade="flat")
        p.line([(0, -0.36), (0.74 * c, -0.36 + 0.74 * s)], 0.03, "4c3828", "blade")
        for u in np.arange(0.22, 0.72, 0.1):
            p.line(
                [(u * c, -0.36 + u * s), (u * c - 0.16 * s, -0.36 + u * s + 0.16 * c)],
                0.012,
                "4c3828",
                "blade",
            )
    p.oval(0, -0.36, 0.05, 0.05, "2c2018")


@thing(
    "tent",
    "entrance",
    "orange green blue yellow red",
    "lawn sand snow",
    foot=0.7,
    size=(82, 102),
    turn=1,
)
def tent(p: Pen) -> None:
    p.poly(".05,-.65 .95,.55 .98,.62 .5,.7", None, tone=0.7, shade="flat")
    p.poly("0,-.7 .5,.7 -.78,.7", shade="down", tone=1.05)
    p.poly("-.05,-.2 .18,.7 -.38,.7", "2a2420", "entrance", shade="down")
    p.poly("-.05,-.2 -.38,.7 -.5,.7", None, "entrance", tone=1.2)
    for x in (-0.78, 0.98):
        p.line([(x * 0.9, 0.55), (x * 1.12, 0.78)], 0.015, "d8d4c8")


@thing("fence", "post", "brown white grey", "lawn sand road", foot=0.62, size=(96, 112), turn=2)
def fence(p: Pen) -> None:
    for y in (-0.12, 0.3):
        p.box(-1.15, y, 1.15, y + 0.1, None, tone=0.88, grain="wood", rough=0.1)
    for x in np.arange(-1.05, 1.1, 0.26):
        p.poly(
            [(x - 0.08, 0.65), (x - 0.08, -0.34), (x, -0.48), (x + 0.08, -0.34), (x + 0.08, 0.65)],
            None,
            "post",
            grain="wood",
            rough=0.1,
            shade="upright",
            strength=0.6,
        )


@thing(
    "door", "handle", "brown green red blue white grey", "wall", foot=0.97, size=(92, 108), turn=0
)
def door(p: Pen) -> None:
    p.box(-0.52, -0.98, 0.52, 0.98, p.any("f0ece4", "d8d0c4", "6c5038"))
    p.box(-0.44, -0.9, 0.44, 0.98, grain="wood", rough=0.08)
    for x in (-0.36, 0.04):
        for y0, y1 in ((-0.8, -0.12), (0.08, 0.86)):
            p.box(x, y0, x + 0.32, y1, None, tone=0.84, grain="wood", rough=0.08)
            p.box(
                x + 0.04, y0 + 0.04, x + 0.28, y1 - 0.04, None, tone=1.02, grain="wood", rough=0.08
            )
    p.oval(0.37, 0.0, 0.045, 0.045, "d8b450", "handle", shade="sphere", gloss=0.4)
    p.line("0.37,0 .26,.01", 0.03, "d8b450", "handle")


@thing("window", "pane curtain", "white brown blue green", "wall", foot=None, size=(76, 98), turn=0)
def window(p: Pen) -> None:
    p.box(-0.82, -0.85, 0.82, 0.85)
    for x in (-0.74, 0.04):
        for y in (-0.77, 0.03):
            p.box(
                x,
                y,
                x + 0.7,
                y + 0.74,
                p.any("a8c8e8", "8cb4dc", "5c7490"),
                "pane",
                shade="down",
                gloss=0.2,
                strength=2.5,
            )
    shade = p.any("e8d8c0", "c84848", "6c8cb4", "e8e4dc")
    for s in (-1, 1):
        p.blob(
            [
                (s * 0.84, -0.9),
                (s * 0.35, -0.9),
                (s * 0.4, -0.2),
                (s * 0.62, 0.3),
                (s * 0.6, 0.9),
                (s * 0.86, 0.9),
            ],
            shade,
            "curtain",
            grain="cloth",
            rough=0.06,
        )
        for x in (0.5, 0.62, 0.74):
            p.line(
                [(s * x, -0.9), (s * (x + 0.06), 0.86)],
                0.03,
                "3c3028",
                "curtain",
                alpha=0.2,
                rough=0,
            )
    p.box(-0.95, 0.84, 0.95, 0.96, None, tone=0.9)


@thing("ladder", "rung", "brown grey yellow red", "wall lawn", size=(88, 106), turn=10)
def ladder(p: Pen) -> None:
    for y in np.arange(-0.82, 0.9, 0.24):
        p.line([(-0.3, y), (0.3, y)], 0.075, None, "rung", tone=0.9, grain="wood", rough=0.1)
    for s in (-1, 1):
        p.line([(s * 0.3, 0.98), (s * 0.27, -0.98)], 0.1, grain="wood", rough=0.1)


@thing("traffic light", "lamp pole", "", "street sky", size=(88, 108), turn=1)
def traffic_light(p: Pen) -> None:
    p.box(-0.06, 0.2, 0.06, 1, "54585c", "pole", shade="upright")
    p.box(-0.32, -0.95, 0.32, 0.3, p.any("1e2022", "1c2c20", "28282a"), r=0.09)
    on = p.any(0, 1, 2)
    for k, (bright, dark) in enumerate(
        (("ff2c20", "4c1210"), ("ffbe28", "4c3c10"), ("3cf06c", "10401c"))
    ):
        y = -0.72 + k * 0.39
        p.oval(0, y - 0.02, 0.19, 0.19, "0c0c0e", "lamp", shade="flat")
        p.oval(
            0,
            y,
            0.155,
            0.155,
            bright if k == on else dark,
            "lamp",
            shade="flat" if k == on else "sphere",
        )
        if k == on:
            p.oval(-0.03, y - 0.03, 0.07, 0.07, "fff4d8", "lamp", shade="flat", alpha=0.6)


@thing("lamp post", "lamp pole", "black green grey", "street night lawn", size=(90, 108), turn=0)
def lamp_post(p: Pen) -> None:
    p.box(-0.14, 0.84, 0.14, 0.96, None, "pole")
    p.poly("-.05,.9 -.035,-.5 .035,-.5 .05,.9", None, "pole", shade="upright")
    p.oval(0, -0.72, 0.5, 0.5, "fff0b4", shade="flat", alpha=0.12, solid=False, rough=0)
    p.poly("-.1,-.52 -.19,-.84 .19,-.84 .1,-.52", "fff2c0", "lamp", shade="upright", strength=0.4)
    for x in (-1, 0, 1):
        p.line([(x * 0.1, -0.52), (x * 0.19, -0.84)], 0.02, None, "lamp")
    p.poly("-.24,-.82 0,-1 .24,-.82", None, "lamp")


@thing(
    "street sign", "pole", "red blue yellow white green", "street sky road", size=(86, 104), turn=2
)
def street_sign(p: Pen) -> None:
    p.box(-0.045, 0.0, 0.045, 1, "8c9094", "pole", shade="upright")
    kind = p.any(0, 1, 2, 3)
    t = np.linspace(0, 2 * np.pi, 8, endpoint=False) + np.pi / 8
    if kind == 0:
        p.poly(np.stack([0.56 * np.cos(t), -0.4 + 0.56 * np.sin(t)], 1), "f4f4f0")
        p.poly(np.stack([0.51 * np.cos(t), -0.4 + 0.51 * np.sin(t)], 1))
        p.box(-0.34, -0.47, 0.34, -0.33, "f4f4f0")
    elif kind == 1:
        p.oval(0, -0.4, 0.54, 0.54)
        p.oval(0, -0.4, 0.4, 0.4, "f6f6f2", shade="flat")
        p.poly(
            "-.2,-.36 0,-.64 .2,-.36 .07,-.36 .07,-.16 -.07,-.16 -.07,-.36", "1c1c1e", shade="flat"
        )
    elif kind == 2:
        p.poly("0,-.98 .62,.06 -.62,.06")
        p.poly("0,-.78 .44,-.05 -.44,-.05", "f8f4e8", shade="flat")
        p.poly("-.05,-.58 .05,-.58 .03,-.3 -.03,-.3", "1c1c1e", shade="flat")
        p.oval(0, -0.2, 0.045, 0.045, "1c1c1e", shade="flat")
    else:
        p.box(-0.85, -0.75, 0.85, -0.2, "f4f4f0", r=0.08)
        p.box(-0.8, -0.7, 0.8, -0.25, r=0.06)
        p.line("-.6,-.48 .4,-.48", 0.08, "f4f4f0")
        p.poly(".36,-.64 .64,-.48 .36,-.32", "f4f4f0")


@thing(
    "bench",
    "leg seat back",
    "brown green red grey",
    "lawn road street",
    foot=0.7,
    size=(82, 102),
    turn=0,
)
def bench(p: Pen) -> None:
    for x in (-0.72, 0.66):
        p.poly([(x, -0.5), (x + 0.07, -0.5), (x + 0.09, 0.7), (x, 0.7)], "26282a", "leg")
        p.line([(x + 0.04, 0.2), (x - 0.08, 0.7)], 0.06, "26282a", "leg")
    for y in (-0.46, -0.24):
        p.box(-0.9, y, 0.9, y + 0.16, None, "back", grain="wood", rough=0.12, r=0.03)
    for y in (0.1, 0.21):
        p.box(-0.94, y, 0.94, y + 0.1, None, "seat", grain="wood", rough=0.12, r=0.03, tone=1.05)


@thing(
    "flag", "pole", "red blue green yellow white orange", "sky", foot=None, size=(84, 104), turn=4
)
def flag(p: Pen) -> None:
    p.box(-0.8, -0.96, -0.73, 1.2, "a8a49c", "pole", shade="upright")
    xs = np.linspace(-0.73, 0.9, 24)
    wave = 0.07 * np.sin(xs * 5 + p.rng.uniform(0, 6))
    bands = [
        None,
        p.any("f4f4f0", "f0c828", "1c1c20"),
        p.any("f4f4f0", "2c4ca0", "2c8c44", "c82828"),
    ]
    for k, colour in enumerate(bands):
        top, low = -0.9 + k * 0.32, -0.58 + k * 0.32
        points = [*np.stack([xs, top + wave], 1), *np.stack([xs, low + wave], 1)[::-1]]
        p.poly(points, colour, shade="flat", grain="cloth", rough=0.05)
    for x in np.arange(-0.6, 0.9, 0.3):
        p.line([(x, -0.85), (x + 0.04, 0.02)], 0.09, "000000", alpha=0.1, rough=0, solid=False)
