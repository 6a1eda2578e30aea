"""Does a word tell a neuron's highest images from the rest, on images that did not choose it?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

#: Exact p-values up to so many pairs of a high and another image; beyond, they do not differ.
_EXACT = 20_000
#: Of the normal distribution: 95 % lie within.
_Z = 1.959963984540054
_STEPS = 60  # of the bisection: far below float64's resolution

PerUnit = Float64[np.ndarray, " unit"]


def superiority(
    high: Bool[np.ndarray, "unit image"], scores: Float[np.ndarray, "unit image"]
) -> tuple[PerUnit, PerUnit]:
    """How often a high image has a higher score than another one, and how unlikely by chance.

    Mann and Whitney's U over the number of pairs (ties count half), and the one-sided p-value that
    the high images are a random choice: exact without ties and with up to 20,000 pairs, else by
    the normal distribution, corrected for ties and continuity.

    Args:
        high: the unit's highest images.
        scores: of the unit's word.

    Returns:
        The effect, 0…1 (½: none), and p. NaN for rows with no high or no other image, and for
        scores that are not finite.

    Reference: H. B. Mann, D. R. Whitney. On a test of whether one of two random variables is
    stochastically larger than the other. Annals of Mathematical Statistics, 1947.
    """
    from scipy.stats import mannwhitneyu

    effect, p = np.full(len(high), np.nan), np.full(len(high), np.nan)
    sizes, images = high.sum(1), high.shape[1]
    fine = (sizes > 0) & (sizes < images) & np.isfinite(scores).all(1)
    order = np.argsort(~high, axis=1, kind="stable")
    for size in np.unique(sizes[fine]):
        rows = np.flatnonzero(fine & (sizes == size))
        values = np.take_along_axis(np.asarray(scores[rows], np.float64), order[rows], 1)
        ordered = np.sort(values, axis=1)
        tied = (ordered[:, 1:] == ordered[:, :-1]).any(1)
        pairs = int(size) * int(images - size)
        exact = ~tied if pairs <= _EXACT else np.zeros(len(rows), bool)
        if exact.any():
            few, many = values[exact, :size], values[exact, size:]
            test = mannwhitneyu(few, many, alternative="greater", axis=1, method="exact")
            effect[rows[exact]], p[rows[exact]] = test.statistic / pairs, test.pvalue
        for row in np.flatnonzero(~exact):
            u, p[rows[row]] = _by_normal(values[row, :size], ordered[row])
            effect[rows[row]] = u / pairs
    return effect, p


def _by_normal(
    high: Float64[np.ndarray, " high"], ordered: Float64[np.ndarray, " image"]
) -> tuple[float, float]:
    """U of the high images among all, which are in order, and its p by the normal distribution."""
    from scipy.special import ndtr

    size, images = len(high), len(ordered)
    places = np.searchsorted(ordered, high, "left") + np.searchsorted(ordered, high, "right")
    u = float(places.sum() + size) / 2 - size * (size + 1) / 2  # from the mean ranks of ties
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), images - 1)
    equal = np.diff(ends, prepend=-1).astype(np.float64)
    ties = (equal**3 - equal).sum() / (images * (images - 1.0))
    pairs = size * (images - size)
    width = np.sqrt(pairs / 12 * (images + 1 - ties))
    # All scores equal: the normal distribution has no width, and they say nothing.
    return u, float(ndtr(-(u - pairs / 2 - 0.5) / width)) if width > 0 else 1.0


def interval(effect: PerUnit, high: Int64[np.ndarray, " unit"], rest: np.ndarray) -> np.ndarray:
    """95 % limits of a superiority `[2, unit]`; never of width 0, also where it is 0 or 1.

    Args:
        effect: as from `superiority`.
        high, rest: how many images there are of either kind.

    Reference: R. G. Newcombe. Confidence intervals for an effect size measure based on the
    Mann–Whitney statistic. Part 2 (method 5). Statistics in Medicine, 2006.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        more = (high + rest) / 2 - 1

        def too_far(theta: np.ndarray) -> np.ndarray:
            spread = 1 + more * ((1 - theta) / (2 - theta) + theta / (1 + theta))
            variance = theta * (1 - theta) * spread / (high * rest)
            return (theta - effect) ** 2 > _Z**2 * variance

        limits = []
        for end in (0.0, 1.0):
            outside, inside = np.full(len(effect), end), np.array(effect)
            for _ in range(_STEPS):
                middle = (outside + inside) / 2
                beyond = too_far(middle)
                outside, inside = (
                    np.where(beyond, middle, outside),
                    np.where(beyond, inside, middle),
                )
            limits.append(np.where(np.isnan(effect), np.nan, (outside + inside) / 2))
    return np.stack(limits)


def as_good(
    high: Bool[np.ndarray, "unit image"],
    ranks: Float32[np.ndarray, "image word"],
    effect: PerUnit,
    words: Int64[np.ndarray, " word"],
    own: Int64[np.ndarray, " unit"],
) -> tuple[Int64[np.ndarray, " unit"], Int64[np.ndarray, " unit"]]:
    """How many of some other words tell the unit's high images from the rest at least as well.

    Args:
        high: the unit's highest images.
        ranks: of the images by the score of each word, 1 the lowest, ties their mean.
        effect: of the unit's own word.
        words: which words the columns of `ranks` are.
        own: the unit's own word, which is left out; −1: another one.

    Returns:
        The number of those at least as good (differences below 1e-6 count as none), and of all.
    """
    sizes = high.sum(1)
    rest = high.shape[1] - sizes
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (high.astype(np.float32) @ ranks / sizes[:, None] - (sizes[:, None] + 1) / 2) / (
            rest[:, None]
        )
        better = found >= effect[:, None] - 1e-6
    others = words[None] != own[:, None]
    return (better & others).sum(1), others.sum(1)


def combined(
    directions: Sequence[tuple[PerUnit, PerUnit]],
) -> PerUnit:
    """One p-value of several splits: twice the median over splits of twice the smaller of a split.

    Both factors pay for looking at several p-values that may depend on each other in any way.

    Args:
        directions: per split the p-values from either half. NaN: not tested.

    Reference: N. Meinshausen, L. Meier, P. Bühlmann. p-values for high-dimensional regression.
    JASA, 2009 (quantile ½).
    """
    splits = []
    for first, second in directions:
        tested = np.isfinite(first).astype(int) + np.isfinite(second)
        splits.append(np.minimum(1, tested * np.fmin(first, second)))
    values = np.stack(splits)
    found = np.full(values.shape[1], np.nan)
    known = np.isfinite(values).any(0)
    found[known] = np.minimum(1, min(2, len(splits)) * np.nanmedian(values[:, known], axis=0))
    return found


def discoveries(p: PerUnit) -> PerUnit:
    """q-values by Benjamini and Hochberg over the tested units of a layer; NaN stays."""
    from scipy.stats import false_discovery_control

    q, tested = np.full(len(p), np.nan), np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q
