from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

import neuronym as nym
from neuronym._core import registry
from neuronym.analysis.truth.base import Answer
from neuronym.analysis.truth.store import Annotations
from neuronym.atlas.writer import AtlasWriter
from neuronym.labelling.methods.clip_dissect import ClipDissect
from neuronym.pipeline import run as pipeline
from neuronym.similarity.base import SIMILARITIES, open_similarity
from neuronym.similarity.cosine import Cos
from small_world import COLOURS, PLANTED, SMALL, ColourEncoder, Detectors, build, coloured_images

WORDS = [*COLOURS, "nonsense", "gibberish"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURONYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("neuronym.extraction.shards.SHARD_IMAGES", 16)


def dissect(out: Path, **changed: Any) -> nym.Atlas:
    given: dict[str, Any] = {
        "target": build(),
        "layers": ["detect", "head"],
        "probe": coloured_images(61),
        "concepts": WORDS,
        "encoder": ColourEncoder(),
        "similarity": "soft-wpmi:top_k=7",
        "batch_size": 8,
        "progress": None,
    }
    return nym.dissect(**(given | changed), out=out)


def same(one: nym.Atlas, two: nym.Atlas) -> None:
    for table in ("images", "units", "concepts"):
        pd.testing.assert_frame_equal(getattr(one, table), getattr(two, table))
    pd.testing.assert_frame_equal(one.labels(), two.labels())
    pd.testing.assert_frame_equal(one.exemplars(), two.exemplars())


@pytest.mark.parametrize("similarity", [entry.name for entry in SIMILARITIES])
def test_planted_colours_are_found_by_every_similarity(tmp_path: Path, similarity: str) -> None:
    settings = {"rank-reorder": "rank-reorder:top_fraction=0.4"}
    atlas = dissect(tmp_path / "atlas", similarity=settings.get(similarity, similarity))
    best = atlas.labels("detect").query("rank == 1").set_index("unit")
    assert list(best["concept"][:5]) == PLANTED
    assert best["abstained"].tolist() == [False] * 5 + [True, False]
    assert best["reason"][5] == "dead: the activation is the same for every image"
    scores = atlas.labels("detect", 0)["score"].to_numpy()
    assert (np.diff(scores) <= 0).all()
    assert len(scores) == len(WORDS)


def test_the_atlas_holds_what_the_format_says(tmp_path: Path) -> None:
    atlas = dissect(tmp_path / "atlas")
    manifest = atlas.manifest
    assert manifest["complete"]
    assert manifest["kept"] == "all"
    for files in manifest["stages"].values():
        for name in files:
            assert (tmp_path / "atlas" / name).exists(), name
    listed = {name for files in manifest["stages"].values() for name in files}
    there = {
        str(p.relative_to(atlas.folder))
        for p in atlas.folder.rglob("*")
        if p.is_file() and p.parent.name != "thumbs"
    }
    assert there == {name for name in listed if name != "thumbs"} | {"atlas.json", ".lock"}
    assert atlas.layers["detect"]["units"] == 7
    assert atlas.activations("head").shape == (61, 4)
    units = atlas.units.set_index(["layer", "unit"])
    activations = np.asarray(atlas.activations("detect"))
    np.testing.assert_allclose(units.loc["detect", "mean"], activations.mean(0), rtol=1e-5)
    np.testing.assert_allclose(units.loc["detect", "std"], activations.std(0), atol=1e-6)
    assert units.loc["detect", "dead"].tolist() == [False] * 5 + [True, False]
    # Pooling happens before the in-place ReLU that follows: there are negative values.
    assert activations.min() < -0.1
    exemplars = atlas.exemplars("detect", 2)
    order = np.argsort(-activations[:, 2], kind="stable")[:20]
    assert exemplars["image_id"].tolist() == atlas.images["image_id"].iloc[order].tolist()
    assert exemplars["y"].between(0, 1).all()
    assert atlas.exemplars("head", 1)["y"].isna().all()
    assert atlas.thumb(exemplars["image_id"][0]).stat().st_size > 100
    assert len(atlas.exemplars("detect", 5)) == 0  # dead
    embeddings = atlas.embeddings()
    assert embeddings["images"].shape == (61, 4)
    assert embeddings["concepts"].shape == (len(WORDS), 4)


def test_activations_are_the_models_own(tmp_path: Path) -> None:
    atlas = dissect(tmp_path / "atlas")
    pixels = np.stack([SMALL.pixels(_image(i)) for i in range(61)])
    with torch.no_grad():
        logits = Detectors().eval()(SMALL.normalise(torch.from_numpy(pixels)))
    np.testing.assert_allclose(atlas.activations("head"), logits.numpy(), rtol=1e-5, atol=1e-6)


def _image(index: int) -> Any:
    from PIL import Image

    return Image.fromarray(coloured_images(61)[index])


def test_the_order_of_images_changes_nothing(tmp_path: Path) -> None:
    images = coloured_images(61)
    images += [images[3], images[8]]  # ties, by content too
    paths = []
    for number, image in enumerate(images):
        from PIL import Image

        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image).save(paths[-1])
    order = np.random.default_rng(1).permutation(len(paths))
    told = "4 of the 63 images are copies"
    with pytest.warns(UserWarning, match=told):
        one = dissect(tmp_path / "one", probe=paths)
    with pytest.warns(UserWarning, match=told):
        two = dissect(tmp_path / "two", probe=[paths[i] for i in order])
    keys = ["layer", "unit", "rank"]
    labels = one.labels().merge(two.labels(), on=keys, suffixes=("", "_2"))
    assert len(labels) == len(one.labels())
    np.testing.assert_allclose(labels["score"], labels["score_2"], atol=1e-5)
    clear = labels[labels["rank"] == 1]
    assert (clear["concept"].fillna("") == clear["concept_2"].fillna("")).all()
    hashes = [
        dict(zip(a.images["image_id"], a.images["content_hash"], strict=True)) for a in (one, two)
    ]
    shown = [
        a.exemplars()["image_id"].map(h).tolist() for a, h in zip((one, two), hashes, strict=True)
    ]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_batch_sizes_agree(tmp_path: Path, batch_size: int) -> None:
    one = dissect(tmp_path / "one")
    two = dissect(tmp_path / "two", batch_size=batch_size)
    np.testing.assert_allclose(one.activations("head"), two.activations("head"), atol=1e-5)
    labels = one.labels().merge(two.labels(), on=["layer", "unit", "rank"])
    np.testing.assert_allclose(labels["score_x"], labels["score_y"], atol=1e-5)


