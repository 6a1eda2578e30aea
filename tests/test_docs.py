"""The documentation says what there is."""

import dataclasses
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import figure_worlds
import known_world
import masked_world
from neuronym.analysis.trust.run import analyse
from neuronym.atlas import schema
from neuronym.cli.app import app
from neuronym.cli.registries import registries
from neuronym.inputs.settings import DissectSettings
from neuronym.interchange.exporting import export_labels
from neuronym.interchange.importing import import_labels
from neuronym.interchange.open import open_format
from neuronym.labelling.run import label
from places import ROOT
from small_world import ColourEncoder

PAGES = {path.name: path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")}
README = (ROOT / "README.md").read_text("utf-8")
EVERYTHING = README + "".join(PAGES.values())


@pytest.mark.parametrize("name", sorted(schema.tables()))
def test_every_column_is_documented(name: str) -> None:
    page = PAGES["atlas-format.md"]
    folders = {"labels": "labels/<method-id>.parquet", "links": "links/<from>+<to>.parquet"}
    title = folders.get(name, f"{name}.parquet")
    section = page.split(f"### `{title}`")[1].split("\n## ")[0].split("\n### ")[0]
    documented = re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", section, re.MULTILINE)
    types = {
        "string": "string",
        "int32": "int32",
        "int64": "int64",
        "float32": "float",
        "bool": "bool",
    }
    assert [column for column, _ in documented] == schema.tables()[name].names
    for column, kind in documented:
        actual = str(schema.tables()[name].field(column).type)
        assert actual.startswith("list" if kind == "list of struct" else types[kind])


@pytest.mark.parametrize(
    ("kind", "name"), [(k, e.name) for k, r in registries().items() for e in r]
)
def test_every_registry_entry_is_documented(kind: str, name: str) -> None:
    entry = registries()[kind][name]
    assert f"`{name}" in EVERYTHING, f"{kind}: {name} is nowhere in README.md or docs/"
    assert entry.summary.endswith("."), f"{name} has no summary line"


@pytest.mark.parametrize("name", sorted(DissectSettings.__dataclass_fields__))
def test_every_setting_is_documented(name: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    assert name == "target" or f"`{flag}" in PAGES["dissect.md"]


def test_every_command_is_documented() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in commands:
        assert f"neuronym {name}" in EVERYTHING, name


def test_links_between_pages_exist() -> None:
    for name, text in {"README.md": README, **PAGES}.items():
        base = ROOT if name == "README.md" else ROOT / "docs"
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (base / target).exists(), f"{name} links to {target}"


# -- atlas.json ------------------------------------------------------------------------------------

#: Parts of the manifest whose keys are names, not words of the format.
NAMED = ("methods", "analyses", "effects", "links", "stages", "config", "identity")


@pytest.fixture(scope="module")
def documented() -> list[str]:
    """The keys of `atlas.json` in the page on the format; `*` stands for a name."""
    page = PAGES["atlas-format.md"].split("\n## `atlas.json`")[1].split("\n## ")[0]
    keys = [
        key
        for cells in re.findall(r"^\| (`[^|]*`) \|", page, re.MULTILINE)
        for key in re.findall(r"`([^`]+)`", cells)
    ]
    assert len(keys) == len(set(keys)) > 80
    return keys


def declared(kind: type, path: str = "") -> Iterator[str]:
    """The keys of a part of the manifest that its class names."""
    for name, hint in typing.get_type_hints(kind).items():
        if name == "more":
            continue
        yield f"{path}{name}"
        inner = [hint, *typing.get_args(hint)]
        for part in inner:
            if dataclasses.is_dataclass(part) or typing.is_typeddict(part):
                below = {dict: "/x", list: "[]"}.get(typing.get_origin(hint), "")
                yield from declared(part, f"{path}{name}{below}/")


def written(data: Any, path: str = "") -> Iterator[str]:
    """The keys that stand in a manifest, with all that is in them."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            named = path.rstrip("/").rpartition("/")[2] in {*NAMED, "chance", "means", "quantiles"}
            part = key.replace("/", "-") if named else key
            yield from written(value, f"{path}{part}/")
    elif isinstance(data, list) and data and isinstance(data[0], dict):
        for value in data:
            yield from written(value, f"{path.rstrip('/')}[]/")
    else:
        yield path.rstrip("/")


def covered(key: str, documented: list[str]) -> bool:
    """Whether a key is documented itself, by all that is within it, or by a star above it."""
    for known in documented:
        form = re.escape(known).replace(r"\*", "[^/]+").replace(r"\.", "/")
        if (
            re.fullmatch(form, key)
            or re.fullmatch(form, f"{key}/x")
            or (known.endswith("*") and re.match(form, key))
        ):
            return True
        if known.replace(".", "/").startswith((f"{key}/", f"{key}[]/")):
            return True
    return False


def test_every_declared_key_of_the_manifest_is_documented(
    documented: list[str],
) -> None:
    keys = list(declared(schema.Manifest))
    assert {"units", "nonfinite_units", "target/layers[]/pool", "methods/x/note"} <= set(keys)
    assert [key for key in keys if not covered(key, documented)] == []


def test_every_key_that_is_written_is_documented(tmp_path: Path, documented: list[str]) -> None:
    atlas = known_world.known_atlas(tmp_path / "known")
    for method in ("clip-avg", "csp", "semanticlens", "linear", "random", "frequent"):
        atlas = label(atlas, method, encoder=ColourEncoder())
    atlas = analyse(atlas, ["significance:sets=99", "bootstrap:resamples=5,halves=2"])
    analyse(atlas, ["faithfulness:splits=1"])
    probe = masked_world.Masked(40)
    masked = masked_world.dissect(tmp_path / "masked", probe)
    masked = label(masked, "netdissect", layers=["maps"], target=masked_world.build(), probe=probe)
    label(masked, "annotations")
    masked.effect("maps:1", target=masked_world.build(), probe=probe, images=8)
    for name in ("clip-dissect", "clip-search"):
        export_labels(masked, open_format(name), tmp_path / name, method="netdissect")
        import_labels(open_format(name), tmp_path / name, tmp_path / f"from-{name}")
    figure_worlds.published(tmp_path / "published", 1, 3)
    seen = set()
    for path in sorted(tmp_path.rglob(schema.MANIFEST)):
        keys = set(written(json.loads(path.read_text("utf-8"))))
        assert sorted(key for key in keys if not covered(key, documented)) == [], path
        seen |= keys
    assert "nonfinite_units" in seen
    assert any(key.endswith("/images/validation") for key in seen)
