"""What people wear and carry."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuronym_drawings.things.base import Pen, mirror, points_of, thing

SKIN = ("f2cdb2", "e4b48c", "c68c62", "9c6644", "6e442c", "f6d8c4")
HAIR = ("1a1412", "3c2414", "6c4420", "b8863c", "a8501c", "8c8884")
_CLOTH = "red blue green yellow white black purple pink orange grey"


@thing(
    "hat",
    "brim band",
    "black brown red blue white green",
    "studio table surface",
    foot=0.6,
    size=(80, 100),
)
def hat(p: Pen) -> None:
    p.oval(0, 0.36, 0.97, 0.24, None, "brim", tone=0.9)
    p.blob(
        "-.52,.36 -.5,-.2 -.4,-.56 -.1,-.62 0,-.54 .1,-.62 .4,-.56 .5,-.2 .52,.36 0,.46",
        grain="cloth",
        rough=0.06,
    )
    p.poly(
        "-.53,.34 -.52,.12 -.2,.2 .2,.2 .52,.12 .53,.34 .2,.44 -.2,.44",
        p.any("1c1814", "c83c2c", "e8dcc0"),
        "band",
    )


@thing("shirt", "sleeve collar button", _CLOTH, "wall surface studio", foot=None, size=(84, 104))
def shirt(p: Pen) -> None:
    cloth: dict[str, Any] = {"grain": "cloth", "rough": 0.07}
    for s in (-1, 1):
        p.poly(
            [(s * 0.4, -0.72), (s * 0.95, -0.24), (s * 0.74, 0.08), (s * 0.4, -0.16)],
            None,
            "sleeve",
            tone=0.92,
            **cloth,
        )
    p.blob("-.2,-.82 .2,-.82 .56,-.66 .5,-.1 .52,.86 0,.9 -.52,.86 -.5,-.1 -.56,-.66", **cloth)
    p.line("0,-.6 .01,.88", 0.02, None, tone=0.7)
    for s in (-1, 1):
        p.poly(
            [(0, -0.58), (s * 0.3, -0.72), (s * 0.2, -0.9), (0, -0.76)], None, "collar", tone=1.08
        )
    for y in np.arange(-0.42, 0.8, 0.26):
        p.oval(0.0, y, 0.035, 0.035, "f0ece4" if p.term not in ("white",) else "4c4c50", "button")


@thing(
    "shoe",
    "sole lace",
    "red white black blue brown green",
    "floor table studio road",
    foot=0.52,
    size=(82, 102),
)
def shoe(p: Pen) -> None:
    p.box(-0.94, 0.34, 0.97, 0.52, p.any("f4f4f0", "2a2624", "c8a878"), "sole", r=0.1)
    p.blob(
        "-.9,.4 -.92,0 -.86,-.4 -.6,-.44 -.36,-.42 -.1,-.2 .3,.0 .8,.1 .97,.26 .95,.4 0,.42",
        grain="cloth",
        rough=0.05,
    )
    p.blob("-.82,-.4 -.6,-.48 -.38,-.42 -.5,-.32", "2c2624")
    p.blob(".5,.06 .82,.1 .97,.26 .95,.4 .6,.4", None, tone=0.85)
    for k in range(4):
        x, y = -0.3 + 0.16 * k, -0.36 + 0.1 * k
        p.line(
            [(x - 0.06, y + 0.1), (x + 0.1, y)],
            0.04,
            "f6f4ee" if p.term != "white" else "3c3c40",
            "lace",
        )
    p.blob("-.7,.1 -.3,.0 .1,.16 -.2,.26 -.6,.26", p.any("f4f4f0", "2c2c30", "e8b428"), alpha=0.9)


@thing("sock", "", _CLOTH, "surface studio", foot=None, size=(80, 100), turn=30)
def sock(p: Pen) -> None:
    p.blob(
        "-.4,-.92 .16,-.92 .14,-.2 .2,.2 .6,.42 .84,.6 .8,.86 .4,.94 0,.8 -.36,.5 -.44,.1",
        grain="cloth",
        rough=0.1,
    )
    stripe = p.any("f4f0e8", "2c2c30", "e8b428", "c83c3c")
    for y in (-0.84, -0.62):
        p.box(-0.41, y, 0.17, y + 0.11, stripe, grain="cloth", rough=0.1)
    p.blob(".56,.42 .84,.6 .8,.86 .5,.92", stripe, grain="cloth", rough=0.1)


@thing(
    "sunglasses",
    "lens",
    "black brown red blue",
    "table studio surface",
    foot=None,
    size=(84, 102),
    turn=8,
)
def sunglasses(p: Pen) -> None:
    for s in (-1, 1):
        p.line([(s * 0.86, -0.2), (s * 1.04, -0.3)], 0.07)
        shape = points_of(
            f"{s * 0.1},-.2 {s * 0.5},-.3 {s * 0.9},-.24 {s * 0.88},.1 {s * 0.6},.34 {s * 0.24},.26"
        )
        p.blob(shape, gloss=0.3)
        p.blob(
            (shape - (s * 0.5, 0)) * 0.86 + (s * 0.5, 0),
            p.any("14181c", "2c3034", "4c2c14"),
            "lens",
            gloss=0.3,
            strength=1.6,
        )
        p.line([(s * 0.3, -0.16), (s * 0.46, 0.1)], 0.06, "ffffff", "lens", alpha=0.28, rough=0)
    p.line("-.12,-.14 0,-.2 .12,-.14", 0.07)


@thing(
    "bag",
    "handle strap",
    "brown red black blue pink yellow",
    "table floor studio",
    foot=0.9,
    size=(78, 98),
)
def bag(p: Pen) -> None:
    p.line("-.42,-.2 -.36,-.8 0,-.95 .36,-.8 .42,-.2", 0.09, None, "handle", tone=0.75)
    p.blob(
        "-.72,-.24 .72,-.24 .86,.4 .78,.88 -.78,.88 -.86,.4", grain="stone", rough=0.08, gloss=0.2
    )
    p.blob(
        "-.74,-.26 .74,-.26 .7,.1 .3,.26 -.3,.26 -.7,.1", None, tone=0.88, grain="stone", rough=0.08
    )
    p.box(-0.1, 0.1, 0.1, 0.42, "d8b450", "strap", r=0.04, gloss=0.3)


@thing(
    "umbrella",
    "handle",
    "red blue yellow green black purple pink",
    "street sand studio",
    foot=None,
    size=(84, 104),
    turn=12,
)
def umbrella(p: Pen) -> None:
    p.line("0,-.8 0,.7", 0.04, "4c4440", "handle", curve=False)
    p.line("0,.6 0,.82 .1,.92 .22,.84 .22,.74", 0.07, "6c4424", "handle")
    t = np.linspace(np.pi, 2 * np.pi, 30)
    top = np.stack([0.96 * np.cos(t), 0.1 + 0.9 * np.sin(t)], 1)
    hem = []
    for k in range(6):
        a = np.linspace(0, np.pi, 7)[:-1]
        hem += [(0.96 - 0.32 * (k + (1 - np.cos(b)) / 2), 0.1 - 0.09 * np.sin(b)) for b in a]
    p.poly(np.concatenate([top, hem]), shade="sphere", tone=1.2)
    for x in (-0.64, -0.32, 0, 0.32, 0.64):
        p.line(
            [(x, 0.1), (x * 0.8, -0.3), (x * 0.35, -0.68), (0, -0.8)],
            0.016,
            None,
            tone=0.62,
            rough=0,
        )
    p.line("0,-.8 0,-.94", 0.035, "2c2826")


@thing(
    "glove",
    "finger thumb",
    "red blue black brown green",
    "surface studio snow",
    foot=None,
    size=(80, 100),
    turn=25,
)
def glove(p: Pen) -> None:
    wool: dict[str, Any] = {"grain": "cloth", "rough": 0.12}
    p.blob(mirror(".4,.3 .8,.1 .86,-.2 .7,-.3 .4,.0"), None, "thumb", **wool)
    for x, top in ((-0.34, -0.66), (-0.11, -0.86), (0.12, -0.84), (0.35, -0.62)):
        p.line([(x, 0.1), (x * 1.15, top)], 0.23, None, "finger", **wool)
    p.blob("-.46,0 0,-.1 .46,0 .46,.5 0,.6 -.46,.5", **wool)
    p.box(-0.44, 0.5, 0.44, 0.94, None, tone=0.75, r=0.06, **wool)
    for x in np.arange(-0.38, 0.4, 0.1):
        p.line([(x, 0.52), (x, 0.92)], 0.02, None, tone=0.5, rough=0)
