"""The site under attack and under change: forms of others, links out of atlases, wrong manifests,
pictures, several threads, atlases that change while they are shown."""

import html
import io
import json
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient
from torch import nn

import neuronym as nym
from neuronym._core.cached import cached
from neuronym._core.words import fold
from neuronym.analysis.truth.store import Annotations
from neuronym.atlas.context import LabelContext, Sources
from neuronym.atlas.reader import Atlas
from neuronym.inputs.targets.base import Target
from neuronym.labelling.base import Labeller, Labels, LayerLabels
from neuronym.search.searcher import Searcher
from neuronym.web import serving
from neuronym.web.addresses import Addresses, received, segment
from neuronym.web.export import MARK, PART, export_site
from neuronym.web.server import application
from neuronym.web.site import Site
from neuronym.web.uploads import parts_of
from small_world import COLOURS, SMALL, ColourEncoder, build, coloured_images


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("guard")
    return nym.dissect(
        build(),
        layers=["detect", "head"],
        probe=coloured_images(31),
        encoder=ColourEncoder(),
        concepts=[*COLOURS, "reddish brown"],
        similarity="soft-wpmi:top_k=5",
        out=folder / "World",
        cache=str(folder / "cache"),
        progress=None,
    )


@pytest.fixture
def atlas(made: Atlas, tmp_path: Path) -> Atlas:
    """A copy that a test may spoil."""
    return nym.open(shutil.copytree(made.folder, tmp_path / "World"))


@pytest.fixture
def client(atlas: Atlas) -> Iterator[TestClient]:
    with TestClient(application([atlas], writing=True), follow_redirects=False) as one:
        yield one


HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def token_of(client: TestClient, address: str) -> str:
    return re.search(r'name="token" value="([^"]+)"', client.get(address).text)[1]


def png(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (37, 23), colour).save(out, "PNG")
    return out.getvalue()


# -- who may write ----------------------------------------------------------------------------


def test_forms_of_other_sites_are_refused(client: TestClient, atlas: Atlas) -> None:
    base = "/a/world/annotate"
    form = {
        "token": token_of(client, f"{base}/detect/0?annotator=Ann"),
        "layer": "detect",
        "unit": "0",
        "annotator": "Ann",
        "status": "unsure",
    }
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "http://testserver:99"},
        {"origin": "http://["},
        {"origin": "testserver"},
    ):
        assert client.post(base, data=form, headers=headers).status_code == 403, headers
    assert Annotations(atlas).latest() == []
    own = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}
    assert client.post(base, data=form, headers=own).status_code == 303
    assert len(Annotations(atlas).latest()) == 1


