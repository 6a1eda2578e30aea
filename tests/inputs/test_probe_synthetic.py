"""The probe `synthetic`: enough images, the same everywhere, kept once they are drawn."""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from benchmarks.drawings import LIKENESS, likeness

from neuronym._core.errors import UsageError
from neuronym._core.registry import parse
from neuronym.extraction.cache import Cache
from neuronym.inputs.probes import synthetic
from neuronym.inputs.probes.base import PROBES, Annotation, ListProbe
from neuronym.inputs.probes.subsets import Union, limited
from neuronym.inputs.probes.synthetic import BLOCK, SyntheticProbe, open_synthetic
from neuronym_drawings import palette, photographs
from neuronym_drawings.canvas import Canvas
from neuronym_drawings.catalogue import TRAINING_SEEDS, VARIANTS, catalogue
from neuronym_drawings.noise import SIZE
from neuronym_drawings.textures.base import TEXTURES
from neuronym_drawings.things.base import THINGS

CATEGORIES = {"colour", "texture", "material", "object", "part", "scene"}
DTD = """
banded blotchy braided bubbly bumpy chequered cobwebbed cracked crosshatched crystalline dotted
fibrous flecked freckled frilly gauzy grid grooved honeycombed interlaced knitted lacelike lined
marbled matted meshed paisley perforated pitted pleated polka-dotted porous potholed scaly smeared
spiralled sprinkled stained stratified striped studded swirly veined waffled woven wrinkled
zigzagged
"""


@pytest.fixture(scope="module")
def probe() -> SyntheticProbe:
    return SyntheticProbe()


@pytest.fixture(scope="module")
def drawn(probe):
    """Some images drawn once: hash, masks' annotations and spread (the pixels are let go)."""
    rows = {}
    for k in range(0, len(probe), 23):
        pixels = pixels_of(probe, k)
        assert pixels.shape == (SIZE, SIZE, 3)
        masks = probe.masks(k)
        for mask in masks:
            assert mask.pixels.shape == (SIZE, SIZE), probe.image_id(k)
            assert mask.pixels.dtype == bool, probe.image_id(k)
            assert mask.pixels.any(), (probe.image_id(k), mask.name)
        named = [Annotation(mask.category, mask.name) for mask in masks]
        rows[k] = (probe.read(k).content_hash, named, float(pixels.std()))
    return rows


def pixels_of(probe, k: int) -> np.ndarray:
    return np.asarray(probe.read(k).decode())


def find(probe, start: str) -> list[int]:
    found = [k for k in range(len(probe)) if probe.image_id(k).startswith(start)]
    assert found, start
    return found


def mask_of(probe, k: int, category: str, name: str) -> np.ndarray:
    (pixels,) = [m.pixels for m in probe.masks(k) if (m.category, m.name) == (category, name)]
    return pixels


# What there is


def test_there_are_enough_images_without_the_photographs(probe):
    assert 3000 <= sum(picture.crop is None for picture in catalogue(0)) <= 5000
    assert len(probe) == len(catalogue(0))


def test_every_word_has_enough_pictures(probe):
    counts = Counter(tuple(probe.image_id(k).split("/")[:2]) for k in range(len(probe)))
    least = {"colour": 20, "texture": 20, "material": 16, "object": 10, "scene": 12, "group": 12}
    for (kind, name), count in counts.items():
        if kind in least:
            assert count == VARIANTS[kind] >= least[kind], name


def test_ids_are_unique_and_readable(probe):
    ids = [probe.image_id(k) for k in range(len(probe))]
    assert len(set(ids)) == len(ids)
    assert {"texture/striped/23", "object/car/09", "scene/beach/00", "colour/red/05"} <= set(ids)


