"""Measures of explanations against their definitions, image by image and pair by pair."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest

from neuronym._core.errors import UsageError
from neuronym.analysis.trust import sanity
from neuronym.analysis.trust.explanation_metrics import METRICS, Pair, find, highest, measure, ranks

UNITS, IMAGES, SHARE = 7, 61, 0.1


@pytest.fixture
def pair() -> Pair:
    """Units with ties, and graded scores with ties."""
    rng = np.random.default_rng(3)
    activations = np.maximum(rng.normal(size=(UNITS, IMAGES)), -0.3)
    scores = np.round(rng.uniform(size=(UNITS, IMAGES)) ** 3, 2)
    activations[2] = np.round(activations[2] * 2)
    scores[3] += 0.5 * (activations[3] + 0.3)
    return Pair(activations, scores, SHARE)


def active(row: np.ndarray) -> list[bool]:
    """The ⌈share·N⌉ highest and their ties, none at the minimum."""
    least = sorted(row, reverse=True)[math.ceil(SHARE * len(row)) - 1]
    return [value >= least and value > min(row) for value in row]


def pearson(x, y) -> float:
    mx, my = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return above / math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))


def mean_ranks(row) -> list[float]:
    return [sum(v < value for v in row) + (sum(v == value for v in row) + 1) / 2 for value in row]


def average_precision(scores, hits) -> float:
    found = []
    for score, hit in zip(scores, hits, strict=True):
        if hit:
            above = [h for s, h in zip(scores, hits, strict=True) if s >= score]
            found.append(sum(above) / len(above))
    return sum(found) / len(found)


def roc(scores, hits) -> float:
    inside = [s for s, h in zip(scores, hits, strict=True) if h]
    outside = [s for s, h in zip(scores, hits, strict=True) if not h]
    pairs = [(a > b) + (a == b) / 2 for a, b in itertools.product(inside, outside)]
    return sum(pairs) / len(pairs)


def replica(name: str, a: np.ndarray, s: np.ndarray) -> float:
    x, y = active(a), active(s)
    both = sum(p and q for p, q in zip(x, y, strict=True))
    neither = sum(not p and not q for p, q in zip(x, y, strict=True))
    n = len(a)
    top = sorted(range(n), key=lambda i: -a[i])[:25]
    some = [*top, *np.random.default_rng(0).choice(n, 25, replace=False)]
    present = [v for v, q in zip(a, y, strict=True) if q]
    absent = [v for v, q in zip(a, y, strict=True) if not q]
    return {
        "correlation": lambda: pearson(a, s),
        "cosine": lambda: sum(a * s) / math.sqrt(sum(a * a) * sum(s * s)),
        "f1": lambda: 2 * both / (sum(x) + sum(y)),
        "iou": lambda: both / (sum(x) + sum(y) - both),
        "auprc": lambda: average_precision(s, x),
        "recall": lambda: both / sum(x),
        "precision": lambda: both / sum(y),
        "accuracy": lambda: (both + neither) / n,
        "balanced-accuracy": lambda: (both / sum(x) + neither / (n - sum(x))) / 2,
        "auc": lambda: roc(s, x),
        "spearman": lambda: pearson(mean_ranks(a), mean_ranks(s)),
        "correlation-top-and-random": lambda: pearson(a[some], s[some]),
        "spearman-top-and-random": lambda: pearson(mean_ranks(a[some]), mean_ranks(s[some])),
        "wpmi": lambda: (
            sum(math.log(v + 1e-7) for v, p in zip(s, x, strict=True) if p) / sum(x)
            - math.log(sum(s) / n + 1e-7)
        ),
        "mad": lambda: sum(present) / len(present) - sum(absent) / len(absent),
    }[name]()


@pytest.mark.parametrize("name", METRICS)
def test_replica(name: str, pair: Pair) -> None:
    found = METRICS[name].measure(pair)
    wanted = [replica(name, a, s) for a, s in zip(pair.activations, pair.scores, strict=True)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert METRICS[name].summary.endswith((".", ":", ")"))


@pytest.mark.parametrize("name", METRICS)
def test_rows_that_say_nothing(name: str) -> None:
    rng = np.random.default_rng(0)
    a, s = rng.normal(size=(5, 31)), rng.uniform(size=(5, 31))
    a[1], s[2], a[3, 4], s[4, 0] = 2.5, 0.25, np.nan, np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = METRICS[name].measure(Pair(a, s, 0.2))
    assert np.isfinite(found[0])
    assert np.isnan(found[3:]).all()
    if name in ("correlation", "f1", "iou", "spearman"):
        assert np.isnan(found[1:3]).all()
    alone = METRICS[name].measure(Pair(a[:1], s[:1], 0.2))
    np.testing.assert_allclose(found[:1], alone, rtol=1e-12)


def test_labels_are_taken_as_they_are() -> None:
    """Scores of zeros and ones are labels, however many they are."""
    present = np.array([[1, 1, 1, 1, 0, 0, 0, 0.0]])
    assert Pair(present, present, 0.1).present.sum() == 4
    assert Pair(present, present / 2, 0.1).present.sum() == 4  # ties with the highest
    assert Pair(present, np.arange(8.0)[None], 0.1).present.sum() == 1


def test_highest_and_ranks() -> None:
    row = np.array([[0.0, 0.0, 3.0, 0.0, 3.0, 5.0]])
    assert highest(row, 0.3).tolist() == [[False, False, True, False, True, True]]
    assert highest(row, 1).tolist() == [[False, False, True, False, True, True]]
    assert highest(np.zeros((2, 4)), 0.5).sum() == 0
    assert ranks(row).tolist() == [[2, 2, 4.5, 2, 4.5, 6]]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_ranks_against_a_loop(kind) -> None:
    rows = np.random.default_rng(0).normal(size=(12, 300))
    rows[4:8] = np.maximum(rows[4:8], 0)  # ties
    rows[8:] = rows[8:].round(1)
    rows = rows.astype(kind)
    np.testing.assert_array_equal(ranks(rows), [mean_ranks(row) for row in rows])


def test_failing_metrics_warn(pair: Pair) -> None:
    with pytest.warns(UserWarning, match="auc fails the sanity tests"):
        measure("auc", pair.activations, pair.scores)
    with pytest.raises(UsageError, match=r"Expected `metric` to be one of .* Nearest: cosine"):
        find("cosin")
    with pytest.raises(UsageError, match=r"shape \(7, 61\), got \(7, 60\)"):
        Pair(pair.activations, pair.scores[:, 1:])


def test_spoiled_labels() -> None:
    rng = np.random.default_rng(5)
    present = rng.random((9, 400)) < 0.1
    present[0], present[1, :] = False, np.arange(400) < 300
    less, more = sanity.missing_labels(present, rng), sanity.extra_labels(present, rng)
    assert (less.sum(1) == present.sum(1) // 2).all()
    assert not (less & ~present).any()
    wanted = np.minimum(2 * present.sum(1), 400)
    assert (more.sum(1) == wanted).all()
    assert not (present & ~more).any()
    assert (sanity.extra_labels(present, np.random.default_rng(1)) != more).any()


def test_falls_counts_lost_values() -> None:
    truth = np.array([[1, 1, 0, 0.0], [1, 0, 0, 0], [1, 1, 1, 1]])
    before = Pair(truth, truth, 0.5)
    after = Pair(truth, truth * [[1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]], 0.5)
    # One falls, one loses its only label, one never had a value.
    assert sanity.falls(METRICS["correlation"], before, after) == 1
    assert sanity.falls(METRICS["recall"], before, before) == 0
    assert math.isnan(sanity.falls(METRICS["f1"], Pair(truth * 0, truth), after))
