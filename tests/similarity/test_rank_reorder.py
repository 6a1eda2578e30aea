"""rank-reorder: both ways of adding up the errors, exact ties, wide ranks, few images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neuronym._core import progress
from neuronym._core.numerics import compiled
from neuronym.labelling.base import open_labeller
from neuronym.similarity import blocks, rank_reorder
from neuronym.similarity.blocks import Limits
from neuronym.similarity.rank_reorder import RankReorder
from replicas import replica

compiled_only = pytest.mark.skipif(not compiled.available(), reason="numba is not there")


@pytest.fixture(params=["compiled", "numpy"])
def way(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(compiled, "available", lambda: False)
    elif not compiled.available():
        pytest.skip("numba is not there")
    return request.param


def unit_rows(rng, count, dim):
    rows = rng.normal(size=(count, dim)) + 0.3
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def slow_errors(ranks, places, heights, p):
    """mean |Δ|^p by sorting, one pair at a time, in float64."""
    found = np.empty((len(places), len(ranks)))
    for unit, own in enumerate(places):
        ladder = np.sort(heights[unit])
        for text, row in enumerate(ranks):
            given = np.empty(len(own))
            given[np.argsort(row[own])] = ladder
            found[unit, text] = (np.abs(given - heights[unit]) ** p).mean()
    return found


def ladders(rng, units, images, n):
    places = np.stack([rng.choice(images, n, replace=False) for _ in range(units)])
    heights = -np.sort(-rng.random((units, n)), axis=1)
    return places, heights


@pytest.mark.parametrize("p", [1, 2, 3, 0.1, 1.5, 4, 10])
@pytest.mark.parametrize("n", [2, 3, 17, 64, 65])
def test_errors_for_every_power(p, n, way):
    rng = np.random.default_rng(n)
    ranks = np.argsort(rng.random((11, 101)), axis=1).astype(np.uint16)
    places, heights = ladders(rng, 19, 101, n)
    found = rank_reorder.errors(ranks, places, heights, p)
    np.testing.assert_allclose(found, slow_errors(ranks, places, heights, p), rtol=3e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("images", "n"),
    [(65_536, 300), (65_537, 300), (65_536, 65_536), (70_001, 40_000)],
    ids=["16 bits", "17 bits", "16 + 16 bits", "17 + 16 bits"],
)
def test_ranks_and_keys_of_any_width(images, n, way):
    rng = np.random.default_rng(7)
    cosines = rng.normal(size=(3, images)).astype(np.float32)
    ranks = rank_reorder.ranks(cosines, np.arange(images))
    assert ranks.dtype == (np.uint16 if images <= 65_536 else np.uint32)
    order = np.argsort(cosines, axis=1, kind="stable")
    np.testing.assert_array_equal(ranks, np.argsort(order, axis=1))
    places, heights = ladders(rng, 2, images, n)
    found = rank_reorder.errors(ranks, places, heights, 3)
    np.testing.assert_allclose(found, slow_errors(ranks, places, heights, 3), rtol=3e-6)


def test_equal_cosines_go_by_column():
    cosines = np.array([[0.5, -0.25, 0.0, -0.0], [0, 0, 0, 0], [-1, -2, -1, -3]], np.float32)
    member = np.array([2, 0, 3, 1, 0])
    assert rank_reorder.ranks(cosines, member).tolist() == [
        [1, 3, 2, 0, 4],
        [0, 1, 2, 3, 4],
        [2, 3, 0, 1, 4],
    ]


def test_equal_embeddings_share_a_column():
    rows = np.array([[3, 1], [0, 2], [3, 1], [-0.0, 2], [5, 5], [3, 1]], np.float32)
    used = np.array([1, 2, 3, 5])
    distinct, member = rank_reorder.distinct_images(rows, used)
    assert distinct.tolist() == [1, 2]
    assert member.tolist() == [0, 1, 0, 1]


def test_repeated_images_tie_exactly(way):
    """31 pictures among 509 images: what the tie decides is the same wherever the copies stand."""
    rng = np.random.default_rng(3)
    which, tie = rng.integers(0, 31, 509), rng.permutation(509)
    images, texts = unit_rows(rng, 31, 97)[which], unit_rows(rng, 13, 97)
    activations = rng.normal(size=(509, 3)).astype(np.float32)
    params = {"top_fraction": 0.4}
    similarity = RankReorder(**params)
    found = similarity.scores(activations, images, texts, tie=tie)
    expected = replica("rank-reorder", activations, images, texts, tie, **params)
    np.testing.assert_allclose(found, expected, rtol=2e-5)


@compiled_only
def test_same_bits_for_any_threads_and_blocks(monkeypatch):
    rng = np.random.default_rng(5)
    ranks = np.argsort(rng.random((103, 211)), axis=1).astype(np.uint16)
    places, heights = ladders(rng, 29, 211, 23)
    expected = rank_reorder.errors(ranks, places, heights, 3)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            for limits in (Limits(), Limits(chunk=1), Limits(chunk=100)):
                monkeypatch.setattr(blocks, "LIMITS", limits)
                found = rank_reorder.errors(ranks, places, heights, 3)
                np.testing.assert_array_equal(found, expected)
    finally:
        torch.set_num_threads(before)


@compiled_only
def test_without_numba_the_labels_are_the_same(monkeypatch):
    rng = np.random.default_rng(6)
    activations, images = rng.normal(size=(307, 23)), unit_rows(rng, 307, 16)
    texts, tie = unit_rows(rng, 61, 16), rng.permutation(307)
    fast = RankReorder().top(activations, images, texts, 7, tie=tie)
    monkeypatch.setattr(compiled, "available", lambda: False)
    plain = RankReorder().top(activations, images, texts, 7, tie=tie)
    assert (fast.backend, plain.backend) == ("compiled", "numpy")
    np.testing.assert_array_equal(fast.concepts, plain.concepts)
    np.testing.assert_allclose(fast.scores, plain.scores, rtol=1e-6)


def test_note_where_few_images_decide(small_atlas_material):
    similarity = RankReorder()
    assert [bool(similarity.note(images)) for images in (39, 40, 199, 200)] == [
        False,
        True,
        True,
        False,
    ]
    assert "the order of only 3 images per neuron (top_fraction 0.05 of 79)" in similarity.note(79)
    labels = open_labeller("clip-dissect:rank-reorder,top_fraction=0.2").label(
        small_atlas_material, ["a"], 3
    )
    assert "the order of only 4 images" in labels.facts["note"]
    others = open_labeller("clip-dissect:cos").label(small_atlas_material, ["a"], 3)
    assert "note" not in others.facts


@pytest.fixture
def small_atlas_material():
    """What `ClipDissect.label` asks of its material, for 23 images."""
    rng = np.random.default_rng(9)

    class LabelContext:
        image_embeddings, text_embeddings = unit_rows(rng, 23, 8), unit_rows(rng, 11, 8)
        logit_scale, count, device, tie = 10.0, 23, None, np.arange(23)
        words = tuple("abcdefghijk")

        @staticmethod
        def progress(description, total):
            return progress.silent(description, total)

        @staticmethod
        def activations(layer):
            return rng.normal(size=(23, 5)).astype(np.float32)

    return LabelContext()
