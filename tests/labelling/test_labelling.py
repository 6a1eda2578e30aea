"""Adding labels to an atlas: what is written, what is refused, what is opened again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

import neuronym as nym
from neuronym._core import registry
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.atlas.writer import AtlasWriter
from neuronym.labelling.base import Labeller, Labels, LayerLabels, open_labeller
from neuronym.labelling.run import label
from small_world import PLANTED, SMALL, ColourEncoder, build, coloured_images

WORDS = [*PLANTED, "dog", "moss"]


@dataclass(frozen=True)
class Counting(Labeller):
    """Labels every unit with the words in order, but abstains for unit 1."""

    name: ClassVar[str] = "counting"
    start: int = registry.whole(0, 0)

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        made = {}
        for layer in layers:
            units = context.units(layer)
            words = np.tile(np.array(context.words, object), (units, 1))[:, :count]
            words[0, 2:] = None
            scores = np.tile(1 - np.arange(words.shape[1], dtype=np.float32) / 10, (units, 1))
            reasons = tuple("it is the second" if u == 1 else None for u in range(units))
            made[layer] = LayerLabels(
                words,
                scores,
                reasons,
                details={"share": scores / 2, "kind": np.where(scores > 0.95, "high", "low")},
                measures={"clarity": np.arange(units) / 7},
                evidence={"unit": [0, 2], "area": [0.25, 0.5]},
                arrays={"start": np.full(units, self.start)},
            )
        return Labels(made, {"common": np.arange(3)}, {"with_defaults": f"start={self.start}"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelling")
    dissect(folder / "atlas", folder / "cache")
    return folder


def dissect(out: Path, cache: Path, **settings: object) -> Atlas:
    return nym.dissect(
        build(),
        layers=["detect", "head"],
        probe=coloured_images(43),
        concepts=WORDS,
        encoder=ColourEncoder(),
        out=out,
        cache=str(cache),
        batch_size=8,
        **settings,
    )


@pytest.fixture
def atlas(made: Path, tmp_path: Path) -> Atlas:
    import shutil

    return open_atlas(shutil.copytree(made / "atlas", tmp_path / "atlas"))


def test_everything_a_labeller_gives_is_written(atlas: Atlas) -> None:
    again = label(atlas, Counting(), labels=4)
    assert again.methods == ["clip-dissect.soft-wpmi", "counting"]
    frame = again.labels("detect", method="counting")
    assert list(frame.columns[-2:]) == ["share", "kind"]
    assert frame[frame["unit"] == 0]["concept"].tolist() == WORDS[:2]
    assert frame[frame["unit"] == 2]["rank"].tolist() == [1, 2, 3, 4]
    assert frame[frame["unit"] == 2]["kind"].tolist() == ["high", "low", "low", "low"]
    abstaining = frame[frame["unit"] == 1]
    assert abstaining["reason"].tolist() == ["it is the second"]
    assert abstaining["concept"].isna().all()
    assert abstaining["share"].isna().all()
    trust = pd.read_parquet(again.folder / "trust/counting.parquet")
    assert trust.groupby("layer").size().to_dict() == {"detect": 7, "head": 4}
    evidence = pd.read_parquet(again.folder / "evidence/counting.parquet")
    assert evidence["area"].tolist() == [0.25, 0.5, 0.25, 0.5]
    facts = again.manifest["methods"]["counting"]
    assert facts["abstained"] == 2
    assert facts["abstained_by_layer"] == {"detect": 1, "head": 1}
    assert facts["with_defaults"] == "start=0"
    assert facts["method"] == "counting"


def test_settings_make_another_method(atlas: Atlas) -> None:
    assert Counting(start=3).method_id != Counting(start=4).method_id
    again = label(label(atlas, Counting()), Counting(start=3))
    assert len(again.methods) == 3


def test_layers_are_added_to_those_labelled_before(atlas: Atlas) -> None:
    first = label(atlas, Counting(), layers=["head"], labels=2)
    assert set(first.labels(method="counting")["layer"]) == {"head"}
    before = first.labels("head", method="counting")
    both = label(first, Counting(), labels=5)
    pd.testing.assert_frame_equal(both.labels("head", method="counting"), before)
    assert both.labels(method="counting")["layer"].drop_duplicates().tolist() == ["detect", "head"]
    facts = both.manifest["methods"]["counting"]
    assert facts["layers"] == ["detect", "head"]
    assert facts["abstained"] == 2


def test_labelling_twice_is_refused_and_can_be_asked_for(atlas: Atlas) -> None:
    again = label(atlas, Counting(), labels=2)
    with pytest.raises(UsageError, match="has labels of counting for detect, head already"):
        label(again, Counting())
    longer = label(again, Counting(), labels=5, overwrite=True)
    assert longer.labels("detect", method="counting")["rank"].max() == 5


def test_an_unfinished_atlas_is_refused(atlas: Atlas) -> None:
    atlas.manifest.complete = False
    with pytest.raises(UsageError, match="complete atlas, got .* interrupted"):
        label(atlas, Counting())


def test_another_writer_is_waited_for(atlas: Atlas) -> None:
    writer = AtlasWriter.extend(atlas.folder)
    try:
        with pytest.raises(NeuronymError, match="Another run is writing to"):
            label(atlas, Counting())
    finally:
        writer.close()


def test_unknown_layers_and_methods_are_named(atlas: Atlas) -> None:
    with pytest.raises(UsageError, match="one of the atlas's 2 layers, got 'detekt'.*detect"):
        label(atlas, Counting(), layers=["detekt"])
    with pytest.raises(UsageError, match="`method` to be one of .*clip-dissect"):
        label(atlas, "clip-disect")
    with pytest.raises(UsageError, match="have parameters among top_k"):
        open_labeller("clip-dissect:soft-wpmi,topk=5")


def test_clip_dissect_again_gives_what_the_run_gave(atlas: Atlas) -> None:
    run = atlas.labels()
    again = label(atlas, "clip-dissect", overwrite=True)
    pd.testing.assert_frame_equal(again.labels(), run)
    assert again.methods == ["clip-dissect.soft-wpmi"]


@pytest.mark.parametrize("name", ["cos", "rank-reorder,top_fraction=0.3", "wpmi,top_k=5"])
def test_other_similarities_are_other_methods(atlas: Atlas, name: str) -> None:
    labeller = open_labeller(f"clip-dissect:{name}")
    assert open_labeller(labeller.spec) == labeller
    again = label(atlas, labeller)
    found = again.labels("detect", method=labeller.method_id)
    best = found[found["rank"] == 1].set_index("unit")["concept"]
    assert [best[unit] for unit in range(5)] == PLANTED
    assert again.manifest["methods"][labeller.method_id]["similarity"].startswith(name[:3])


def test_activations_that_were_not_kept_come_from_another_pass(tmp_path: Path) -> None:
    atlas = dissect(tmp_path / "atlas", tmp_path / "cache", keep="none")
    whole = dissect(tmp_path / "whole", tmp_path / "cache", keep="all")
    with pytest.raises(UsageError, match="target of .* was a Python object .*target=…"):
        label(atlas, "clip-dissect:cos", cache=str(tmp_path / "cache"))
    again = label(
        atlas,
        "clip-dissect:cos",
        target=build(),
        probe=coloured_images(43),
        cache=str(tmp_path / "cache"),
    )
    expected = label(whole, "clip-dissect:cos").labels(method="clip-dissect.cos")
    pd.testing.assert_frame_equal(again.labels(method="clip-dissect.cos"), expected)


def test_what_changed_since_is_noticed(atlas: Atlas) -> None:
    from neuronym.inputs.targets.base import Target
    from small_world import Detectors

    other = Target("detectors", Detectors(spoil=0.5), SMALL)
    with pytest.raises(UsageError, match="with other weights or code"):
        _ = LabelContext(atlas, target=other).sources.target
    with pytest.raises(UsageError, match="without 3 of them"):
        _ = LabelContext(atlas, probe=coloured_images(40)).sources.probe
    moved = LabelContext(atlas, probe=coloured_images(43, seed=1))
    with pytest.raises(NeuronymError, match="has changed since"):
        moved.sources.picture(2)


def test_maps_are_what_the_pooled_activations_summarise(atlas: Atlas) -> None:
    context = LabelContext(atlas, target=build(), probe=coloured_images(43))
    rows = [5, 3, 41, 3]
    seen = list(context.sources.maps(["detect"], rows, batch_size=3))
    assert [batch.tolist() for batch, _ in seen] == [[5, 3, 41], [3]]
    maps = np.concatenate([found["detect"].numpy() for _, found in seen])
    assert maps.shape == (4, 7, 16, 16)
    np.testing.assert_allclose(maps.mean((2, 3)), atlas.activations("detect")[rows], atol=1e-5)
    with pytest.raises(NeuronymError, match="head has no positions"):
        next(context.sources.maps(["head"]))


def test_highest_is_the_same_from_exemplars_and_from_activations(atlas: Atlas) -> None:
    context = LabelContext(atlas)
    few, many = context.highest("detect", 6), context.highest("detect", 30)
    np.testing.assert_array_equal(few.indices, many.indices[:, :6])
    np.testing.assert_array_equal(few.values, many.values[:, :6])
    assert (many.indices[5] == -1).all(), "the dead unit has no highest images"
    assert context.reasons("detect")[5].startswith("dead")
