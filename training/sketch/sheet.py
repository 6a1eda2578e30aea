"""What textures are made of: coordinates, fields, palettes and light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from training.sketch.drawings import cells, fbm, lookup, ramp, slopes, smooth, streaks, unit

SIDE = 224
Field = np.ndarray


@dataclass
class Look:
    """A texture before it is coloured; arrays are `[SIDE, SIDE]`.

    Attributes:
        mix: 0 for the first colour, 1 for the last.
        height: relief in pixels, or None for something flat.
        part: a number in [0, 1) per part that has a colour of its own, or None.
        gloss: strength of highlights.
        colours: how many colours, at most.
        dark: whether low places are darker than their surroundings.
    """

    mix: Field
    height: Field | None = None
    part: Field | None = None
    gloss: float = 0.0
    colours: int = 2
    dark: float = 0.0


class Sheet:
    """Randomness and coordinates of one texture.

    Attributes:
        x, y: pixels from the middle, turned and bent by `lay`.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        t = np.arange(SIDE, dtype=np.float32) - SIDE / 2
        self.x, self.y = np.meshgrid(t, t)
        self.px = 1.0

    def between(self, low: float, high: float) -> float:
        """A number, evenly."""
        return float(self.rng.uniform(low, high))

    def scale(self, low: float, high: float) -> float:
        """A number, evenly in its logarithm."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def any(self, *options):
        return options[int(self.rng.integers(len(options)))]

    def smooth(self, cell: float) -> Field:
        """Hills about `cell` pixels wide; zero mean, unit spread."""
        return smooth(self.rng, max(cell, 1.2))

    def fbm(self, cell: float, octaves: int = 4, rough: float = 0.5) -> Field:
        """Fractal noise; zero mean, unit spread."""
        return fbm(self.rng, cell, octaves, rough=rough)

    def ridges(self, cell: float, octaves: int = 4) -> Field:
        """Fractal noise of ridges: near 1 along them, 0 away from them."""
        total = sum(
            (1 - np.minimum(np.abs(self.smooth(cell / 2**k)), 1)) ** 2 * 0.5**k
            for k in range(octaves)
        )
        return (total / (2 - 2.0 ** (1 - octaves))).astype(np.float32)

    def streaks(self, length: float, width: float, angle: float) -> Field:
        return streaks(self.rng, length, max(width, 1.2), angle)

    def lay(self, low: float, high: float, turn: str = "any", bend: float | None = None):
        """Coordinates (u, v) in periods of `low` to `high` pixels, turned, bent and sheared."""
        rng = self.rng
        period = self.scale(low, high)
        angle = {
            "any": self.between(0, np.pi),
            "square": self.any(0, 0.5, 0, 0.25) * np.pi + self.between(-0.1, 0.1),
            "none": self.between(-0.06, 0.06),
        }[turn]
        x, y = self.x, self.y
        amount = self.any(0, 0.5, 1, 2) * self.between(1, 4) if bend is None else bend
        if amount:
            wide = self.scale(50, 160)
            x, y = x + amount * self.smooth(wide), y + amount * self.smooth(wide)
        c, s = np.cos(angle), np.sin(angle)
        u, v = (x * c + y * s) / period, (-x * s + y * c) / period
        shear = self.between(-0.15, 0.15) if self.chance(0.3) else 0
        u = u + shear * v + rng.uniform(40, 60)
        self.px, self.period, self.angle = 1 / period, period, angle
        return u.astype(np.float32), (v + rng.uniform(40, 60)).astype(np.float32)

    def within(self, distance: Field, width: float | Field, soft: float = 1.2) -> Field:
        """1 where a distance (in periods) is under `width`."""
        return np.clip((width - distance) / (self.px * soft) + 0.5, 0, 1).astype(np.float32)

    def cells(self, u: Field, v: Field, jitter: float = 0.8):
        return cells(self.rng, u, v, jitter)

    def lookup(self, *index: Field, levels: int = 0) -> Field:
        return lookup(self.rng, *index, levels=levels)

    def warp(self, field: Field, dx: Field, dy: Field) -> Field:
        """The field, seen through a displacement in pixels."""
        t = np.arange(SIDE, dtype=np.float32)
        return ndimage.map_coordinates(
            field, [t[:, None] + dy, t[None, :] + dx], order=1, mode="reflect"
        ).astype(np.float32)

    def along(self, field: Field, angle: Field, steps: int = 12, stride: float = 1.5) -> Field:
        """The field smeared along a direction per pixel (line integral convolution)."""
        t = np.arange(SIDE, dtype=np.float32)
        total, weight = field.copy(), 1
        for sign in (-1, 1):
            y = np.repeat(t[:, None], SIDE, 1)
            x = np.repeat(t[None, :], SIDE, 0)
            for _ in range(steps):
                at = ndimage.map_coordinates(angle, [y, x], order=0, mode="reflect")
                x = x + sign * stride * np.cos(at)
                y = y + sign * stride * np.sin(at)
                total += ndimage.map_coordinates(field, [y, x], order=1, mode="reflect")
                weight += 1
        return unit(total / weight)

    def blobs(self, count: int, low: float, high: float, stretch: float = 1.0, soft: float = 1.2):
        """Discs strewn at random: (coverage, a number per disc, offset from its rim in radii)."""
        rng = self.rng
        cover = np.zeros((SIDE, SIDE), np.float32)
        owner, dome = cover.copy(), cover.copy()
        for _ in range(count):
            r = self.scale(low, high)
            cx, cy = rng.uniform(-r, SIDE + r, 2)
            reach = int(r * max(stretch, 1) + 3)
            x0, x1 = max(int(cx) - reach, 0), min(int(cx) + reach, SIDE)
            y0, y1 = max(int(cy) - reach, 0), min(int(cy) + reach, SIDE)
            if x1 <= x0 or y1 <= y0:
                continue
            y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
            a = rng.uniform(0, np.pi)
            dx, dy = x - cx, y - cy
            p = (dx * np.cos(a) + dy * np.sin(a)) / stretch
            q = -dx * np.sin(a) + dy * np.cos(a)
            d = np.hypot(p, q)
            on = np.clip((r - d) / soft + 0.5, 0, 1)
            window = (slice(y0, y1), slice(x0, x1))
            cover[window] = np.maximum(cover[window], on)
            own = on > 0.5
            owner[window][own] = rng.random()
            dome[window][own] = np.sqrt(np.clip(1 - (d[own] / r) ** 2, 0, 1)) * r
        return cover, owner, dome

    def strokes(self, count: int, length: float, width: float, curl: float = 0.4, angle=None):
        """Curved strokes laid over each other: (coverage, a number per stroke, height)."""
        rng = self.rng
        big = 2
        cover = Image.new("L", (SIDE * big, SIDE * big))
        tone = Image.new("F", (SIDE * big, SIDE * big))
        from PIL import ImageDraw

        pen, brush = ImageDraw.Draw(cover), ImageDraw.Draw(tone)
        for _ in range(count):
            x, y = rng.uniform(-20, SIDE + 20, 2)
            a = rng.uniform(0, 2 * np.pi) if angle is None else angle + rng.normal(0, 0.15)
            bend = rng.normal(0, curl)
            points = []
            steps = 7
            for _ in range(steps):
                points.append((x * big, y * big))
                x += length / steps * np.cos(a)
                y += length / steps * np.sin(a)
                a += bend / steps * 2
            w = max(1, round(width * big * rng.uniform(0.6, 1.4)))
            pen.line(points, fill=255, width=w, joint="curve")
            brush.line(points, fill=float(rng.random()), width=w, joint="curve")
        shrink = (SIDE, SIDE)
        box = Image.Resampling.BOX
        return (
            np.asarray(cover.resize(shrink, box), np.float32) / 255,
            np.asarray(tone.resize(shrink, box), np.float32),
        )


def fold(t: Field) -> Field:
    """Distance to the nearest whole number: 0 to ½."""
    return np.abs(t - np.round(t))


def hexagons(u: Field, v: Field) -> tuple[Field, Field, Field]:
    """Of the hexagonal lattice: (distance to the border, centre's u, centre's v)."""
    s = np.float32(np.sqrt(3))
    best = None
    for shift in (0.0, 0.5):
        cu = np.round(u - shift) + shift
        cv = np.round((v - shift * s) / s) * s + shift * s
        du, dv = u - cu, v - cv
        d = du * du + dv * dv
        if best is None:
            best = [d, cu, cv]
        else:
            closer = d < best[0]
            best = [np.where(closer, new, old) for new, old in zip((d, cu, cv), best, strict=True)]
    du, dv = np.abs(u - best[1]), np.abs(v - best[2])
    reach = np.maximum(du, du * 0.5 + dv * s / 2)
    return 0.5 - reach, best[1], best[2]


def palette(rng: np.random.Generator, count: int) -> np.ndarray:
    """Colours that go together as in photographs: mostly dull, of few hues; `[count, 3]`."""
    hue = rng.random()
    spread = rng.choice([0.02, 0.08, 0.3, 1.0], p=[0.3, 0.35, 0.2, 0.15])
    level = np.sort(rng.beta(1.3, 1.3, count)) if rng.random() < 0.7 else rng.random(count)
    if np.ptp(level) < 0.25:
        level = np.linspace(*np.sort(rng.choice([0.1, 0.3, 0.5, 0.75, 0.95], 2, False)), count)
    if rng.random() < 0.5:
        level = level[::-1]
    vivid = rng.beta(1.2, 2.2) * rng.uniform(0.5, 1, count)
    if rng.random() < 0.12:
        vivid = vivid * 0.05
    if rng.random() < 0.4:  # the browns and ochres that most natural surfaces have
        hue, spread = rng.uniform(0.04, 0.13), 0.04
    hues = (hue + spread * rng.uniform(-0.5, 0.5, count)) % 1
    k = (hues[:, None] * 6 + np.array([5, 3, 1])) % 6
    high = 0.08 + 0.9 * level[:, None]
    return (high * (1 - vivid[:, None] * np.clip(np.minimum(k, 4 - k), 0, 1))).astype(np.float32)


def paint(look: Look, rng: np.random.Generator, table: np.ndarray | None = None) -> np.ndarray:
    """Colour a look, by a palette or by the colours given, and light it.

    Returns:
        float `[SIDE, SIDE, 3]`, about 0 to 1.
    """
    own = table is not None
    if table is None:
        most = look.colours
        table = palette(rng, 2 if most < 3 else int(rng.integers(2, most + 1)))
    count = len(table)
    mix = np.clip(look.mix, 0, 1)
    if look.part is not None and not own and (look.colours > 2 or rng.random() < 0.5):
        many = palette(rng, int(rng.integers(2, 7)))
        figure = many[(look.part * len(many)).astype(int) % len(many)]
        rgb = table[0] + (figure - table[0]) * mix[..., None]
    else:
        at = mix * (count - 1)
        first = np.minimum(at.astype(int), count - 2)
        rgb = table[first] + (table[first + 1] - table[first]) * (at - first)[..., None]
        if look.part is not None:
            rgb = rgb * (1 + rng.uniform(0, 0.3) * (look.part[..., None] - 0.5))
    if look.height is not None:
        steep = rng.uniform(0.5, 1.6)
        gy, gx = slopes(look.height.astype(np.float32) * np.float32(steep))
        angle, up = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.85)
        flat = np.sqrt(1 - up * up)
        length = np.sqrt(1 + gx * gx + gy * gy)
        facing = (up - flat * (gx * np.cos(angle) + gy * np.sin(angle))) / length
        ambient = rng.uniform(0.25, 0.6)
        light = ambient + (1 - ambient) * np.clip(facing, 0, 1.5) / up
        rgb = rgb * light[..., None]
        if look.gloss:
            shine = np.clip(facing / up * 0.9, 0, 1.05) ** rng.uniform(8, 40)
            rgb = rgb + look.gloss * rng.uniform(0.3, 1) * shine[..., None]
        if look.dark:
            low = ndimage.gaussian_filter(look.height, 5) - look.height
            rgb = rgb * (1 - look.dark * ramp(low, 0.3, 3))[..., None]
    grain = rng.uniform(0, 0.08)
    if grain > 0.02:
        rgb = rgb * (1 + grain * fbm(rng, rng.uniform(2, 30), 3))[..., None]
    return rgb.astype(np.float32)


#: word → the ways in which it is drawn.
KINDS: dict[str, list[Callable[[Sheet], Look]]] = {}


def kind(*words: str):
    """Decorator: a way to draw a texture that each of the words names."""

    def decorate(draw: Callable[[Sheet], Look]):
        for word in words:
            KINDS.setdefault(word, []).append(draw)
        return draw

    return decorate


def texture(word: str, way: int, rng: np.random.Generator) -> np.ndarray:
    """A texture of a word, drawn in one of its ways; float `[SIDE, SIDE, 3]`."""
    ways = KINDS[word]
    return paint(ways[way % len(ways)](Sheet(rng)), rng)
