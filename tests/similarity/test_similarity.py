"""Every similarity against its slow replica, over ugly inputs and every block size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuronym.similarity import blocks
from neuronym.similarity.base import SIMILARITIES, open_similarity
from neuronym.similarity.blocks import Limits
from replicas import replica, top_n

MAX = np.finfo(np.float32).max
SPECS = [
    ("soft-wpmi", {"top_k": 4, "a": 10.0}),
    ("soft-wpmi", {"top_k": 5, "a": 30.0, "prior": "probe"}),
    ("soft-wpmi", {"top_k": 13, "a": 3.0, "lam": 0.5, "min_prob": 1e-4}),
    ("wpmi", {"top_k": 4, "a": 2.0}),
    ("wpmi", {"top_k": 6, "a": 50.0, "prior": "probe", "lam": 1.0}),
    ("cos", {}),
    ("cos-cubed", {}),
    ("cos-cubed", {"min_norm": 1e-9}),
    ("rank-reorder", {"top_fraction": 0.4}),
    ("rank-reorder", {"top_fraction": 0.29, "p": 1.5, "scale_p": 1.0, "seed": 3}),
    ("rank-reorder", {"top_fraction": 1.0, "p": 1.0, "scale_p": 0.0}),
]
SMALLEST = Limits(1, 1, 1, 1, 1, 1)
LIMITS = [Limits(), Limits(3, 3, 60, 40, 2, 16)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Hundreds of tiny problems: waking a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def unit_rows(rng, count, dim):
    rows = rng.normal(size=(count, dim)) + 0.3
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def case(name):
    """Activations, images, texts, tie; all sizes different."""
    rng = np.random.default_rng(sum(map(ord, name)))
    sizes = {
        "one image": (1, 5, 11),
        "two images": (2, 5, 11),
        "one concept": (31, 5, 1),
        "one unit": (31, 1, 11),
        "many": (101, 13, 29),
    }
    images, units, concepts = sizes.get(name, (31, 5, 11))
    activations = rng.normal(size=(images, units)).astype(np.float32)
    embeddings, texts = unit_rows(rng, images, 8), unit_rows(rng, concepts, 8)
    tie = rng.permutation(images)
    if name == "ties":
        activations = rng.integers(0, 4, activations.shape).astype(np.float32)
    elif name == "sparse":
        activations = np.maximum(activations - np.linspace(0, 2.5, units, dtype=np.float32), 0)
    elif name == "broken units":
        activations[:, 0] = 0.25
        activations[3, 1] = np.nan
        activations[7, 2], activations[8, 2] = np.inf, -np.inf
    elif name == "all broken":
        activations[:] = np.nan
    elif name == "one living":
        activations[:, 1:] = 3
    elif name == "negative":
        activations = -np.abs(activations) - 1
    elif name == "largest":
        activations = np.where(activations > 0, MAX, -MAX) * rng.random(activations.shape)
        activations = activations.astype(np.float32)
    elif name == "smallest":
        activations = (activations * 1e-38).astype(np.float32)
    elif name == "twin concepts":
        texts[[4, 9]] = texts[1]
        texts[6] = texts[2]
    elif name == "twin images":
        embeddings[11:17] = embeddings[3]
        activations[11:14] = activations[3]
    elif name == "zero vectors":
        texts[5] = 0
        embeddings[4] = 0
    elif name == "all zero":
        texts[:], embeddings[:] = 0, 0
    return activations, embeddings, texts, tie


CASES = [
    "plain",
    "many",
    "one image",
    "two images",
    "one concept",
    "one unit",
    "ties",
    "sparse",
    "broken units",
    "all broken",
    "one living",
    "negative",
    "largest",
    "smallest",
    "twin concepts",
    "twin images",
    "zero vectors",
    "all zero",
]


def fitted(params, images):
    return params | ({"top_k": min(params["top_k"], images)} if "top_k" in params else {})


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("kind", "params"), SPECS, ids=lambda v: v if isinstance(v, str) else "")
def test_replica(name, kind, params, monkeypatch):
    activations, images, texts, tie = case(name)
    params = fitted(params, len(images))
    similarity = SIMILARITIES[kind].make(**params)
    expected = replica(kind, activations, images, texts, tie, **params)
    active = ~np.isnan(expected[:, 0])
    for limits in [*LIMITS, SMALLEST] if name in ("ties", "twin concepts") else LIMITS:
        monkeypatch.setattr(blocks, "LIMITS", limits)
        scores = similarity.scores(activations, images, texts, tie=tie)
        assert scores.dtype == np.float32
        # mean P may be clamped at 1e-6, which makes rank-reorder's scores large: hence relative.
        np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=5e-5)
        for n in (3, 20):
            top = similarity.top(activations, images, texts, n, tie=tie)
            assert top.concepts.shape == top.scores.shape == (len(active), min(n, len(texts)))
            np.testing.assert_array_equal([r is None for r in top.reasons], active)
            np.testing.assert_array_equal(top.concepts, top_n(scores, n))
            for unit in np.flatnonzero(active):
                np.testing.assert_array_equal(top.scores[unit], scores[unit, top.concepts[unit]])
            assert np.isnan(top.scores[~active]).all()


@pytest.mark.parametrize(("kind", "params"), SPECS, ids=lambda v: v if isinstance(v, str) else "")
def test_top_k_of_all_images(kind, params):
    activations, images, texts, tie = case("plain")
    params = params | ({"top_k": len(images)} if "top_k" in params else {})
    similarity = SIMILARITIES[kind].make(**params)
    expected = replica(kind, activations, images, texts, tie, **params)
    assert not np.isnan(expected).any()
    found = similarity.scores(activations, images, texts, tie=tie)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-4)


@st.composite
def permuted(draw):
    seed = draw(st.integers(0, 10**6))
    return seed, draw(st.sampled_from(SPECS)), draw(st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(permuted())
def test_image_order_changes_nothing(drawn):
    seed, (kind, params), levels = drawn
    rng = np.random.default_rng(seed)
    activations = rng.integers(0, levels + 1, (29, 6)).astype(np.float32)  # heavily tied
    images, texts, tie = unit_rows(rng, 29, 7), unit_rows(rng, 13, 7), rng.permutation(29)
    similarity = SIMILARITIES[kind].make(**params)
    first = similarity.scores(activations, images, texts, tie=tie)
    order = rng.permutation(29)
    second = similarity.scores(activations[order], images[order], texts, tie=tie[order])
    np.testing.assert_allclose(second, first, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("entry", list(SIMILARITIES), ids=lambda entry: entry.name)
def test_planted_concept_comes_first(entry):
    rng = np.random.default_rng(5)
    images, texts = unit_rows(rng, 401, 24), unit_rows(rng, 19, 24)
    planted = [7, 0, 18, 3, 11]
    activations = images @ texts[planted].T
    similarity = open_similarity(entry.name).with_defaults(images=401, logit_scale=10)
    top = similarity.top(activations, images, texts, 4)
    assert top.concepts[:, 0].tolist() == planted
    assert top.reasons == (None,) * 5


@pytest.mark.parametrize("entry", list(SIMILARITIES), ids=lambda entry: entry.name)
def test_rows_of_every_kind(entry, tmp_path):
    activations, images, texts, tie = case("plain")
    similarity = open_similarity(entry.name).with_defaults(images=31, logit_scale=10)
    if entry.name == "rank-reorder":
        similarity = open_similarity("rank-reorder:top_fraction=0.3")
    expected = similarity.scores(activations, images, texts, tie=tie)

    class Shards:
        """Nothing but `shape` and slices."""

        def __init__(self, whole):
            self.whole, self.shape = whole, whole.shape

        def __getitem__(self, rows):
            assert isinstance(rows, slice)
            return self.whole[rows].copy()

    def frozen(array):
        path = tmp_path / f"{array.shape}"
        array.tofile(path)
        return np.memmap(path, np.float32, "r", shape=array.shape)

    for wrap in (Shards, frozen, torch.from_numpy):
        found = similarity.scores(wrap(activations), wrap(images), wrap(texts), tie=tie)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("prior", ["layer", "probe"])
@pytest.mark.parametrize("kind", ["soft-wpmi", "wpmi"])
def test_realistic_size_within_1e_4(kind, prior):
    rng = np.random.default_rng(8)
    images, texts = unit_rows(rng, 1200, 64), unit_rows(rng, 2500, 64)
    activations = (images @ unit_rows(rng, 40, 64).T + rng.normal(0, 0.05, (1200, 40))).astype(
        np.float32
    )
    # float32 products err by about 1e-7, times a: 40 and 8 are four times what suits CLIP.
    soft = kind == "soft-wpmi"
    params = {"top_k": 100 if soft else 28, "a": 40.0 if soft else 8.0, "prior": prior}
    similarity = SIMILARITIES[kind].make(**params)
    found = similarity.scores(activations, images, texts)
    logits = params["a"] * (images.astype(np.float64) @ texts.T.astype(np.float64))
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    k = params["top_k"]
    member = (0.998 - 0.028 * np.arange(k) / k)[:, None]

    def evidence(rows):
        if kind == "wpmi":
            return np.log(rows + 1e-7).sum(0)
        return np.log(1 + member * (rows - 1) + 1e-7).sum(0)

    order = np.argsort(-activations, axis=0)[:k]
    first = np.stack([evidence(p[order[:, unit]]) for unit in range(40)])
    if prior == "layer":
        log_prior = np.log(np.exp(first - first.max(0)).mean(0)) + first.max(0)
    else:
        log_prior = evidence(np.broadcast_to(p.mean(0), (k, 2500)))
    expected = first - similarity.lam * log_prior
    assert np.abs(found - expected).max() < 1e-4
    shared = similarity.shared(images, texts)
    again = similarity.top(activations, images, texts, 5, shared=shared)
    np.testing.assert_array_equal(again.concepts, np.argsort(-found, axis=1, kind="stable")[:, :5])


@pytest.mark.parametrize("prior", ["layer", "probe"])
@pytest.mark.parametrize("kind", ["soft-wpmi", "wpmi"])
def test_new_words(kind, prior):
    activations, images, texts, tie = case("broken units")
    similarity = SIMILARITIES[kind].make(top_k=4, a=10.0, prior=prior)
    scores = similarity.scores(activations, images, texts, tie=tie)
    top = similarity.top(activations, images, texts, 3, tie=tie)
    assert top.arrays["indices"].dtype == np.int32
    assert top.arrays["indices"][0].tolist() == [-1] * 4
    assert top.arrays["log_normalisers"].shape == (31,)
    words = np.concatenate([texts[[9, 2, 9]], unit_rows(np.random.default_rng(9), 4, 8)])
    found = similarity.score_words(top.arrays, images, words)
    assert found.shape == (5, 7)
    np.testing.assert_allclose(found[:, :3], scores[:, [9, 2, 9]], atol=2e-5)
    # Which words are asked for together changes nothing.
    np.testing.assert_allclose(
        similarity.score_words(top.arrays, images, words[5:6])[:, 0], found[:, 5], atol=2e-5
    )
    assert np.isfinite(found[3:]).all()


def test_memory_does_not_grow_with_the_images(monkeypatch):
    """No block that is read or made is larger than the limit, at any number of images."""
    monkeypatch.setattr(blocks, "LIMITS", Limits(64, 16, 2048, 512))
    rng = np.random.default_rng(4)
    seen = []

    class Watched:
        def __init__(self, whole):
            self.whole, self.shape = whole, whole.shape

        def __getitem__(self, rows):
            block = self.whole[rows]
            seen.append(block.size)
            return block

    activations, images = rng.normal(size=(900, 12)), unit_rows(rng, 900, 10)
    for entry in SIMILARITIES:
        similarity = open_similarity(entry.name).with_defaults(images=900, logit_scale=10)
        similarity.top(Watched(activations), Watched(images), unit_rows(rng, 33, 10), 5)
    assert max(seen) <= 2048
