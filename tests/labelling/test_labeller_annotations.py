"""Labels from annotations against slow loops over their definition, and on planted truth."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import masked_world as world
import neuronym as nym
import planted
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.labelling.base import open_labeller
from neuronym.labelling.run import label
from small_world import ColourEncoder, coloured_images
from small_world import build as colours

PROBE = world.Masked(31)
NUMBERS = ["share", "base", "lift", "coverage", "enrichment"]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return world.dissect(tmp_path_factory.mktemp("annotations"), PROBE)


def labelled(atlas: Atlas, spec: str, layer: str, **other: object) -> pd.DataFrame:
    cache = str(atlas.folder.parent / "cache")
    own = {"target": world.build(), "probe": PROBE, "cache": cache} | other
    made = label(atlas, spec, layers=[layer], overwrite=True, **own)
    return made.labels(layer, method=open_labeller(spec).method_id)


def marks_of(index: int, probe: world.Masked = PROBE) -> dict[tuple[str, str], np.ndarray]:
    """What an image shows: masks, whole for image-wide labels."""
    shape = np.asarray(probe.read(index).data).shape[:2]
    found = {(m.category, m.name): m.pixels for m in probe.masks(index)}
    return found | {(m.category, m.name): np.ones(shape, bool) for m in probe.labels(index)}


def replica(rows: list[int], areas: list[dict], probe: list[dict]) -> dict:
    """Concept → gain and the numbers it comes from, for one unit.

    Args:
        rows: its highest images.
        areas: per such image, concept → area or share of the map.
        probe: per image of the probe, concept → area.
    """
    out = {}
    for key in {key for some in probe for key in some}:
        inside = {k for some in probe for k in some if k[0] == key[0]}
        own = sum(some.get(key, 0) for some in areas)
        all_own = sum(some.get(k, 0) for some in areas for k in inside)
        everywhere = sum(some.get(key, 0) for some in probe)
        all_everywhere = sum(some.get(k, 0) for some in probe for k in inside)
        share = own / all_own if all_own else 0
        base = everywhere / all_everywhere
        coverage = sum(any(k in inside for k in probe[row]) for row in rows) / len(rows)
        enrichment = own / len(rows) / (everywhere / len(probe))
        gain = coverage * share * math.log2(enrichment) if enrichment > 1 else 0
        out[key] = (gain, share, base, share / base, coverage, enrichment)
    return out


def check(frame: pd.DataFrame, expected: dict, rank: str = "gain") -> None:
    """A unit's rows are the concepts of the replica with a score, in the order of their scores."""
    place = ["gain", *NUMBERS].index(rank)
    wanted = {k: v for k, v in expected.items() if v[0 if rank == "gain" else 1] > 0}
    if rank == "lift":
        wanted = {k: v for k, v in wanted.items() if v[3] > 1 + 1e-9}
    order = sorted(wanted, key=lambda k: (-np.float32(round(wanted[k][place], 5)), k))
    if not wanted:
        assert frame["reason"].str.startswith("nothing is more common").all()
        return
    assert list(zip(frame["category"], frame["concept"], strict=True)) == order
    for row in frame.itertuples():
        numbers = wanted[row.category, row.concept]
        assert row.score == pytest.approx(numbers[place], rel=1e-5)
        assert [getattr(row, name) for name in NUMBERS] == pytest.approx(numbers[1:], rel=1e-5)


@pytest.mark.parametrize("rank", ["gain", "lift", "share"])
@pytest.mark.parametrize("k", [4, 50])
def test_labels_are_those_of_the_definition(atlas: Atlas, rank: str, k: int) -> None:
    areas = [{key: pixels.mean() for key, pixels in marks_of(i).items()} for i in range(31)]
    frame = labelled(atlas, f"annotations:k={k},rank={rank}", "relu")
    highest = LabelContext(atlas).highest("relu", k).indices
    for unit in (0, 1, 2, 3):
        rows = [row for row in highest[unit] if row >= 0]
        assert len(rows) == 4 or k == 50 > len(rows) > 20
        check(frame[frame["unit"] == unit], replica(rows, [areas[r] for r in rows], areas), rank)
    reasons = frame.set_index("unit")["reason"]
    assert reasons[world.DEAD].startswith("dead")
    assert reasons[world.NAN].startswith("not finite")


