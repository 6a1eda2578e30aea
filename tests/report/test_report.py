"""The report: what it says, that it needs nothing but itself, and that it does no harm."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

import figure_worlds
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.tables import Table
from neuronym.analysis.trust.run import analyse
from neuronym.atlas.reader import Atlas
from neuronym.cli.app import app
from neuronym.labelling.run import label
from neuronym.report.document import compose, html, sentences
from neuronym.report.document.blocks import Commands, Document, Neurons, Picture, Section, Text
from neuronym.report.plots.base import select
from small_world import ColourEncoder

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Reads a page, checks that what is opened is closed, and keeps what matters."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]
        self.references += [v for n, v in attrs if n in ("href", "src", "xlink:href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """Hostile words as concepts; two methods; significance."""
    folder = tmp_path_factory.mktemp("hostile")
    words = [*figure_worlds.HOSTILE.values(), "dog", "moss"]
    made = figure_worlds.small(folder, words, layers=["detect"])
    made = label(made, "semanticlens", encoder=ColourEncoder(), cache=str(folder / "cache"))
    return analyse(made, ["significance:sets=200"], cache=str(folder / "cache"))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(figure_worlds.truth(tmp_path_factory.mktemp("truth") / "truth.csv"))


@pytest.fixture(scope="module")
def made(atlas: Atlas, truth: str) -> Document:
    return compose.build(select(atlas, truth=truth, sources={"encoder": ColourEncoder()}))


@pytest.fixture(scope="module")
def page(made: Document, tmp_path_factory: pytest.TempPathFactory) -> str:
    (path,) = compose.write(made, tmp_path_factory.mktemp("page") / "report.html")
    return path.read_text("utf-8")


def test_html_is_whole_and_needs_nothing(page: str) -> None:
    read = Page(page)
    assert page.startswith("<!doctype html>")
    for reference in read.references:
        assert reference.startswith(("#", "data:image/")), reference
    assert not {"script", "link", "iframe", "object", "form"} & set(read.tags)
    assert not [name for name in read.attributes if name.startswith("on")]
    assert len(read.ids) == len(set(read.ids))
    inside = [reference[1:] for reference in read.references if reference.startswith("#")]
    assert set(inside) <= set(read.ids)
    assert "url(http" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page
    for what in ("viewport", "prefers-color-scheme: dark", "@media print"):
        assert what in page


def test_html_shows_hostile_words_as_text(page: str) -> None:
    assert "<script" not in page
    assert "\u202e" not in page
    text = " ".join(" ".join(Page(page).text).split())
    assert "red <script>alert(1)</script>" in text
    assert "yellow $5 and $6^{2" in text
    assert "日本語 עברית" in text


def test_sections_figures_and_numbers(made: Document, atlas: Atlas, page: str) -> None:
    names = [part.name for part in made.sections]
    assert names == ["made", "layers", "labels", "truth", "neurons", "methods", "caveats", "more"]
    blocks = [block for part in made.sections for block in part.blocks]
    drawn = [block.name for block in blocks if isinstance(block, Picture)]
    assert drawn == ["scores", "concepts", "ranks", "categories", "accuracy", "correctness"]
    assert page.count("<svg") == len(drawn)
    tables = {block.name: block for block in blocks if isinstance(block, Table)}
    assert set(tables) >= {"configuration", "layers", "bins", "accuracy", "correctness"}
    prints = {row["fingerprint"] for row in tables["configuration"].rows} - {None}
    assert prints == {
        atlas.manifest[part]["fingerprint"] for part in ("target", "probe", "concepts", "encoder")
    }
    (layer,) = tables["layers"].rows
    first = atlas.labels("detect")
    first = first[first["rank"] == 1]
    stands = int((~first["abstained"]).sum())
    assert (layer["units"], layer["labelled"]) == (7, stands)
    assert made.lead[1].startswith("Confidence unknown")
    assert made.lead[2].startswith(f"Of 7 neurons, {sentences.part(stands, 7)} have a label. The")
    beyond = int(first["significant"].eq(True).sum())
    assert f"The scores of {sentences.part(beyond, 7)} beat chance at a" in made.lead[2]
    assert any(
        sentence.startswith("In detect the first label is right for") for sentence in made.lead
    )
    assert atlas.manifest["created"] in page
    cards = [one for block in blocks if isinstance(block, Neurons) for one in block.items]
    assert all(path.exists() for one in cards for _, path in one.images)
    assert page.count("data:image/jpeg") == sum(len(one.images) for one in cards)


def test_the_same_report_twice(atlas: Atlas, truth: str, page: str, tmp_path: Path) -> None:
    again = compose.build(select(atlas, truth=truth, sources={"encoder": ColourEncoder()}))
    (path,) = compose.write(again, tmp_path / "again.html")
    assert path.read_text("utf-8") == page


def test_markdown(made: Document, tmp_path: Path) -> None:
    path, *images = compose.write(made, tmp_path / "my report.md")
    text = path.read_text("utf-8")
    assert all(image.parent == tmp_path / "my report-images" for image in images)
    linked = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert {link.replace("%20", " ") for link in linked} == {
        str(image.relative_to(tmp_path)) for image in images
    }
    assert "<script" not in text
    assert re.search(r"[^\\]<(?!img )", text) is None  # no tag but ours
    assert re.search(r"[^\\]\]\(http", text) is None
    assert "\u202e" not in text
    assert "| layer |" in text
    assert text.startswith("# What the neurons of detectors respond to\n")


def test_what_was_not_run(tmp_path: Path) -> None:
    atlas = figure_worlds.small(tmp_path, layers=["detect"])
    made = compose.build(select(atlas, sources={"encoder": ColourEncoder()}))
    (commands,) = [b for b in made.sections[-1].blocks if isinstance(b, Commands)]
    lines = [command for _what, command in commands.items]
    assert "neuronym trust atlas significance" in lines
    assert "neuronym report atlas --truth FILE.csv" in lines
    assert "neuronym stability atlas" in lines
    assert made.lead[1].startswith("Confidence unknown")
    assert "beat chance" not in " ".join(made.lead)
    assert "truth" not in [part.name for part in made.sections]


@pytest.mark.parametrize(("layers", "units", "silent"), [(1, 1, 0.0), (2, 3, 1.1), (14, 9, 0.1)])
def test_published_labels(layers: int, units: int, silent: float, tmp_path: Path) -> None:
    atlas = figure_worlds.published(tmp_path, layers, units, silent=silent)
    made = compose.build(select(atlas))
    lacking = "neurons: the atlas has no small copies" in " ".join(made.left_out)
    assert lacking == (silent < 1)  # where no neuron has a label, none is shown
    (path,) = compose.write(made, tmp_path / "report.html")
    Page(path.read_text("utf-8"))
    assert path.stat().st_size < 3_000_000
    compose.write(made, tmp_path / "report.md")
    named = "neuron in 1 layer" if units == 1 else f"{layers * units:,} neurons in {layers} layers"
    assert named in made.lead[0]


def test_some_layers_only(tmp_path: Path, truth: str) -> None:
    atlas = figure_worlds.small(tmp_path)
    sources = {"encoder": ColourEncoder()}
    made = compose.build(select(atlas, layers=["detect"], truth=truth, sources=sources))
    for block in (block for part in made.sections for block in part.blocks):
        if isinstance(block, Table):
            assert not [row for row in block.rows if row.get("layer", "detect") != "detect"]
        if isinstance(block, Neurons):
            assert all(one.name.startswith("detect:") for one in block.items)


def test_an_image_that_is_damaged_is_left_out(atlas: Atlas, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    assert html._thumb(tmp_path / "broken.jpg") == ""


def test_numbers_and_code_in_sentences() -> None:
    made = Document("T", ("Of 3, 1 (33 %).",), (Section("a", "A", (Text("run `x <y>`"),)),), ())
    text = html.to_page(made)
    assert "(33\u00a0%)" in text
    assert "<code>x &lt;y&gt;</code>" in text
    assert sentences.part(5, 1000) == "5 (0.5 %)"
    assert sentences.part(0, 0) == "0"


def test_command(atlas: Atlas, truth: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    done = run(app, ["report", str(atlas.folder), "--format", "markdown", "--quiet"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "report.md").exists()
    done = run(app, ["report", str(atlas.folder), "--json", "--out", "deep/in/r.html"])
    found = json.loads(done.stdout)
    assert found["files"] == ["deep/in/r.html"]
    assert found["sections"]["caveats"] == "Before relying on it"
    assert found["facts"]["layers"][0]["units"] == 7
    for wrong, words in {
        ("--format", "pdf"): "one of html, markdown",
        ("--truth", "clases"): "Nearest: classes",
        ("--method", "nobody"): "one of clip-dissect",
    }.items():
        failed = run(app, ["report", str(atlas.folder), *wrong])
        assert isinstance(failed.exception, UsageError)
        assert words in str(failed.exception)
    (tmp_path / "file").write_text("")
    failed = run(app, ["report", str(atlas.folder), "--out", "file/r.html"])
    assert isinstance(failed.exception, NeuronymError)
    assert "Cannot write file/r.html" in str(failed.exception)
