"""Furniture, lamps and clocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuronym_drawings.things.base import Pen, ellipse, thing

_ANY = "red blue green yellow white black orange purple pink grey brown"


@thing("clock", "hand", "white black red blue brown green", "wall studio", foot=None, size=(76, 98))
def clock(p: Pen) -> None:
    p.oval(0, 0, 0.95, 0.95, gloss=0.25)
    p.oval(0, 0, 0.82, 0.82, "f8f4e8", shade="flat")
    for k in range(12):
        a = k * np.pi / 6
        r0 = 0.64 if k % 3 == 0 else 0.7
        p.line(
            [(r0 * np.sin(a), -r0 * np.cos(a)), (0.77 * np.sin(a), -0.77 * np.cos(a))],
            0.055 if k % 3 == 0 else 0.03,
            "1c1a1a",
            rough=0,
        )
    hour = p.rng.uniform(0, 12)
    for turn, length, width in ((hour / 12, 0.42, 0.07), (hour % 1, 0.64, 0.05)):
        a = 2 * np.pi * turn
        p.line(
            [(-0.1 * np.sin(a), 0.1 * np.cos(a)), (length * np.sin(a), -length * np.cos(a))],
            width,
            "1c1a1a",
            "hand",
        )
    p.oval(0, 0, 0.05, 0.05, "b02020", "hand")


@thing(
    "chair", "leg seat back", "brown white black red blue green", "floor", size=(84, 104), turn=1
)
def chair(p: Pen) -> None:
    wood: dict[str, Any] = {"grain": "wood", "rough": 0.1}
    p.line("-.34,.2 -.36,.76", 0.085, None, "leg", tone=0.7, **wood)
    p.line(".5,.2 .52,.76", 0.085, None, "leg", tone=0.7, **wood)
    for x in (-0.36, 0.36):
        p.line([(x + 0.06, -0.95), (x, 0.2)], 0.09, None, "back", **wood)
    for y in (-0.82, -0.5, -0.2):
        p.box(-0.32, y, 0.42, y + 0.14, None, "back", r=0.03, tone=0.95, **wood)
    p.poly("-.38,.02 .46,.02 .6,.28 -.54,.28", None, "seat", tone=1.1, **wood)
    p.poly("-.54,.28 .6,.28 .6,.36 -.54,.36", None, "seat", tone=0.75, **wood)
    p.line("-.48,.34 -.5,.96", 0.1, None, "leg", **wood)
    p.line(".54,.34 .56,.96", 0.1, None, "leg", **wood)


@thing("table", "leg top", "brown white black grey", "floor", foot=0.86, size=(86, 104), turn=1)
def table(p: Pen) -> None:
    wood: dict[str, Any] = {"grain": "wood", "rough": 0.1}
    for x in (-0.55, 0.55):
        p.line([(x, -0.1), (x, 0.6)], 0.09, None, "leg", tone=0.65, **wood)
    p.poly("-.62,-.36 .62,-.36 .97,.0 -.97,.0", None, "top", tone=1.12, shade="flat", **wood)
    p.poly("-.97,0 .97,0 .97,.12 -.97,.12", None, "top", tone=0.78, **wood)
    for x in (-0.86, 0.86):
        p.line([(x, 0.12), (x, 0.86)], 0.11, None, "leg", **wood)


@thing(
    "sofa",
    "cushion leg",
    "red blue green brown grey purple",
    "floor",
    foot=0.7,
    size=(88, 106),
    turn=0,
)
def sofa(p: Pen) -> None:
    cloth: dict[str, Any] = {"grain": "cloth", "rough": 0.07}
    for x in (-0.8, 0.8):
        p.box(x - 0.05, 0.5, x + 0.05, 0.7, "2c2018", "leg")
    p.box(-0.8, -0.5, 0.8, 0.3, None, r=0.14, tone=0.85, **cloth)
    for x in (-0.74, 0.02):
        p.box(x, -0.42, x + 0.72, 0.16, None, "cushion", r=0.1, tone=0.98, **cloth)
    for x in (-0.76, 0.0):
        p.box(x, 0.1, x + 0.76, 0.36, None, "cushion", r=0.08, tone=1.12, **cloth)
    p.box(-0.86, 0.32, 0.86, 0.58, None, r=0.04, tone=0.85, **cloth)
    for s in (-1, 1):
        p.box(s * 0.72, -0.1, s * 0.99, 0.6, None, r=0.13, **cloth)


@thing(
    "bed",
    "pillow blanket leg",
    "blue red green white purple pink",
    "floor",
    foot=0.72,
    size=(90, 106),
    turn=0,
)
def bed(p: Pen) -> None:
    wood = p.any("6c4424", "8c6038", "3c2c20", "e8e4dc")
    p.box(-0.99, -0.62, -0.88, 0.72, wood, "leg", grain="wood", rough=0.1)
    p.box(0.88, -0.08, 0.99, 0.72, wood, "leg", grain="wood", rough=0.1)
    p.box(-0.9, 0.3, 0.9, 0.48, wood, grain="wood", rough=0.1)
    p.box(-0.9, 0.02, 0.9, 0.34, "f0ece4", r=0.06)
    p.blob("-.86,.06 -.84,-.2 -.5,-.26 -.36,-.14 -.4,.06", "fbfaf6", "pillow", grain="cloth")
    p.blob(
        "-.4,0 0,-.08 .5,-.06 .92,0 .94,.4 .4,.42 -.3,.4",
        None,
        "blanket",
        grain="cloth",
        rough=0.08,
    )
    p.box(-0.42, -0.02, -0.28, 0.38, "f6f4ee", "blanket", r=0.05)


@thing("lamp", "shade base", "yellow white red green blue orange", "table", size=(82, 102), turn=1)
def lamp(p: Pen) -> None:
    p.oval(0, 0.88, 0.36, 0.09, "5c4634", "base", gloss=0.3)
    p.poly("-.05,.9 -.04,-.1 .04,-.1 .05,.9", "8c6c44", "base", shade="upright", gloss=0.3)
    p.blob(
        "-.08,.8 -.2,.5 -.08,.2 .08,.2 .2,.5 .08,.8",
        p.any("c8b890", "3c5c7c", "7c4c34"),
        "base",
        shade="upright",
        gloss=0.3,
    )
    p.oval(0, -0.4, 0.9, 0.7, "fff0b8", alpha=0.14, shade="flat", rough=0, solid=False)
    p.poly(
        "-.34,-.9 .34,-.9 .62,-.06 -.62,-.06",
        None,
        "shade",
        shade="upright",
        tone=1.12,
        strength=0.6,
    )
    p.oval(0, -0.07, 0.6, 0.06, "fff2c4", "shade", shade="flat")


@thing(
    "candle", "flame", "white red yellow purple green", "table dark night", size=(82, 102), turn=1
)
def candle(p: Pen) -> None:
    p.oval(0, -0.55, 0.7, 0.7, "ffd878", alpha=0.12, shade="flat", rough=0, solid=False)
    p.oval(0, 0.9, 0.46, 0.1, "b89048", gloss=0.3)
    p.poly(
        np.concatenate([ellipse(0, 0.86, 0.24, 0.06)[:23], [(-0.24, -0.16), (0.24, -0.16)]]),
        shade="upright",
    )
    p.oval(0, -0.16, 0.24, 0.06, None, tone=1.15)
    p.line("0,-.16 .01,-.3", 0.03, "1c1614")
    p.blob(
        "0,-.22 .13,-.4 .1,-.6 0,-.95 -.1,-.6 -.13,-.4", "ffa428", "flame", shade="flat", rough=0
    )
    p.blob(
        "0,-.24 .07,-.38 .06,-.5 0,-.74 -.06,-.5 -.07,-.38",
        "fff4b4",
        "flame",
        shade="flat",
        rough=0,
    )


@thing(
    "television",
    "screen leg",
    "black grey brown",
    "table floor wall",
    foot=0.8,
    size=(84, 102),
    turn=0,
)
def television(p: Pen) -> None:
    p.box(-0.09, 0.5, 0.09, 0.74, None, "leg")
    p.box(-0.5, 0.7, 0.5, 0.8, None, "leg", r=0.04)
    p.box(-1.0, -0.64, 1.0, 0.56, None, r=0.03, tone=0.8)
    p.box(-0.94, -0.58, 0.94, 0.5, p.any("3c78c8", "6cb0e8", "e8a04c"), "screen", shade="flat")
    # A landscape is on: the sun over a hill and a meadow.
    x = p.rng.uniform(-0.5, 0.5)
    p.oval(x, -0.25, 0.15, 0.15, p.any("fff4b0", "ffd860"), "screen", shade="flat")
    hill = [
        (-0.94, 0.2),
        (x - 0.4, -0.1),
        (x + 0.1, 0.12),
        (0.94, -0.02),
        (0.94, 0.5),
        (-0.94, 0.5),
    ]
    p.poly(hill, p.any("3c8c44", "7c5c94", "4c7c9c"), "screen", shade="flat")
    meadow = [(-0.94, 0.3), (0.94, 0.22), (0.94, 0.5), (-0.94, 0.5)]
    p.poly(meadow, p.any("70b848", "e0c860"), "screen", shade="flat")
    p.poly(
        "-.94,-.58 -.3,-.58 -.7,.5 -.94,.5", "ffffff", "screen", alpha=0.14, shade="flat", rough=0
    )


@thing("light bulb", "base", "yellow white", "dark studio sky", foot=None, size=(80, 100), turn=20)
def light_bulb(p: Pen) -> None:
    p.oval(0, -0.25, 0.9, 0.9, "fff0a0", alpha=0.12, shade="flat", rough=0, solid=False)
    p.blob(
        "0,-.95 .4,-.82 .6,-.4 .48,0 .24,.3 .2,.5 -.2,.5 -.24,.3 -.48,0 -.6,-.4 -.4,-.82",
        tone=1.1,
        strength=0.8,
        gloss=0.3,
    )
    p.line("-.12,.46 -.16,-.1 -.06,-.24 .06,-.1 .16,-.24 .12,.46", 0.025, "c88428")
    for y in (0.5, 0.6, 0.7, 0.8):
        p.box(-0.2, y, 0.2, y + 0.08, "a0a4a8", "base", r=0.04, shade="upright", gloss=0.3)
    p.blob("-.14,.88 .14,.88 .06,.98 -.06,.98", "2c2c2e", "base")


@thing("basket", "handle", "brown yellow", "table floor lawn", foot=0.84, size=(80, 100))
def basket(p: Pen) -> None:
    p.line(
        "-.7,-.1 -.56,-.7 0,-.95 .56,-.7 .7,-.1",
        0.1,
        None,
        "handle",
        tone=0.8,
        grain="wood",
        rough=0.15,
    )
    p.poly("-.86,-.14 .86,-.14 .66,.84 -.66,.84", shade="upright")
    for row in range(6):
        y = -0.06 + row * 0.15
        half = 0.86 - 0.2 * (y + 0.14)
        for k, x in enumerate(np.linspace(-half + 0.08, half - 0.08, 9)):
            p.oval(
                x,
                y + (0.02 if (k + row) % 2 else -0.02),
                0.1,
                0.065,
                None,
                tone=1.1 if (k + row) % 2 else 0.72,
            )
    p.box(-0.9, -0.22, 0.9, -0.08, None, r=0.06, tone=0.9, grain="wood", rough=0.15)


@thing("box", "flap", "brown white grey", "floor table studio", foot=0.86, size=(78, 98))
def cardboard_box(p: Pen) -> None:
    paper: dict[str, Any] = {"grain": "plain", "rough": 0.06}
    p.poly("-.1,-.44 .74,-.22 .1,.02 -.8,-.2", "3c2a1a")
    p.poly("-.8,-.2 .1,.02 .1,.9 -.8,.6", None, **paper)
    p.poly(".1,.02 .74,-.22 .74,.58 .1,.9", None, tone=0.72, **paper)
    p.poly("-.8,-.2 .1,.02 -.1,.26 -.99,.0", None, "flap", tone=1.12, **paper)
    p.poly("-.8,-.2 -.1,-.44 -.3,-.74 -.96,-.46", None, "flap", tone=0.9, **paper)
    p.poly(".74,-.22 .1,.02 .34,.2 .98,-.06", None, "flap", tone=1.0, **paper)
