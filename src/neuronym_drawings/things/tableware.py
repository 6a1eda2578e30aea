"""Things to eat and drink from."""

from __future__ import annotations

import numpy as np

from neuronym_drawings.things.base import Pen, ellipse, thing

_ANY = "red blue green yellow white black orange purple pink grey brown"


@thing("cup", "handle saucer", _ANY, "table", foot=0.8, size=(72, 94))
def cup(p: Pen) -> None:
    p.oval(0, 0.66, 0.86, 0.2, "f0ece4", "saucer")
    p.oval(0, 0.64, 0.5, 0.1, "d8d4cc", "saucer")
    p.ring(0.62, 0.06, 0.24, 0.11, None, "handle", ry=0.26)
    sides = ellipse(0, 0.6, 0.36, 0.1)[:23]
    p.poly(
        np.concatenate([sides, [(-0.58, 0.1), (-0.62, -0.4), (0.62, -0.4), (0.58, 0.1)]]),
        shade="upright",
        gloss=0.3,
    )
    p.oval(0, -0.4, 0.62, 0.17, None, tone=1.15)
    p.oval(0, -0.38, 0.54, 0.13, p.any("4c2814", "6c3c1c", "8c5c30", "b8742c"), shade="flat")
    if p.rng.random() < 0.5:
        for x in (-0.18, 0.05, 0.25):
            p.line(
                [(x, -0.5), (x + 0.08, -0.66), (x - 0.04, -0.8), (x + 0.06, -0.96)],
                0.06,
                "ffffff",
                alpha=0.18,
                rough=0,
                solid=False,
            )


@thing("bottle", "cap label", "green brown blue red white", "table studio", size=(86, 106), turn=1)
def bottle(p: Pen) -> None:
    p.poly(
        np.concatenate(
            [
                ellipse(0, 0.88, 0.32, 0.07)[:23],
                [
                    (-0.32, -0.05),
                    (-0.26, -0.24),
                    (-0.11, -0.42),
                    (-0.11, -0.82),
                    (0.11, -0.82),
                    (0.11, -0.42),
                    (0.26, -0.24),
                    (0.32, -0.05),
                ],
            ]
        ),
        shade="upright",
        gloss=0.45,
        alpha=0.94,
    )
    p.box(
        -0.13,
        -0.97,
        0.13,
        -0.8,
        p.any("c8a040", "2c2c30", "c02828", "e8e4dc"),
        "cap",
        r=0.03,
        shade="upright",
    )
    p.box(-0.322, 0.1, 0.322, 0.66, p.any("f4ecd4", "e8e4dc", "e8c860"), "label", shade="upright")
    p.line("-.2,.26 .2,.26", 0.05, p.any("8c2020", "2c4c8c", "2c2c2c"), "label")
    for y in (0.38, 0.46, 0.54):
        p.line([(-0.18, y), (0.18, y)], 0.018, "4c4844", "label", rough=0)


@thing("wine glass", "stem base", "red yellow pink purple", "table studio", size=(84, 104), turn=1)
def wine_glass(p: Pen) -> None:
    p.oval(0, 0.9, 0.38, 0.08, "c8d4dc", "base", alpha=0.75, gloss=0.3)
    p.poly("-.03,.9 -.03,.16 .03,.16 .03,.9", "c8d4dc", "stem", alpha=0.8)
    p.blob(
        "-.42,-.92 -.5,-.4 -.34,.04 0,.2 .34,.04 .5,-.4 .42,-.92 0,-.86",
        "d8e4ec",
        alpha=0.4,
        gloss=0.3,
    )
    p.blob("-.49,-.4 -.34,.03 0,.18 .34,.03 .49,-.4 0,-.34", shade="upright", alpha=0.92)
    p.oval(0, -0.4, 0.48, 0.09, None, tone=1.15, alpha=0.9)
    p.line("-.34,-.8 -.38,-.5", 0.04, "ffffff", alpha=0.7, rough=0)


