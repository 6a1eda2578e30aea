"""Agreement of rankings against loops written from the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neuronym.analysis.stability.measures import jaccard, mean_interval, rbo, same_first


def rankings(rng: np.random.Generator, units: int, depth: int, words: int) -> np.ndarray:
    """Random rankings without repetition, of random length, some of them empty."""
    found = np.full((units, depth), -1)
    for unit in range(units):
        length = rng.integers(0, depth + 1)
        found[unit, :length] = rng.permutation(words)[:length]
    return found


def slow_rbo(a: list[int], b: list[int], p: float) -> float:
    """The infinite sum (1 − p)·Σ p^(d−1)·A_d, where agreement goes on as far as it is known."""
    short, long = sorted((a, b), key=len)
    s, l = len(short), len(long)  # noqa: E741
    if not s:
        return math.nan
    at_short = len(set(short) & set(long[:s]))
    total, agreement = 0.0, 0.0
    for d in range(1, 3000):
        if d <= s:
            agreement = len(set(short[:d]) & set(long[:d])) / d
        elif d <= l:
            agreement = (len(set(short) & set(long[:d])) + at_short * (d - s) / s) / d
        total += (1 - p) * p ** (d - 1) * agreement
    return total


@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
def test_rbo_is_the_infinite_sum(p: float) -> None:
    rng = np.random.default_rng(3)
    a, b = rankings(rng, 23, 7, 11), rankings(rng, 23, 5, 11)
    expected = [
        slow_rbo([w for w in x if w >= 0], [w for w in y if w >= 0], p)
        for x, y in zip(a.tolist(), b.tolist(), strict=True)
    ]
    assert np.isnan(expected).any()
    assert np.isfinite(expected).any()
    assert rbo(a, b, p) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert rbo(b, a, p) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_rbo_at_its_ends() -> None:
    one = np.array([[3, 1, 4, 0]])
    assert rbo(one, one).tolist() == pytest.approx([1])
    assert rbo(one, one + 10).tolist() == [0]
    last, first = one[:, [0, 1, 4 - 1, 2]], one[:, [1, 0, 2, 3]]
    assert rbo(one, last) > rbo(one, first)  # a change at the top counts for more


def test_jaccard_and_the_first_label() -> None:
    rng = np.random.default_rng(4)
    a, b = rankings(rng, 29, 7, 9), rankings(rng, 29, 6, 9)
    for unit in range(len(a)):
        x, y = [[w for w in row[unit, :5].tolist() if w >= 0] for row in (a, b)]
        both = bool(x) and bool(y)
        shared, either = len(set(x) & set(y)), len(set(x) | set(y))
        assert jaccard(a, b)[unit] == pytest.approx(
            shared / either if both else math.nan, nan_ok=True
        )
        first = float(x[0] == y[0]) if both else math.nan
        assert same_first(a, b)[unit] == pytest.approx(first, nan_ok=True)


def test_intervals_of_means() -> None:
    yes_and_no = np.array([1.0] * 30 + [0.0] * 10 + [np.nan] * 3)
    mean, low, high, count = mean_interval(yes_and_no)
    assert (mean, count) == (0.75, 40)
    assert (low, high) == pytest.approx((0.5981, 0.8581), abs=1e-4)  # Wilson's, 30 of 40
    close = np.linspace(0.7, 0.8, 40)  # numbers that spread less are known better
    assert mean_interval(close)[2] - mean_interval(close)[1] < (high - low) / 5
    assert mean_interval(np.ones(7))[1:3] == pytest.approx((0.6457, 1), abs=1e-4)
    assert np.isnan(mean_interval(np.array([np.nan]))[:3]).all()


def test_intervals_cover_the_mean() -> None:
    rng = np.random.default_rng(0)
    draws = rng.beta(2, 1, size=(400, 60))
    found = [mean_interval(values) for values in draws]
    covered = np.mean([low <= 2 / 3 <= high for _, low, high, _ in found])
    assert 0.92 <= covered <= 0.98
