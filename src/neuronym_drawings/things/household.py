"""Tools, instruments and other things on a table."""

from __future__ import annotations

import numpy as np

from neuronym_drawings.things.base import Pen, ellipse, thing

_ANY = "red blue green yellow white black orange purple pink grey brown"


@thing("book", "page cover", _ANY, "table surface", foot=0.6, size=(84, 102), turn=3)
def book(p: Pen) -> None:
    p.poly("-.99,-.42 0,-.34 .99,-.42 .99,.54 0,.64 -.99,.54", None, "cover", tone=0.8)
    for s in (-1, 1):
        p.blob(
            [
                (0, -0.38),
                (s * 0.4, -0.52),
                (s * 0.92, -0.44),
                (s * 0.93, 0.44),
                (s * 0.4, 0.38),
                (0, 0.54),
            ],
            "f4eedd",
            "page",
            strength=1.3,
        )
        for y in np.arange(-0.34, 0.36, 0.085):
            end = p.rng.uniform(0.66, 0.84)
            p.line(
                [(s * 0.1, y + 0.04), (s * 0.4, y - 0.05), (s * end, y)],
                0.018,
                "3c3834",
                "page",
                rough=0,
            )
    p.line("0,-.36 0,.56", 0.025, "8c8474", "page")


@thing(
    "key", "ring", "yellow grey brown", "surface table studio", foot=None, size=(82, 102), turn=180
)
def key(p: Pen) -> None:
    p.line("-.3,0 .95,0", 0.15, gloss=0.4)
    for x in (0.62, 0.82):
        p.box(x - 0.06, 0, x + 0.06, p.any(0.28, 0.34, 0.24), gloss=0.4)
    p.ring(-0.6, 0, 0.3, 0.17, None, "ring", gloss=0.4)


@thing(
    "scissors",
    "blade handle",
    "red blue black orange green",
    "surface table studio",
    foot=None,
    size=(84, 104),
    turn=180,
)
def scissors(p: Pen) -> None:
    for s in (-1, 1):
        p.poly(
            [(s * 0.04, 0.12), (-s * 0.26, -0.95), (-s * 0.08, -0.5), (s * 0.14, 0.1)],
            "c4c8cc",
            "blade",
            gloss=0.4,
            grain="metal",
            rough=0.06,
        )
        p.line([(s * 0.06, 0.05), (s * 0.2, 0.4)], 0.12, None, "handle")
        p.ring(s * 0.34, 0.64, 0.22, 0.12, None, "handle", ry=0.26, gloss=0.2)
    p.oval(0, 0.02, 0.055, 0.055, "54585c")


@thing(
    "hammer",
    "handle head",
    "brown yellow red",
    "surface table studio",
    foot=None,
    size=(84, 104),
    turn=90,
)
def hammer(p: Pen) -> None:
    p.line("0,-.6 .01,.2 0,.95", 0.17, None, "handle", grain="wood", rough=0.1)
    p.blob(
        "-.56,-.9 -.5,-.58 -.2,-.5 .2,-.52 .3,-.6 .62,-.6 .62,-.86 .3,-.86 0,-.9 -.3,-.8",
        "54585e",
        "head",
        gloss=0.35,
    )


@thing("laptop", "screen keyboard", "grey black white", "table", foot=0.66, size=(84, 102), turn=1)
def laptop(p: Pen) -> None:
    p.box(-0.72, -0.78, 0.72, 0.2, r=0.05)
    p.box(
        -0.66,
        -0.72,
        0.66,
        0.14,
        p.any("2c5c9c", "dce8f0", "1c2430", "4c8c74"),
        "screen",
        shade="down",
        strength=2,
    )
    for y in (-0.5, -0.36, -0.22):
        p.line(
            [(-0.5, y), (p.rng.uniform(-0.1, 0.5), y)],
            0.04,
            "f0f4f4",
            "screen",
            rough=0,
            alpha=0.75,
        )
    p.poly("-.74,.2 .74,.2 .98,.62 -.98,.62", None, tone=0.92, shade="flat")
    p.poly("-.98,.62 .98,.62 .97,.67 -.97,.67", None, tone=0.6)
    for row in range(4):
        y, wide = 0.25 + row * 0.07, 0.66 + row * 0.045
        for x in np.linspace(-wide, wide, 13):
            p.box(x - 0.042, y, x + 0.042, y + 0.052, "1e1f22", "keyboard", rough=0, shade="flat")
    p.box(-0.2, 0.55, 0.2, 0.61, None, tone=0.75)


@thing(
    "phone",
    "screen button",
    "black white red blue",
    "table surface studio",
    foot=None,
    size=(84, 104),
    turn=30,
)
def phone(p: Pen) -> None:
    p.box(-0.5, -0.96, 0.5, 0.96, r=0.12, gloss=0.2)
    p.box(
        -0.43,
        -0.8,
        0.43,
        0.76,
        p.any("2c4c8c", "183048", "4c2c5c"),
        "screen",
        shade="down",
        strength=2.5,
    )
    for y in np.arange(-0.68, 0.6, 0.26):
        for x in (-0.27, 0, 0.27):
            p.box(
                x - 0.09,
                y,
                x + 0.09,
                y + 0.18,
                p.any("e85040", "48b868", "f0b428", "4c8ce8", "f0f0f0"),
                "screen",
                r=0.04,
                rough=0,
            )
    p.oval(0, 0.86, 0.06, 0.06, "808488", "button")


