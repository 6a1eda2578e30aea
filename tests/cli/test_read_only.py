"""Caches and atlases that cannot be written to or read: what works, and what is said."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import neuronym as nym
from commands import run
from documented import WORDS
from neuronym._core.errors import NeuronymError
from neuronym.analysis.truth.base import Answer
from neuronym.analysis.truth.store import Annotations
from neuronym.atlas.context import Sources
from neuronym.extraction.cache import Cache, _aside
from neuronym.labelling.run import label
from neuronym.search.searcher import Searcher
from neuronym.web.server import application
from places import FAKES, ROOT
from rights import obeyed, refused
from small_world import ColourEncoder, build, coloured_images


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `atlas` of a network that can be opened by its name."""
    folder = tmp_path_factory.mktemp("rights")
    nym.dissect(
        "python:documented:demo",
        layers=["_blocks.15"],
        probe=coloured_images(31),
        concepts=WORDS,
        encoder=ColourEncoder(),
        keep="all",
        cache=str(folder / "first"),
        out=folder / "atlas",
        progress=None,
    )
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "atlas", tmp_path / "atlas")
    return tmp_path


def no_folder(place: Path) -> None:
    """The cache is a file."""
    (place / "cache").write_text("not a folder")


def empty(place: Path) -> None:
    """It is a folder in which nothing can be made."""
    (place / "cache").mkdir()


def nowhere(place: Path) -> None:
    """It is not there, and cannot be made."""


