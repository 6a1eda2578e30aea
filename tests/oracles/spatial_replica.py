"""Gains of a label on crops, straight from the definition, one unit at a time in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from maps_replica import bilinear


def log_p(vector: np.ndarray, texts: np.ndarray, word: np.ndarray, scale: float) -> float:
    """log p(word | picture) among the concepts `texts`, summed one after the other."""
    total = math.fsum(math.exp(scale * float(np.dot(vector, text))) for text in texts)
    return scale * float(np.dot(vector, word)) - math.log(total)


def gain(crops: Sequence[float], others: Sequence[float]) -> tuple[float, float, float, float]:
    """Mean difference of pairs, its 95 % interval, and the one-sided p, from a list of pairs."""
    pairs = [a - b for a, b in zip(crops, others, strict=True) if math.isfinite(a)]
    if not pairs:
        return (math.nan,) * 4
    mean = math.fsum(pairs) / len(pairs)
    if len(pairs) == 1:
        return mean, math.nan, math.nan, math.nan
    deviation = math.sqrt(math.fsum((d - mean) ** 2 for d in pairs) / (len(pairs) - 1))
    error = max(deviation, 1e-4) / math.sqrt(len(pairs))
    law = stats.t(len(pairs) - 1)
    return mean, mean - law.ppf(0.975) * error, mean + law.ppf(0.975) * error, law.sf(mean / error)


def overlap(
    share: np.ndarray, mask: np.ndarray, edges: tuple[float, float, float, float]
) -> tuple[int, int]:
    """Pixels in both and in either of a map's upper half and a mask, pixel by pixel.

    Args:
        share: `[y, x]`, 0…1.
        mask: of the picture.
        edges: left, top, right, bottom of what the map covers, as fractions of the picture.
    """
    left, top, right, bottom = edges
    both = either = 0
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            down = ((y + 0.5) / mask.shape[0] - top) / (bottom - top)
            across = ((x + 0.5) / mask.shape[1] - left) / (right - left)
            if not (0 <= down <= 1 and 0 <= across <= 1):
                continue
            high = bilinear(share, down, across) >= share.max() / 2 - 1e-6
            both += bool(high and mask[y, x])
            either += bool(high or mask[y, x])
    return both, either
