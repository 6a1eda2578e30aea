"""What `analysis.diff` computes, from its definitions: loops, one unit after another, float64."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats


def halves(groups: int) -> list[list[bool]]:
    """The splits: rows of Sylvester's Hadamard matrix but the first; True: the first half."""
    signs = [[1]]
    while len(signs) < groups:
        signs = [row + row for row in signs] + [row + [-x for x in row] for row in signs]
    return [[x > 0 for x in row] for row in signs[1:]]


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's; 1 where both are constant, 0 where one is; short of ±1 by 1e-12."""
    flat = [bool((v == v[0]).all()) for v in (x, y)]
    if any(flat):
        r = float(all(flat))
    else:
        x, y = x - x.mean(), y - y.mean()
        r = float((x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum()))
    return min(max(r, -1 + 1e-12), 1 - 1e-12)


def change_of(x: np.ndarray, y: np.ndarray, groups: int, same: float, noise: float) -> dict:
    """r, low, high, p of one unit; responses in the order of the images' content."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    nothing = {"correlation": math.nan, "low": math.nan, "high": math.nan, "p": math.nan}
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return nothing
    silent = [v.std() <= 10 * noise * np.abs(v).max() for v in (x, y)]
    if all(silent):
        return nothing
    if any(silent):
        live = y if silent[0] else x
        level = live.min() + 1e-3 * (live.max() - live.min())
        return {**nothing, "p": 0.5 ** int((live > level).sum())}
    member = np.arange(len(x)) % groups
    apart = []
    for split in halves(groups):
        one = np.array(split)[member]
        z = [math.atanh(correlation(x[some], y[some])) for some in (one, ~one)]
        apart.append((z[0] - z[1]) ** 2)
    error = max(math.sqrt(sum(apart) / len(apart) / 4), 1 / math.sqrt(len(x) - 3))
    r = correlation(x, y)
    z, t = math.atanh(r), stats.t(groups - 1)
    reach = t.ppf(0.975) * error
    return {
        "correlation": r,
        "low": math.tanh(z - reach),
        "high": math.tanh(z + reach),
        "p": t.sf((math.atanh(same) - z) / error),
    }


def mutual(x: np.ndarray, y: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of columns each of which correlates with the other more than with any other one."""
    r = np.array([[correlation(a, b) for b in y.T] for a in x.T])
    return {
        (i, int(r[i].argmax()))
        for i in range(len(r))
        if r[i].max() > 0 and r[:, r[i].argmax()].argmax() == i
    }


def concept_p(a: int, b: int, total_a: int, total_b: int) -> float:
    """Twice the smaller tail of the binomial distribution, summed term by term."""
    n, share = a + b, total_b / (total_a + total_b)
    terms = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    return min(1.0, 2 * min(sum(terms[: b + 1]), sum(terms[b:])))