def test_weighted_labels_are_those_of_the_definition(atlas: Atlas) -> None:
    areas = [{key: pixels.mean() for key, pixels in marks_of(i).items()} for i in range(31)]
    frame = labelled(atlas, "annotations:k=5,weighted=yes", "maps")
    context = LabelContext(atlas, target=world.build(), probe=PROBE)
    highest = context.highest("maps", 5).indices
    nowhere = 0
    for unit in (0, 1, 2, 3):
        inside = []
        rows = list(highest[unit])
        for _, maps in context.sources.maps(["maps"], rows, batch_size=1):
            weights = np.maximum(world.stretched(maps["maps"][0, unit].double().numpy(), 12, 16), 0)
            nowhere += not weights.any()
            weights = weights if weights.any() else np.ones((12, 16))
            masks = {key: world.seen(pixels) for key, pixels in marks_of(rows[len(inside)]).items()}
            inside.append({key: (weights * m).sum() / weights.sum() for key, m in masks.items()})
        check(frame[frame["unit"] == unit], replica(rows, inside, areas))
    assert nowhere < 20, "some maps must be positive somewhere, or nothing is weighted"


def test_a_map_that_is_nowhere_positive_weighs_all_positions_alike(tmp_path: Path) -> None:
    probe = world.Masked(13)
    target = world.build()
    target.model.maps.bias.data[:] -= 1000
    atlas = nym.dissect(
        target,
        layers=["maps"],
        probe=probe,
        concepts=["red", "blue"],
        encoder=ColourEncoder(),
        similarity="cos",
        out=tmp_path / "atlas",
        cache=str(tmp_path / "cache"),
        duplicates="all",
    )
    own = {"target": target, "probe": probe, "cache": str(tmp_path / "cache")}
    weighted = labelled(atlas, "annotations:k=3,weighted=yes,rank=share", "maps", **own)
    labels = weighted[(weighted["unit"] == 0) & (weighted["category"] == "texture")]
    plain = labelled(atlas, "annotations:k=3,rank=share", "maps", **own)
    plain = plain[(plain["unit"] == 0) & (plain["category"] == "texture")]
    assert list(labels["concept"]) == list(plain["concept"])
    assert np.isfinite(weighted["score"].dropna()).all()


def test_only_one_category(atlas: Atlas) -> None:
    every = labelled(atlas, "annotations:rank=share", "maps")
    parts = labelled(atlas, "annotations:rank=share,category=part", "maps")
    assert set(every["category"].dropna()) == {"object", "part", "texture"}
    assert set(parts["concept"].dropna()) == {"edge"}
    # The only name of its category: never more common than always, within the category.
    one = labelled(atlas, "annotations:rank=lift,category=part", "maps")
    assert one["abstained"].all()
    with pytest.raises(UsageError, match="`category` to be one of object, part, texture, got 'obj"):
        labelled(atlas, "annotations:category=objects", "maps")


def test_reasons_of_units_without_labels(tmp_path: Path) -> None:
    probe = world.Masked(9)
    for row in range(9):  # annotate only the image that unit RARE likes least
        probe._labels[row], probe._masks[row] = (), ()
    probe._labels[4] = (world.Annotation("texture", "plain"),)
    atlas = world.dissect(tmp_path, probe)
    rare = LabelContext(atlas).highest("relu", 3).indices[world.RARE]
    assert (rare == -1).all()
    frame = labelled(atlas, "annotations:k=3", "relu", probe=probe).set_index("unit")
    assert frame["reason"][world.RARE] in (
        "no image above its minimum",
        "dead: the activation is the same for every image",
    )
    highest = LabelContext(atlas).highest("relu", 3).indices
    for unit in (0, 1, 2, 3):
        if 4 in highest[unit]:
            assert frame["concept"][unit] == "plain"
        else:
            assert frame["reason"][unit] == "none of its 3 highest images is annotated"
    assert (highest[:4] == 4).any(1).sum() in (1, 2, 3)


