"""What a thing is: a drawing made of named parts, in its own coordinates."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from neuronym_drawings import palette
from neuronym_drawings.canvas import Canvas, Note, Notes, Polygon

Path = str | Sequence[tuple[float, float]] | np.ndarray
Colour = str | np.ndarray | None


@dataclass(frozen=True)
class Thing:
    """One kind of object.

    Attributes:
        draw: paints it into the square from −1 to 1 (x to the right, y down).
        parts: the names of its parts, all of which it always shows.
        tints: basic colour terms in which its main part comes; empty if it has colours of its own.
        where: names of the backdrops before which it is found.
        foot: y where it touches the ground, None if it does not stand on anything.
        size: smallest and largest half-width of the drawing on its own, in pixels.
        turn: how far it may be turned, in degrees.
    """

    name: str
    draw: Callable[[Pen], None]
    parts: tuple[str, ...]
    tints: tuple[str, ...]
    where: tuple[str, ...]
    foot: float | None
    size: tuple[float, float]
    turn: float


THINGS: dict[str, Thing] = {}


def thing(
    name: str,
    parts: str = "",
    tints: str = "",
    where: str = "studio",
    foot: float | None = 0.95,
    size: tuple[float, float] = (72, 98),
    turn: float = 4.0,
) -> Callable[[Callable[[Pen], None]], Callable[[Pen], None]]:
    """Decorator: register a thing. Lists are written with spaces, `_` stands for one in a name."""

    def decorate(draw: Callable[[Pen], None]) -> Callable[[Pen], None]:
        words = tuple(part.replace("_", " ") for part in parts.split())
        THINGS[name] = Thing(
            name, draw, words, tuple(tints.split()), tuple(where.split()), foot, size, turn
        )
        return draw

    return decorate


class Pen:
    """Draws one thing on a canvas; coordinates are the thing's own.

    Every method takes the style of `Canvas.fill`, and `colour` (six hexadecimal digits, or None
    for the thing's tint), `part` (the name of the part, or several separated by spaces) and `tone`
    (a factor on the brightness of the tint).
    """

    def __init__(
        self,
        canvas: Canvas,
        thing: Thing,
        tint: str | None,
        x: float,
        y: float,
        scale: float,
        turn: float = 0.0,
        stretch: float = 1.0,
        flip: bool = False,
    ) -> None:
        self.canvas, self.thing, self.rng, self.scale = canvas, thing, canvas.rng, scale
        self.term = tint
        #: `all` annotates thing, parts and colour, `parts` not the colour, `name` the thing only.
        self.says = "all"
        self.tint = palette.shade(self.rng, tint or "grey")
        c, s = np.cos(np.radians(turn)) * scale, np.sin(np.radians(turn)) * scale
        side = -1 if flip else 1
        self._matrix = np.array([[c * side * stretch, s * side * stretch], [-s, c]])
        self._origin = np.array([x, y])

    def place(self, points: Path) -> Polygon:
        """Points in pixels from points in the thing's coordinates."""
        return points_of(points) @ self._matrix + self._origin

    def any(self, *options):
        """One of the options, at random."""
        return options[int(self.rng.integers(len(options)))]

    def poly(self, points: Path, colour: Colour = None, part: str = "", **style) -> None:
        """A polygon."""
        self._fill([self.place(points)], colour, part, style)

    def blob(self, points: Path, colour: Colour = None, part: str = "", **style) -> None:
        """A smooth closed curve through points."""
        self._fill([self.place(rounded(points_of(points)))], colour, part, style)

    def oval(self, x, y, rx, ry=None, colour: Colour = None, part="", turn=0.0, **style) -> None:
        """An ellipse about (x, y), turned by `turn` degrees."""
        self._fill(
            [self.place(ellipse(x, y, rx, rx if ry is None else ry, turn))], colour, part, style
        )

    def box(self, x0, y0, x1, y1, colour: Colour = None, part="", r=0.0, **style) -> None:
        """A rectangle with corners rounded by `r`."""
        self._fill([self.place(rectangle(x0, y0, x1, y1, r))], colour, part, style)

    def ring(self, x, y, radius, width, colour: Colour = None, part="", ry=None, **style) -> None:
        """A ring whose middle line is an ellipse."""
        outer = ellipse(x, y, radius + width / 2, (ry or radius) + width / 2)
        inner = ellipse(x, y, radius - width / 2, (ry or radius) - width / 2)
        around = np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])
        self._fill([self.place(around)], colour, part, style)

    def line(
        self, points: Path, width, colour: Colour = None, part="", curve=True, taper=1.0, **style
    ) -> None:
        """A stroke along points, curved or straight; `taper`: its last width over its first."""
        along = points_of(points)
        if curve and len(along) > 2:
            along = through(along, closed=False)
        half = width * np.linspace(1, taper, len(along))[:, None] / 2
        step = np.gradient(along, axis=0) if curve else np.diff(along, axis=0)
        side = np.stack([-step[:, 1], step[:, 0]], 1) / (np.hypot(*step.T)[:, None] + 1e-9)
        first, last = (side[:-1], side[1:]) if curve else (side, side)
        pieces = np.stack(
            [
                along[:-1] + first * half[:-1],
                along[1:] + last * half[1:],
                along[1:] - last * half[1:],
                along[:-1] - first * half[:-1],
            ],
            axis=1,
        )
        joints = range(len(along)) if not curve else (0, len(along) - 1)
        ends = [ellipse(along[k, 0], along[k, 1], half[k, 0], half[k, 0], count=12) for k in joints]
        self._fill([self.place(shape) for shape in (*pieces, *ends)], colour, part, style)

    def shadow(self, x: float, y: float, wide: float, high: float, dark: float = 0.45) -> None:
        """A soft shadow."""
        cx, cy = self.place([(x, y)])[0]
        self.canvas.shadow(cx, cy, wide * self.scale, high * self.scale, dark)

    def _fill(self, shapes: list[Polygon], colour: Colour, part: str, style: dict) -> None:
        notes = [Note("object", self.thing.name)]
        if self.says != "name":
            notes += [Note("part", word.replace("_", " ")) for word in part.split()]
        tone = style.pop("tone", 1.0)
        if colour is None:
            shown = np.clip(self.tint * tone, 0, 1)
            if self.term and self.says == "all":
                notes.append(Note("colour", self.term))
        else:
            shown = palette.rgb(colour) if isinstance(colour, str) else colour
        owned: Notes | None = tuple(notes) if style.pop("solid", True) else None
        self.canvas.fill(shapes, shown, owned, **style)


