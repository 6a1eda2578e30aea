"""Mammals."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuronym_drawings.things.base import Pen, mirror, points_of, thing

FUR: dict[str, Any] = {"grain": "fur", "rough": 0.13}


def _eye(p: Pen, x: float, y: float, r: float, iris: str = "3c2412") -> None:
    p.oval(x, y, r, r, iris, "eye", shade="flat", rough=0)
    p.oval(x, y, r * 0.6, r * 0.6, "0a0a0c", "eye", shade="flat", rough=0)
    p.oval(x - r * 0.3, y - r * 0.35, r * 0.25, r * 0.25, "ffffff", "eye", shade="flat", rough=0)


@thing(
    "cat",
    "head ear eye nose",
    "orange grey black white brown",
    "floor lawn garden wall",
    size=(84, 108),
)
def cat(p: Pen) -> None:
    p.blob("-.5,1.3 -.55,.75 -.3,.5 .3,.5 .55,.75 .5,1.3", tone=0.9, **FUR)
    for s in (-1, 1):
        p.blob(
            [(s * 0.2, -0.45), (s * 0.5, -0.92), (s * 0.62, -0.88), (s * 0.66, -0.2)],
            None,
            "head ear",
            **FUR,
        )
        p.blob([(s * 0.34, -0.44), (s * 0.52, -0.76), (s * 0.58, -0.34)], "d89a8c", "head ear")
    p.blob(
        "0,-.58 .38,-.52 .66,-.16 .66,.2 .4,.5 0,.6 -.4,.5 -.66,.2 -.66,-.16 -.38,-.52",
        None,
        "head",
        **FUR,
    )
    if p.term in ("orange", "grey", "brown"):
        for x in (-0.16, 0, 0.16):
            p.line([(x, -0.54), (x * 0.7, -0.24)], 0.05, "2c1c10", "head", taper=0.3, alpha=0.6)
        for s in (-1, 1):
            for y in (0.0, 0.16):
                p.line(
                    [(s * 0.64, y), (s * 0.42, y + 0.06)],
                    0.045,
                    "2c1c10",
                    "head",
                    taper=0.3,
                    alpha=0.6,
                )
    p.blob(
        "0,.16 .2,.22 .26,.36 .12,.5 0,.5 -.12,.5 -.26,.36 -.2,.22",
        "f0e8dc",
        "head",
        alpha=0.85,
        **FUR,
    )
    iris = p.any("a8c03c", "e0b428", "6ca8c8", "88b048")
    for s in (-1, 1):
        p.oval(s * 0.28, -0.04, 0.145, 0.125, "161210", "head eye", shade="flat")
        p.oval(s * 0.28, -0.04, 0.125, 0.11, iris, "head eye", shade="flat")
        p.oval(s * 0.28, -0.04, p.any(0.03, 0.05, 0.07), 0.1, "0a0a0a", "head eye", shade="flat")
        p.oval(s * 0.28 - 0.04, -0.08, 0.025, 0.025, "ffffff", "head eye", shade="flat")
        for k in (-1, 0, 1):
            p.line(
                [
                    (s * 0.16, 0.34 + 0.03 * k),
                    (s * 0.52, 0.3 + 0.09 * k),
                    (s * 0.9, 0.3 + 0.15 * k),
                ],
                0.012,
                "f4f4f0",
                rough=0,
                solid=False,
            )
    p.poly("-.08,.2 .08,.2 0,.29", "c87c74", "head nose")
    p.line("-.13,.4 -.06,.43 0,.36 .06,.43 .13,.4", 0.02, "4c2c24", "head")


@thing(
    "dog",
    "head ear eye nose",
    "brown white black orange grey",
    "lawn floor garden sand",
    size=(84, 108),
)
def dog(p: Pen) -> None:
    p.blob("-.5,1.3 -.5,.7 -.25,.42 .25,.42 .5,.7 .5,1.3", tone=0.92, **FUR)
    p.blob(
        "0,-.72 .34,-.66 .5,-.36 .46,.1 .3,.44 0,.56 -.3,.44 -.46,.1 -.5,-.36 -.34,-.66",
        None,
        "head",
        **FUR,
    )
    for s in (-1, 1):
        p.blob(
            [
                (s * 0.3, -0.64),
                (s * 0.58, -0.6),
                (s * 0.78, -0.1),
                (s * 0.7, 0.3),
                (s * 0.54, 0.2),
                (s * 0.46, -0.3),
            ],
            None,
            "head ear",
            tone=0.62,
            **FUR,
        )
    p.blob(
        "0,-.1 .2,-.02 .3,.26 .2,.48 0,.52 -.2,.48 -.3,.26 -.2,-.02",
        p.any("f0e8d8", "d8bc94", "3c2c24"),
        "head",
        grain="fur",
        rough=0.1,
    )
    for s in (-1, 1):
        _eye(p, s * 0.22, -0.22, 0.085)
        p.line([(s * 0.13, -0.38), (s * 0.3, -0.37)], 0.04, "2c2018", "head", alpha=0.4)
    p.blob("-.15,.02 0,-.04 .15,.02 .1,.13 0,.18 -.1,.13", "161214", "head nose", gloss=0.4)
    p.line("0,.16 0,.3", 0.022, "2c1c18", "head")
    p.line("-.2,.32 -.1,.38 0,.3 .1,.38 .2,.32", 0.025, "2c1c18", "head")
    if p.rng.random() < 0.6:
        p.blob("-.09,.37 .09,.37 .1,.56 0,.66 -.1,.56", "e07c88", "head")


@thing("elephant", "trunk ear tusk leg eye", "grey", "sand lawn", foot=0.86, size=(86, 106), turn=1)
def elephant(p: Pen) -> None:
    hide: dict[str, Any] = {"grain": "stone", "rough": 0.12}
    for x, tone in ((-0.62, 0.75), (0.1, 0.75), (-0.44, 1.0), (0.28, 1.0)):
        p.box(
            x - 0.13, 0.1, x + 0.11, 0.87, None, "leg", r=0.06, tone=tone, shade="upright", **hide
        )
    p.line("-.84,-.1 -.95,.2 -.92,.46", 0.05, taper=0.5, **hide)
    p.blob("-.86,.1 -.8,-.36 -.4,-.62 .1,-.6 .44,-.4 .48,.2 .2,.44 -.5,.46", **hide)
    p.blob(".24,-.5 .5,-.74 .8,-.6 .86,-.2 .8,.12 .56,.24 .34,.1", **hide)
    p.line(".78,-.16 .92,.1 .88,.5 .94,.8", 0.24, None, "trunk", taper=0.42, **hide)
    p.line(".7,.12 .8,.3 .98,.34", 0.075, "f4ecd8", "tusk", taper=0.3)
    p.blob(".5,-.58 .2,-.64 .02,-.4 .04,.1 .24,.32 .44,.06 .52,-.2", None, "ear", tone=0.82, **hide)
    p.oval(0.68, -0.34, 0.035, 0.03, "0c0a0a", "eye", rough=0)


@thing(
    "horse",
    "leg mane tail eye",
    "brown black white grey",
    "lawn sand snow",
    foot=0.94,
    size=(86, 106),
    turn=1,
)
def horse(p: Pen) -> None:
    hair = p.any("1c1410", "e0c8a0", "3c2818")
    for path, tone in (
        ("-.5,.1 -.42,.45 -.52,.7 -.48,.92", 0.7),
        (".3,.15 .34,.5 .28,.92", 0.7),
        ("-.62,.05 -.6,.4 -.72,.68 -.66,.92", 1),
        (".2,.15 .16,.5 .2,.92", 1),
    ):
        p.line(path, 0.22, None, "leg", taper=0.42, tone=tone)
        x, y = points_of(path)[-1]
        p.box(x - 0.05, y - 0.05, x + 0.07, y + 0.03, "1c1614", "leg")
    p.blob("-.7,-.16 -.86,-.06 -.96,.3 -.88,.56 -.8,.3", hair, "tail", grain="fur", rough=0.2)
    p.blob("-.78,.0 -.6,-.24 -.2,-.22 .2,-.22 .4,-.1 .42,.18 .1,.3 -.4,.3 -.7,.22", gloss=0.15)
    p.blob(
        ".14,-.16 .36,-.56 .5,-.84 .62,-.94 .66,-.8 .82,-.62 "
        ".98,-.42 .92,-.32 .78,-.34 .62,-.46 .5,-.1 .4,.14",
        gloss=0.15,
    )
    p.blob(
        ".56,-.94 .4,-.76 .22,-.4 .08,-.18 .24,-.22 .4,-.5 .54,-.76",
        hair,
        "mane",
        grain="fur",
        rough=0.2,
    )
    p.poly(".56,-.88 .6,-1.02 .66,-.86", None)
    p.oval(0.7, -0.68, 0.03, 0.028, "0c0a0a", "eye", rough=0)


@thing("zebra", "leg mane tail", "white", "lawn sand", foot=0.94, size=(86, 106), turn=1)
def zebra(p: Pen) -> None:
    legs = (
        "-.5,.1 -.42,.45 -.5,.7 -.48,.92",
        ".3,.15 .34,.5 .28,.92",
        "-.62,.05 -.6,.4 -.7,.68 -.66,.92",
        ".2,.15 .16,.5 .2,.92",
    )
    for k, path in enumerate(legs):
        p.line(path, 0.2, None, "leg", taper=0.45, tone=0.75 if k < 2 else 1)
        points = points_of(path)
        for t in np.linspace(0.3, 0.95, 6):
            y = points[0][1] + t * (points[-1][1] - points[0][1])
            x = np.interp(y, points[:, 1], points[:, 0])
            p.line([(x - 0.07, y), (x + 0.07, y + 0.02)], 0.035, "17151a", "leg", rough=0)
    p.line("-.76,-.1 -.92,.16 -.88,.5", 0.06, "e8e4dc", "tail")
    p.oval(-0.88, 0.5, 0.04, 0.1, "17151a", "tail")
    body = "-.78,.0 -.6,-.24 -.2,-.2 .2,-.22 .4,-.1 .42,.18 .1,.32 -.4,.32 -.7,.22"
    neck = (
        ".14,-.16 .36,-.56 .5,-.84 .62,-.94 .66,-.8 .82,-.62 "
        ".98,-.42 .92,-.32 .78,-.34 .62,-.46 .5,-.1 .4,.14"
    )
    p.blob(body)
    p.blob(neck)
    for x in np.arange(-0.66, 0.3, 0.11):
        lean = 0.1 * (x + 0.2)
        p.line(
            [(x + lean, -0.2), (x, 0.02), (x + 0.05 - lean, 0.26)],
            0.055,
            "17151a",
            taper=0.4,
            rough=0,
        )
    for t in np.linspace(0.05, 0.9, 8):
        x, y = 0.2 + 0.36 * t, -0.16 - 0.62 * t
        p.line([(x, y), (x + 0.24 - 0.12 * t, y + 0.13)], 0.05, "17151a", taper=0.4, rough=0)
    for x in (0.68, 0.78):
        p.line([(x, -0.7 + (x - 0.68)), (x - 0.06, -0.46)], 0.035, "17151a", taper=0.5, rough=0)
    p.blob(".9,-.46 .98,-.42 .92,-.32 .84,-.36", "2a2626")
    p.blob(".56,-.96 .4,-.78 .2,-.44 .06,-.2 .18,-.22 .38,-.54 .54,-.8", "2a2626", "mane")
    p.oval(0.7, -0.66, 0.03, 0.028, "0c0a0a", rough=0)


@thing("cow", "head leg horn ear", "white brown black", "lawn", foot=0.9, size=(86, 106), turn=1)
def cow(p: Pen) -> None:
    for x, tone in ((-0.6, 0.72), (0.12, 0.72), (-0.74, 1), (0.26, 1)):
        p.box(x - 0.07, 0.2, x + 0.07, 0.9, None, "leg", tone=tone, shade="upright")
        p.box(x - 0.08, 0.84, x + 0.08, 0.91, "1c1816", "leg")
    p.box(-0.84, -0.34, 0.4, 0.36, r=0.2)
    p.oval(-0.45, 0.38, 0.14, 0.1, "e8a8a0")
    p.line("-.84,-.24 -.95,.1 -.92,.4", 0.04)
    spot = "1c1a1a" if p.term != "black" else "f0ece4"
    for x, y, a, b in (
        (-0.5, -0.12, 0.18, 0.14),
        (-0.05, 0.05, 0.2, 0.16),
        (0.2, -0.22, 0.12, 0.1),
        (-0.72, 0.16, 0.1, 0.12),
    ):
        p.blob(
            [
                (x - a, y),
                (x - a / 2, y - b),
                (x + a / 2, y - b * 0.8),
                (x + a, y),
                (x + a / 2, y + b),
                (x - a / 2, y + b * 0.9),
            ],
            spot,
        )
    p.blob(".3,-.5 .54,-.62 .78,-.54 .82,-.2 .78,.1 .62,.16 .46,.08 .36,-.2", None, "head")
    p.blob(".52,-.04 .66,-.08 .84,.0 .82,.16 .64,.2 .5,.12", "e8b0a4", "head")
    for s, x in ((-1, 0.42), (1, 0.72)):
        p.line(
            [(x, -0.56), (x + s * 0.12, -0.66), (x + s * 0.1, -0.82)],
            0.07,
            "e8dcc0",
            "head horn",
            taper=0.4,
        )
        p.blob(
            [(x, -0.46), (x + s * 0.2, -0.5), (x + s * 0.22, -0.38), (x + s * 0.04, -0.36)],
            None,
            "head ear",
            tone=0.8,
        )
    for x in (0.5, 0.7):
        p.oval(x, -0.28, 0.035, 0.04, "0c0a0a", "head", rough=0)
    for x in (0.6, 0.74):
        p.oval(x, 0.06, 0.02, 0.02, "5c3430", "head", rough=0)


@thing("rabbit", "ear eye nose", "white grey brown", "lawn garden snow", size=(82, 104))
def rabbit(p: Pen) -> None:
    p.blob("0,.3 .4,.4 .52,.8 .4,1.2 -.4,1.2 -.52,.8 -.4,.4", tone=0.94, **FUR)
    for s in (-1, 1):
        p.blob(
            [
                (s * 0.06, -0.3),
                (s * 0.1, -0.8),
                (s * 0.24, -0.99),
                (s * 0.36, -0.8),
                (s * 0.32, -0.3),
            ],
            None,
            "ear",
            **FUR,
        )
        p.blob(
            [
                (s * 0.14, -0.34),
                (s * 0.17, -0.74),
                (s * 0.24, -0.86),
                (s * 0.29, -0.7),
                (s * 0.26, -0.34),
            ],
            "e8b0a8",
            "ear",
        )
    p.blob("0,-.42 .36,-.36 .52,0 .46,.34 .2,.54 0,.56 -.2,.54 -.46,.34 -.52,0 -.36,-.36", **FUR)
    for s in (-1, 1):
        _eye(p, s * 0.27, -0.04, 0.085, "2c1810")
        p.oval(s * 0.12, 0.3, 0.15, 0.12, "f4f0ea", **FUR)
        for k in (-1, 1):
            p.line(
                [(s * 0.16, 0.3), (s * 0.56, 0.28 + 0.08 * k)], 0.01, "8c8880", rough=0, solid=False
            )
    p.poly("-.07,.16 .07,.16 0,.24", "d88c88", "nose")
    p.box(-0.06, 0.38, 0.06, 0.5, "f8f8f0", r=0.02)


@thing("sheep", "head leg ear", "white black", "lawn", foot=0.88, size=(82, 102), turn=1)
def sheep(p: Pen) -> None:
    dark = p.any("1e1a18", "3c3028", "d8c8b0")
    for x in (-0.44, -0.26, 0.16, 0.34):
        p.box(x - 0.055, 0.3, x + 0.055, 0.88, dark, "leg", shade="upright")
    for _ in range(36):
        a, r = p.rng.uniform(0, 6.283), np.sqrt(p.rng.random())
        x, y = -0.08 + 0.58 * r * np.cos(a), -0.02 + 0.38 * r * np.sin(a)
        p.oval(x, y, 0.17, 0.16, tone=p.rng.uniform(0.9, 1.05), grain="leaf", rough=0.08)
    p.blob(".48,-.4 .76,-.46 .94,-.2 .9,.06 .74,.12 .56,-.04", dark, "head")
    p.blob(".52,-.3 .34,-.28 .3,-.16 .52,-.16", dark, "head ear")
    p.oval(0.72, -0.22, 0.03, 0.03, "f0e8c0" if dark != "d8c8b0" else "0c0a0a", "head", rough=0)
    p.blob(mirror("-.46,-.42 -.6,-.56 -.74,-.48 -.66,-.36"), None, grain="leaf", rough=0.08)
