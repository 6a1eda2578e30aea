"""Methods from outside the package: by `python:MODULE:CLASS`, and installed as a plugin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest

import neuronym as nym
from commands import run
from known_world import known_atlas
from neuronym._core import plugins
from neuronym._core.registry import Parameterised, Registry, opened
from neuronym.labelling.base import open_labeller
from places import ROOT

METHOD = (ROOT / "examples" / "plugin" / "neuronym_nearest.py").read_text("utf-8")


@dataclass(frozen=True)
class Plain(Parameterised):
    """Plain fields: their types say how they are read."""

    name: ClassVar[str] = "plain"
    k: int = 10
    share: float | None = None
    quick: bool = False
    how: Literal["mean", "first"] = "mean"
    note: str = ""


@dataclass(frozen=True)
class Needs(Parameterised):
    """A parameter without default, and one that cannot be read from text."""

    name: ClassVar[str] = "needs"
    k: int
    table: dict = None  # type: ignore[assignment]


THINGS = Registry("thing", "things")
THINGS.register("plain")(Plain)
THINGS.register("needs")(Needs)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("plain", Plain()),
        ("plain:k=-3", Plain(k=-3)),
        ("plain:share=0.5,quick=yes,how=first,note=a b", Plain(10, 0.5, True, "first", "a b")),
        ("needs:k=4", Needs(4)),
    ],
)
def test_plain_fields_are_parameters(text: str, made: Parameterised) -> None:
    found = opened(THINGS, Parameterised, text)
    assert found == made
    assert found.spec == text
    assert [type(v) for v in vars(found).values()] == [type(v) for v in vars(made).values()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plain:k=2.5", "`k` to be a whole number, got '2.5'"),
        ("plain:share=much", "`share` to be a number, got 'much'"),
        ("plain:how=last", "`how` to be one of mean, first, got 'last'"),
        ("plain:quick=2", "`quick` to be one of yes"),
        ("needs", "`needs` to have k, got 'none'"),
        ("needs:K=3", "got 'K'. Nearest: k"),
    ],
)
def test_wrong_values_of_plain_fields(text: str, message: str) -> None:
    with pytest.raises(nym.UsageError, match=message):
        opened(THINGS, Parameterised, text)


def test_a_field_that_no_text_gives_says_so() -> None:
    with pytest.raises(TypeError, match=r"Needs.table: a parameter is an int, float"):
        opened(THINGS, Parameterised, "needs:k=1,table=x")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An atlas, and a method in a file beside it that is not registered."""
    known_atlas(tmp_path / "atlas", 0.9)
    text = METHOD.replace('@nym.LABELLERS.register("nearest", syntax="nearest:k=3,of=mean")\n', "")
    assert text != METHOD
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield tmp_path
    sys.modules.pop("mine", None)


def test_a_method_of_ones_own_on_the_command_line(place: Path) -> None:
    done = run("label", "atlas", "--method", "python:mine:Nearest,k=5", cwd=place)
    assert done.code == 0, done.err
    atlas = nym.open("atlas")
    made = atlas.methods[-1]
    assert made.startswith("nearest.")
    facts = atlas.manifest.methods[made]
    assert (facts.method, facts.labeller) == ("python:mine.Nearest,k=5", "nearest")
    for typed in ("python:mine:Nearest,k=5", "python:mine.Nearest,k=5", "nearest", made):
        assert atlas.method(typed) == made
    run("label", "atlas", "--method", "python:mine:Nearest", cwd=place)
    assert nym.open("atlas").methods[-1] == "nearest"
    # Reading an atlas runs none of it.
    del sys.modules["mine"]
    assert len(nym.open("atlas").labels(method=made))
    with pytest.raises(nym.UsageError, match=r"Import its module first, or write python:mine:Near"):
        open_labeller(facts.method)
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("python:mine:Nearst", "class or function of mine, got 'Nearst'. Nearest: Nearest"),
        ("python:mine:Nearest,kk=5", "parameters among k, of, got 'kk'"),
        ("python:mine:dataclass", "python:mine.dataclass, which is none"),
        ("python:nowhere:Nearest", "name an importable module"),
        ("python:./mine.py:Nearest", "write python:mine:Nearest"),
        ("python:broken:Nearest", "cannot be imported: ModuleNotFoundError"),
        ("python:neuronym:Labeller", "python:neuronym.Labeller, which lacks it"),
    ],
)
def test_what_is_wrong_with_a_name_of_ones_own(place: Path, typed: str, message: str) -> None:
    with pytest.raises(nym.NeuronymError, match=message):
        open_labeller(typed)


def test_methods_are_named_as_they_are_printed(place: Path) -> None:
    atlas = nym.open("atlas")
    assert open_labeller("clip-dissect.wpmi").spec == open_labeller("clip-dissect:wpmi").spec
    assert open_labeller("clip-dissect.wpmi:top_k=5".replace(":", ",")).spec.endswith("top_k=5")
    first = atlas.methods[0]
    assert atlas.method(first.replace(".", ":", 1)) == first


def test_a_plugin_that_cannot_be_imported_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name, value = "bad", "nothing_of_that_name"

        def load(self) -> None:
            raise ModuleNotFoundError("No module named 'nothing_of_that_name'")

    monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: [Entry()])
    plugins.load_plugins.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"The plugin bad .*nothing_of_that_name.* left out"):
            assert plugins.load_plugins() == ()
    finally:
        plugins.load_plugins.cache_clear()


@pytest.mark.torture
def test_the_example_plugin_is_installed_and_labels(place: Path) -> None:
    pytest.importorskip("setuptools")
    source, there = place / "source", place / "site"
    source.mkdir()
    for file in (ROOT / "examples" / "plugin").iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(there), str(source)], check=True)
    paths = [str(there), *filter(None, sys.path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "neuronym"]

    def neuronym(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments], cwd=place, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "nearest:k=3" in neuronym("list", "methods")
    neuronym("label", "atlas", "--method", "nearest:k=5,of=first", "--quiet")
    assert "nearest" in json.dumps(json.loads(neuronym("show", "atlas", "--json")))
