"""The documentation says what there is."""

import re

import pytest
import typer

from neuronym.atlas import schema
from neuronym.cli.app import app
from neuronym.cli.registries import registries
from neuronym.inputs.settings import DissectSettings
from places import ROOT

PAGES = {path.name: path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")}
README = (ROOT / "README.md").read_text("utf-8")
EVERYTHING = README + "".join(PAGES.values())


@pytest.mark.parametrize("name", sorted(schema.tables()))
def test_every_column_is_documented(name: str) -> None:
    page = PAGES["atlas-format.md"]
    title = "labels/<method-id>.parquet" if name == "labels" else f"{name}.parquet"
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
