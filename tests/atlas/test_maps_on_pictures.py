"""Activation maps of exemplars: where they lie on pictures, whatever the network does to them."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maps_replica
import neuronym as nym
from commands import run
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas import maps as kept
from neuronym.atlas.bands import examples
from neuronym.atlas.context import Sources
from neuronym.atlas.reader import Atlas
from neuronym.extraction.passes import TargetPass
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.preprocess.geometry import Window
from neuronym.inputs.settings import DissectSettings
from neuronym.pipeline.maps import map_bytes
from neuronym.pipeline.plan import plan
from neuronym.search.searcher import Searcher
from neuronym.web.addresses import FileAddresses
from neuronym.web.pages.base import Query
from neuronym.web.site import Site
from small_world import ColourEncoder
from spotted import LAYERS, WAYS, Spotted, build

PROBE = Spotted()


def _dissect(folder: Path, out: str, way: str = "crop", **how: object) -> Atlas:
    given = {"probe": PROBE, "cache": str(folder / "cache"), "trust": False, "exemplars": 12}
    given |= {"duplicates": "all"} | how
    return nym.dissect(
        build(way),
        layers=[*LAYERS, "head"],
        concepts=["red", "green"],
        encoder=ColourEncoder(),
        similarity="soft-wpmi:top_k=5",
        out=folder / out,
        progress=None,
        **given,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spots")


@pytest.fixture(scope="module")
def atlases(folder: Path) -> dict[str, Atlas]:
    return {way: _dissect(folder, way, way) for way in WAYS}


def _inside(mask: np.ndarray, y: float, x: float) -> bool:
    high, wide = mask.shape
    return bool(mask[min(int(y * high), high - 1), min(int(x * wide), wide - 1)])


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("way", WAYS)
def test_peaks_and_maps_land_on_the_spot(atlases: dict[str, Atlas], way: str, layer: str) -> None:
    unit, hits, uniform, off = atlases[way][layer, 0], [], [], []
    rows, shares = unit.exemplars().head(9), kept.shares(unit)
    for row, share in zip(rows.itertuples(), shares, strict=True):
        mask = PROBE.mask(int(row.image_id[-2:]))
        high, wide = mask.shape
        assert 0 < mask.mean() <= 0.05
        hits.append(_inside(mask, row.y, row.x))
        place = kept.place_of(unit.atlas, layer, row.image_id, row.y, row.x)
        heat = kept.spread(share, place.window, (wide, high))
        hits.append(bool(mask.ravel()[np.nanargmax(heat)]))
        ring = max(kept.areas(share, place.window, 0.5), key=len)
        middle = np.argwhere(mask).mean(0) + 0.5
        off.append(ring.mean(0)[::-1] - middle / mask.shape)
        hits.append(_inside(mask, *ring.mean(0)[::-1]))
        left, top, right, bottom = place.crop
        assert left <= row.x <= right
        assert top <= row.y <= bottom
        uniform.append(_inside(mask, *place.window.on_image(0.5, 0.5)))
    assert np.mean(hits) >= 0.95
    assert np.mean(uniform) <= 0.5
    # Not a quarter of a cell off on average; without its shift, `strided` is half a cell off.
    assert np.abs(np.mean(off, 0)).max() < 0.02


def test_maps_are_the_units_own_activations(atlases: dict[str, Atlas]) -> None:
    atlas = atlases["pad"]
    for layer in LAYERS:
        facts, unit = atlas.manifest.maps[layer], atlas[layer, 0]
        assert unit.maps().dtype == np.float32
        assert unit.maps().shape == (9, *((14, 14) if layer == "inside" else (12, 12)))
        assert facts.bytes == (atlas.folder / f"maps/{layer}.safetensors").stat().st_size
        if atlas.layers[layer]["pool"] == "mean":
            found = unit.maps().mean((1, 2))
            np.testing.assert_allclose(found, unit.exemplars()["activation"][:9], rtol=0.02)
    assert atlas.manifest.maps["strided"].shift == [-0.5 / 12, -0.5 / 12]


def test_the_estimate_knows_what_they_take(atlases: dict[str, Atlas], folder: Path) -> None:
    atlas = atlases["crop"]
    settings = DissectSettings(target="spots", layers=[*LAYERS, "head"], exemplars=12)
    given = {"target": build(), "probe": PROBE, "encoder": ColourEncoder()}
    given["concepts"] = ["red", "green"]
    cached = [p.stat().st_size for p in (folder / "cache/maps").glob("*/*.safetensors")]
    wanted = sum(facts.bytes for facts in atlas.manifest.maps.values())
    # A dead unit has room in the cache, but no map in the atlas; headers are some 500 bytes.
    assert wanted <= map_bytes(plan(settings, **given)) <= 2 * wanted
    assert sum(cached) / len(WAYS) == pytest.approx(map_bytes(plan(settings, **given)), rel=0.3)


def test_without_positions_or_maps_it_is_said(atlases: dict[str, Atlas], folder: Path) -> None:
    with pytest.raises(NeuronymError, match="head has no positions, so it has no maps"):
        atlases["crop"]["head", 0].maps()
    none = _dissect(folder, "none", maps=0)
    with pytest.raises(NeuronymError, match="made with --maps 0"):
        none["last", 0].images(heat=True)
    with pytest.raises(NeuronymError, match="made with --maps 0"):
        none["last", 0].images(crop=True)
    assert len(none["last", 0].images()) == 9
    assert not (none.folder / "maps").exists()


def test_a_second_run_takes_them_from_the_cache(
    atlases: dict[str, Atlas], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the network ran again")

    monkeypatch.setattr(TargetPass, "__call__", never)
    monkeypatch.setattr("neuronym.atlas.context.Sources.maps", never)
    again = _dissect(folder, "again")
    for layer in LAYERS:
        file = f"maps/{layer}.safetensors"
        assert (again.folder / file).read_bytes() == (atlases["crop"].folder / file).read_bytes()


def test_what_a_cache_of_before_lacks_is_computed_once(
    atlases: dict[str, Atlas], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an atlas of before is gone on with."""
    old = folder / "old"
    shutil.copytree(folder / "cache", old / "cache")
    shutil.rmtree(old / "cache" / "maps")
    first = _dissect(old, "first")
    for layer in LAYERS:
        assert (old / "cache").exists()
        for unit in (0, 1):
            wanted = atlases["crop"][layer, unit].maps()
            step = np.ptp(wanted) / 250 + 1e-6 if wanted.size else 0  # unit 1 of `strided` is dead
            np.testing.assert_allclose(first[layer, unit].maps(), wanted, atol=step)
    monkeypatch.setattr("neuronym.atlas.context.Sources.maps", None)  # kept since
    again = _dissect(old, "again")
    np.testing.assert_array_equal(again["last", 0].maps(), first["last", 0].maps())


