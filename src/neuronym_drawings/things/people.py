"""People."""

from __future__ import annotations

import numpy as np

from neuronym_drawings.things.base import Pen, thing

SKIN = ("f2cdb2", "e4b48c", "c68c62", "9c6644", "6e442c", "f6d8c4")
HAIR = ("1a1412", "3c2414", "6c4420", "b8863c", "a8501c", "8c8884")
_CLOTH = "red blue green yellow white black purple pink orange grey"


@thing("face", "eye mouth nose hair ear", "", "blur studio wall", foot=None, size=(88, 108))
def face(p: Pen) -> None:
    skin, hair = p.any(*SKIN), p.any(*HAIR)
    long = p.rng.random() < 0.5
    if long:
        p.blob(
            "0,-.95 .5,-.85 .74,-.4 .76,.3 .66,.9 -.66,.9 -.76,.3 -.74,-.4 -.5,-.85",
            hair,
            "hair",
            grain="fur",
            rough=0.2,
        )
    p.box(-0.24, 0.5, 0.24, 1.2, skin, shade="upright")
    p.blob(
        "-1,1.4 -.8,1.02 -.3,.86 0,.98 .3,.86 .8,1.02 1,1.4",
        p.any("3c5c8c", "8c2c2c", "2c2c30", "e8e4dc", "4c7c5c"),
    )
    for s in (-1, 1):
        p.oval(s * 0.57, 0.0, 0.1, 0.17, skin, "ear")
    p.blob(
        "0,-.8 .4,-.7 .57,-.3 .55,.14 .4,.56 .14,.8 -.14,.8 -.4,.56 -.55,.14 -.57,-.3 -.4,-.7",
        skin,
        grain="plain",
    )
    iris = p.any("3c2414", "4c7cb0", "4c7444", "6c4c24")
    for s in (-1, 1):
        p.blob(
            [(s * 0.1, 0.0), (s * 0.23, -0.085), (s * 0.37, -0.01), (s * 0.23, 0.055)],
            "f6f4f0",
            "eye",
            rough=0,
        )
        p.oval(s * 0.235, -0.015, 0.062, 0.066, iris, "eye", shade="flat")
        p.oval(s * 0.235, -0.015, 0.03, 0.032, "0a0808", "eye", shade="flat")
        p.oval(s * 0.235 - 0.02, -0.035, 0.014, 0.014, "ffffff", "eye", shade="flat")
        p.line(
            [(s * 0.09, 0.0), (s * 0.23, -0.09), (s * 0.38, -0.01)], 0.025, "2c1810", "eye", rough=0
        )
        p.line([(s * 0.09, -0.16), (s * 0.24, -0.22), (s * 0.4, -0.15)], 0.05, hair, taper=0.6)
        p.oval(s * 0.34, 0.24, 0.15, 0.1, "e07868", alpha=0.14, shade="flat", solid=False)
    p.blob(
        "-.03,-.08 .03,-.08 .05,.16 .1,.26 .04,.31 -.04,.31 -.1,.26 -.05,.16",
        skin,
        "nose",
        tone=1.0,
        strength=1.6,
    )
    for s in (-1, 1):
        p.oval(s * 0.045, 0.29, 0.022, 0.014, "5c3020", "nose", alpha=0.6, rough=0)
    smile = p.any(0.0, 0.04, 0.07)
    lips = p.any("b84c4c", "c86464", "a04438")
    p.blob(
        [
            (-0.22, 0.5 - smile),
            (0, 0.46),
            (0.22, 0.5 - smile),
            (0.1, 0.57),
            (0, 0.59),
            (-0.1, 0.57),
        ],
        lips,
        "mouth",
    )
    if smile > 0.05:
        p.blob(
            [(-0.17, 0.49 - smile / 2), (0, 0.5), (0.17, 0.49 - smile / 2), (0, 0.55)],
            "f8f6f2",
            "mouth",
            rough=0,
        )
    else:
        p.line(
            [(-0.2, 0.5 - smile), (0, 0.52), (0.2, 0.5 - smile)], 0.014, "5c2424", "mouth", rough=0
        )
    fringe = p.any(
        "-.62,-.1 -.66,-.5 -.4,-.92 0,-1 .4,-.92 .66,-.5 .62,-.1 .5,-.44 .2,-.6 -.2,-.56 -.46,-.4",
        "-.6,-.14 -.64,-.5 -.36,-.92 .1,-1 .5,-.88 .68,-.4 "
        ".6,-.1 .52,-.34 .2,-.46 -.1,-.68 -.48,-.5",
    )
    p.blob(fringe, hair, "hair", grain="fur", rough=0.22)


