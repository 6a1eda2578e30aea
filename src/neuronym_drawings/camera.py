"""What a camera adds to a drawing: a viewpoint, light, softness, noise, and JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from neuronym_drawings.canvas import Canvas
from neuronym_drawings.noise import SIZE, ramp, smooth


def shoot(canvas: Canvas, view: float = 1.0, light: float = 1.0, lens: float = 1.0) -> None:
    """Look at what has been drawn from somewhere, in some light, through some lens.

    Args:
        view: how far the viewpoint may lie from straight ahead; 0 leaves the geometry alone.
        light: how far light and colours may be off; about 0.5 where colours have names.
        lens: how soft and how noisy the picture may become.
    """
    if view:
        look(canvas, viewpoint(canvas.rng, view))
    _light(canvas, light)
    _lens(canvas, lens)


def viewpoint(rng: np.random.Generator, amount: float) -> np.ndarray:
    """Corners `[4, 2]` (x, y; from the upper left, clockwise) of what is seen of a drawing.

    All lie within the drawing. It is a part of any size from 0.7 of the side, turned and in
    perspective, and seen in a mirror half of the time.
    """
    half = SIZE / 2 * (1 - 0.3 * min(amount, 1) * rng.random())
    corners = half * np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    corners += half * rng.uniform(-0.11, 0.11, (4, 2)) * amount
    if rng.random() < 0.3:  # one side is farther away
        side = int(rng.integers(4))
        ends = [side, (side + 1) % 4]
        corners[ends] += (corners[ends[::-1]] - corners[ends]) * rng.uniform(0, 0.16) * amount
    angle = np.radians(np.clip(rng.normal(0, 4.0 * amount), -12, 12))
    c, s = np.cos(angle), np.sin(angle)
    corners = corners @ np.array([[c, s], [-s, c]])
    corners *= min(1.0, SIZE / np.ptp(corners, axis=0).max())
    spare = SIZE - np.ptp(corners, axis=0)
    corners += spare * rng.random(2) - corners.min(0)
    return corners[[1, 0, 3, 2]] if rng.random() < 0.5 else corners


def look(canvas: Canvas, corners: np.ndarray) -> None:
    """Let a quadrilateral of the drawing, seen in perspective, fill the picture.

    A pixel's colour is the weighted mean of the four nearest pixels of the drawing, and it belongs
    to whoever owns most of that weight: masks stay exact.
    """
    target = [(0, 0), (SIZE, 0), (SIZE, SIZE), (0, SIZE)]
    steps = homography(target, corners)
    drawn = Image.fromarray(canvas.pixels())
    way, between = Image.Transform.PERSPECTIVE, Image.Resampling.BILINEAR
    seen = drawn.transform((SIZE, SIZE), way, steps.tolist(), between)
    canvas.rgb = np.asarray(seen, np.float32) / np.float32(255)
    a, b, c, d, e, f, g, h = steps.astype(np.float32)
    t = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)
    x, y = t[None, :], t[:, None]
    depth = g * x + h * y + 1
    u = np.clip((a * x + b * y + c) / depth - np.float32(0.5), 0, SIZE - 1.01)
    v = np.clip((d * x + e * y + f) / depth - np.float32(0.5), 0, SIZE - 1.01)
    left, top = u.astype(np.int32), v.astype(np.int32)
    first, owner = top * SIZE + left, canvas.owner.ravel()
    owners = [owner.take(first + step) for step in (0, 1, SIZE, SIZE + 1)]
    canvas.owner = owners[0].copy()
    mixed = np.nonzero(np.logical_or.reduce([owners[0] != other for other in owners[1:]]))
    right, low = (u - left)[mixed], (v - top)[mixed]
    share = np.stack([(1 - low) * (1 - right), (1 - low) * right, low * (1 - right), low * right])
    some = np.stack([owner[mixed] for owner in owners])
    votes = ((some[:, None] == some[None]) * share[None]).sum(1)
    canvas.owner[mixed] = np.take_along_axis(some, votes.argmax(0)[None], 0)[0]


def homography(target, source) -> np.ndarray:
    """The eight coefficients of the perspective that takes target points to source points."""
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows, float), np.array(values, float))


def _light(canvas: Canvas, amount: float) -> None:
    """Uneven light, perhaps a soft shadow; exposure, contrast, a cast, pale or strong colours."""
    rng = canvas.rng
    t = np.linspace(-1, 1, SIZE, dtype=np.float32)
    angle, strength = rng.uniform(0, 2 * np.pi), amount * rng.uniform(0, 0.25)
    light = 1 + strength * (np.cos(angle) * t[None, :] + np.sin(angle) * t[:, None])
    light = light - amount * 0.22 * rng.random() ** 2 * (t[None, :] ** 2 + t[:, None] ** 2)
    if amount > 0.45 and rng.random() < 0.15 * amount:
        edge = np.cos(angle) * t[None, :] + np.sin(angle) * t[:, None] + rng.uniform(-0.5, 0.5)
        edge = edge + 0.12 * smooth(rng, rng.uniform(20, 90))
        light = light * (1 - rng.uniform(0.15, 0.4) * ramp(edge, 0, rng.uniform(0.03, 0.4)))
    light = light * np.exp(np.clip(rng.normal(-0.03, 0.17), -0.4, 0.2) * amount)
    cast = 1 + amount * rng.uniform(-0.06, 0.06, 3)
    pixels = canvas.pixels()
    curve = np.linspace(0, 1, 256) ** np.exp(amount * rng.normal(0, 0.12))
    middle = curve[pixels[::4, ::4]].mean()
    curve = middle + (curve - middle) * (1 + amount * np.clip(rng.normal(0, 0.14), -0.4, 0.3))
    rgb = curve.astype(np.float32).take(pixels)
    rgb *= light[..., None].astype(np.float32) * cast.astype(np.float32)
    grey = rgb.mean(-1, keepdims=True)
    vivid = np.float32(1 + amount * np.clip(rng.normal(-0.05, 0.2), -0.6, 0.3))
    rgb -= grey
    rgb *= vivid
    rgb += grey
    canvas.rgb = rgb


def _lens(canvas: Canvas, amount: float) -> None:
    """Softness, few pixels, and noise."""
    rng = canvas.rng
    kind, strength = rng.random(), rng.random()
    if kind < 0.35 * amount:
        canvas.blur(0.3 + 0.6 * strength)
    elif kind < 0.5 * amount:
        canvas.blur(0.8 + 1.4 * strength * amount)
    elif kind < 0.58 * amount:
        side = round(SIZE * (0.36 + 0.3 * strength))
        pixels = Image.fromarray(canvas.pixels()).resize((side, side), Image.Resampling.BILINEAR)
        pixels = pixels.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        canvas.rgb = np.asarray(pixels, np.float32) / np.float32(255)
    grain = rng.uniform(0.002, 0.016) if rng.random() < 0.7 else rng.uniform(0.016, 0.05)
    channels = 3 if rng.random() < 0.4 else 1
    field = rng.standard_normal((SIZE, SIZE, channels), dtype=np.float32)
    field *= np.float32(grain * amount)
    canvas.rgb += field


def jpeg(canvas: Canvas) -> bytes:
    """The picture as a camera would store it: JPEG of some quality, at full colour resolution."""
    rng = canvas.rng
    quality = int(rng.integers(72, 96)) if rng.random() < 0.8 else int(rng.integers(40, 72))
    file = io.BytesIO()
    Image.fromarray(canvas.pixels()).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def decoded(canvas: Canvas) -> Image.Image:
    """The picture after it has been stored and read again."""
    return Image.open(io.BytesIO(jpeg(canvas))).convert("RGB")
