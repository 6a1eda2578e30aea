"""Labels re-scored on crops: against the definition, and on units whose colour is known."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

import discs
import neuronym as nym
import spatial_replica
from commands import run
from neuronym._core.errors import NeuronymError
from neuronym.analysis import crops
from neuronym.analysis.trust import spatial
from neuronym.atlas.maps import crop_of, shares, window_of
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.extraction.passes import EncoderPass
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.report import statement
from small_world import COLOURS, ColourEncoder

PROBE = discs.Discs()
TURNED = [discs.Turned(by=by).method_id for by in range(5)]


class Noted(ColourEncoder):
    """One that says that it is a stand-in."""

    note = "colours is a stand-in."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """Right labels and two sets of wrong ones, all examined."""
    folder = tmp_path_factory.mktemp("discs")
    atlas = discs.dissect(folder, PROBE)
    how = {"cache": str(folder / "cache"), "progress": None, **discs.sources(PROBE)}
    for by in (0, 2, 3):
        atlas = nym.label(atlas, discs.Turned(by=by), **how)
        atlas = nym.analyse(atlas, "spatial", method=list(atlas.methods)[-1], **how)
    return atlas


@pytest.mark.parametrize(("units", "images"), [(1, 1), (7, 9), (4, 2), (3, 5)])
def test_gains_are_what_the_definition_says(units: int, images: int) -> None:
    rng = np.random.default_rng(images)
    crop, rest, random = rng.normal(-4, 1, (3, units, images))
    if units > 2:
        crop[1], rest[1] = np.nan, np.nan  # a unit without exemplars
        crop[2, 1:] = np.nan  # … with a single one
        crop[0] = random[0] + 0.25  # all pairs alike
    found = spatial.gains(crop, rest, random)
    for unit in range(units):
        for other, names in (
            (random, ("gain", "gain_low", "gain_high", "p")),
            (rest, ("rest_gain", "rest_low", "rest_high")),
        ):
            wanted = spatial_replica.gain(crop[unit], other[unit])
            got = [found[name][unit] for name in names]
            np.testing.assert_allclose(got, wanted[: len(names)], rtol=1e-9)
    tested = np.isfinite(found["p"])
    assert found["exemplars"].tolist() == np.isfinite(crop).sum(1).tolist()
    assert (found["q"][tested] >= found["p"][tested]).all()
    assert np.isnan(found["q"][~tested]).all()


def test_the_gain_of_a_unit_by_hand(made: Atlas) -> None:
    """From the pictures themselves: cut, filled and embedded one by one."""
    row = made.trust("spatial", "tokens", 1, method=TURNED[3]).iloc[0]
    encoder = ColourEncoder()
    texts = made.embeddings()["concepts"].astype(float)
    word = texts[made.concepts["concept"].tolist().index(list(COLOURS)[4])]
    facts = made.manifest.maps["tokens"]
    of: dict[str, list[float]] = {"crop": [], "rest": []}
    for exemplar in made["tokens", 1].exemplars().head(9).itertuples():
        picture = PROBE.read(int(exemplar.image_id[-3:])).decode()
        pixels = np.asarray(picture)
        window = window_of(made, "tokens", *picture.size)
        left, top, right, bottom = crop_of(facts, window, exemplar.y, exemplar.x)
        high, wide = pixels.shape[:2]
        where = np.s_[
            int(top * high) : round(bottom * high), int(left * wide) : round(right * wide)
        ]
        rest = pixels.copy()
        rest[where] = pixels.mean((0, 1)).round()
        for name, part in (("crop", pixels[where]), ("rest", rest)):
            seen = encoder.preprocess.pixels(np.ascontiguousarray(part))
            batch = encoder.preprocess.normalise(torch.from_numpy(seen)[None])
            vector = encoder.encode_images(batch)[0].numpy().astype(float)
            of[name].append(spatial_replica.log_p(vector, texts, word, encoder.logit_scale))
    wanted = spatial_replica.gain(of["crop"], of["rest"])
    got = row[["rest_gain", "rest_low", "rest_high"]].tolist()
    np.testing.assert_allclose(got, wanted[:3], atol=2e-3)


@pytest.mark.parametrize("layer", discs.LAYERS)
def test_the_gain_tells_planted_labels_from_wrong_ones(made: Atlas, layer: str) -> None:
    right = made.trust("spatial", layer, method="turned")
    assert (right["gain_low"][:5] > 0).all()
    assert (right["q"][:5] <= 0.05).all()
    assert (right["rest_gain"][:5] > 0).all()
    assert right.loc[5, ["gain", "p", "q", "iou"]].isna().all()  # dead
    wrong = [made.trust("spatial", layer, method=TURNED[by])["gain"][:5] for by in (2, 3)]
    others = np.concatenate(wrong)
    auc = mannwhitneyu(right["gain"][:5], others).statistic / (5 * len(others))
    assert auc == 1
    assert (others > 0).mean() < 0.5


@pytest.mark.parametrize("layer", discs.LAYERS)
def test_maps_overlap_with_the_masks_of_the_label(made: Atlas, layer: str) -> None:
    right = made.trust("spatial", layer, method="turned")
    wrong = made.trust("spatial", layer, method=TURNED[2])
    assert (right["iou"][:5] > 0.5).all()
    assert (right["iou_all"][:5] < 0.06).all()
    assert (wrong["iou"][:5].dropna() < 0.1).all()
    unit, sums, word = made[layer, 2], np.zeros(2), list(COLOURS)[2]
    found = shares(unit)
    images = 0
    for share, image in zip(found, unit.exemplars()["image_id"], strict=True):
        for mask in PROBE.masks(int(image[-3:])):
            if mask.name == word:
                high, wide = mask.pixels.shape
                w = window_of(made, layer, wide, high)
                edges = (w.left, w.top, w.right, w.bottom)
                sums += spatial_replica.overlap(share, mask.pixels, edges)
                images += 1
    assert right["iou"][2] == pytest.approx(sums[0] / sums[1], abs=2e-3)
    assert right["iou_images"][2] == images


def test_it_is_run_by_name_only_and_goes_on(
    made: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = made.folder.parent / "cache"
    how = {"cache": str(cache), "progress": None, **discs.sources(PROBE)}
    atlas = open_atlas(shutil.copytree(made.folder, tmp_path / "atlas"))
    atlas = nym.label(atlas, discs.Turned(by=0), overwrite=True, **how)
    assert "spatial" not in nym.analyse(atlas, method="turned", **how).analyses("turned")

    def never(*_: object) -> None:
        raise AssertionError("the encoder ran again")

    monkeypatch.setattr(EncoderPass, "__call__", never)
    again = nym.analyse(atlas, "spatial", method="turned", **how)
    wanted = made.trust("spatial", method="turned")
    assert again.trust("spatial", method="turned").equals(wanted)
    monkeypatch.undo()
    # A run that was stopped goes on: blocks that are there are not made again.
    calls, plain = [], EncoderPass.__call__

    def stopping(self: EncoderPass, pixels: np.ndarray, wanted: list[str]) -> object:
        calls.append(len(pixels))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(self, pixels, wanted)

    monkeypatch.setattr(crops, "_BLOCK", 32)
    monkeypatch.setattr(EncoderPass, "__call__", stopping)
    fresh = how | {"cache": str(tmp_path / "cache")}
    for _ in range(2):
        try:
            nym.analyse(atlas, "spatial:seed=1", method="turned", **fresh)
        except KeyboardInterrupt:
            assert len(calls) == 4
    monkeypatch.setattr(EncoderPass, "__call__", plain)
    whole = nym.analyse(atlas, "spatial:seed=1", method="turned", **fresh)
    parts = whole.manifest.analyses["spatial of turned"]["parts"]
    # Both layers look at the same places; the interrupted block only was made twice.
    assert sum(calls) == parts / 2 + 32


def test_sentences_and_refusals(made: Atlas, tmp_path: Path) -> None:
    rows = statement.findings(made["maps", 0], "turned")
    said = " ".join(statement.evidence(made, "turned", rows))
    assert re.search(r"What the label says is where the neuron responds: .* [\d.]+ times", said)
    assert "overlap by" in said
    shown = " ".join(
        run("show", "atlas", "maps:0", "--method", "turned", cwd=made.folder.parent).out.split()
    )
    assert "as probable as random crops of the same pictures do" in shown
    rows = statement.findings(made["maps", 0], TURNED[2])
    said = " ".join(statement.evidence(made, TURNED[2], rows))
    assert "is elsewhere in the pictures than where" in said
    assert not statement.evidence(made, "turned", statement.findings(made["maps", 5], "turned"))
    sketchy = discs.sources(PROBE) | {"encoder": Noted()}
    copy = open_atlas(shutil.copytree(made.folder, tmp_path / "noted"))
    how = {"cache": str(made.folder.parent / "cache"), "progress": None, **sketchy}
    noted = nym.analyse(copy, "spatial:images=2,random=1", method="turned", **how)
    assert any("colours is a stand-in for CLIP" in said for said in noted.caveats("turned"))
    assert not any("stand-in" in said for said in made.caveats("turned"))
    without = discs.dissect(tmp_path, PROBE, maps=0, cache=str(made.folder.parent / "cache"))
    with pytest.raises(NeuronymError, match="made with --maps 0"):
        nym.analyse(without, "spatial", **discs.sources(PROBE))


def test_random_crops_are_where_the_network_looks(made: Atlas) -> None:
    window = window_of(made, "maps", 96, 64)
    drawn = spatial._places(window, (16, 16), 200, [1, 2])
    assert drawn == spatial._places(window, (16, 16), 200, [1, 2])
    assert len(set(drawn)) > 80
    assert all(window.left < x < window.right and window.top < y < window.bottom for y, x in drawn)
    padded = Preprocess((64, 64), None, "pad").window(96, 48)
    assert all(0 <= y <= 1 and 0 <= x <= 1 for y, x in spatial._places(padded, (9, 7), 50, [3]))