STAGES = ["images", "concepts", "units", "labels clip-dissect.soft-wpmi", "activations", "thumbs"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_killed_at_any_stage_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, moment: str
) -> None:
    wanted = dissect(tmp_path / "undisturbed")
    original = AtlasWriter.finish

    def killed(self: AtlasWriter, name: str, *rest: Any, **facts: Any) -> None:
        hit = name.startswith(stage)
        if hit and moment == "before":
            raise KeyboardInterrupt
        original(self, name, *rest, **facts)
        if hit:
            raise KeyboardInterrupt

    monkeypatch.setattr(AtlasWriter, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        dissect(tmp_path / "atlas")
    monkeypatch.setattr(AtlasWriter, "finish", original)
    atlas = dissect(tmp_path / "atlas")  # the same call, without --resume
    assert atlas.manifest["complete"]
    same(atlas, wanted)


def test_existing_outputs(tmp_path: Path) -> None:
    out = tmp_path / "atlas"
    first = dissect(out)
    with pytest.raises(nym.UsageError, match="a complete atlas of the same settings.*--overwrite"):
        dissect(out)
    with pytest.raises(nym.UsageError, match=r"other settings \(similarity\).*--overwrite"):
        dissect(out, similarity="cos", resume=True)
    same(dissect(out, resume=True), first)
    (out / "mine.txt").write_text("keep me")
    other = dissect(out, similarity="cos", overwrite=True)
    assert other.methods == ["clip-dissect.cos"]
    assert (out / "mine.txt").read_text() == "keep me"
    assert len(list((out / "labels").iterdir())) == 1
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(nym.UsageError, match="which exists and is no atlas"):
        dissect(tmp_path / "full", overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(nym.UsageError, match="which exists and is no atlas"):
        dissect(tmp_path / "file")


def test_what_is_in_the_way_is_said_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dissect(tmp_path / "atlas")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    monkeypatch.setattr(pipeline, "plan", lambda *_, **__: pytest.fail("models were loaded"))
    for out, wanted in (
        ("atlas", "a complete atlas of the same"),
        ("full", "is no atlas"),
        ("full/x", "is no atlas"),
    ):
        with pytest.raises(nym.UsageError, match=wanted):
            dissect(tmp_path / out)
    with pytest.raises(nym.UsageError, match=r"made with other settings \(limit\)"):
        dissect(tmp_path / "atlas", limit=9, batch_size=3)
    (tmp_path / "atlas" / "annotations.sqlite").touch()
    with pytest.raises(nym.UsageError, match="which holds what people said"):
        dissect(tmp_path / "atlas", overwrite=True)


FILES = [
    "images.parquet",
    "units.parquet",
    "exemplars.parquet",
    "concepts.parquet",
    "arrays/embeddings.safetensors",
    "arrays/activations-head.safetensors",
    "labels/*.parquet",
    "thumbs/*.jpg",
]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("cut", [True, False])
def test_lost_and_cut_files_are_made_again_on_resume(tmp_path: Path, file: str, cut: bool) -> None:
    first = dissect(tmp_path / "atlas")
    damaged = sorted(first.folder.glob(file))[0]
    whole = damaged.read_bytes()
    if cut and "thumbs" not in file:
        damaged.write_bytes(whole[: len(whole) // 2])
        if damaged.suffix == ".parquet":
            with pytest.raises(nym.NeuronymError, match="is damaged.*--resume"):
                broken = nym.open(first.folder)
                for read in (
                    lambda: broken.images,
                    lambda: broken.units,
                    broken.exemplars,
                    broken.labels,
                    lambda: broken.concepts,
                ):
                    read()
    else:
        damaged.unlink()
    again = dissect(tmp_path / "atlas", resume=True)
    assert damaged.read_bytes() == whole
    same(again, dissect(tmp_path / "other"))


MANIFESTS = ["{", "[]", '{"schema": "x"}', '{"schema": 1}', '{"schema": 1, "stages": []}', "null"]


@pytest.mark.parametrize("text", MANIFESTS)
def test_a_damaged_manifest_is_named_and_can_be_replaced(tmp_path: Path, text: str) -> None:
    atlas = dissect(tmp_path / "atlas")
    (atlas.folder / "atlas.json").write_text(text)
    for resume in (True, False):
        with pytest.raises(
            nym.NeuronymError, match=r"atlas\.json is not a readable atlas manifest"
        ):
            dissect(tmp_path / "atlas", resume=resume)
    with pytest.raises(nym.NeuronymError, match=r"atlas\.json is not a readable atlas manifest"):
        nym.open(atlas.folder)
    same(dissect(tmp_path / "atlas", overwrite=True), dissect(tmp_path / "other"))


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_killed_while_overwriting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    dissect(tmp_path / "atlas", similarity="cos")
    steps = ["_save", "_clear", "finish"]
    with monkeypatch.context() as patch:

        def stop(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        module = "neuronym.atlas.writer." + ("" if steps[moment] == "_clear" else "AtlasWriter.")
        patch.setattr(module + steps[moment], stop)
        with pytest.raises(KeyboardInterrupt):
            dissect(tmp_path / "atlas", overwrite=True)
    (tmp_path / "atlas" / ".atlas.json.x.tmp").write_text("half")
    again = dissect(tmp_path / "atlas", overwrite=moment == 0)
    assert again.methods[0].startswith("clip-dissect.soft-wpmi")
    assert len(list((again.folder / "labels").iterdir())) == 1
    assert not list(again.folder.rglob(".*.tmp"))


def test_two_runs_cannot_write_one_atlas(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    from neuronym.atlas.writer import AtlasWriter

    atlas = dissect(tmp_path / "atlas")
    other = AtlasWriter.begin(atlas.folder, atlas.manifest, resume=True, overwrite=False)
    with pytest.raises(nym.NeuronymError, match="Another run is writing to"):
        dissect(tmp_path / "atlas", overwrite=True)
    other.close()
    dissect(tmp_path / "atlas", overwrite=True)


def test_a_probe_that_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    from PIL import Image

    for number, image in enumerate(coloured_images(24)):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    dissect(tmp_path / "atlas", probe=folder)
    Image.fromarray(coloured_images(1, seed=9)[0]).save(folder / "03.png")
    with pytest.raises(nym.NeuronymError, match="have changed since.*--overwrite"):
        dissect(tmp_path / "atlas", probe=folder, resume=True)


@pytest.mark.parametrize("keep", ["none", "topk", "all"])
def test_keeping_activations(tmp_path: Path, keep: str) -> None:
    atlas = dissect(tmp_path / "atlas", keep=keep, exemplars=4)
    path = atlas.folder / "arrays" / "activations-detect.safetensors"
    assert path.exists() == (keep != "none")
    if keep == "all":
        assert atlas.activations("detect").shape == (61, 7)
        return
    with pytest.raises(nym.NeuronymError, match=f"no activations of detect.*{keep}.*--keep all"):
        atlas.activations("detect")
    if keep == "topk":
        from neuronym._core.storage import read_arrays

        arrays = read_arrays(path)[0]
        assert arrays["values"].shape == (7, 7)  # top_k=7 images of 7 units
        assert arrays["indices"].dtype == np.int32


@dataclass(frozen=True)
class Opposite(Cos):
    """A similarity of somebody's own that nobody registered: the highest scores are the lowest."""

    name: ClassVar[str] = "opposite"
    weight: float = registry.number(1.0, low=0)

    def _plan(self, *given: Any) -> Any:
        plan = super()._plan(*given)
        return replace(plan, tiles=((low, -self.weight * tile) for low, tile in plan.tiles))


@dataclass(frozen=True)
class Reversed(Opposite):
    """The same under the name of a registered one."""

    name: ClassVar[str] = "cos"


@pytest.mark.parametrize("kind", [Opposite, Reversed])
def test_a_similarity_of_ones_own_is_kept(tmp_path: Path, kind: type[Opposite]) -> None:
    plain = dissect(tmp_path / "plain", similarity="cos", labels=99).labels()
    atlas = dissect(tmp_path / "own", similarity=kind(weight=2), labels=99)
    labels = atlas.labels()
    assert labels["score"].tolist() == pytest.approx(
        labels.merge(plain, on=["layer", "unit", "concept"], how="left")["score_y"]
        .mul(-2)
        .tolist(),
        nan_ok=True,
    )
    assert atlas.methods[0].startswith(f"clip-dissect.{kind.__name__}.")
    facts = atlas.manifest.methods[atlas.methods[0]]
    assert facts["with_defaults"] == f"python:{kind.__module__}.{kind.__name__},weight=2"
    with pytest.raises(nym.UsageError, match="already"):
        nym.label(atlas, ClipDissect(kind(weight=2)), encoder=ColourEncoder())
    assert open_similarity(facts["with_defaults"]) == kind(weight=2)
    assert atlas["detect", 0].figure() is not None
    with pytest.raises(nym.UsageError, match="Import its module first"):
        open_similarity("python:antigravity.Cos,weight=2")


def test_another_similarity_costs_no_forward_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dissect(tmp_path / "one")

    def refuse(*_: Any) -> None:
        raise AssertionError("the network ran again")

    monkeypatch.setattr("neuronym.extraction.passes.TargetPass.__call__", refuse)
    monkeypatch.setattr("neuronym.extraction.passes.EncoderPass.__call__", refuse)
    dissect(tmp_path / "two", similarity="cos")
    with pytest.raises(AssertionError, match="ran again"):
        dissect(tmp_path / "three", target=nym.Target("other", Detectors(spoil=1).eval(), SMALL))


def test_units_with_nan_abstain_and_a_network_of_nan_is_refused(tmp_path: Path) -> None:
    one = nym.Target("spoiled", Detectors(spoil=float("nan")).eval(), SMALL)
    atlas = dissect(tmp_path / "one", target=one, layers=["detect"])
    best = atlas.labels().query("rank == 1")
    assert best["reason"].iloc[1] == "not finite for 61 images"
    assert best["concept"].iloc[0] == "red"
    assert atlas.manifest["nonfinite_units"] == 1
    with pytest.raises(
        nym.NeuronymError, match="Every unit of head has NaN or infinite activations"
    ):
        dissect(tmp_path / "two", target=one, layers=["head"])


def test_one_image_one_unit_one_concept(tmp_path: Path) -> None:
    atlas = dissect(tmp_path / "one", probe=coloured_images(1), similarity="soft-wpmi")
    assert atlas.labels()["abstained"].all()
    with pytest.raises(nym.UsageError, match="at most the number of images"):
        dissect(tmp_path / "two", probe=coloured_images(5))  # top_k=7
    single = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1))
    target = nym.Target("single", single.eval(), SMALL)
    atlas = dissect(
        tmp_path / "three", target=target, layers=["0"], similarity="soft-wpmi:prior=probe"
    )
    assert atlas.labels()["concept"].notna().all()
    with pytest.raises(nym.UsageError, match="at least 2 different words"):
        dissect(tmp_path / "four", concepts=["red"])


def test_a_plain_module_and_sharpness_that_must_be_measured(tmp_path: Path) -> None:
    encoder = ColourEncoder()
    encoder.logit_scale = None
    given = {"target": Detectors(), "preprocess": SMALL, "similarity": "soft-wpmi"}
    atlas = dissect(tmp_path / "atlas", encoder=encoder, **given)
    method = next(iter(atlas.manifest["methods"].values()))
    assert method["logit_scale_measured"]
    assert method["logit_scale"] > 0
    assert f"a={method['logit_scale']:g}" in method["with_defaults"]


def test_a_mistaken_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(nym.UsageError, match="got 'batchsize'. Nearest: batch_size"):
        dissect(tmp_path / "atlas", batchsize=3)


def test_atlas_search_and_units(tmp_path: Path) -> None:
    atlas = dissect(tmp_path / "atlas")
    found = atlas.search("RED", match="exact", top=1)
    assert ("detect", 0) in set(zip(found["layer"], found["unit"], strict=True))
    assert found["score"].is_monotonic_decreasing
    assert set(atlas.search("ur", top=1)["concept"]) <= {"purple"}
    assert atlas.search("red", layers=["head"])["layer"].eq("head").all()
    unit = atlas["detect:2"]
    assert unit.name == "detect:2"
    assert unit.labels()["concept"][0] == "blue"
    assert unit.facts["max"] == pytest.approx(float(atlas.activations("detect")[:, 2].max()))
    with pytest.raises(
        nym.UsageError, match="one of the atlas's 2 layers, got 'detec'. Nearest: detect"
    ):
        atlas["detec", 2]
    with pytest.raises(nym.UsageError, match="a number 0…6 in detect, got 7"):
        atlas["detect", 7]
    with pytest.raises(nym.UsageError, match="layer:number, such as layer4:1802, got 'detect'"):
        atlas["detect"]


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    atlas = dissect(tmp_path / "atlas")
    for key in (("detect", 0), ("detect", 5), ("head", 1)):
        figure = atlas[key].figure()
        out = tmp_path / "unit.png"
        figure.savefig(out)
        assert out.stat().st_size > (10_000 if key == ("detect", 5) else 20_000)


def test_opening_what_is_no_atlas(tmp_path: Path) -> None:
    with pytest.raises(nym.UsageError, match="There is no such folder. Make one with"):
        nym.open(tmp_path / "nowhere")
    with pytest.raises(nym.UsageError, match=r"There is no atlas\.json in it"):
        nym.open(tmp_path)
    (tmp_path / "atlas.json").write_text("{")
    with pytest.raises(nym.NeuronymError, match="not a readable atlas manifest"):
        nym.open(tmp_path)
    (tmp_path / "atlas.json").write_text('{"schema": 99}')
    with pytest.raises(nym.NeuronymError, match="atlas format 99.*upgrade neuronym"):
        nym.open(tmp_path)


def test_outputs_that_look_like_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    atlas = dissect(Path("x-timm:net_atto"))
    assert len(nym.open("x-timm:net_atto").labels()) == len(atlas.labels())


def test_unreadable_images_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    from PIL import Image

    for number, image in enumerate(coloured_images(24)):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    (folder / "07.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"1 of 24 images could not be read, the first: 07\.png"):
        atlas = dissect(tmp_path / "atlas", probe=folder)
    assert len(atlas.images) == 23


def test_peoples_annotations_are_not_overwritten(tmp_path: Path) -> None:
    atlas = dissect(tmp_path / "atlas")
    Annotations(atlas).add(Answer("detect", 1, "own", "leaf green"))
    with pytest.raises(nym.UsageError, match="which holds what people said. Keep it with"):
        dissect(tmp_path / "atlas", overwrite=True)
    assert Annotations(nym.open(tmp_path / "atlas")).latest()[0].label == "leaf green"
    (tmp_path / "atlas" / "annotations.sqlite").unlink()
    assert dissect(tmp_path / "atlas", overwrite=True).manifest["complete"]