def test_pages_that_are_read_cannot_be_written(client: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/a/world").status_code == 405
        assert client.request(method, "/static/site.js").status_code == 405
        assert client.request(method, "/a/world").headers.items() >= HEADERS.items()
    assert client.get("/a/world", headers={"host": "evil.example"}).headers.items() >= (
        HEADERS.items()
    )
    head = client.head("/a/world")
    assert (head.status_code, head.content) == (200, b"")


def test_files_in_place_of_texts(client: TestClient, atlas: Atlas) -> None:
    base = "/a/world/annotate"
    form = {
        "token": token_of(client, f"{base}/detect/0?annotator=Ann"),
        "layer": "detect",
        "unit": "0",
        "annotator": "Ann",
        "status": "own",
        "own": "red",
    }
    for name in form:
        rest = {key: value for key, value in form.items() if key != name}
        answer = client.post(base, data=rest, files={name: ("x", form[name].encode())})
        assert answer.status_code in (403, 404, 422), name
    assert Annotations(atlas).latest() == []
    assert client.post(base, data=form, files={"x": ("x", b"x")}).status_code == 303


def test_the_last_answer_is_taken_back(client: TestClient, atlas: Atlas) -> None:
    base = "/a/world/annotate"
    form = {
        "token": token_of(client, f"{base}/detect/0?annotator=Ann"),
        "annotator": "Ann",
        "order": "sequential",
        "layer": "detect",
        "status": "unsure",
    }
    for unit in ("0", "1"):
        client.post(base, data=form | {"unit": unit})
    back = client.post(base, data=form | {"unit": "2", "status": "undo"})
    assert "/annotate/detect/1?" in back.headers["location"]
    assert [a.unit for a in Annotations(atlas).latest("Ann")] == [0]
    for _ in range(2):  # nothing is left to take back: it goes on
        client.post(base, data=form | {"unit": "2", "status": "undo"})
    assert Annotations(atlas).latest("Ann") == []


def test_answers_that_cannot_be_saved(client: TestClient, atlas: Atlas) -> None:
    (atlas.folder / "annotations.sqlite").write_bytes(b"no database" * 99)
    base = "/a/world/annotate"
    assert "annotations.sqlite" in client.get(f"{base}/detect/0?annotator=A").text
    token = token_of(client, "/a/world/search")
    form = {"token": token, "layer": "detect", "unit": "0", "annotator": "A", "status": "unsure"}
    answer = client.post(base, data=form)
    assert answer.status_code == 500
    assert "Not saved" in answer.text
    assert "Nothing that was saved before is lost" in answer.text


def test_the_token_in_the_address_becomes_a_cookie(atlas: Atlas) -> None:
    with TestClient(application([atlas], access="open"), follow_redirects=False) as one:
        answer = one.get("/a/world/search?q=red&token=open&in=labels")
        assert "samesite=lax" in answer.headers["set-cookie"].lower()
        assert answer.headers["location"] == "/a/world/search?q=red&in=labels"
        assert one.get("/a/world").status_code == 200
        thumb = next((atlas.folder / "thumbs").iterdir()).name
        assert one.get(f"/a/world/thumbs/{thumb}").headers["cache-control"].startswith("private,")
        one.cookies.clear()
        away = one.get("http://testserver//evil.example/x?token=open").headers["location"]
        assert away == "/evil.example/x"
        for path in ("/a%0d%0aSet-Cookie:x", "/a/world/search%0d%0aX:y", "/%5c%5cevil.example"):
            where = one.get(f"{path}?token=open").headers.get("location", "/")
            assert re.fullmatch(r"/([^/\\\s][^\\\s]*)?", where), where


# -- pictures ---------------------------------------------------------------------------------


def test_a_picture_finds_its_detector(client: TestClient, monkeypatch) -> None:
    monkeypatch.setattr(
        Searcher,
        "sources",
        property(lambda self: Sources(self.atlas, target=build(), encoder=ColourEncoder())),
    )
    form = {"token": token_of(client, "/a/world/search"), "by": "encoder"}
    for by in ("encoder", "target"):
        sent = {"picture": ("x.png", png((0, 255, 0)))}
        found = client.post("/a/world/picture", data=form | {"by": by}, files=sent)
        assert found.status_code == 200
        first = re.search(r'class="tile" href="[^"]+/unit/(\w+)/(\d+)"', found.text)
        assert first.groups() == ("detect", "1"), by
    for content in (b"", b"no picture", png((1, 2, 3))[:60]):
        wrong = client.post("/a/world/picture", data=form, files={"picture": ("x", content)})
        assert wrong.status_code == 422
        assert "This picture " in wrong.text
    sent = {"picture": ("x.png", png((0, 255, 0)))}
    assert client.post("/a/world/picture", data={"token": "x"}, files=sent).status_code == 403
    big = {"picture": ("x.png", b"x" * (21 << 20))}
    assert client.post("/a/world/picture", data=form, files=big).status_code == 413
    assert client.get("/a/world/picture").headers["location"] == "/a/world/search"


def test_forms_with_files() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="word"\r\n\r\nd\xc3\xb6g\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\\"b"\r\n'
        b"Content-Type: image/png\r\n\r\n\x00\r\n--bytes\r\n--b--\r\n"
    )
    found = parts_of(body, "multipart/form-data; boundary=b")
    assert found["word"] == "dög"
    assert found["file"].startswith(b"\x00")
    assert parts_of(b"a=1&b=%20", "application/x-www-form-urlencoded") == {"a": "1", "b": " "}
    for odd in (b"", b"--b", b"\r\n--b\r\n\r\n", b"--b--", b"\xff" * 99):
        for kind in ("multipart/form-data; boundary=b", "multipart/form-data", "", "x/y; a=\x00"):
            assert all(isinstance(name, str) for name in parts_of(odd, kind))


