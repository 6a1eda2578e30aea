"""Simple scenes: places made of skies, grounds and the things that belong there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neuronym_drawings import palette, places
from neuronym_drawings.canvas import Canvas
from neuronym_drawings.compose import put
from neuronym_drawings.noise import SIZE


@dataclass(frozen=True)
class Scene:
    """One kind of place: how it is drawn, and the things whose masks it always has."""

    name: str
    draw: Callable[[Canvas], None]
    objects: tuple[str, ...]


SCENES: dict[str, Scene] = {}


def scene(
    name: str, objects: str
) -> Callable[[Callable[[Canvas], None]], Callable[[Canvas], None]]:
    """Decorator: register a scene. Objects are separated by commas."""

    def decorate(draw: Callable[[Canvas], None]) -> Callable[[Canvas], None]:
        SCENES[name] = Scene(name, draw, tuple(sorted(word.strip() for word in objects.split(","))))
        return draw

    return decorate


def some(
    c: Canvas,
    name: str,
    count: tuple[int, int],
    x: tuple[float, float],
    y: tuple[float, float],
    scale: tuple[float, float],
    shadow: float = 0.4,
) -> None:
    """Several of a thing, the far ones (small y) smaller and drawn first; x, y as fractions."""
    rng = c.rng
    number = int(rng.integers(count[0], count[1] + 1))
    depth = np.sort(rng.random(number))
    across = (np.arange(number) + rng.uniform(0.2, 0.8, number)) / number
    for t, u in zip(depth, rng.permutation(across), strict=True):
        put(
            c,
            name,
            SIZE * (x[0] + (x[1] - x[0]) * u),
            SIZE * (y[0] + (y[1] - y[0]) * t),
            scale[0] + (scale[1] - scale[0]) * t,
            shadow=shadow,
            flip=rng.random() < 0.5,
            notes="name",
        )


def hills(
    c: Canvas,
    y: float,
    layers: int,
    colours: tuple[str, str],
    high: float,
    name: str,
    rough: float = 0.35,
) -> None:
    """Rows of hills one before the other; two colours from the farthest to the nearest."""
    far, near = (palette.rgb(text) for text in colours)
    for k in range(layers):
        t = k / max(layers - 1, 1)
        places.ridge(
            c,
            SIZE * y + k * high * 0.8,
            high * (1 - 0.3 * t),
            far + (near - far) * t,
            name,
            rough,
            wavelength=110,
        )
