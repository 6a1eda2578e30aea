"""Birds."""

from __future__ import annotations

from typing import Any

from neuronym_drawings.things.base import Pen, thing

FUR: dict[str, Any] = {"grain": "fur", "rough": 0.13}


def _eye(p: Pen, x: float, y: float, r: float, iris: str = "3c2412") -> None:
    p.oval(x, y, r, r, iris, "eye", shade="flat", rough=0)
    p.oval(x, y, r * 0.6, r * 0.6, "0a0a0c", "eye", shade="flat", rough=0)
    p.oval(x - r * 0.3, y - r * 0.35, r * 0.25, r * 0.25, "ffffff", "eye", shade="flat", rough=0)


@thing(
    "bird",
    "wing beak eye tail leg",
    "red blue yellow brown grey orange black",
    "garden sky lawn",
    foot=0.8,
    size=(78, 100),
    turn=6,
)
def bird(p: Pen) -> None:
    for x in (-0.02, 0.14):
        p.line([(x, 0.4), (x + 0.03, 0.78)], 0.035, "6c4c28", "leg")
        p.line([(x - 0.08, 0.8), (x + 0.14, 0.8)], 0.03, "6c4c28", "leg")
    p.poly("-.4,.1 -.98,.42 -.92,.56 -.3,.4", None, "tail", tone=0.75, **FUR)
    p.blob("-.56,.2 -.3,-.2 .1,-.4 .3,-.66 .52,-.66 .66,-.48 .6,-.2 .5,.2 .2,.46 -.2,.48", **FUR)
    p.blob(".52,-.2 .46,.2 .18,.44 -.1,.44 .16,.1", "f0e4d0", alpha=0.8, **FUR)
    p.blob("-.66,.34 -.4,-.06 0,-.14 .2,.04 .06,.28 -.3,.36", None, "wing", tone=0.7, **FUR)
    for k in range(4):
        p.line(
            [(0.05 - 0.06 * k, 0.06 + 0.07 * k), (-0.6 + 0.03 * k, 0.3 + 0.02 * k)],
            0.02,
            None,
            "wing",
            tone=0.5,
        )
    p.poly(".62,-.54 .93,-.42 .62,-.36", "e8a020", "beak")
    p.line(".62,-.45 .88,-.42", 0.015, "7c4c10", "beak")
    _eye(p, 0.48, -0.5, 0.055)


@thing("duck", "wing beak eye", "white yellow brown green", "sea", foot=0.55, size=(78, 98))
def duck(p: Pen) -> None:
    p.blob("-.92,-.08 -.66,.06 -.2,.0 .1,-.04 .3,.02 .56,.2 .5,.5 .1,.64 -.5,.62 -.8,.36", **FUR)
    p.blob(".2,.2 .2,-.2 .14,-.5 .34,-.74 .6,-.66 .66,-.44 .54,-.26 .56,.2", **FUR)
    p.blob("-.72,.12 -.3,.06 .12,.18 0,.42 -.4,.46", None, "wing", tone=0.84, **FUR)
    p.blob(".6,-.54 .8,-.48 .98,-.42 .92,-.34 .62,-.38", "f09420", "beak")
    _eye(p, 0.47, -0.54, 0.05)


@thing("owl", "wing beak eye", "brown grey white", "garden night", size=(82, 104))
def owl(p: Pen) -> None:
    p.box(-1.2, 0.82, 1.2, 0.96, "5c4430", r=0.05, grain="wood", rough=0.15)
    p.blob(
        "0,-.84 .4,-.84 .56,-.94 .56,-.5 .6,0 .5,.6 .2,.92 "
        "-.2,.92 -.5,.6 -.6,0 -.56,-.5 -.56,-.94 -.4,-.84",
        **FUR,
    )
    for _ in range(40):
        x, y = p.rng.uniform(-0.3, 0.3), p.rng.uniform(0.0, 0.8)
        p.line([(x - 0.03, y), (x, y + 0.04), (x + 0.03, y)], 0.018, "3c2818", alpha=0.7)
    for s in (-1, 1):
        p.blob(
            [(s * 0.58, -0.1), (s * 0.38, 0.1), (s * 0.34, 0.6), (s * 0.5, 0.82), (s * 0.62, 0.4)],
            None,
            "wing",
            tone=0.7,
            **FUR,
        )
        p.oval(s * 0.25, -0.5, 0.25, 0.25, "e8dcc4", "", **FUR)
        p.oval(s * 0.23, -0.5, 0.15, 0.15, p.any("f0b414", "f07c14"), "eye", shade="flat")
        p.oval(s * 0.23, -0.5, 0.09, 0.09, "0c0a0a", "eye", shade="flat")
        p.oval(s * 0.23 - 0.03, -0.54, 0.03, 0.03, "ffffff", "eye", shade="flat")
    p.poly("-.07,-.36 .07,-.36 0,-.2", "4c4438", "beak")


@thing("penguin", "wing beak eye", "", "snow sea", size=(82, 104))
def penguin(p: Pen) -> None:
    for s in (-1, 1):
        p.blob([(s * 0.06, 0.88), (s * 0.32, 0.88), (s * 0.36, 0.96), (s * 0.06, 0.96)], "e88c1c")
        p.blob(
            [(s * 0.4, -0.4), (s * 0.58, 0.0), (s * 0.62, 0.4), (s * 0.5, 0.36)], "18191f", "wing"
        )
    p.blob(
        "0,-.96 .24,-.86 .3,-.6 .46,-.2 .5,.4 .34,.86 0,.94 "
        "-.34,.86 -.5,.4 -.46,-.2 -.3,-.6 -.24,-.86",
        "1c1d24",
    )
    p.blob("0,-.5 .2,-.44 .34,0 .36,.5 .2,.84 0,.88 -.2,.84 -.36,.5 -.34,0 -.2,-.44", "f4f4f0")
    p.blob("0,-.5 .2,-.46 .24,-.3 0,-.2 -.24,-.3 -.2,-.46", "f0c040", alpha=0.8)
    for s in (-1, 1):
        p.oval(s * 0.12, -0.72, 0.05, 0.05, "f4f4f0", "eye")
        p.oval(s * 0.12, -0.72, 0.03, 0.03, "0a0a0a", "eye")
    p.poly("-.09,-.64 .09,-.64 0,-.48", "e88c1c", "beak")
