"""The benchmarks compare like with like: both sides compute the same, and say so truthfully."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import __main__ as command
from benchmarks import cuda, exact, measure, networks, problem, report, suite
from benchmarks.cases import CASES, find
from benchmarks.clock import Clock

from replicas import replica

TINY = {"units": [5, 11], "concepts": 61, "images": 83, "dim": 7, "top_k": 13}
SCORING = [case.name for case in CASES if case.name not in ("extraction", "dissect")]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def results(name: str, size: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    case, clock = find(name), Clock()
    inputs = case.prepare(**size)
    found = {side: work(inputs, clock) for side, work in case.sides.items()}
    return inputs, found


@pytest.mark.parametrize("name", SCORING)
def test_both_sides_compute_the_same(name: str) -> None:
    case = find(name)
    size = TINY | ({"units": [16]} if name == "topk" else {})
    inputs, found = results(name, size)
    assert case.comparisons
    for pair in case.comparisons:
        agreement = case.compare(lambda: inputs, found[pair.ours], found[pair.theirs])
        assert agreement["max_difference"] < (1e-3 if name in ("kernel", "bootstrap") else 2e-4)
        assert agreement.get("same", 1) == 1
        if "differing" in agreement:
            assert agreement["largest_margin"] < exact.MARGIN
            assert agreement["units"] == 16
            assert agreement["error_ours"] < 2e-5


@pytest.mark.parametrize("method", ["soft-wpmi", "wpmi", "cos", "cos-cubed", "rank-reorder"])
def test_float64_scores_are_those_of_the_definition(method: str) -> None:
    inputs = problem.make(problem.Size((5, 3), 17, 61, dim=6))
    parameters = {"top_k": 7, "a": 9.0, "lam": 0.8} if "wpmi" in method else {}
    concepts = np.tile(np.arange(17), (8, 1))
    given = {"units": np.arange(8), "concepts": concepts, "scores": np.zeros((8, 17))}
    compared = exact._scores(method, inputs, given["units"], np.arange(8), given, given, parameters)
    scores = np.stack([values for _, values in compared])
    for layer, rows in ((0, slice(0, 5)), (1, slice(5, 8))):
        expected = replica(method, inputs.layers[layer], inputs.images, inputs.texts, **parameters)
        np.testing.assert_allclose(scores[rows], expected, atol=1e-9)


def test_a_wrong_label_is_seen() -> None:
    inputs, found = results("soft-wpmi", TINY)
    good = found["loop"]
    wrong = {name: values.copy() for name, values in good.items()}
    wrong["concepts"][3, 0], wrong["concepts"][3, 9] = (
        good["concepts"][3, 9],
        good["concepts"][3, 0],
    )
    agreement = find("soft-wpmi").compare(lambda: inputs, wrong, good)
    assert json.loads(json.dumps(agreement)) == agreement
    assert agreement["differing"] == 1
    assert agreement["ours_right"] == 0
    assert agreement["largest_margin"] > exact.MARGIN
    row = {"title": "soft-wpmi", "agreement": agreement}
    assert report.broken({"rows": [row]}) == ["soft-wpmi"]


def test_a_sampled_loop_counts_for_all_units() -> None:
    _, found = results("rank-reorder", TINY | {"units": [30, 11]})
    units = found["loop"]["units"]
    assert len(units) == 20
    assert units[0] == 0
    assert units[-1] == 40
    clock = Clock()
    with clock(scale=10):
        sum(range(10_000))
    again = Clock()
    with again():
        sum(range(10_000))
    assert clock.wall > again.wall


def test_activations_of_a_unit_are_all_different() -> None:
    values = problem.activations(10_000, 7, np.random.default_rng(3))
    for column in values.T:
        assert len(np.unique(column)) == 10_000
    assert 0 <= values.min() < 0.01
    assert 0.99 < values.max() < 1
    with pytest.raises(ValueError, match="at most 16384 images"):
        problem.activations(16_385, 1, np.random.default_rng(3))


@pytest.mark.torture
def test_extraction_feeds_both_networks_as_two_passes_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "BATCH", 2)
    inputs, clock = networks.prepare(3), Clock()
    plain = networks.two_passes(inputs, clock)
    assert {name: values.shape for name, values in plain.items()} == {
        "layer1": (3, 256),
        "layer2": (3, 512),
        "layer3": (3, 1024),
        "layer4": (3, 2048),
        "image embeddings": (3, 512),
    }
    assert not {f.read_bytes() for f in inputs.images.iterdir()} & {
        f.read_bytes() for f in inputs.warm.iterdir()
    }
    found = networks.one_pass("float32", inputs, clock)
    assert networks.compare(inputs, found, plain)["max_relative_difference"] < 1e-4
    # 4.1 and 4.4 thousand million multiply-adds.
    assert found["flops"] == pytest.approx(3 * 2 * 8.5e9, rel=0.05)


def test_a_process_measures_one_side() -> None:
    found = measure.measure("cos", "neuronym", TINY, repeats=2)
    assert found.runs == 2
    assert found.wall > 0
    assert found.cpu > 0
    assert found.arrays["concepts"].shape == (16, 20)
    assert found.peak is None or 0 <= found.peak < found.total
    least = found.best(measure.Measured(1e-9, 9.0, None, None, None, 3, {}))
    assert (least.wall, least.cpu, least.peak, least.runs) == (1e-9, found.cpu, None, 5)


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(measure.FailedError, match="at most 16384 images"):
        measure.measure("cos", "neuronym", TINY | {"images": 20_000}, repeats=1)


def test_what_grows() -> None:
    size = find("soft-wpmi").sizes["full"]
    grown = suite.growing(size, "units")
    assert [sum(g["units"]) for g in grown] == [960, 1920, 3840]
    assert all(g["images"] == 10_000 for g in grown)
    assert [g["images"] for g in suite.growing(size, "images")] == [2500, 5000, 10_000]
    tasks = suite.plan("full", ["soft-wpmi", "growth"])
    assert len([t for t in tasks if t == suite.Task.of("soft-wpmi", "loop", size)]) == 2
    # Three axes of scoring and one of extraction, two sides; full size is measured once for all.
    assert len(set(tasks)) == 3 + 3 * 2 * 2 + 3 * 2
    assert suite.plan("small", ["dissect"])[1].size == '{"images": 2000}'


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["--only", "topk,sotf-wpmi"])
    assert "Expected --only to name one of soft-wpmi, kernel" in capsys.readouterr().err


def test_the_page_shows_the_published_results() -> None:
    result = json.loads(command.PUBLISHED.read_text("utf-8"))
    page = command.PAGE.read_text("utf-8")
    assert report.written(page, result) == page, "run python -m benchmarks --write-docs FILE"
    for name, text in report.blocks(result).items():
        assert f"<!-- bench:{name} -->\n{text}\n<!-- end -->" in page
    assert not result["failed"]
    assert not report.broken(result)
    assert command.FIGURE.stat().st_size > 10_000


def test_the_figure_is_drawn_from_the_results(tmp_path: Path) -> None:
    from benchmarks import figure

    result = json.loads(command.PUBLISHED.read_text("utf-8"))
    for entry in result["growth"]:  # memory is not known on every system
        entry["sides"] = {
            side: [run | {"peak": None} for run in runs] for side, runs in entry["sides"].items()
        }
    figure.draw(result, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000


TINY_CARD = cuda.Scale(compared=3, images=8, units=64, scored=600, words=(300, 500))


def test_without_a_card_the_benchmark_of_cards_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cuda.main() == 2
    assert capsys.readouterr().err == "There is no card to measure: torch sees no CUDA device.\n"


def test_the_benchmark_of_cards_sees_what_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    found = cuda.scores_agree("cpu", TINY_CARD)
    assert (found["units"], found["labels_that_differ"]) == (8, 0)
    assert not cuda.wrong({"scores_agree": found})
    top = cuda._top

    def off(arrays: Any, device: str, count: int) -> Any:
        made = top(arrays, "cpu", count)
        if device == "card":
            made.scores[3] += 0.01
            made.concepts[5] = made.concepts[5][::-1].copy()
        return made

    monkeypatch.setattr(cuda, "_top", off)
    found = cuda.scores_agree("card", TINY_CARD)
    assert found["labels_that_differ"] == 1
    assert cuda.wrong({"scores_agree": found}) == [
        "labels differ beyond their margin",
        "scores differ",
    ]
    assert set(cuda.scoring("cpu", TINY_CARD)) == {"units", "images", "300 words", "500 words"}


@pytest.mark.torture
def test_the_benchmark_of_cards_runs_whole() -> None:
    assert not cuda.wrong(found := cuda.run("cpu", TINY_CARD))
    assert set(found) == {"scores_agree", "networks_agree", "scoring", "passes"}
    assert found["passes"]["float32"]["pass_rate"] > 0
