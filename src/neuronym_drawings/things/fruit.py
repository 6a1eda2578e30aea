"""Fruit and vegetables."""

from __future__ import annotations

import numpy as np

from neuronym_drawings.things.base import Pen, ellipse, mirror, thing

TABLE = "table surface studio"


@thing("apple", "stem leaf", "red green yellow", TABLE, foot=0.86, size=(64, 92))
def apple(p: Pen) -> None:
    p.blob(
        "0,-.62 .3,-.8 .7,-.66 .88,-.2 .74,.4 .4,.82 .1,.84 0,.78 "
        "-.1,.84 -.4,.82 -.74,.4 -.88,-.2 -.7,-.66 -.3,-.8",
        shade="sphere",
        tone=1.25,
        gloss=0.4,
        rough=0.08,
    )
    p.oval(0, -0.6, 0.2, 0.08, None, tone=0.6)
    p.line("0,-.58 .02,-.76 .1,-.96", 0.06, "4c3018", "stem")
    p.blob(".06,-.78 .3,-.98 .56,-.94 .34,-.74", "4c9034", "leaf")


@thing("orange", "stem", "orange", TABLE, foot=0.9, size=(60, 90), turn=40)
def orange_fruit(p: Pen) -> None:
    p.oval(0, 0, 0.9, 0.88, shade="sphere", tone=1.15, grain="stone", rough=0.035, gloss=0.3)
    p.oval(0.1, -0.72, 0.08, 0.045, "4c6c20", "stem")
    p.blob(".1,-.72 .3,-.94 .6,-.94 .4,-.74", "3c8030", "stem")


@thing("banana", "stem", "yellow", TABLE, foot=None, size=(80, 102), turn=60)
def banana(p: Pen) -> None:
    for k in range(p.any(1, 2, 3)):
        dy = -0.1 * k
        p.blob(
            [
                (-0.9, -0.42 + dy),
                (-0.72, 0.1 + dy),
                (-0.2, 0.46 + dy),
                (0.4, 0.4 + dy),
                (0.86, 0.0 + dy),
                (0.9, -0.1 + dy),
                (0.76, -0.14 + dy),
                (0.3, 0.08 + dy),
                (-0.2, 0.1 + dy),
                (-0.6, -0.2 + dy),
                (-0.78, -0.5 + dy),
            ],
            None,
            tone=1 - 0.08 * k,
        )
        p.line(
            [(-0.7, -0.1 + dy), (-0.2, 0.28 + dy), (0.4, 0.24 + dy), (0.8, -0.06 + dy)],
            0.02,
            "8c6c14",
            alpha=0.6,
        )
    p.blob("-.92,-.4 -.98,-.66 -.84,-.7 -.76,-.48", "6c5c20", "stem")
    p.oval(0.88, -0.08, 0.06, 0.06, "3c2c14")


@thing("strawberry", "leaf seed", "red", TABLE, foot=None, size=(68, 94), turn=60)
def strawberry(p: Pen) -> None:
    p.blob(
        "0,-.6 .5,-.62 .76,-.3 .6,.3 .2,.84 0,.94 -.2,.84 -.6,.3 -.76,-.3 -.5,-.62",
        shade="sphere",
        tone=1.3,
        gloss=0.35,
    )
    for row, y in enumerate(np.arange(-0.4, 0.8, 0.19)):
        wide = 0.62 - 0.55 * max(0, y + 0.1)
        for x in np.arange(-wide + (row % 2) * 0.1, wide, 0.2):
            p.oval(x, y, 0.026, 0.042, "f0d070", "seed", rough=0)
    for a in (-2.9, -2.2, -1.57, -0.9, -0.25):
        p.blob(
            [
                (0, -0.66),
                (0.3 * np.cos(a - 0.4), -0.62 + 0.2 * np.sin(a - 0.4)),
                (0.52 * np.cos(a), -0.6 + 0.36 * np.sin(a)),
                (0.3 * np.cos(a + 0.4), -0.6 + 0.2 * np.sin(a + 0.4)),
            ],
            "3c8c30",
            "leaf",
        )


