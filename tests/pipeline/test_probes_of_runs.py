"""What a run makes of images that are not 8 bit and of samples, and what the atlas keeps of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import neuronym as nym
from neuronym.atlas.context import Sources
from neuronym.atlas.reader import open_atlas
from neuronym.inputs.probes import deep
from neuronym.report.summary import facts
from small_world import COLOURS, ColourEncoder, build, coloured_images

imagecodecs = pytest.importorskip("imagecodecs")


@pytest.fixture
def twelve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Coloured pictures as 12-bit PNG files in two sub-folders, with files that are no images."""
    monkeypatch.setenv("NEURONYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("neuronym.extraction.shards.SHARD_IMAGES", 16)
    for number, pixels in enumerate(coloured_images(40)):
        folder = tmp_path / "photos" / ("a" if number < 20 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        deep = np.asarray(pixels, np.float64) / 255 * 4095
        data = imagecodecs.png_encode(np.ascontiguousarray(np.rint(deep).astype(np.uint16)))
        (folder / f"{number:02d}.png").write_bytes(data)
    (tmp_path / "photos" / "notes.txt").write_text("x")
    return tmp_path / "photos"


def dissect(out: Path, probe: object, **changed: object) -> nym.Atlas:
    given = {
        "layers": ["detect", "head"],
        "concepts": [*COLOURS, "nonsense"],
        "encoder": ColourEncoder(),
        "similarity": "soft-wpmi:top_k=5",
        "batch_size": 8,
    }
    return nym.dissect(build(), probe=probe, out=out, **(given | changed))


def test_12_bits_give_the_labels_of_8(twelve: Path, tmp_path: Path) -> None:
    deep = dissect(tmp_path / "deep", twelve)
    plain = dissect(tmp_path / "plain", coloured_images(40))
    first = [list(atlas.first_labels()["concept"]) for atlas in (deep, plain)]
    assert first[0] == first[1]
    activations = [atlas.units["mean"].to_numpy() for atlas in (deep, plain)]
    np.testing.assert_allclose(*activations, atol=0.02)
    probe = deep.manifest.probe
    assert probe.values is not None
    assert probe.values["integers"] == [0, 4095]
    assert probe.left_out == {".txt": 1}
    said = facts(deep)["chosen"]
    assert any("integers 0…4095 become black…white" in text for text in said)
    assert said[-1] == "Left out: 1 file (1 .txt)."
    hashes = deep.images.set_index("image_id")["content_hash"]
    for row in deep.images.itertuples():
        thumb = deep.folder / "thumbs" / f"{hashes[row.image_id]}.jpg"
        if thumb.exists():
            original = coloured_images(40)[int(Path(row.image_id).stem)]
            assert abs(np.asarray(Image.open(thumb)).mean() - np.mean(original)) < 6


def test_workers_and_what_is_opened_again_agree(twelve: Path, tmp_path: Path) -> None:
    one = dissect(tmp_path / "one", twelve, workers=1, limit=22)
    three = dissect(tmp_path / "three", twelve, workers=3, limit=22, cache=str(tmp_path / "c"))
    assert (one.images["content_hash"] == three.images["content_hash"]).all()
    assert one.images["image_id"].str.startswith("a/").sum() == 11
    assert one.manifest.probe.sample == [{"images": 22, "of": 40, "seed": 0, "groups": 2}]
    sources = Sources(one, probe=twelve, target=build(), encoder=ColourEncoder())
    for row in (0, 21):
        assert sources.picture(row).size[0] > 0  # else: "has changed since the atlas was made"
    assert sources.probe.values.integers == (0, 4095)


def test_another_range_is_another_run(twelve: Path, tmp_path: Path) -> None:
    dissect(tmp_path / "atlas", twelve)
    dark = dissect(tmp_path / "dark", twelve, value_range=(0, 65535))
    assert dark.manifest.config["value_range"] == "0,65535"
    assert not np.allclose(dark.units["mean"], open_atlas(tmp_path / "atlas").units["mean"])
    with pytest.raises(nym.UsageError, match=r"made with other settings \(value_range\)"):
        dissect(tmp_path / "atlas", twelve, value_range="dtype")
    with pytest.raises(nym.UsageError, match="`bands` to be"):
        dissect(tmp_path / "x", twelve, bands="red")


def test_an_atlas_of_the_first_images_stays_one(twelve: Path, tmp_path: Path) -> None:
    """`limit` meant the first images before there were samples."""
    now = dissect(tmp_path / "atlas", f"folder:{twelve}", limit="first:25", bands="1,2,3")
    file = tmp_path / "atlas" / "atlas.json"
    data = json.loads(file.read_text())
    for name in ("seed", "value_range", "bands"):
        del data["config"][name]
    data["config"]["limit"] = 25
    for part in (data["probe"], data["identity"]):
        text = json.dumps(part).replace("limit=first:25", "limit=25")
        part.update(json.loads(text))
    assert "limit=25" in data["probe"]["name"]
    file.write_text(json.dumps(data))
    old = open_atlas(tmp_path / "atlas")
    assert old.manifest.config["limit"] == "first:25"
    assert old.manifest.probe.name == now.manifest.probe.name
    assert old.manifest.identity == now.manifest.identity
    sources = Sources(old)
    assert [sources.probe.image_id(i) for i in range(25)] == list(old.images["image_id"])


def test_an_image_that_lacks_a_package_is_tried_again(
    twelve: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few such images are left out; once the package is there, they are not, in any cache."""
    few = tmp_path / "few"
    few.mkdir()
    for number, pixels in enumerate(coloured_images(21)):
        Image.fromarray(np.asarray(pixels, np.uint8)).save(few / f"{number:02d}.png")
    (few / "21.png").write_bytes((twelve / "a" / "00.png").read_bytes())

    def lacks(name: str, what: str) -> None:
        raise deep._needs(what)

    with monkeypatch.context() as lacking:
        lacking.setattr(deep, "_package", lacks)
        with pytest.warns(UserWarning, match=r"1 of 22 images .*neuronym\[images\]"):
            before = dissect(tmp_path / "before", few, duplicates="all")
    assert before.manifest.probe.images == 21
    after = dissect(tmp_path / "after", few, duplicates="all")
    assert after.manifest.probe.images == 22


class Augmented:
    """A data set of (image, label) with augmentation left on, as for training."""

    def __init__(self, how: str, side: int) -> None:
        self.how, self.draw = how, np.random.default_rng(0)
        pictures = [Image.fromarray(np.asarray(pixels)) for pixels in coloured_images(24)]
        self.pictures = [picture.resize((side, side)) for picture in pictures]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        picture, side = self.pictures[index], self.pictures[index].width // 2
        if self.how == "crop":
            left, top = self.draw.integers(0, side, 2).tolist()
            return picture.crop((left, top, left + side, top + side)), index % 4
        return Image.fromarray(np.asarray(picture) ^ self.draw.integers(0, 9, 3, np.uint8)), 0


@pytest.mark.parametrize(("how", "side", "limit"), [("crop", 64, None), ("noise", 600, 9)])
def test_a_data_set_with_augmentation_is_refused(how, side, limit, tmp_path: Path) -> None:
    """Other crops were shown than those that the network saw, and nothing said so."""
    with pytest.raises(
        nym.UsageError,
        match=r"stay the same, got Augmented of 24 images given in Python.*, whose image 0000\d\d "
        "is another one each time that it is read. Give the data set without random augmentation",
    ):
        dissect(tmp_path / "atlas", Augmented(how, side), limit=limit)
    assert not (tmp_path / "atlas").exists()
