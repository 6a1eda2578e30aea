"""Cooked and baked food."""

from __future__ import annotations

import numpy as np

from neuronym_drawings.things.base import Pen, ellipse, thing

TABLE = "table surface studio"


@thing(
    "pizza", "crust topping", "yellow orange", "surface table", foot=None, size=(88, 104), turn=180
)
def pizza(p: Pen) -> None:
    p.oval(0, 0, 0.97, 0.97, "b8783c", "crust", grain="stone", rough=0.15, strength=1.5)
    p.oval(0, 0, 0.84, 0.84, "b83c20", shade="flat")
    p.oval(0, 0, 0.81, 0.81, shade="flat", grain="leaf", rough=0.12)
    for _ in range(9):
        a, r = p.rng.uniform(0, 6.3), p.rng.uniform(0.1, 0.66)
        p.oval(
            r * np.cos(a), r * np.sin(a), 0.14, 0.14, "b02c20", "topping", grain="stone", rough=0.1
        )
    for _ in range(12):
        a, r = p.rng.uniform(0, 6.3), p.rng.uniform(0, 0.72)
        p.blob(
            [
                (r * np.cos(a) + dx, r * np.sin(a) + dy)
                for dx, dy in ((-0.08, 0), (0, -0.04), (0.08, 0.01), (0, 0.05))
            ],
            p.any("3c7c28", "2c5c20", "1c1a1c"),
            "topping",
        )
    if p.rng.random() < 0.5:
        for a in np.arange(4) * np.pi / 4:
            p.line(
                [(-0.97 * np.cos(a), -0.97 * np.sin(a)), (0.97 * np.cos(a), 0.97 * np.sin(a))],
                0.025,
                "5c3014",
            )


@thing("cake", "candle layer", "pink white brown yellow", "table", foot=0.8, size=(80, 100))
def cake(p: Pen) -> None:
    p.oval(0, 0.68, 0.97, 0.2, "e8e8e4")
    p.poly(
        np.concatenate([ellipse(0, 0.6, 0.8, 0.18)[:23], [(-0.8, -0.1), (0.8, -0.1)]]),
        "c89458",
        "layer",
        shade="upright",
        grain="stone",
        rough=0.15,
    )
    p.poly(
        np.concatenate([ellipse(0, 0.34, 0.81, 0.18)[:23], ellipse(0, 0.2, 0.81, 0.18)[:23][::-1]]),
        "fff6e8",
        "layer",
        shade="upright",
    )
    drip = [
        (x, 0.06 + 0.18 * np.sqrt(max(0, 1 - (x / 0.82) ** 2)) + (0.12 if k % 2 else 0))
        for k, x in enumerate(np.linspace(0.82, -0.82, 15))
    ]
    p.blob([(-0.82, -0.12), (0.82, -0.12), *drip], shade="upright")
    p.oval(0, -0.12, 0.82, 0.2, None, tone=1.08)
    for x in np.linspace(-0.5, 0.5, p.any(3, 4, 5)):
        y = -0.16 + 0.06 * np.cos(x * 9)
        p.box(
            x - 0.035,
            y - 0.42,
            x + 0.035,
            y,
            p.any("4c8ce0", "e05050", "f0c838"),
            "candle",
            shade="upright",
        )
        p.blob(
            [(x, y - 0.42), (x + 0.06, y - 0.52), (x, y - 0.7), (x - 0.06, y - 0.52)],
            "ffb428",
            "candle",
            shade="flat",
        )


