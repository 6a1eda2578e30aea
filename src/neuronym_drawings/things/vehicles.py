"""Things that drive, float and fly."""

from __future__ import annotations

import numpy as np

from neuronym_drawings.things.base import Pen, ellipse, thing

_PAINT = "red blue white black green yellow grey orange"
GLASS = "7f9bb0"
RUBBER = "19191b"


def wheel(p: Pen, x: float, y: float, r: float) -> None:
    """A wheel with tyre, rim and hub."""
    p.oval(x, y, r, r, RUBBER, "wheel", shade="soft")
    p.oval(x, y, r * 0.64, r * 0.64, "b4b8bc", "wheel", shade="soft", gloss=0.2)
    for k in range(5):
        a = k * 1.2566 + x
        p.oval(
            x + r * 0.4 * np.cos(a), y + r * 0.4 * np.sin(a), r * 0.13, r * 0.13, "4a4c50", "wheel"
        )
    p.oval(x, y, r * 0.16, r * 0.16, "55585c", "wheel")


@thing("car", "wheel window door headlight", _PAINT, "road street lawn", foot=0.62, size=(84, 104))
def car(p: Pen) -> None:
    roof = p.any(-0.42, -0.36, -0.48)
    p.blob(
        f"-.98,.42 -.98,.1 -.9,-.02 -.6,-.08 -.38,{roof} -.1,{roof - 0.07} .25,{roof - 0.04} "
        ".55,-.1 .9,0 .99,.12 .98,.42 .6,.47 0,.48 -.6,.47",
        gloss=0.35,
    )
    p.poly(
        f"-.5,-.1 -.32,{roof + 0.04} -.02,{roof} 0,-.1", GLASS, "window", shade="down", gloss=0.3
    )
    p.poly(f".05,-.1 .03,{roof} .2,{roof + 0.02} .42,-.1", GLASS, "window", shade="down", gloss=0.3)
    p.poly("-.42,-.06 .02,-.06 .02,.4 -.42,.4", None, "door", tone=0.95)
    p.poly(".05,-.06 .4,-.06 .42,.2 .3,.4 .05,.4", None, "door", tone=0.95)
    for x in (-0.06, 0.33):
        p.box(x - 0.09, 0.05, x, 0.08, "d8dade", "door")
    p.oval(0.9, 0.12, 0.07, 0.06, "fff6d0", "headlight", shade="flat")
    p.box(-0.98, 0.06, -0.9, 0.17, "b01818")
    p.box(-0.97, 0.3, 0.98, 0.4, None, tone=0.6)
    for x in (-0.6, 0.62):
        p.oval(x, 0.42, 0.24, 0.24, "101012", shade="flat")
        wheel(p, x, 0.42, 0.2)


@thing(
    "bus",
    "wheel window door",
    "red yellow blue white green orange",
    "road street",
    foot=0.74,
    size=(86, 104),
)
def bus(p: Pen) -> None:
    p.box(-0.98, -0.62, 0.98, 0.55, r=0.12, gloss=0.25)
    p.box(-0.98, 0.2, 0.98, 0.3, p.any("ffffff", "222222", "e8d8a0"))
    for k in range(5):
        x = -0.88 + k * 0.3
        p.box(x, -0.46, x + 0.25, -0.02, GLASS, "window", r=0.03, shade="down", gloss=0.25)
    p.box(0.64, -0.46, 0.94, 0.5, "39424a", "door", shade="down")
    p.box(0.78, -0.42, 0.8, 0.48, "9aa2a8", "door")
    p.box(-0.96, 0.5, 0.97, 0.6, "26282a")
    for x in (-0.58, 0.42):
        wheel(p, x, 0.55, 0.19)


@thing("truck", "wheel window door", _PAINT, "road street", foot=0.72, size=(86, 104))
def truck(p: Pen) -> None:
    p.box(-0.98, -0.68, 0.36, 0.42, p.any("d8d8d4", "c8b48c", "8c9aa0", "e8e8e8"), shade="down")
    for k in range(6):
        p.box(-0.9 + k * 0.22, -0.64, -0.885 + k * 0.22, 0.38, "a8a8a4")
    p.blob(".38,.5 .38,-.3 .46,-.4 .72,-.38 .82,-.06 .97,.05 .98,.5", gloss=0.3)
    p.poly(".5,-.3 .69,-.28 .76,-.02 .5,-.02", GLASS, "window", shade="down", gloss=0.3)
    p.box(0.48, 0.02, 0.76, 0.42, None, "door", tone=0.92)
    p.box(0.5, 0.1, 0.58, 0.13, "d0d0d0", "door")
    p.box(-0.98, 0.42, 0.97, 0.54, "2c2c2e")
    for x in (-0.7, -0.32, 0.66):
        wheel(p, x, 0.53, 0.18)


