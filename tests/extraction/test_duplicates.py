"""Which images are one picture."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import duplicates_replica
from neuronym._core import hashing
from neuronym.extraction import duplicates
from neuronym.extraction.cache import Cache, ShardedRows
from neuronym.extraction.duplicates import SIDE, SmallCopies, groups, looks
from neuronym.extraction.passes import IMAGES
from neuronym.extraction.run import Extraction, extract
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import ListProbe, open_probe
from places import SHARED

SMALL = (SIDE, SIDE, 3)


def _world(count: int, seed: int) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """Hashes (some equal), ids, embeddings and small copies of clusters of alike images."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, max(1, count // 3), count)
    centres = rng.integers(0, 256, (count, *SMALL))
    centres[::4] = rng.integers(0, 256, (len(centres[::4]), 1, 1, 3))  # plain ones
    noise = rng.normal(0, rng.choice([0.5, 12, 30, 60], count)[:, None, None, None])
    small = np.clip(centres[kind] + noise * rng.normal(size=(count, *SMALL)), 0, 255)
    vectors = rng.normal(size=(count, 5))[kind % 7] + rng.normal(0, 0.4, (count, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    small, vectors = small.astype(np.uint8), vectors.astype(np.float32)
    hashes = [f"{h:04x}" for h in rng.permutation(4 * count)[:count]]
    for row in range(0, count - 1, 5):  # equal images have equal arrays
        hashes[row + 1] = hashes[row]
        small[row + 1], vectors[row + 1] = small[row], vectors[row]
    return hashes, [f"{n:03d}" for n in rng.permutation(count)], vectors, small


@pytest.mark.parametrize("count", [1, 2, 7, 23, 90])
@pytest.mark.parametrize("block", [1, 4, 13, 2048])
@pytest.mark.parametrize("sparse", [64, 1e9], ids=["trees", "products"])
def test_groups_are_those_of_the_definition(
    count: int, block: int, sparse: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    monkeypatch.setattr(duplicates, "_SPARSE", sparse)
    hashes, ids, vectors, small = _world(count, seed=count)
    expected = duplicates_replica.groups(hashes, ids, vectors, small)
    tie = hashing.tie_order(hashes, ids)
    found = groups(hashes, tie, vectors, small.reshape(count, -1))
    assert found.tolist() == expected
    if count == 90:  # groups of several images, some only nearly equal, and images alone
        sizes = np.unique(found, return_counts=True)[1]
        assert sizes.max() > 2
        assert sizes.min() == 1
        assert any(hashes[row] != hashes[of] for row, of in enumerate(found))


def test_the_order_of_images_does_not_change_groups() -> None:
    hashes, ids, vectors, small = _world(60, seed=3)
    first = groups(hashes, hashing.tie_order(hashes, ids), vectors, small.reshape(60, -1))
    order = np.random.default_rng(0).permutation(60)
    hashes2, ids2 = [hashes[i] for i in order], [ids[i] for i in order]
    again = groups(
        hashes2,
        hashing.tie_order(hashes2, ids2),
        vectors[order],
        small[order].reshape(60, -1),
    )
    assert [ids2[of] for of in again] == [ids[first[i]] for i in order]


def test_likeness_is_the_correlation_of_pictures_of_one_colour() -> None:
    rng = np.random.default_rng(0)
    shape = rng.normal(0, 30, (2, *SMALL))
    shape[1] += shape[0]
    small = np.round(128 + shape - shape.mean((1, 2), keepdims=True)).clip(0, 255).astype(np.uint8)
    expected = np.corrcoef(*small.reshape(2, -1))[0, 1]
    a, b = looks(small.reshape(2, -1)).astype(np.float64)
    assert 1 - np.square(a - b).sum() / 2 == pytest.approx(expected, abs=1e-3)
    assert duplicates_replica.likeness(*small) == pytest.approx(expected, abs=1e-3)


class Same:
    """An encoder for which all images are one: what the eye says decides alone."""

    def __init__(self, cache: Cache) -> None:
        self.preprocess = Preprocess(size=(4, 4), resize=4)
        self.entries = {IMAGES: cache.entry("embeddings", {"weights": "same"})}
        self.arrays = {IMAGES: {"values": (2, np.float32)}}
        self.beside: dict = {}
        self.seen = 0

    running = SmallCopies.running

    def __call__(self, pixels: np.ndarray, wanted: list[str]) -> dict:
        self.seen += len(pixels)
        return {IMAGES: {"values": np.full((len(pixels), 2), 0.5**0.5, np.float32)}}


def _grouped(probe: object, folder: Path) -> Extraction:
    probe, cache = open_probe(probe), Cache(folder)
    done = extract(probe, [Same(cache)], cache, aside=[SmallCopies(cache)])
    return done.grouped(duplicates.find_groups(probe, done), once=True)


def _photographs() -> list[Image.Image]:
    """Crops of photographs, of the embedded probe."""
    probe = open_probe("synthetic")
    ids = [i for i in range(len(probe)) if probe.image_id(i).startswith("photo")]
    return [probe.read(i).decode() for i in ids[::5]]


def _jpeg(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


@pytest.mark.parametrize(
    "again",
    [
        lambda image: image.copy(),
        lambda image: _jpeg(image, 75),
        lambda image: _jpeg(image, 30),
        lambda image: image.resize((image.width // 2, image.height // 2)),
        lambda image: image.resize((3 * image.width, image.height), Image.Resampling.BICUBIC),
        lambda image: ImageEnhance.Brightness(image).enhance(1.01),
    ],
    ids=["equal", "jpeg 75", "jpeg 30", "half", "stretched", "lighter"],
)
def test_a_picture_made_again_is_the_same_picture(again: object, tmp_path: Path) -> None:
    pictures = _photographs()
    assert len(pictures) > 15
    done = _grouped([*pictures, *map(again, pictures)], tmp_path)
    twins = {frozenset((int(c.image.image_id), int(c.of))) for c in done.copies}
    assert twins == {frozenset((n, n + len(pictures))) for n in range(len(pictures))}


@pytest.mark.torture
def test_pictures_of_different_things_are_different(tmp_path: Path) -> None:
    """Plain colours of several shades, and drawings of one plan, all alike to the encoder."""
    probe = open_probe("synthetic")
    scenes = ("object/person", "object/pine", "object/fire", "scene/farm", "object/fence")
    ids = [probe.image_id(i) for i in range(len(probe))]
    chosen = [i for i, name in enumerate(ids) if name.startswith(("colour", "texture/s", *scenes))]
    assert len(chosen) > 100
    done = _grouped([probe.read(i).data for i in chosen], tmp_path)
    assert [(ids[int(copy.image.image_id)], copy.of) for copy in done.copies] == []


@pytest.mark.skipif(not SHARED.exists(), reason="no photographs here")
def test_photographs_of_different_things_are_different(tmp_path: Path) -> None:
    done = _grouped(f"folder:{SHARED / 'imagenet_sample'}", tmp_path)
    assert len(done.images) == 1000


def test_frames_of_a_film_are_groups_of_alike_ones(tmp_path: Path) -> None:
    """A camera that moves slowly: every frame is like the one that stands for it, none is lost."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (12, 80, 3), np.uint8)
    scene = Image.fromarray(coarse).resize((2400, 360), Image.Resampling.BICUBIC)
    frames = [scene.crop((3 * n, 0, 3 * n + 360, 360)) for n in range(200)]
    done = _grouped(frames, tmp_path)
    assert 10 <= len(done.images) <= 80
    assert len(done.images) + len(done.copies) == 200
    apart = [abs(int(copy.image.image_id) - int(copy.of)) for copy in done.copies]
    assert max(apart) < 8


def test_copies_of_one_file_are_one_image(tmp_path: Path) -> None:
    (tmp_path / "photos/sub").mkdir(parents=True)
    for number, picture in enumerate(_photographs()[:3]):
        picture.save(tmp_path / f"photos/{number}.png")
    for name in ("z.png", "sub/a.png"):  # links are not even listed
        shutil.copy(tmp_path / "photos/1.png", tmp_path / "photos" / name)
    done = _grouped(f"folder:{tmp_path / 'photos'}", tmp_path / "cache")
    assert [row.image_id for row in done.images] == ["0.png", "1.png", "2.png"]
    assert [(c.image.image_id, c.of, c.equal) for c in done.copies] == [
        ("sub/a.png", "1.png", True),
        ("z.png", "1.png", True),
    ]


def test_rows_are_those_of_the_images_that_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuronym.extraction.shards.SHARD_IMAGES", 32)
    pictures = _photographs()
    done = _grouped([pictures[n % 9] for n in range(100)], tmp_path)
    assert len(done.images) == 9
    whole = np.asarray(ShardedRows(done.parts[duplicates.SMALL], "values", 768, np.uint8))
    assert whole.shape == (100, 768)
    own = done.rows(duplicates.SMALL)
    assert own.shape == (9, 768)
    expected = whole[[int(row.image_id) for row in done.images]]
    np.testing.assert_array_equal(own[0:9], expected)
    np.testing.assert_array_equal(own[4:8], expected[4:8])
    spread = ShardedRows(done.parts[duplicates.SMALL], "values", 768, np.uint8, np.arange(5, 99, 7))
    np.testing.assert_array_equal(np.asarray(spread), whole[5:99:7])
    np.testing.assert_array_equal(spread[3:12], whole[5:99:7][3:12])


def test_a_cache_without_small_copies_stays_as_it_is(tmp_path: Path) -> None:
    """Networks do not run again for the sake of small copies."""
    pictures, cache = _photographs()[:6], Cache(tmp_path)
    probe = ListProbe([*pictures, *(_jpeg(p, 80) for p in pictures)])
    extract(probe, [Same(cache)], cache)
    before = sorted(tmp_path.rglob("*.safetensors"))
    again = Same(cache)
    done = extract(probe, [again], cache, aside=[SmallCopies(cache)])
    found = duplicates.find_groups(probe, done)
    assert len(np.unique(found)) == 6
    assert again.seen == 0
    assert sorted(tmp_path.rglob("*.safetensors")) == before
