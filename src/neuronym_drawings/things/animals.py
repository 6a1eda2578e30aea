"""Fish, insects and other small animals."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuronym_drawings.things.base import Pen, points_of, thing

FUR: dict[str, Any] = {"grain": "fur", "rough": 0.13}


def _eye(p: Pen, x: float, y: float, r: float, iris: str = "3c2412") -> None:
    p.oval(x, y, r, r, iris, "eye", shade="flat", rough=0)
    p.oval(x, y, r * 0.6, r * 0.6, "0a0a0c", "eye", shade="flat", rough=0)
    p.oval(x - r * 0.3, y - r * 0.35, r * 0.25, r * 0.25, "ffffff", "eye", shade="flat", rough=0)


@thing(
    "fish",
    "fin eye tail",
    "orange blue yellow red purple green",
    "underwater underwater studio",
    foot=None,
    size=(78, 102),
    turn=14,
)
def fish(p: Pen) -> None:
    p.blob("-.5,0 -.98,-.42 -.86,0 -.98,.42", None, "tail", tone=0.8)
    p.blob("-.3,-.3 0,-.68 .36,-.6 .4,-.3", None, "fin", tone=0.8)
    p.blob("-.1,.34 0,.62 .24,.5 .2,.34", None, "fin", tone=0.8)
    p.blob(".92,.02 .7,-.26 .3,-.42 -.2,-.34 -.64,-.06 -.64,.06 -.2,.34 .3,.42 .7,.26", gloss=0.25)
    if p.rng.random() < 0.6:
        for x in (0.34, -0.08, -0.4):
            h = 0.4 * (1 - (x / 0.8) ** 2)
            p.blob(
                [(x, -h), (x + 0.1, -h), (x + 0.14, 0), (x + 0.1, h), (x, h), (x + 0.04, 0)],
                "f6f2e8",
            )
    for x in np.arange(-0.45, 0.4, 0.13):
        for y in np.arange(-0.24, 0.28, 0.13):
            if abs(y) < 0.34 - abs(x) * 0.35:
                p.line(
                    [(x, y - 0.06), (x - 0.05, y), (x, y + 0.06)],
                    0.012,
                    "1c1410",
                    alpha=0.3,
                    rough=0,
                    solid=False,
                )
    p.line(".42,-.26 .34,0 .42,.26", 0.02, "20140c", alpha=0.5)
    p.blob(".3,.06 .06,.02 -.04,.2 .16,.24", None, "fin", tone=0.85)
    p.oval(0.64, -0.09, 0.09, 0.09, "f8f6ea", "eye")
    p.oval(0.66, -0.09, 0.05, 0.05, "0a0a0c", "eye")
    p.line(".9,.1 .78,.13", 0.02, "301c14")


@thing(
    "butterfly",
    "wing body antenna",
    "orange blue yellow purple white red",
    "garden studio blur",
    foot=None,
    size=(80, 104),
    turn=50,
)
def butterfly(p: Pen) -> None:
    upper = points_of(".05,-.08 .3,-.66 .72,-.86 .95,-.66 .84,-.2 .5,.04")
    lower = points_of(".05,0 .5,.06 .76,.26 .72,.62 .44,.8 .16,.5")
    spots = p.rng.uniform(0.03, 0.07, 6)
    for s in (1, -1):
        side = np.array([s, 1])
        for wing, middle in ((lower, (0.42, 0.36)), (upper, (0.54, -0.4))):
            p.blob(wing * side, "1a1614", "wing", rough=0.1)
            inner = (wing - middle) * 0.78 + middle
            p.blob(inner * side, None, "wing", grain="leaf", rough=0.08)
            for point in inner:
                p.line([(0.06 * s, 0), tuple(point * side)], 0.018, "1a1614", "wing", rough=0)
        for (x, y), r in zip(
            ((0.8, -0.72), (0.88, -0.56), (0.84, -0.36), (0.7, 0.36), (0.68, 0.54), (0.5, 0.7)),
            spots,
            strict=True,
        ):
            p.oval(s * x, y, r * 0.7, r * 0.7, "f8f4e8", "wing", rough=0)
        p.line([(0.01 * s, -0.3), (s * 0.1, -0.6), (s * 0.22, -0.76)], 0.02, "1a1614", "antenna")
        p.oval(s * 0.22, -0.77, 0.025, 0.025, "1a1614", "antenna")
    p.blob("0,-.34 .06,-.24 .06,.1 .03,.5 0,.56 -.03,.5 -.06,.1 -.06,-.24", "2a2018", "body")


@thing(
    "spider",
    "leg body eye",
    "black brown grey",
    "wall surface",
    foot=None,
    size=(80, 104),
    turn=180,
)
def spider(p: Pen) -> None:
    for s in (-1, 1):
        for k, (kx, ky, ex, ey) in enumerate(
            (
                (0.45, -0.55, 0.5, -0.95),
                (0.62, -0.3, 0.92, -0.56),
                (0.62, 0.1, 0.95, 0.36),
                (0.45, 0.42, 0.6, 0.95),
            )
        ):
            p.line(
                [(s * 0.1, -0.15 + 0.07 * k), (s * kx, ky), (s * ex, ey)],
                0.07,
                None,
                "leg",
                taper=0.35,
                tone=0.9,
            )
    p.oval(0, 0.3, 0.3, 0.36, None, "body", shade="sphere", **FUR)
    p.oval(0, -0.16, 0.2, 0.2, None, "body", tone=1.2, **FUR)
    for x, y in ((-0.06, -0.28), (0.06, -0.28), (-0.13, -0.24), (0.13, -0.24)):
        p.oval(x, y, 0.03, 0.03, "f0e8d8", "eye", rough=0)


@thing(
    "snake",
    "head eye tongue",
    "green brown yellow orange black",
    "sand lawn surface garden",
    foot=None,
    size=(84, 104),
    turn=30,
)
def snake(p: Pen) -> None:
    t = np.linspace(0, 1, 60)
    bend = p.rng.uniform(8, 11)
    x, y = 0.62 - 1.5 * t, 0.36 * np.sin(bend * t) * (0.5 + 0.5 * np.sin(np.pi * t)) + 0.05
    path = np.stack([x, y], 1)
    step = np.gradient(path, axis=0)
    side = np.stack([-step[:, 1], step[:, 0]], 1) / np.linalg.norm(step, axis=1)[:, None]
    half = (0.13 * (1 - t**3) + 0.01)[:, None]
    p.poly(np.concatenate([path + side * half, (path - side * half)[::-1]]), strength=1.4)
    for k in range(4, 56, 4):
        width = 0.27 * (1 - (k / 60) ** 3)
        p.oval(
            path[k, 0],
            path[k, 1],
            width * 0.28,
            width * 0.36,
            p.any("2c2014", "3c2c14", "e8d878"),
            "",
            alpha=0.75,
        )
    hx, hy = path[0]
    p.line([(hx + 0.1, hy), (hx + 0.34, hy - 0.03)], 0.02, "d83040", "tongue")
    p.line([(hx + 0.28, hy - 0.02), (hx + 0.4, hy - 0.1)], 0.016, "d83040", "tongue")
    p.line([(hx + 0.28, hy - 0.02), (hx + 0.4, hy + 0.04)], 0.016, "d83040", "tongue")
    p.blob(
        [
            (hx - 0.14, hy - 0.12),
            (hx + 0.06, hy - 0.16),
            (hx + 0.22, hy - 0.06),
            (hx + 0.22, hy + 0.06),
            (hx + 0.06, hy + 0.16),
            (hx - 0.14, hy + 0.12),
        ],
        None,
        "head",
        gloss=0.2,
    )
    for s in (-1, 1):
        p.oval(hx + 0.07, hy + s * 0.09, 0.035, 0.03, "f0dc50", "head eye", rough=0)
        p.oval(hx + 0.075, hy + s * 0.09, 0.012, 0.027, "0a0a0a", "head eye", rough=0)


@thing(
    "turtle", "shell head leg", "green brown", "sand sea lawn", foot=0.56, size=(80, 100), turn=3
)
def turtle(p: Pen) -> None:
    for x in (-0.5, 0.34):
        p.blob(
            [(x - 0.14, 0.2), (x + 0.14, 0.2), (x + 0.18, 0.54), (x - 0.16, 0.56)],
            "7c8c4c",
            "leg",
            grain="stone",
            rough=0.15,
        )
    p.blob("-.8,.26 -.98,.4 -.76,.38", "7c8c4c")
    p.blob(
        ".56,.2 .66,-.06 .84,-.16 .98,-.04 .94,.14 .74,.3",
        "7c8c4c",
        "head",
        grain="stone",
        rough=0.12,
    )
    p.oval(0.86, -0.04, 0.035, 0.035, "0c0c0a", "head", rough=0)
    p.blob(
        "-.84,.28 -.74,-.14 -.4,-.46 0,-.54 .4,-.4 .66,-.06 .72,.28 0,.36",
        None,
        "shell",
        shade="sphere",
        tone=1.2,
    )
    for x in (-0.5, -0.17, 0.16, 0.46):
        p.line(
            [(x - 0.1, 0.3), (x, 0.06), (x + 0.02, -0.2), (x - 0.04, -0.44)],
            0.03,
            "2c2410",
            "shell",
        )
    p.line("-.78,.02 -.4,-.1 0,-.14 .4,-.08 .66,.06", 0.03, "2c2410", "shell")


@thing("snail", "shell eye", "brown orange yellow", "garden lawn", foot=0.7, size=(78, 100), turn=3)
def snail(p: Pen) -> None:
    p.blob(
        "-.96,.62 -.5,.42 .2,.4 .5,.1 .7,.0 .86,.14 .84,.44 .6,.7 -.6,.7",
        "c8b088",
        grain="stone",
        rough=0.12,
    )
    for x, y in ((0.74, -0.42), (0.98, -0.3)):
        p.line([(0.74, 0.1), (x, y)], 0.045, "c8b088")
        p.oval(x, y, 0.05, 0.05, "2c2018", "eye")
    p.oval(-0.16, 0.02, 0.58, 0.54, None, "shell", shade="sphere", tone=1.2, gloss=0.2)
    t = np.linspace(0, 5 * np.pi, 80)
    r = 0.04 + 0.5 * t / t[-1]
    p.line(
        np.stack([-0.16 + r * np.cos(t), 0.02 + r * 0.93 * np.sin(t)], 1),
        0.04,
        "4c2c14",
        "shell",
        curve=False,
    )


@thing("bee", "wing eye leg", "yellow", "garden garden sky", foot=None, size=(74, 98), turn=25)
def bee(p: Pen) -> None:
    for x in (-0.1, 0.1, 0.3):
        p.line([(x, 0.28), (x - 0.04, 0.5), (x + 0.04, 0.64)], 0.035, "1a1614", "leg")
    p.blob("-.92,.1 -.7,-.24 -.2,-.36 .1,-.3 .14,.24 -.2,.34 -.7,.28", grain="fur", rough=0.15)
    for x in (-0.66, -0.4, -0.14):
        h = 0.32 - 0.25 * (x + 0.3) ** 2
        p.blob(
            [
                (x - 0.07, -h),
                (x + 0.06, -h),
                (x + 0.1, 0),
                (x + 0.06, h),
                (x - 0.07, h),
                (x - 0.03, 0),
            ],
            "1a1614",
        )
    p.oval(0.26, -0.04, 0.28, 0.29, "c89028", "", grain="fur", rough=0.3)
    p.oval(0.62, 0.0, 0.2, 0.2, "1e1814", "")
    p.oval(0.7, -0.05, 0.07, 0.11, "4c3c34", "eye", gloss=0.4)
    p.line(".7,-.16 .82,-.34 .96,-.36", 0.025, "1a1614")
    for path in (
        "0.2,-.24 -.1,-.74 -.46,-.86 -.5,-.62 -.1,-.3",
        ".26,-.24 .2,-.8 .0,-.98 -.16,-.8 .04,-.34",
    ):
        p.blob(path, "dce8f0", "wing", alpha=0.72, rough=0.06)


@thing(
    "ladybug", "spot head leg", "red orange", "garden surface", foot=None, size=(72, 98), turn=180
)
def ladybug(p: Pen) -> None:
    for s in (-1, 1):
        for y in (-0.3, 0.1, 0.45):
            p.line(
                [(s * 0.5, y), (s * 0.82, y - 0.02), (s * 0.92, y + 0.12)], 0.05, "141214", "leg"
            )
        p.line([(s * 0.1, -0.8), (s * 0.26, -0.97)], 0.03, "141214")
    p.oval(0, -0.62, 0.36, 0.26, "141214", "head")
    for s in (-1, 1):
        p.oval(s * 0.2, -0.68, 0.08, 0.07, "f4f0e8", "head")
    p.oval(0, 0.12, 0.68, 0.72, shade="sphere", tone=1.1, gloss=0.4)
    p.line("0,-.58 0,.84", 0.035, "141214")
    for s in (-1, 1):
        for x, y, r in ((0.3, -0.2, 0.12), (0.42, 0.22, 0.11), (0.2, 0.5, 0.1)):
            p.oval(s * x, y, r, r, "141214", "spot")
    p.oval(0, -0.46, 0.14, 0.12, "141214", "spot")


@thing(
    "jellyfish",
    "tentacle",
    "pink purple blue white orange",
    "underwater",
    foot=None,
    size=(80, 102),
    turn=15,
)
def jellyfish(p: Pen) -> None:
    for x in np.linspace(-0.5, 0.5, 9):
        w = p.rng.uniform(-0.12, 0.12, 3)
        p.line(
            [(x, -0.2), (x * 0.9 + w[0], 0.2), (x * 0.95 + w[1], 0.6), (x + w[2], 0.98)],
            0.035,
            None,
            "tentacle",
            alpha=0.7,
            taper=0.4,
        )
    for x in (-0.16, 0.0, 0.16):
        w = p.rng.uniform(-0.1, 0.1, 2)
        p.line(
            [(x, -0.2), (x + w[0], 0.2), (x + w[1], 0.6)],
            0.12,
            None,
            "tentacle",
            alpha=0.75,
            tone=1.15,
            taper=0.3,
        )
    p.blob(
        "-.68,-.12 -.62,-.5 -.3,-.86 0,-.94 .3,-.86 .62,-.5 .68,-.12 .34,-.2 0,-.1 -.34,-.2",
        alpha=0.88,
        shade="sphere",
        tone=1.2,
        gloss=0.3,
    )


@thing("frog", "eye mouth leg", "green", "garden lawn", foot=0.86, size=(80, 102))
def frog(p: Pen) -> None:
    skin: dict[str, Any] = {"grain": "stone", "rough": 0.12, "gloss": 0.2}
    for s in (-1, 1):
        p.blob(
            [(s * 0.4, 0.3), (s * 0.86, 0.2), (s * 0.98, 0.6), (s * 0.84, 0.84), (s * 0.4, 0.8)],
            None,
            "leg",
            tone=0.85,
            **skin,
        )
    p.blob("0,-.4 .5,-.3 .66,.2 .6,.66 .3,.86 -.3,.86 -.6,.66 -.66,.2 -.5,-.3", **skin)
    p.blob("0,.2 .36,.26 .4,.6 .2,.82 -.2,.82 -.4,.6 -.36,.26", "e4e8b8")
    p.blob("0,-.5 .5,-.44 .74,-.1 .5,.2 0,.3 -.5,.2 -.74,-.1 -.5,-.44", **skin)
    for s in (-1, 1):
        p.line([(s * 0.3, 0.4), (s * 0.34, 0.66), (s * 0.28, 0.84)], 0.16, None, "leg", **skin)
        for k in (-1, 0, 1):
            p.line([(s * 0.28, 0.84), (s * 0.28 + 0.1 * k, 0.92)], 0.05, None, "leg")
        p.oval(s * 0.38, -0.48, 0.21, 0.21, None, "", **skin)
        p.oval(s * 0.38, -0.5, 0.15, 0.15, "e8c830", "eye")
        p.oval(s * 0.38, -0.5, 0.11, 0.055, "0c0c0a", "eye", rough=0)
        p.oval(s * 0.1, -0.22, 0.018, 0.018, "1c2c10", rough=0)
    p.line("-.66,-.08 -.3,.1 0,.14 .3,.1 .66,-.08", 0.03, "1c3010", "mouth")
