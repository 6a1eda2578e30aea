"""Compiled loops, threads, and matrix products."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from neuronym._core import devices
from neuronym._core.numerics import compiled
from neuronym.similarity.blocks import on_threads

needs_numba = pytest.mark.skipif(not compiled.available(), reason="numba is not installed")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("shape", [(37, 65, 64), (1, 1, 1), (5, 1, 513), (0, 3, 7)], ids=str)
def test_product(onednn, shape, monkeypatch):
    if onednn and not devices.onednn():
        pytest.skip("this processor or torch goes without")
    monkeypatch.setattr(devices, "onednn", lambda: onednn)
    rng = np.random.default_rng(0)
    left, right = (
        torch.from_numpy(rng.normal(size=(n, shape[2])).astype(np.float32)) for n in shape[:2]
    )
    expected = left.double() @ right.double().T
    for a, b in ((left, right), (left.T.contiguous().T, right.T.contiguous().T)):
        found = devices.product(a, b)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=2e-5)


def test_a_torch_without_onednn(monkeypatch):
    def missing(left, right):
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")

    monkeypatch.setattr(devices, "_by_onednn", missing)
    devices.onednn.cache_clear()
    try:
        assert not devices.onednn()
        assert devices.product(torch.ones(2, 3), torch.ones(4, 3)).tolist() == [[3.0] * 4] * 2
    finally:
        devices.onednn.cache_clear()


def test_full_precision_for_a_while():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.raises(KeyError), devices.full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
            raise KeyError
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


@needs_numba
def test_nowhere_to_keep_compiled_functions(monkeypatch):
    import numba

    asked, njit = [], numba.njit

    def refusing(*functions, **options):
        asked.append(options.pop("cache", False))
        if asked[-1]:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*functions, **options)

    monkeypatch.setattr(numba, "njit", refusing)

    @compiled.compiled("reassoc")
    def double(x):
        return 2 * x

    assert asked == [True, False]
    assert double(21) == 42


@needs_numba
@pytest.mark.parametrize("count", [1, 7, 8, 9, 100, 1000])
@pytest.mark.parametrize(
    ("weight", "p", "base", "careful"),
    [
        (499.0, 1.0, 1, False),
        (499.0, 1e-7, 1, False),
        (4096.0, 1.0, 0, False),
        (4096.0, 1e-7, 0, False),
        (499.0, 5e34, 1, True),
        (1e6, 1e-12, 0, True),
    ],
)
def test_products_at_the_ends_of_the_range(count, weight, p, base, careful):
    from neuronym.similarity.kernels import wpmi_compiled

    panel = np.full((3, wpmi_compiled.LANES), p, np.float32)
    sets, found = np.full((2, count), 1, np.int32), np.empty((2, wpmi_compiled.LANES))
    weights = np.full(count, weight, np.float32)
    wpmi_compiled.log_products(panel, sets, weights, np.float32(base), careful, found)
    expected = count * np.log(base + weight * float(np.float32(p)))
    assert np.abs(found - expected).max() < 2e-7 * count + 3e-7


@needs_numba
def test_exponentials_and_the_highest_of_them():
    from neuronym.similarity.kernels import wpmi_compiled

    cosines = np.linspace(-9, 9, 7 * 37, dtype=np.float32).reshape(7, 37)
    logs = np.linspace(-1, 1, 7, dtype=np.float32)
    tiles = np.full((3, 9, 16), np.nan, np.float32)
    highest = wpmi_compiled.fill_tiles(cosines, np.float32(3), logs, 2, tiles, np.float32(0.5))
    expected = np.exp(3.0 * cosines - logs[:, None].astype(np.float64))
    found = tiles[:, 2:].transpose(1, 0, 2).reshape(7, 48)
    np.testing.assert_allclose(found[:, :37], expected + 0.5, rtol=3e-6)
    assert (found[:, 37:] == 1).all()
    assert highest == pytest.approx(expected.max(), rel=3e-6)
    assert np.isnan(tiles[:, :2]).all()
    far = wpmi_compiled.fill_tiles(cosines, np.float32(1e4), logs, 0, tiles, np.float32(0))
    assert far == pytest.approx(np.exp(80), rel=1e-5)


def test_threads_share_one_series(two_threads):
    taken, finished, meet = [], [], threading.Barrier(2)

    def work(items):
        meet.wait(timeout=20)  # both threads work, not one twice
        assert torch.get_num_threads() == 1
        taken.extend(items)

    on_threads(work, iter(range(23)), finished.append)
    assert sorted(taken) == sorted(finished) == list(range(23))
    assert torch.get_num_threads() == 2


def test_an_error_stops_all_threads(two_threads):
    taken = []

    def work(items):
        for item in items:
            taken.append(item)
            if item == 3:
                raise ValueError("the third")

    def endless():
        item = 0
        while True:
            yield item
            item += 1

    with pytest.raises(ValueError, match="the third"):
        on_threads(work, endless())
    assert torch.get_num_threads() == 2
    on_threads(lambda items: taken.extend(items), [-1])
    assert taken[-1] == -1
