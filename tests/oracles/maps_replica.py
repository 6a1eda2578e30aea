"""Slow replicas of what is done to activation maps, written from the definitions."""

from fractions import Fraction

import numpy as np


def shrunk(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """One map `[y, x]` as means over `rows` × `columns` equal areas, in float64.

    A cell that several areas share counts to each with the part of it that lies there.
    """
    high, wide = values.shape
    found = np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            total = 0.0
            for y, down in enumerate(_shared(row, rows, y, high) for y in range(high)):
                for x in range(wide) if down else ():
                    part = down * _shared(column, columns, x, wide)
                    total += float(part) * float(values[y, x])
            found[row, column] = total * rows * columns / (high * wide)
    return found


def _shared(area: int, areas: int, cell: int, cells: int) -> Fraction:
    """How much of a cell, which is 1 long, lies in an area."""
    low, high = Fraction(area * cells, areas), Fraction((area + 1) * cells, areas)
    return max(Fraction(0), min(high, Fraction(cell + 1)) - max(low, Fraction(cell)))


def highest(values: np.ndarray, count: int) -> list[set[int]]:
    """By unit which images `[image, unit]` are its `count` highest; of equal ones the first."""
    order = np.argsort(-values.astype(np.float64), axis=0, kind="stable")
    return [set(order[:count, unit].tolist()) for unit in range(values.shape[1])]


def bilinear(values: np.ndarray, y: float, x: float) -> float:
    """A map `[y, x]` at a place 0…1, between the middles of cells; beyond them as they are."""
    high, wide = values.shape
    down, across = min(max(y * high - 0.5, 0), high - 1), min(max(x * wide - 0.5, 0), wide - 1)
    top, left = int(down), int(across)
    bottom, right = min(top + 1, high - 1), min(left + 1, wide - 1)
    a, b = down - top, across - left
    upper = (1 - b) * values[top, left] + b * values[top, right]
    lower = (1 - b) * values[bottom, left] + b * values[bottom, right]
    return float((1 - a) * upper + a * lower)