@thing("lemon", "leaf", "yellow", TABLE, foot=None, size=(66, 92), turn=90)
def lemon(p: Pen) -> None:
    p.blob(
        "-.96,0 -.8,-.1 -.5,-.48 0,-.6 .5,-.48 .8,-.12 .97,0 .8,.12 .5,.48 0,.6 -.5,.48 -.8,.1",
        shade="sphere",
        tone=1.15,
        grain="stone",
        rough=0.07,
        gloss=0.3,
    )
    p.blob("-.86,-.06 -.7,-.5 -.3,-.84 -.4,-.4", "3c8430", "leaf")


@thing("pear", "stem leaf", "green yellow", TABLE, foot=0.92, size=(70, 96))
def pear(p: Pen) -> None:
    p.blob(
        "0,-.74 .22,-.66 .3,-.3 .52,.1 .66,.5 .44,.88 0,.94 "
        "-.44,.88 -.66,.5 -.52,.1 -.3,-.3 -.22,-.66",
        shade="sphere",
        tone=1.2,
        grain="stone",
        rough=0.06,
        gloss=0.3,
    )
    p.line("0,-.7 .08,-.96", 0.055, "4c3018", "stem")
    p.blob(".04,-.76 .3,-.94 .5,-.84 .26,-.7", "4c9034", "leaf")


@thing("grapes", "stem leaf", "purple green red", TABLE, foot=None, size=(76, 98), turn=20)
def grapes(p: Pen) -> None:
    p.line("0,-.6 .05,-.97", 0.06, "5c4020", "stem")
    p.blob("0,-.66 .3,-.96 .7,-.9 .8,-.6 .44,-.5", "4c8c38", "leaf")
    for row in range(6):
        count = 5 - row if row else 4
        for k in range(max(count, 1)):
            x = (k - (max(count, 1) - 1) / 2) * 0.29 + p.rng.uniform(-0.03, 0.03)
            p.oval(
                x,
                -0.48 + row * 0.26,
                0.175,
                0.18,
                shade="sphere",
                tone=p.rng.uniform(1.1, 1.4),
                gloss=0.35,
            )


@thing("cherry", "stem leaf", "red", TABLE, foot=None, size=(70, 94), turn=20)
def cherry(p: Pen) -> None:
    p.line("-.42,.3 -.2,-.4 .16,-.9", 0.045, "4c7c28", "stem")
    p.line(".46,.4 .36,-.3 .16,-.9", 0.045, "4c7c28", "stem")
    p.blob(".16,-.9 .5,-.98 .86,-.7 .5,-.64", "4c9038", "leaf")
    for x, y in ((-0.44, 0.5), (0.48, 0.58)):
        p.oval(x, y, 0.38, 0.37, shade="sphere", tone=1.2, gloss=0.5)


@thing("watermelon", "seed rind", "red", TABLE, foot=0.56, size=(80, 100), turn=12)
def watermelon(p: Pen) -> None:
    for scale, colour, part in (
        (1.0, "2c7434", "rind"),
        (0.93, "d8ecc0", "rind"),
        (0.86, None, ""),
    ):
        p.poly(
            ellipse(0, -0.4, 0.97 * scale, 0.94 * scale)[:23],
            colour,
            part,
            shade="flat",
            grain="stone",
        )
    for a in np.arange(0.35, 2.9, 0.32):
        for r in (0.4, 0.66):
            if r > 0.5 or int(a * 10) % 2:
                p.oval(
                    r * np.cos(a),
                    -0.38 + r * np.sin(a),
                    0.028,
                    0.05,
                    "1c1210",
                    "seed",
                    turn=np.degrees(a) + 90,
                    rough=0,
                )


@thing("carrot", "leaf", "orange", TABLE, foot=None, size=(80, 102), turn=70)
def carrot(p: Pen) -> None:
    for a in (-2.0, -1.75, -1.5, -1.25):
        p.line(
            [
                (0, -0.46),
                (0.3 * np.cos(a), -0.46 + 0.3 * np.sin(a)),
                (0.5 * np.cos(a), -0.46 + 0.52 * np.sin(a)),
            ],
            0.07,
            "3c8c30",
            "leaf",
            grain="leaf",
            rough=0.3,
        )
    p.blob(
        "-.24,-.5 .24,-.5 .26,-.3 .14,.4 .02,.96 -.02,.96 -.14,.4 -.26,-.3",
        shade="upright",
        gloss=0.2,
    )
    for y in (-0.3, -0.1, 0.14, 0.36):
        x = p.rng.uniform(-0.1, 0.02)
        p.line([(x, y), (x + 0.12, y + 0.01)], 0.016, "a04c10", alpha=0.7, rough=0)


