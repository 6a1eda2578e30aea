"""cos and cos-cubed: error, what they read, several layers at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neuronym._core import devices
from neuronym.similarity import blocks
from neuronym.similarity.base import open_similarity
from neuronym.similarity.blocks import Limits
from neuronym.similarity.cosine import Cos, CosCubed
from neuronym.similarity.rank_reorder import RankReorder


def unit_rows(rng, count, dim, cone=0.3):
    rows = rng.normal(size=(count, dim)) + cone
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cosine(left, right, least=0.0):
    """Cosines of columns, in float64."""
    left = left / np.maximum(np.linalg.norm(left, axis=0), least)
    return left.T @ (right / np.maximum(np.linalg.norm(right, axis=0), least))


def centred_cubes(values):
    return (values - values.mean(0)) ** 3


@pytest.mark.parametrize(("cone", "offset"), [(0.0, 0.0), (0.3, 1000.0), (3.0, 1.0)])
def test_error_at_a_realistic_size(cone, offset):
    rng = np.random.default_rng(1)
    images, texts = unit_rows(rng, 2503, 96, cone), unit_rows(rng, 211, 96, cone)
    activations = (rng.gamma(2, size=(2503, 37)) + offset).astype(np.float32)
    q, p = activations.astype(np.float64), images.astype(np.float64) @ texts.T.astype(np.float64)
    found = Cos().scores(activations, images, texts)
    assert np.abs(found - cosine(q, p)).max() < 1e-7
    found = CosCubed(min_norm=1e-12).scores(activations, images, texts)
    assert np.abs(found - cosine(centred_cubes(q), centred_cubes(p), 1e-12)).max() < 5e-7


def test_cosines_that_hardly_spread():
    """Sixth powers of differences around 1e-8 are below float32's range."""
    rng = np.random.default_rng(2)
    texts = unit_rows(rng, 13, 24)
    images = np.nextafter(texts[:1], rng.choice([-9, 9], (401, 24)).astype(np.float32))
    activations = rng.gamma(2, size=(401, 7)).astype(np.float32)
    p = images.astype(np.float64) @ texts.T.astype(np.float64)
    expected = cosine(centred_cubes(activations.astype(np.float64)), centred_cubes(p), 1e-30)
    found = CosCubed(min_norm=1e-30).scores(activations, images, texts)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("library", ["usual", "torch's default"])
def test_a_user_who_trains_in_lower_precision_gets_the_same_scores(library, monkeypatch):
    if library == "torch's default":
        monkeypatch.setattr(devices, "onednn", lambda: False)
    rng = np.random.default_rng(3)
    images, texts = unit_rows(rng, 1009, 512), unit_rows(rng, 1013, 512)
    activations = rng.gamma(2, size=(1009, 11)).astype(np.float32)
    expected = CosCubed().scores(activations, images, texts)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        found = CosCubed().scores(activations, images, texts)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("name", "passes"), [("cos", 1), ("cos-cubed", 2 + 3)])
def test_how_often_activations_are_read(name, passes, monkeypatch):
    monkeypatch.setattr(blocks, "LIMITS", Limits(images=100, concepts=5, rows=40))
    rng = np.random.default_rng(4)
    seen = []

    class Watched:
        shape = (211, 7)

        def __getitem__(self, rows):
            seen.append(len(range(*rows.indices(211))))
            return rng.normal(size=(seen[-1], 7)).astype(np.float32)

    # 53 texts are three tiles of at most 4 · 5.
    open_similarity(name).top(Watched(), unit_rows(rng, 211, 8), unit_rows(rng, 53, 8), 3)
    assert sum(seen) == passes * 211


@pytest.mark.parametrize("similarity", [Cos(), CosCubed(), RankReorder(top_fraction=0.2)], ids=str)
def test_several_layers_at_once(similarity):
    rng = np.random.default_rng(5)
    images, texts, tie = unit_rows(rng, 101, 16), unit_rows(rng, 29, 16), rng.permutation(101)
    layers = [rng.normal(size=(101, width)).astype(np.float32) for width in (5, 1, 13)]
    layers[0][:, 2] = 7
    layers[2][11, 4] = np.nan
    found = similarity.top_many(
        [layers[0], torch.from_numpy(layers[1]), layers[2]], images, texts, 6, tie=tie
    )
    assert len(found) == 3
    for rows, top in zip(layers, found, strict=True):
        alone = similarity.top(rows, images, texts, 6, tie=tie)
        assert top.reasons == alone.reasons
        np.testing.assert_array_equal(top.concepts, alone.concepts)
        np.testing.assert_allclose(top.scores, alone.scores, rtol=1e-6, atol=1e-7)
    assert similarity.top_many([], images, texts) == []
