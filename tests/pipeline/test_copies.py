"""A group of copies counts once: in exemplars, labels, tests and resampling."""

from __future__ import annotations

import shutil
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import neuronym as nym
from neuronym._core.errors import UsageError
from neuronym.cli import main as command
from neuronym.inputs.probes.base import Annotation, ListProbe

WORDS = [f"word{n}" for n in range(300)]
SIZE = nym.Preprocess(size=(32, 32), resize=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
COPIES = "copies or near-copies of one another"


class Left(nn.Module):
    """A random network that sees the left half of a picture of noise."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weights = nn.Parameter(torch.randn(400, 3, 32, 16, generator=generator) / 40)
        self.units = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.units(torch.einsum("ichw,uchw->iu", images[..., :16], self.weights))


class Right(nym.Encoder):
    """A random encoder that sees the right half: what it says has to do with no unit."""

    name, preprocess, dim, logit_scale, fingerprint = "right", SIZE, 24, 10.0, "right"

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        weights = torch.randn(3 * 32 * 16, 24, generator=generator)
        return nn.functional.normalize(batch[..., 16:].flatten(1) @ weights, dim=1)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        rows = [np.random.default_rng(zlib.crc32(t.encode())).normal(size=24) for t in texts]
        return nn.functional.normalize(torch.tensor(np.array(rows), dtype=torch.float32), dim=1)

    def to(self, device: torch.device | str) -> Right:
        return self


def build() -> nym.Target:
    return nym.Target("left", Left().eval(), SIZE)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURONYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("neuronym.extraction.shards.SHARD_IMAGES", 64)


def noise(number: int) -> Image.Image:
    values = np.random.default_rng(number).integers(0, 256, (32, 32, 3))
    return Image.fromarray(values.astype(np.uint8))


def folder(root: Path, pictures: int, copies: int) -> Path:
    """`copy-1/007.png` and so on."""
    for copy in range(copies):
        (root / f"copy-{copy}").mkdir(parents=True)
        for number in range(pictures):
            noise(number).save(root / f"copy-{copy}" / f"{number:03d}.png")
    return root


def dissect(out: Path, probe: object, **changed: object) -> nym.Atlas:
    given = {
        "target": build(),
        "layers": ["units"],
        "probe": probe,
        "concepts": WORDS,
        "encoder": Right(),
        "similarity": "soft-wpmi:top_k=5",
        "batch_size": 16,
        "labels": 3,
        "keep": "all",
    }
    return nym.dissect(**(given | changed), out=out)


def analysed(atlas: nym.Atlas, *analyses: str) -> nym.Atlas:
    for analysis in analyses:
        atlas = nym.analyse(atlas, analysis, encoder=Right(), target=build())
    return atlas


def by_chance(atlas: nym.Atlas) -> float:
    """The share of units whose label has p ≤ 0.05."""
    return float((analysed(atlas, "significance").first_labels()["p"] <= 0.05).mean())


@pytest.mark.parametrize(("pictures", "copies", "top_k"), [(6, 20, 5), (24, 5, 5), (24, 5, 20)])
def test_copies_are_no_evidence(tmp_path: Path, pictures: int, copies: int, top_k: int) -> None:
    how = {"similarity": f"soft-wpmi:top_k={top_k}"}
    with pytest.warns(UserWarning, match=COPIES):
        atlas = dissect(tmp_path / "atlas", folder(tmp_path / "photos", pictures, copies), **how)
    shown = atlas.exemplars().merge(atlas.images, on="image_id")
    assert shown.groupby("unit")["content_hash"].nunique().tolist() == [min(pictures - 1, 20)] * 400
    assert shown.groupby("unit").size().max() == min(pictures - 1, 20)
    # Nothing here has to do with anything: one in twenty, for 400 units that share the images.
    assert 0.005 <= by_chance(atlas) <= 0.1


@pytest.mark.torture
def test_what_five_copies_of_a_probe_say_is_what_the_probe_says(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", 60, 1)
    alone = dissect(tmp_path / "alone", sorted(photos.rglob("*.png")))
    five = sorted(folder(tmp_path / "five", 60, 5).rglob("*.png"))
    np.random.default_rng(4).shuffle(five)
    with pytest.warns(
        UserWarning, match="300 of the 300 images are copies .* in 60 groups.*so 60 "
    ):
        many = dissect(tmp_path / "many", five)
    analyses = ("significance", "bootstrap", "faithfulness")
    one, two = analysed(alone, *analyses), analysed(many, *analyses)
    for name, how in (("labels", {}), ("units", {}), ("trust", {"analysis": "faithfulness"})):
        a, b = (getattr(x, name)(**how) if name != "units" else x.units for x in (one, two))
        pd.testing.assert_frame_equal(a, b, atol=1e-5, rtol=1e-5)
    for column in ("half_agreement", "concept_set"):
        a, b = (x.trust("bootstrap")[column] for x in (one, two))
        assert [list(np.atleast_1d(v)) for v in a] == [list(np.atleast_1d(v)) for v in b]
    content = [x.images.set_index("image_id")["content_hash"] for x in (one, two)]
    shown = [
        x.exemplars()["image_id"].map(c).tolist() for x, c in zip((one, two), content, strict=True)
    ]
    assert shown[0] == shown[1]
    assert many.images["copies"].tolist() == [4] * 60
    assert len(many.copies) == 240


def test_every_image_counts_where_that_is_asked_for(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", 6, 20)
    atlas = dissect(tmp_path / "atlas", photos, duplicates="all")  # asked for: no warning
    said = str(atlas.manifest.probe.about_copies())
    assert f"120 of the 120 images are {COPIES}, in 6 groups, and" in said
    assert len(atlas.images) == 120
    assert len(atlas.copies) == 0
    assert by_chance(atlas) > 0.2
    about = atlas.manifest.probe.duplicates
    found = {"counted": "all", "groups": 6, "images": 120, "equal": 114}
    assert about == found | {"cosine": 0.7, "likeness": 0.95}
    assert atlas.manifest.config["duplicates"] == "all"


def test_a_top_k_over_the_number_of_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"at most the number of images \(6\).*Copies of other images \(24 of 30\) do",
    ):
        dissect(tmp_path / "a", folder(tmp_path / "p", 6, 5), similarity="soft-wpmi:top_k=20")


def test_an_unknown_way_to_count_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`duplicates` to be one of once, all, got 'never'"):
        dissect(tmp_path / "a", folder(tmp_path / "p", 2, 1), duplicates="never")


class Annotated(ListProbe):
    """Copies lie before, between and behind; labels and masks say which picture it is."""

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__([noise(number) for number in order])
        self.order = order

    def labels(self, index: int) -> list[Annotation]:
        return [Annotation("number", f"n{self.order[index]}")]

    def masks(self, index: int) -> list[nym.Mask]:
        pixels = np.zeros((32, 32), bool)
        pixels[: self.order[index] + 1] = True
        return [nym.Mask("part", f"m{self.order[index]}", pixels)]


def test_annotations_stay_with_their_pictures(tmp_path: Path) -> None:
    order = [0, 0, 3, 1, 0, 2, 1, 4, 5, 6, 7, 6, 8, 9, 9, 9, 10, 11, 0, 12]
    probe = Annotated(order)
    with pytest.warns(UserWarning, match=COPIES):
        atlas = dissect(tmp_path / "atlas", probe)
    assert len(atlas.images) == 13
    from neuronym.atlas.context import LabelContext

    context = LabelContext(atlas, target=build(), encoder=Right(), probe=probe)
    sources = context.sources
    for row, entries in enumerate(context.annotations):
        number = order[int(atlas.images["image_id"][row])]
        assert [name for _, name, _ in entries] == [f"n{number}", f"m{number}"]
        assert entries[1][2] == pytest.approx((number + 1) / 32)
        assert sources.labels(row)[0].name == f"n{number}"
        assert sources.masks(row)[0].pixels.sum() == 32 * (number + 1)
        np.testing.assert_array_equal(np.asarray(sources.picture(row)), np.asarray(noise(number)))
    again = sources.activations()["units"]
    np.testing.assert_allclose(again[0:13], atlas.activations("units"), atol=1e-5)
    embedded = sources.embed_images(Right())
    np.testing.assert_allclose(embedded[0:13], atlas.embeddings()["images"], atol=1e-6)


def test_an_atlas_with_groups_is_labelled_searched_and_gone_on_with(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", 30, 3)
    with pytest.warns(UserWarning, match=COPIES):
        atlas = dissect(tmp_path / "atlas", photos, keep="none")
    moved = tmp_path / "moved"
    shutil.move(photos, moved)
    how = {"target": build(), "encoder": Right(), "probe": moved}
    atlas = nym.label(atlas, "clip-dissect:wpmi,top_k=4", **how)
    atlas = nym.label(atlas, "clip-avg", **how)
    assert len(atlas.methods) == 3
    first = atlas.first_labels().iloc[0]
    assert first["unit"] in atlas.search(first["concept"])["unit"].tolist()
    shutil.move(moved, photos)
    with pytest.warns(UserWarning, match=COPIES):
        again = dissect(tmp_path / "atlas", photos, keep="none", resume=True)
    pd.testing.assert_frame_equal(again.images, atlas.images)
    (photos / "copy-2/029.png").unlink()
    noise(99).save(photos / "copy-2/029.png")
    with pytest.raises(nym.NeuronymError, match="have changed since"):
        nym.label(atlas, "clip-dissect:cos", **how | {"probe": photos})


def test_the_command_line_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        noise(number).save(tmp_path / f"{number}.png")
    noise(0).save(tmp_path / "again.png", compress_level=0)  # other bytes, the same picture
    (tmp_path / "twice.png").write_bytes((tmp_path / "1.png").read_bytes())
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"no image")
    monkeypatch.setattr("neuronym.cli._leave", lambda code: None)
    monkeypatch.setattr("neuronym.pipeline.plan.open_target", lambda *a, **k: build())
    monkeypatch.setattr("neuronym.pipeline.plan.open_encoder", lambda *a, **k: Right())
    words = tmp_path / "words.txt"
    words.write_text("\n".join(WORDS))
    run = ["dissect", "left", "--layers", "units", "--probe", f"folder:{tmp_path},labels=no"]
    run += ["--concepts", f"file:{words}", "--out", str(tmp_path / "out"), "--similarity", "cos"]
    monkeypatch.setattr(sys, "argv", ["neuronym", *run])
    command()
    printed = capsys.readouterr()
    assert "Equal and nearly equal images will count as one" in printed.err
    assert "skipped 2 images (a.jpg, b.jpg): is not an image" in printed.err
    told = " ".join(printed.out.split())
    assert f"4 of the 6 images are {COPIES}, in 2 groups. Each group counts as one image" in told
    assert "--duplicates all" in told
    atlas = nym.open(tmp_path / "out")
    copies = atlas.copies.set_index("image_id")
    assert copies["equal"].to_dict() in (
        {"again.png": False, "twice.png": True},
        {"0.png": False, "twice.png": True},
    )
    assert (atlas.images["content_hash"].min() <= copies["content_hash"]).all()


def test_an_atlas_of_before_has_no_copies(tmp_path: Path) -> None:
    atlas = dissect(tmp_path / "atlas", folder(tmp_path / "photos", 8, 1))
    (tmp_path / "atlas/copies.parquet").unlink()
    pd.read_parquet(tmp_path / "atlas/images.parquet").drop(columns="copies").to_parquet(
        tmp_path / "atlas/images.parquet"
    )
    atlas = nym.open(tmp_path / "atlas")
    assert atlas.images["copies"].tolist() == [0] * 8
    assert atlas.copies.empty
    assert list(atlas.copies.columns)[-2:] == ["of", "equal"]
