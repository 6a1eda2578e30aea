"""The two baselines: concepts at random, and the most frequent ones."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import neuronym as nym
from helpers import ListProbe
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.inputs.probes.base import Annotation
from neuronym.labelling.base import open_labeller
from neuronym.labelling.methods import frequent
from neuronym.labelling.run import label
from small_world import PLANTED, ColourEncoder, build, coloured_images

WORDS = ["moss", *PLANTED, "dog"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baselines")
    dissect(folder, coloured_images(23), folder / "atlas")
    return folder


def dissect(folder: Path, probe: object, out: Path) -> Atlas:
    return nym.dissect(
        build(),
        layers=["detect", "head"],
        probe=probe,
        concepts=WORDS,
        encoder=ColourEncoder(),
        out=out,
        cache=str(folder / "cache"),
        batch_size=8,
        progress=None,
    )


@pytest.fixture
def atlas(made: Path, tmp_path: Path) -> Atlas:
    return open_atlas(shutil.copytree(made / "atlas", tmp_path / "atlas"))


def test_random_concepts_differ_by_unit_and_layer_and_seed_only(atlas: Atlas) -> None:
    label(atlas, "random", labels=3)
    label(atlas, "random:seed=1", labels=3)
    again = label(atlas, "random:seed=0", labels=5, overwrite=True)
    other = next(m for m in again.methods if m.startswith("random."))
    five, three = again.labels(method="random"), again.labels(method=other)
    assert "random" in again.methods
    assert five.query("layer == 'detect' and unit == 5")["reason"].str.startswith("dead").all()
    draws = [
        tuple(rows["concept"].head(3))
        for frame in (five, three)
        for _, rows in frame[~frame["abstained"]].groupby(["layer", "unit"])
    ]
    assert all(len(set(draw)) == 3 for draw in draws)
    assert len(draws) == 20
    assert len(set(draws)) > 16
    np.testing.assert_allclose(
        five.query("unit == 0")["score"][:5], [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    )


def test_fewer_random_labels_are_the_first_of_more(atlas: Atlas) -> None:
    many = label(atlas, "random", labels=20).labels(method="random")
    assert many["rank"].max() == len(WORDS)
    few = label(atlas, "random", labels=2, overwrite=True).labels(method="random")
    keys = ["layer", "unit", "rank"]
    both = few.merge(many, on=keys, how="left")
    assert (both["concept_x"].fillna("") == both["concept_y"].fillna("")).all()


def test_random_concepts_are_drawn_evenly(atlas: Atlas) -> None:
    seen = np.zeros(len(WORDS))
    for seed in range(40):
        method = open_labeller(f"random:seed={seed}").method_id
        frame = label(atlas, f"random:seed={seed}", labels=1).labels("detect", method=method)
        seen += frame["concept"].value_counts().reindex(WORDS, fill_value=0).to_numpy()
    assert seen.sum() == 240
    assert (np.abs(seen - 240 / 7) < 4 * np.sqrt(240 / 7)).all()


def test_the_most_frequent_concepts_are_the_same_for_every_unit(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frequent, "_IMAGES", 5)
    again = label(atlas, "frequent")
    arrays = again.embeddings()
    nearest = [
        max(range(len(WORDS)), key=lambda m: (float(image @ arrays["concepts"][m]), -m))
        for image in np.asarray(arrays["images"], np.float64)
    ]
    counts = {m: nearest.count(m) for m in set(nearest)}
    order = sorted(counts, key=lambda m: (-counts[m], m))
    frame = again.labels(method="frequent")
    assert frame.query("layer == 'detect' and unit == 5")["reason"].str.startswith("dead").all()
    for _, rows in frame[~frame["abstained"]].groupby(["layer", "unit"]):
        assert rows["concept"].tolist() == [WORDS[m] for m in order]
        np.testing.assert_allclose(rows["score"], [counts[m] / 23 for m in order], rtol=1e-6)
    # Five images each of the first three colours, four of the others: ties in the set's order.
    assert [WORDS[m] for m in order] == PLANTED


class Annotated(ListProbe):
    """Image-wide labels of every image, a mask on a quarter of it; nothing on image 0."""

    def labels(self, index: int) -> Sequence[Annotation]:
        return [*super().labels(index), Annotation("scene", "top")] if index else []

    def masks(self, index: int) -> Sequence:
        return super().masks(index) if index else []


def test_the_most_frequent_annotations_count_by_area(tmp_path: Path) -> None:
    atlas = dissect(tmp_path, Annotated(9), tmp_path / "atlas")
    again = label(atlas, "frequent:by=annotations", labels=2)
    frame = again.labels("head", 1, method=again.methods[-1])
    assert frame["concept"].tolist() == ["top", "even"]  # as large as odd
    np.testing.assert_allclose(frame["score"], [(8 + 8 * 0.25) / 9, 4 / 9], rtol=1e-6)


def test_a_probe_without_annotations_is_refused(atlas: Atlas) -> None:
    with pytest.raises(NeuronymError, match=r"has no annotations\. Use a probe with"):
        label(atlas, "frequent:by=annotations")


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match="`by` to be one of encoder, annotations, got 'area'"):
        open_labeller("frequent:by=area")
    with pytest.raises(UsageError, match="`random` to have parameters among seed, got 'k'"):
        open_labeller("random:k=5")
