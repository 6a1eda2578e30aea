"""Scores under resampled image sets against the formula in float64."""

from __future__ import annotations

import numpy as np
import pytest
from test_wpmi import backend  # noqa: F401

from neuronym._core.errors import UsageError
from neuronym._core.numerics import compiled
from neuronym.similarity import blocks
from neuronym.similarity.base import SIMILARITIES
from neuronym.similarity.blocks import Limits
from neuronym.similarity.wpmi import SoftWpmi
from wpmi_replica import evidence, highest, log_normalisers, probabilities, world


@pytest.fixture
def case():
    """Image sets with repetition, candidates, and a unit, a resample, a candidate less."""
    images, texts, (activations,) = world("cone", 211, 61, (5,))
    rng = np.random.default_rng(1)
    order = highest(activations, 211)
    sets = np.empty((5, 7, 12), np.int32)
    for resample in range(7):
        times = rng.poisson(1, 211)  # how often a bootstrap of the probe holds each image
        for unit in range(5):
            sets[unit, resample] = np.repeat(order[unit], times[order[unit]])[:12]
    candidates = np.stack([rng.permutation(61)[:23] for _ in range(5)])
    assert len(set(sets[0, 0])) < 12
    sets[3], candidates[3] = -1, -1
    sets[1, 4], candidates[1, [0, 8]] = -1, -1
    return images, texts, activations, sets, candidates


@pytest.mark.parametrize(
    "limits", [Limits(), Limits(3, 3, 60, 40, rows=2, span=16)], ids=["usual", "small"]
)
@pytest.mark.parametrize("prior", ["layer", "probe"])
@pytest.mark.parametrize("kind", ["soft-wpmi", "wpmi"])
def test_replica(case, backend, kind, prior, limits, monkeypatch):  # noqa: F811
    monkeypatch.setattr(blocks, "LIMITS", limits)
    images, texts, activations, sets, candidates = case
    similarity = SIMILARITIES[kind].make(top_k=12, a=20.0, prior=prior)
    arrays = similarity.top(activations, images, texts).arrays
    given = arrays["log_normalisers"], arrays["log_prior"]
    found = similarity.resample(sets, candidates, images, texts, *given)
    assert found.shape == (5, 7, 23)
    assert found.dtype == np.float32
    p = probabilities(images, texts, 20.0, log_normalisers(images, texts, 20.0))
    for unit in range(5):
        for resample in range(7):
            for place, text in enumerate(candidates[unit]):
                own = sets[unit, resample]
                if text < 0 or own[0] < 0:
                    assert np.isnan(found[unit, resample, place])
                    continue
                value = evidence(similarity, p[own][:, text][None, :, None])[0, 0]
                value -= similarity.lam * arrays["log_prior"][text]
                assert abs(found[unit, resample, place] - value) < 1e-4


def test_the_full_sample_gets_the_scores_of_top(case, backend):  # noqa: F811
    images, texts, activations, _, _ = case
    similarity = SoftWpmi(top_k=12, a=10)
    top = similarity.top(activations, images, texts, 9)
    sets = top.arrays["indices"][:, None]
    given = top.arrays["log_normalisers"], top.arrays["log_prior"]
    found = similarity.resample(sets, top.concepts, images, texts, *given)
    np.testing.assert_allclose(found[:, 0], top.scores, atol=5e-6)
    parts = [
        similarity.resample(sets[some], top.concepts[some], images, texts, *given)
        for some in (slice(0, 2), slice(2, 5))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), found)


def test_both_engines_agree(case, monkeypatch):
    images, texts, _, sets, candidates = case
    similarity = SoftWpmi(top_k=12, a=10)
    given = log_normalisers(images, texts, 10), np.linspace(-60, -40, 61)
    first = similarity.resample(sets, candidates, images, texts, *given)
    monkeypatch.setattr(compiled, "available", lambda: False)
    second = similarity.resample(sets, candidates, images, texts, *given)
    np.testing.assert_allclose(first, second, atol=2e-5)


def test_what_does_not_fit(case):
    images, texts, _, sets, candidates = case
    similarity = SoftWpmi(top_k=12, a=10)
    logs, prior = np.zeros(211), np.zeros(61)

    def resample(sets=sets, candidates=candidates, logs=logs, prior=prior):
        return similarity.resample(sets, candidates, images, texts, logs, prior)

    with pytest.raises(UsageError, match="`candidates` to have 5 entries, got 4"):
        resample(candidates=candidates[:4])
    with pytest.raises(UsageError, match="`log_prior` to have 61 entries, got 60"):
        resample(prior=prior[:60])
    with pytest.raises(UsageError, match="`log_normalisers` to have 211 entries, got 61"):
        resample(logs=prior)
    with pytest.raises(UsageError, match="`candidates` to hold numbers 0…60, or −1, got 61"):
        resample(candidates=np.where(candidates == candidates[0, 0], 61, candidates))
    with pytest.raises(UsageError, match="`sets` to hold numbers 0…210, or −1, got -2"):
        resample(sets=np.minimum(sets, -2))
    broken = sets.copy()
    broken[0, 0, 5] = -1
    with pytest.raises(UsageError, match="`sets` to hold −1 in the first place"):
        resample(sets=broken)