@thing("tomato", "stem", "red", TABLE, foot=0.74, size=(64, 92))
def tomato(p: Pen) -> None:
    p.blob(
        "0,-.6 .46,-.66 .86,-.36 .9,.2 .6,.66 0,.74 -.6,.66 -.9,.2 -.86,-.36 -.46,-.66",
        shade="sphere",
        tone=1.3,
        gloss=0.5,
    )
    for a in np.arange(5) * 1.2566:
        p.blob(
            [
                (0, -0.56),
                (0.2 * np.cos(a - 0.4), -0.54 + 0.1 * np.sin(a - 0.4)),
                (0.44 * np.cos(a), -0.52 + 0.2 * np.sin(a)),
                (0.2 * np.cos(a + 0.4), -0.54 + 0.1 * np.sin(a + 0.4)),
            ],
            "3c7c2c",
            "stem",
        )
    p.line("0,-.56 .04,-.78", 0.06, "4c7c2c", "stem")


@thing("corn", "leaf", "yellow", TABLE, foot=None, size=(84, 104), turn=60)
def corn(p: Pen) -> None:
    p.blob("0,-.95 .26,-.7 .3,0 .22,.7 -.22,.7 -.3,0 -.26,-.7", tone=0.75)
    for y in np.arange(-0.82, 0.6, 0.1):
        wide = 0.27 * np.sqrt(max(0.1, 1 - (y / 1.05) ** 4)) if y < 0 else 0.28
        for x in np.linspace(-wide, wide, 6):
            p.oval(x, y, 0.056, 0.056, tone=1.1 - 0.5 * abs(x), rough=0, gloss=0.2)
    for s in (-1, 1):
        p.blob(
            [(s * 0.02, 0.98), (s * 0.3, 0.7), (s * 0.5, 0.0), (s * 0.56, -0.3), (s * 0.2, 0.3)],
            "6ca840",
            "leaf",
            strength=1.5,
        )
    p.blob(mirror("-.2,.5 .1,.3 .24,.6 0,.98 -.14,.8"), "7cb448", "leaf")


@thing("pumpkin", "stem", "orange", "table lawn studio", foot=0.76, size=(72, 96))
def pumpkin(p: Pen) -> None:
    for x, w in ((-0.58, 0.38), (0.58, 0.38), (-0.3, 0.4), (0.3, 0.4), (0, 0.36)):
        p.oval(
            x,
            0.08,
            w,
            0.66 - 0.12 * abs(x),
            None,
            tone=1.05 - 0.25 * abs(x),
            strength=1.5,
            gloss=0.15,
        )
    p.blob("-.1,-.52 -.08,-.8 .06,-.9 .14,-.82 .08,-.7 .12,-.5", "5c7430", "stem")


@thing("pepper", "stem", "red green yellow orange", TABLE, foot=0.88, size=(70, 94))
def pepper(p: Pen) -> None:
    for x, w in ((-0.38, 0.36), (0.38, 0.36), (0, 0.4)):
        p.blob(
            [
                (x - w, -0.4),
                (x - w * 0.5, -0.68),
                (x + w * 0.5, -0.68),
                (x + w, -0.4),
                (x + w * 0.8, 0.4),
                (x * 0.7 + w * 0.3, 0.86),
                (x * 0.7 - w * 0.3, 0.86),
                (x - w * 0.8, 0.4),
            ],
            None,
            gloss=0.5,
            strength=1.4,
        )
    p.blob("-.2,-.6 0,-.68 .2,-.6 .08,-.54 -.08,-.54", "3c7c2c", "stem")
    p.line("0,-.6 .02,-.8 .12,-.95", 0.12, "3c7c2c", "stem")
