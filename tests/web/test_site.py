"""The site: every page as HTML and JSON, hostile texts, wrong addresses, annotating, export."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import numpy as np
import pytest
from starlette.testclient import TestClient
from torch import nn

import neuronym as nym
from helpers import picture, png
from neuronym.analysis.truth.store import Annotations
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas
from neuronym.inputs.probes.base import Annotation, Probe, RawImage
from neuronym.inputs.targets.base import Target
from neuronym.labelling.base import Labeller, Labels, LayerLabels
from neuronym.web.addresses import Addresses, FileAddresses, segment
from neuronym.web.export import export_site
from neuronym.web.pages.base import kinds
from neuronym.web.pages.layer import LayerPage, principal
from neuronym.web.server import application
from neuronym.web.site import Site
from neuronym.web.view import View
from small_world import COLOURS, SMALL, ColourEncoder, Detectors

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onclick='alert(1)",
    "{{7*7}}",
    "a/b/../../c",
    "..",
    ".",
    "%2e%2e%2f",
    "C:\\x",
    "\u202edesrever\u202c",
    "nul\0byte",
    "w" * 10_000,
    "null",
    "nan",
    "Ünïcödé 字 🙂",
    "two\nlines",
    "&amp;",
    "</script><!--",
    "javascript:alert(1)",
    "a?b#c",
    "~tilde",
]
LAYER = '<i>odd & "layer"</i>'


class Hostile(Probe):
    """Images whose ids and annotations are hostile."""

    name = "<b>probe</b>"

    def __len__(self) -> int:
        return 23

    def image_id(self, index: int) -> str:
        return f"{HOSTILE[index % len(HOSTILE)][:200]}/{index}.png".replace("\0", "")

    def read(self, index: int) -> RawImage:
        return RawImage(png(picture(index)))

    def labels(self, index: int) -> Sequence[Annotation]:
        return [Annotation("<u>", HOSTILE[index % len(HOSTILE)][:300])]


class Odd(nn.Module):
    """Detectors in a layer whose name is hostile."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.ModuleDict({LAYER: Detectors()})

    def forward(self, images: Any) -> Any:
        return self.inside[LAYER](images)


@dataclass(frozen=True)
class Nasty(Labeller):
    """Gives every unit hostile labels."""

    name: ClassVar[str] = "nasty"

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        found = {}
        for place, layer in enumerate(layers):
            units = context.units(layer)
            words = [
                [HOSTILE[(u + place + n) % len(HOSTILE)] for n in range(3)] for u in range(units)
            ]
            scores = np.tile(np.array([0.9, 0.5, -0.1], np.float32), (units, 1))
            reasons = tuple("<em>why</em>" if unit == 1 else None for unit in range(units))
            found[layer] = LayerLabels(np.array(words, object), scores, reasons)
        return Labels(found, facts={"note": "<script>note</script>"})


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("site")
    made = nym.dissect(
        Target("<b>net</b>", Odd().eval(), SMALL),
        layers=["**.detect", "**.head"],
        probe=Hostile(),
        concepts=[*COLOURS, "<b>concept</b>"],
        encoder=ColourEncoder(),
        out=folder / "an atlas <1>",
        similarity="soft-wpmi:top_k=4",
        cache=str(folder / "cache"),
        progress=None,
    )
    nym.label(made, Nasty(), progress=None)
    return nym.open(made.folder)


@pytest.fixture(scope="module")
def client(atlas: Atlas) -> Iterator[TestClient]:
    with TestClient(application([atlas], writing=True), follow_redirects=False) as made:
        yield made