# -- atlases that lie, or change ----------------------------------------------------------------


def test_links_out_of_the_atlas_are_not_followed(atlas: Atlas, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    (atlas.folder / "thumbs" / "out.jpg").symlink_to(secret)
    (atlas.folder / "thumbs" / "notes.txt").write_text("mine")
    with TestClient(application([atlas])) as one:
        for name in ("out.jpg", "notes.txt"):
            assert one.get(f"/a/world/thumbs/{name}").status_code == 404
    image = atlas.images["image_id"][0]
    assert atlas.thumb(image).is_file()
    for digest in ("out", "../../secret", "/etc/passwd", "", None):
        atlas.__dict__["_hashes"] = {image: digest}  # what a made-up table would say
        assert atlas.thumb(image) is None
    export_site([atlas], tmp_path / "site")
    assert not list((tmp_path / "site").rglob("out.jpg"))
    shutil.move(atlas.folder / "thumbs", tmp_path / "elsewhere")
    (atlas.folder / "thumbs").symlink_to(tmp_path / "elsewhere")
    assert Site([atlas]).views["world"].thumb_files == frozenset()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("target.name", {"x": 1}, "target.name"),
        ("probe.images", "many", "probe.images"),
        ("methods", [], "methods"),
        ("concepts.count", "3", "concepts.count"),
        ("encoder.note", 7, "encoder.note"),
        ("target.layers.0.units", 10**15, "in its tables"),
        ("target.layers.0.units", "7", "target.layers"),
        ("target.layers.1.layer", None, "target.lay"),
        ("target.layers.1.layer", "detect", "target.layers"),
        ("target.layers", [3], "target.layers"),
    ],
)
def test_manifests_of_the_wrong_kind(atlas: Atlas, path: str, value: object, said: str) -> None:
    manifest = json.loads((atlas.folder / "atlas.json").read_text())
    *parents, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
    place = manifest
    for key in parents:
        place = place[key]
    place[last] = value
    (atlas.folder / "atlas.json").write_text(json.dumps(manifest))
    with pytest.raises(nym.NeuronymError, match=said):
        Site([nym.open(atlas.folder)])


def test_what_was_not_foreseen_is_a_page_too(client: TestClient, monkeypatch, caplog) -> None:
    monkeypatch.setattr("neuronym.web.pages.unit._citation", lambda *args: 1 / 0)
    for ending, kind in (("", "text/html"), (".json", "application/json")):
        answer = client.get(f"/a/world/unit/detect/1{ending}")
        assert answer.status_code == 500
        assert answer.headers["content-type"].startswith(kind)
        assert "This cannot be shown" in answer.text
        assert "Error" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_an_atlas_that_is_added_to_is_opened_anew(client: TestClient, atlas: Atlas) -> None:
    assert "random" not in client.get("/a/world/unit/detect/1").text
    nym.label(atlas, "random", progress=None)
    data = client.get("/a/world/unit/detect/1.json").json()
    assert [method["name"] for method in data["methods"]][1:] == ["random"]
    shutil.rmtree(atlas.folder)  # and one that is gone is still told of, as far as it was read
    assert client.get("/a/world/unit/detect/1").status_code in (200, 500)


# -- several at once ------------------------------------------------------------------------------