def test_the_order_of_the_images_changes_nothing(atlases: dict[str, Atlas], folder: Path) -> None:
    order = np.random.default_rng(0).permutation(len(PROBE)).tolist()

    class Shuffled(Spotted):
        def image_id(self, index: int) -> str:
            return super().image_id(order[index])

        def read(self, index: int) -> object:
            return super().read(order[index])

    other = _dissect(folder, "shuffled", probe=Shuffled(), batch_size=7)
    for layer in LAYERS:
        wanted, found = atlases["crop"][layer, 0], other[layer, 0]
        assert list(found.exemplars()["image_id"]) == list(wanted.exemplars()["image_id"])
        step = (wanted.maps().max() - wanted.maps().min()) / 250
        np.testing.assert_allclose(found.maps(), wanted.maps(), atol=step)


def test_pictures_show_where_it_responds(atlases: dict[str, Atlas]) -> None:
    unit = atlases["crop"]["last", 0]
    plain, heat, crop = (unit.images(4, **how) for how in ({}, {"heat": True}, {"crop": True}))
    assert len(plain) == len(heat) == len(crop) == 4
    for row, a, b, c in zip(unit.exemplars().itertuples(), plain, heat, crop, strict=False):
        mask = PROBE.mask(int(row.image_id[-2:]))
        assert a.size == b.size == mask.shape[::-1]
        grey = np.asarray(b, float)
        warm = grey[..., 0] - grey[..., 2]
        assert warm[mask].mean() > 3 * max(warm[~mask].mean(), 1)
        assert c.size[0] < a.size[0]
        assert c.size[1] < a.size[1]
        inside = np.asarray(c, float)
        assert (inside[..., 0] - inside[..., 2]).max() > 100  # the spot is in it


