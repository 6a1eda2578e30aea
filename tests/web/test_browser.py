"""The site in a real browser: search, links, history, keys, annotating, the exported files."""

import contextlib
import functools
import http.server
import json
import re
import shutil
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import uvicorn

import neuronym as nym
from neuronym.analysis.truth.store import Annotations
from neuronym.atlas.reader import Atlas
from neuronym.web import serving
from neuronym.web.export import export_site
from neuronym.web.server import application
from small_world import COLOURS, ColourEncoder, build, coloured_images

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("browser")
    made = nym.dissect(
        build(),
        layers=["detect", "head"],
        probe=coloured_images(61),
        encoder=ColourEncoder(),
        concepts=[*COLOURS, "reddish brown"],
        similarity="soft-wpmi:top_k=7",
        out=folder / "world",
        cache=str(folder / "cache"),
        progress=None,
    )
    return nym.label(made, "random", progress=None)


@contextlib.contextmanager
def running(*atlases: Atlas, **options: object) -> Iterator[str]:
    """The address of a running server."""
    bound = serving.listen("127.0.0.1", 0)
    config = uvicorn.Config(application(atlases, **options), log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    yield serving.address("127.0.0.1", bound, None, None).rstrip("/")
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def root(atlas: Atlas) -> Iterator[str]:
    with running(atlas, writing=True) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser: object) -> Iterator[object]:
    """A page of a browser that has seen nothing; scripts must not fail, nothing may be blocked."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    made = context.new_page()
    problems: list[str] = []
    made.on("pageerror", lambda error: problems.append(str(error)))
    made.on(
        "console",
        lambda said: (
            problems.append(said.text) if said.type == "error" and "422" not in said.text else None
        ),
    )
    yield made
    context.close()
    assert not problems, problems


def test_search_by_word_and_follow_links(page: object, root: str) -> None:
    page.goto(root)
    page.keyboard.press("/")
    page.keyboard.type("red")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/search\?q=red$"))
    first = page.locator("a.tile").first
    assert "red" in first.inner_text()
    first.click()
    page.wait_for_url(re.compile(r"/unit/(detect|head)/\d+$"))
    assert (
        page.locator("figure img").first.evaluate("image => image.complete && image.naturalWidth")
        > 0
    )
    name = page.locator("h1 .name").inner_text()
    page.locator("ol.labels a").first.click()
    page.wait_for_url(re.compile(r"/concept/\w+$"))
    assert name in page.locator("main").inner_text()


def test_keys_lead_to_the_neighbours(page: object, root: str) -> None:
    page.goto(f"{root}/a/world/unit/detect/2")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("/unit/detect/3$"))
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile("/unit/detect/2$"))
    page.keyboard.press("?")
    assert page.locator("dialog[open]").is_visible()
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    page.locator("a.enlarge").first.click()
    assert page.locator("dialog img").is_visible()


def test_history_is_kept_and_shared(page: object, root: str, browser: object) -> None:
    for path in ("unit/detect/1", "concept/blue", "unit/detect/1"):
        page.goto(f"{root}/a/world/{path}")
    page.goto(f"{root}/a/world/history")
    links = page.locator("#history a")
    assert [text.split()[0] for text in links.all_inner_texts()] == ["detect:1", "blue"]
    page.click("#history-share")
    shared = page.evaluate("location.href")
    other = browser.new_context()
    guest = other.new_page()
    guest.goto(shared)
    assert guest.locator("#history a").count() == 2
    guest.locator("#history a").nth(1).click()
    guest.wait_for_url(re.compile("/concept/blue$"))
    guest.goto(
        f"{root}/a/world/history#v=" + '[["https://evil.example/","x"],["javascript:alert(1)","y"]]'
    )
    guest.reload()
    assert guest.locator("#history a").count() == 0
    bad = '["http://[","x"],7,null,[{"toString":1},"x"],["unit/detect/2",7]'
    guest.goto(f'{root}/a/world/history#v=[{bad},["unit/detect/1","detect:1"]]')
    guest.reload()
    assert guest.locator("#history a").all_inner_texts() == ["detect:1"]
    other.close()
    page.evaluate(
        """() => {
          const kept = JSON.parse(localStorage.getItem("neuronym:world"));
          const bad = [{to: "http://[", name: "x"}, {to: "y", name: "y", at: {toString: 1}}, 7];
          localStorage.setItem("neuronym:world", JSON.stringify([...bad, ...kept]));
        }"""
    )
    page.reload()
    page.goto(f"{root}/a/world/history")
    assert [text.split()[0] for text in links.all_inner_texts()] == ["y", "detect:1", "blue"]
    with page.expect_navigation():
        page.click("#history-clear")
    assert page.locator("#history a").count() == 0
    page.evaluate("""localStorage.setItem("neuronym:world", '[{"to": "http://[", "name": "x"}]')""")
    page.reload()
    assert page.locator("#history-clear").is_visible()


def test_links_on_other_sites_lead_in(page: object, atlas: Atlas, files: str) -> None:
    elsewhere = files.replace("127.0.0.1", "localhost")
    with running(atlas, access="secret") as address:
        for path, heading in (("/?token=secret", "detectors"), ("/a/world/concept/red", "red")):
            page.goto(f"{elsewhere}/index.html")
            page.evaluate(
                """to => {
                  const link = Object.assign(document.createElement("a"), {href: to, id: "out"});
                  link.textContent = "there";
                  document.body.prepend(link);
                }""",
                f"{address}{path}",
            )
            page.click("#out")
            page.wait_for_url(f"{address}/a/**")
            assert heading in page.locator("h1").inner_text()


def test_the_table_is_sorted_and_filtered(page: object, root: str) -> None:
    page.goto(f"{root}/a/world/layer/detect")

    def numbers() -> list[int]:
        cells = page.locator("#units tbody tr:visible td:first-child")
        return [int(text) for text in cells.all_inner_texts()]

    assert numbers() == list(range(7))
    page.locator("#units th button", has_text="neuron").click()
    assert numbers() == list(range(7))[::-1]
    page.fill("input.filter", "purple")
    assert 4 in numbers()
    assert len(numbers()) < 7
    page.goto(f"{root}/a/world/layer/detect/map")
    assert page.locator("svg.map circle").count() == 7


def test_annotating_with_keys(page: object, root: str, atlas: Atlas) -> None:
    page.goto(f"{root}/a/world/annotate")
    page.fill("input[name=annotator]", "Kim")
    page.select_option("select[name=order]", "sequential")
    page.select_option("select[name=layers]", ["detect"])
    page.click("main button[type=submit]")
    page.wait_for_url(re.compile("/annotate/detect/0"))
    page.keyboard.press("2")
    page.wait_for_url(re.compile("/annotate/detect/1"))
    page.keyboard.press("o")
    page.keyboard.type("bl")
    page.wait_for_selector("#words option[value=blue]", state="attached")
    page.keyboard.type("ue")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/annotate/detect/2"))
    page.keyboard.press("o")
    page.keyboard.type("zzz")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    page.wait_for_load_state()
    assert "not in the concept set" in page.locator("[role=alert]").inner_text()
    page.keyboard.press("n")
    page.wait_for_url(re.compile("/annotate/detect/3"))
    page.keyboard.press("b")
    page.wait_for_url(re.compile("/annotate/detect/2"))
    assert "Your answer so far: non-interpretable" in page.locator("main").inner_text()
    page.keyboard.press("u")
    page.wait_for_url(re.compile("/annotate/detect/3"))
    page.keyboard.press("n")
    page.wait_for_url(re.compile("/annotate/detect/4"))
    page.keyboard.press("z")
    page.wait_for_url(re.compile("/annotate/detect/3"))
    page.reload()
    assert "Kim: 3 of 7 answered" in page.locator("main").inner_text()
    second = atlas.labels("detect", 0)["concept"][1]
    got = [(a.unit, a.status, a.label) for a in Annotations(atlas).latest("Kim")]
    assert got == [(0, "label", second), (1, "own", "blue"), (2, "unsure", "")]


def test_without_scripts_everything_can_be_read(browser: object, root: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    made = context.new_page()
    made.goto(root)
    made.fill("#q", "red")
    made.press("#q", "Enter")
    made.wait_for_url(re.compile("q=red"))
    made.locator("a.tile").first.click()
    made.wait_for_url(re.compile("/unit/"))
    assert made.locator("ol.labels li").count() > 0
    context.close()


def test_a_phone_scrolls_one_way_only(browser: object, root: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, is_mobile=True)
    made = context.new_page()
    for path in (
        "",
        "/unit/detect/2",
        "/layer/detect",
        "/layer/detect/pictures",
        "/compare/detect",
        "/concept/red",
        "/search?q=red",
        "/search",
        "/report",
        "/annotate/detect/0?annotator=Kim",
    ):
        made.goto(f"{root}/a/world{path}")
        assert made.evaluate("document.documentElement.scrollWidth") <= 360, path
    context.close()


def test_long_paths_are_broken(browser: object, atlas: Atlas, tmp_path: Path) -> None:
    path = "a/very/long/path/" + "without_any_place_to_break_at" * 4
    copies = []
    for name in ("one", "two"):
        folder = shutil.copytree(atlas.folder, tmp_path / name)
        shutil.rmtree(folder / "thumbs")
        manifest = json.loads((folder / "atlas.json").read_text())
        manifest["target"]["name"] = f"python:{path}"
        (folder / "atlas.json").write_text(json.dumps(manifest))
        for table in ("images", "exemplars"):
            frame = pd.read_parquet(folder / f"{table}.parquet")
            frame["image_id"] = path + frame["image_id"]
            frame.to_parquet(folder / f"{table}.parquet")
        copies.append(nym.open(folder))
    with running(*copies, writing=True) as address:
        for width in (320, 1280):
            context = browser.new_context(viewport={"width": width, "height": 740})
            made = context.new_page()
            for page in (
                "/",
                "/a/one",
                "/a/one/unit/detect/1",
                "/a/one/history",
                "/a/one/annotate/detect/1?annotator=Kim",
            ):
                made.goto(address + page)
                found = made.evaluate("document.documentElement.scrollWidth")
                assert found <= width, (page, found)
            gone = made.locator(".gone").first
            assert path in gone.inner_text()
            assert gone.evaluate("one => one.scrollWidth <= one.clientWidth")
            colours = gone.evaluate(
                "one => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor]"
            )
            assert contrast(*colours) >= 4.5, colours
            context.close()


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG 2 defines it, 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(scope="module")
def files(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of exported files on a plain file server, below a folder."""
    out = tmp_path_factory.mktemp("files")
    export_site([atlas], out / "below" / "here")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(out))
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/below/here"
        server.shutdown()


