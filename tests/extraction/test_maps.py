"""Small maps: made smaller, kept as bytes, the highest of each unit, gathered from shards."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import maps_replica
from neuronym.extraction.cache import Cache
from neuronym.extraction.maps import Highest, Maps, beside, gathered, shrunk, small_grid
from neuronym.extraction.passes import TargetPass, choose_layers
from neuronym.extraction.run import extract
from neuronym.extraction.sight import sights_of
from spotted import LAYERS, Spotted, build


@pytest.mark.parametrize(
    ("grid", "small"),
    [((7, 7), (7, 7)), ((56, 56), (14, 14)), ((37, 15), (14, 6)), ((1, 29), (1, 14))],
)
def test_maps_are_made_smaller_by_means_over_areas(
    grid: tuple[int, int], small: tuple[int, int]
) -> None:
    maps = np.random.default_rng(0).normal(3, 50, (3, *grid)).astype(np.float32)
    found = shrunk(torch.from_numpy(maps)).numpy()
    assert small_grid(grid) == small
    for one, whole in zip(found, maps, strict=True):
        np.testing.assert_allclose(one, maps_replica.shrunk(whole, *small), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.mean((1, 2)), maps.mean((1, 2)), rtol=1e-4)


def test_bytes_are_off_by_half_a_step_and_ugly_maps_stay_apart() -> None:
    rng = np.random.default_rng(1)
    maps = (rng.normal(0, 1, (6, 4, 5)) * 10.0 ** rng.integers(-6, 6, (6, 1, 1))).astype(np.float32)
    maps[1], maps[2, 1, 1], maps[3, 0, 0] = -7.5, np.nan, np.inf
    kept = Maps.of(maps)
    values = kept.values()
    assert np.isnan(values[[2, 3]]).all()
    np.testing.assert_array_equal(values[1], maps[1])
    for place in (0, 4, 5):
        step = (maps[place].max() - maps[place].min()) / 255
        assert np.abs(values[place] - maps[place]).max() <= step * 0.5001
        assert values[place].max() == maps[place].max()


@pytest.mark.parametrize("sizes", [[1] * 40, [8, 8, 8, 8, 8], [3, 37], [40]])
def test_the_highest_are_those_of_all_images_however_they_come(sizes: list[int]) -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(0, 12, (40, 9)).astype(np.float32)  # many are equal
    values[:, 3], values[5, 4] = 0, np.nan
    highest, start = Highest(9, (2, 2), 5), 0
    for size in sizes:
        part = values[start : start + size]
        images, units = highest.wanted(part)
        maps = np.broadcast_to((images + start)[:, None, None], (len(images), 2, 2))
        highest.add(part, images, units, Maps.of(maps.astype(np.float32)))
        start += size
    found = highest.arrays()
    np.testing.assert_array_equal(found["low"], found["row"])  # each has its own map
    rows = found["row"]
    for unit, best in enumerate(maps_replica.highest(np.where(np.isnan(values), -1, values), 5)):
        got = sorted(values[rows[:, unit], unit].tolist())
        assert len(set(rows[:, unit].tolist())) == 5
        assert got == sorted(values[list(best), unit].tolist())


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TargetPass, object]:
    """A pass over the spotted pictures in shards of 16 that keeps two maps per unit."""
    folder = tmp_path_factory.mktemp("maps")
    return folder, *_pass(folder)


def _pass(folder: Path, probe: Spotted | None = None) -> tuple[TargetPass, object]:
    target = build()
    plans = choose_layers(target, [*LAYERS, "head"])
    how = {"device": torch.device("cpu"), "dtype": "float32", "batch_size": 16}
    feed = TargetPass(target, plans, Cache(folder), maps=2, **how)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuronym.extraction.shards.SHARD_IMAGES", 16)
        return feed, extract(probe or Spotted(), [feed], Cache(folder), batch_size=16, workers=1)


def test_shards_keep_maps_of_every_layout(passed: tuple) -> None:
    _, feed, done = passed
    assert set(done.beside) == set(map(beside, LAYERS))  # the head has no positions
    batch = np.stack([Spotted().read(i).seen(feed.preprocess)[0] for i in range(60)])
    recorded = dict(zip(feed.plans, feed._recorded(feed._input(batch)), strict=True))
    for layer in LAYERS:
        info, values = feed.plans[layer].info, done.rows(layer)[:]
        rows = np.argsort(-values, 0, kind="stable")[:1].T  # the highest of all is so in its shard
        wanted = np.ones(rows.shape, bool)
        grid = small_grid(info.grid)
        found, units, lacking = gathered(done.beside[beside(layer)], rows, wanted, grid)
        assert not lacking.any()
        whole = info.maps_of(recorded[layer], torch.tensor(rows[:, 0]), torch.tensor(units))
        for one, value in zip(whole.numpy(), found.values(), strict=True):
            replica = maps_replica.shrunk(one, *grid)
            step = (replica.max() - replica.min()) / 255
            np.testing.assert_allclose(value, replica, atol=0.51 * step + 1e-6)


def test_what_shards_lack_is_told(passed: tuple) -> None:
    """A lower image is not among the highest of its shard, and a file may be damaged or gone."""
    _, _, done = passed
    values = done.rows("last")[:]
    lowest = values.argmin(0)[:, None]
    both = np.concatenate([values.argmax(0)[:, None], lowest], 1)
    parts = list(done.beside[beside("last")])
    _, units, lacking = gathered(parts, both, np.ones(both.shape, bool), (12, 12))
    assert units.tolist() == [0, 0, 1, 1]
    assert lacking.tolist() == [False, True, False, True]
    gone = [(path.with_name("gone"), rows) for path, rows in parts]
    assert gathered(gone, both, np.ones(both.shape, bool), (12, 12))[2].all()


def test_a_stopped_pass_leaves_no_images_to_the_next(tmp_path: Path, passed: tuple) -> None:
    _, feed, done = passed
    begun = (*np.nonzero(np.ones((3, 2))), _maps(6))  # by a pass that was stopped
    feed._kept._highest["last"] = Highest(2, (12, 12), 2)
    feed._kept.add("last", np.full((3, 2), 1e9, np.float32), begun)
    for path, _ in (part for parts in done.beside.values() for part in parts):
        path.unlink()
    for parts in done.parts.values():
        os.unlink(parts[0][0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuronym.extraction.shards.SHARD_IMAGES", 16)
        again = extract(Spotted(), [feed], Cache(passed[0]), batch_size=16, workers=1)
    kept = [path.exists() for path, _ in again.beside[beside("last")]]
    assert kept == [True, False, False, False]  # only the shard that was computed anew
    top = again.rows("last")[:16].argmax(0)[:, None]
    assert not gathered(again.beside[beside("last")], top, np.ones((2, 1), bool), (12, 12))[2].any()


def _maps(count: int) -> Maps:
    return Maps.of(np.zeros((count, 12, 12), np.float32))


def test_where_cells_look_is_measured() -> None:
    target = build()
    plans = choose_layers(target, [*LAYERS, "head"])
    found = sights_of(target, plans)
    # Three steps of stride 2 look at pixels 8 i ± 7: around the edge of the cell, not its middle.
    assert found["strided"].shift == pytest.approx((-0.5 / 12, -0.5 / 12))
    assert found["strided"].field[0] == pytest.approx(9 / 96, abs=0.03)
    for layer in ("last", "tokens", "inside"):
        assert found[layer].shift == (0, 0)
        assert found[layer].field[0] == pytest.approx(
            1 / (20 if layer == "inside" else 12), abs=0.03
        )
    assert found["head"].field is None
    with torch.no_grad():
        target.model.forward = lambda rgb: torch.zeros(len(rgb), 4)  # reaches no layer
    assert sights_of(target, plans)["last"].field is None
