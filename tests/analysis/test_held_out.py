"""Tests of a word on images that did not choose it, against counting by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from neuronym.analysis.trust import held_out


def _effect(scores: np.ndarray, high: np.ndarray) -> float:
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[high] for b in scores[~high]]
    return float(np.mean(pairs))


@pytest.mark.parametrize(("images", "size"), [(9, 3), (11, 1), (7, 6), (12, 5)])
def test_effect_and_exact_p_by_enumeration(images: int, size: int) -> None:
    """p is the share of all choices of as many images that do at least as well."""
    rng = np.random.default_rng(images)
    scores = rng.normal(size=(4, images))
    high = np.zeros((4, images), bool)
    for unit in range(4):
        high[unit, rng.choice(images, size, replace=False)] = True
    high[0] = np.argsort(np.argsort(-scores[0])) < size  # as good as it gets
    effect, p = held_out.superiority(high, scores)
    for unit in range(4):
        assert effect[unit] == pytest.approx(_effect(scores[unit], high[unit]))
        every = []
        for chosen in combinations(range(images), size):
            mask = np.isin(np.arange(images), chosen)
            every.append(_effect(scores[unit], mask))
        assert p[unit] == pytest.approx(np.mean(np.array(every) >= effect[unit] - 1e-12))
    assert effect[0] == 1


def test_ties_and_ugly_rows() -> None:
    """Ties count half; constant scores say nothing; what cannot be tested is NaN."""
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=(5, 40)), 0)
    scores[1] = 2.5
    scores[2, 7] = np.nan
    high = np.zeros((5, 40), bool)
    high[:3, :6] = True
    high[4] = True
    effect, p = held_out.superiority(high, scores)
    assert effect[0] == pytest.approx(_effect(scores[0], high[0]))
    assert 0 < p[0] < 1
    assert (effect[1], p[1]) == (0.5, 1.0)
    assert np.isnan(effect[2:]).all()
    assert np.isnan(p[2:]).all()


@pytest.mark.parametrize("digits", [0, 1, 12])
def test_by_the_normal_distribution_as_scipy_does(digits: int) -> None:
    """Where there are ties, or many pairs, also with zeros of either sign."""
    rng = np.random.default_rng(digits)
    scores = np.round(rng.normal(size=(25, 700)), digits)
    scores[:5] = np.abs(scores[:5]) * rng.choice([-0.0, 0.0, 1.0], (5, 700))
    high = scores + rng.normal(size=scores.shape) > 1.1
    effect, p = held_out.superiority(high, scores)
    for unit in range(25):
        few, rest = scores[unit, high[unit]], scores[unit, ~high[unit]]
        wanted = mannwhitneyu(few, rest, alternative="greater", method="asymptotic")
        assert len(few) * len(rest) > 20_000
        assert effect[unit] == pytest.approx(wanted.statistic / len(few) / len(rest), rel=1e-12)
        assert p[unit] == pytest.approx(wanted.pvalue, rel=1e-9, abs=1e-300)


def test_many_pairs_are_close_to_few() -> None:
    """Beyond the exact range the normal distribution gives nearly the same."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(30, 900))
    high = np.zeros((30, 900), bool)
    high[:, :25] = True
    scores[:, :25] += rng.uniform(0, 0.8, (30, 1))
    _, rough = held_out.superiority(high, scores)
    from scipy.stats import mannwhitneyu

    exact = mannwhitneyu(
        scores[:, :25], scores[:, 25:], alternative="greater", axis=1, method="exact"
    ).pvalue
    np.testing.assert_allclose(rough, exact, atol=2e-3)


def test_interval_covers_and_never_collapses() -> None:
    """Of samples with a known effect, about 95 % of the intervals hold it."""
    rng = np.random.default_rng(2)
    from scipy.stats import norm

    m, n, shift, draws = 10, 60, 0.7, 2000
    values = rng.normal(size=(draws, m + n))
    values[:, :m] += shift
    high = np.zeros(values.shape, bool)
    high[:, :m] = True
    effect, _ = held_out.superiority(high, values)
    low, top = held_out.interval(effect, np.full(draws, m), np.full(draws, n))
    true = norm.cdf(shift / np.sqrt(2))
    assert 0.92 < np.mean((low <= true) & (true <= top)) < 0.98
    low, top = held_out.interval(np.array([1.0, 0.0, np.nan]), np.full(3, 5), np.full(3, 9))
    assert low[0] < 0.9
    assert top[0] == pytest.approx(1)
    assert low[1] == pytest.approx(0)
    assert top[1] > 0.1
    assert np.isnan([low[2], top[2]]).all()


def test_other_words_by_loops() -> None:
    rng = np.random.default_rng(3)
    images, words, units = 17, 8, 5
    scores = rng.normal(size=(images, words))
    ranks = np.argsort(np.argsort(scores, 0), 0).astype(np.float32) + 1
    high = np.zeros((units, images), bool)
    for unit in range(units):
        high[unit, rng.choice(images, 2 + unit, replace=False)] = True
    own = np.array([3, 0, 7, 7, -1])
    effect = np.array([_effect(scores[:, w], high[u]) for u, w in enumerate(own[:4])] + [0.4])
    better, others = held_out.as_good(high, ranks, effect, np.arange(words), own)
    for unit in range(units):
        rest = [w for w in range(words) if w != own[unit]]
        good = [_effect(scores[:, w], high[unit]) >= effect[unit] - 1e-9 for w in rest]
        assert (better[unit], others[unit]) == (sum(good), len(rest))


def test_combined_is_valid_and_knows_gaps() -> None:
    """Twice the median of twice the minimum; one split pays for its two directions alone."""
    nan = np.nan
    pairs = [
        (np.array([0.01, 0.3, nan, nan]), np.array([0.2, 0.9, nan, 0.02])),
        (np.array([0.03, 0.8, nan, nan]), np.array([0.5, 0.7, nan, nan])),
        (np.array([0.001, 0.2, nan, 0.5]), np.array([0.9, 0.9, nan, 0.9])),
    ]
    np.testing.assert_allclose(held_out.combined(pairs), [0.04, 1, nan, 1])
    np.testing.assert_allclose(held_out.combined(pairs[:1]), [0.02, 0.6, nan, 0.02])
    rng = np.random.default_rng(4)
    found = held_out.combined([(rng.random(4000), rng.random(4000)) for _ in range(5)])
    assert np.mean(found <= 0.05) <= 0.06


def test_discoveries_skip_what_was_not_tested() -> None:
    q = held_out.discoveries(np.array([0.01, np.nan, 0.04, 0.03]))
    np.testing.assert_allclose(q, [0.03, np.nan, 0.04, 0.04])
    assert np.isnan(held_out.discoveries(np.full(3, np.nan))).all()
