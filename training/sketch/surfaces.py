"""Materials in their own colours, drawn in other ways than the probe's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.sketch import irregular, worn, regular, sheet, woven  # isort: skip
from training.sketch.drawings import ramp, unit
from training.sketch.sheet import SIDE, Look, Sheet, fold, kind


@dataclass(frozen=True)
class Surface:
    """One way to draw a material: a texture, and ranges of colours it comes in."""

    draw: Callable[[Sheet], Look]
    colours: tuple[tuple[str, ...], ...]


SURFACES: dict[str, list[Surface]] = {}


def surface(words: str, colours: str, *draws: Callable[[Sheet], Look]):
    """Register materials; `colours` are palettes of hexadecimal colours, as they are mixed."""
    tables = tuple(tuple(palette.split("-")) for palette in colours.split())
    ways = [Surface(draw, tables) for draw in draws]
    for word in words.split(","):
        SURFACES.setdefault(word.strip(), []).extend(ways)


def planks(s: Sheet) -> Look:
    u, v = s.lay(24, 70, "square", bend=0.5)
    row = np.floor(v)
    shift = s.lookup(row)
    end = fold(u / s.between(4, 7) + shift)
    grain = s.streaks(120, 1.6, -np.degrees(s.angle)) + s.streaks(200, 6, -np.degrees(s.angle))
    gap = ramp(np.minimum(fold(v), end * 5), 0, 0.04)
    tone = s.lookup(row, np.floor(u / 5 + shift))
    return Look(
        (0.35 + 0.3 * tone + 0.12 * grain) * (0.4 + 0.6 * gap), height=2 * gap + 0.3 * grain
    )


def board(s: Sheet) -> Look:
    _u, v = s.lay(18, 60, "square", bend=0)
    t = v + 0.6 * s.streaks(300, 70, -np.degrees(s.angle)) + 0.05 * s.fbm(20)
    knot = np.hypot((s.x - s.between(-90, 90)) / 3, s.y - s.between(-90, 90)) / s.between(10, 24)
    t = t + 1.5 * np.exp(-(knot**2))
    grain = s.streaks(70, 1.4, -np.degrees(s.angle))
    return Look(0.5 + 0.22 * np.sin(2 * np.pi * t) + 0.09 * grain, height=0.3 * grain)


def bricks(s: Sheet) -> Look:
    u, v = s.lay(14, 50, "none", bend=s.any(0, 1))
    row = np.floor(v)
    uu = u / s.between(1.8, 3) + s.any(0.5, 0.5, 0.33) * row
    d = np.minimum(fold(uu) * 2.4, fold(v)) + 0.02 * s.fbm(8)
    body = ramp(d, 0.03, 0.1)
    tone = s.lookup(np.round(uu), row)
    return Look(
        body * (0.45 + 0.45 * tone + 0.1 * s.fbm(6)), height=4 * body + 0.6 * s.fbm(6), dark=0.3
    )


def walls(s: Sheet) -> Look:
    u, v = s.lay(22, 60, "none")
    c = s.cells(u, v * s.between(1.2, 2), 0.8)
    body = ramp(c.edge + 0.03 * s.fbm(8), 0.04, 0.22)
    return Look(
        body * (0.3 + 0.5 * c.value + 0.12 * s.fbm(15)), height=7 * body + 1.2 * s.fbm(10), dark=0.5
    )


def brushed(s: Sheet) -> Look:
    a = s.any(0, 90, s.between(0, 180))
    t = s.streaks(250, 1.3, a)
    return Look(
        0.5 + 0.08 * t + 0.25 * s.smooth(150) + 0.1 * s.streaks(400, 60, a + 90),
        height=0.3 * t,
        gloss=0.3,
    )


def scuffed(s: Sheet) -> Look:
    on, _tone = s.strokes(int(s.between(30, 200)), s.between(20, 160), 0.4, 0.1)
    return Look(
        0.5 + 0.15 * s.fbm(90) + s.any(-0.25, 0.3) * on + 0.04 * s.fbm(5),
        height=0.3 * s.fbm(60),
        gloss=0.5,
    )


def ripples(s: Sheet) -> Look:
    u, _v = s.lay(12, 44, bend=0)
    wave = np.sin(2 * np.pi * (u + 0.5 * s.fbm(70, 3)))
    grit = s.smooth(1.5)
    return Look(0.5 + 0.1 * wave + 0.05 * grit, height=s.period * 0.13 * wave + 0.4 * grit)


def grains(s: Sheet) -> Look:
    grit = s.fbm(s.scale(1.5, 4), 2)
    return Look(0.5 + 0.16 * grit + 0.1 * s.fbm(60), height=0.8 * grit + 2 * s.fbm(50))


def waves(s: Sheet) -> Look:
    cell = s.scale(8, 30)
    t = unit(s.streaks(cell * 3, cell, s.between(-15, 15)) + 0.5 * s.streaks(cell, cell / 3, 0))
    return Look(0.4 + 0.25 * t, height=s.between(1, 4) * t, gloss=0.7)


def caustics(s: Sheet) -> Look:
    field = s.ridges(s.scale(25, 60), 2) ** 2
    return Look(0.35 + 0.6 * s.warp(field, 6 * s.smooth(20), 6 * s.smooth(20)))


def leaves(s: Sheet) -> Look:
    tone, height = np.full((SIDE, SIDE), 0.1, np.float32), np.zeros((SIDE, SIDE), np.float32)
    for k in range(4):
        on, part, dome = s.blobs(int(s.between(60, 200)), 3, s.between(7, 18), s.between(1.4, 2.4))
        tone = np.where(on > 0.5, 0.15 + 0.2 * k + 0.25 * part, tone)
        height = np.where(on > 0.5, 0.4 * dome + 2 * k, height)
    return Look(tone + 0.04 * s.fbm(8), height=height, dark=0.6)


def barks(s: Sheet) -> Look:
    u, v = s.lay(9, 30, "none", bend=3)
    c = s.cells(u, v / s.between(2.5, 5), 0.9)
    body = ramp(c.edge + 0.1 * s.fbm(10), 0, 0.5)
    return Look(
        0.2 + 0.5 * body + 0.1 * s.fbm(12),
        height=s.period * 0.5 * body + 1.5 * s.streaks(30, 3, 90),
        dark=0.6,
    )


def plasters(s: Sheet) -> Look:
    t = s.fbm(s.scale(8, 50), 5)
    return Look(0.6 + 0.1 * s.fbm(90), height=s.between(0.4, 1.6) * t)


def trowel(s: Sheet) -> Look:
    _on, tone = s.strokes(int(s.between(80, 200)), s.between(40, 90), s.between(6, 14), 0.8)
    return Look(0.6 + 0.08 * tone + 0.08 * s.fbm(60), height=1.2 * tone + 0.5 * s.fbm(8))


def rusty(s: Sheet) -> Look:
    a, b = s.fbm(50, 5), s.fbm(12, 4)
    return Look(
        ramp(a, -0.6, 0.6) * 0.7 + 0.12 * b, height=1.2 * b + 1.5 * ramp(a, 0, 0.4), colours=4
    )


def pile(s: Sheet) -> Look:
    u, v = s.lay(4, 9)
    c = s.cells(u, v, 0.9)
    return Look(
        0.4 + 0.3 * ramp(-c.near, -0.7, 0) + 0.1 * (c.value - 0.5) + 0.08 * s.fbm(70),
        height=2.5 * ramp(-c.near, -0.7, 0),
    )


def hide(s: Sheet) -> Look:
    u, v = s.lay(4, 14)
    c = s.cells(u + 0.2 * s.smooth(20), v + 0.2 * s.smooth(20), 0.9)
    deep = ramp(c.edge, 0, 0.3)
    return Look(
        0.45 + 0.12 * deep + 0.1 * s.fbm(80),
        height=s.period * 0.16 * deep - 3 * s.ridges(90, 1) ** 8,
        gloss=0.5,
    )


def clouds(s: Sheet) -> Look:
    t = ramp(s.fbm(s.scale(60, 140), 6), s.between(-1, 0.4), s.between(0.9, 2))
    slope = (s.y + SIDE / 2) / SIDE
    return Look(0.15 + 0.2 * slope + 0.65 * t)


def clear_sky(s: Sheet) -> Look:
    return Look(0.2 + 0.5 * (s.y / SIDE + 0.5) + 0.03 * s.smooth(120))


def mist(s: Sheet) -> Look:
    return Look(0.6 + 0.12 * s.fbm(120, 3) + 0.1 * s.streaks(300, 50, 0))


def flames(s: Sheet) -> Look:
    t = s.warp(s.streaks(90, 16, 90), 18 * s.smooth(40), 10 * s.smooth(30))
    low = s.y / SIDE + 0.3
    return Look(ramp(t + 2.2 * low, -1, 2.4))


def frost(s: Sheet) -> Look:
    field = s.ridges(s.scale(30, 90), 4)
    return Look(0.35 + 0.5 * field**2 + 0.1 * s.smooth(60), height=2 * field, gloss=0.6)


def panes(s: Sheet) -> Look:
    tilt = ramp(np.sin((s.x + s.y * s.between(0.3, 1)) / s.between(20, 60)), 0.3, 0.6)
    return Look(
        0.4 + 0.2 * s.smooth(110) + 0.3 * tilt, height=s.any(None, 4 * s.smooth(20)), gloss=0.8
    )


def plumage(s: Sheet) -> Look:
    u, v = s.lay(22, 60, "none")
    row = np.floor(v * 1.6)
    uu = u + 0.5 * (row % 2)
    x, y = uu - np.round(uu), v * 1.6 - row
    barbs = np.sin(2 * np.pi * (np.abs(x) * 9 + y * 6))
    rim = np.hypot(x * 1.8, np.maximum(y - 0.4, 0) * 1.5)
    return Look(
        0.6
        - 0.4 * rim
        + 0.1 * barbs
        - 0.2 * (np.abs(x) < 0.03)
        + 0.1 * s.lookup(np.round(uu), row),
        height=5 * (1 - rim) + 0.4 * barbs,
        dark=0.4,
    )


def sleek(s: Sheet) -> Look:
    t = s.smooth(90) + 0.6 * s.streaks(200, 40, s.between(0, 180))
    return Look(0.5 + 0.2 * t, height=4 * t, gloss=0.9)


surface(
    "wood,wooden",
    "3a2413-8a5a30-b98a55 6b4a2e-b08a5c-e0c59a 2a1710-5a3420-7c4c30 8a8078-b4aaa0-d0c8be "
    "5a2416-9a4a28-c07848",
    planks,
    board,
    irregular.wood_fibre,
)
surface(
    "brick",
    "c8c0b4-7a3022-b05038-c87858 9a948c-8a4030-a85a44-d09078 e8e4de-b0a8a0-c8c0b8-e0dcd6 "
    "60544c-5a2a22-7a3a30-9a5a48",
    bricks,
)
surface(
    "stone,rock",
    "3a3834-6e6a64-a8a49c 4a4438-8a7e68-c0b498 2e3236-5c6468-98a0a4",
    walls,
    irregular.rubble,
    worn.ledges,
)
surface(
    "metal",
    "3c4044-84898e-d8dcde 5a564e-a09a8e-e6e2d8 2a2c30-50555a-9aa0a6 6a4a20-b08a48-ecd090",
    brushed,
    scuffed,
    regular.corrugated,
)
surface("sand", "a88858-d0b080-ecd8b0 8a7450-b89c70-dcc49c b0a48c-d0c6b0-ece6d6", ripples, grains)
surface(
    "water",
    "0a2a3a-2a6a84-b0d8e0 103040-3a7080-c0dcdc 1a3c2c-4a7c60-b8d8c0 202c38-5a6c7c-c8d0d8",
    waves,
    caustics,
    ripples,
)
surface(
    "grass",
    "1e3a10-4a7a26-8ab04a 2c4a18-6a8a34-b8c070 28301a-5e6a38-98a060",
    worn.lawn,
    irregular.straw,
)
surface(
    "gravel,pebbles",
    "38342e-7c766c-c0bab0 4a4640-908a84-d4d0ca 504034-9a8470-d0c0a8",
    irregular.pebbles,
    irregular.rubble,
)
surface(
    "fur",
    "2a1c10-7a5632-c8a878 50483e-98908a-dcd8d0 181614-484440-86807a 8a4a1c-c88848-f0d0a0",
    worn.fur,
    irregular.flowing_hair,
    worn.felt,
)
surface(
    "hair",
    "120c08-3a2414-7a5030 3a2a10-8a6a34-d8b878 080808-2a2a2c-6a6a6c",
    irregular.flowing_hair,
    irregular.fibres,
)
surface(
    "leather",
    "20120a-5a3218-8a5a34 0c0c0e-2a2a2c-58585a 6a3a1c-a06a3c-c89a6a 4a1010-8a2420-b04a40",
    hide,
    worn.skin,
    worn.creases,
)
surface(
    "bark", "1e1610-5a4634-9a8870 2a2824-6a645c-a8a49c 3a2a1c-7a5c40-b09878", barks, irregular.mud
)
surface("snow", "a8b8cc-dce4ee-fcfdff b0b4bc-e0e4e8-ffffff", plasters, grains, ripples)
surface(
    "rust,rusty",
    "2c1a14-7a3a1c-b8662c-d8a070 4a4c4e-6a3a20-a85a28-c88850",
    rusty,
    worn.rust_pits,
)
surface(
    "concrete,cement",
    "6a6864-94928e-b4b2ae 807e78-a8a69e-c8c6be",
    plasters,
    worn.pits,
    worn.dirty,
)
surface(
    "plaster,stucco",
    "c8beb0-dcd4c8-ece6dc b8b8b8-d4d4d2-ececea d0b890-e2cfac-f0e4cc c8a8a0-e0c8c0-f0e0da",
    plasters,
    trowel,
    irregular.craquelure,
)
surface(
    "marble",
    "4a4e54-b8bcc0-f2f2f0 5a4a40-c8b8a4-f0e8dc 0e1012-2a3036-8a9098 284438-4c7060-a8c4b4",
    worn.veins_marble,
    worn.marble,
)
surface(
    "granite",
    "1c1c1e-7c7a7a-d4d0cc 4a2e2a-a07c74-dcc8c0 2a2e30-606668-c0c6c8",
    irregular.granite,
    irregular.terrazzo,
)
surface(
    "tile,tiles",
    "b8b4ac-dcd8d0-f4f2ee 2a5a74-5a94ac-a8d0dc 8a4a34-b87254-d8a080 e0e0e0-f0f0f0-ffffff",
    regular.bathroom,
    regular.lines_grid,
    regular.board_relief,
)
surface(
    "fabric,cloth,textile",
    "3a3e58-5a607c-8a90a8 a89880-c8baa4-e4dccc 5a1c20-8a3034-b05a5c 2c4438-4a6a58-7a9a84",
    woven.cloth,
    woven.twill,
    woven.burlap,
    worn.folds,
)
surface("denim", "1a2844-34507c-7c9cc0", woven.twill, woven.cloth)
surface(
    "wool",
    "b0a48c-dcd4c0-f4f0e4 5a3a34-8a5c54-b88c80 3a4450-64707e-98a4b0",
    woven.stockinette,
    woven.garter,
    worn.felt,
)
surface(
    "carpet,rug",
    "5a2c24-8a4a3a-b07a64 5a5448-88826e-b0aa98 2a3c50-4a6078-8098ac",
    pile,
    worn.felt,
)
surface(
    "paper",
    "d8d0c0-eae4d8-f8f4ec e0e0e0-f0f0f0-fcfcfc b89a6c-cfb488-e2cca4",
    worn.crumpled,
    plasters,
)
surface("foliage,leaves", "0e2408-2e5c18-6aa03a 2a3c10-60802a-b0c460 4a2c10-a06424-d8a848", leaves)
surface(
    "soil,dirt",
    "1e140c-4a3422-7a5e44 2c221a-5e4c3a-8c7a64",
    irregular.rubble,
    grains,
    worn.pumice,
)
surface("moss", "1a2c0a-4a6a1c-8aa83c", worn.felt, irregular.florets)
surface("asphalt", "1e1e20-48484a-7a7a7c 34322e-5c5a56-8a8884", irregular.granite, grains)
surface(
    "ice", "6a90a8-b0d0e0-f4fbff 8aa0ac-c8d8e0-fcfeff", frost, irregular.cracks, irregular.facets
)
surface("glass", "1a3034-6a9094-e0f0f0 2a3a4c-7a94ac-e8f0f8", panes, sleek)
surface(
    "plastic",
    "c02020-d84040-f08080 2050a8-4070c8-90b0e8 e0c020-f0d850-fff0a0 208040-40a060-90d0a0",
    sleek,
)
surface("straw,hay", "6a4e1c-b08c40-e4cc88", irregular.straw, irregular.fibres)
surface(
    "sky",
    "3a70b8-7aa8dc-e4eef8 5088c8-98c0e8-f8fafc 6a7684-a0aab4-d8dce0 2a4a8a-5a88c8-b8d4f0",
    clouds,
    clear_sky,
)
surface("clouds", "6a90c0-b8cce0-ffffff 6a7078-a8aeb4-e4e6e8", clouds)
surface("fog,mist", "8a9094-b4b8ba-dcdedf 98a0ac-bcc4cc-e0e4e8", mist)
surface("fire,flames", "100402-8a1c04-e87010-fce070", flames)
surface("lace", "f0ece4-f0ece4-f8f6f0 181012-181012-2a2024", woven.lace)
surface("feathers", "3a2c20-8a7058-d8c8ac 1a3a5a-3a7ab0-b0d8f0 b0a8a0-dcd8d2-fcfaf8", plumage)
surface("cork", "5a3a1c-a87a48-d0a878", irregular.terrazzo, worn.pumice)
surface("sponge,foam", "b08a20-dcb848-f4e08c c8c8c0-e4e4dc-f8f8f4", worn.sponge, irregular.foam)
surface(
    "silk,satin",
    "7a1c34-b8405c-e890a4 28346a-5464a8-a0b0e4 8a7a50-c4b484-f0e8c8",
    sleek,
    worn.folds,
)
surface(
    "velvet",
    "30060e-6a1424-a83848 0a1c30-1c4468-4c80a8 1c0a2c-44206a-7c50a4",
    sleek,
    worn.felt,
)
surface("cardboard", "8a6438-b08a58-c8a878", regular.corrugated, plasters)
surface("wicker", "5a3a1c-a0743c-d4ac70", woven.wicker)
surface("coral", "8a3a34-d0786c-f4bcac a88a5c-d8bc8c-f4e4c4", worn.coral, regular.brain)


@kind("furry")
def shaggy(s: Sheet) -> Look:
    return worn.fur(s)


@kind("smooth", "shiny", "glossy")
def smooth_shine(s: Sheet) -> Look:
    return sleek(s)


@kind("wavy", "rippled")
def wavy(s: Sheet) -> Look:
    return ripples(s)


@kind("wavy", "rippled")
def wavy_lines(s: Sheet) -> Look:
    u, v = s.lay(12, 40)
    t = v + s.between(0.2, 0.5) * np.sin(2 * np.pi * u * s.between(0.2, 0.5))
    return Look(s.within(fold(t), s.between(0.1, 0.25)))


@kind("foggy", "blurry")
def foggy(s: Sheet) -> Look:
    return Look(0.5 + 0.3 * s.smooth(s.between(60, 120)))


@kind("floral", "flowers")
def floral(s: Sheet) -> Look:
    u, v = s.lay(30, 80)
    c = s.cells(u, v, 0.7)
    a, n = np.arctan2(c.y, c.x) + c.value * 9, s.any(5, 6, 8)
    r = c.near / (0.25 + 0.1 * np.cos(n * a))
    core = c.near < 0.07
    leaf = (c.near < 0.42) & (np.cos(3 * a) > 0.7) & (r > 1)
    return Look(
        np.where(core, 1, np.where(r < 1, 0.6, np.where(leaf, 0.35, 0.1))).astype(np.float32),
        part=c.value,
        colours=5,
    )


def material(word: str, way: int, rng: np.random.Generator) -> np.ndarray:
    """A material in one of its ways and colours; float `[SIDE, SIDE, 3]`."""
    ways = SURFACES[word]
    chosen = ways[way % len(ways)]
    table = chosen.colours[int(rng.integers(len(chosen.colours)))]
    colours = np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in table]) / 255
    colours = np.clip(
        colours * rng.uniform(0.85, 1.15, (1, 3)) + rng.normal(0, 0.02, colours.shape), 0, 1
    )
    return sheet.paint(chosen.draw(Sheet(rng)), rng, colours.astype(np.float32))