def test_one_image(tmp_path: Path) -> None:
    probe = world.Masked(1)
    atlas = world.dissect(tmp_path, probe)
    assert labelled(atlas, "annotations", "maps", probe=probe)["abstained"].all()


def test_what_every_image_shows_wins_nothing(tmp_path: Path) -> None:
    """A category with one ubiquitous name must not hide a rarer one that fits."""
    probe = world.Masked(23)
    for row in range(23):
        probe._masks[row] = ()
        probe._labels[row] = (world.Annotation("colour", "grey"),)
    atlas = world.dissect(tmp_path, probe)
    best = LabelContext(atlas).highest("maps", 6).indices[0]
    for row in best[:4]:
        probe._labels[row] += (world.Annotation("texture", "dotted"),)
    for row in sorted({*range(23)} - {*best})[:2]:
        probe._labels[row] += (world.Annotation("texture", "woven"),)
    again = world.dissect(tmp_path / "again", probe)
    frame = labelled(again, "annotations:k=6", "maps", probe=probe)
    assert frame[frame["unit"] == 0]["concept"].tolist() == ["dotted"]
    shares = labelled(again, "annotations:k=6,rank=share", "maps", probe=probe)
    # Both have the whole of their category: the first in the order of categories and names.
    assert shares[shares["unit"] == 0]["concept"].tolist() == ["grey", "dotted"]
    assert shares[shares["unit"] == 0]["score"].tolist() == [1, 1]


def test_probes_without_annotations_are_refused(tmp_path: Path) -> None:
    atlas = nym.dissect(
        colours(),
        layers=["detect"],
        probe=coloured_images(13),
        concepts=["red", "blue"],
        encoder=ColourEncoder(),
        similarity="cos",
        out=tmp_path / "atlas",
        cache=str(tmp_path / "cache"),
    )
    with pytest.raises(NeuronymError, match="has no annotations. Use a probe with image-wide"):
        label(atlas, "annotations")
    with pytest.raises(UsageError, match="k, weighted, rank, category, got 'top_k'"):
        open_labeller("annotations:top_k=5")
    with pytest.raises(UsageError, match="`rank` to be one of gain, lift, share, got 'best'"):
        open_labeller("annotations:rank=best")


def test_weighting_needs_maps(atlas: Atlas) -> None:
    with pytest.raises(NeuronymError, match="flat has no positions"):
        labelled(atlas, "annotations:weighted=yes", "flat")
    assert not labelled(atlas, "annotations", "flat")["abstained"].all()


def test_without_weights_neither_target_nor_probe_is_opened(atlas: Atlas) -> None:
    made = label(open_atlas(atlas.folder), "annotations:k=3", layers=["maps"], overwrite=True)
    facts = made.manifest["methods"][open_labeller("annotations:k=3").method_id]
    assert facts["method"] == "annotations:k=3"


@pytest.mark.parametrize("weighted", ["no", "yes"])
def test_planted_detectors_are_found(weighted: str) -> None:
    # Not more than 5: only three of the pictures have level stripes.
    spec = f"annotations:k=5,weighted={weighted}"
    frame = labelled(planted.atlas(), spec, "units", **planted.sources())
    best = frame[frame["rank"] == 1].set_index("unit")
    for unit, truth in planted.PLANTED.items():
        assert (best["category"][unit], best["concept"][unit]) == truth
    scores = best["score"].fillna(0)
    assert scores[list(planted.RANDOM)].max() < 0.8 * scores[list(planted.PLANTED)].min()
