"""Confidence intervals of shares."""

from __future__ import annotations

import math
from statistics import NormalDist

from neuronym._core.checks import misuse


def wilson(count: float, total: float, level: float = 0.95) -> tuple[float, float]:
    r"""The Wilson score interval of a share.

    (p + z²/2n ± z·√(p(1 − p)/n + z²/4n²)) / (1 + z²/n) with p = count/total and n = total. It
    stays within 0…1 and is sensible where p is 0 or 1, or n small.

    `scipy.stats.binomtest` has the same interval, but of whole counts only.

    Args:
        count: of hits; it need not be whole.
        total: of trials; 0: nothing is known, the interval is 0…1.
        level: of confidence.

    Returns:
        Its two ends.

    Reference: Wilson 1927, Journal of the American Statistical Association 22.

    >>> tuple(round(end, 4) for end in wilson(81, 263))
    (0.2553, 0.3662)
    """
    if not 0 <= count <= total:
        raise misuse("count", f"a number 0…{total}", count)
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    p, weight = count / total, z * z / total
    middle = (p + weight / 2) / (1 + weight)
    half = z * math.sqrt(p * (1 - p) / total + weight / (4 * total)) / (1 + weight)
    # At the ends the two terms cancel; what is left is rounding.
    low = 0.0 if count == 0 else max(0.0, middle - half)
    return low, 1.0 if count == total else min(1.0, middle + half)