def test_the_exported_site_searches(page: object, files: str) -> None:
    page.goto(f"{files}/index.html")
    page.locator("ul.atlases a").first.click()
    page.wait_for_url(re.compile(r"/a/world\.html$"))
    page.keyboard.press("/")
    page.keyboard.type("red")
    page.keyboard.press("Enter")
    page.wait_for_selector("a.tile")
    assert "red" in page.locator("a.tile").first.inner_text()
    page.locator("a.tile").first.click()
    page.wait_for_url(re.compile(r"/unit/\w+/\d+\.html$"))
    here = int(re.search(r"(\d+)\.html$", page.url)[1])
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(rf"/{here + 1}\.html$"))
    page.goto(f"{files}/a/world/search.html?q=rad")
    page.locator("a", has_text="red").first.wait_for()
    page.locator("p.note a", has_text="red").first.click()
    page.wait_for_selector("a.tile")
    page.goto(f"{files}/a/world/search.html?q=detect:3")
    page.wait_for_url(re.compile(r"/unit/detect/3\.html$"))
    page.goto(f"{files}/a/world/history.html")
    assert page.locator("#history a").count() >= 1
    page.locator("#history a").first.click()
    with contextlib.suppress(Exception):
        page.wait_for_load_state("networkidle", timeout=2000)
    assert "/unit/" in page.url
    assert page.locator("h1 .name").count() == 1
