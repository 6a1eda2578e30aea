"""An atlas and a cache that neuronym 0.1.0 made open, go on and label, and nothing is made anew."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch

import neuronym as nym
from neuronym._core import hashing
from neuronym.cli import main as command
from neuronym.extraction.precision import arithmetic
from neuronym.extraction.shards import decoder
from places import TESTS

BEFORE = TESTS / "fixtures" / "before"
HOW = {"labels": 4, "exemplars": 5, "device": "cpu", "workers": 1, "batch_size": 8}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that made them, in a folder of its own with copies of the atlas and the cache."""
    shutil.copytree(BEFORE, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "world", raising=False)
    _as_if_made_here(Path("cache"))
    with pytest.warns(DeprecationWarning, match=r"Colours\.sharpness is called logit_scale now"):
        import world

    return world


def _as_if_made_here(cache: Path) -> None:
    """Other processors and versions of Pillow have other keys: these may differ, nothing else."""
    here = {"arithmetic": arithmetic(torch.device("cpu"), "float32", 0), "decoder": decoder()}
    for note in cache.glob("*/*/about.json"):
        about = json.loads(note.read_text("utf-8"))
        changed = {k: here[k] for k in here.keys() & about.keys() if about[k] != here[k]}
        if changed:
            note.write_text(json.dumps(about | changed), "utf-8")
            note.parent.rename(note.parent.with_name(hashing.of_data(about | changed)))


def _shards() -> dict[str, int]:
    """What was cached then; activation maps, which there were none of, come beside it."""
    files = (p for p in Path("cache").glob("*/*/*.safetensors") if p.parts[1] != "maps")
    return {str(p): p.stat().st_mtime_ns for p in files}


def _dissect(world: ModuleType, out: str, **how: object) -> nym.Atlas:
    return nym.dissect(
        "python:world:build",
        layers=["detect", "head"],
        probe="folder:photos",
        concepts=world.WORDS,
        encoder=world.Colours(),
        out=out,
        cache="cache",
        **HOW | how,
    )


def test_the_atlas_opens(world: ModuleType) -> None:
    atlas = nym.open("atlas")
    assert atlas.methods == ["clip-dissect.soft-wpmi", "clip-avg", "clip-dissect.cos"]
    labels = atlas.labels("detect")
    assert labels[labels["rank"] == 1]["concept"].tolist()[:3] == ["red", "green", "blue"]
    assert {"p", "q", "stability"} <= set(labels.columns)
    assert len(atlas.exemplars()) == 8 * 5
    assert (
        atlas["head", 2].labels("clip-avg")["concept"].iloc[0]
        == atlas.labels(method="clip-avg")["concept"].iloc[-7]
    )
    assert atlas.search("blue").iloc[0]["unit"] == 2


def test_the_command_line_shows_it(
    world: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["neuronym", "show", "atlas", "--json"])
    monkeypatch.setattr("neuronym.cli._leave", lambda code: None)
    command()
    shown = json.loads(capsys.readouterr().out)
    assert shown["target"] == "python:world:build"


def test_a_run_goes_on_without_a_shard_made_anew(world: ModuleType) -> None:
    before, first = _shards(), nym.open("atlas")
    assert len(before) == 5
    manifest = json.loads(Path("atlas/atlas.json").read_text("utf-8"))
    labels, exemplars, units = first.labels(trust=False), first.exemplars(), first.units
    kept = {name: manifest["stages"][name] for name in ("images", "concepts")}
    manifest |= {"stages": kept, "methods": {}, "analyses": {}}
    manifest["complete"] = False
    Path("atlas/atlas.json").write_text(json.dumps(manifest), "utf-8")
    again = _dissect(world, "atlas", resume=True)
    assert again.manifest["complete"]
    pd.testing.assert_frame_equal(again.labels(trust=False), labels)
    pd.testing.assert_frame_equal(again.exemplars(), exemplars)
    pd.testing.assert_frame_equal(again.units, units)
    assert _shards() == before


def test_a_new_run_takes_the_cache(world: ModuleType) -> None:
    before, first = _shards(), nym.open("atlas")
    new = _dissect(world, "new")
    pd.testing.assert_frame_equal(new.labels(), first.labels(trust=False))
    assert _shards() == before


def test_the_first_images_are_still_cached(world: ModuleType) -> None:
    """A limit was the first images then."""
    before = _shards()
    atlas = _dissect(world, "first", limit="first:20")
    assert atlas.manifest.probe.images == 20
    assert _shards() == before


def test_it_is_labelled_and_analysed_further(world: ModuleType) -> None:
    before = _shards()
    how = {"encoder": world.Colours(), "cache": "cache"}
    atlas = nym.label("atlas", "clip-dissect:wpmi", **how)
    atlas = nym.analyse(atlas, "bootstrap", method="clip-dissect.wpmi", **how)
    assert atlas.methods[-1] == "clip-dissect.wpmi"
    again = nym.analyse(atlas, "significance", **how)  # there already
    assert next(iter(again.manifest["analyses"])) == "significance of clip-dissect.soft-wpmi"
    after = _shards()
    assert before.items() <= after.items()
    # The sentences by which words are grouped into families are new.
    assert {Path(name).parts[1] for name in after.keys() - before.keys()} <= {"texts"}
