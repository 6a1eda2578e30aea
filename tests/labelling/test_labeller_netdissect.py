"""Network Dissection against a slow evaluation of the paper's formulas, and on planted truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import masked_world as world
import neuronym as nym
import planted
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas.context import LabelContext, Sources
from neuronym.atlas.reader import Atlas
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.labelling.base import open_labeller
from neuronym.labelling.methods import _masks
from neuronym.labelling.methods.netdissect import UpperQuantile
from neuronym.labelling.run import label
from places import SHARED
from small_world import ColourEncoder

PROBE = world.Masked(31)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return world.dissect(tmp_path_factory.mktemp("netdissect"), PROBE)


def given(atlas: Atlas, **other: object) -> dict:
    cache = str(atlas.folder.parent / "cache")
    return {"target": world.build(), "probe": PROBE, "cache": cache} | other


def replica(maps: np.ndarray, probe: world.Masked, quantile: float) -> dict:
    """IoU of all units with all concepts, as in the paper: {(unit, category, name): IoU}."""
    scores = {}
    marks = [
        [
            *((m.category, m.name, np.ones((12, 16), bool)) for m in probe.labels(i)),
            *((m.category, m.name, world.seen(m.pixels)) for m in probe.masks(i)),
        ]
        for i in range(len(probe))
    ]
    concepts = {(category, name) for some in marks for category, name, _ in some}
    for unit in range(maps.shape[1]):
        values = np.sort(maps[:, unit].ravel())[::-1]
        threshold = values[int(quantile * len(values))]
        on = [world.stretched(m, 12, 16) > threshold for m in maps[:, unit]]
        for category, name in concepts:
            both = either = 0
            for some, response in zip(marks, on, strict=True):
                if any(c == category for c, _, _ in some):
                    mask = np.zeros((12, 16), bool)
                    for c, n, pixels in some:
                        if (c, n) == (category, name):
                            mask |= pixels
                    both += (mask & response).sum()
                    either += (mask | response).sum()
            scores[unit, category, name] = both / either if either else 0
    return scores


@pytest.mark.parametrize("quantile", [0.005, 0.07])
def test_scores_are_those_of_the_definition(atlas: Atlas, quantile: float) -> None:
    spec = f"netdissect:quantile={quantile},threshold=0"
    again = label(atlas, spec, layers=["maps", "relu"], overwrite=True, **given(atlas))
    context = LabelContext(atlas, **given(atlas))
    maps = {name: [] for name in ("maps", "relu")}
    for _, found in context.sources.maps(list(maps)):
        for name in maps:
            maps[name].append(found[name].double().numpy())
    for layer in maps:
        expected = replica(np.concatenate(maps[layer]), PROBE, quantile)
        frame = again.labels(layer, method=open_labeller(spec).method_id)
        for unit in set(range(world.UNITS)) - {world.DEAD, world.NAN}:
            rows = frame[(frame["unit"] == unit) & ~frame["abstained"]]
            found = {(unit, r.category, r.concept): r.score for r in rows.itertuples()}
            positive = {k: v for k, v in expected.items() if k[0] == unit and v > 0}
            assert found == pytest.approx(positive, abs=1e-6), (layer, unit)
            assert list(rows["score"]) == sorted(rows["score"], reverse=True)
            assert rows["detector"].all()
        reasons = frame.set_index("unit")["reason"]
        assert reasons[world.DEAD].startswith("dead")
        assert reasons[world.NAN].startswith("not finite for 31 images")


def test_units_without_a_good_concept_abstain_and_say_what_was_best(atlas: Atlas) -> None:
    frames = {}
    for threshold in (0, 0.02):
        spec = f"netdissect:quantile=0.07,threshold={threshold}"
        made = label(atlas, spec, layers=["maps"], overwrite=True, **given(atlas))
        frames[threshold] = made.labels("maps", method=open_labeller(spec).method_id)
    best = frames[0][frames[0]["rank"] == 1].set_index("unit")
    detectors = []
    for unit in (0, 1, 2, 3, world.RARE):
        rows = frames[0.02][frames[0.02]["unit"] == unit]
        if best["score"][unit] > 0.02:
            detectors.append(unit)
            assert not rows["abstained"].any()
            assert list(rows["detector"]) == list(rows["score"] > 0.02)
        else:
            text = f"{best['concept'][unit]} ({best['category'][unit]}), has"
            assert rows["reason"].item().startswith("no concept above IoU 0.02: the best, " + text)
    assert 0 < len(detectors) < 5


def test_thresholds_are_kept_and_taken_from_the_cache(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    run = Sources.maps
    monkeypatch.setattr(Sources, "maps", lambda self, *a: passes.append(a) or run(self, *a))
    own = given(atlas, cache=str(tmp_path))
    first = label(atlas, "netdissect:quantile=0.07", layers=["maps"], **own)
    assert len(passes) == 2
    second = label(atlas, "netdissect:quantile=0.07", layers=["maps"], overwrite=True, **own)
    assert len(passes) == 3
    method = open_labeller("netdissect:quantile=0.07").method_id
    pd.testing.assert_frame_equal(first.labels(method=method), second.labels(method=method))
    trust = pd.read_parquet(atlas.folder / "trust" / f"{method}.parquet")
    assert list(trust.columns) == ["layer", "unit", "level", "iou"]
    best = first.labels("maps", method=method).groupby("unit")["score"].max().dropna()
    assert len(best)
    np.testing.assert_array_equal(trust["iou"][best.index], best)


def test_concepts_too_large_for_the_quantile_are_noted(atlas: Atlas) -> None:
    made = label(atlas, "netdissect", layers=["relu"], overwrite=True, **given(atlas))
    note = made.manifest["methods"]["netdissect"]["note"]
    assert "fill more than 12.5% of their category's images" in note
    assert "smooth" in note


def test_what_is_missing_is_said(atlas: Atlas, tmp_path: Path) -> None:
    with pytest.raises(NeuronymError, match="flat has no positions.*--layers maps,relu"):
        label(atlas, "netdissect:threshold=0.1", layers=["flat"], **given(atlas))
    other = world.Masked(31)
    other._masks[0] = (world.Mask("object", "moss", np.ones((3, 3), bool)),)
    with pytest.raises(NeuronymError, match=r"000 is annotated with 'moss' \(object\), which"):
        label(atlas, "netdissect:threshold=0.1", layers=["maps"], **given(atlas, probe=other))
    bare = world.Masked(6)
    bare._labels, bare._masks = [()] * 6, [()] * 6
    plain = world.dissect(tmp_path, bare)
    with pytest.raises(NeuronymError, match="has no annotations. Use a probe with"):
        label(plain, "netdissect", layers=["maps"], target=world.build(), probe=bare)
    for spec in ("netdissect:quantile=0", "netdissect:threshold=2"):
        with pytest.raises(UsageError, match="to be"):
            open_labeller(spec)
    with pytest.raises(UsageError, match="have parameters among quantile, threshold, got 'iou'"):
        open_labeller("netdissect:iou=0.1")


def test_one_image_leaves_nothing_to_compare(tmp_path: Path) -> None:
    single = world.Masked(1)
    atlas = world.dissect(tmp_path, single)
    made = label(atlas, "netdissect", layers=["maps"], **given(atlas, probe=single))
    assert made.labels("maps", method="netdissect")["abstained"].all()


@pytest.mark.parametrize("quantile", [0.0031, 0.013, 0.4])
def test_the_quantile_is_exact_while_the_tail_fits(quantile: float) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(41, 5, 77)).astype(np.float32)
    values[:, 1] = np.maximum(values[:, 1], 1)  # mostly one value
    values[:, 2] = np.round(values[:, 2])
    values[:, 3] = -np.abs(values[:, 3])
    stream = UpperQuantile(5, 41, 77, quantile, kept=2000)
    for row in range(41):
        stream.update(row, values[row])
    flat = values.transpose(1, 0, 2).reshape(5, -1)
    expected = np.quantile(flat, 1 - quantile, axis=1, method="inverted_cdf")
    np.testing.assert_array_equal(stream.result(), expected)
    assert (np.mean(flat > stream.result()[:, None], axis=1) <= quantile).all()


def test_the_highest_responses_of_a_unit_that_saturates_count() -> None:
    values = np.minimum(np.random.default_rng(7).normal(size=(11, 3, 50)), 0.5).astype(np.float32)
    values[:, 1] *= -1
    values[:, 2] = 0
    stream = UpperQuantile(3, 11, 50, 0.05)
    for row in range(11):
        stream.update(row, values[row])
    above = (values > stream.result()[None, :, None]).sum((0, 2))
    assert above[0] == (values[:, 0] == 0.5).sum() > 27
    assert above[1] == 27
    assert above[2] == 0


def test_a_long_tail_is_sampled_within_the_stated_error() -> None:
    rng = np.random.default_rng(4)
    # Images differ in level, and neighbours are alike, as in maps.
    values = rng.normal(size=(200, 1, 1)) + np.cumsum(rng.normal(size=(200, 9, 500)), 2) / 20
    values = values.astype(np.float32)
    stream = UpperQuantile(9, 200, 500, 0.05, kept=400)
    for row in range(200):
        stream.update(row, values[row])
    assert max(map(len, stream._best)) <= 2 * 400 + 500
    above = (values > stream.result()[None, :, None]).mean((0, 2))
    error = above / 0.05 - 1
    assert 0 < np.sqrt(np.mean(error**2)) < 400**-0.5
    again = UpperQuantile(9, 200, 500, 0.05, kept=400)
    for row in range(200):
        again.update(row, values[row])
    np.testing.assert_array_equal(again.result(), stream.result())


def test_stretching_is_bilinear() -> None:
    maps = np.random.default_rng(5).normal(size=(3, 5, 4))
    found = _masks.on_grid(torch.from_numpy(maps).float(), (13, 9)).numpy().reshape(3, 13, 9)
    for unit in range(3):
        np.testing.assert_allclose(found[unit], world.stretched(maps[unit], 13, 9), atol=1e-6)


@pytest.mark.parametrize("size", [(97, 61), (61, 97), (23, 23), (25, 31), (7, 5), (1, 1), (9, 161)])
@pytest.mark.parametrize(
    "settings",
    [
        {"size": (23, 23), "resize": 27},
        {"size": (24, 17), "resize": (29, 22)},
        {"size": (17, 24), "resize": 11},
        {"size": (24, 20), "resize": None, "fit": "pad", "fill": (0, 0, 0)},
        {"size": (19, 24), "resize": (31, 24), "fit": "squash", "centre": "floor"},
    ],
)
def test_masks_go_the_way_of_the_pixels(size: tuple[int, int], settings: dict) -> None:
    # Odd sizes: of two pixels that are equally near, Pillow's rounding takes the one or the other.
    rng = np.random.default_rng(6)
    pixels = rng.integers(1, 256, size[::-1], dtype=np.uint8)
    preprocess = Preprocess(interpolation="nearest", **settings)
    expected = preprocess.pixels(Image.fromarray(pixels))[:, :, 0]
    np.testing.assert_array_equal(preprocess.mask(pixels), expected)


def test_a_coarser_mask_shows_the_pixels_below_its_cells() -> None:
    pixels = np.arange(36, dtype=np.int32).reshape(6, 6)
    plain = Preprocess(size=(6, 6), resize=6)
    np.testing.assert_array_equal(plain.mask(pixels, (2, 3)), [[7, 9, 11], [25, 27, 29]])
    assert plain.mask(pixels > 3, (2, 3)).dtype == bool


@pytest.mark.torture
def test_planted_detectors_are_found_and_random_channels_are_not() -> None:
    # With 142 images, 0.5 % of all positions are less than one image: too few for red and blue.
    for spec, silent in (
        ("netdissect", {0, 1, *planted.RANDOM}),
        ("netdissect:quantile=0.02", {5, 7}),
    ):
        made = label(planted.atlas(), spec, overwrite=True, **planted.sources())
        frame = made.labels("units", method=open_labeller(spec).method_id)
        best = frame[frame["rank"] == 1].set_index("unit")
        assert set(best.index[best["abstained"]]) == silent
        for unit in set(planted.PLANTED) - silent:
            assert (best["category"][unit], best["concept"][unit]) == planted.PLANTED[unit]
        scores = best["score"].fillna(0)
        assert scores[list(planted.RANDOM)].max() < 0.07
    assert scores[list(planted.PLANTED)].min() > 0.029


@pytest.mark.skipif(not (SHARED / "camvid").is_dir(), reason="check data absent")
def test_camvid(tmp_path: Path) -> None:
    words = "sky|building|pole|road|pavement|tree|sign|fence|car|pedestrian|bicyclist|"
    made = nym.dissect(
        planted.build(),
        layers=["units"],
        probe=f"folder:{SHARED / 'camvid'},names={words}",
        concepts="probe",
        encoder=ColourEncoder(),
        limit=41,
        duplicates="all",
        out=tmp_path / "atlas",
        cache=str(tmp_path / "cache"),
    )
    made = label(
        made,
        "netdissect:quantile=0.1,threshold=0",
        target=planted.build(),
        cache=str(tmp_path / "cache"),
    )
    frame = made.labels("units", method=made.methods[-1])
    assert set(frame["concept"].dropna()) <= set(words.split("|")) - {""}
    assert frame.groupby("unit")["score"].max()[1] > 0.05
