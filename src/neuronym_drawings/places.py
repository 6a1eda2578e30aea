"""Skies, grounds and rooms: what lies behind things."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from neuronym_drawings import noise, palette
from neuronym_drawings.camera import homography
from neuronym_drawings.canvas import Canvas, Note, Notes
from neuronym_drawings.materials import TILES, tile
from neuronym_drawings.noise import SIZE, fbm, pick, ramp, smooth, streaks

_SKIES = {
    "day": (("2f6fc0", "a8d0f0"), ("4a8cd8", "cfe4f4"), ("5c9ce0", "e8f2f8"), ("3c80c8", "bcd8e8")),
    "grey": (("8c98a4", "c8d0d4"), ("a4acb4", "dcdfe0"), ("6c7884", "b4bcc0")),
    "sunset": (
        ("2c3c78", "f89048"),
        ("54386c", "f47840"),
        ("3c5490", "fcc070"),
        ("742c50", "f8a850"),
    ),
    "night": (("04060f", "141c38"), ("060812", "1c2448"), ("020308", "0c1024")),
    "storm": (("20242c", "586068"), ("282c38", "4c5660")),
}
_LEAVES = ("3c6c30", "4c7c38", "2c5c34", "5c8444", "6c7c3c")


def objects(*names: str) -> list[Notes]:
    """The notes of some objects."""
    return [(Note("object", name),) for name in names]


def sky(canvas: Canvas, kind: str = "day", clouds: float | None = None, note: bool = True) -> None:
    """Fill the picture with a sky; `clouds` is the share of the sky that they cover."""
    rng = canvas.rng
    top, low = (palette.rgb(text) for text in pick(rng, _SKIES[kind]))
    t = np.linspace(0, 1, SIZE, dtype=np.float32)[:, None, None] ** rng.uniform(0.7, 1.2)
    rgb = np.broadcast_to(top + (low - top) * t, (SIZE, SIZE, 3)).copy()
    if clouds is None:
        clouds = {
            "day": rng.uniform(0, 0.6),
            "grey": 0.7,
            "sunset": 0.45,
            "night": 0.0,
            "storm": 0.9,
        }[kind]
    if clouds > 0.05:
        field = fbm(rng, 60, 5) * 0.75 + 0.8 * smooth(rng, 26, wide=100)
        cover = ramp(noise.unit(field), 0.9 - 1.6 * clouds, 2.1 - 1.4 * clouds)
        lit = {
            "day": "ffffff",
            "grey": "eceef0",
            "sunset": "ffd0a0",
            "storm": "6c747c",
            "night": "303850",
        }[kind]
        dark = {
            "day": "c4ccd8",
            "grey": "9ca4ac",
            "sunset": "a06478",
            "storm": "181c24",
            "night": "101420",
        }[kind]
        inside = ramp(fbm(rng, 30, 4), -1.5, 1.2)[..., None]
        cloud = palette.rgb(dark) + (palette.rgb(lit) - palette.rgb(dark)) * inside
        rgb += (cloud - rgb) * cover[..., None] * 0.9
    if kind == "night":
        _stars(rng, rgb)
    canvas.cover(rgb, objects("sky")[0] if note else ())


def _stars(rng: np.random.Generator, rgb: np.ndarray) -> None:
    if rng.random() < 0.5:
        haze = np.clip(streaks(rng, 260, 50, float(rng.uniform(20, 70))), 0, 3) * ramp(
            fbm(rng, 30, 4), -1, 2
        )
        rgb += haze[..., None] * palette.rgb(pick(rng, ("20264c", "2c2044", "182c44")))
    for _ in range(int(rng.integers(90, 260))):
        y, x = rng.integers(1, SIZE - 1, 2)
        light = rng.random() ** 3
        rgb[y, x] += 0.35 + 0.65 * light
        if light > 0.4:
            rgb[y - 1 : y + 2, x] += 0.35 * light
            rgb[y, x - 1 : x + 2] += 0.35 * light


def ridge(
    canvas: Canvas,
    base: float,
    high: float,
    colour: str | np.ndarray,
    name: str = "",
    rough: float = 0.5,
    grain: str = "stone",
    wavelength: float = 80,
) -> None:
    """A skyline of hills or mountains whose mean height is `base` (pixels from the top)."""
    rng = canvas.rng
    line = fbm(rng, wavelength, 5, rough=rough)[:1].repeat(SIZE, 0)
    line = base - high * np.clip(line, -2, 2) / 2
    rows = np.arange(SIZE, dtype=np.float32)[:, None]
    where = np.clip(rows - line + 0.5, 0, 1)
    tint = palette.rgb(colour) if isinstance(colour, str) else colour
    light = 1 + 0.1 * canvas.grain(grain) - 0.15 * np.clip((rows - base) / SIZE, -1, 1)
    canvas.cover(
        tint * light[..., None], objects(name)[0] if name else (), where.astype(np.float32)
    )


def ground(
    canvas: Canvas,
    horizon: float,
    material: str,
    name: str = "",
    near: float = 0.42,
    haze: float = 0.25,
) -> None:
    """A plane of a material in perspective, from `horizon` (pixels from the top) to the bottom."""
    rng = canvas.rng
    picture = tile(material, int(rng.integers(TILES)))
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    top = round(horizon)
    high = SIZE - top
    source = [(0, 0), (SIZE, 0), (SIZE * (0.5 + near / 2), SIZE), (SIZE * (0.5 - near / 2), SIZE)]
    target = [(0, 0), (SIZE, 0), (SIZE, high), (0, high)]
    seen = picture.transform(
        (SIZE, high),
        Image.Transform.PERSPECTIVE,
        homography(target, source).tolist(),
        Image.Resampling.BICUBIC,
    )
    tint = (rng.uniform(0.85, 1.1) * (1 + rng.uniform(-0.05, 0.05, 3)) / 255).astype(np.float32)
    rgb = np.asarray(seen, np.float32) * tint
    far = np.clip(1 - np.arange(high, dtype=np.float32) / (0.55 * high), 0, 1)[:, None, None]
    rgb = rgb + (rgb.mean((0, 1)) * 0.75 + 0.2 - rgb) * far * haze * 1.6
    canvas.rgb[top:] = rgb
    canvas.own(np.ones((high, SIZE), bool), objects(name)[0] if name else (), top, 0)


def sea(canvas: Canvas, horizon: float, kind: str = "day", name: str = "sea") -> None:
    """Water up to the horizon: small waves far away, large ones near."""
    rng = canvas.rng
    top = round(horizon)
    high = SIZE - top
    depth = np.linspace(0, 1, high, dtype=np.float32)[:, None]
    colours = {
        "day": (("3c7cac", "14486c"), ("4ca0b8", "1c6c84"), ("3c88a0", "0c3c5c")),
        "grey": (("7c8c94", "3c4c54"), ("8c9898", "4c5c60")),
        "storm": (("3c464c", "1c262c"),),
        "sunset": (("d88c5c", "3c3454"), ("c47858", "2c2c4c")),
        "night": (("101a34", "060a18"),),
    }[kind]
    far, near = (palette.rgb(text) for text in pick(rng, colours))
    rows = ((depth**0.45) * SIZE * 0.999).astype(np.intp)[:, 0]
    waves = (smooth(rng, 5, wide=26) + 0.6 * smooth(rng, 2.6, wide=12))[rows]
    swell = smooth(rng, 14, wide=120)[rows]
    lit = np.clip(waves + 0.6 * swell - 0.9, 0, 2) * (0.25 + 0.75 * depth)
    rgb = far + (near - far) * depth[..., None]
    rgb = rgb * (1 + 0.16 * (waves * (0.3 + depth))[..., None]) + 0.16 * lit[..., None]
    canvas.rgb[top:] = rgb
    canvas.own(np.ones((high, SIZE), bool), objects(name)[0] if name else (), top, 0)


def road(canvas: Canvas, horizon: float, lines: bool = True, name: str = "road") -> None:
    """A road that runs away from the viewer to the horizon."""
    rng = canvas.rng
    bend, middle = rng.uniform(-30, 30), SIZE / 2 + rng.uniform(-12, 12)
    wide = rng.uniform(75, 120)
    t = np.linspace(0, 1, 24)
    y = horizon + (SIZE + 4 - horizon) * t
    x = middle + bend * (1 - t) ** 2

    def strip(low: float, high: float, at: np.ndarray) -> np.ndarray:
        left = np.stack([x[at] + (2 * low - 1) * (4 + wide * t[at]), y[at]], 1)
        right = np.stack([x[at] + (2 * high - 1) * (4 + wide * t[at]), y[at]], 1)
        return np.concatenate([left, right[::-1]])

    whole = np.arange(24)
    tone = palette.rgb(pick(rng, ("5c5c60", "6c6a68", "4c4c52", "747272")))
    notes = objects(name)[0]
    canvas.fill([strip(0, 1, whole)], tone, notes, "flat", grain="stone", rough=0.06)
    if lines:
        paint = palette.rgb(pick(rng, ("f0ece0", "f0c840")))
        for low in (0.03, 0.95):
            canvas.fill([strip(low, low + 0.02, whole)], palette.rgb("e4e0d8"), notes, "flat")
        for k in (3, 6, 9, 12, 15, 18, 21):
            canvas.fill([strip(0.485, 0.515, np.arange(k, k + 2))], paint, notes, "flat")


def treeline(canvas: Canvas, base: float, high: float, name: str = "", count: int = 34) -> None:
    """A row of distant tree crowns along `base`."""
    rng = canvas.rng
    notes = objects(name)[0] if name else None
    tint = palette.rgb(pick(rng, _LEAVES))
    for _ in range(count):
        x, r = rng.uniform(-10, SIZE + 10), high * rng.uniform(0.35, 0.7)
        t = np.linspace(0, 2 * np.pi, 14)
        blob = np.stack(
            [x + r * np.cos(t) * rng.uniform(0.8, 1.4), base - r * 0.6 + r * np.sin(t)], 1
        )
        canvas.fill([blob], tint * rng.uniform(0.7, 1.1), notes, grain="leaf", rough=0.2)


def skyline(
    canvas: Canvas, base: float, high: float, lit: float = 0.4, night: bool = False, name="building"
) -> None:
    """A row of buildings with windows."""
    rng = canvas.rng
    notes = objects(name)[0]
    for layer in (0, 1):
        x = rng.uniform(-20, 0)
        while x < SIZE:
            wide, tall = (
                rng.uniform(16, 42),
                high * rng.uniform(0.35, 1.0) * (1 if layer == 0 else 0.7),
            )
            tone = palette.rgb(
                pick(rng, ("8c8478", "a09488", "74808c", "9c7864", "b4aca0", "5c6874", "8c5c48"))
            )
            tone = tone * (0.16 if night else 1.0) * (1.1 if layer else 0.85) + (
                0 if layer or night else 0.08
            )
            box = np.array([(x, base - tall), (x + wide, base - tall), (x + wide, base), (x, base)])
            canvas.fill([box], tone, notes, "down")
            glass = palette.rgb("f8d880" if night else pick(rng, ("44525e", "5c7084", "2c3844")))
            _panes(
                canvas, x + 2, base - tall + 3, x + wide - 2, base - 4, glass, lit if night else 1.0
            )
            x += wide + rng.uniform(-2, 6 if layer else 1)


def _panes(
    canvas: Canvas, x0: float, y0: float, x1: float, y1: float, glass: np.ndarray, lit: float
) -> None:
    """Rows of windows in a rectangle; `lit` of them are there."""
    left, top, right, bottom = (int(np.clip(round(v), 0, SIZE)) for v in (x0, y0, x1, y1))
    if right - left < 4 or bottom - top < 4:
        return
    step = canvas.rng.uniform(5, 8)
    u = (np.arange(left, right, dtype=np.float32)[None, :] + 0.5 - x0) / step
    v = (np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5 - y0) / (step * 1.15)
    across = np.clip((0.25 - np.abs(u - np.floor(u) - 0.4)) * step + 0.5, 0, 1)
    down = np.clip((0.28 - np.abs(v - np.floor(v) - 0.4)) * step + 0.5, 0, 1)
    on = noise.lookup(canvas.rng, np.floor(u) + 0 * v, np.floor(v) + 0 * u) < lit
    window = canvas.rgb[top:bottom, left:right]
    window += (glass - window) * (across * down * on)[..., None]


def wall(canvas: Canvas, kind: str | None = None, name: str = "wall") -> None:
    """A wall that fills the picture: painted, papered or of brick."""
    rng = canvas.rng
    kind = kind or pick(rng, ("paint", "paint", "paper", "brick", "plaster"))
    base = palette.rgb(
        pick(rng, ("e8e0d0", "d8dcd8", "c8d4dc", "e8d4b8", "b8c4b0", "d4c0c0", "a8b4c0", "f0ece4"))
    )
    if kind == "brick":
        rgb = np.asarray(tile("brick", int(rng.integers(TILES))), np.float32) * (
            rng.uniform(0.85, 1.1) / 255
        )
    elif kind == "paper":
        t = np.arange(SIZE, dtype=np.float32)[None, :] / rng.uniform(12, 30)
        rgb = (
            base
            * (1 - 0.1 * (np.mod(t, 1) < 0.5)[..., None])
            * np.ones((SIZE, SIZE, 1), np.float32)
        )
    else:
        bumps = fbm(rng, 6, 3) if kind == "plaster" else fbm(rng, 60, 3)
        rgb = base * (1 + 0.04 * bumps)[..., None]
    fall = 1 - 0.25 * np.linspace(-0.5, 0.5, SIZE, dtype=np.float32)[None, :, None] * rng.choice(
        [-1, 1]
    )
    canvas.cover((rgb * fall).astype(np.float32), objects(name)[0] if name else ())


def bokeh(canvas: Canvas, colours: tuple[str, ...], radius: float = 12) -> None:
    """A background far out of focus."""
    rng = canvas.rng
    table = np.stack([palette.rgb(text) for text in colours])
    small = table[rng.integers(len(table), size=(9, 9))] * rng.uniform(0.6, 1.15, (9, 9, 1))
    pixels = Image.fromarray((np.clip(small, 0, 1) * 255).astype(np.uint8))
    field = pixels.resize((SIZE, SIZE), Image.Resampling.BICUBIC).filter(
        ImageFilter.GaussianBlur(radius)
    )
    canvas.cover(np.asarray(field, np.float32) / 255)
    t = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    for _ in range(int(rng.integers(0, 14))):
        x, y = rng.uniform(0, SIZE, 2)
        r = rng.uniform(5, 16)
        canvas.fill(
            [np.stack([x + r * np.cos(t), y + r * np.sin(t)], 1)],
            table[rng.integers(len(table))] * 0.5 + 0.5,
            None,
            "flat",
            alpha=0.2,
            rough=0,
        )
    canvas.blur(2.0)
