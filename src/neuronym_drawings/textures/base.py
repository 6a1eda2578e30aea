"""What a texture is: a pattern between two colours, with relief, under a light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from neuronym_drawings import noise
from neuronym_drawings.noise import SIZE


@dataclass(frozen=True)
class Frame:
    """Where a texture is drawn: lattice coordinates in periods, turned, and a little bent.

    Attributes:
        u, v: across and down, in periods.
        px: the size of one pixel in periods.
        period: the size of one period in pixels.
        angle: how far the lattice is turned, in degrees.
    """

    rng: np.random.Generator
    u: np.ndarray
    v: np.ndarray
    px: float
    period: float
    angle: float

    def near(
        self, distance: np.ndarray, width: float | np.ndarray = 0.0, soft: float = 1.0
    ) -> np.ndarray:
        """1 where a distance (in periods) is under `width`, with an edge `soft` pixels wide."""
        return np.clip((width - distance) / (self.px * soft) + 0.5, 0, 1).astype(np.float32)

    def stripes(self, t: np.ndarray, share: float = 0.5, soft: float = 1.0) -> np.ndarray:
        """1 on stripes of period one that take `share` of the width."""
        return self.near(np.abs(t - np.floor(t) - 0.5), share / 2, soft)


@dataclass(frozen=True)
class Pattern:
    """What a texture function returns; arrays are `[SIZE, SIZE]`.

    Attributes:
        mix: 0 for the ground colour, 1 for the figure colour.
        height: relief in pixels.
        tone: variations of brightness about 0.
        rgb: the colours themselves, where two are not enough.
        gloss: strength of the highlights on the relief.
    """

    mix: np.ndarray
    height: np.ndarray | None = None
    tone: np.ndarray | None = None
    rgb: np.ndarray | None = None
    gloss: float = 0.0


@dataclass(frozen=True)
class Texture:
    """One kind of texture.

    Attributes:
        period: smallest and largest period in pixels.
        colours: pairs of basic colour terms (ground, figure) in which it is common.
        turn: `any` angle, `square` for multiples of 90° give or take a few, `none`.
        bend: how strongly the lattice may be bent, in pixels.
        clean: whether both colours can be told from the pixels.
        tilt: whether it may be seen at a slant.
        free: whether it may come in colours of any kind.
    """

    name: str
    draw: Callable[[Frame], Pattern]
    period: tuple[float, float]
    colours: tuple[tuple[str, str], ...]
    turn: str = "any"
    bend: float = 2.0
    clean: bool = True
    tilt: bool = True
    free: bool = True


TEXTURES: dict[str, Texture] = {}


def texture(name: str, low: float, high: float, colours: str, **options) -> Callable:
    """Decorator: register a texture. `colours` reads "ground/figure ground/figure"."""
    pairs = tuple((ground, figure) for ground, figure in (c.split("/") for c in colours.split()))

    def decorate(draw: Callable[[Frame], Pattern]) -> Callable[[Frame], Pattern]:
        TEXTURES[name] = Texture(name, draw, (low, high), pairs, **options)
        return draw

    return decorate


def frame(
    rng: np.random.Generator, low: float, high: float, turn: str = "any", bend: float = 2.0
) -> Frame:
    """A random frame: scale (log-uniform), direction and bending."""
    period = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    angle = 0.0
    if turn == "any":
        angle = float(noise.pick(rng, (0, 90, 45, 135, rng.uniform(0, 180), rng.uniform(0, 180))))
    elif turn == "square":
        angle = float(noise.pick(rng, (0, 0, 90)) + rng.uniform(-8, 8))
    t = np.arange(SIZE, dtype=np.float32) - SIZE / 2
    x, y = np.meshgrid(t, t)
    if bend and rng.random() < 0.6:
        amount = bend * rng.uniform(0.4, 1.3)
        x = x + amount * noise.smooth(rng, 80)
        y = y + amount * noise.smooth(rng, 80)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    u = (x * c + y * s) / period + rng.uniform(20, 40)
    v = (-x * s + y * c) / period + rng.uniform(20, 40)
    return Frame(rng, u.astype(np.float32), v.astype(np.float32), 1 / period, period, angle)


@dataclass(frozen=True)
class Rendered:
    """A texture in colour: `rgb` `[SIZE, SIZE, 3]`, and where its two colours are pure."""

    rgb: np.ndarray
    ground: np.ndarray
    figure: np.ndarray
    parts: dict[str, np.ndarray] = field(default_factory=dict)


def render(
    pattern: Pattern,
    ground: np.ndarray,
    figure: np.ndarray,
    rng: np.random.Generator,
    tilt: bool = False,
) -> Rendered:
    """Colour a pattern, light its relief from one side, and perhaps look at it from a slant."""
    if pattern.rgb is not None:
        rgb = pattern.rgb.astype(np.float32)
    else:
        rgb = ground + (figure - ground) * pattern.mix[..., None]
    light: np.ndarray = np.ones((SIZE, SIZE), np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    lx, ly, lz = 0.62 * np.cos(angle), 0.62 * np.sin(angle), 0.78
    if pattern.height is not None:
        gy, gx = noise.slopes(pattern.height)
        length = np.sqrt(1 + gx * gx + gy * gy)
        facing = (lz - gx * lx - gy * ly) / length
        light = 0.42 + 0.58 * np.clip(facing, 0, 1) / lz
        if pattern.gloss:
            half = np.array([lx, ly, lz + 1]) / np.linalg.norm([lx, ly, lz + 1])
            shine = np.clip((half[2] - gx * half[0] - gy * half[1]) / length, 0, 1) ** 24
            rgb = rgb + pattern.gloss * shine[..., None]
    if pattern.tone is not None:
        light = light * (1 + pattern.tone)
    light = light * (1 + rng.uniform(0.01, 0.07) * noise.smooth(rng, 120))
    rgb = rgb * np.clip(light, 0, 2)[..., None]
    low, high = pattern.mix < 0.2, pattern.mix > 0.8
    if tilt and rng.random() < 0.35:
        return _slant(rgb, low, high, rng)
    return Rendered(rgb, low, high)


def _slant(
    rgb: np.ndarray, low: np.ndarray, high: np.ndarray, rng: np.random.Generator
) -> Rendered:
    """The same surface seen at a slant: a trapezoid of it fills the picture."""
    inset = rng.uniform(0.12, 0.3, 2) * SIZE
    drop = rng.uniform(0, 0.2) * SIZE
    corners = [(inset[0], drop), (0, SIZE), (SIZE, SIZE), (SIZE - inset[1], drop)]
    for _ in range(int(rng.integers(4))):
        corners = [(y, SIZE - x) for x, y in corners[1:] + corners[:1]]
    quad = [value for corner in corners for value in corner]
    size, method, bicubic = (SIZE, SIZE), Image.Transform.QUAD, Image.Resampling.BICUBIC

    def seen(field: np.ndarray, resample: int) -> np.ndarray:
        return np.asarray(Image.fromarray(field).transform(size, method, quad, resample))

    pixels = seen((np.clip(rgb, 0, 1) * 255).astype(np.uint8), bicubic)
    first, second = (seen(f.astype(np.uint8), Image.Resampling.NEAREST) > 0 for f in (low, high))
    return Rendered(pixels.astype(np.float32) / 255, first, second)
