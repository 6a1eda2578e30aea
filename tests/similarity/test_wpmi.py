"""The WPMI family at sizes where float32 shows, in both engines, against float64."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from neuronym._core.errors import UsageError
from neuronym._core.numerics import compiled
from neuronym.similarity import blocks, wpmi
from neuronym.similarity.base import SIMILARITIES
from neuronym.similarity.blocks import Limits
from neuronym.similarity.kernels import wpmi_torch
from neuronym.similarity.wpmi import SoftWpmi, Wpmi
from places import FAKES, ORACLES
from wpmi_replica import (
    evidence,
    log_normalisers,
    oracle,
    probabilities,
    world,
)

HERE = os.path.dirname(__file__)

ENGINES = ["compiled", "torch"]


@pytest.fixture(params=ENGINES)
def backend(request, monkeypatch):
    """Both ways to compute; without numba only one of them can be tested."""
    if request.param == "torch":
        monkeypatch.setattr(compiled, "available", lambda: False)
    elif not compiled.available():
        pytest.skip("numba is not installed")
    return request.param


@pytest.mark.parametrize("prior", ["layer", "probe"])
@pytest.mark.parametrize(
    ("kind", "top_k", "a"),
    [
        ("soft-wpmi", 100, 10),
        ("soft-wpmi", 100, 40),
        ("soft-wpmi", 500, 40),
        ("wpmi", 28, 2),
        ("wpmi", 100, 8),
    ],
)
@pytest.mark.parametrize("name", ["random", "cone", "themed"])
def test_error_and_best_concepts(backend, name, kind, top_k, a, prior):
    images, texts, layers = world(name)
    similarity = SIMILARITIES[kind].make(top_k=top_k, a=float(a), prior=prior)
    found = similarity.top_many(layers, images, texts, 7)
    for activations, top in zip(layers, found, strict=True):
        assert top.backend == backend
        expected, log_prior = oracle(similarity, activations, images, texts)
        ranks = np.argsort(-expected, axis=1, kind="stable")
        best = np.take_along_axis(expected, top.concepts, 1)
        # With prior=probe the error of one number, the mean of p(t | x), counts top_k times.
        bound = max(1e-4, 1e-8 * top_k * a) if prior == "probe" else 1e-4
        assert np.abs(top.arrays["log_prior"] - log_prior).max() < bound
        bound += np.spacing(np.float32(np.abs(expected).max())) / 2
        assert np.abs(top.scores - best).max() < bound
        sorted_scores = np.take_along_axis(expected, ranks, 1)
        clear = sorted_scores[:, 0] - sorted_scores[:, 1] >= 1e-4
        assert clear.any() or name == "themed"  # there, log K bounds many scores at once
        np.testing.assert_array_equal(top.concepts[clear, 0], ranks[clear, 0])
        every = similarity.scores(activations, images, texts)
        error = np.abs(every - expected).max()
        assert error < bound
        if kind == "soft-wpmi" and top_k == 100:
            naive = oracle(similarity, activations, images, texts, np.float32)[0]
            assert error < np.abs(naive - expected).max() / 4


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 17, 1),
        (2, 1, 3),
        (7, 16, 5),
        (31, 17, 1),
        (61, 31, 13),
        (67, 49, 2),
        (101, 97, 6),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["soft-wpmi", "wpmi"])
@pytest.mark.parametrize("prior", ["layer", "probe"])
def test_sizes_around_the_borders_of_tiles(backend, sizes, kind, prior, monkeypatch):
    n, concepts, units = sizes
    images, texts, (activations,) = world("random", n, concepts, (units,))
    if concepts > 5:
        texts[5] = texts[3]
    similarity = SIMILARITIES[kind].make(top_k=min(n, 6), a=9.0, prior=prior, lam=0.7)
    expected = oracle(similarity, activations, images, texts)[0]
    every = [Limits(), Limits(5, 7, 300, 40, rows=11, span=32), Limits(1, 1, 1, 1, 1, 1)]
    for limits in every[: 3 if n < 40 else 2]:
        monkeypatch.setattr(blocks, "LIMITS", limits)
        scores = similarity.scores(activations, images, texts)
        top = similarity.top(activations, images, texts, 9)
        if n == 1:  # one image says the same about every unit
            assert np.isnan(scores).all()
            assert set(top.reasons) == {"dead: the activation is the same for every image"}
            continue
        np.testing.assert_allclose(scores, expected, atol=2e-5)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :9]
        np.testing.assert_array_equal(top.concepts, order)
        np.testing.assert_array_equal(top.scores, np.take_along_axis(scores, order, 1))


def test_units_of_every_kind(backend):
    images, texts, (activations,) = world("random", 83, 19, (7,))
    activations[:, 0] = np.maximum(activations[:, 0], np.sort(activations[:, 0])[-3])
    activations[4, 1], activations[5, 2] = np.nan, -np.inf
    activations[:, 3] -= 100
    activations[:, 4] = np.round(10 * activations[:, 4])
    similarity = SoftWpmi(top_k=5, a=10)
    tie = np.random.default_rng(0).permutation(83)
    top = similarity.top(activations, images, texts, 4, tie=tie)
    assert [reason is None for reason in top.reasons] == [
        False,
        False,
        False,
        True,
        True,
        True,
        True,
    ]
    assert (top.arrays["indices"][:3] == -1).all()
    for unit in (3, 4, 5, 6):
        order = np.lexsort((tie, -activations[:, unit]))
        assert top.arrays["indices"][unit].tolist() == order[:5].tolist()
    alone = similarity.scores(activations[:, 3:], images, texts, tie=tie)
    np.testing.assert_allclose(np.take_along_axis(alone, top.concepts[3:], 1), top.scores[3:])


def test_layers_that_cannot_be_labelled_change_nothing(backend):
    images, texts, (activations,) = world("random", 83, 19, (7,))
    dead = np.zeros((83, 3), np.float32)
    similarity = Wpmi(top_k=5, a=2)
    alone = similarity.top(activations, images, texts, 4)
    ticks = {}

    class Tick:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            return None

        def advance(self, steps=1, *, instant=False):
            ticks[self.name][0] += steps

    def progress(name, total):
        ticks.setdefault(name, [0, 0])[1] += total
        return Tick(name)

    many = similarity.top_many([dead, activations, dead], images, texts, 4, progress=progress)
    assert "log_prior" not in many[0].arrays
    assert set(many[2].reasons) == {"dead: the activation is the same for every image"}
    np.testing.assert_array_equal(many[1].concepts, alone.concepts)
    np.testing.assert_array_equal(many[1].scores, alone.scores)
    assert {name: done for name, (done, total) in ticks.items() if done != total} == {}
    assert set(ticks) == {"reading images", "ranking images", "scoring concepts"}
    assert similarity.top_many([], images, texts) == []
    assert np.isnan(similarity.top_many([dead], images, texts)[0].scores).all()


def bits(found):
    """All of a run's numbers as bytes."""
    shared, tops = found
    arrays = list(shared.values())
    for top in tops:
        arrays += [top.scores, top.concepts, *top.arrays.values()]
    return b"".join(array.tobytes() for array in arrays)