@thing("keyboard", "key", "grey black white", "table surface", foot=None, size=(94, 108), turn=6)
def keyboard(p: Pen) -> None:
    p.box(-1, -0.4, 1, 0.42, r=0.05)
    shade = p.any("f0f0ec", "2a2a2e", "d8d8d4") if p.term != "black" else "3c3c42"
    for row in range(5):
        y, shift = -0.32 + row * 0.142, 0.03 * row
        for x in np.arange(-0.92, 0.84 - shift, 0.128):
            p.box(x + shift, y, x + shift + 0.108, y + 0.118, shade, "key", r=0.02, rough=0.02)
    p.box(-0.4, 0.25, 0.4, 0.37, shade, "key", r=0.02)


@thing(
    "camera",
    "lens button",
    "black grey brown red",
    "table studio surface",
    foot=0.66,
    size=(80, 100),
)
def camera(p: Pen) -> None:
    p.box(-0.2, -0.68, 0.3, -0.4, None, tone=0.85, r=0.06)
    p.box(-0.62, -0.56, -0.44, -0.44, "c8ccd0", "button", r=0.03)
    p.box(-0.95, -0.48, 0.95, 0.64, r=0.12, grain="stone", rough=0.06)
    p.box(-0.95, -0.48, 0.95, -0.24, "a8acb0", r=0.08, gloss=0.2)
    p.box(-0.1, -0.62, 0.2, -0.5, "d8e4ec", gloss=0.4)
    for r, colour in (
        (0.46, "28282c"),
        (0.38, "54585c"),
        (0.33, "101216"),
        (0.22, "1c2c44"),
        (0.12, "0a0a12"),
    ):
        p.oval(0.05, 0.12, r, r, colour, "lens", gloss=0.2)
    p.oval(-0.06, 0.0, 0.07, 0.05, "b8d0f0", "lens", alpha=0.8, rough=0)


@thing(
    "guitar",
    "neck string",
    "brown orange red black",
    "studio wall floor",
    foot=None,
    size=(92, 108),
    turn=25,
)
def guitar(p: Pen) -> None:
    p.blob(
        "0,-.06 .26,-.04 .38,.16 .3,.34 .46,.56 .4,.86 0,.98 "
        "-.4,.86 -.46,.56 -.3,.34 -.38,.16 -.26,-.04",
        grain="wood",
        rough=0.08,
        gloss=0.3,
    )
    p.oval(0, 0.34, 0.14, 0.14, "1a120c", gloss=0)
    p.ring(0, 0.34, 0.16, 0.03, "e0c890")
    p.box(-0.2, 0.68, 0.2, 0.75, "2c1c10")
    p.box(-0.06, -0.78, 0.06, 0.26, "3c2416", "neck")
    p.poly("-.09,-.76 -.11,-.99 .11,-.99 .09,-.76", "4c2e1a", "neck")
    for y in np.arange(-0.72, 0.2, 0.1):
        p.line([(-0.06, y), (0.06, y)], 0.014, "c8c0a8", "neck", rough=0)
    for x in (-0.04, -0.013, 0.013, 0.04):
        p.line([(x, -0.92), (x, 0.7)], 0.009, "e8e0d0", "string", rough=0)


@thing("drum", "stick", "red blue white yellow", "floor studio", foot=0.84, size=(78, 98))
def drum(p: Pen) -> None:
    p.poly(
        np.concatenate([ellipse(0, 0.6, 0.84, 0.24)[:23], [(-0.84, -0.3), (0.84, -0.3)]]),
        shade="upright",
        gloss=0.2,
    )
    for x in np.linspace(-0.8, 0.6, 7):
        p.line([(x, -0.14), (x + 0.11, 0.66), (x + 0.22, -0.14)], 0.025, "f0e8d0", curve=False)
    p.oval(0, -0.3, 0.87, 0.27, "d8b450", gloss=0.3)
    p.oval(0, -0.32, 0.8, 0.23, "f6f2e6", shade="flat")
    for s in (-1, 1):
        p.line([(s * 0.1, -0.3), (s * 0.7, -0.92)], 0.06, "c89858", "stick")
        p.oval(s * 0.1, -0.3, 0.06, 0.05, "c89858", "stick")


