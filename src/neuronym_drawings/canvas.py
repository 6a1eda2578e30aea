"""A picture in the making: colours, and which thing owns each pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from neuronym_drawings import noise
from neuronym_drawings.noise import SIZE

#: Shapes are drawn this many times finer than the pixels, then averaged.
FINE = 4


class Note(NamedTuple):
    """What something is: `Note("texture", "striped")`."""

    category: str
    name: str


Notes = tuple[Note, ...]
Polygon = np.ndarray

#: Surfaces of things: a field of brightness variations that is fixed to the picture.
_GRAIN: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "plain": lambda rng: noise.fbm(rng, 30, 4),
    "fur": lambda rng: (
        0.7 * noise.streaks(rng, 9, 1.4, float(rng.uniform(50, 130))) + 0.5 * noise.smooth(rng, 20)
    ),
    "leaf": lambda rng: noise.fbm(rng, 9, 4, rough=0.8),
    "wood": lambda rng: noise.streaks(rng, 70, 2.5) + 0.4 * noise.streaks(rng, 160, 9),
    "stone": lambda rng: noise.fbm(rng, 14, 5, rough=0.75),
    "cloth": lambda rng: noise.fbm(rng, 40, 2) + 0.4 * noise.smooth(rng, 1.6),
    "metal": lambda rng: noise.streaks(rng, 60, 1.2) * 0.5 + noise.fbm(rng, 50, 2) * 0.6,
}


class Canvas:
    """Colours `rgb` `[SIZE, SIZE, 3]` on the [0, 1] scale, and the owner of each pixel.

    Every fill that carries notes takes over the pixels that it covers by half or more, so masks
    are exact, and what is hidden belongs to what hides it.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.rgb: np.ndarray = np.full((SIZE, SIZE, 3), 0.5, np.float32)
        self.owner = np.zeros((SIZE, SIZE), np.int16)
        self.notes: list[Notes] = [()]
        self._numbers: dict[Notes, int] = {(): 0}
        angle = rng.uniform(-2.4, -0.74)
        #: Direction towards the light in the picture's plane: always from above.
        self.light = (float(np.cos(angle)), float(np.sin(angle)))
        self._grain: dict[str, np.ndarray] = {}

    def grain(self, kind: str) -> np.ndarray:
        """The brightness variations of a kind of surface over the whole picture."""
        if kind not in self._grain:
            self._grain[kind] = _GRAIN[kind](self.rng)
        return self._grain[kind]

    def own(self, pixels: np.ndarray, notes: Notes, top: int = 0, left: int = 0) -> None:
        """Hand pixels (a boolean array, its upper left corner at `top`, `left`) to an owner."""
        number = self._numbers.setdefault(notes, len(self.notes))
        if number == len(self.notes):
            self.notes.append(notes)
        height, width = pixels.shape
        self.owner[top : top + height, left : left + width][pixels] = number

    def cover(self, rgb: np.ndarray, notes: Notes = (), where: np.ndarray | None = None) -> None:
        """Paint over the whole picture, or over `where` (coverage `[SIZE, SIZE]` in [0, 1])."""
        if where is None:
            self.rgb[:] = rgb
            self.own(np.ones((SIZE, SIZE), bool), notes)
            return
        self.rgb += (rgb - self.rgb) * where[..., None]
        self.own(where >= 0.5, notes)

    def fill(
        self,
        polygons: Sequence[Polygon],
        colour: np.ndarray,
        notes: Notes | None = None,
        shade: str = "soft",
        strength: float = 1.0,
        grain: str = "plain",
        rough: float = 0.04,
        gloss: float = 0.0,
        alpha: float = 1.0,
    ) -> None:
        """Paint the union of polygons (points x, y in pixels).

        Args:
            colour: sRGB, `[3]`, or a whole picture `[SIZE, SIZE, 3]` of which they show a part.
            notes: what the pixels are; None leaves them to their owner.
            shade: `soft` (rounded edges), `sphere`, `upright` (a standing cylinder), `lying`
                (a lying cylinder), `down` (darker towards the bottom) or `flat`.
            strength: of the shading.
            grain, rough: surface, and how strongly it shows.
            gloss: height of the highlight.
            alpha: opacity.
        """
        points = np.concatenate(polygons)
        left, top = np.floor(points.min(0)).astype(int) - 1
        right, bottom = np.ceil(points.max(0)).astype(int) + 2
        frame = (int(left), int(top), int(right), int(bottom))
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, SIZE), min(bottom, SIZE)
        if right <= left or bottom <= top:
            return
        covered = coverage(polygons, (int(left), int(top), int(right), int(bottom)))
        light = self._shading(covered, shade, frame, (int(left), int(top))) * strength
        window = (slice(top, bottom), slice(left, right))
        if rough:
            light = light + rough * self.grain(grain)[window]
        if colour.ndim == 3:
            colour = colour[window]
        painted = colour * np.clip(1 + light, 0.08, 1.7)[..., None]
        if gloss:
            painted = painted + gloss * np.clip(light * 2.2 - 0.35, 0, 1)[..., None]
        self.rgb[window] += (painted - self.rgb[window]) * (covered * alpha)[..., None]
        if notes is not None:
            self.own(covered >= 0.5, notes, int(top), int(left))

    def _shading(
        self,
        covered: np.ndarray,
        shade: str,
        frame: tuple[int, int, int, int],
        origin: tuple[int, int],
    ) -> np.ndarray:
        """Brightness relative to the plain colour, for the window of a fill."""
        if shade == "flat" or min(covered.shape) < 5:
            return np.zeros(covered.shape, np.float32)
        left, top, right, bottom = frame
        height, width = covered.shape
        y = np.arange(height, dtype=np.float32)[:, None] + (origin[1] + 0.5)
        x = np.arange(width, dtype=np.float32)[None, :] + (origin[0] + 0.5)
        y = (2 * y - top - bottom) / (bottom - top)
        x = (2 * x - left - right) / (right - left)
        lx, ly = self.light
        if shade == "sphere":
            z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
            return 0.75 * (x * lx + y * ly) * 0.8 + 0.55 * z - 0.42
        if shade == "upright":
            z = np.sqrt(np.clip(1 - x * x, 0, 1))
            return (0.55 * x * np.sign(lx) + 0.45 * z - 0.35) + 0 * y
        if shade == "lying":
            return (-0.5 * y + 0.4 * np.sqrt(np.clip(1 - y * y, 0, 1)) - 0.3) + 0 * x
        if shade == "down":
            return (-0.16 * y) + 0 * x
        rise = _inflate(covered, max(1.0, 0.14 * min(bottom - top, right - left)))
        gy, gx = noise.slopes(rise)
        return np.clip(-(gx * lx + gy * ly) * 0.55 - 0.07 * y, -0.5, 0.5) + np.zeros_like(rise)

    def shadow(self, x: float, y: float, wide: float, high: float, dark: float = 0.5) -> None:
        """Darken a soft ellipse: the shadow under a thing that stands there."""
        wide, high = max(wide, 1), max(high, 1)
        left, right = (int(np.clip(x + k * 1.7 * wide, 0, SIZE)) for k in (-1, 1))
        top, bottom = (int(np.clip(y + k * 1.7 * high, 0, SIZE)) for k in (-1, 1))
        across = (np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x)) / np.float32(
            wide
        )
        down = (np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)) / np.float32(
            high
        )
        fade = np.exp(-((across**2 + down**2) ** np.float32(1.3)))
        self.rgb[top:bottom, left:right] *= (1 - np.float32(dark) * fade)[..., None]

    def blur(self, radius: float) -> None:
        """Throw what has been painted so far out of focus."""
        pixels = Image.fromarray((np.clip(self.rgb, 0, 1) * 255).astype(np.uint8))
        self.rgb = np.asarray(pixels.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255

    def pixels(self) -> np.ndarray:
        """The picture, uint8 `[SIZE, SIZE, 3]`."""
        return np.round(np.clip(self.rgb, 0, 1) * 255).astype(np.uint8)

    def masks(self) -> list[tuple[Note, np.ndarray]]:
        """For each note all visible pixels that carry it, boolean `[SIZE, SIZE]`; none is empty."""
        return masks_of(self.owner, self.notes)


def masks_of(owner: np.ndarray, notes: Sequence[Notes]) -> list[tuple[Note, np.ndarray]]:
    """The masks of an owner map, whose numbers are places in `notes`, sorted by note."""
    owners: dict[Note, list[int]] = {}
    for number in np.unique(owner):
        for note in notes[number]:
            owners.setdefault(note, []).append(number)
    return [(note, np.isin(owner, numbers)) for note, numbers in sorted(owners.items())]


def _inflate(covered: np.ndarray, radius: float) -> np.ndarray:
    """A cushion over a shape: heights in pixels that fall to 0 over `radius` at its edges."""
    # Averaged over large pixels and interpolated between them: a blur in floating point, which
    # leaves no steps that the light would show.
    step = radius * 1.5
    pad = int(np.ceil(step))
    wide = np.pad(covered, pad)
    rows, columns = (max(3, round(length / step)) for length in wide.shape)
    small = Image.fromarray(wide).resize((columns, rows), Image.Resampling.BOX)
    smooth = np.asarray(small.resize(wide.shape[::-1], Image.Resampling.BICUBIC))
    return smooth[pad:-pad, pad:-pad] * np.float32(radius * 1.7)


def coverage(polygons: Sequence[Polygon], box: tuple[int, int, int, int]) -> np.ndarray:
    """How much of each pixel of a box (left, top, right, bottom) lies in any of the polygons."""
    left, top, right, bottom = box
    fine = Image.new("L", ((right - left) * FINE, (bottom - top) * FINE))
    draw = ImageDraw.Draw(fine)
    for polygon in polygons:
        moved = (polygon - (left, top)) * FINE - 0.5
        draw.polygon(moved.ravel().tolist(), fill=255)
    return np.asarray(fine.reduce(FINE), np.float32) / 255
