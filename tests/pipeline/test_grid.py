"""Grids: expansion, resuming, failing cells, the table over all of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas.reader import open_atlas
from neuronym.cli.app import app
from neuronym.pipeline import grid
from neuronym.pipeline import run as pipeline
from places import FAKES
from small_world import ColourEncoder, coloured_images


def test_cells_are_all_combinations() -> None:
    cells = grid.expand(
        {"target": "resnet50", "batch-size": 8},
        {
            "probe": ["folder:/data/photos", "synthetic"],
            "layers": [["layer1", "layer2"], "layer4"],
            "similarity": ["wpmi", "soft-wpmi:top_k=7", "wpmi"],
            "limit": [11, 11],
        },
    )
    assert [cell.name for cell in cells] == [
        "photos.layer1-layer2.11",
        "photos.layer4.11",
        "synthetic.layer1-layer2.11",
        "synthetic.layer4.11",
    ]
    assert {cell.similarities for cell in cells} == {("wpmi", "soft-wpmi:top_k=7")}
    assert cells[1].settings.layers == ["layer4"]
    assert cells[2].settings.probe == "synthetic"
    assert {cell.settings.batch_size for cell in cells} == {8}


def test_names_of_cells_are_distinct() -> None:
    cells = grid.expand({"target": "resnet50"}, {"probe": ["folder:/a/photos", "folder:/b/photos"]})
    names = [cell.name for cell in cells]
    assert len(set(names)) == 2
    assert all(name.startswith("photos.") for name in names)
    (only,) = grid.expand({"target": "resnet50"}, {"similarity": ["cos"]})
    assert only.name == "resnet50"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target = 'resnet50'", r"hold a table \[grid\] with lists of values"),
        ("target = 'resnet50'\n[grid]", r"hold a table \[grid\]"),
        ("[grid]\nprobe = 'synthetic'", "`grid.probe` to be a list of values, got 'synthetic'"),
        ("[grid]\nprobe = []", "`grid.probe` to be a list of values"),
        ("[grid]\nprobes = ['synthetic']", "settings of dissect, got 'probes'. Nearest: probe"),
        ("out = 'x'\n[grid]\nprobe = ['synthetic']", "Each atlas gets its own folder"),
        ("probe = 'a'\n[grid]\nprobe = ['b']", "name a setting once, .* got 'probe'"),
        ("target = 'x'\n[grid]\nsimilarity = ['wmpi']", "wpmi"),
        ("[grid]\nprobe = ['synthetic']", "`target` to be the name of a network"),
        ("[grid", "`grid` to be a TOML file"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "grid.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        grid.read(tmp_path / "grid.toml")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        grid.read(tmp_path / "none.toml")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of two probes, one of which is not there, by two similarities, once run."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "photos").mkdir()
    for number, image in enumerate(coloured_images(13)):
        Image.fromarray(image).save(folder / "photos" / f"{number:02d}.png")
    (folder / "words.txt").write_text("red\ngreen\nblue\nyellow\npurple\ndog\nsky\n")
    (folder / "grid.toml").write_text(
        f"""
        target = "python:small_world:build"
        layers = ["detect", "head"]
        concepts = "file:{folder}/words.txt"
        encoder = "colours"
        cache = "{folder}/cache"
        [grid]
        probe = ["folder:{folder}/photos", "folder:{folder}/gone"]
        similarity = ["soft-wpmi", "cos"]
        """
    )
    return folder


@pytest.fixture
def colours(monkeypatch) -> None:
    """The network is importable, and the encoder `colours` exists."""
    monkeypatch.syspath_prepend(str(FAKES))
    monkeypatch.setattr(grid, "_encoder", lambda name: ColourEncoder())


def run(place: Path, *more: str, code: int = 0) -> str:
    command = ["grid", str(place / "grid.toml"), "--out", str(place / "out"), *more]
    result = CliRunner().invoke(app, command)
    if code == 1:
        assert isinstance(result.exception, NeuronymError)
        assert not isinstance(result.exception, UsageError)
        return f"{result.output}\n{result.exception}"
    assert result.exit_code == code, result.output
    return result.output


def test_a_failing_cell_does_not_stop_the_others(place: Path, colours, monkeypatch) -> None:
    dry = json.loads(run(place, "--dry-run", "--json"))
    assert dry["states"]["photos"] == "missing"
    assert dry["states"]["gone"].startswith("would fail: ")
    assert dry["seconds"] > 0
    assert not (place / "out").exists()

    text = run(place, code=1)
    assert "1 of 2 atlases failed. gone: " in text
    assert "stability 5/10" in " ".join(text.split())
    atlas = open_atlas(place / "out" / "atlases" / "photos")
    assert atlas.methods == ["clip-dissect.soft-wpmi", "clip-dissect.cos"]
    table = (place / "out" / "table.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * 2
    assert "Failed: gone" in (place / "out" / "table.md").read_text()
    head = json.loads((place / "out" / "grid.json").read_text())
    assert [cell["state"] for cell in head["cells"]] == ["made", "failed"]
    assert (place / "out" / "stability" / "pairs.csv").read_text().count("similarity") == 2


def test_finished_atlases_are_skipped_and_interrupted_ones_go_on(
    place: Path, colours, monkeypatch
) -> None:
    (place / "gone").mkdir(exist_ok=True)
    for number, image in enumerate(coloured_images(9, seed=4)):
        Image.fromarray(image).save(place / "gone" / f"{number:02d}.png")
    real, planned = pipeline.run, []

    def interrupted(plan, **options):
        planned.append(plan.probe.name)
        raise KeyboardInterrupt

    cells = grid.read(place / "grid.toml")
    monkeypatch.setattr(pipeline, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        grid.run(cells, place / "out")
    monkeypatch.setattr(pipeline, "run", real)
    made = grid.run(cells, place / "out")
    assert len(planned) == 1
    assert planned[0].endswith("gone")
    assert [one.state for one in made.cells] == ["there", "made"]
    assert not made.failed
    (found,) = made.studies
    assert len(found.scores) == 2 * 2 * 2
    assert set(found.pairs["differs"]) == {"probe", "similarity"}
    assert np.isfinite(found.pairs["same"]).any()
    assert [one.state for one in grid.run(cells, place / "out").cells] == ["there", "there"]


def test_more_similarities_are_added_and_other_settings_refused(
    place: Path, colours, monkeypatch
) -> None:
    fixed = dict(grid.read(place / "grid.toml")[0].settings.to_dict())
    for name in ("out", "part", "probe", "similarity"):
        del fixed[name]
    axes = {"probe": [f"folder:{place}/photos"], "similarity": ["wpmi", "cos", "soft-wpmi"]}
    cells = grid.expand(fixed, axes)
    assert grid.state(cells[0], place / "out") == "begun"
    grid.run(cells, place / "out")
    atlas = open_atlas(place / "out" / "atlases" / "photos")
    assert sorted(m.split(".")[1] for m in atlas.methods) == ["cos", "soft-wpmi", "wpmi"]
    other = grid.run(grid.expand(fixed | {"labels": 5}, axes), place / "out")
    assert "one of other settings (labels)" in other.failed[0].error
    assert other.studies == ()


def test_a_foreign_folder_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match=r"`out` to be the folder of a grid or a new one"):
        grid.run(grid.read(place / "grid.toml"), tmp_path)
