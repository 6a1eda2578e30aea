"""Randomness in space: smooth noise, streaks, cells. All arrays are float32 `[size, size]`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

#: Height and width of every image of the probe, in pixels.
SIZE = 224


def generator(*key: object) -> np.random.Generator:
    """The random numbers that belong to a key: the same on every machine, in every process."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def pick(rng: np.random.Generator, options):
    """One of a sequence."""
    return options[int(rng.integers(len(options)))]


def smooth(
    rng: np.random.Generator, cell: float, size: int = SIZE, wide: float | None = None
) -> np.ndarray:
    """Smooth noise of zero mean and unit spread whose hills are about `cell` pixels high and
    `wide` pixels across."""
    across = wide or cell
    rows, columns = int(size / cell) + 4, int(size / across) + 4
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    y, x = rng.random(2)
    box = (x + 0.5, y + 0.5, x + 0.5 + size / across, y + 0.5 + size / cell)
    field = Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC, box=box)
    return unit(np.asarray(field))


def fbm(
    rng: np.random.Generator, cell: float, octaves: int = 4, size: int = SIZE, rough: float = 0.5
) -> np.ndarray:
    """Fractal noise: `octaves` layers of smooth noise, each half as coarse as the one before."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        if cell / 2**octave >= 1:
            total += smooth(rng, cell / 2**octave, size) * rough**octave
    return unit(total)


def streaks(
    rng: np.random.Generator, length: float, width: float, angle: float = 0.0, size: int = SIZE
) -> np.ndarray:
    """Noise drawn out along a direction; `angle` in degrees from the horizontal."""
    if angle == 0:
        return smooth(rng, width, size, wide=length)
    rows, columns = int(1.5 * size / width) + 4, int(1.5 * size / length) + 4
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    x, y = columns / 2 + rng.random() - 0.5, rows / 2 + rng.random() - 0.5
    matrix = (
        c / length,
        -s / length,
        x - (c - s) * size / 2 / length,
        s / width,
        c / width,
        y - (s + c) * size / 2 / width,
    )
    image = Image.fromarray(grid)
    turned = image.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return unit(np.asarray(turned))


def unit(field: np.ndarray) -> np.ndarray:
    """Zero mean, unit standard deviation."""
    centred = (field - field.mean()).astype(np.float32)
    flat = centred.ravel()
    centred *= 1 / (np.sqrt(np.dot(flat, flat) / flat.size) + 1e-6)
    return centred


def slopes(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How steeply a field rises downwards and to the right, per pixel (central differences)."""
    down, across = np.empty_like(field), np.empty_like(field)
    np.subtract(field[2:], field[:-2], out=down[1:-1])
    np.subtract(field[:, 2:], field[:, :-2], out=across[:, 1:-1])
    down[1:-1] *= 0.5
    across[:, 1:-1] *= 0.5
    down[0], down[-1] = field[1] - field[0], field[-1] - field[-2]
    across[:, 0], across[:, -1] = field[:, 1] - field[:, 0], field[:, -1] - field[:, -2]
    return down, across


def ramp(field: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((field - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def lookup(rng: np.random.Generator, *index: np.ndarray, levels: int = 0) -> np.ndarray:
    """A random number in [0, 1) for every cell of a lattice, given the cells' whole-number indices.

    With `levels`, one of that many whole numbers instead.
    """
    table = rng.random((61,) * len(index), dtype=np.float32)
    if levels:
        table = np.floor(table * levels)
    return table[tuple(np.mod(i, 61).astype(np.intp) for i in index)]


@dataclass(frozen=True)
class Cells:
    """A Voronoi diagram of jittered lattice points.

    Attributes:
        near: distance to the nearest point, in lattice steps.
        edge: distance to the second nearest minus `near`: 0 on the borders of cells.
        value: a random number in [0, 1) per cell.
        x, y: offset from the nearest point.
    """

    near: np.ndarray
    edge: np.ndarray
    value: np.ndarray
    x: np.ndarray
    y: np.ndarray


def cells(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, jitter: float = 0.8) -> Cells:
    """The Voronoi cells at lattice coordinates (u, v)."""
    side = 64
    tables = rng.random((3, side * side), dtype=np.float32)
    shift_x, shift_y = jitter * (tables[0] - 0.5) + 0.5, jitter * (tables[1] - 0.5) + 0.5
    iu, iv = np.floor(u), np.floor(v)
    fu, fv = (u - iu).astype(np.float32), (v - iv).astype(np.float32)
    column, row = iu.astype(np.int32), iv.astype(np.int32)
    columns = [(column + d) & (side - 1) for d in (-1, 0, 1)]
    rows = [((row + d) & (side - 1)) * side for d in (-1, 0, 1)]
    near = np.full(u.shape, 9, np.float32)
    second, owner = near.copy(), np.zeros(u.shape, np.int32)
    for dv in (0, 1, 2):
        for du in (0, 1, 2):
            flat = rows[dv] + columns[du]
            x = fu - shift_x.take(flat) - (du - 1)
            y = fv - shift_y.take(flat) - (dv - 1)
            distance = x * x + y * y
            np.minimum(second, np.maximum(near, distance), out=second)
            closer = distance < near
            np.copyto(near, distance, where=closer)
            np.copyto(owner, dv * 3 + du, where=closer)
    right, down = owner % 3 - 1, owner // 3 - 1
    flat = ((row + down) & (side - 1)) * side + ((column + right) & (side - 1))
    x, y = fu - shift_x.take(flat) - right, fv - shift_y.take(flat) - down
    near = np.sqrt(near)
    value, x, y = tables[2].take(flat), x.astype(np.float32), y.astype(np.float32)
    return Cells(near, np.sqrt(second) - near, value, x, y)