@pytest.mark.parametrize("size", [(300, 200), (90, 400), (96, 96), (31, 17)])
@pytest.mark.parametrize(
    "preprocess",
    [
        *WAYS.values(),
        Preprocess((64, 128), (70, 140), "crop"),
        Preprocess((96, 96), 64, "crop"),  # smaller than what is cut out: filled up
        Preprocess((64, 128), None, "pad"),
    ],
)
def test_a_cell_and_its_box_are_one(preprocess: Preprocess, size: tuple[int, int]) -> None:
    """And the window is where a picture painted by it comes out."""
    window, grid = preprocess.window(*size), (5, 8)
    for row in range(grid[0]):
        for column in range(grid[1]):
            left, top, right, bottom = window.cell(row, column, grid)
            inner = (left + 1e-9, top + 1e-9, right - 1e-9, bottom - 1e-9)
            assert window.cells(inner, grid) == (slice(row, row + 1), slice(column, column + 1))
            y, x = window.on_image((row + 0.5) / grid[0], (column + 0.5) / grid[1])
            point = window.cells((x, y, x, y), grid)
            assert point == (slice(row, row + 1), slice(column, column + 1))
    wide, high = size
    ramp = np.zeros((high, wide, 3), np.uint8)
    ramp[..., 0] = np.linspace(20, 250, wide)
    ramp[..., 1] = np.linspace(20, 250, high)[:, None]
    seen = preprocess.pixels(ramp).astype(float)
    for y, x in ((0.5, 0.5), (0.4, 0.6), (0.7, 0.3)):
        at = seen[int(y * seen.shape[0]), int(x * seen.shape[1])]
        down, across = window.on_image(y, x)
        if 0.05 < down < 0.95 and 0.05 < across < 0.95:
            assert at[0] == pytest.approx(20 + 230 * across, abs=12)
            assert at[1] == pytest.approx(20 + 230 * down, abs=12)


def test_nothing_is_seen_outside_the_window() -> None:
    window = Window(0.25, 0, 0.75, 1)
    assert window.cells((0, 0, 0.2, 1), (4, 4)) is None
    assert window.cells((0.8, 0.5, 0.8, 0.5), (4, 4)) is None
    assert window.cells((0, 0, 1, 1), (4, 4)) == (slice(0, 4), slice(0, 4))
    share = np.random.default_rng(0).random((3, 4))
    found = kept.spread(share, window, (20, 10))
    assert np.isnan(found[:, [0, 4, 15, 19]]).all()
    for row, column in ((0, 5), (4, 9), (9, 14)):
        y, x = (row + 0.5) / 10, ((column + 0.5) / 20 - 0.25) / 0.5
        assert found[row, column] == pytest.approx(maps_replica.bilinear(share, y, x))


@pytest.mark.parametrize("way", WAYS)
def test_what_responds_at_a_place_of_a_picture(atlases: dict[str, Atlas], way: str) -> None:
    """Unit 0 sees the spot, unit 1 (unit 2 of `strided`) its absence."""
    for number in (20, 22, 25):  # one of each shape
        picture, mask = PROBE.read(number).decode(), PROBE.mask(number)
        y, x = (int(v.mean()) for v in np.nonzero(mask))
        searcher = Searcher(atlases[way], sources=_sources(atlases[way], way))
        found = searcher.at(picture, point=(x, y)).units
        assert set(found["layer"]) == set(LAYERS)
        here = found.set_index(["layer", "unit"])["strength"]
        assert (here.xs(0, level="unit") > 0.4).all()
        assert found["strength"].is_monotonic_decreasing
        whole = searcher.at(picture, box=(x - 4, y - 4, x + 4, y + 4), layers=["last"]).units
        assert whole["here"].max() >= found[found["layer"] == "last"]["here"].max()
        middle, reach = np.array(mask.shape[::-1]) / 2, 0.44 * min(mask.shape)
        far = np.where(middle > (x, y), middle + reach, middle - reach)  # the corner farthest off
        other = searcher.at(picture, point=far)
        away = other.units.set_index(["layer", "unit"])["strength"]
        assert (away.xs(0, level="unit") < 0.2).all()


def test_places_that_are_none_are_refused(atlases: dict[str, Atlas]) -> None:
    atlas, picture = atlases["crop"], Image.new("RGB", (300, 100))
    searcher = Searcher(atlas, sources=_sources(atlas, "crop"))
    with pytest.raises(UsageError, match="within the picture of 300 × 100 pixels"):
        searcher.at(picture, point=(20, 101))
    with pytest.raises(UsageError, match="left,top,right,bottom in pixels"):
        searcher.at(picture, box=(20, 10, 20, 30))
    with pytest.raises(UsageError, match="given, or a box in its place"):
        searcher.at(picture)
    with pytest.raises(NeuronymError, match="cuts the edges of the picture off"):
        searcher.at(picture, point=(5, 50))
    assert len(searcher.at(picture, point=(150, 50)).units)