@thing(
    "train",
    "wheel window",
    "red green blue black yellow",
    "lawn sand snow",
    foot=0.72,
    size=(88, 104),
)
def train(p: Pen) -> None:
    p.box(-1.3, 0.66, 1.3, 0.72, "5c4a3c")
    p.box(-0.96, -0.55, -0.38, 0.4, r=0.04)
    p.box(-1.0, -0.66, -0.32, -0.53, "2c2c2e", r=0.05)
    p.box(-0.84, -0.42, -0.5, -0.08, GLASS, "window", r=0.04, gloss=0.25)
    p.box(-0.42, -0.22, 0.78, 0.36, shade="lying", r=0.1, gloss=0.2)
    for x in (-0.1, 0.3, 0.66):
        p.box(x, -0.23, x + 0.05, 0.37, "c8a040", shade="lying")
    p.poly(".48,-.22 .44,-.62 .38,-.72 .74,-.72 .68,-.62 .64,-.22", "1e1e20", shade="upright")
    p.oval(0.1, -0.24, 0.12, 0.14, "c8a040", shade="sphere")
    p.poly(".78,.4 1,.66 .74,.66", "3a3a3c")
    p.box(-0.98, 0.34, 0.84, 0.48, "26262a")
    for x, r in ((-0.68, 0.24), (-0.16, 0.2), (0.24, 0.2), (0.62, 0.16)):
        p.oval(x, 0.68 - r, r, r, "2a2a2c", "wheel")
        p.ring(x, 0.68 - r, r * 0.8, r * 0.2, "8c2020", "wheel")
        for a in (0, 1.05, 2.1):
            dx, dy = r * 0.7 * np.cos(a), r * 0.7 * np.sin(a)
            p.line([(x - dx, 0.68 - r - dy), (x + dx, 0.68 - r + dy)], 0.03, "8c2020", "wheel")
    p.line("-.68,.5 .24,.5", 0.05, "c0c0c0")


@thing(
    "bicycle",
    "wheel saddle handlebar",
    "red blue green black yellow orange",
    "road street wall lawn",
    foot=0.8,
    size=(78, 98),
)
def bicycle(p: Pen) -> None:
    for x in (-0.55, 0.55):
        for a in np.arange(0, np.pi, np.pi / 9):
            dx, dy = 0.38 * np.cos(a), 0.38 * np.sin(a)
            p.line([(x - dx, 0.4 - dy), (x + dx, 0.4 + dy)], 0.012, "b8bcc0", "wheel", rough=0)
        p.ring(x, 0.4, 0.38, 0.065, "202022", "wheel")
        p.oval(x, 0.4, 0.05, 0.05, "808488", "wheel")
    for path in (
        "-.55,.4 -.22,-.2",
        "-.55,.4 -.05,.42 .4,-.12 -.22,-.16",
        "-.05,.42 -.24,-.26",
        ".55,.4 .4,-.12 .36,-.34",
    ):
        p.line(path, 0.062, curve=False)
    p.ring(-0.05, 0.42, 0.11, 0.03, "909498")
    p.line("-.05,.42 .06,.56", 0.035, "3c3c3e")
    p.box(0.0, 0.56, 0.14, 0.59, "2a2a2a")
    p.blob("-.42,-.34 -.2,-.34 -.06,-.28 -.26,-.26 -.4,-.26", "2c2220", "saddle")
    p.line(".36,-.34 .42,-.44 .56,-.42 .6,-.3", 0.05, "2c2c30", "handlebar")


@thing(
    "airplane",
    "wing window tail",
    "white grey blue red white",
    "sky sky night",
    foot=None,
    size=(84, 104),
    turn=14,
)
def airplane(p: Pen) -> None:
    p.poly("-.05,-.06 -.38,-.5 -.26,-.5 .28,-.06", None, "wing", tone=0.72)
    p.poly("-.7,-.08 -.95,-.56 -.8,-.56 -.5,-.1", None, "tail", tone=0.9)
    p.blob(
        "-.96,-.12 -.7,-.13 .5,-.14 .82,-.1 .98,.02 .88,.1 .5,.14 -.4,.12 -.8,.02", shade="lying"
    )
    p.poly("-.8,-.03 -1,.14 -.9,.16 -.56,0", None, "tail", tone=0.8)
    for x in np.arange(-0.5, 0.6, 0.11):
        p.oval(x, -0.04, 0.027, 0.035, "33404c", "window", shade="flat")
    p.poly(".78,-.08 .9,-.05 .92,0 .8,0", "33404c", "window", shade="flat")
    p.poly("-.1,.05 .26,.05 -.28,.6 -.48,.6", None, "wing", tone=0.88)
    p.blob("-.2,.24 .1,.22 .12,.34 -.18,.36", "8c9096", shade="lying")


