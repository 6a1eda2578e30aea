"""Plain shapes and solids."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuronym_drawings.things.base import Pen, ellipse, star, thing

_ANY = "red green yellow blue purple pink orange black white grey brown"
_FLAT: dict[str, Any] = {
    "where": "studio surface blur",
    "foot": None,
    "size": (48, 92),
    "tints": _ANY,
}


@thing("circle", turn=0, **_FLAT)
def circle(p: Pen) -> None:
    p.oval(0, 0, 0.9, shade=p.any("flat", "soft"))


@thing("square", turn=20, **_FLAT)
def square(p: Pen) -> None:
    p.box(-0.8, -0.8, 0.8, 0.8, shade=p.any("flat", "soft"))


@thing("triangle", turn=180, **_FLAT)
def triangle(p: Pen) -> None:
    p.poly([(np.cos(a), np.sin(a)) for a in (-1.571, 0.524, 2.618)], shade=p.any("flat", "soft"))


@thing("star", turn=30, **_FLAT)
def five_pointed_star(p: Pen) -> None:
    p.poly(star(0, 0, 0.98, p.any(0.38, 0.45, 0.5), p.any(5, 5, 5, 6)), shade="soft")


@thing("heart", turn=20, **_FLAT)
def heart(p: Pen) -> None:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    p.poly(np.stack([16 * np.sin(t) ** 3, -y - 2], 1) / 17, shade="soft", gloss=p.any(0, 0.3))


@thing("cross", turn=45, **_FLAT)
def cross(p: Pen) -> None:
    w = p.any(0.2, 0.28, 0.33)
    p.poly(
        [
            (-w, -0.9),
            (w, -0.9),
            (w, -w),
            (0.9, -w),
            (0.9, w),
            (w, w),
            (w, 0.9),
            (-w, 0.9),
            (-w, w),
            (-0.9, w),
            (-0.9, -w),
            (-w, -w),
        ]
    )


@thing("arrow", turn=180, **_FLAT)
def arrow(p: Pen) -> None:
    w = p.any(0.14, 0.22)
    p.poly([(-0.95, -w), (0.2, -w), (0.2, -0.55), (0.97, 0), (0.2, 0.55), (0.2, w), (-0.95, w)])


@thing("ring", turn=0, **_FLAT)
def ring(p: Pen) -> None:
    p.ring(0, 0, 0.75, p.any(0.18, 0.3, 0.42), gloss=0.2)


@thing("diamond", turn=10, **_FLAT)
def diamond(p: Pen) -> None:
    p.poly("0,-.95 .65,0 0,.95 -.65,0", shade="soft")


@thing("ball", tints=_ANY, where="lawn floor table studio sand", foot=0.9, size=(48, 84), turn=180)
def ball(p: Pen) -> None:
    p.oval(0, 0, 0.9, shade="sphere", gloss=p.any(0.2, 0.5))


@thing("cube", "face", _ANY, "table floor studio", foot=0.88)
def cube(p: Pen) -> None:
    p.poly("-.75,-.35 0,.05 0,.95 -.75,.5", None, "face", shade="flat", tone=0.85)
    p.poly("0,.05 .75,-.35 .75,.5 0,.95", None, "face", shade="flat", tone=0.62)
    p.poly("-.75,-.35 0,-.75 .75,-.35 0,.05", None, "face", shade="flat", tone=1.1)


@thing("cone", "base", "orange red yellow green white", "table floor road studio")
def cone(p: Pen) -> None:
    p.oval(0, 0.75, 0.75, 0.2, None, "base", shade="flat", tone=0.8)
    p.poly(np.concatenate([[(0, -0.95)], ellipse(0, 0.7, 0.62, 0.18)[:23]]), shade="upright")


@thing("cylinder", "top", _ANY, "table floor studio")
def cylinder(p: Pen) -> None:
    p.poly(
        np.concatenate([ellipse(0, 0.72, 0.6, 0.2)[:23], [(-0.6, -0.7), (0.6, -0.7)]]),
        shade="upright",
    )
    p.oval(0, -0.7, 0.6, 0.2, None, "top", shade="flat", tone=1.12)