def test_ten_threads_make_a_property_once() -> None:
    class Slow:
        made = 0

        @cached
        def value(self) -> int:
            self.made += 1
            gate.wait(0.2)
            return self.made

    gate, one, seen = threading.Event(), Slow(), []
    threads = [threading.Thread(target=lambda: seen.append(one.value)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 10


def test_a_port_that_is_taken_is_said() -> None:
    first = serving.listen("127.0.0.1", 0)
    with first, pytest.raises(nym.UsageError, match="Leave --port out to take a free one"):
        serving.listen("127.0.0.1", first.getsockname()[1])


# -- search, report, files ------------------------------------------------------------------------


def test_neurons_by_name_and_number(client: TestClient) -> None:
    for name in ("detect:3", "detect 3"):
        answer = client.get("/a/world/search", params={"q": name})
        assert answer.headers["location"] == "/a/world/unit/detect/3"
    both = client.get("/a/world/search.json", params={"q": "3"}).json()
    assert [(card["layer"], card["unit"]) for card in both["named"]] == [("detect", 3), ("head", 3)]
    assert client.get("/a/world/search.json", params={"q": "detect:99"}).json()["named"] == []


def test_the_report(client: TestClient, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("neuronym.web.pages.report.made", lambda view: pytest.fail("made"))
        for name in ("none.svg", "x", ".svg"):
            assert client.get(f"/a/world/report/{name}").status_code == 404
    text = client.get("/a/world/report").text
    assert "Layer by layer" in text
    drawings = re.findall(r'<img src="(/a/world/report/[\w.]+)"', text)
    assert drawings
    for drawing in drawings:
        answer = client.get(drawing)
        assert answer.headers["content-type"].startswith("image/")
        assert "script" not in answer.headers["content-security-policy"]
    sections = client.get("/a/world/report.json").json()["sections"]
    assert {block["kind"] for part in sections for block in part["blocks"]} >= {"table", "neurons"}


@pytest.mark.torture
def test_an_export_that_was_stopped_is_begun_anew(
    atlas: Atlas, tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "site"
    with monkeypatch.context() as patched:
        patched.setattr("neuronym.web.export.static_files", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export_site([atlas], out)
    assert [path.name for path in out.iterdir()] == [MARK]
    move = Path.replace

    def stopping(path: Path, to: Path) -> Path:
        if to.name == "compare.html":
            raise KeyboardInterrupt
        return move(path, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", stopping)
        with pytest.raises(KeyboardInterrupt):
            export_site([atlas, atlas], out)
    assert (out / ".nojekyll").exists()
    assert not json.loads((out / MARK).read_text())["complete"]
    (out / PART).mkdir()  # as one that was killed leaves it
    (out / PART / "left.html").touch()
    pages = export_site([atlas], out)
    told = json.loads((out / MARK).read_text())
    assert (told["complete"], told["pages"]) == (True, pages)
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert there == {*told["files"], MARK}
    assert "left.html" not in there
    assert (out / "a/world/unit/detect/0.html").exists()
    assert list((out / "a/world/report").glob("*.svg"))
    assert not (out / "a/world-2").exists()  # of the one that was stopped


def test_an_export_touches_only_what_it_writes(atlas: Atlas, tmp_path: Path, monkeypatch) -> None:
    out, away = tmp_path / "site", tmp_path / "away"
    export_site([atlas, atlas], out)
    away.mkdir()
    targets = [away / name for name in ("index.html", ".nojekyll", "0.html", "style.css", "mark")]
    for target in targets:
        target.write_text("mine")
    for name, target in (("index.html", targets[0]), (".nojekyll", targets[1])):
        (out / name).unlink()
        (out / name).symlink_to(target)
    shutil.rmtree(out / "a/world/unit/detect")
    (out / "a/world/unit/detect").symlink_to(away)
    shutil.rmtree(out / "static")
    (out / "static").symlink_to(away)
    shutil.rmtree(out / "a/world-2/layer")
    (out / "a/world-2/layer").symlink_to(away)  # where files are removed
    (away / "detect.html").write_text("mine")
    for name in ("mine.txt", "a/mine.html", "a/world/mine.css"):
        (out / name).write_text("mine")
    told = json.loads((out / MARK).read_text())
    told["files"] += ["../away/mark", "a/../../away/mark", str(targets[4]), "", ".", "\0", 7]
    (out / MARK).write_text(json.dumps(told))
    with monkeypatch.context() as patched:  # one that fails leaves the earlier one as it is
        patched.setattr("neuronym.web.pages.unit._citation", lambda *args: {}["this"])
        said = r"^Cannot make the page a/world/unit/detect/0\.html: .*KeyError: 'this'"
        with pytest.raises(nym.NeuronymError, match=said):
            export_site([atlas], out, overwrite=True)
    assert json.loads((out / MARK).read_text()) == told
    (out / PART).symlink_to(away)
    export_site([atlas], out, overwrite=True)
    assert sorted(away.iterdir()) == sorted([*targets, away / "detect.html"])
    assert {path.read_text() for path in away.iterdir()} == {"mine"}
    for name in ("mine.txt", "a/mine.html", "a/world/mine.css"):
        assert (out / name).read_text() == "mine"
    links = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_symlink()]
    assert links == ["a/world-2/layer"]
    assert [path.name for path in (out / "a/world-2").iterdir()] == ["layer"]
    assert "neuronym" in (out / "index.html").read_text()


def test_a_damaged_atlas_is_said_in_a_sentence(atlas: Atlas, tmp_path: Path) -> None:
    path = atlas.folder / "exemplars.parquet"
    frame = pd.read_parquet(path)
    for spoiled, said in (
        (frame.assign(y="x"), "a/world/unit/detect/0.html: .*ValueError"),
        (frame.drop(columns="x"), "a/world/unit/detect/0.html: .*KeyError"),
    ):
        spoiled.to_parquet(path)
        with pytest.raises(nym.NeuronymError, match=f"^Cannot make the page {said}"):
            export_site([nym.open(atlas.folder)], tmp_path / "site")


# -- names ----------------------------------------------------------------------------------------

CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f]")
HASH = str(segment("a/b"))  # as a mere name
WORDS = ["x", "x.json", "X.HTML", "a/b", HASH, str(segment(HASH)), "com1", "com¹", "nul\0\x1bbyte"]
STAGES = [f"stage, {number:02} {'of many with a long name ' * 3}" for number in range(60)]


class Inner(nn.Module):
    """A layer `x` that holds a layer `x.html`."""

    def __init__(self) -> None:
        super().__init__()
        self.html = nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.html(images) + 1


class Stages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.x = Inner()
        self.all = nn.ModuleDict({name: nn.Conv2d(3, 3, 1) for name in STAGES})

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = self.x(images)
        for stage in self.all.values():
            images = stage(images)
        return images


@dataclass(frozen=True)
class Odd(Labeller):
    """Gives the units the odd words in turn."""

    name: ClassVar[str] = "odd"

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        found = {}
        for place, layer in enumerate(layers):
            units = context.units(layer)
            words = [[WORDS[(3 * place + unit) % len(WORDS)]] for unit in range(units)]
            scores = np.ones((units, 1), np.float32)
            found[layer] = LayerLabels(np.array(words, object), scores, (None,) * units)
        return Labels(found)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("odd")
    torch.manual_seed(0)
    made = nym.dissect(
        Target("stages", Stages().eval(), SMALL),
        layers=["x", "x.html", "all.*"],
        probe=coloured_images(13),
        encoder=ColourEncoder(),
        concepts=[*COLOURS],
        similarity="soft-wpmi:top_k=3",
        out=folder / "con",
        cache=str(folder / "cache"),
        progress=None,
    )
    nym.label(made, Odd(), progress=None)
    return nym.open(made.folder)


def test_no_two_names_share_a_part() -> None:
    names = [*WORDS, "x.html", "y.JSON", "lpt²", "com³.x", "con"]
    parts = [segment(name) for name in names]
    assert len({part.lower() for part in parts}) == len(names)
    for name, part in zip(names, parts, strict=True):
        assert segment(part) == segment(received(str(part))) == part
        assert not part.lower().endswith((".html", ".json"))
        assert (part == name) == (name in ("x", "com"))
    assert segment("layer4.1.conv2") == "layer4.1.conv2"


def test_folders_of_any_name(atlas: Atlas, tmp_path: Path) -> None:
    names = ["con", "w" * 200, "w" * 199 + "x", "-", "COM1", "字"]
    atlases = [nym.open(shutil.copytree(atlas.folder, tmp_path / name)) for name in names]
    with TestClient(application(atlases)) as one:
        start = one.get("/index.json").json()["atlases"]
        found = [entry["name"] for entry in start]
        assert found[0] == "atlas-con"
        assert len(set(found)) == len(names)
        for name in found:
            assert segment(name) == name
            assert one.get(f"/a/{name}").status_code == 200
            assert one.get(f"/a/{name}/unit/detect/1").status_code == 200


@pytest.mark.torture
def test_odd_names_are_served_and_exported(odd: Atlas, tmp_path: Path) -> None:
    with TestClient(application([odd])) as one:
        for word in WORDS:
            address = Addresses().page("a", "atlas-con", "concept", fold(word))
            page = one.get(address)
            assert page.status_code == 200, word
            assert not CONTROL.search(page.text)
            assert one.get(f"{address}.json").json()["concept"] == fold(word)
        for layer in ("x", "x.html"):
            address = Addresses().page("a", "atlas-con", "unit", layer, "2")
            assert one.get(f"{address}.json").json()["layer"] == layer
        for page in (
            one.get("/a/atlas-con/search", params={"q": "a\0b\x1b"}),
            one.get(Addresses().page("a", "atlas-con", "concept", WORDS[-1])),
        ):
            assert not CONTROL.search(page.text)
            assert page.text.count("�") > 2
    pages = export_site([odd], tmp_path / "site")
    files = list((tmp_path / "site").rglob("*.html"))
    assert len(files) == pages
    assert not [path for path in files if CONTROL.search(path.read_text("utf-8"))]


def test_many_layers_can_be_annotated(odd: Atlas) -> None:
    base = "/a/atlas-con/annotate"
    with TestClient(application([odd], writing=True), follow_redirects=False) as one:
        every = one.get(f"{base}/next", params={"annotator": "Ann", "layers": list(odd.layers)})
        assert "layers" not in every.headers["location"]
        assert one.get(every.headers["location"]).status_code == 200
        some = [layer for layer in odd.layers if layer != "x"][1:]
        assert sum(map(len, some)) > 4096
        asked = {"annotator": "Ann", "order": "sequential", "layers": some[::-1]}
        first = one.get(f"{base}/next", params=asked).headers["location"]
        assert f"/{segment(some[0])}/0?" in unquote(first)
        page = one.get(first).text
        assert f"of {3 * len(some)} answered" in page
        form = [
            (html.unescape(name), html.unescape(value))
            for name, value in re.findall(
                r'<input type="hidden" name="([^"]+)" value="([^"]*)">',
                page.partition('id="answer"')[2].partition("</form>")[0],
            )
        ]
        assert [value for name, value in form if name == "layers"] == some
        fields: dict[str, list[str]] = {}
        for name, value in [*form, ("status", "unsure")]:
            fields.setdefault(name, []).append(value)
        after = one.post(base, data=fields)
        assert after.status_code == 303
        assert parse_qs(after.headers["location"].partition("?")[2])["layers"] == some
        settings = one.get(f"{base}?{first.partition('?')[2]}").text
        assert settings.count(" selected>") == len(some) + 1  # and the order
        assert one.get(f"{base}?annotator={'x' * 20_000}").status_code == 414


# -- the running server ---------------------------------------------------------------------------


def test_the_address_that_is_printed_is_answered(atlas: Atlas, monkeypatch) -> None:
    ran: list[Any] = []
    warmed = threading.Event()
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: ran.append(self.config.app))
    monkeypatch.setattr("neuronym.web.server._Shown.warm", lambda self: warmed.set())
    try:
        bound = serving.listen("127.0.0.2", 0)
    except nym.UsageError:
        pytest.skip("this machine has one address of its own only")
    with bound:
        serving.serve([atlas], bound)
    assert warmed.wait(10)
    with TestClient(ran[0]) as one:
        for host, status in (("127.0.0.2:8000", 200), ("127.0.0.3:8000", 400), ("[", 400)):
            assert one.get("/a/world", headers={"host": host}).status_code == status, host
    with TestClient(application([atlas], hosts=["*"], access="t")) as one:
        assert one.get("/a/world", headers={"host": "["}).status_code == 403


def test_the_first_page_is_made_before_it_is_asked_for(atlas: Atlas, monkeypatch) -> None:
    app = application([atlas])
    app.state.warm()
    monkeypatch.setattr(Site, "page", lambda *args: pytest.fail("made"))
    with TestClient(app) as one:
        assert "detectors" in one.get("/a/world").text
