"""What the documentation tells to type runs, on atlases of three methods."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import types
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import duckdb
import numpy as np
import pytest
import torch
import typer
from PIL import Image

import documented
import neuronym as nym
from commands import run
from neuronym.cli.app import app
from places import FAKES, ROOT
from small_world import coloured_images

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    """All of them."""
    found = []
    for path in PAGES:
        text = path.read_text("utf-8")
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 2
            found.append(Block(path.name, line, match[1], match[2]))
    return found


BLOCKS = blocks()
PYTHON = [block for block in BLOCKS if block.language == "python"]
SQL = [block for block in BLOCKS if block.language == "sql"]
#: Snippets that take what no test has: a part of their text → why they are only compiled.
NOT_RUN = {
    "evidence/grounded-sam": "the labels of Grounding DINO and SAM",
    'nym.analyse("demo-atlas", "spatial")': "an encoder by its name",
    "grid.run(cells": "ResNet-50 with CLIP, four times",
    "part=(n, 8)": "eight runs; tests/pipeline/test_merge.py does the same",
    "model.load_state_dict(...)": "a network and weights of the reader's own",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return documented.folder(tmp_path_factory.mktemp("world"))


@pytest.fixture
def place(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the current folder."""
    made = tmp_path / "world"
    shutil.copytree(world, made)
    monkeypatch.chdir(made)
    monkeypatch.setenv("NEURONYM_CACHE", str(made / "cache"))
    monkeypatch.syspath_prepend(str(FAKES))
    own = next(b.text for b in BLOCKS if b.page == "own-methods.md" and b.language == "python")
    (made / "mymethods.py").write_text(own.partition("\nnym.label(")[0])
    return made


def given() -> dict[str, Any]:
    """What snippets name and the text before them speaks of."""
    random = np.random.default_rng(0)
    return {
        "image": Image.open("photo.jpg").convert("RGB"),
        "model": documented.Documented(documented.OWN).eval(),
        "my_dataset": coloured_images(30),
        "activations": random.random((3, 200), np.float32),
        "scores": random.random((3, 200), np.float32),
        "pixels": torch.from_numpy(random.integers(0, 255, (2, 260, 260, 3), np.uint8)),
    }


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.name)
def test_python_runs(block: Block, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(block.text, block.name, "exec")
    if any(part in block.text for part in NOT_RUN):
        return
    # Networks that would be downloaded become small ones; servers would not end.
    monkeypatch.setattr(nym, "dissect", documented.small_dissect, raising=False)
    monkeypatch.setattr("neuronym.atlas.reader.Atlas.serve", lambda self: None)
    module = types.ModuleType("snippet")
    monkeypatch.setitem(sys.modules, "snippet", module)  # where classes look for their names
    vars(module).update(given())
    exec(code, vars(module))


def test_what_is_not_run_is_there() -> None:
    for part in NOT_RUN:
        assert any(part in block.text for block in PYTHON), part


# -- SQL -------------------------------------------------------------------------------------------


def counts(rows: list[tuple[Any, ...]]) -> dict[Any, int]:
    """The last column by the ones before it."""
    return {row[0] if len(row) == 2 else row[:-1]: row[-1] for row in rows}


def test_queries_count_what_the_atlas_counts(place: Path) -> None:
    """Per method: not the labels of all methods together."""
    atlas = nym.open("demo-atlas")
    assert len(atlas.methods) == 3
    first = {m: atlas.first_labels(method=m, trust=False, abstaining=False) for m in atlas.methods}
    mine = first[atlas.methods[0]]
    assert (atlas.methods[0], len(SQL)) == ("clip-dissect.soft-wpmi", 1)
    one, several, beyond = (
        counts(duckdb.sql(query).fetchall()) for query in SQL[0].text.split(";") if query.strip()
    )
    own = Counter(mine["concept"])
    assert one == dict(own.most_common(len(one)))
    assert several == {
        (method, word): number
        for method, frame in first.items()
        for word, number in Counter(frame["concept"]).items()
    }
    strict = nym.open("demo-atlas", significant=True)
    standing = Counter(strict.first_labels(abstaining=False)["concept"])
    assert 0 < standing.total() < own.total()
    assert beyond == standing
    # The sum over methods, which the query over all files gave, is something else.
    assert sum(Counter(f["concept"])["red"] for f in first.values()) != own["red"]


# -- commands --------------------------------------------------------------------------------------

#: Commands that need what no test has, or never end: how they begin → why they are only parsed.
ONLY_PARSED = {
    "dissect": "networks that are downloaded, and minutes",
    "layers": "networks that are downloaded",
    "serve": "it serves until it is stopped",
    "annotate": "it serves until it is stopped",
    "doctor": "it speaks of the machine",
    "grid": "its file is that of a study",
    "merge": "the parts that eight tasks make",
    "calibrate": "networks of known classes",
    "stability": "minutes",
    "trust demo-atlas confidence": "an atlas of the encoder conse",
    "trust demo-atlas spatial": "an encoder by its name",
    "trust other-atlas": "an atlas and a calibrator of the reader's own",
    "trust demo-atlas faithfulness": "minutes",
    "label ATLAS --method grounded-sam": "Grounding DINO and SAM",
    "import clip": "published files",
    "import netdissect": "published files",
    "import milan": "published files",
    "compare resnet50-published": "published files",
    "search my-atlas --image": "a network by its name",
    "search demo-atlas --image photo.jpg --by encoder": "an encoder by its name",
    "export demo-atlas --format site": "hundreds of pages",
    "links demo-atlas --from": "the same with more checks",
    "links my-atlas": "a network by its name",
    "report demo-atlas --truth": "the report is made twice without",
    "report my-atlas": "the report is made twice without",
}


def commands() -> list[tuple[str, str]]:
    """(page, command) of every line that begins with `neuronym`, but for lines of syntax."""
    found: dict[str, str] = {}
    for block in BLOCKS:
        if block.language not in ("", "bash", "sh"):
            continue
        for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
            said = re.split(r"\s#|\s{3,}", line)[0].strip()
            if said.startswith("neuronym ") and not re.search(r"[…|\[]|ATLAS NAME| TARGET ", said):
                found.setdefault(said.removeprefix("neuronym "), block.page)
    return [(page, said) for said, page in found.items()]


COMMANDS = commands()


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 50
    for start in ONLY_PARSED:
        assert any(said.startswith(start) for _, said in COMMANDS), start


@pytest.mark.parametrize(("page", "said"), COMMANDS, ids=lambda text: text.replace("/", "."))
def test_a_command_is_one(page: str, said: str) -> None:
    name, *arguments = shlex.split(said)
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    group.commands[name].make_context(name, arguments)  # type: ignore[attr-defined]


def test_commands_run(world: Path, place: Path) -> None:
    """One after another, as a reader types them."""
    wrong = []
    for page, said in COMMANDS:
        if any(said.startswith(start) for start in ONLY_PARSED):
            continue
        for name in {"mine.csv", "truth.csv"} & {*said.split()} if "import" in said else ():
            (place / name).write_text("layer,unit,label\n_fc,417,balloon\n")
        if "--out truth.csv" in said:
            (place / "truth.csv").unlink()
        done = run(*shlex.split(said), cwd=place)
        if done.code:
            wrong.append(f"{page}: neuronym {said}\n{done.err[-300:]}")
    assert not wrong, "\n".join(wrong)
