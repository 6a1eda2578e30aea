"""Atlases in notebooks: what is shown needs nothing else, is bounded, and does no harm."""

from __future__ import annotations

import base64
import io
import json
import re
import types
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

import documented
import neuronym as nym
from neuronym.atlas import notebook
from neuronym.atlas.reader import Atlas
from neuronym.atlas.statement import leading
from places import ROOT
from small_world import COLOURS, coloured_images

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
EVIL = '<img src=x onerror="alert(1)">'


class Shown(HTMLParser):
    """What an output holds; elements, attributes and addresses that could do harm are errors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.pictures: list[Image.Image] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert tag in ("div", "span", "b", "img", "p")
        assert set(found) <= {"style", "class", "src", "alt", "title"}
        # On light and dark pages alike: no colour but the page's own, and grey lines.
        colours = re.findall(r"(?:color|background)\s*:\s*([^;]+)", found.get("style") or "")
        assert set(colours) <= {"inherit", "transparent"}
        if tag != "img":
            self.open.append(tag)
            return
        data = (found["src"] or "").removeprefix("data:image/jpeg;base64,")
        picture = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        assert max(picture.size) <= notebook.SIDE
        self.pictures.append(picture)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    place = tmp_path_factory.mktemp("notebook")
    return documented.small_dissect(
        documented.target({"hid<b>den": 5, "_fc": 160}),
        ["_fc"],
        str(place / "atlas"),
        probe=coloured_images(40),
        concepts=[*COLOURS, EVIL],
    )


def test_an_atlas_a_unit_and_hits(atlas: Atlas) -> None:
    whole = Shown(atlas._repr_html_() or "")
    assert "documented" in whole.text
    assert "_fc: 5 neurons" in whole.text
    assert len(whole.pictures) == 5 * min(6, len(atlas.top(6)))
    first = atlas.first_labels().iloc[0]
    unit = Shown(atlas[first["layer"], int(first["unit"])]._repr_html_() or "")
    reason = first["reason"] if first["abstained"] else None
    said = leading(None if first["abstained"] else first["concept"], None, reason)
    assert unit.text.lstrip().startswith(said)
    assert "confidence unknown" in whole.text
    assert len(unit.pictures) == 8
    best = atlas.top(1).iloc[0]
    hits = atlas.searcher().find(best["concept"])
    found = Shown(hits._repr_html_() or "")
    assert found.text.count("_fc:") == len(hits.units)
    assert str(atlas.folder) not in whole.text + unit.text + found.text


def test_confidence_leads_where_it_is_known(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    known = atlas.first_labels().assign(confidence=0.794, abstained=False, concept=EVIL)
    monkeypatch.setattr(Atlas, "first_labels", lambda self, **how: known)
    made = atlas.gallery(known.assign(likeness=[0.25] * len(known)), images=0)
    assert EVIL not in made.html
    shown = Shown(made.html)
    assert shown.text.startswith(f"{EVIL}, confidence 79% ")
    assert "likeness 0.25" in shown.text
    assert shown.pictures == []


@pytest.mark.parametrize(
    ("units", "images", "shown"), [(5, 5, 5), (5, 1000, 1), (0, 5, 0), (3, 40, 3)]
)
def test_a_gallery_is_bounded(atlas: Atlas, units: int, images: int, shown: int) -> None:
    frame = atlas.units.head(units)
    twice = pd.concat([frame, frame])  # as in a table of labels
    made = atlas.gallery(twice, images=images)
    assert (made.shown, made.given) == (shown, units)
    page = Shown(made._repr_html_())
    assert len(page.pictures) <= notebook.PICTURES
    assert len(made.html) < 600_000
    assert ("The first 1 of 5" in page.text) == (shown < units)
    assert ("No neurons." in page.text) == (units == 0)


def test_wrong_frames(atlas: Atlas) -> None:
    with pytest.raises(nym.UsageError, match="columns layer and unit, got one without unit"):
        atlas.gallery(pd.DataFrame({"layer": ["_fc"]}))
    with pytest.raises(nym.UsageError, match="a number 0…4 in _fc, got 99"):
        atlas.gallery(pd.DataFrame({"layer": ["_fc"], "unit": [99]}))


def test_an_atlas_without_small_copies(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Atlas, "thumb", lambda self, image_id: None)
    shown = Shown(atlas.gallery(atlas.units.head(2)).html)
    assert shown.text.count("no small copies") == 2


def test_the_docs_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert NOTEBOOK.stat().st_size < 10_000
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    codes = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    assert codes[0].startswith("%pip install ")
    monkeypatch.chdir(tmp_path)
    dissect = documented.small_dissect

    def small(target: str, *, encoder: str, **given: Any) -> Atlas:
        return dissect(target, probe=coloured_images(40), **given)

    monkeypatch.setattr(nym, "dissect", small, raising=False)
    names: dict[str, Any] = vars(types.ModuleType("notebook"))
    for number, text in enumerate(codes[1:]):
        *lines, last = _parts(text)
        exec(compile("\n".join(lines), f"cell {number}", "exec"), names)
        value = eval(compile(last, f"cell {number}", "eval"), names)
        assert _shows(value), text


def _parts(text: str) -> list[str]:
    """The statements of a cell, the last of which a notebook shows."""
    import ast

    return [ast.unparse(node) for node in ast.parse(text).body]


def _shows(value: Any) -> bool:
    """Whether a notebook has more to show than a line of text."""
    kinds: dict[str, Callable[[Any], Any]] = {
        "_repr_html_": lambda made: made and Shown(made).text,
        "_repr_png_": lambda made: made.startswith(b"\x89PNG"),
    }
    return any(
        check(getattr(value, name)()) for name, check in kinds.items() if hasattr(value, name)
    )
