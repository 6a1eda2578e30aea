"""Rows of which only what differs from each unit's minimum is held."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neuronym._core import storage
from neuronym._core.numerics import sparse
from neuronym._core.numerics.sparse import SparseRows
from neuronym._core.numerics.topk import UnitStats, topk


def kept(dense: np.ndarray, path: Path) -> SparseRows:
    """Through a file, as an atlas keeps them."""
    fill = np.nan_to_num(dense.min(0, initial=0), nan=7).astype(np.float32)
    ends = sparse.offsets(dense, fill)
    assert ends is not None
    storage.write_array_blocks(path, sparse.blocks(dense, fill, ends), {})
    return SparseRows.of_arrays(storage.read_arrays(path)[0])


@pytest.mark.parametrize("shape", [(1, 1), (57, 13), (40, 200), (3, 0), (0, 5)])
def test_they_read_like_the_dense_array(
    tmp_path: Path, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse, "_BLOCK_VALUES", 64)
    rng = np.random.default_rng(shape[0])
    dense = np.where(rng.random(shape) < 0.1, rng.normal(size=shape), -3).astype(np.float32)
    dense[::9, : shape[1] // 9] = [np.nan]
    rows = kept(dense, tmp_path / "x.safetensors")
    assert (rows.shape, rows.dtype, len(rows)) == (dense.shape, dense.dtype, len(dense))
    some = rng.integers(0, max(1, shape[0]), 5)
    keys = [slice(None), slice(2, 30), slice(None, None, -2), slice(9, 9)]
    if dense.size:
        keys += [0, -1, some, (slice(None), 0), (slice(1, 9), slice(None, 2)), (some, 0), (0, -1)]
        keys += [(slice(None), np.array([0, -1])), (some, np.zeros(5, int)), dense[:, 0] > -3]
    for key in keys:
        np.testing.assert_array_equal(rows[key], dense[key], err_msg=str(key))
    np.testing.assert_array_equal(np.asarray(rows), dense)
    np.testing.assert_array_equal(rows < 0.5, dense < 0.5)
    if dense.size:
        one, other = (UnitStats(shape[1]) for _ in range(2))
        best = topk(rows, 4, stats=one, block=7)
        np.testing.assert_array_equal(best.indices, topk(dense, 4, stats=other).indices)
        np.testing.assert_allclose(one.to_array(), other.to_array())


def test_dense_activations_stay_dense(tmp_path: Path) -> None:
    dense = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    assert sparse.offsets(dense, dense.min(0)) is None
    dense[:, :22] = 0  # a little over a quarter is above the minimum
    assert sparse.offsets(dense, dense.min(0)) is None
    dense[:, :23] = 0
    assert sparse.offsets(dense, dense.min(0)) is not None


def test_statistics_are_held_whole() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 7)).astype(np.float32)
    values[3, 2] = np.nan
    whole, first, rest = (UnitStats(7) for _ in range(3))
    whole.update(values)
    first.update(values[:20])
    rest.update(values[20:])
    first = UnitStats.of_array(first.to_array(), 20)
    first.merge(UnitStats.of_array(rest.to_array(), 30))
    assert (first.images, first.dead.tolist()) == (50, whole.dead.tolist())
    np.testing.assert_allclose(first.to_array(), whole.to_array(), rtol=1e-12)