@thing("bell", "clapper", "yellow brown grey", "studio sky", foot=None, size=(78, 98), turn=18)
def bell(p: Pen) -> None:
    p.oval(0, 0.74, 0.16, 0.16, "5c4420", "clapper", shade="sphere")
    p.ring(0, -0.84, 0.1, 0.05)
    p.blob(
        "-.14,-.78 .14,-.78 .4,-.5 .5,.2 .84,.62 .6,.72 -.6,.72 -.84,.62 -.5,.2 -.4,-.5",
        shade="upright",
        gloss=0.5,
    )
    p.line("-.5,.3 0,.36 .5,.3", 0.04, None, tone=0.7)


@thing("telescope", "lens leg", "grey blue white brown", "night studio", size=(84, 104), turn=0)
def telescope(p: Pen) -> None:
    for x in (-0.5, 0.0, 0.44):
        p.line([(0, 0.1), (x, 0.97)], 0.07, "4c3828", "leg", curve=False)
    p.line("-.7,.4 .8,-.66", 0.3, curve=False, taper=1.25, gloss=0.3)
    p.line("-.74,.43 -.94,.57", 0.17, "1e1e22", curve=False)
    p.oval(0.84, -0.69, 0.1, 0.21, "a8c8e0", "lens", turn=-35, gloss=0.3)
    p.oval(0, 0.08, 0.1, 0.1, "2c2c30")


@thing(
    "pencil",
    "tip eraser",
    "yellow red green blue",
    "surface table studio",
    foot=None,
    size=(92, 108),
    turn=180,
)
def pencil(p: Pen) -> None:
    p.box(-0.72, -0.1, 0.62, 0.1, shade="lying")
    p.box(-0.72, -0.035, 0.62, 0.035, None, tone=1.15, shade="flat")
    p.poly(".62,-.1 .62,.1 .96,.0", "e8c898", "tip")
    p.poly(".86,-.03 .86,.03 .97,0", "1c1a1c", "tip")
    p.box(-0.84, -0.105, -0.7, 0.105, "b0b4b8", "eraser", shade="lying")
    p.box(-0.96, -0.1, -0.83, 0.1, "e88c8c", "eraser", r=0.05, shade="lying")


@thing(
    "dice", "spot", "white red blue black green", "table surface studio", foot=0.88, size=(68, 92)
)
def dice(p: Pen) -> None:
    p.poly("-.75,-.35 0,.05 0,.95 -.75,.5", None, tone=0.88, shade="soft")
    p.poly("0,.05 .75,-.35 .75,.5 0,.95", None, tone=0.66, shade="soft")
    p.poly("-.75,-.35 0,-.75 .75,-.35 0,.05", None, tone=1.05, shade="soft")
    dot = "f8f8f4" if p.term != "white" else "16161a"
    for u, v in ((0.25, 0.25), (0.5, 0.5), (0.75, 0.75)):
        p.oval(-0.75 + 0.75 * u, -0.35 + 0.4 * u + 0.88 * v, 0.07, 0.09, dot, "spot", rough=0)
    for u, v in ((0.25, 0.28), (0.75, 0.28), (0.25, 0.72), (0.75, 0.72)):
        p.oval(0.75 * u, 0.05 - 0.4 * u + 0.88 * v, 0.07, 0.09, dot, "spot", rough=0)
    p.oval(0, -0.35, 0.12, 0.07, dot, "spot", rough=0)


@thing(
    "gift",
    "ribbon",
    "red blue green purple pink yellow",
    "table floor studio snow",
    foot=0.84,
    size=(76, 96),
)
def gift(p: Pen) -> None:
    ribbon = p.any("f0c838", "f4f4f0", "d83040", "40b070")
    p.box(-0.72, -0.2, 0.72, 0.84)
    p.box(-0.8, -0.4, 0.8, -0.1, None, tone=1.1)
    p.box(-0.12, -0.4, 0.12, 0.84, ribbon, "ribbon", shade="upright", gloss=0.2)
    for s in (-1, 1):
        p.blob(
            [(0, -0.42), (s * 0.3, -0.85), (s * 0.56, -0.7), (s * 0.4, -0.46)],
            ribbon,
            "ribbon",
            gloss=0.2,
            strength=1.5,
        )
    p.oval(0, -0.46, 0.12, 0.1, ribbon, "ribbon", tone=0.9)


@thing("crown", "jewel", "yellow", "studio table surface", foot=0.66, size=(78, 98))
def crown(p: Pen) -> None:
    p.poly(
        "-.8,.6 -.94,-.4 -.5,.06 -.3,-.66 0,.0 .3,-.66 .5,.06 .94,-.4 .8,.6",
        shade="upright",
        gloss=0.5,
    )
    p.box(-0.81, 0.38, 0.81, 0.66, None, tone=0.85, shade="upright", gloss=0.5)
    for x, y, c in (
        (-0.5, 0.52, "c82040"),
        (0, 0.52, "2050c8"),
        (0.5, 0.52, "20a060"),
        (-0.94, -0.44, "c82040"),
        (-0.3, -0.7, "2050c8"),
        (0.3, -0.7, "20a060"),
        (0.94, -0.44, "c82040"),
    ):
        p.oval(x, y, 0.08, 0.08, c, "jewel", gloss=0.5)
