"""What is passed on (a site, a report, tables, figures) tells nothing of the author's disk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image
from starlette.testclient import TestClient

import neuronym as nym
from commands import run
from neuronym._core.folders import without_folders
from neuronym.analysis.evaluation.base import TABLES
from neuronym.atlas.reader import Atlas
from neuronym.report.document.blocks import Document
from neuronym.web.server import application
from small_world import COLOURS, ColourEncoder, build, coloured_images


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """Made of a folder of images and a file of words, both named by absolute paths."""
    place = tmp_path_factory.mktemp("of-ann")
    for number, pixels in enumerate(coloured_images(30)):
        path = place / "her photos" / [*COLOURS][number % 5] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (place / "words.txt").write_text("\n".join([*COLOURS, "dog", "cat"]))
    made = nym.dissect(
        build(),
        layers=["detect", "head"],
        probe=f"folder:{place / 'her photos'}",
        concepts=f"file:{place / 'words.txt'}",
        encoder=ColourEncoder(),
        out=place / "atlas",
        similarity="soft-wpmi:top_k=4",
        cache=str(place / "cache"),
        keep="all",
        progress=None,
    )
    made = nym.analyse(made, ["significance:sets=200"], progress=None)
    return nym.label(made, "csp", progress=None)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports without the page of the report, which takes seconds."""
    nothing = Document("Report", (), (), ())
    monkeypatch.setattr("neuronym.web.pages.report.build", lambda seen: nothing)


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder, as text."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes().decode("utf-8", "replace")


def test_no_folder_of_the_author_is_passed_on(
    atlas: Atlas, no_report: None, tmp_path: Path
) -> None:
    place = atlas.folder.parent
    out = tmp_path / "out"
    asked = [
        ("export", "--format", "site", "--out", str(out / "site")),
        ("report", "--out", str(out / "report.md")),
        ("figure", "neuron", "--out", str(out / "neuron.svg")),
    ]
    for entry in TABLES:
        asked.append(("table", entry.name, "--out", str(out / f"{entry.name}.tex")))
    done = [run(first, str(atlas.folder), *rest, cwd=tmp_path) for first, *rest in asked]
    assert not any(done[n].code for n in range(3)), done[0].err
    found = dict(texts(out))
    assert len(found) > 40
    for name, text in found.items():
        assert str(place) not in text, name
        assert place.name not in text, name
    # The names are there, and the manifest keeps what opens the images again.
    unit = found["site/a/atlas/unit/detect/0.json"]
    assert "folder:her photos" in unit
    assert "file:words.txt" in unit
    assert str(place) in (atlas.folder / "atlas.json").read_text()
    assert "neuronym stability atlas" in found["report.md"]


def test_served_pages_and_what_went_wrong_there(atlas: Atlas) -> None:
    place = str(atlas.folder.parent)
    with TestClient(application([atlas])) as client:
        for address in ("", "/top", "/report", "/search?q=red", "/unit/detect/1", "/layer/none"):
            for end in (
                address,
                address.replace("?", ".json?") if "?" in address else f"{address}.json",
            ):
                assert place not in client.get(f"/a/atlas{end}").text


def links(out: Path) -> list[tuple[str, Path]]:
    """(page, file) of every link of every page of an exported site."""
    found = []
    for path in out.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#?]+)[#?"]', path.read_text("utf-8")):
            found.append((path.relative_to(out).as_posix(), path.parent / unquote(link)))
    return found


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (["--top", "3"], 3),
        (["--layers", "det*"], 7),
    ],
)
def test_a_site_of_some_neurons(atlas: Atlas, tmp_path: Path, asked: list[str], left: int) -> None:
    whole = nym.open(atlas.folder)
    done = run("export", str(atlas.folder), "--format", "site", "--out", "s", *asked, cwd=tmp_path)
    assert done.code == 0, done.err
    out = tmp_path / "s"
    layers = ["detect"] if "det*" in asked else ["head"] if "head" in asked else None
    best = whole.top(left, layers=layers)
    pages = {tuple(p.with_suffix("").parts[-2:]) for p in out.glob("a/atlas/unit/*/*.html")}
    assert len(pages) == left
    if "--top" in asked:
        assert pages == {(row.layer, str(row.unit)) for row in best.itertuples()}
    found = links(out)
    assert len(found) > 100
    for page, file in found:
        assert file.exists(), (page, file)
    here = [t for n, t in texts(out) if n.endswith(".html")]
    assert not any("#nowhere" in text for text in here)
    index = json.loads((out / "a/atlas/search.json").read_text())
    assert len(index["paged"]) == left
    hits = {n for word in index["words"].values() for n in word[::3]}
    assert hits <= set(index["paged"])
    # What other neurons are like one of these is said, without a way there.
    told = [path.read_text("utf-8") for path in sorted(out.glob("a/atlas/unit/*/*.html"))]
    assert any('<span class="tile">' in text for text in told)
    unit, text = min(pages), told[0]
    assert f"{left} neuron{'s' * (left > 1)} of 11 have pages here" in text
    layer = (out / "a/atlas/layer" / f"{unit[0]}.html").read_text("utf-8")
    assert layer.count('<td class="right"><a ') == len([p for p in pages if p[0] == unit[0]])
    shown = set(re.findall(r"thumbs/(\w+\.jpg)", "".join(here)))
    assert {p.name for p in out.glob("a/atlas/thumbs/*")} == shown


def test_only_sites_are_of_some_neurons(atlas: Atlas, tmp_path: Path) -> None:
    place = str(atlas.folder)
    done = run("export", place, "-f", "clip-dissect", "--out", "x.csv", "--top", "3", cwd=tmp_path)
    assert "Expected `top` to be left out: clip-dissect has no use for it" in done.err
    done = run("export", place, "-f", "site", "--out", "s", "--layers", "layer9", cwd=tmp_path)
    assert "got 'layer9'" in done.err


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("folder:/data/my photos", "folder:my photos"),
        ("folder:/data/cats,labels=no+folder:/data/dogs/", "folder:cats,labels=no+folder:dogs"),
        (r"folder:C\:\\Users\\ann\\photos", "folder:photos"),
        ("~/w.txt", "w.txt"),
        (r"folder:/a\+b/c\, d", r"folder:c\, d"),
        ("Weights are those of /home/ann/w.pt, as said.", "Weights are those of w.pt, as said."),
        ("Run `neuronym trust /home/ann/x --all`.", "Run `neuronym trust x --all`."),
        ("hf-hub:timm/vit/b", "hf-hub:timm/vit/b"),
        ("a photo of a / an {}, 3 /s", "a photo of a / an {}, 3 /s"),
        ("see https://a.org/b", "see https://a.org/b"),
    ],
)
def test_names_without_folders(given: str, shown: str) -> None:
    assert without_folders(given) == shown
    assert without_folders({"a": [given, 1, None]}) == {"a": [shown, 1, None]}