@thing(
    "helicopter",
    "rotor window tail",
    "red yellow green blue orange",
    "sky",
    foot=None,
    size=(82, 100),
)
def helicopter(p: Pen) -> None:
    p.poly("0,-.1 -.9,-.12 -.98,-.4 -.86,-.4 -.8,-.2 0,.1", None, "tail", tone=0.85)
    p.ring(-0.9, -0.22, 0.14, 0.025, "3c3c40", "tail")
    p.blob("-.25,.02 0,-.3 .4,-.3 .72,-.02 .7,.24 .4,.36 0,.32", gloss=0.3)
    p.blob(".3,-.24 .44,-.24 .68,-.02 .66,.1 .3,.08", GLASS, "window", gloss=0.4)
    p.box(-0.02, -0.14, 0.22, 0.06, GLASS, "window", r=0.04)
    p.box(0.14, -0.46, 0.2, -0.28, "44464a")
    p.poly("-.78,-.5 .17,-.46 1,-.52 1,-.49 .17,-.42 -.78,-.47", "2a2a2c", "rotor")
    p.line("-.15,.54 .66,.54 .76,.48", 0.035, "2a2a2c")
    for x in (0.05, 0.45):
        p.line([(x, 0.3), (x - 0.03, 0.54)], 0.03, "2a2a2c")


@thing(
    "boat", "sail hull mast", "white red blue white yellow orange", "sea", foot=0.78, size=(78, 98)
)
def boat(p: Pen) -> None:
    p.box(-0.03, -0.95, 0.03, 0.5, "6e4a2a", "mast")
    p.blob("-.02,-.88 -.3,-.2 -.62,.34 -.02,.34", None, "sail", tone=0.92)
    p.poly(".06,-.8 .4,-.1 .62,.34 .06,.34", None, "sail")
    for y in (-0.35, 0.0):
        p.line([(0.07, y), (0.3 + y * 0.4, y + 0.02)], 0.012, "90908c", "sail")
    p.poly(
        "-.88,.44 .92,.44 .7,.74 .3,.84 -.4,.84 -.7,.74",
        p.any("7a4a26", "f0f0ee", "24447c", "8c1c1c"),
        "hull",
        shade="lying",
        grain="wood",
        rough=0.08,
    )
    p.line("-.9,.45 .93,.45", 0.05, "e8dcc8", "hull")


@thing("ship", "hull window funnel", "white black red blue", "sea", foot=0.66, size=(86, 104))
def ship(p: Pen) -> None:
    for k, x in enumerate((-0.3, 0.05)):
        p.box(x, -0.66, x + 0.2, -0.2, "c8302a", "funnel", shade="upright")
        p.box(x, -0.66, x + 0.2, -0.56, "1c1c1e", "funnel", shade="upright", tone=k)
    p.box(-0.6, -0.24, 0.5, 0.02, "f2f2ee")
    p.box(-0.78, 0.0, 0.62, 0.26, "e6e6e2")
    for y in (-0.16, 0.08):
        for x in np.arange(-0.52, 0.42, 0.15):
            p.box(x, y, x + 0.08, y + 0.09, "2c3844", "window", shade="flat")
    p.poly("-.95,.22 .98,.14 .78,.7 -.8,.7", None, "hull", shade="lying")
    p.poly("-.86,.58 .83,.58 .78,.7 -.8,.7", "8c2420", "hull")


