"""What responds at a place of a picture, on the site."""

from __future__ import annotations

import functools
import io
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import discs
from neuronym.atlas.context import Sources
from neuronym.search.searcher import Searcher
from neuronym.web.server import application
from small_world import COLOURS

PROBE = discs.Discs(24)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    atlas = discs.dissect(tmp_path_factory.mktemp("places"), PROBE)
    with pytest.MonkeyPatch.context() as patch:
        sources = Sources(atlas, **discs.sources(PROBE))
        patch.setattr("neuronym.web.view.Searcher", functools.partial(Searcher, sources=sources))
        client = TestClient(application([atlas]))
        yield client


def _first(html: str) -> set[str]:
    """Units of the two first tiles: both layers see the same."""
    found = html.split('id="found"')[1]
    return {unit for _, unit in re.findall(r"unit/(maps|tokens)/(\d)", found)[:2]}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_click_on_an_image_tells_what_responds_there(client: TestClient, number: int) -> None:
    """Square, wide and tall; by an address, and by the pixel that a form without scripts sends."""
    for mask in PROBE.masks(number):
        high, wide = mask.pixels.shape
        y, x = (float(v.mean() + 0.5) for v in mask.pixels.nonzero())
        unit = str(list(COLOURS).index(mask.name))
        asked = {"image": f"discs-{number:03d}"}
        at = {"at": f"{x / wide:.4f},{y / high:.4f}"}
        html = client.get("/a/atlas/search", params=asked | at).text
        assert _first(html) == {unit}
        assert f"At {100 * x / wide:.0f} % from the left" in html
        assert '<input type="image" name="at"' in html
        pixel = {"at.x": str(int(x)), "at.y": str(int(y))}
        assert _first(client.get("/a/atlas/search", params=asked | pixel).text) == {unit}


def test_a_place_of_a_picture_that_is_sent(client: TestClient) -> None:
    mask, picture = PROBE.masks(1)[0], io.BytesIO()
    PROBE.read(1).decode().save(picture, "png")
    high, wide = mask.pixels.shape
    y, x = (float(v.mean() + 0.5) for v in mask.pixels.nonzero())
    token = re.search(r'name="token" value="([^"]+)"', client.get("/a/atlas/search").text)[1]

    def sent(at: str) -> object:
        form = {"token": token, "by": "place", "at": at}
        return client.post("/a/atlas/picture", data=form, files={"picture": picture.getvalue()})

    answer = sent(f"{100 * x / wide:.1f},{100 * y / high:.1f}")
    assert answer.status_code == 200
    assert _first(answer.text) == {str(list(COLOURS).index(mask.name))}
    for wrong in ("", "31", "31,101", "a,b", "nan,3"):
        answer = sent(wrong)
        assert answer.status_code == 422
        assert "percent from the left and the top" in answer.text


def test_places_that_are_none(client: TestClient) -> None:
    assert client.get("/a/atlas/search", params={"image": "../x"}).status_code == 404
    for at in ("2,0", "a,b", "nan,0", "0.1"):
        html = client.get("/a/atlas/search", params={"image": "discs-000", "at": at}).text
        assert "Click on a place of discs-000." in html
        assert "unit/maps" not in html


def test_images_lead_to_what_responds_at_their_peak(client: TestClient) -> None:
    html = client.get("/a/atlas/unit/maps/1").text
    links = re.findall(r'href="([^"]*search\?image=[^"]+)"', html)
    assert len(links) == 9
    found = client.get(str(Path("/a/atlas/unit/maps") / links[0].replace("&amp;", "&")))
    assert _first(found.text) == {"1"}
