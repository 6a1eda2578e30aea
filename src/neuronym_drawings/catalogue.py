"""The list of pictures: ids, labels, what their masks name, and how to draw each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from neuronym_drawings import camera, compose, palette, photographs, plain
from neuronym_drawings.backdrops import BACKDROPS, SURFACES
from neuronym_drawings.canvas import Canvas, Note
from neuronym_drawings.materials import MATERIALS
from neuronym_drawings.noise import generator, pick
from neuronym_drawings.scenes.base import SCENES
from neuronym_drawings.textures.base import TEXTURES
from neuronym_drawings.things.base import THINGS

#: Seeds from here on are for training networks: the probe takes none of them.
TRAINING_SEEDS = 1_000_000

#: Pictures per colour, texture, …; with the photographs about 4,300 in all.
VARIANTS = {
    "colour": plain.COLOUR_VARIANTS,
    "texture": 24,
    "patchwork": 3,
    "material": 16,
    "object": 10,
    "group": 14,
    "scene": 12,
}
#: Of a texture's or a material's pictures, one in so many shows it on a body.
_BODY = 5

#: Things that are found together, and before what.
GROUPS = {
    "breakfast": ("table", "cup bowl egg bread apple bottle banana book"),
    "fruit": ("table", "apple pear orange lemon grapes cherry strawberry banana watermelon"),
    "vegetables": ("on wood", "tomato carrot pepper corn pumpkin"),
    "cutlery": ("on fabric", "knife fork spoon plate"),
    "desk": ("table", "laptop lamp book camera dice vase cup clock"),
    "tools": ("on wood", "hammer scissors key pencil phone sunglasses"),
    "shapes": ("on paper", "circle square triangle star heart cross ring diamond arrow"),
    "solids": ("studio", "ball cube cone cylinder dice"),
    "clothes": ("on wood", "shirt sock glove sunglasses"),
    "pets": ("lawn", "cat dog rabbit bird"),
    "farm": ("lawn", "cow sheep horse tree house"),
    "savanna": ("sand", "elephant zebra palm cactus turtle"),
    "traffic": ("road", "car bus truck motorcycle bicycle"),
    "street": ("street", "person lamp_post bench traffic_light street_sign car"),
    "boats": ("sea", "boat ship duck lighthouse"),
    "flight": ("sky", "airplane helicopter balloon sun cloud"),
    "garden": ("garden", "flower mushroom snail frog butterfly bee"),
    "reef": ("underwater", "fish jellyfish"),
    "winter": ("snow", "snowman pine penguin house rabbit"),
    "room": ("floor", "chair table lamp sofa bag drum ball"),
    "space": ("night", "planet moon rocket"),
    "people": ("lawn", "person dog tree bicycle ball"),
}


@dataclass(frozen=True)
class Picture:
    """One image of the probe, not yet drawn.

    Attributes:
        draw: paints it on a canvas, or None for a photograph.
        labels: image-wide labels.
        masked: what its masks may name; what is hidden or cut off has none.
        crop: the photograph that it is cut from.
    """

    id: str
    draw: Callable[[Canvas], None] | None
    labels: tuple[Note, ...] = ()
    masked: tuple[Note, ...] = ()
    crop: photographs.Crop | None = None


@functools.lru_cache(maxsize=8)
def catalogue(seed: int) -> tuple[Picture, ...]:
    """All pictures of a seed, the kinds mixed so that any first part is a fair sample.

    The order of the drawn pictures does not depend on whether the photographs are there.
    """
    kinds = [
        list(make(seed))
        for make in (
            _colours,
            _textures,
            _patchworks,
            _materials,
            _objects,
            _groups,
            _scenes,
            _photos,
        )
    ]
    keyed = [
        ((k + 0.5) / len(pictures), kind, picture)
        for kind, pictures in enumerate(kinds)
        for k, picture in enumerate(pictures)
    ]
    return tuple(picture for _, _, picture in sorted(keyed, key=lambda entry: entry[:2]))


def _rounds(kind: str, names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Every name once, then every name again, …; each round in an order of its own."""
    names = sorted(names)
    for variant in range(VARIANTS[kind]):
        for k in generator("order", kind, variant).permutation(len(names)):
            yield names[k], variant


def _a(category: str, *names: str) -> tuple[Note, ...]:
    return tuple(Note(category, name) for name in names)


def _colours(seed: int) -> Iterator[Picture]:
    for term, k in _rounds("colour", palette.BASIC):
        others = [name for name in palette.BASIC if name != term]
        other = others[(palette.BASIC.index(term) * 3 + k) % len(others)]
        whole = k not in plain.BESIDE
        yield Picture(
            f"colour/{term}/{k:02d}",
            functools.partial(plain.colour, term=term, other=other, variant=k),
            labels=_a("colour", term) if whole else (),
            masked=_a("colour", term) if whole else _a("colour", term, other),
        )