@thing(
    "rocket",
    "fin window nose",
    "white grey red yellow blue",
    "night sky",
    foot=None,
    size=(84, 104),
    turn=20,
)
def rocket(p: Pen) -> None:
    p.blob("-.16,.62 -.2,.8 0,1 .2,.8 .16,.62", "ff9628", shade="flat")
    p.blob("-.08,.62 -.1,.74 0,.86 .1,.74 .08,.62", "fff0a0", shade="flat")
    for s in (-1, 1):
        p.poly([(s * 0.2, 0.2), (s * 0.52, 0.66), (s * 0.2, 0.6)], "c02a20", "fin")
    p.blob("0,-.98 .2,-.6 .27,-.1 .22,.64 -.22,.64 -.27,-.1 -.2,-.6", shade="upright", gloss=0.2)
    p.poly(
        np.concatenate([[(0, -0.99)], [(0.12, -0.8), (0.2, -0.56), (-0.2, -0.56), (-0.12, -0.8)]]),
        "c02a20",
        "nose",
        shade="upright",
    )
    p.oval(0, -0.24, 0.13, 0.13, "8c9094")
    p.oval(0, -0.24, 0.09, 0.09, "2c4a64", "window", gloss=0.3)
    p.box(-0.03, 0.2, 0.03, 0.68, "c02a20", "fin")


@thing(
    "balloon",
    "basket",
    "red yellow blue orange green purple pink",
    "sky",
    foot=None,
    size=(84, 102),
)
def hot_air_balloon(p: Pen) -> None:
    shape = "0,-.96 .5,-.78 .68,-.36 .5,.1 .16,.5 -.16,.5 -.5,.1 -.68,-.36 -.5,-.78"
    p.blob(shape, shade="sphere", tone=1.15)
    for s in (-1, 1):
        p.blob(
            [
                (s * 0.1, -0.95),
                (s * 0.3, -0.6),
                (s * 0.36, -0.3),
                (s * 0.28, 0.1),
                (s * 0.1, 0.5),
                (s * 0.12, 0.1),
                (s * 0.15, -0.3),
                (s * 0.12, -0.6),
            ],
            "f4ecd8",
            alpha=0.8,
        )
    for x in (-0.12, 0.12):
        p.line([(x, 0.5), (x * 0.8, 0.76)], 0.015, "5c4a3c")
    p.box(-0.13, 0.74, 0.13, 0.96, "8c5c2c", "basket", r=0.03, grain="cloth", rough=0.15)


@thing(
    "motorcycle",
    "wheel seat handlebar",
    "red black blue green yellow",
    "road street",
    foot=0.72,
    size=(84, 102),
)
def motorcycle(p: Pen) -> None:
    for x in (-0.6, 0.62):
        p.ring(x, 0.36, 0.28, 0.15, "1a1a1c", "wheel")
        p.ring(x, 0.36, 0.2, 0.03, "b0b4b8", "wheel")
        for a in np.arange(0, np.pi, np.pi / 5):
            dx, dy = 0.2 * np.cos(a), 0.2 * np.sin(a)
            p.line([(x - dx, 0.36 - dy), (x + dx, 0.36 + dy)], 0.02, "9a9ea2", "wheel")
    p.line(".62,.36 .36,-.36", 0.07, "c0c4c8")
    p.line("-.6,.36 -.1,.2", 0.07, "8c9094")
    p.blob("-.2,.1 .2,.02 .3,.24 .16,.42 -.16,.44", "808488", grain="metal", rough=0.2, gloss=0.3)
    for y in (0.12, 0.2, 0.28):
        p.line([(-0.1, y), (0.22, y - 0.03)], 0.025, "3c3e42")
    p.line("0,.42 -.3,.48 -.8,.42", 0.08, "c4c8cc", gloss=0.3)
    p.blob("-.1,-.02 .02,-.24 .3,-.26 .36,-.12 .14,.04", gloss=0.4)
    p.blob("-.82,-.06 -.6,-.16 -.1,-.08 -.06,.02 -.5,.06", "221e1e", "seat")
    p.blob("-.88,.1 -.7,-.02 -.4,.02 -.5,.1 -.7,.1", gloss=0.3)
    p.blob(".42,.1 .62,.02 .84,.14 .62,.1", gloss=0.3)
    p.line(".36,-.36 .26,-.44 .1,-.44", 0.05, "2a2a2c", "handlebar")
    p.oval(0.46, -0.26, 0.1, 0.1, "e8e8e0", gloss=0.3)


@thing(
    "wheel", "hub", "black grey brown", "surface studio wall", foot=None, size=(70, 96), turn=180
)
def single_wheel(p: Pen) -> None:
    p.ring(0, 0, 0.78, 0.3)
    p.ring(0, 0, 0.6, 0.06, "b4b8bc")
    count = p.any(5, 6, 8, 10)
    for a in np.arange(count) * 2 * np.pi / count:
        p.line([(0, 0), (0.6 * np.cos(a), 0.6 * np.sin(a))], p.any(0.05, 0.1), "9ca0a4")
    p.poly(ellipse(0, 0, 0.15, 0.15), "55585c", "hub", gloss=0.3)