@thing(
    "person",
    "head arm leg hair hand",
    _CLOTH,
    "lawn street road sand",
    foot=0.97,
    size=(88, 106),
    turn=1,
)
def person(p: Pen) -> None:
    skin, hair = p.any(*SKIN), p.any(*HAIR)
    trousers, shoe = (
        p.any("2c3c5c", "2a2a2e", "5c4c3c", "6c7078"),
        p.any("1c1816", "5c3820", "e8e4e0"),
    )
    stride = p.rng.uniform(0.02, 0.16)
    for s in (-1, 1):
        p.line(
            [(s * 0.09, 0.2), (s * (0.1 + stride / 2), 0.55), (s * (0.1 + stride), 0.92)],
            0.17,
            trousers,
            "leg",
            taper=0.7,
            grain="cloth",
            rough=0.06,
        )
        p.blob(
            [
                (s * (0.04 + stride), 0.89),
                (s * (0.16 + stride), 0.88),
                (s * (0.26 + stride), 0.96),
                (s * (0.04 + stride), 0.97),
            ],
            shoe,
            "leg",
        )
    for s in (-1, 1):
        lift = p.any(0.18, 0.18, 0.05, -0.5)
        elbow = (s * 0.36, -0.12 + (lift - 0.18) * 0.3)
        hand = (s * (0.34 if lift > 0 else 0.5), lift)
        p.line(
            [(s * 0.22, -0.42), elbow, hand],
            0.125,
            None,
            "arm",
            taper=0.75,
            tone=0.9,
            grain="cloth",
            rough=0.06,
        )
        p.oval(*hand, 0.06, 0.07, skin, "arm hand")
    p.blob(
        "-.1,-.54 .1,-.54 .28,-.44 .24,-.1 .23,.26 -.23,.26 -.24,-.1 -.28,-.44",
        grain="cloth",
        rough=0.06,
    )
    p.box(-0.06, -0.62, 0.06, -0.5, skin)
    if p.rng.random() < 0.4:
        p.blob(
            "0,-.97 .16,-.9 .2,-.6 .17,-.44 -.17,-.44 -.2,-.6 -.16,-.9",
            hair,
            "head hair",
            grain="fur",
            rough=0.2,
        )
    p.oval(0, -0.76, 0.145, 0.18, skin, "head")
    p.blob(
        "-.16,-.74 -.15,-.9 0,-.98 .15,-.9 .16,-.74 .1,-.85 -.08,-.85",
        hair,
        "head hair",
        grain="fur",
        rough=0.2,
    )
    for s in (-1, 1):
        p.oval(s * 0.055, -0.76, 0.017, 0.013, "1c1410", "head", rough=0)
    p.line("-.045,-.665 0,-.65 .045,-.665", 0.014, "8c3c34", "head", rough=0)


@thing(
    "eye", "iris pupil eyelash", "blue green brown grey", "skin", foot=None, size=(92, 112), turn=6
)
def eye(p: Pen) -> None:
    outline = "-.95,.1 -.5,-.32 0,-.46 .5,-.34 .95,.06 .5,.36 0,.44 -.5,.36"
    p.blob("-1,.06 -.5,-.42 0,-.56 .5,-.44 1,.02 .5,.46 0,.54 -.5,.46", "a86c54", alpha=0.5)
    p.blob(outline, "f4efea", strength=1.3)
    p.oval(0, 0, 0.43, 0.43, None, "iris", shade="flat", tone=0.5)
    p.oval(0, 0, 0.39, 0.39, None, "iris", shade="flat")
    for a in np.linspace(0, 2 * np.pi, 44, endpoint=False):
        r0, r1 = 0.2, p.rng.uniform(0.3, 0.38)
        p.line(
            [(r0 * np.cos(a), r0 * np.sin(a)), (r1 * np.cos(a), r1 * np.sin(a))],
            0.014,
            None,
            "iris",
            tone=p.any(1.35, 0.65),
            rough=0,
        )
    p.oval(0, 0, 0.19, 0.19, "080606", "pupil", shade="flat", rough=0)
    p.oval(-0.13, -0.15, 0.075, 0.075, "ffffff", rough=0, shade="flat", solid=False)
    lid = "-1,.08 -.52,-.36 0,-.5 .52,-.38 1,.04"
    p.line(lid, 0.07, "2c1a12", "eyelash")
    for t in np.linspace(-0.9, 0.92, 15):
        y = -0.5 + 0.55 * abs(t) ** 1.8
        p.line(
            [(t, y + 0.03), (t * 1.06, y - 0.1), (t * 1.14, y - 0.2)],
            0.028,
            "1a100c",
            "eyelash",
            taper=0.3,
        )


@thing("hand", "finger thumb", "", "studio blur surface", foot=None, size=(84, 104), turn=25)
def hand(p: Pen) -> None:
    skin = p.any(*SKIN)
    p.box(-0.24, 0.6, 0.26, 1.4, skin, shade="upright")
    for x, top, lean in (
        (-0.3, -0.62, -0.12),
        (-0.1, -0.9, -0.04),
        (0.11, -0.86, 0.05),
        (0.31, -0.6, 0.14),
    ):
        p.line([(x, 0.16), (x + lean, top)], 0.19, skin, "finger", taper=0.78)
        p.oval(x + lean, top + 0.02, 0.05, 0.07, "f8d8cc", "finger")
        for t in (0.4, 0.72):
            cx, cy = x + lean * t, 0.16 + (top - 0.16) * t
            p.line(
                [(cx - 0.06, cy), (cx + 0.06, cy)], 0.014, "6c3c28", "finger", alpha=0.5, rough=0
            )
    p.line("-.28,.5 -.6,.24 -.76,-.06", 0.23, skin, "thumb", taper=0.72)
    p.blob("-.4,.1 -.1,0 .2,0 .4,.14 .42,.5 .26,.86 -.22,.86 -.4,.5", skin)
    for path in ("-.3,.2 0,.3 .34,.22", "-.24,.36 .1,.42 .2,.6", "-.3,.26 -.16,.5 -.1,.76"):
        p.line(path, 0.018, "6c3c28", alpha=0.45, rough=0)