def test_contents(probe):
    names = {category: set() for category in CATEGORIES}
    for note in probe.vocabulary():
        names[note.category].add(note.name)
    assert names["colour"] == set(palette.BASIC)
    assert len(palette.BASIC) == 11
    assert names["texture"] == set(TEXTURES) == set(DTD.split())
    assert len(names["object"]) >= 100
    assert len(names["part"]) >= 60
    assert len(names["scene"]) >= 20
    assert {"wood", "brick", "metal", "fabric", "water"} <= names["material"]
    assert {"wheel", "window", "eye", "wing", "leaf"} <= names["part"]


@pytest.mark.parametrize("first", [120, 200])
def test_the_first_images_are_a_fair_sample(probe, first):
    kinds = Counter(probe.image_id(k).split("/")[0] for k in range(first))
    whole = Counter(probe.image_id(k).split("/")[0] for k in range(len(probe)))
    assert kinds.keys() == whole.keys()
    for kind, count in whole.items():
        assert abs(kinds[kind] / first - count / len(probe)) < 0.02, kind
    seen = {note.category for note in SyntheticProbe(first).vocabulary()}
    assert seen == CATEGORIES
    textures = {
        probe.image_id(k).split("/")[1] for k in range(200) if "texture/" in probe.image_id(k)
    }
    assert len(textures) >= 40


def test_every_image_differs(drawn):
    assert len({content for content, _, _ in drawn.values()}) == len(drawn)


def test_nothing_but_plain_colours_is_blank(probe, drawn):
    blank = [probe.image_id(k) for k, (_, _, spread) in drawn.items() if spread < 6]
    allowed = ("colour/", "photo/", "material/snow", "material/paper", "texture/marbled")
    assert [name for name in blank if not name.startswith(allowed)] == []


def test_vocabulary_is_what_labels_and_masks_give(probe, drawn):
    given = set()
    for k, (_, named, _) in drawn.items():
        masked = {Annotation(*note) for note in probe._pictures[k].masked}
        assert set(named) <= masked, probe.image_id(k)
        assert len(set(named)) == len(named), probe.image_id(k)
        given |= {*named, *probe.labels(k)}
        kind, name, *_ = probe.image_id(k).split("/")
        if kind in ("object", "material", "colour"):  # what it is called after can be seen
            assert (kind, name) in [(note.category, note.name) for note in named]
    assert given <= set(probe.vocabulary())
    assert len(given) > 0.6 * len(probe.vocabulary())
    assert list(probe.vocabulary()) == sorted(set(probe.vocabulary()))


def test_vocabulary_draws_nothing(monkeypatch):
    monkeypatch.setattr(Canvas, "__init__", lambda *a: pytest.fail("something was drawn"))
    assert len(SyntheticProbe(57, seed=3).vocabulary()) > 20


# The same everywhere


def some_ids(probe) -> list[int]:
    return [
        find(probe, start)[0]
        for start in ("texture/cracked", "object/car", "group/", "scene/street")
    ]


def test_two_reads_give_the_same_pixels(probe):
    for k in some_ids(probe):
        again = SyntheticProbe()
        again.read(k + 1)  # what was drawn before does not matter
        assert again.read(k).data == probe.read(k).data
        assert all(
            np.array_equal(a.pixels, b.pixels)
            for a, b in zip(again.masks(k), probe.masks(k), strict=True)
        )


