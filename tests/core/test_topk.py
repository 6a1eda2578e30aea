"""Streaming top-k and unit statistics: exact for any batch, shard and image order."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuronym._core.errors import UsageError
from neuronym._core.numerics import topk as topk_module
from neuronym._core.numerics.topk import TopK, UnitStats, abstentions, topk

MAX = float(np.finfo(np.float32).max)
VALUES = st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 2.5, -7.0, 1e-45, -1e-45, MAX, -MAX, np.inf, -np.inf, np.nan]
)


def slow(values, k, tie):
    """Indices by sorting tuples: value descending, tie ascending, NaN out, −1 in empty places."""
    out = []
    for column in values.T:
        order = sorted(
            (i for i in range(len(column)) if not np.isnan(column[i])),
            key=lambda i: (-float(column[i]), tie[i]),
        )[:k]
        out.append(order + [-1] * (k - len(order)))
    return np.array(out)


@st.composite
def problems(draw):
    images, units = draw(st.integers(1, 23)), draw(st.integers(1, 4))
    cells = draw(st.lists(VALUES, min_size=images * units, max_size=images * units))
    values = np.array(cells, np.float32).reshape(images, units)
    tie = np.array(draw(st.permutations(range(images))))
    order = np.array(draw(st.permutations(range(images))))
    cuts = draw(st.lists(st.integers(0, images), max_size=4))
    return values, tie, order, sorted(cuts), draw(st.integers(1, 9))


@settings(max_examples=250, deadline=None)
@given(problems())
def test_any_batches_shards_and_order(problem):
    values, tie, order, cuts, k = problem
    expected = slow(values, k, tie)
    shards = []
    for part in np.split(order, cuts):
        shard = TopK(values.shape[1], k)
        for batch in (part[:2], part[2:]):
            shard.update(values[batch], batch, tie[batch])
        shards.append(shard)
    while len(shards) > 1:
        shards[0].merge(shards.pop())
    got = shards[0].result()
    np.testing.assert_array_equal(got.indices, expected)
    for unit, row in enumerate(expected):
        want = [values[i, unit] if i >= 0 else -np.inf for i in row]
        np.testing.assert_array_equal(got.values[unit], np.array(want, np.float32))
    whole = topk(values, k, tie, block=3)
    np.testing.assert_array_equal(whole.indices, expected)


def test_always_negative_unit_gets_its_own_images():
    values = np.array([[-5.0], [-2.0], [-9.0]], np.float32)
    found = topk(values, 5)
    assert found.indices.tolist() == [[1, 0, 2, -1, -1]]
    assert found.values.tolist() == [[-2, -5, -9, -np.inf, -np.inf]]


def test_many_ties_at_the_boundary():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, (701, 13)).astype(np.float32)
    tie = rng.permutation(701)
    for block in (1, 50, 701):
        np.testing.assert_array_equal(
            topk(values, 17, tie, block=block).indices, slow(values, 17, tie)
        )


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("block", [211, 997, 3001])
def test_large_batches(threads, block, monkeypatch):
    """Batches in which some units have far more candidates than places, on several threads."""
    rng = np.random.default_rng(block)
    values = rng.normal(size=(3001, 17)).astype(np.float32)
    values[:, 1] = np.sort(values[:, 1])  # every batch brings better images
    values[:, 2] = -np.abs(values[:, 2]) - 1
    values[:, 3] = np.maximum(values[:, 3] - 2.5, 0)  # ties at 0 fill most places
    values[:, 4] = -np.inf
    values[:, 5] = np.nan
    values[::3, 6] = np.nan
    values[1::3, 6] = -np.inf  # places for all of these and more
    values[:, 7] = np.where(rng.random(3001) < 0.5, -0.0, 0.0)
    values[5:, 8] = np.nan
    values[:, 9] = np.inf
    tie = rng.permutation(3001)
    monkeypatch.setattr(topk_module, "_PART_VALUES", 1000)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for k in (1, 29, 2500):
            found = topk(values, k, tie, block=block)
            np.testing.assert_array_equal(found.indices, slow(values, k, tie))
            shown = np.take_along_axis(values.T, np.maximum(found.indices, 0), 1)
            shown[found.indices < 0] = -np.inf
            np.testing.assert_array_equal(found.values, shown)
    finally:
        torch.set_num_threads(before)


def test_memory_does_not_grow_with_the_images():
    rng = np.random.default_rng(4)
    block = rng.normal(size=(256, 301)).astype(np.float32)

    class Endless:
        """The same block again and again, with its number added."""

        def __init__(self, images):
            self.shape = (images, 301)

        def __getitem__(self, rows):
            return block[: rows.stop - rows.start] + np.float32(rows.start % 77)

    def peak(images):
        tracemalloc.start()
        topk(Endless(images), 20, block=256, stats=UnitStats(301))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(512)
    # The order of ties is the one thing that belongs to every image.
    assert peak(256 * 80) - 8 * 256 * 80 < 1.1 * (peak(256 * 8) - 8 * 256 * 8)


def test_reads_tensors_memmaps_and_blocks(tmp_path):
    values = np.random.default_rng(2).normal(size=(37, 5)).astype(np.float32)
    stored = np.memmap(tmp_path / "a", np.float32, "w+", shape=values.shape)
    stored[:] = values
    stored.flush()
    frozen = np.memmap(tmp_path / "a", np.float32, "r", shape=values.shape)
    expected = topk(values, 6)
    for rows in (torch.from_numpy(values), frozen, torch.from_numpy(values).requires_grad_()):
        found = topk(rows, 6, block=8)
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.values, expected.values)


def test_wrong_shapes():
    best = TopK(3, 2)
    with pytest.raises(UsageError, match=r"`values` to have shape \[n, 3\], got \(4, 5\)"):
        best.update(np.zeros((4, 5)), np.arange(4), np.arange(4))
    with pytest.raises(UsageError, match="4 entries, got 2"):
        best.update(np.zeros((4, 3)), np.arange(2), np.arange(4))
    with pytest.raises(UsageError, match="3 units, got 2"):
        best.merge(TopK(2, 2))
    with pytest.raises(UsageError, match=r"`tie` to have one place for each of the 5 images"):
        topk(np.zeros((5, 2)), 3, tie=np.arange(4))
    with pytest.raises(UsageError, match="`k` to be a whole number of at least 1, got 0"):
        TopK(3, 0)


@settings(max_examples=200, deadline=None)
@given(problems())
def test_statistics_of_any_shards(problem):
    values, _, order, cuts, _ = problem
    units = values.shape[1]
    shards = [UnitStats(units) for _ in range(len(cuts) + 1)]
    for shard, part in zip(shards, np.split(order, cuts), strict=True):
        shard.update(values[part])
    while len(shards) > 1:
        shards[0].merge(shards.pop())
    got = shards[0]
    for unit in range(units):
        fine = [float(v) for v in values[:, unit] if np.isfinite(v)]
        assert got.nonfinite[unit] == len(values) - len(fine)
        assert got.positive[unit] == sum(v > 0 for v in fine)
        assert got.above_minimum[unit] == sum(v > min(fine) for v in fine)
        if fine:
            assert (got.minimum[unit], got.maximum[unit]) == (min(fine), max(fine))
            np.testing.assert_allclose(got.mean[unit], np.mean(fine), rtol=1e-12, atol=MAX * 1e-14)
            np.testing.assert_allclose(got.std[unit], np.std(fine), rtol=1e-6, atol=MAX * 1e-14)
        else:
            assert np.isnan(got.minimum[unit])


def test_mean_and_std_without_cancellation():
    values = (1e6 + np.random.default_rng(3).normal(size=(997, 3))).astype(np.float32)
    stats = UnitStats(3)
    for block in np.array_split(values, 41):
        stats.update(block)
    np.testing.assert_allclose(stats.mean, values.astype(np.float64).mean(0), rtol=1e-14)
    np.testing.assert_allclose(stats.std, values.astype(np.float64).std(0), rtol=1e-9)
    assert stats.fraction_positive.tolist() == [1, 1, 1]


def test_counts_beyond_a_byte():
    values = np.zeros((1009, 3), np.float32)
    values[:, 1] = 5
    values[700:, 2] = 1
    stats = UnitStats(3)
    stats.update(values)
    assert stats.at_minimum.tolist() == [1009, 1009, 700]
    assert stats.positive.tolist() == [0, 1009, 309]


def test_reasons():
    stats = UnitStats(5)
    rows = [[1, 0, 3, np.nan, 0], [1, 2, 4, np.inf, 1], [1, 0, 5, 0, 2], [1, 0, 3, 1, 3]]
    stats.update(np.array(rows, np.float32))
    assert abstentions(stats, 2) == (
        "dead: the activation is the same for every image",
        "only 1 image above its minimum, 2 needed",
        None,
        "not finite for 2 images",
        None,
    )
    assert abstentions(stats, 3)[2] == "only 2 images above its minimum, 3 needed"


def test_one_image_leaves_every_unit_dead():
    stats = UnitStats(3)
    stats.update(np.array([[1.0, 2.0, -3.0]]))
    assert all("dead" in reason for reason in abstentions(stats))