def _textures(seed: int) -> Iterator[Picture]:
    for name, k in _rounds("texture", TEXTURES):
        known = TEXTURES[name].colours
        rng = generator(seed, "colours of", name, k)
        whole = k % _BODY != _BODY - 1
        ground, figure = known[k % len(known)]
        if k >= max(4, len(known)):
            if TEXTURES[name].clean and k % 2:
                ground, figure = (str(term) for term in rng.permutation(palette.BASIC)[:2])
            elif k % 3 and TEXTURES[name].free:
                ground = figure = ""
        coloured = plain.texture_colours(name, ground, figure) if whole else ()
        yield Picture(
            f"texture/{name}/{k:02d}",
            functools.partial(plain.texture, name=name, ground=ground, figure=figure, whole=whole),
            labels=_a("texture", name) if whole else (),
            masked=_a("colour", *coloured) if whole else _a("texture", name),
        )


def _patchworks(seed: int) -> Iterator[Picture]:
    names = sorted(TEXTURES)
    for turn in range(VARIANTS["patchwork"]):
        order = generator("order", "patchwork", turn).permutation(len(names))
        for k in range(len(names)):
            some = tuple(names[order[(k + step) % len(names)]] for step in range(2 + turn % 2))
            yield Picture(
                f"patchwork/{'+'.join(some)}/{turn:02d}",
                functools.partial(plain.patchwork, names=some),
                masked=_a("texture", *some),
            )


def _materials(seed: int) -> Iterator[Picture]:
    for name, k in _rounds("material", MATERIALS):
        whole = k % _BODY != _BODY - 1 or name not in plain.SOLID
        yield Picture(
            f"material/{name}/{k:02d}",
            functools.partial(plain.material, name=name, whole=whole),
            labels=_a("material", name) if whole else (),
            masked=_a("material", name),
        )


def _objects(seed: int) -> Iterator[Picture]:
    names = sorted(THINGS)
    for name, k in _rounds("object", THINGS):
        thing = THINGS[name]
        rng = generator(seed, "pose of", name)
        tints = list(rng.permutation(thing.tints)) if thing.tints else [None]
        tint = None if tints[0] is None else str(tints[k % len(tints)])
        rng = generator(seed, "place of", name, k)
        where = thing.where[k // 2 % len(thing.where)]
        if k % 2 and rng.random() < 0.7:
            where = pick(rng, ("blur", "plain", "textured", "studio"))
        if where == "surface":
            where = pick(rng, SURFACES)
        beside = pick(rng, names) if rng.random() < 0.3 else None
        shown = [*_shown(name, tint), *BACKDROPS[where].notes]
        yield Picture(
            f"object/{name}/{k:02d}",
            functools.partial(_alone, name=name, tint=tint, backdrop=where, beside=beside),
            masked=_unique([*shown, *(_a("object", beside) if beside else ())]),
        )


def _groups(seed: int) -> Iterator[Picture]:
    for theme, k in _rounds("group", GROUPS):
        where, words = GROUPS[theme]
        names = [word.replace("_", " ") for word in words.split()]
        rng = generator(seed, "members of", theme, k)
        count = min(2 + int(rng.integers(4)), len(names), 3 if where in ("road", "street") else 5)
        members = []
        for name in rng.permutation(names)[:count]:
            tints = THINGS[str(name)].tints
            members.append((str(name), pick(rng, tints) if tints else None))
        shown = [note for name, tint in members for note in _shown(name, tint)]
        yield Picture(
            f"group/{theme}/{k:02d}",
            functools.partial(_together, members=members, backdrop=where),
            masked=_unique([*shown, *BACKDROPS[where].notes]),
        )


def _scenes(seed: int) -> Iterator[Picture]:
    for name, k in _rounds("scene", SCENES):
        yield Picture(
            f"scene/{name.replace(' ', '-')}/{k:02d}",
            functools.partial(_place, name=name),
            labels=_a("scene", name),
            masked=_a("object", *SCENES[name].objects),
        )


def _photos(seed: int) -> Iterator[Picture]:
    crops = photographs.crops()
    for k in generator("order", "photo").permutation(len(crops)):
        yield Picture(crops[k].id, None, labels=crops[k].labels, crop=crops[k])


def _shown(name: str, tint: str | None) -> list[Note]:
    """What the masks of one thing name."""
    thing = THINGS[name]
    colours = _a("colour", tint) if tint else ()
    return [Note("object", name), *_a("part", *thing.parts), *colours]


def _unique(notes: Iterable[Note]) -> tuple[Note, ...]:
    return tuple(sorted(set(notes)))


def _alone(c: Canvas, name: str, tint: str | None, backdrop: str, beside: str | None) -> None:
    compose.alone(c, name, tint, backdrop, beside)
    camera.shoot(c, view=0.6, light=0.7)


def _together(c: Canvas, members: list[tuple[str, str | None]], backdrop: str) -> None:
    compose.together(c, members, backdrop)
    camera.shoot(c, view=0.5, light=0.7)


def _place(c: Canvas, name: str) -> None:
    SCENES[name].draw(c)
    camera.shoot(c)


def draw(picture: Picture, seed: int) -> Canvas:
    """Draw one picture: the same pixels for the same id and seed, whatever was drawn before."""
    canvas = Canvas(generator(seed, picture.id))
    if picture.crop is not None:
        canvas.rgb = picture.crop.pixels().astype(np.float32) / 255
    elif picture.draw is not None:
        picture.draw(canvas)
    return canvas