def points_of(path: Path) -> np.ndarray:
    """Points `[point, 2]` from "x,y x,y …" or from pairs."""
    if isinstance(path, str):
        return np.array([tuple(map(float, pair.split(","))) for pair in path.split()], float)
    return np.asarray(path, float)


def ellipse(x, y, rx, ry, turn: float = 0.0, count: int = 44) -> Polygon:
    """Points of an ellipse."""
    circle = _circle(count) * (rx, ry)
    if turn:
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        circle = circle @ np.array([[c, s], [-s, c]])
    return circle + np.array([x, y])


@functools.cache
def _circle(count: int) -> Polygon:
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(t), np.sin(t)], axis=1)


def rectangle(x0, y0, x1, y1, r: float = 0.0) -> Polygon:
    """Points of a rectangle, its corners rounded by `r`."""
    x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
    r = min(r, (x1 - x0) / 2, (y1 - y0) / 2)
    if r <= 0:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)
    t = np.linspace(0, np.pi / 2, 8)
    centres = ((x1 - r, y1 - r, 0), (x0 + r, y1 - r, 1), (x0 + r, y0 + r, 2), (x1 - r, y0 + r, 3))
    return np.concatenate(
        [
            np.stack([x + r * np.cos(t + k * np.pi / 2), y + r * np.sin(t + k * np.pi / 2)], axis=1)
            for x, y, k in centres
        ]
    )


def through(points: np.ndarray, closed: bool) -> np.ndarray:
    """A Catmull-Rom curve through points."""
    count = len(points)
    steps = np.linspace(0, 1, 9)[:-1][:, None]
    index = np.arange(count if closed else count - 1)
    wrap = (lambda i: i % count) if closed else (lambda i: np.clip(i, 0, count - 1))
    a, b, c, d = (points[wrap(index + k)] for k in (-1, 0, 1, 2))
    curve = [
        0.5
        * (
            2 * b[i]
            + (c[i] - a[i]) * steps
            + (2 * a[i] - 5 * b[i] + 4 * c[i] - d[i]) * steps**2
            + (3 * b[i] - a[i] - 3 * c[i] + d[i]) * steps**3
        )
        for i in range(len(index))
    ]
    return np.concatenate(curve if closed else [*curve, points[-1:]])


def rounded(points: np.ndarray) -> np.ndarray:
    """The smooth closed curve through points."""
    return through(points, closed=True)


def star(x, y, outer: float, inner: float, tips: int, turn: float = -90.0) -> Polygon:
    """Points of a star."""
    angle = np.radians(turn) + np.arange(2 * tips) * np.pi / tips
    radius = np.where(np.arange(2 * tips) % 2 == 0, outer, inner)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def mirror(points: Path) -> np.ndarray:
    """The same points with x reversed."""
    return points_of(points) * (-1, 1)