def test_bands_show_the_whole_range(atlases: dict[str, Atlas]) -> None:
    atlas = atlases["crop"]
    values = atlas.activations("last")[:, 0]
    ordered, found = np.sort(values)[::-1], atlas["last", 0].bands(3).groupby("band")["activation"]
    edges = {"highest 1 %": (0, 1), "90th to 99th percentile": (0, 6)}
    edges |= {"around the median": (27, 33), "lowest 5 %": (57, 60)}
    assert set(found.groups) == set(edges)
    for band, (first, last) in edges.items():
        some = found.get_group(band).to_numpy()
        assert len(some) == min(3, last - first)
        assert (np.diff(some) <= 0).all()
        assert ordered[last - 1] <= some.min()
        assert some.max() <= ordered[first]
    level = (values.mean(dtype=float) + values.max()) / 2
    assert atlas["last", 0].density() == np.mean(values > level)
    assert atlas["last", 0].density(-1) == 1
    ugly = np.array([np.nan, 3, np.inf, 1, 1, 2], np.float32)
    rows = examples(ugly, np.array([0, 1, 2, 4, 3, 5]), np.ones(6, bool), 2)
    assert [r.tolist() for r in rows] == [[1], [1], [5, 4], [3]]
    with pytest.raises(NeuronymError, match="holds no activations of last"):
        _dissect(atlas.folder.parent, "unkept", keep="none", maps=0)["last", 0].bands()


def _sources(atlas: Atlas, way: str) -> Sources:
    return Sources(atlas, target=build(way), probe=PROBE, encoder=ColourEncoder())


@pytest.mark.parametrize("pictures", ["picture", "heat", "crop"])
def test_the_neurons_page_shows_maps(atlases: dict[str, Atlas], pictures: str) -> None:
    site, atlas = Site([atlases["crop"]]), atlases["crop"]
    page = site.page(["a", "crop", "unit", "last", "0"], Query([("pictures", pictures)]))
    html = site.html(page, FileAddresses(*page.parts))
    shown = re.findall(r'id="show-(\w+)" class="show"( checked)?', html)
    assert shown == [(k, " checked" if k == pictures else "") for k in ("picture", "heat", "crop")]
    assert html.count('class="heat"') == html.count('class="crop"') == 9
    assert "style=" not in html
    assert "data:" not in html.replace("data:image/svg", "")
    for exemplar in page.exemplars[:9]:
        mask = PROBE.mask(int(exemplar.image_id[-2:]))
        high, wide = exemplar.heat.height, exemplar.heat.width
        assert wide / high == pytest.approx(mask.shape[1] / mask.shape[0], rel=0.02)
        start = re.match(r"M(\d+) (\d+)l(.*)z$", exemplar.heat.areas[exemplar.heat.outline])
        steps = np.array(start[3].split(), int).reshape(-1, 2)
        ring = np.cumsum([[int(start[1]), int(start[2])], *steps.tolist()], axis=0)
        x, y = ring.mean(0) / (wide, high)
        assert _inside(mask, y, x)
        left, top, width, height = exemplar.heat.crop
        assert left <= exemplar.x * wide <= left + width
        assert top <= exemplar.y * high <= top + height
    bands = [e.image_id for some in page.range.bands.values() for e in some]
    assert bands == atlas["last", 0].bands(3)["image_id"].tolist()


def test_the_page_of_a_class_neuron_says_why_there_are_none(atlases: dict[str, Atlas]) -> None:
    site = Site([atlases["crop"]])
    page = site.page(["a", "crop", "unit", "head", "0"])
    html = site.html(page, FileAddresses(*page.parts))
    assert "head has no positions, so it has no maps" in html
    assert 'class="show"' not in html


def test_figures_show_heat(atlases: dict[str, Atlas], tmp_path: Path) -> None:
    unit = atlases["crop"]["last", 0]
    plain, heat = unit.figure(4), unit.figure(4, heat=True)
    for exemplar, (a, b) in enumerate(zip(plain.axes[:4], heat.axes[:4], strict=True)):
        same = np.asarray(a.images[0].get_array()) == np.asarray(b.images[0].get_array())
        assert not same.all(), exemplar
    folder = str(atlases["crop"].folder)
    done = run("show", folder, "last:0", "--heat", cwd=tmp_path)
    assert done.code == 2
    assert "given with --heat" in done.err
    done = run("show", folder, "head:0", "--heat", "--figure", "unit.png", cwd=tmp_path)
    assert done.code == 1
    assert "head has no positions" in done.err
    done = run("search", folder, "red", "--at", "1,2", cwd=tmp_path)
    assert done.code == 2
    assert "Expected --at with --image" in done.err
