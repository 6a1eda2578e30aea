"""The site under attack and under change: forms of others, links out of atlases, wrong manifests,
pictures, several threads, atlases that change while they are shown."""

import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

import neuronym as nym
from neuronym._held import held
from neuronym.atlas import Atlas
from neuronym.origins import Origins
from neuronym.search import Searcher
from neuronym.truth import Annotations
from neuronym.web import serving
from neuronym.web.export import MARK, export_site
from neuronym.web.server import application
from neuronym.web.site import Site
from neuronym.web.uploads import parts_of
from small_world import COLOURS, ColourEncoder, build, coloured_images


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("guard")
    return nym.dissect(
        build(), layers=["detect", "head"], probe=coloured_images(31), encoder=ColourEncoder(),
        concepts=[*COLOURS, "reddish brown"], similarity="soft-wpmi:top_k=5", out=folder / "World",
        cache=str(folder / "cache"), progress=None,
    )  # fmt: skip


@pytest.fixture
def atlas(made: Atlas, tmp_path: Path) -> Atlas:
    """A copy that a test may spoil."""
    return nym.open(shutil.copytree(made.folder, tmp_path / "World"))


@pytest.fixture
def client(atlas: Atlas) -> Iterator[TestClient]:
    with TestClient(application([atlas], writing=True), follow_redirects=False) as one:
        yield one


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
        "token": token_of(client, f"{base}/detect/0?annotator=Ann"), "layer": "detect", "unit": "0",
        "annotator": "Ann", "status": "unsure",
    }  # fmt: skip
    for headers in (
        {"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
        {"origin": "http://testserver:99"},
    ):  # fmt: skip
        assert client.post(base, data=form, headers=headers).status_code == 403, headers
    assert Annotations(atlas).latest() == []
    own = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}
    assert client.post(base, data=form, headers=own).status_code == 303
    assert len(Annotations(atlas).latest()) == 1


def test_pages_that_are_read_cannot_be_written(client: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/a/world").status_code == 405
        assert client.request(method, "/static/site.js").status_code == 405
    head = client.head("/a/world")
    assert (head.status_code, head.content) == (200, b"")


def test_the_last_answer_is_taken_back(client: TestClient, atlas: Atlas) -> None:
    base = "/a/world/annotate"
    form = {
        "token": token_of(client, f"{base}/detect/0?annotator=Ann"), "annotator": "Ann",
        "order": "sequential", "layer": "detect", "status": "unsure",
    }  # fmt: skip
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
        assert answer.headers["location"] == "/a/world/search?q=red&in=labels"
        assert one.get("/a/world").status_code == 200
        one.cookies.clear()
        away = one.get("http://testserver//evil.example/x?token=open").headers["location"]
        assert away == "/evil.example/x"
        for path in ("/a%0d%0aSet-Cookie:x", "/a/world/search%0d%0aX:y", "/%5c%5cevil.example"):
            where = one.get(f"{path}?token=open").headers.get("location", "/")
            assert re.fullmatch(r"/([^/\\\s][^\\\s]*)?", where), where


# -- pictures ---------------------------------------------------------------------------------


def test_a_picture_finds_its_detector(client: TestClient, monkeypatch) -> None:
    monkeypatch.setattr(
        Searcher, "origins",
        property(lambda self: Origins(self.atlas, target=build(), encoder=ColourEncoder())),
    )  # fmt: skip
    form = {"token": token_of(client, "/a/world/search"), "by": "encoder"}
    for by in ("encoder", "target"):
        sent = {"picture": ("x.png", png((0, 255, 0)))}
        found = client.post("/a/world/picture", data=form | {"by": by}, files=sent)
        assert found.status_code == 200
        first = re.search(r'class="tile" href="[^"]+/unit/(\w+)/(\d+)"', found.text)
        assert first.groups() == ("detect", "1"), by
    for content in (b"", b"no picture", png((1, 2, 3))[:60]):
        wrong = client.post("/a/world/picture", data=form, files={"picture": ("x", content)})
        assert wrong.status_code == 200
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


@pytest.mark.parametrize(("path", "value", "said"), [
    ("target.name", {"x": 1}, "target.name"), ("probe.images", "many", "probe.images"),
    ("methods", [], "methods"), ("concepts.count", "3", "concepts.count"),
    ("encoder.note", 7, "encoder.note"), ("target.layers.0.units", 10**15, "in its tables"),
    ("target.layers.0.units", "7", "target.layers"), ("target.layers.1.layer", None, "target.lay"),
    ("target.layers.1.layer", "detect", "target.layers"), ("target.layers", [3], "target.layers"),
])  # fmt: skip
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

        @held
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


def test_the_report(client: TestClient) -> None:
    text = client.get("/a/world/report").text
    assert "Layer by layer" in text
    drawings = re.findall(r'<img src="(/a/world/report/[\w.]+)"', text)
    assert drawings
    for drawing in drawings:
        answer = client.get(drawing)
        assert answer.headers["content-type"].startswith("image/")
        assert "script" not in answer.headers["content-security-policy"]
    assert client.get("/a/world/report/none.svg").status_code == 404
    sections = client.get("/a/world/report.json").json()["sections"]
    assert {block["kind"] for part in sections for block in part["blocks"]} >= {"table", "neurons"}


def test_an_export_that_was_stopped_is_begun_anew(
    atlas: Atlas, tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "site"
    with monkeypatch.context() as patched:
        patched.setattr("neuronym.web.export.static_files", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export_site([atlas], out)
    assert json.loads((out / MARK).read_text()) == {"complete": False}
    pages = export_site([atlas, atlas], out)
    assert json.loads((out / MARK).read_text()) == {"complete": True, "pages": pages}
    assert (out / "a/world-2/unit/detect/0.html").exists()
    assert list((out / "a/world/report").glob("*.svg"))
