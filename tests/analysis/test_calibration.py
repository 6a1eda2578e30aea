"""Calibrators: fitting, storing, applying; and measures of calibration."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from neuronym._core.errors import UsageError
from neuronym.analysis.trust import reliability
from neuronym.analysis.trust.calibration import (
    Calibrator,
    fit,
    monotone,
    open_calibrator,
    read,
    shipped,
    sigmoid,
)
from neuronym.analysis.trust.features import FEATURES

KIND = "clip-dissect.soft-wpmi"


def units(count: int, seed: int = 0, strength: float = 1.0):
    """Features, and labels that are right with a probability that follows from them."""
    rng = np.random.default_rng(seed)
    features = {"fit": rng.normal(0.3, 0.1, count), "margin": rng.normal(-1, 0.7, count)}
    p = sigmoid(strength * (12 * (features["fit"] - 0.3) + 1.5 * (features["margin"] + 1) - 0.5))
    return features, rng.random(count) < p, p


def test_finds_the_model_that_made_the_units() -> None:
    features, right, p = units(20_000)
    made = fit(features, right, kind=KIND, isotonic=False)
    slopes = np.array(made.coefficients) / made.scale
    np.testing.assert_allclose(slopes, [12, 1.5], rtol=0.05)
    assert np.abs(made.probability(features) - p).max() < 0.03
    fresh, _, wanted = units(1000, seed=1)
    assert np.abs(made.probability(fresh) - wanted).max() < 0.03


def test_is_the_optimum() -> None:
    """No small change of any weight makes the penalised likelihood higher."""
    features, right, _ = units(300)
    made = fit(features, right, kind=KIND, isotonic=False)
    z = (np.stack(list(features.values()), 1) - made.mean) / made.scale

    def value(weights):
        p = sigmoid(weights[0] + z @ weights[1:])
        return np.log(np.where(right, p, 1 - p)).sum() - 0.5 * (weights[1:] ** 2).sum()

    best = np.array([made.intercept, *made.coefficients])
    for step in np.eye(3) * 1e-3:
        assert value(best) > value(best + step)
        assert value(best) > value(best - step)


def test_isotonic_corrects_what_the_logistic_model_cannot() -> None:
    rng = np.random.default_rng(2)
    features = {"fit": rng.uniform(-1, 1, 4000)}
    right = rng.random(4000) < np.where(features["fit"] > 0.5, 0.9, 0.2)  # a step
    plain, bent = (fit(features, right, kind=KIND, isotonic=i) for i in (False, True))
    assert reliability.ece(plain.probability(features), right) > 0.1
    assert reliability.ece(bent.probability(features), right) < 0.02
    grid = bent.probability({"fit": np.linspace(-2, 2, 99)})
    assert (np.diff(grid) >= 0).all()
    assert grid[0] == pytest.approx(0.2, abs=0.05)


def test_monotone_against_brute_force() -> None:
    """The minimax formula: max over the left of min over the right of the mean between."""
    rng = np.random.default_rng(4)
    odds, right = np.round(rng.normal(size=60), 1), rng.random(60) < 0.5
    known = np.unique(odds)
    means = [
        [right[(odds >= a) & (odds <= b)].mean() if a <= b else np.nan for b in known]
        for a in known
    ]
    count = len(known)
    wanted = np.array(
        [
            max(min(means[a][b] for b in range(place, count)) for a in range(place + 1))
            for place in range(count)
        ]
    )
    x, y, sizes = monotone(odds, right)
    assert sum(sizes) == 60
    levels = np.unique(wanted.round(12))
    np.testing.assert_allclose(y, levels)
    inside = [wanted[np.searchsorted(known, odds)].round(12) == level for level in levels]
    np.testing.assert_allclose(x, [odds[own].mean() for own in inside])


def pooled(odds, right):
    """Pooling adjacent violators, one unit after the other, in float64."""
    blocks = []  # sum of right, of odds, count
    for odd in sorted(set(odds.tolist())):
        own = right[odds == odd]
        blocks.append([float(own.sum()), odd * len(own), len(own)])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][2] >= blocks[-1][0] * blocks[-2][2]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    return tuple(
        tuple(part)
        for part in zip(*((odd / size, hit / size, size) for hit, odd, size in blocks), strict=True)
    )


@pytest.mark.parametrize("count", [1, 2, 7, 60, 3000])
@pytest.mark.parametrize("digits", [1, 15])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_monotone_against_a_replica(count, digits, share) -> None:
    """Also where blocks have the same height: they are one step."""
    for seed in range(20):
        rng = np.random.default_rng([seed, count, digits])
        odds = np.round(rng.normal(size=count), digits)
        slope = rng.choice([0, 0.3, 3])
        right = rng.random(count) < np.clip(share + slope * odds * (0 < share < 1), 0, 1)
        x, y, sizes = monotone(odds, right)
        wanted = pooled(odds, right)
        assert sizes == wanted[2]
        np.testing.assert_array_equal(y, wanted[1])
        np.testing.assert_allclose(x, wanted[0], rtol=1e-12, atol=1e-12)
        assert all(type(n) is float for n in (*x, *y))


def test_monotone_joins_steps_that_only_rounding_tells_apart() -> None:
    sizes, hits = [47, 67, 16, 83], [12, 58, 6, 64]  # (58 + 6) / (67 + 16) = 64 / 83
    odds = np.repeat([0.0, 1, 2, 3], sizes)
    right = np.concatenate([np.arange(n) < k for n, k in zip(sizes, hits, strict=True)])
    x, y, found = monotone(odds, right)
    assert (y, found) == ((12 / 47, 64 / 83), (47, 166))
    np.testing.assert_allclose(x, pooled(odds, right)[0])


def test_beyond_the_range_it_was_fitted_on() -> None:
    features, right, _ = units(500)
    made = fit(features, right, kind=KIND)
    far = {
        name: np.array([values.min() - 100, values.max() + 100, np.nan])
        for name, values in features.items()
    }
    at_end = {name: np.array([values.min(), values.max()]) for name, values in features.items()}
    np.testing.assert_allclose(made.probability(far)[:2], made.probability(at_end))
    assert np.isnan(made.probability(far)[2])


@pytest.mark.parametrize("isotonic", [True, False])
def test_round_trip(tmp_path, isotonic) -> None:
    features, right, _ = units(200)
    made = fit(features, right, kind=KIND, name="mine", isotonic=isotonic)
    made.save(tmp_path / "mine.json")
    back = open_calibrator(str(tmp_path / "mine.json"))
    assert vars(back) == vars(made)
    assert open_calibrator(back) is back
    np.testing.assert_array_equal(back.probability(features), made.probability(features))


def good() -> dict:
    features, right, _ = units(50)
    made = fit(features, right, kind=KIND, isotonic=True)
    return json.loads(json.dumps(made.to_json()))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"calibrator": None}, "it has no version"),
        ({"calibrator": 7}, "reads up to 1: upgrade"),
        ({"features": []}, "it has no features"),
        ({"features": ["fit", "luck"]}, "needs the feature 'luck'"),
        ({"scale": [1]}, "scale has not one number for each of its 2 features"),
        ({"scale": [1, 0]}, "scale are no such numbers"),
        ({"coefficients": [1, "2"]}, "coefficients has not one number"),
        ({"mean": [1, True]}, "mean has not one number"),
        ({"low": [1, float("nan")]}, "low has not one number"),
        ({"intercept": None}, "intercept or scale"),
        ({"kind": 3}, "it has no kind"),
        ({"knots": [[1, 2]]}, "knots are not two lists"),
        ({"knots": [[], []]}, "knots are not two lists"),
        ({"knots": [[0, 1], [0.5, 0.2]]}, "knots do not rise"),
        ({"knots": [[0, 1], [0.5, 1.2]]}, "knots do not rise"),
        ({"fitted_on": "everything"}, "fitted_on does not say"),
    ],
)
def test_malformed_files(tmp_path, change, why) -> None:
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(good() | change), "utf-8")
    with pytest.raises(UsageError, match=re.escape(why)) as caught:
        open_calibrator(str(file))
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_no_such_calibrator(tmp_path) -> None:
    for text in ("", "[" * 5000, "[1, 2]", '{"calibrator": 1}'):
        with pytest.raises(UsageError, match="x is not a calibrator"):
            read(text, "x")
    (tmp_path / "picture.json").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UsageError, match=r"picture\.json is not a calibrator: it is no text"):
        open_calibrator(str(tmp_path / "picture.json"))
    with pytest.raises(UsageError, match=r"Expected `calibrator` .* Nearest: default"):
        open_calibrator("defualt")


@pytest.mark.parametrize("name", shipped())
def test_those_that_come_with_neuronym(name) -> None:
    made = open_calibrator(name)
    assert isinstance(made, Calibrator)
    assert made.name == name
    assert set(made.features) <= set(FEATURES)
    assert sum(entry["units"] for entry in made.fitted_on) > 1000
    assert "inner units" in made.caveat
    assert "/" not in json.dumps(made.fitted_on)
    low, high = (
        made.probability({s: np.array([v]) for s, v in zip(made.features, side, strict=True)})
        for side in (made.low, made.high)
    )
    assert 0 <= low[0] <= 1
    assert 0 <= high[0] <= 1


def test_too_little_to_fit_on() -> None:
    features, right, _ = units(40)
    for y in (np.ones(40, bool), np.zeros(40, bool), np.arange(40) < 2):
        with pytest.raises(UsageError, match="Expected at least 20 units of known truth"):
            fit(features, y, kind=KIND)
    few = {name: values[:10] for name, values in features.items()}
    with pytest.raises(UsageError, match="got 10 units"):
        fit(few, right[:10], kind=KIND)
    features["fit"][3] = np.nan
    with pytest.raises(UsageError, match="hold finite numbers, got"):
        fit(features, right, kind=KIND)


def test_signs_that_separate_perfectly_or_say_nothing() -> None:
    rng = np.random.default_rng(0)
    right = np.arange(60) % 2 == 0
    features = {"fit": right + 0.01 * rng.normal(size=60), "margin": np.full(60, 3.0)}
    made = fit(features, right, kind=KIND)
    p = made.probability(features)
    assert (p[right] > 0.9).all()
    assert (p[~right] < 0.1).all()
    assert all(map(math.isfinite, made.coefficients))


def test_measures_against_loops() -> None:
    rng = np.random.default_rng(6)
    p, y = np.round(rng.random(57), 2), rng.random(57) < 0.4
    order = sorted(range(57), key=lambda i: p[i])
    wanted, at = 0.0, 0
    for size in [10, 10, 10, 9, 9, 9]:  # six bins, the first ones larger
        part = order[at : at + size]
        gap = sum(p[i] for i in part) / size - sum(y[i] for i in part) / size
        wanted, at = wanted + size / 57 * abs(gap), at + size
    assert reliability.ece(p, y, bins=6) == pytest.approx(wanted)
    assert reliability.brier(p, y) == pytest.approx(
        sum((a - b) ** 2 for a, b in zip(p, y, strict=True)) / 57
    )
    pairs = [(a > b) + (a == b) / 2 for a in p[y] for b in p[~y]]
    assert reliability.auc(p, y) == pytest.approx(sum(pairs) / len(pairs))
    assert math.isnan(reliability.auc(p, np.ones(57, bool)))
    assert reliability.ece(np.array([1.0]), np.array([True])) == 0
    json.dumps(reliability.measure(p, np.ones(57, bool)).to_json(), allow_nan=False)


def test_intervals_hold_what_they_should() -> None:
    """Exact probabilities: the error is what noise makes it; wrong ones: the interval is above."""
    _, right, p = units(1500, seed=8)
    exact, wrong = reliability.measure(p, right), reliability.measure(p**3, right)
    assert exact.ece.value == pytest.approx(exact.expected, abs=0.02)
    assert exact.ece.low < exact.expected < exact.ece.high
    assert wrong.ece.low > 0.1
    assert wrong.ece.low < wrong.ece.value < wrong.ece.high
    assert wrong.brier.value > exact.brier.value
    assert sum(exact.bins["units"]) == 1500
    low, share, high = (np.array(exact.bins[name]) for name in ("low", "right", "high"))
    assert ((low <= share) & (share <= high)).all()
    again = reliability.measure(p, right)
    assert again.to_json() == exact.to_json()


def test_measures_refuse_what_is_no_probability() -> None:
    with pytest.raises(UsageError, match=r"hold numbers 0…1, got .*1\.5"):
        reliability.ece(np.array([0.2, 1.5]), np.array([True, False]))
    with pytest.raises(UsageError, match="hold numbers 0…1, got"):
        reliability.brier(np.array([np.nan]), np.array([True]))
    with pytest.raises(UsageError, match=r"one entry per unit, as `right` has \(2,\)"):
        reliability.measure(np.array([0.2]), np.array([True, False]))
    with pytest.raises(UsageError, match="one entry per unit"):
        reliability.measure(np.array([]), np.array([], bool))