class Reader(HTMLParser):
    """Collects what a browser would act on, and complains of open elements."""

    VOID: ClassVar = {"meta", "link", "img", "input", "br", "rect", "circle", "path", "hr"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        assert tag not in ("iframe", "object", "embed", "base")
        assert not any(name.startswith("on") or name == "style" for name in found), attrs
        if tag == "script":
            assert set(found) <= {"type", "src"}
            assert found.get("src"), "an inline script"
        self.links += [v for k, v in found.items() if k in ("href", "src", "action") and v]
        self.ids += [v for k, v in found.items() if k == "id" and v]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()


def check(text: str) -> Reader:
    """A page that holds no foreign element and no foreign address."""
    found = Reader(text)
    assert len(found.ids) == len(set(found.ids))
    for link in found.links:
        assert not re.match(r"[a-z]+:|//", link), link
    for word in HOSTILE[:3]:
        assert word not in text
    assert "<b>net</b>" not in text
    assert "<script>note" not in text
    return found


def addresses(atlas: Atlas, name: str) -> list[tuple[str, ...]]:
    view = View(name, atlas)
    return [
        ("a", name, *([kind.name] if kind.name else []), *more)
        for kind in kinds().values()
        if kind.every
        for more in kind.every(view)
    ]


def test_every_page_in_both_forms(atlas: Atlas, client: TestClient) -> None:
    name = "an-atlas-1"
    pages = addresses(atlas, name)
    assert len(pages) > 35
    seen = set()
    for parts in pages:
        page = client.get(Addresses().page(*parts))
        assert page.status_code == 200, (parts, page.text[:300])
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        found = check(page.text)
        seen.update(link.partition("#")[0] for link in found.links)
        twin = client.get(Addresses().json(*parts))
        assert twin.headers["content-type"].startswith("application/json")
        assert twin.json()["parts"] == list(parts)
    # Everything that a page links to is there.
    for link in sorted(seen):
        if link and "?" not in link:
            assert client.get(link).status_code in (200, 303), link


def test_the_searches(client: TestClient) -> None:
    for word in (*HOSTILE, "red", ""):
        page = client.get("/a/an-atlas-1/search", params={"q": word[:300]})
        assert page.status_code == 200
        check(page.text)
    found = client.get("/a/an-atlas-1/search.json", params={"q": "red"}).json()
    assert found["found"] == len(found["units"]) > 0
    assert found["units"][0]["concept"] == "red"
    wrong = client.get("/a/an-atlas-1/search.json", params={"q": "red", "match": "fuzzy"}).json()
    assert "one of exact, substring, stem, got 'fuzzy'" in wrong["note"]
    assert client.get("/a/an-atlas-1/search", params={"q": "x" * 20_000}).status_code == 414
    layer = f"inside.{LAYER}.head"
    one = client.get("/a/an-atlas-1/search.json", params={"q": "e", "layers": layer}).json()
    assert {card["layer"] for card in one["units"]} == {layer}
    both = [layer, f"inside.{LAYER}.detect"]
    all_of = client.get("/a/an-atlas-1/search.json", params={"q": "e", "layers": both}).json()
    assert len(all_of["units"]) > len(one["units"])
    missing = client.get("/a/an-atlas-1/concept/unheard").text
    assert "Home of &lt;b&gt;net&lt;/b&gt;" in missing


def test_searches_of_other_methods_and_of_neurons_that_are_not(
    atlas: Atlas, client: TestClient
) -> None:
    at = "/a/an-atlas-1/search.json"
    nasty = client.get(at, params={"q": "{{7*7}}", "method": "nasty", "in": "labels"}).json()
    assert nasty["found"] > 0
    assert nasty["units"][0]["concept"] in HOSTILE
    assert client.get(at, params={"q": "{{7*7}}", "in": "labels"}).json()["found"] == 0
    assert client.get(at, params={"q": "red", "method": "none"}).status_code == 404
    page = client.get("/a/an-atlas-1/search", params={"q": "red"}).text
    assert f"<option selected>{atlas.methods[0]}</option><option>nasty</option>" in page
    layer = next(iter(atlas.layers))
    for query in ("99", f"{layer}:99", f"{layer} 99"):
        found = client.get(at, params={"q": query}).json()
        assert (found["absent"], found["units"], found["note"]) == (True, [], ""), query
        assert "counted from 0." in client.get(at[:-5], params={"q": query}).text
    assert client.get(at, params={"q": "route 66"}).json()["absent"] is False  # no such layer


def test_concepts_of_every_method_and_in_any_case(client: TestClient) -> None:
    for word in ("{{7*7}}", "a/b/../../c"):
        part = segment(word)
        found = client.get(f"/a/an-atlas-1/concept/{part}.json").json()
        assert [one["method"] for one in found["methods"]] == ["nasty"]
        assert found["methods"][0]["found"] == len(found["methods"][0]["units"]) > 0
    red = client.get("/a/an-atlas-1/concept/RED.json")
    assert red.status_code == 200
    assert red.json()["concept"] == "red"


def test_what_is_missing_is_not_shown_as_nan(atlas: Atlas, client: TestClient) -> None:
    dead = atlas.labels().query("abstained")
    assert dead["concept"].isna().any()
    for layer in atlas.layers:
        for form in ("", "/pictures"):
            page = client.get(f"/a/an-atlas-1/layer/{segment(layer)}{form}").text
            assert "(nan)" not in page
            assert 'title="nan"' not in page
    row = dead.iloc[0]
    card = client.get(f"/a/an-atlas-1/layer/{segment(row['layer'])}.json").json()["units"]
    assert card[row["unit"]]["concept"] is None


def test_a_large_layer_comes_in_pages(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sorted and filtered over all its neurons, not over those of a page; also as files."""
    monkeypatch.setattr(LayerPage, "at_once", 3)
    layer = f"inside.{LAYER}.detect"
    base = f"/a/an-atlas-1/layer/{segment(layer)}"
    client = TestClient(application([atlas]))
    first = atlas.first_labels(layer)

    def units(query: str, form: str = "") -> list[int]:
        check(client.get(f"{base}{form}?{query}").text)
        return [card["unit"] for card in client.get(f"{base}{form}.json?{query}").json()["units"]]

    assert [units(f"page={n}") for n in (1, 2, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [units(f"down=1&page={n}", "/pictures") for n in (1, 3)] == [[6, 5, 4], [0]]
    ranked = first.sort_values("score", ascending=False, kind="stable")["unit"].tolist()
    assert units("sort=score") + units("sort=score&page=2") + units("sort=score&page=3") == ranked
    words = first.dropna(subset="concept").sort_values("concept", kind="stable")["unit"].tolist()
    assert units("sort=label", "/map") == words[:3]
    wanted = first[first["concept"].eq("purple") | first["unit"].eq(5)]["unit"].tolist()
    assert units("show=PURPLE") == [u for u in wanted if u != 5]
    assert units("show=5") == [5]
    assert not units("labelled=1&show=5")  # the dead unit
    assert units("show=%3Cb%3E%22%27") == []
    text = client.get(base, params={"sort": "score", "show": "e"}).text
    assert [unquote(link) for link in check(text).links if "page=2" in link] == [
        f"{base}?page=2&sort=score&show=e"
    ] * 4  # its number and "next", above and below
    assert 'aria-sort="descending"' in text
    drawn = client.get(f"{base}/map?page=2").text
    assert drawn.count("<circle") == 3
    (others,) = re.findall(r'class="cloud" d="([^"]*)"', drawn)
    assert others.count("M") > 1
    none = client.get(f"{base}/map?show=%3Cu%3E&labelled=1").text
    assert "No neuron with a label has “&lt;u&gt;”." in none
    (every,) = re.findall(r'class="cloud" d="([^"]*)"', none)
    assert set(every.split("M")) >= set(others.split("M"))
    assert "no image embeddings" not in none
    for wrong in ("0", "4", "-1", "x", "²", "1" * 20):
        assert client.get(base, params={"page": wrong}).status_code == 404
    export_site([atlas], tmp_path / "site")
    folder = tmp_path / "site" / "a" / "an-atlas-1" / "layer" / FileAddresses.name(layer)[:-5]
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.html")}
    assert files == {"map.html", "pictures.html"} | {
        f"{form}/{n}.html" for form in ("table", "pictures") for n in (2, 3)
    }
    links = check((folder / "table/2.html").read_text()).links
    paths = [unquote(link.partition("?")[0]) for link in links]
    assert not [p for p in paths if p[:1] != "#" and not (folder / "table" / p).resolve().exists()]


@pytest.mark.parametrize(
    "path",
    [
        "/a/none",
        "/a/an-atlas-1/nothing",
        "/a/an-atlas-1/unit/detect/0",
        "/a/an-atlas-1/unit",
        "/a/an-atlas-1/concept/unheard",
        "/a/an-atlas-1/layer/x",
        "/static/../server.py",
        "/static/x.js",
        "/a/an-atlas-1/thumbs/..%2f..%2fatlas.json",
        "/a/an-atlas-1/thumbs/atlas.json",
        "/a/an-atlas-1/unit/%00/1",
        "/a/../../etc/passwd",
        "/a/an-atlas-1/concept/%ff%fe",
    ],
)
def test_addresses_that_are_none(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    check(answer.text)
    assert client.get(path + ".json").status_code == 404


def test_units_outside_the_layer(client: TestClient) -> None:
    layer = segment(f"inside.{LAYER}.detect")
    for unit in ("7", "-1", "1e3", "٣", "99999999999999999999", "0x1"):
        answer = client.get(f"/a/an-atlas-1/unit/{layer}/{unit}")
        assert answer.status_code == 404, unit
    assert "has the neurons 0…6" in client.get(f"/a/an-atlas-1/unit/{layer}/7").text


def test_other_hosts_are_refused(client: TestClient) -> None:
    assert client.get("/a/an-atlas-1", headers={"host": "evil.example"}).status_code == 400


def test_an_access_token(atlas: Atlas) -> None:
    with TestClient(application([atlas], access="öpen"), follow_redirects=False) as made:
        assert made.get("/a/an-atlas-1").status_code == 403
        assert made.get("/a/an-atlas-1?token=wrong").status_code == 403
        assert made.get("/static/style.css").status_code == 403
        let_in = made.get("/a/an-atlas-1?token=%C3%B6pen")
        assert let_in.status_code == 303
        assert "token" not in let_in.headers["location"]


def test_thumbs_are_cached_forever(atlas: Atlas, client: TestClient) -> None:
    name = next((atlas.folder / "thumbs").iterdir()).name
    answer = client.get(f"/a/an-atlas-1/thumbs/{name}")
    assert answer.content == (atlas.folder / "thumbs" / name).read_bytes()
    assert "immutable" in answer.headers["cache-control"]


def test_a_unit_page_says_what_the_atlas_says(atlas: Atlas, client: TestClient) -> None:
    layer = f"inside.{LAYER}.detect"
    data = client.get(Addresses().json("a", "an-atlas-1", "unit", layer, "2")).json()
    labels = atlas.labels(layer, 2)
    assert [item["concept"] for item in data["methods"][0]["labels"]] == list(labels["concept"])
    assert [item["score"] for item in data["methods"][0]["labels"]] == list(labels["score"])
    exemplars = atlas.exemplars(layer, 2)
    assert [item["image_id"] for item in data["exemplars"]] == list(exemplars["image_id"])
    values = atlas.activations(layer)[:, 2]
    assert sum(data["histogram"]["counts"]) == len(values)
    assert data["histogram"]["low"] == pytest.approx(values.min())
    assert data["previous"], data["next"] == (1, 3)
    nasty = client.get(Addresses().json("a", "an-atlas-1", "unit", layer, "1")).json()["methods"][1]
    assert nasty["abstained"]
    assert nasty["reason"] == "<em>why</em>"


# -- annotating -----------------------------------------------------------------------------------


def token_of(client: TestClient, address: str) -> str:
    return re.search(r'name="token" value="([^"]+)"', client.get(address).text)[1]


def test_annotating(atlas: Atlas, client: TestClient) -> None:
    base, query = "/a/an-atlas-1/annotate", "annotator=Ann&order=sequential"
    first = client.get(f"{base}/next?{query}").headers["location"]
    layer = f"inside.{LAYER}.detect"
    assert unquote(first).startswith(f"{base}/{segment(layer)}/0?annotator=Ann")
    token = token_of(client, first)
    form = {
        "token": token,
        "layer": segment(layer),
        "unit": "0",
        "annotator": "Ann",
        "order": "sequential",
        "status": "own",
        "own": "reD",
    }
    for wrong, code in (
        ({"token": "x"}, 403),
        ({"token": ""}, 403),
        ({"own": "zzz"}, 422),
        ({"own": " "}, 422),
        ({"status": "?"}, 422),
        ({"unit": "77"}, 404),
        ({"annotator": ""}, 404),
        ({"own": "w" * 20_000}, 413),
    ):
        answer = client.post(base, data=form | wrong)
        assert answer.status_code == code, (wrong, answer.text)
        check(answer.text)
    assert Annotations(atlas).latest() == []
    after = client.post(base, data=form)
    assert after.status_code == 303
    assert f"/{segment(layer)}/1?" in unquote(after.headers["location"])
    accept = form | {"unit": "1", "status": "label", "label": HOSTILE[0]}
    client.post(base, data=accept)
    client.post(base, data=form | {"unit": "3", "status": "unsure"})
    client.post(base, data=form | {"unit": "4", "own": "brand <new>", "new": "1"})
    got = [(a.unit, a.status, a.label, a.annotator) for a in Annotations(atlas).latest()]
    assert got == [
        (0, "own", "red", "Ann"),
        (1, "label", HOSTILE[0], "Ann"),
        (3, "unsure", "", "Ann"),
        (4, "own", "brand <new>", "Ann"),
    ]
    # It goes on with what has no answer, and goes back to what was answered last.
    assert f"/{segment(layer)}/2?" in unquote(
        client.get(f"{base}/next?{query}").headers["location"]
    )
    data = client.get(f"{base}/{segment(layer)}/2.json?{query}").json()
    assert (data["answered"], data["back"]) == (4, [layer, 4])
    assert client.get(f"{base}/{segment(layer)}/0.json?{query}").json()["earlier"]["label"] == "red"
    check(client.get(f"{base}/{segment(layer)}/1?{query}&blind=1").text)
    # Another person begins anew, in an order of her own that is the same each time.
    eve = {client.get(f"{base}/next?annotator=Eve").headers["location"] for _ in range(3)}
    assert len(eve) == 1
    assert client.get(f"{base}/complete.json?q=RE").json()[0] == "red"
    assert client.get(f"{base}/complete.json").json() == []


def test_without_writing_nothing_can_be_written(atlas: Atlas) -> None:
    with TestClient(application([atlas]), follow_redirects=False) as made:
        assert made.get("/a/an-atlas-1/annotate").status_code == 404
        assert made.post("/a/an-atlas-1/annotate", data={}).status_code == 405
        assert "Annotate" not in made.get("/a/an-atlas-1").text


# -- several atlases, files -----------------------------------------------------------------------


def test_several_atlases(atlas: Atlas) -> None:
    site = Site([atlas, atlas])
    assert list(site.views) == ["an-atlas-1", "an-atlas-1-2"]
    start = site.page([])
    assert [found["name"] for found in start.atlases] == list(site.views)
    layer = segment(f"inside.{LAYER}.detect")
    beside = site.page(["a", "an-atlas-1", "compare", layer, "an-atlas-1-2"])
    silent = {
        u
        for u, card in enumerate(site.page(["a", "an-atlas-1", "layer", layer]).units)
        if card.abstained
    }
    assert silent
    for row in beside.rows:  # nothing said twice is no agreement
        assert row.same is (None if row.unit in silent else True)
    tabs = site.html(beside, Addresses())
    assert (
        f'{Addresses().page("a", "an-atlas-1", "compare", layer, "an-atlas-1-2")}" aria-current'
        in tabs
    )
    check(site.html(start, Addresses()))
    check(site.html(beside, Addresses()))


def test_exported_files_link_to_each_other(atlas: Atlas, tmp_path: Path) -> None:
    out = tmp_path / "site"
    pages = export_site([atlas], out)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert len([name for name in files if name.endswith(".html")]) == pages
    for name in sorted(files):
        if name.endswith(".html"):
            text = (out / name).read_text("utf-8")
            assert "Content-Security-Policy" in text
            for link in check(text).links:
                path = unquote(link.partition("?")[0].partition("#")[0])
                if path:
                    there = (out / name).parent.joinpath(path).resolve().relative_to(out.resolve())
                    assert there.as_posix() in files, (name, link)
    index = json.loads((out / "a/an-atlas-1/search.json").read_text("utf-8"))
    red = index["words"]["red"]
    labels = atlas.labels()
    assert len(red) == 3 * len(labels[(labels["concept"] == "red") & (labels["rank"] <= 10)])
    with pytest.raises(
        nym.UsageError, match="which holds an exported site. Replace it with --overwr"
    ):
        export_site([atlas], out)
    (out / "mine.txt").write_text("keep me")
    assert export_site([atlas], out, overwrite=True) == pages
    assert (out / "mine.txt").read_text() == "keep me"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(nym.UsageError, match="new or empty folder, got .*full, which holds other"):
        export_site([atlas], tmp_path / "full", overwrite=True)


@pytest.mark.parametrize("text", [*HOSTILE, "layer4.1.conv2", "polka dot", ""])
def test_parts_of_addresses_are_safe_on_any_file_system(text: str) -> None:
    part = segment(text)
    assert part not in ("", ".", "..")
    assert not re.search(r'[/\\:*?"<>|\0-\37]', part)
    assert len(part.encode()) <= 255 - len(".html")
    assert segment(part) == part  # an address of an address is the same


def test_relative_addresses() -> None:
    at = FileAddresses("a", "demo", "unit", "_fc", "417")
    assert at.name("a", "demo", "unit", "_fc", "417") == "a/demo/unit/_fc/417.html"
    assert (
        at.page("a", "demo", "concept", "polka dot")
        == "../../../../a/demo/concept/polka%20dot.html"
    )
    assert FileAddresses().file("static/site.js") == "./static/site.js"


def test_principal_components_against_svd() -> None:
    rows = np.random.default_rng(3).normal(size=(11, 5))
    centred = rows - rows.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(principal(rows)), np.abs(left[:, :2] * sizes[:2]), atol=1e-9)
    assert principal(np.ones((4, 3))).tolist() == [[0, 0]] * 4
    assert principal(np.ones((3, 1))).shape == (3, 2)
