"""What lies between a drawing and a photograph: view, light, lens, sensor, file."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from training.sketch.drawings import smooth

SIDE = 224


def _view(image: Image.Image, rng: np.random.Generator, free: bool) -> Image.Image:
    """A part of the picture, seen at a slant; turned by any angle if it is `free`."""
    width, height = image.size
    zoom = rng.uniform(0.55, 1) if free else rng.uniform(0.75, 1)
    turn = rng.uniform(-np.pi, np.pi) if free and rng.random() < 0.4 else rng.normal(0, 0.1)
    c, s = np.cos(turn), np.sin(turn)
    zoom /= abs(c) + abs(s)  # so that the turned square stays inside
    half = zoom * min(width, height) / 2
    slack = min(width, height) / 2 - half * (abs(c) + abs(s))
    cx, cy = width / 2 + rng.uniform(-slack, slack), height / 2 + rng.uniform(-slack, slack)
    slant = rng.uniform(0, 0.25, 4) * half if rng.random() < 0.5 else np.zeros(4)
    corners = [(-1, -1), (-1, 1), (1, 1), (1, -1)]
    quad = []
    for (x, y), inset in zip(corners, slant, strict=True):
        x, y = x * (half - inset), y * (half - inset)
        quad += [cx + x * c - y * s, cy + x * s + y * c]
    side = (SIDE, SIDE)
    seen = image.transform(side, Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)
    return seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else seen


def _light(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    t = np.linspace(-1, 1, SIDE, dtype=np.float32)
    if rng.random() < 0.6:
        a = rng.uniform(0, 2 * np.pi)
        slope = np.cos(a) * t[None, :] + np.sin(a) * t[:, None]
        x = x * (1 + rng.uniform(0, 0.4) * slope)[..., None]
    if rng.random() < 0.4:
        x = x * (1 - rng.uniform(0, 0.25) * (t[None, :] ** 2 + t[:, None] ** 2))[..., None]
    if rng.random() < 0.3:
        shadow = np.clip(smooth(rng, rng.uniform(50, 160)) * rng.uniform(1, 4), -0.5, 0.5) + 0.5
        x = x * (1 - rng.uniform(0, 0.5) * shadow)[..., None]
    return x


def _colour(x: np.ndarray, rng: np.random.Generator, strong: bool) -> np.ndarray:
    amount = 1.0 if strong else 0.5
    x = x * (1 + amount * rng.normal(0, 0.08, 3).astype(np.float32))
    grey = x.mean(-1, keepdims=True)
    fade = rng.uniform(1 - 0.7 * amount, 1.2) if rng.random() < 0.6 else 1
    if strong and rng.random() < 0.08:
        fade = 0
    x = grey + (x - grey) * fade
    middle = x.mean()
    x = middle + (x - middle) * rng.uniform(0.5, 1.35)
    x = x + amount * rng.normal(0, 0.1)
    gamma = np.exp(rng.normal(0, 0.25 * amount))
    return np.clip(x, 0, 1) ** gamma


def photograph(
    picture: np.ndarray,
    rng: np.random.Generator,
    *,
    free: bool = True,
    strong: bool = True,
    small: float = 0.3,
) -> np.ndarray:
    """A drawing as a camera would have it.

    Args:
        picture: uint8 `[height, width, 3]`.
        rng: decides everything.
        free: whether it may be turned by any angle.
        strong: whether its colours may go far from those drawn.
        small: how often it has been a picture of few pixels, made large again.

    Returns:
        uint8 `[224, 224, 3]`.
    """
    x = np.asarray(_view(Image.fromarray(picture), rng, free), np.float32) / 255
    x = _colour(_light(x, rng), rng, strong)
    if rng.random() < 0.45:
        radius = np.exp(rng.uniform(np.log(0.4), np.log(2.5)))
        x = ndimage.gaussian_filter(x, (radius, radius, 0))
    noisy = rng.random() < 0.5
    noise = rng.uniform(0.005, 0.06) if noisy else 0.003
    size = SIDE
    if rng.random() < small:
        size = int(np.exp(rng.uniform(np.log(30), np.log(130))))
        filters = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)
        image = Image.fromarray((x * 255).astype(np.uint8)).resize(
            (size, size), filters[int(rng.integers(3))]
        )
        x = np.asarray(image, np.float32) / 255
        noise = noise * 0.5
    hue = rng.uniform(0, 0.6)
    grain = rng.standard_normal((size, size, 1)) * (1 - hue) + hue * rng.standard_normal(
        (size, size, 3)
    )
    pixels = (np.clip(x + noise * grain, 0, 1) * 255 + 0.5).astype(np.uint8)
    image = Image.fromarray(pixels)
    if rng.random() < 0.7:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(35, 96)))
        image = Image.open(io.BytesIO(file.getvalue()))
    if size != SIDE:
        up = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
        image = image.resize((SIDE, SIDE), up[int(rng.integers(3))])
    return np.asarray(image)
