"""Groups of images that are one picture, from the definition, one pair at a time in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def likeness(one: np.ndarray, two: np.ndarray) -> float:
    """Of two small copies `[y, x, 3]`: 1 − half the squared distance of what they look like."""
    total = 0.0
    parts = []
    for picture in (one, two):
        values = picture.astype(np.float64)
        means = [values[:, :, c].sum() / values[:, :, c].size for c in range(3)]
        shape = np.stack([values[:, :, c] - means[c] for c in range(3)], 2)
        spread = (np.sum(shape**2) / shape.size) ** 0.5
        parts.append((shape / max(spread, 4.0), means))
    (a, colour_a), (b, colour_b) = parts
    total += np.sum((a - b) ** 2) / a.size
    total += sum(((p - q) / 16) ** 2 for p, q in zip(colour_a, colour_b, strict=True))
    return 1 - total / 2


def groups(
    hashes: Sequence[str], ids: Sequence[str], vectors: np.ndarray, small: np.ndarray
) -> list[int]:
    """For every image the row of the one that stands for it."""
    order = sorted(range(len(ids)), key=lambda row: (hashes[row], ids[row]))
    leaders: list[int] = []
    found = [-1] * len(ids)
    for row in order:
        for leader in leaders:
            cosine = float(np.dot(vectors[row].astype(np.float64), vectors[leader]))
            near = cosine >= 0.7 and likeness(small[row], small[leader]) >= 0.95
            if hashes[row] == hashes[leader] or near:
                found[row] = leader
                break
        else:
            leaders.append(row)
            found[row] = row
    return found
