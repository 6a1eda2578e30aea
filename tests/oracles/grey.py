"""Values as 8 bits, written from the definition: one value at a time, in Python's own numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many percent lie, linear between its two neighbours."""
    ordered = sorted(values)
    at = (len(ordered) - 1) * percent / 100
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def rounded_out(values: Sequence[float]) -> tuple[float, float]:
    """The 0.1 and 99.9 percentile, widened to 0 or −2ᵐ and to 2ⁿ − 1, n at least 8."""
    low, high = percentile(values, 0.1), percentile(values, 99.9)
    most = 255
    while most < high:
        most = 2 * most + 1
    least = 0
    while least > low:
        least = 2 * least if least else -1
    return least, most


def grey(value: float, low: float, high: float) -> int:
    """One value as 0…255; what is no number is black."""
    if not math.isfinite(value):
        return 0
    share = 255 * (value - low) / (high - low)
    return min(max(round(share), 0), 255)


def greys(values: Iterable[float], low: float, high: float) -> list[int]:
    return [grey(float(value), low, high) for value in values]