@thing(
    "ice cream",
    "cone",
    "pink white brown yellow green",
    "studio blur table",
    foot=None,
    size=(84, 104),
    turn=12,
)
def ice_cream(p: Pen) -> None:
    p.poly("-.42,.0 .42,.0 .04,.98 -.04,.98", "d8a058", "cone", shade="upright")
    for k in np.arange(0.1, 1.3, 0.16):  # the waffle's lines, both ways, kept inside the cone
        for s in (-1, 1):
            low = min(k, 0.93)
            side = 0.42 * (1 - low / 0.98)
            top = max(k - 0.62, 0.0)
            end = -side + 1.1 * (low - top)
            p.line(
                [(s * -side, low), (s * min(end, 0.42 * (1 - top / 0.98)), top)],
                0.014,
                "8c5c24",
                "cone",
                rough=0,
                alpha=0.8,
                solid=False,
            )
    second = p.any("fff4e0", "6c3c20", "f4a8b8", "b8dca0")
    for x, y, r, colour in (
        (-0.22, -0.22, 0.36, None),
        (0.22, -0.22, 0.36, second),
        (0, -0.56, 0.38, None),
    ):
        p.oval(x, y, r, r * 0.92, colour, shade="sphere", tone=1.15, grain="leaf", rough=0.06)
    p.blob("-.52,-.06 -.3,-.12 0,-.06 .3,-.12 .52,-.06 .3,.08 .1,.04 -.1,.12 -.3,.06", None)


@thing("bread", "crust", "brown orange", TABLE, foot=0.6, size=(78, 98))
def bread(p: Pen) -> None:
    p.blob(
        "-.9,.5 -.94,0 -.7,-.4 -.2,-.52 .3,-.5 .76,-.36 .94,.0 .9,.5 .5,.6 -.5,.6",
        None,
        "crust",
        grain="stone",
        rough=0.12,
        strength=1.4,
    )
    for x in (-0.5, -0.1, 0.3):
        p.blob(
            [(x - 0.06, -0.4), (x + 0.14, -0.36), (x + 0.2, -0.02), (x + 0.06, 0.0)],
            "e8c88c",
            grain="stone",
            rough=0.12,
        )


@thing("egg", "yolk", "white brown", TABLE, foot=None, size=(66, 92), turn=40)
def egg(p: Pen) -> None:
    if p.rng.random() < 0.5:
        p.blob(
            "0,-.8 .5,-.7 .9,-.2 .7,.4 .3,.8 -.2,.7 -.8,.6 -.9,0 -.6,-.5", "fbf8f0", strength=1.2
        )
        p.oval(0.5, 0.5, 0.1, 0.08, None)
    else:
        p.blob(
            "0,-.95 .44,-.6 .68,.1 .5,.7 0,.92 -.5,.7 -.68,.1 -.44,-.6", shade="sphere", tone=1.2
        )
        p.blob("0,-.8 .36,-.5 .56,.1 .4,.6 0,.78 -.4,.6 -.56,.1 -.36,-.5", "fbf8f0", strength=0.6)
    p.oval(0, 0.05, 0.36, 0.35, "f4a41c", "yolk", shade="sphere", tone=1.2, gloss=0.5)


@thing("hamburger", "bun cheese lettuce", "brown", "table studio", foot=0.76, size=(78, 98))
def hamburger(p: Pen) -> None:
    p.box(-0.84, 0.36, 0.84, 0.76, "d08c3c", "bun", r=0.2)
    wavy = [(x, 0.34 + (0.1 if k % 2 else 0)) for k, x in enumerate(np.linspace(0.95, -0.95, 19))]
    p.blob([(-0.95, 0.2), (0.95, 0.2), *wavy], "5cb03c", "lettuce", strength=1.5)
    p.box(-0.9, 0.04, 0.9, 0.28, r=0.1, grain="stone", rough=0.25)
    p.poly(
        "-.92,-.02 .92,-.02 .86,.08 .5,.08 .36,.24 .2,.08 -.4,.08 -.6,.2 -.74,.08",
        "f8c030",
        "cheese",
    )
    p.box(-0.86, -0.14, 0.86, 0.02, "cc3424", r=0.06)
    p.blob(
        "-.92,-.1 -.86,-.5 -.5,-.8 0,-.88 .5,-.8 .86,-.5 .92,-.1 0,-.06",
        "d8943c",
        "bun",
        gloss=0.3,
        strength=1.2,
    )
    for _ in range(16):
        x = p.rng.uniform(-0.6, 0.6)
        p.oval(x, p.rng.uniform(-0.74, -0.4) + 0.4 * x * x, 0.04, 0.025, "f8ecc8", "bun", rough=0)
