"""The list of pictures: ids, labels, what their masks name, and how to draw each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from neuronym.inputs.probes.base import Annotation
from neuronym.inputs.probes.synthetic import compose, palette, photographs, plain
from neuronym.inputs.probes.synthetic.backdrops import BACKDROPS, SURFACES
from neuronym.inputs.probes.synthetic.canvas import Canvas
from neuronym.inputs.probes.synthetic.materials import MATERIALS
from neuronym.inputs.probes.synthetic.noise import generator, pick
from neuronym.inputs.probes.synthetic.scenes.base import SCENES
from neuronym.inputs.probes.synthetic.textures.base import TEXTURES
from neuronym.inputs.probes.synthetic.things.base import THINGS

TEXTURE_VARIANTS = 7
MATERIAL_VARIANTS = 4
OBJECT_VARIANTS = 4
SCENE_VARIANTS = 4
GROUP_VARIANTS = 4

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
        masked: what its masks name.
        crop: the photograph that it is cut from.
    """

    id: str
    draw: Callable[[Canvas], None] | None
    labels: tuple[Annotation, ...] = ()
    masked: tuple[Annotation, ...] = ()
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


def _rounds(kind: str, names: Iterable[str], variants: int) -> Iterator[tuple[str, int]]:
    """Every name once, then every name again, …; each round in an order of its own."""
    names = sorted(names)
    for variant in range(variants):
        for k in generator("order", kind, variant).permutation(len(names)):
            yield names[k], variant


def _a(category: str, *names: str) -> tuple[Annotation, ...]:
    return tuple(Annotation(category, name) for name in names)


def _colours(seed: int) -> Iterator[Picture]:
    for term, k in _rounds("colour", palette.BASIC, plain.COLOUR_VARIANTS):
        others = [name for name in palette.BASIC if name != term]
        other = others[(palette.BASIC.index(term) * 3 + k) % len(others)]
        whole = k in plain.WHOLE
        yield Picture(
            f"colour/{term}/{k:02d}",
            functools.partial(plain.colour, term=term, other=other, variant=k),
            labels=_a("colour", term) if whole else (),
            masked=_a("colour", term) if whole else _a("colour", term, other),
        )


def _textures(seed: int) -> Iterator[Picture]:
    for name, k in _rounds("texture", TEXTURES, TEXTURE_VARIANTS):
        known = TEXTURES[name].colours
        rng = generator(seed, "colours of", name, k)
        ground, figure = known[k % len(known)]
        if k >= max(4, len(known)) and TEXTURES[name].clean:
            ground, figure = (str(term) for term in rng.permutation(palette.BASIC)[:2])
        yield Picture(
            f"texture/{name}/{k:02d}",
            functools.partial(plain.texture, name=name, ground=ground, figure=figure),
            labels=_a("texture", name),
            masked=_a("colour", *plain.texture_colours(name, ground, figure)),
        )


def _patchworks(seed: int) -> Iterator[Picture]:
    names = list(TEXTURES)
    order = generator("order", "patchwork").permutation(len(names))
    for k in range(len(names)):
        first, second = names[order[k]], names[order[(k + 1) % len(names)]]
        yield Picture(
            f"patchwork/{first}-{second}",
            functools.partial(plain.patchwork, first=first, second=second),
            masked=_a("texture", first, second),
        )


def _materials(seed: int) -> Iterator[Picture]:
    for name, k in _rounds("material", MATERIALS, MATERIAL_VARIANTS):
        draw = functools.partial(plain.material, name=name)
        yield Picture(f"material/{name}/{k:02d}", draw, labels=_a("material", name))


def _objects(seed: int) -> Iterator[Picture]:
    for name, k in _rounds("object", THINGS, OBJECT_VARIANTS):
        thing = THINGS[name]
        rng = generator(seed, "pose of", name)
        tints = list(rng.permutation(thing.tints)) if thing.tints else [None]
        tint = None if tints[0] is None else str(tints[k % len(tints)])
        where = thing.where[k % len(thing.where)]
        if where == "surface":
            where = str(SURFACES[(int(rng.integers(len(SURFACES))) + k) % len(SURFACES)])
        yield Picture(
            f"object/{name}/{k:02d}",
            functools.partial(_alone, name=name, tint=tint, backdrop=where),
            masked=_unique([*_shown(name, tint), *BACKDROPS[where].notes]),
        )


def _groups(seed: int) -> Iterator[Picture]:
    for theme, k in _rounds("group", GROUPS, GROUP_VARIANTS):
        where, words = GROUPS[theme]
        names = [word.replace("_", " ") for word in words.split()]
        rng = generator(seed, "members of", theme, k)
        count = min(2 + int(rng.integers(3)), len(names), 3 if where in ("road", "street") else 4)
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
    for name, k in _rounds("scene", SCENES, SCENE_VARIANTS):
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


def _shown(name: str, tint: str | None) -> list[Annotation]:
    """What the masks of one thing name."""
    thing = THINGS[name]
    colours = _a("colour", tint) if tint else ()
    return [Annotation("object", name), *_a("part", *thing.parts), *colours]


def _unique(notes: Iterable[Annotation]) -> tuple[Annotation, ...]:
    return tuple(sorted(set(notes)))


def _alone(c: Canvas, name: str, tint: str | None, backdrop: str) -> None:
    compose.alone(c, name, tint, backdrop)
    c.expose()


def _together(c: Canvas, members: list[tuple[str, str | None]], backdrop: str) -> None:
    compose.together(c, members, backdrop)
    c.expose()


def _place(c: Canvas, name: str) -> None:
    SCENES[name].draw(c)
    c.expose()


def draw(picture: Picture, seed: int) -> Canvas:
    """Draw one picture: the same pixels for the same id and seed, whatever was drawn before."""
    canvas = Canvas(generator(seed, picture.id))
    if picture.crop is not None:
        canvas.rgb = picture.crop.pixels().astype(np.float32) / 255
    elif picture.draw is not None:
        picture.draw(canvas)
    return canvas