@pytest.mark.parametrize("cache", [no_folder, empty, nowhere])
def test_searching_and_showing_need_no_cache(
    place: Path, cache: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache(place)
    monkeypatch.syspath_prepend(str(FAKES))
    monkeypatch.setenv("NEURONYM_CACHE", str(place / "cache"))
    before = sorted(place.rglob("*"))
    with refused(place):
        for said in (
            ["show", "atlas"],
            ["show", "atlas", "_blocks.15:1", "--json"],
            ["search", "atlas", "red"],
            ["search", "atlas", "--like", "_blocks.15:1", "--by", "activations"],
            ["table", "atlas", "concepts"],
        ):
            done = run(*said, cwd=place)
            assert (done.code, done.err) == (0, ""), said
        # New words and pictures take the networks; what they say is kept nowhere.
        atlas = nym.open(place / "atlas")
        sources = Sources(atlas, encoder=ColourEncoder())
        searcher = Searcher(atlas, sources=sources)
        new = searcher.find("very green", places=["scores"])
        assert len(new.units) == 8
        picture = Image.fromarray(coloured_images(2)[1])
        for by in ("target", "encoder"):
            assert len(searcher.by_picture(picture, by=by).units) == 8
        assert sources.embed_words(["very blue"]).shape == (1, 4)
    assert sorted(place.rglob("*")) == before


def test_a_figure_needs_no_cache_and_says_nothing_of_matplotlib(place: Path) -> None:
    (place / "cache").write_text("not a folder")
    environment = {k: v for k, v in os.environ.items() if k != "MPLCONFIGDIR"}
    environment |= {"NEURONYM_CACHE": str(place / "cache")}
    paths = [str(ROOT / "src"), str(FAKES), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "neuronym", "figure", "atlas", "scores", "--out", "scores.svg"],
        cwd=place,
        env=environment | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (place / "scores.svg").stat().st_size > 1000


def dissect(place: Path, images: int = 20, **how: object) -> nym.Atlas:
    return nym.dissect(
        build(),
        layers=["detect"],
        probe=coloured_images(images),
        concepts=WORDS,
        encoder=ColourEncoder(),
        cache=str(place / "cache"),
        out=place / "new",
        progress=None,
        **how,
    )


def test_a_run_whose_cache_is_no_folder_names_the_option(place: Path) -> None:
    no_folder(place)
    with refused(place / "cache"), pytest.raises(NeuronymError) as error:
        dissect(place)
    said = str(error.value)
    assert said.startswith(f"The cache {place / 'cache'} cannot be written to: ")
    assert "Choose another folder with --cache or NEURONYM_CACHE" in said
    assert "damaged" not in said


def test_a_cache_that_holds_all_is_enough_though_nothing_can_be_written(place: Path) -> None:
    first = dissect(place)
    shutil.rmtree(place / "new")
    with refused(place / "cache"):
        again = dissect(place)
    assert again.labels().equals(first.labels())


def test_a_cache_that_cannot_be_written_is_read_and_a_temporary_one_written(place: Path) -> None:
    """Images 16 to 31 are new; the words and the first shard are taken from the shared cache."""
    dissect(place, 16, batch_size=8)
    shutil.rmtree(place / "new")
    before = {path: path.stat().st_mtime_ns for path in (place / "cache").rglob("*.safetensors")}
    assert before
    with refused(place / "cache"), pytest.warns(UserWarning, match="what it holds is used, and wh"):
        made = dissect(place, 32, batch_size=8)
    assert {p: p.stat().st_mtime_ns for p in (place / "cache").rglob("*.safetensors")} == before
    _aside.clear()
    shutil.copytree(place / "new", place / "made")
    shutil.rmtree(place / "new")
    assert dissect(place, 32, batch_size=8).labels().equals(made.labels())


def test_a_full_disk_names_the_option_and_loses_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the second of three shards is written."""
    monkeypatch.setattr("neuronym.extraction.shards.SHARD_IMAGES", 8)
    whole, written = os.replace, []

    def replace(source: object, target: object) -> None:
        if str(target).startswith(str(place / "cache" / "activations")) and "about" not in str(
            target
        ):
            written.append(target)
            if len(written) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        whole(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(NeuronymError, match=r"No space left on device\. .* --cache .* prune"):
        dissect(place, 24, batch_size=8)
    assert len(list((place / "cache" / "activations").rglob("*.safetensors"))) == 1
    assert not list((place / "cache").rglob("*.tmp"))
    made = dissect(place, 24, batch_size=8)
    assert len(written) == 4  # the first shard was not made again
    assert len(made.images) == 24


def test_a_cache_that_is_a_file_is_said_to_be_one(place: Path) -> None:
    no_folder(place)
    done = run("cache", "list", cwd=place)
    assert done.code == 1
    assert "is a file, not a folder. Choose another place with --cache" in done.err


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("atlas.json", ["show", "atlas"]),
        ("labels/clip-dissect.soft-wpmi.parquet", ["show", "atlas"]),
        ("units.parquet", ["show", "atlas", "_blocks.15:1"]),
        (
            "arrays/activations-_blocks.15.safetensors",
            ["search", "atlas", "--like", "_blocks.15:1"],
        ),
        ("arrays/embeddings.safetensors", ["search", "atlas", "greeen"]),
    ],
)
def test_what_may_not_be_read_is_not_called_damaged(
    place: Path, file: str, said: list[str]
) -> None:
    by = ["--by", "activations"] if "--like" in said else []
    by = ["--in", "scores"] if "greeen" in said else by
    with refused(place / "atlas" / file, mode=0):
        done = run(*said, *by, cwd=place)
    assert done.code == 1
    path = place / "atlas" / file
    assert f"Cannot read atlas/{file}: Permission denied." in done.err.replace(f"{path}", file)
    assert "It need not be damaged" in done.err
    for word in ("overwrite", "resume", "missing"):
        assert word not in done.err


def test_a_folder_that_may_not_be_entered_is_said_to_be_one(place: Path) -> None:
    (place / "atlas").chmod(0)
    try:
        with obeyed():
            done = run("show", "atlas", cwd=place)
    finally:
        (place / "atlas").chmod(0o755)
    assert (done.code, "Permission denied" in done.err) == (1, True), done.err
    assert "no such folder" not in done.err


def test_thumbnails_that_may_not_be_read_are_left_out(place: Path) -> None:
    with refused(place / "atlas" / "thumbs", mode=0):
        atlas = nym.open(place / "atlas")
        assert all(atlas.thumb(image) is None for image in atlas.images["image_id"])
        assert atlas["_blocks.15", 1].figure() is not None
        client = TestClient(application([atlas]), base_url="http://localhost")
        assert client.get("/a/atlas/unit/_blocks.15/1").status_code == 200


def test_annotating_a_read_only_atlas_says_so_at_the_start(place: Path) -> None:
    with refused(place / "atlas"):
        done = run("annotate", "atlas", "--no-open", cwd=place)
        assert done.code == 1
        assert "Answers cannot be saved in atlas: Permission denied." in done.err
        assert "Serving" not in done.out
        atlas = nym.open(place / "atlas")
        client = TestClient(application([atlas], writing=True), base_url="http://localhost")
        start = client.get("/a/atlas/annotate").text
        assert "Answers cannot be saved in" in start
        assert ">Begin<" not in start
        assert client.get("/a/atlas").status_code == 200
    client = TestClient(application([atlas], writing=True), base_url="http://localhost")
    start = client.get("/a/atlas/annotate").text
    assert (">Begin<" in start, "cannot be saved" in start) == (True, False)


def test_answers_of_a_read_only_atlas_can_be_read(place: Path) -> None:
    store = Annotations(nym.open(place / "atlas"))
    store.add(Answer("_blocks.15", 1, "own", "red", "ann"))
    with refused(place / "atlas"):
        assert [answer.label for answer in store.latest()] == ["red"]
        with pytest.raises(NeuronymError, match="Answers cannot be saved in"):
            store.check_writable()
        done = run("evaluate", "atlas", "--truth", "annotations", cwd=place)
        assert done.code == 0, done.err
    # The file alone is enough to refuse.
    with refused(place / "atlas" / "annotations.sqlite"):
        with pytest.raises(NeuronymError, match="Answers cannot be saved in"):
            store.check_writable()


def test_labels_are_not_computed_for_a_read_only_atlas(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def label_(*given: object) -> None:
        raise AssertionError("labels were computed")

    monkeypatch.setattr("neuronym.labelling.methods.clip_avg.ClipAvg.label", label_)
    with refused(place / "atlas"), pytest.raises(NeuronymError, match="Cannot write .*atlas"):
        label(nym.open(place / "atlas"), "clip-avg")


def test_an_entry_of_the_cache_is_made_with_its_first_shard(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    entry = cache.entry("texts", {"encoder": "x"})
    assert entry.read("a") is None
    assert not (tmp_path / "cache").exists()
    entry.write("a", {"values": np.ones((2, 3))}, {})
    (stored,) = cache.list()
    assert (stored.about["encoder"], stored.shards) == ("x", 1)
