"""How alike two rankings are: same first label, overlap of the first five, rank-biased overlap."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int64

from neuronym._core.intervals import wilson

# Rankings are whole numbers `[unit, depth]`, best first, −1 where a ranking has ended: a unit that
# abstains has none. Results are NaN where one of the two is empty.

TOP = 5  # labels that "the first five" means
P = 0.9  # persistence of rank-biased overlap: the first ten ranks have 86 % of its weight


def same_first(
    a: Int64[np.ndarray, "unit n"], b: Int64[np.ndarray, "unit m"]
) -> Float[np.ndarray, " unit"]:
    """1 where both rankings begin with the same label, else 0.

    >>> same_first(np.array([[4, 2], [3, 1], [-1, -1]]), np.array([[4], [1], [1]])).tolist()
    [1.0, 0.0, nan]
    """
    return np.where(_both(a, b), a[:, 0] == b[:, 0], np.nan)


def jaccard(
    a: Int64[np.ndarray, "unit n"], b: Int64[np.ndarray, "unit m"], depth: int = TOP
) -> Float[np.ndarray, " unit"]:
    """Labels among the first `depth` of both, over labels among the first `depth` of either.

    >>> jaccard(np.array([[0, 1, 2]]), np.array([[2, 3, 0]]), depth=2).tolist()
    [0.0]
    >>> jaccard(np.array([[0, 1, 2]]), np.array([[2, 3, 0]]), depth=3).tolist()
    [0.5]
    """
    a, b = a[:, :depth], b[:, :depth]
    shared = _matches(a, b).sum((1, 2))
    either = (a >= 0).sum(1) + (b >= 0).sum(1) - shared
    return np.where(_both(a, b), shared / np.maximum(either, 1), np.nan)


def rbo(
    a: Int64[np.ndarray, "unit n"], b: Int64[np.ndarray, "unit m"], p: float = P
) -> Float[np.ndarray, " unit"]:
    r"""Rank-biased overlap, extrapolated from rankings that are known to a finite depth only.

    With X_d the number of labels that the first d of both have in common, and s ≤ l the lengths of
    the two rankings:

    RBO = (1−p)/p · (Σ_{d=1}^{l} X_d/d · p^d + Σ_{d=s+1}^{l} X_s·(d−s)/(s·d) · p^d)
          + ((X_l − X_s)/l + X_s/s) · p^l

    It is 1 for equal rankings and 0 for rankings without a common label. Both sums weigh agreement
    at depth d by p^d; what lies below the known depth is taken to agree as the known part does.

    Args:
        a, b: rankings without repetition.
        p: persistence, above 0 and below 1: the smaller, the more the first ranks count.

    Reference: Webber, Moffat, Zobel, "A similarity measure for indefinite rankings", ACM
    Transactions on Information Systems 28(4), 2010, equation 32.

    >>> rbo(np.array([[0, 1, 2]]), np.array([[1, 0, 2]]), p=0.5).round(3).tolist()
    [0.5]
    """
    short = np.minimum((a >= 0).sum(1), (b >= 0).sum(1))
    long = np.maximum((a >= 0).sum(1), (b >= 0).sum(1))
    deepest = max(a.shape[1], b.shape[1])
    match = np.zeros((len(a), deepest, deepest), bool)
    match[:, : a.shape[1], : b.shape[1]] = _matches(a, b)
    first, last = np.maximum(short, 1), np.maximum(long, 1)
    common = np.zeros(len(a))  # X_d
    at_short, total = np.zeros(len(a)), np.zeros(len(a))
    for d in range(1, deepest + 1):
        common = common + match[:, d - 1, :d].sum(1) + match[:, : d - 1, d - 1].sum(1)
        at_short = np.where(d <= short, common, at_short)
        beyond = np.where(d > short, at_short * (d - short) / first, 0)
        total += np.where(d <= long, (common + beyond) / d * p**d, 0)
    rest = ((common - at_short) / last + at_short / first) * p ** last.astype(float)
    return np.where(_both(a, b), (1 - p) / p * total + rest, np.nan)


def mean_interval(values: Float[np.ndarray, " value"]) -> tuple[float, float, float, int]:
    r"""Mean of numbers in [0, 1], its 95 % interval, and how many numbers there are.

    Wilson's score interval for a share of n' = n·p·(1 − p)/s², with p the mean and s² the variance:
    for yes and no that is n, and for numbers that spread less it is more.

    Args:
        values: NaN is left out.

    Reference: Korn and Graubard, "Confidence intervals for proportions with small expected number
    of positive counts estimated from survey data", Survey Methodology 24, 1998 (for n').

    >>> tuple(round(x, 3) for x in mean_interval(np.array([1.0, 1.0, 0.0, np.nan])))
    (0.667, 0.208, 0.939, 3)
    """
    known = values[np.isfinite(values)]
    n = len(known)
    if not n:
        return math.nan, math.nan, math.nan, 0
    mean = min(float(known.mean()), 1.0)
    spread, most = float(known.var()), mean * (1 - mean)
    effective = n * most / spread if spread > 1e-12 and most > 0 else n
    return mean, *wilson(mean * effective, effective), n


def _both(a: np.ndarray, b: np.ndarray) -> Bool[np.ndarray, " unit"]:
    return (a[:, 0] >= 0) & (b[:, 0] >= 0)


def _matches(
    a: Int64[np.ndarray, "unit n"], b: Int64[np.ndarray, "unit m"]
) -> Bool[np.ndarray, "unit n m"]:
    return (a[:, :, None] == b[:, None]) & (a >= 0)[:, :, None]