def test_two_processes_give_the_same_hashes(probe):
    code = (
        "from neuronym.inputs.probes.synthetic import SyntheticProbe; p = SyntheticProbe();"
        f"print(*[p.read(k).content_hash for k in {some_ids(probe)}])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert outputs == {" ".join(probe.read(k).content_hash for k in some_ids(probe)) + "\n"}


def test_threads_and_workers_read_alike(probe):
    chosen = [*some_ids(probe), 5, 17, 29]
    with ThreadPoolExecutor(3) as pool:
        hashes = list(pool.map(lambda k: probe.read(k).content_hash, chosen * 2))
    for other in (pickle.loads(pickle.dumps(probe)), copy.deepcopy(probe)):
        assert [other.read(k).content_hash for k in chosen] * 2 == hashes
        assert other.name == probe.name


def test_an_image_is_a_jpeg_file(probe):
    for k in (3, 8):
        assert isinstance(probe.read(k).data, bytes)
        assert probe.read(k).decode().format in ("JPEG", None)
        assert probe.read(k).data[:2] == b"\xff\xd8"


def test_another_seed_draws_the_same_ids_anew():
    first, second = SyntheticProbe(90), SyntheticProbe(90, seed=7)
    assert [first.image_id(k) for k in range(90)] == [second.image_id(k) for k in range(90)]
    for k in range(0, 90, 11):
        if not first.image_id(k).startswith("photo/"):
            assert first.read(k).content_hash != second.read(k).content_hash
    for k in range(90):
        assert {m.name for m in second.masks(k)} <= {n.name for n in second._pictures[k].masked}


def test_importing_needs_no_heavy_package():
    code = (
        "import sys, neuronym.inputs.probes.synthetic;"
        "print({'torch', 'torchvision', 'skimage', 'scipy', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_without_scikit_image_the_drawn_images_stay(monkeypatch, probe, caplog):
    catalogue.cache_clear()
    monkeypatch.setattr(photographs.importlib.util, "find_spec", lambda name: None)
    try:
        bare = SyntheticProbe()
    finally:
        monkeypatch.undo()
        catalogue.cache_clear()
    assert "no photographs" in bare.remark
    assert bare.remark in caplog.text
    ids = [bare.image_id(k) for k in range(len(bare))]
    with_photos = [probe.image_id(k) for k in range(len(probe))]
    assert ids == [name for name in with_photos if not name.startswith("photo/")]
    assert len(ids) >= 3000
    k = with_photos.index(ids[31])
    assert bare.read(31).content_hash == probe.read(k).content_hash


# Masks


@pytest.mark.parametrize("term", palette.BASIC)
def test_flat_colours_are_what_they_are_called(probe, term):
    for variant in range(3):
        (k,) = find(probe, f"colour/{term}/{variant:02d}")
        mask = mask_of(probe, k, "colour", term)
        assert mask.mean() >= 0.95
        assert palette.name_of(pixels_of(probe, k)[mask].mean(0) / 255) == term
        assert Annotation("colour", term) in probe.labels(k)


def test_two_colours_are_told_apart_by_their_masks(probe):
    for k in [k for k in find(probe, "colour/") if probe.image_id(k)[-2:] in ("08", "09", "10")]:
        pixels, masks = pixels_of(probe, k), probe.masks(k)
        assert len(masks) == 2
        assert np.array_equal(masks[0].pixels, ~masks[1].pixels)
        assert probe.labels(k) == ()
        for mask in masks:
            assert palette.name_of(pixels[mask.pixels].mean(0) / 255) == mask.name


def test_most_colours_of_textures_and_things_are_what_they_are_called(probe):
    right = total = 0
    for k in [*find(probe, "texture/")[::19], *find(probe, "object/")[::29]]:
        pixels = pixels_of(probe, k)
        for mask in probe.masks(k):
            if mask.category == "colour" and mask.pixels.sum() > 150:
                right += palette.name_of(np.median(pixels[mask.pixels], axis=0) / 255) == mask.name
                total += 1
    assert total > 60
    assert right / total > 0.8


def test_parts_lie_in_their_things(probe):
    seen = 0
    for k in find(probe, "object/")[::61]:
        name = probe.image_id(k).split("/")[1]
        whole = mask_of(probe, k, "object", name)
        for mask in probe.masks(k):
            if mask.category == "part" and mask.name in THINGS[name].parts:
                assert not (mask.pixels & ~whole).any(), (name, mask.name)
                seen += 1
    assert seen > 20


def test_regions_of_a_patchwork_fill_it(probe):
    for k in find(probe, "patchwork/")[::13]:
        masks = [mask.pixels for mask in probe.masks(k)]
        assert len(masks) in (2, 3)
        assert np.array_equal(np.sum(masks, axis=0), np.ones((SIZE, SIZE)))
        assert max(mask.mean() for mask in masks) < 0.97


def test_scenes_are_covered_by_their_objects(probe):
    for k in find(probe, "scene/")[::29]:
        union = np.any([mask.pixels for mask in probe.masks(k)], axis=0)
        assert union.mean() > 0.6, probe.image_id(k)
        assert [note.category for note in probe.labels(k)] == ["scene"]


# Kept


def kept(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("drawings/*/*.safetensors")}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A cache with the first 100 pictures, drawn in three processes."""
    folder = tmp_path_factory.mktemp("three")
    SyntheticProbe().prepare(100, folder, workers=3)
    return folder


@pytest.mark.torture
def test_any_number_of_processes_draws_the_same(store, tmp_path):
    SyntheticProbe(images=100).prepare(1000, tmp_path, workers=1)
    assert kept(tmp_path) == kept(store)
    assert len(kept(store)) == -(-100 // BLOCK)


def test_what_is_kept_is_what_is_drawn(store, probe, monkeypatch):
    other = SyntheticProbe(images=BLOCK)
    other.prepare(BLOCK, store)
    monkeypatch.setattr(synthetic, "_one", lambda *a: pytest.fail("it was drawn again"))
    found = [(other.read(k).data, other.masks(k)) for k in range(5, BLOCK, 9)]
    monkeypatch.undo()
    for k, (data, masks) in zip(range(5, BLOCK, 9), found, strict=True):
        assert data == probe.read(k).data
        for mine, theirs in zip(masks, probe.masks(k), strict=True):
            assert (mine.category, mine.name) == (theirs.category, theirs.name)
            assert np.array_equal(mine.pixels, theirs.pixels)


def test_what_is_there_is_not_drawn_again(store, monkeypatch):
    monkeypatch.setattr(synthetic.subprocess, "Popen", lambda *a, **k: pytest.fail("a process"))
    before = {file: file.stat().st_mtime_ns for file in store.rglob("*.safetensors")}
    SyntheticProbe().prepare(100, store)
    SyntheticProbe(images=97).prepare(97, store)
    assert {file: file.stat().st_mtime_ns for file in store.rglob("*.safetensors")} == before


def test_few_pictures_are_drawn_when_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic.subprocess, "Popen", lambda *a, **k: pytest.fail("a process"))
    SyntheticProbe(images=40).prepare(40, tmp_path)
    assert not kept(tmp_path)


def test_other_code_and_seeds_have_other_folders(store, monkeypatch):
    folders = {synthetic._folder(store, seed) for seed in (0, 1)}
    synthetic._code.cache_clear()
    monkeypatch.setattr(Path, "read_bytes", lambda self: b"another way to draw")
    try:
        folders.add(synthetic._folder(store, 0))
    finally:
        monkeypatch.undo()
        synthetic._code.cache_clear()
    assert len(folders) == 3


def test_a_damaged_file_is_not_believed(store, probe, tmp_path):
    folder = tmp_path / "drawings" / synthetic._folder(store, 0).name
    folder.mkdir(parents=True)
    for name, data in kept(store).items():
        (folder / name).write_bytes(data[:-7] + b"damaged")
    other = SyntheticProbe(images=96)
    other.prepare(96, tmp_path)
    assert other.read(70).data == probe.read(70).data


@pytest.mark.parametrize(
    ("program", "reason"),
    [("/bin/false", "a process failed"), ("/no/python/here", "/no/python/here cannot be run")],
)
def test_without_processes_pictures_are_drawn_when_they_are_read(
    tmp_path, probe, monkeypatch, caplog, program, reason
):
    monkeypatch.setattr(synthetic.sys, "executable", program)
    other = SyntheticProbe(images=96)
    with caplog.at_level(logging.WARNING):
        other.prepare(96, tmp_path, workers=0)
    assert f"drawn when they are read, as they cannot be kept: {reason}" in caplog.text
    assert other.read(3).data == probe.read(3).data


def test_a_cache_that_cannot_be_written_is_said(tmp_path, probe, caplog):
    (tmp_path / "drawings").write_text("a file where the folder should be")
    other = SyntheticProbe(images=96)
    with caplog.at_level(logging.WARNING):
        other.prepare(96, tmp_path)
    assert "cannot be kept: Cannot write" in caplog.text
    assert other.read(3).data == probe.read(3).data


def test_first_and_unions_pass_on_what_is_needed(tmp_path):
    asked = []

    class Asked(ListProbe):
        def prepare(self, count, cache, workers=2, progress=None):
            asked.append((count, cache, workers))

    images = [np.full((4, 4, 3), value, np.uint8) for value in range(7)]
    whole = Union([Asked(images), Asked(images[:5])])
    limited(whole, "first:9").prepare(100, tmp_path, 3)
    whole.prepare(6, tmp_path, 1)
    assert asked == [(7, tmp_path, 3), (2, tmp_path, 3), (6, tmp_path, 1)]


def test_the_cache_lists_the_drawings(store):
    (found,) = Cache(store).list()
    assert (found.kind, found.shards, found.about["what"]) == (
        "drawings",
        4,
        "pictures of synthetic",
    )
    assert found.bytes == sum(map(len, kept(store).values()))


@pytest.mark.torture
def test_a_folder_of_the_user_cannot_change_what_is_drawn(store, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    SyntheticProbe(images=96).prepare(96, tmp_path / "cache", workers=3)
    assert kept(tmp_path / "cache").items() <= kept(store).items()
    assert kept(tmp_path / "cache")


# Variety


@pytest.mark.parametrize(
    "word",
    [
        "texture/striped",
        "texture/freckled",
        "material/fabric",
        "object/car",
        "object/square",
        "scene/storm",
        "scene/kitchen",
        "colour/grey",
    ],
)
def test_pictures_of_one_word_differ(probe, word):
    places = find(probe, f"{word}/")
    pairs = likeness([probe.read(k).decode() for k in places])[np.triu_indices(len(places), 1)]
    assert pairs.max() < LIKENESS
    assert np.median(pairs) < 0.5


def test_no_probe_has_a_training_seed():
    assert SyntheticProbe(1, seed=TRAINING_SEEDS - 1).seed == TRAINING_SEEDS - 1
    with pytest.raises(UsageError, match="0…999999"):
        SyntheticProbe(1, seed=TRAINING_SEEDS)


# Names


def test_names_and_parameters():
    assert open_synthetic(parse("synthetic:images=23,seed=4")).name == "synthetic:images=23,seed=4"
    assert len(open_synthetic(parse("synthetic:images=23"))) == 23
    assert open_synthetic(parse("synthetic")).name == "synthetic"
    entry = PROBES["synthetic"]
    assert len(entry.make(parse(entry.example))) == 300
    assert entry.summary.startswith("Embedded")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("synthetic:image=5", r"one of the parameters images, seed, got 'image'. Nearest: images"),
        ("synthetic:images=0", r"Expected `images` to be a whole number of at least 1, got '0'"),
        ("synthetic:images=many", r"Expected `images` to be a whole number .* got 'many'"),
        ("synthetic:images=99999", r"Expected `images` to be a whole number 1…4\d\d\d, got 99999"),
        ("synthetic:seed=-1", r"Expected `seed` to be a whole number of at least 0, got '-1'"),
        ("synthetic:seed=1000000", r"Expected `seed` to be a whole number 0…999999, got 1000000"),
        ("synthetic:cats", r"without a detail, got 'synthetic:cats'"),
    ],
)
def test_wrong_names_are_refused(name, message):
    with pytest.raises(UsageError, match=message):
        open_synthetic(parse(name))