@thing("bowl", "rim", _ANY, "table", foot=0.56, size=(78, 98))
def bowl(p: Pen) -> None:
    p.poly(np.concatenate([ellipse(0, -0.2, 0.92, 0.72)[:23]]), shade="upright", gloss=0.3)
    p.box(-0.34, 0.44, 0.34, 0.56, None, tone=0.8, r=0.04)
    p.oval(0, -0.2, 0.93, 0.26, None, "rim", tone=1.15)
    p.oval(0, -0.18, 0.84, 0.21, None, tone=0.7)
    if p.rng.random() < 0.6:
        fruit = p.any("c82828", "e8a020", "6ca83c", "8c5c30")
        for _ in range(16):
            x = p.rng.uniform(-0.6, 0.6)
            p.oval(x, -0.2 - 0.14 * (1 - x * x) * p.rng.random(), 0.15, 0.14, fruit, shade="sphere")


@thing(
    "plate",
    "rim",
    "white blue red green yellow",
    "surface table",
    foot=None,
    size=(84, 100),
    turn=0,
)
def plate(p: Pen) -> None:
    p.oval(0, 0, 0.96, 0.96, None, "rim", gloss=0.2)
    p.ring(0, 0, 0.86, 0.05, p.any("2c4c8c", "c8a040", "8c2020", "e8e4dc"), "rim")
    p.oval(0, 0, 0.66, 0.66, None, tone=1.03)
    p.ring(0, 0, 0.66, 0.02, None, tone=0.85)


@thing("spoon", "handle", "grey brown", "table surface studio", foot=None, size=(86, 104), turn=60)
def spoon(p: Pen) -> None:
    p.line("0,-.3 .01,.2 0,.95", 0.1, None, "handle", gloss=0.4)
    p.oval(0, 0.88, 0.075, 0.1, None, "handle", gloss=0.4)
    p.oval(0, -0.62, 0.24, 0.36, gloss=0.6)
    p.oval(0.01, -0.6, 0.19, 0.29, None, tone=0.75, gloss=0.3)


@thing("fork", "handle", "grey", "table surface studio", foot=None, size=(86, 104), turn=60)
def fork(p: Pen) -> None:
    p.line("0,-.2 .01,.3 0,.95", 0.1, None, "handle", gloss=0.4)
    p.blob("-.22,-.5 .22,-.5 .18,-.28 .05,-.12 -.05,-.12 -.18,-.28", gloss=0.4)
    for x in (-0.18, -0.06, 0.06, 0.18):
        p.line([(x, -0.44), (x, -0.94)], 0.065, gloss=0.4)


@thing("knife", "blade handle", "grey", "table surface studio", foot=None, size=(88, 106), turn=60)
def knife(p: Pen) -> None:
    p.blob(
        "-.1,.22 -.1,-.6 0,-.96 .11,-.7 .13,-.2 .13,.22",
        None,
        "blade",
        gloss=0.5,
        grain="metal",
        rough=0.08,
    )
    p.box(
        -0.1,
        0.2,
        0.1,
        0.96,
        p.any("2c1c12", "1c1c1e", "6c3c1c"),
        "handle",
        r=0.07,
        grain="wood",
        rough=0.08,
    )
    for y in (0.36, 0.56, 0.76):
        p.oval(0, y, 0.028, 0.028, "c8c8c4", "handle")


@thing("vase", "neck", _ANY, "table studio", size=(82, 102), turn=1)
def vase(p: Pen) -> None:
    shape = (
        "-.26,-.95 .26,-.95 .2,-.6 .22,-.4 .5,0 .52,.4 "
        ".3,.94 -.3,.94 -.52,.4 -.5,0 -.22,-.4 -.2,-.6"
    )
    p.blob(shape, shade="upright", gloss=0.4)
    p.blob("-.26,-.96 .26,-.96 .2,-.6 .21,-.44 -.21,-.44 -.2,-.6", None, "neck", shade="upright")
    band = p.any("f4ecd8", "1c1c20", "e8b428", "2c4c8c")
    for y, w in ((0.12, 0.5), (0.32, 0.52)):
        xs = np.linspace(-w, w, 15)
        p.line(
            np.stack([xs, y + 0.05 * (1 - (xs / w) ** 2) + 0.03 * (np.arange(15) % 2)], 1),
            0.045,
            band,
            curve=False,
        )
    p.oval(0, -0.95, 0.25, 0.05, "1c1816", "neck")
