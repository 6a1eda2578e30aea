"""A picture seen in perspective, pixel by pixel in float64, from the definition."""

from __future__ import annotations

from collections import defaultdict

import numpy as np


def seen_from(
    rgb: np.ndarray, owner: np.ndarray, corners: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What fills a picture when a quadrilateral of a drawing does.

    Args:
        rgb: uint8 `[row, column, 3]`.
        owner: whole numbers `[row, column]`.
        corners: x, y of the quadrilateral, from the upper left clockwise.

    Returns:
        Colours, owners, and whether an owner leads by more than rounding.
    """
    side = len(rgb)
    whole = _square_to(corners) @ np.diag([1 / side, 1 / side, 1.0])
    colours, owners = np.zeros_like(rgb), np.zeros_like(owner)
    sure = np.zeros(owner.shape, bool)
    for row in range(side):
        for column in range(side):
            x, y, w = whole @ (column + 0.5, row + 0.5, 1.0)
            u, v = (min(max(t / w - 0.5, 0.0), side - 1.01) for t in (x, y))
            left, top = int(u), int(v)
            across, down = u - left, v - top
            colour, votes = np.zeros(3), defaultdict(float)
            for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = (down if dy else 1 - down) * (across if dx else 1 - across)
                colour += weight * rgb[top + dy, left + dx]
                votes[int(owner[top + dy, left + dx])] += weight
            ranked = sorted(votes.items(), key=lambda item: -item[1])
            colours[row, column] = np.round(colour)
            owners[row, column] = ranked[0][0]
            sure[row, column] = len(ranked) == 1 or ranked[0][1] - ranked[1][1] > 1e-3
    return colours, owners, sure


def _square_to(corners: np.ndarray) -> np.ndarray:
    """The 3 × 3 matrix of the perspective from the unit square to a quadrilateral (Heckbert)."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = np.asarray(corners, float)
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    ax, ay, bx, by = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    det = ax * by - bx * ay
    g, h = (sx * by - bx * sy) / det, (ax * sy - sx * ay) / det
    return np.array(
        [
            [x1 - x0 + g * x1, x3 - x0 + h * x3, x0],
            [y1 - y0 + g * y1, y3 - y0 + h * y3, y0],
            [g, h, 1.0],
        ]
    )
