"""Which pictures the weights are learned from, and what each shows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from training.sketch import camera, drawings, sheet

# In this order: it decides the order of the pictures.
from training.sketch import irregular, worn, regular, dotted, surfaces, woven  # isort: skip

__all__ = ["Picture", "catalogue", "dotted", "irregular", "regular", "worn", "woven"]

#: Pictures of one way to draw something.
WAY, SURFACE = 10, 8
PROBE = {"texture": 8, "material": 8, "object": 8, "scene": 10}


@dataclass(frozen=True)
class Picture:
    """One picture, not yet drawn.

    Attributes:
        group: texture, material, object or scene.
        way: which kind of drawing it is.
        words: what it shows, in words that are equally right.
        number: counts the pictures of a way.
    """

    group: str
    way: str
    words: tuple[str, ...]
    number: int

    @property
    def held_out(self) -> bool:
        """Whether its way belongs to those, more than a fifth, that are kept for trying."""
        digest = hashlib.blake2b(self.way.encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") % 4 == 0

    def pixels(self) -> np.ndarray:
        """uint8 `[224, 224, 3]`, the same whenever it is drawn."""
        rng = drawings.generator(drawings.SEED, "picture", self.way, self.number)
        source, name = self.way.split("/", 1)
        if source == "way":
            drawn = sheet.paint(_WAYS[name](sheet.Sheet(rng)), rng)
        elif source == "surface":
            word, number = name.rsplit("/", 1)
            drawn = surfaces.material(word, int(number), rng)
        else:
            drawn = drawings.draw(self.group, name, self.number) / 255
        turned = self.group in ("texture", "material")
        return camera.photograph(
            (np.clip(drawn, 0, 1) * 255).astype(np.uint8),
            rng,
            free=turned,
            strong=self.group == "texture",
            small=0.25 if turned else 0.5,
        )


_WAYS = {draw.__name__: draw for draws in sheet.KINDS.values() for draw in draws}


def catalogue() -> list[Picture]:
    """All pictures, in an order that mixes them."""
    words: dict[str, list[str]] = {}
    for word, draws in sheet.KINDS.items():
        for draw in draws:
            words.setdefault(f"way/{draw.__name__}", []).append(word)
    plan = [("texture", way, tuple(known), WAY) for way, known in words.items()]
    named: dict[int, tuple[str, list[str]]] = {}
    for word, ways in surfaces.SURFACES.items():
        for number, way in enumerate(ways):
            named.setdefault(id(way), (f"surface/{word}/{number}", []))[1].append(word)
    plan += [("material", way, tuple(known), SURFACE) for way, known in named.values()]
    for group, names in drawings.kinds().items():
        plan += [(group, f"probe/{name}", (name,), PROBE[group]) for name in names]
    most = max(count for *_, count in plan)
    return [
        Picture(group, way, known, number)
        for number in range(most)
        for group, way, known, count in plan
        if number < count
    ]
