"""The eleven basic colour terms of Berlin and Kay (1969), each with some of its shades."""

from __future__ import annotations

import colorsys
import functools

import numpy as np

#: sRGB shades that a speaker of English calls by the term without hesitation.
SHADES: dict[str, str] = {
    "black": "0c0c0e 1a1818 141620 1c1614 08080a",
    "white": "ffffff f5f5f2 eef0f4 fbf7ee f2f6f6",
    "grey": "808080 66686c a0a09e 8c8e94 76736e b0b2b4",
    "red": "dc141e be0f1a eb322d c81e28 a0141c d2262e",
    "green": "1e8c32 146428 50aa3c 5abe50 00965a 3c7d32 7dbe46",
    "yellow": "fadc14 f0cd28 ffeb50 f5d73c ffe11e fff078",
    "blue": "143cbe 286edc 5096e6 14289b 78b4f0 0078c8 2850aa",
    "brown": "6e411e 8c5a32 5a3219 7d4b28 96693c 693c23",
    "purple": "6e2896 8c46b4 551978 783caf a06ec8 5f238c",
    "pink": "fa96b9 f06ea0 ffbecd e6649b ffaac3 f587af",
    "orange": "f58214 ff9632 f06e0a fa8c28 ff7d19 ffa046",
}
BASIC = tuple(SHADES)
#: Terms with a hue: what a painted thing may have as its one colour.
VIVID = ("red", "green", "yellow", "blue", "purple", "pink", "orange")


def rgb(text: str) -> np.ndarray:
    """An sRGB colour, `[3]` on the [0, 1] scale, from six hexadecimal digits."""
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255


@functools.cache
def shades(term: str) -> np.ndarray:
    """The shades of a basic colour term, `[shade, 3]` on the [0, 1] scale."""
    return np.stack([rgb(text) for text in SHADES[term].split()])


def shade(rng: np.random.Generator, term: str, vary: float = 0.035) -> np.ndarray:
    """One shade of a basic colour term, between two of its typical ones and a little varied."""
    table = shades(term)
    first, second = rng.integers(len(table), size=2)
    weight = rng.random() * 0.5
    mixed = table[first] * (1 - weight) + table[second] * weight
    return np.clip(mixed + rng.uniform(-vary, vary, 3), 0, 1).astype(np.float32)


def any_two(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two colours of any kind, seldom vivid, of which one is clearly lighter than the other."""
    hues = rng.random() + np.array([0.0, rng.choice([0.02, 0.08, 0.3, 0.5])])
    vivid = rng.random(2) ** 1.5 * 0.8
    dark = rng.uniform(0.1, 0.5)
    light = np.array([dark, min(dark + rng.uniform(0.3, 0.6), 1.0)])
    rgb = [
        np.array(colorsys.hsv_to_rgb(h % 1, s, v), np.float32)
        for h, s, v in zip(hues, vivid, light, strict=True)
    ]
    first, second = rgb if rng.random() < 0.5 else rgb[::-1]
    return first, second


def name_of(colour: np.ndarray) -> str:
    """The basic colour term whose shades come nearest to an sRGB colour on the [0, 1] scale."""
    distance = {
        term: float(np.min(np.linalg.norm(_lab(shades(term)) - _lab(colour), axis=-1)))
        for term in BASIC
    }
    return min(distance, key=lambda term: distance[term])


def _lab(colour: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65), in which equal distances look about equally different."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])],
        axis=-1,
    )