def score_all(prior="probe"):
    images, texts, layers = world("cone", 997, 613)
    similarity = SoftWpmi(top_k=50, a=10, prior=prior)
    shared = similarity.shared(images, texts)
    return shared, similarity.top_many(layers, images, texts, 5, shared=shared)


@pytest.fixture
def small_tiles(monkeypatch):
    """Enough tiles and blocks for five threads."""
    monkeypatch.setattr(blocks, "LIMITS", Limits(rows=64, span=32))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(not compiled.available(), reason="torch's own products may differ")
@pytest.mark.parametrize("prior", ["layer", "probe"])
def test_any_number_of_threads_gives_the_same_bits(small_tiles, prior):
    found = set()
    for threads in (1, 2, 5, 2):
        torch.set_num_threads(threads)
        found.add(bits(score_all(prior)))
        assert torch.get_num_threads() == threads
    assert len(found) == 1


def test_two_calls_at_once(backend, small_tiles):
    torch.set_num_threads(2)
    expected, found = bits(score_all()), []
    threads = [threading.Thread(target=lambda: found.append(bits(score_all()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3
    assert torch.get_num_threads() == 2


def run_python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(map(str, (ORACLES, FAKES, HERE)))}
        | environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.torture
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.skipif(not compiled.available(), reason="torch's own threads do not survive a fork")
def test_works_in_a_forked_process():
    code = """
import multiprocessing, test_wpmi as t
def work(_): return t.bits(t.score_all())
here = work(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map_async(work, range(2)).get(60) == [here, here]
"""
    run_python(code)


@pytest.mark.parametrize(
    ("begin", "environment", "expected"),
    [
        ("", {}, str(compiled.available())),
        ("", {"NUMBA_DISABLE_JIT": "1"}, "False"),
        ("sys.modules['numba'] = None", {}, "False"),
    ],
    ids=["as it is", "disabled", "missing"],
)
def test_numba_is_looked_for_when_it_is_needed(begin, environment, expected):
    code = f"""
import sys
{begin}
import neuronym.similarity.wpmi, neuronym._core.numerics.topk
from neuronym._core.numerics import compiled
loaded = sys.modules.get("numba") is not None
print(loaded, compiled.available())
"""
    assert run_python(code, **environment) == ["False", expected]


def test_the_device_decides():
    images = np.zeros((3, 2), np.float32)
    assert wpmi.device_for("cuda:1", images) == "cuda:1"
    assert wpmi.device_for(torch.device("cpu"), images) == "cpu"
    assert wpmi.device_for("mps", images) == "cpu"  # it has no float64
    assert wpmi.device_for(None, torch.from_numpy(images)) == "cpu"
    assert wpmi.backend("cuda:1") is wpmi_torch
    assert wpmi.name("cuda:1") == "torch on cuda"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("prior", ["layer", "probe"])
def test_cuda(prior):
    images, texts, layers = world("cone")
    similarity = SoftWpmi(top_k=100, a=10, prior=prior)
    here = similarity.top_many(layers, images, texts, 5, device="cpu")
    for rows, device in ((images, "cuda"), (torch.from_numpy(images).cuda(), None)):
        there = similarity.top_many(layers, rows, texts, 5, device=device)
        for one, other in zip(here, there, strict=True):
            assert other.backend == "torch on cuda"
            np.testing.assert_allclose(other.scores, one.scores, atol=1e-4)


@pytest.mark.parametrize("kind", ["soft-wpmi", "wpmi"])
def test_evidence_of_any_sets(backend, kind, monkeypatch):
    monkeypatch.setattr(blocks, "LIMITS", Limits(rows=13, span=16))
    images, texts, _ = world("themed", 97, 83, (1,))
    similarity = SIMILARITIES[kind].make(top_k=6, a=20.0)
    sets = np.random.default_rng(2).integers(0, 50, (11, 6))
    sets[3] = sets[3, 0]  # one image six times
    logs = log_normalisers(images, texts[:60], 20.0)  # the last 23 are words from outside
    expected = evidence(similarity, probabilities(images, texts, 20.0, logs)[sets])
    parts = list(similarity.evidence(sets, images, texts, logs))
    assert [low for low, _, _ in parts] == np.cumsum([0, *(v.shape[1] for _, v, _ in parts)])[
        :-1
    ].tolist()
    found = np.concatenate([values.double().numpy() + constant for _, values, constant in parts], 1)
    assert found.shape == (11, 83)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_embeddings_that_are_no_unit_vectors(backend):
    images, texts, (activations, _) = world("random", 31, 17)
    with pytest.raises(UsageError, match="`images and texts` to be unit vectors, got huge values"):
        SoftWpmi(top_k=3, a=10).top(activations, images * np.float32(1e38), texts)
    with pytest.raises(UsageError, match="`log_normalisers` to have one entry for each of the 31"):
        SoftWpmi(top_k=3, a=10).top(
            activations, images, texts, shared={"log_normalisers": np.zeros(30)}
        )


@pytest.mark.torture
def test_memory():
    """The image × concept matrix would take 192 MB."""
    code = """
import re
import numpy as np, torch
from neuronym.similarity.wpmi import SoftWpmi
def status(what): return int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
torch.set_num_threads(2)
rng = np.random.default_rng(0)
images, texts, activations = (
    rng.normal(size=s).astype(np.float32) for s in ((6000, 16), (8000, 16), (6000, 30))
)
similarity = SoftWpmi(top_k=50, a=0.1)
similarity.top(activations[:99], images[:99], texts[:99])
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
similarity.top(activations, images, texts)
print((status("VmHWM") - before) // 1024)
"""
    try:
        open("/proc/self/clear_refs", "w").close()
    except OSError:
        pytest.skip("memory cannot be measured here")
    assert int(run_python(code)[0]) < 96
