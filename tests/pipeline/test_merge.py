"""Parts of a probe, and of a network's layers, become the atlas that one run would have made."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import neuronym as nym
from divided import SIZE, WORDS, Blind, Small, build, pictures
from known_world import Deep, known_atlas, known_target
from neuronym._core.errors import UsageError
from neuronym._core.numerics.sparse import SparseRows
from neuronym.atlas.context import Sources
from neuronym.extraction.image_table import ImageRow, ImageTable
from neuronym.extraction.run import Extraction
from neuronym.pipeline import parts as recording
from neuronym.pipeline.gathered import Gathered
from neuronym.search.relations import Relations
from small_world import ColourEncoder, coloured_images

IMAGES = 130
LAYERS = ["filters", "rare", "head"]
TABLES = ("images", "copies", "units", "concepts")
pytestmark = pytest.mark.filterwarnings("ignore:.*(copies|could not be read):UserWarning")


@pytest.fixture(scope="module", autouse=True)
def _small_shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEURONYM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("neuronym.extraction.shards.SHARD_IMAGES", 16)
        yield


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures(tmp_path_factory.mktemp("probe") / "pictures", IMAGES)


def run(out: Path, probe: Path, **settings: Any) -> nym.Atlas:
    how = {"layers": LAYERS, "batch_size": 8, "workers": 1, "exemplars": 6, "labels": 7}
    return nym.dissect(
        settings.pop("target", None) or build(),
        probe=f"folder:{probe}",
        concepts=WORDS,
        encoder=Blind(),
        out=out,
        **how | settings,
    )


def merged(parts: list[nym.Atlas], out: Path, **how: Any) -> nym.Atlas:
    return nym.merge(parts, out=out, target=build(), encoder=Blind(), **how)


def divided(root: Path, probe: Path, of: int, **settings: Any) -> list[nym.Atlas]:
    return [run(root / f"part-{n}", probe, part=(n, of), **settings) for n in range(1, of + 1)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, probe: Path, _small_shards: None) -> nym.Atlas:
    return run(tmp_path_factory.mktemp("whole") / "whole", probe)


@pytest.fixture(scope="module")
def three(
    tmp_path_factory: pytest.TempPathFactory, probe: Path, _small_shards: None
) -> list[nym.Atlas]:
    return divided(tmp_path_factory.mktemp("three"), probe, 3)


def check_same(one: nym.Atlas, other: nym.Atlas, tables: tuple[str, ...] = TABLES) -> None:
    """Every table and array the same, scores and statistics to 1e-5."""
    how = {"check_exact": False, "rtol": 1e-5, "atol": 1e-5}
    for table in tables:
        pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table), **how)
    pd.testing.assert_frame_equal(one.exemplars(), other.exemplars(), **how)
    assert one.methods == other.methods
    for method in one.methods:
        pd.testing.assert_frame_equal(one.labels(method=method), other.labels(method=method), **how)
    assert list(one.layers.items()) == list(other.layers.items())
    for name, array in one.embeddings().items():
        np.testing.assert_allclose(array, other.embeddings()[name], atol=1e-6)
    assert one.manifest.identity == other.manifest.identity
    assert one.manifest.probe == other.manifest.probe


def test_parts_with_all_activations_become_what_one_run_makes(
    tmp_path: Path, whole: nym.Atlas, three: list[nym.Atlas]
) -> None:
    assert [atlas.manifest.part.images for atlas in three] == [48, 48, 34]  # whole shards of 16
    found = merged([three[2], three[0], three[1]], tmp_path / "merged")
    check_same(whole, found)
    assert set(found.copies["equal"]) == {True, False}
    assert found.manifest.probe.skipped[0][0] == "040.png"
    for layer in LAYERS:
        np.testing.assert_array_equal(
            np.asarray(whole.activations(layer)), np.asarray(found.activations(layer))
        )
    assert {p.name for p in (found.folder / "thumbs").iterdir()} == {
        p.name for p in (whole.folder / "thumbs").iterdir()
    }
    # Everything that reads an atlas goes on with it, with the shards that the parts have cached.
    again = Sources(found, target=build(), encoder=Blind()).activations()
    np.testing.assert_array_equal(again["head"][0:9], found.activations("head")[0:9])
    with pytest.raises(UsageError, match="a complete atlas of the same settings"):
        merged(three, found.folder)
    assert merged(three, found.folder, resume=True).methods == found.methods
    assert isinstance(found.activations("rare"), SparseRows)  # read like the others
    likeness = Relations(found).like("rare", 8, "activations")
    dense = np.concatenate([np.asarray(found.activations(layer)) for layer in LAYERS], axis=1)
    with np.errstate(invalid="ignore"):
        wanted = np.corrcoef(dense.T.astype(np.float64))[9 + 8]
    best = likeness.iloc[0]
    place = 9 * LAYERS.index(best["layer"]) + best["unit"]
    assert best["likeness"] == pytest.approx(
        np.delete(wanted, 17)[np.isfinite(np.delete(wanted, 17))].max(), abs=1e-5
    )
    assert wanted[place] == pytest.approx(best["likeness"], abs=1e-5)
    # Every similarity: from what was merged, as from what one run kept.
    one = shutil.copytree(whole.folder, tmp_path / "one")
    for method in ("cos", "rank-reorder,top_fraction=0.2", "wpmi,prior=probe"):
        atlases = [nym.label(a, f"clip-dissect:{method}", encoder=Blind()) for a in (one, found)]
        check_same(*atlases)


def test_parts_that_list_the_highest_images_give_the_same_labels(
    tmp_path: Path, probe: Path, whole: nym.Atlas
) -> None:
    late = divided(tmp_path / "late", probe, 2, keep="topk", layers=["head"])
    early = divided(tmp_path / "early", probe, 2, keep="topk", layers=["filters", "rare"])
    assert early[0].manifest.part.depth == 12
    found = merged([*late, *early], tmp_path / "merged")
    found.manifest.identity["keep"] = "auto"
    check_same(whole, found, ("images", "copies", "concepts"))
    assert list(found.layers) == LAYERS  # in the network's order, not in that of the atlases
    assert found.manifest.merged == {"parts": 2, "layers": 2}
    # What removed images did to the statistics cannot be known, and that is said.
    assert [note for note in found.manifest.notes if "standard deviation" in note]


class Held(Extraction):
    """Activations from memory."""

    def rows(self, output: str, array: str = "values") -> np.ndarray:  # type: ignore[override]
        return self.arrays[output][array][self.kept if self.kept is not None else slice(None)]


def table(rows: Sequence[ImageRow]) -> ImageTable:
    made = ImageTable()
    for row in rows:
        made.append(row)
    return made


def test_lists_name_the_highest_images_or_say_that_they_may_not(tmp_path: Path) -> None:
    """Against sorting everything, over uneven parts, ties, silent units and removed images."""
    rng = np.random.default_rng(0)
    layer = SimpleNamespace(info=SimpleNamespace(name="x"), grid=(3, 4))
    told = wrong = 0
    for trial in range(60):
        counts = rng.integers(1, 30, rng.integers(1, 5))
        total, k, depth = int(counts.sum()), int(rng.integers(1, 6)), int(rng.integers(6, 9))
        values = rng.integers(-3 if trial % 2 else -60, 60, (total, 5)).astype(np.float32)
        values[:, 3] = np.maximum(values[:, 3], 40)
        values[:, 4] = np.sort(values[:, 4])  # all of the highest in one part
        peaks = rng.integers(0, 12, (total, 5))
        images = [
            ImageRow(f"{n}", None, 1, 1, f"{rng.integers(0, 1 << 30):08x}", ())
            for n in range(total)
        ]
        lists, stood, starts = [], [], [0]
        for count in counts:
            rows = slice(starts[-1], starts[-1] + count)
            arrays = {"x": {"values": values[rows], "peaks": peaks[rows]}}
            done = Held(images=table(images[rows]), arrays=arrays)
            of = np.where(rng.random(count) < 0.2, rng.integers(0, count, count), np.arange(count))
            of = np.where(of[of] == of, of, np.arange(count))
            kept = recording._lists(done, layer, of, depth)
            lists.append({name: blocks[0] for name, (_, _, blocks) in kept.items()})
            stood.append(of + starts[-1])
            starts.append(starts[-1] + int(count))
        whole = Gathered(
            images=table(images), lists={"x": lists}, starts=starts, stood=np.concatenate(stood)
        )
        counted = np.flatnonzero(rng.random(total) < 0.7)
        if not len(counted):
            continue
        found = whole.only(counted)
        best, _ = found.highest("x", k)
        order = np.lexsort((found.tie[:, None].repeat(5, 1), -values[counted]), axis=0)[:k].T
        same = np.array(
            [list(best.indices[u][: order.shape[1]]) == list(order[u]) for u in range(5)]
        )
        # Images at a unit's minimum are never shown, and decide no label.
        low = values.min(0)
        above = [np.take(values[counted, u], order[u]).min() > low[u] for u in range(5)]
        bad = int(np.count_nonzero(~same & np.array(above)))
        assert bad <= found.short("x", k)
        told += found.short("x", k)
        wrong += bad
        shown = best.indices >= 0
        where = found.peaks("x", best.indices, shown)
        own = peaks[counted][best.indices, np.arange(5)[:, None]]
        np.testing.assert_array_equal(where[shown], own[shown])
    assert 0 < wrong <= told < 60


def test_layers_alone_are_put_side_by_side_with_all_their_labels(
    tmp_path: Path, probe: Path, whole: nym.Atlas
) -> None:
    made = [run(tmp_path / "1", probe, layers=["head"])]
    made.append(run(tmp_path / "2", probe, layers=["filters", "rare"]))
    one = shutil.copytree(whole.folder, tmp_path / "one")
    for atlas in (one, *made):
        nym.label(atlas, "clip-avg", encoder=Blind())
    found = merged([nym.open(atlas.folder) for atlas in made], tmp_path / "merged")
    check_same(nym.open(one), found)
    assert not nym.label(found, "clip-dissect:cos", encoder=Blind()).labels().empty


def altered(atlas: nym.Atlas, out: Path, **identity: Any) -> nym.Atlas:
    """A copy whose manifest says something else."""
    shutil.copytree(atlas.folder, out)
    told = json.loads((out / "atlas.json").read_text())
    layer = identity.pop("layer", None)
    told["probe"]["fingerprint"] = identity.pop("images", told["probe"]["fingerprint"])
    told["identity"] |= identity
    for entry in told["target"]["layers"] if layer else ():
        entry["layer"] += layer
    (out / "atlas.json").write_text(json.dumps(told))
    return nym.open(out)


def test_what_does_not_belong_together_is_refused(
    tmp_path: Path, probe: Path, whole: nym.Atlas, three: list[nym.Atlas]
) -> None:
    one, two, last = three
    out = tmp_path / "merged"
    numbers = iter(range(99))

    def other(atlas: nym.Atlas, **identity: Any) -> nym.Atlas:
        return altered(atlas, tmp_path / f"altered-{next(numbers)}", **identity)

    def refused(match: str, *atlases: nym.Atlas) -> None:
        with pytest.raises(UsageError, match=match):
            merged(list(atlases), out)
        assert not out.exists()

    refused("part 2 of 3 is missing.*--part 2/3", one, last)
    refused("for filters, rare, head: parts 1, 3 of 3 are missing", two, other(two, layer="x"))
    refused("every part once, got part 2 in", one, two, two, last)
    refused("every part once, got the whole probe in", whole, other(whole))
    refused("two or more", one)
    refused("1 and 3 parts", whole, one)
    refused("another batch size .8 and 4.", one, other(two, batch_size=4))
    refused("other words or templates", one, other(two, concepts="x"))
    refused("another encoder .checksums blind and x", one, other(two, encoder="x"))
    refused("another preprocessing", one, other(two, preprocess={}))
    refused(
        "another probe .*130 images and .*131 images.*--part",
        one,
        other(two, probe=[one.manifest.identity["probe"][0], 131]),
    )
    refused("images were changed", whole, other(whole, images="x", layer="x"))
    spoilt = nym.Target("small", Small(spoil=0.1).eval(), SIZE)
    refused("other weights or code", run(tmp_path / "d", probe, target=spoilt, part=(3, 3)), one)
    pooled = run(tmp_path / "f", probe, layers=["filters"], pool="max")
    refused("got filters in .* different ways", pooled, whole)
    refused("got filters in .*both hold it", run(tmp_path / "h", probe, layers=["filters"]), whole)
    with pytest.raises(UsageError, match="records part 1 of 3 of a probe. Merge all parts first"):
        one.labels()
    with pytest.raises(UsageError, match="Expected `keep` to be all for a part.*cos"):
        run(out, probe, part=(1, 3), similarity="cos", keep="topk")
    for wrong in ("0/3", "4/3", "x", "1/2/3"):
        with pytest.raises(UsageError, match="I/N with 1 ≤ I ≤ N"):
            run(out, probe, part=wrong)
    with pytest.raises(UsageError, match="at most 130 parts"):
        run(out, probe, part=(1, 131))


@pytest.mark.parametrize("keep", ["all", "topk"])
def test_the_output_layer_that_confidence_is_calibrated_on_comes_along(
    tmp_path: Path, keep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of inner layers record it for that alone; the merged atlas is examined as any other."""
    monkeypatch.setenv("NEURONYM_CACHE", str(tmp_path / "cache"))
    how = {"layers": ["inner"], "keep": keep, "batch_size": 8, "images": 40, "units": 200}
    made = [known_atlas(tmp_path / f"{n}", 1.1, part=(n, 2), **how) for n in (1, 2)]
    whole = known_atlas(tmp_path / "whole", 1.1, **how)
    given = {"target": known_target(1.1, 0, 200, Deep), "probe": coloured_images(40, 0)}
    given |= {"encoder": ColourEncoder(), "cache": str(tmp_path / "cache")}
    found = nym.merge(made, out=tmp_path / "merged", **given)
    assert list(found.layers) == ["inner"]
    extra = found.manifest.target.calibration_layer
    assert extra == whole.manifest.target.calibration_layer
    assert (extra["layer"], extra["layout"]) == ("detect", "NCHW")
    if keep == "all":
        assert found.activations("detect").shape == (len(found.images), 200)
        return
    one, other = (nym.analyse(atlas, ["confidence"], **given).labels() for atlas in (whole, found))
    assert one["confidence"].notna().all()
    pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-5, atol=1e-5)


class Broken(Small):
    """Some units of its last layer are not finite for some images."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = super().forward(images)
        found[found[:, 2] > found[:, 3], 2] = torch.nan
        found[found[:, 4] < found[:, 3], 4] = -torch.inf
        return self.last(found)


def test_where_every_image_counts_lists_give_statistics_and_reasons_too(
    tmp_path: Path, probe: Path
) -> None:
    target = nym.Target("broken", Broken().eval(), SIZE)
    how = {"target": target, "layers": ["last"], "keep": "topk", "duplicates": "all"}
    whole = run(tmp_path / "whole", probe, **how)
    found = merged(divided(tmp_path, probe, 9, **how), tmp_path / "merged")
    reasons = whole.labels("last")["reason"].dropna().tolist()
    assert [re.sub(r"\d+", "N", reason) for reason in reasons] == ["not finite for N images"] * 2
    check_same(whole, found)
    one, other = (a.folder / "arrays/activations-last.safetensors" for a in (whole, found))
    assert one.read_bytes() == other.read_bytes()
