"""The embedded probe: enough images, the same everywhere, with masks that are right."""

from __future__ import annotations

import copy
import hashlib
import pickle
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from neuronym._core.errors import UsageError
from neuronym._core.registry import parse
from neuronym.inputs.probes.base import PROBES, Annotation
from neuronym.inputs.probes.synthetic import palette, photographs
from neuronym.inputs.probes.synthetic.backdrops import BACKDROPS
from neuronym.inputs.probes.synthetic.canvas import Canvas
from neuronym.inputs.probes.synthetic.catalogue import GROUPS, catalogue
from neuronym.inputs.probes.synthetic.noise import SIZE, cells, fbm, generator, slopes, streaks
from neuronym.inputs.probes.synthetic.probe import SyntheticProbe, open_synthetic
from neuronym.inputs.probes.synthetic.scenes.base import SCENES
from neuronym.inputs.probes.synthetic.textures.base import TEXTURES
from neuronym.inputs.probes.synthetic.things.base import THINGS, Pen

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
    """Every image drawn once: hash, masks' annotations and sizes (the pixels are let go)."""
    rows = []
    for k in range(len(probe)):
        raw = probe.read(k)
        assert raw.data.shape == (SIZE, SIZE, 3)
        assert raw.data.dtype == np.uint8
        masks = probe.masks(k)
        for mask in masks:
            assert mask.pixels.shape == (SIZE, SIZE), probe.image_id(k)
            assert mask.pixels.dtype == bool, probe.image_id(k)
            assert mask.pixels.any(), (probe.image_id(k), mask.name)
        named = [Annotation(mask.category, mask.name) for mask in masks]
        rows.append((raw.content_hash, named, float(raw.data.std())))
    return rows


def find(probe, start: str) -> list[int]:
    found = [k for k in range(len(probe)) if probe.image_id(k).startswith(start)]
    assert found, start
    return found


def mask_of(probe, k: int, category: str, name: str) -> np.ndarray:
    (pixels,) = [m.pixels for m in probe.masks(k) if (m.category, m.name) == (category, name)]
    return pixels


# What there is


def test_there_are_enough_images_without_the_photographs(probe):
    assert sum(picture.crop is None for picture in catalogue(0)) >= 1200
    assert len(probe) == len(catalogue(0))


def test_ids_are_unique_and_readable(probe):
    ids = [probe.image_id(k) for k in range(len(probe))]
    assert len(set(ids)) == len(ids)
    assert {"texture/striped/03", "object/car/02", "scene/beach/00", "colour/red/05"} <= set(ids)


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
    assert len({content for content, _, _ in drawn}) == len(drawn)


def test_nothing_but_plain_colours_is_blank(probe, drawn):
    blank = [probe.image_id(k) for k, (_, _, spread) in enumerate(drawn) if spread < 6]
    allowed = (
        "colour/",
        "photo/moon",
        "material/",
        "photo/cell",
        "photo/camera/06",
        "photo/rocket",
    )
    assert [name for name in blank if not name.startswith(allowed)] == []


def test_vocabulary_is_what_labels_and_masks_give(probe, drawn):
    given = set()
    for k, (_, named, _) in enumerate(drawn):
        assert set(named) == set(probe._pictures[k].masked), probe.image_id(k)
        assert len(set(named)) == len(named), probe.image_id(k)
        given |= {*named, *probe.labels(k)}
    assert list(probe.vocabulary()) == sorted(given)


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
        assert np.array_equal(again.read(k).data, probe.read(k).data)
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


def test_what_is_read_cannot_be_changed(probe):
    with pytest.raises(ValueError, match="read-only"):
        probe.read(3).data[0, 0] = 0


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
        "import sys, neuronym.inputs.probes.synthetic.probe;"
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
    assert len(ids) >= 1200
    k = with_photos.index(ids[31])
    assert bare.read(31).content_hash == probe.read(k).content_hash


# Masks


@pytest.mark.parametrize("term", palette.BASIC)
def test_flat_colours_are_what_they_are_called(probe, term):
    for variant in range(3):
        (k,) = find(probe, f"colour/{term}/{variant:02d}")
        mask = mask_of(probe, k, "colour", term)
        assert mask.mean() >= 0.95
        assert palette.name_of(probe.read(k).data[mask].mean(0) / 255) == term
        assert Annotation("colour", term) in probe.labels(k)


def test_two_colours_are_told_apart_by_their_masks(probe):
    for k in [k for k in find(probe, "colour/") if probe.image_id(k)[-2:] in ("08", "09", "10")]:
        pixels, masks = probe.read(k).data, probe.masks(k)
        assert len(masks) == 2
        assert np.array_equal(masks[0].pixels, ~masks[1].pixels)
        assert probe.labels(k) == ()
        for mask in masks:
            assert palette.name_of(pixels[mask.pixels].mean(0) / 255) == mask.name


def test_most_colours_of_textures_and_things_are_what_they_are_called(probe):
    right = total = 0
    for k in [*find(probe, "texture/")[::4], *find(probe, "object/")[::9]]:
        pixels = probe.read(k).data
        for mask in probe.masks(k):
            if mask.category == "colour" and mask.pixels.sum() > 150:
                right += palette.name_of(np.median(pixels[mask.pixels], axis=0) / 255) == mask.name
                total += 1
    assert total > 60
    assert right / total > 0.8


@pytest.mark.parametrize(
    ("name", "area"),
    [("circle", np.pi * 0.81), ("square", 2.56), ("diamond", 1.235), ("triangle", 1.299)],
)
@pytest.mark.parametrize("scale", [41.0, 73.5])
def test_areas_of_shapes(name, area, scale):
    canvas = Canvas(generator("area", name))
    THINGS[name].draw(Pen(canvas, THINGS[name], "red", 110.3, 108.9, scale, turn=13))
    found = {(m.category, m.name): m.pixels.sum() for m in canvas.masks()}
    assert found["object", name] == pytest.approx(area * scale**2, rel=0.02)
    assert found["colour", "red"] == found["object", name]


def test_what_is_hidden_belongs_to_what_hides_it():
    canvas = Canvas(generator("hidden"))
    for name, x, tint in (("square", 80.0, "blue"), ("circle", 120.0, "red")):
        THINGS[name].draw(Pen(canvas, THINGS[name], tint, x, 112.0, 50.0))
    masks = {m.name: m.pixels for m in canvas.masks()}
    assert not (masks["square"] & masks["circle"]).any()
    assert masks["circle"].sum() == pytest.approx(np.pi * 45**2, rel=0.02)
    assert masks["square"].sum() < 0.8 * 80**2
    assert palette.name_of(canvas.rgb[masks["circle"]].mean(0)) == "red"


def test_parts_lie_in_their_things(probe):
    for k in find(probe, "object/")[::13]:
        name = probe.image_id(k).split("/")[1]
        whole = mask_of(probe, k, "object", name)
        for part in THINGS[name].parts:
            assert not (mask_of(probe, k, "part", part) & ~whole).any(), (name, part)


def test_regions_of_a_patchwork_fill_it(probe):
    for k in find(probe, "patchwork/")[::9]:
        first, second = (mask.pixels for mask in probe.masks(k))
        assert np.array_equal(first, ~second)
        assert 0.1 < first.mean() < 0.9


def test_scenes_are_covered_by_their_objects(probe):
    for k in find(probe, "scene/")[::7]:
        union = np.any([mask.pixels for mask in probe.masks(k)], axis=0)
        assert union.mean() > 0.6, probe.image_id(k)
        assert [note.category for note in probe.labels(k)] == ["scene"]


def test_registries_fit_together():
    for thing in THINGS.values():
        assert {w for w in thing.where if w != "surface"} <= set(BACKDROPS), thing.name
        assert set(thing.tints) <= set(palette.BASIC), thing.name
    for where, words in GROUPS.values():
        assert where in BACKDROPS
        assert {word.replace("_", " ") for word in words.split()} <= set(THINGS)
    for texture in TEXTURES.values():
        assert {term for pair in texture.colours for term in pair} <= set(palette.BASIC)
    assert all(scene.objects for scene in SCENES.values())


def test_shades_are_nearest_to_their_own_term():
    rng = np.random.default_rng(5)
    for term in palette.BASIC:
        names = Counter(palette.name_of(palette.shade(rng, term)) for _ in range(41))
        assert names[term] >= 37, names


def test_photographs_are_cropped_inside(probe):
    for crop in photographs.crops():
        pixels = crop.pixels()
        assert pixels.shape == (SIZE, SIZE, 3)
        # A crop that ran over the edge would have black rows or columns there.
        edges = np.stack([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        black = edges.reshape(4, -1).max(1) == 0
        assert not black.any() or crop.file in ("retina.jpg", "horse.png"), crop.id
        assert crop.labels


# Noise


def test_noise_has_zero_mean_and_unit_spread():
    rng = generator("noise", 3)
    for field in (fbm(rng, 37), streaks(rng, 40, 3, 30.0), streaks(rng, 40, 3)):
        assert field.shape == (SIZE, SIZE)
        assert field.dtype == np.float32
        assert abs(field.mean()) < 1e-3
        assert field.std() == pytest.approx(1, abs=1e-2)


def test_cells_find_the_nearest_point():
    u, v = np.meshgrid(
        np.linspace(20, 24, 7, dtype=np.float32), np.linspace(31, 34, 5, dtype=np.float32)
    )
    found = cells(generator("cells"), u, v, jitter=0.6)
    table = generator("cells").random((3, 64 * 64), dtype=np.float32)
    for row in range(5):
        for column in range(7):
            distances = sorted(
                float(
                    np.hypot(
                        u[row, column] - i - 0.5 - 0.6 * (table[0, j * 64 + i] - 0.5),
                        v[row, column] - j - 0.5 - 0.6 * (table[1, j * 64 + i] - 0.5),
                    )
                )
                for i in range(16, 28)
                for j in range(27, 38)
            )
            assert found.near[row, column] == pytest.approx(distances[0], abs=1e-4)
            assert found.edge[row, column] == pytest.approx(distances[1] - distances[0], abs=1e-4)


def test_random_numbers_follow_from_the_key():
    digest = hashlib.blake2b(b"0/object/car/07", digest_size=16).digest()
    same = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
    assert generator(0, "object/car/07").random() == same.random()
    assert generator(0, "object/car/07").random() != generator(1, "object/car/07").random()


def test_slopes_are_central_differences():
    field = np.random.default_rng(2).normal(size=(5, 7)).astype(np.float32)
    for mine, theirs in zip(slopes(field), np.gradient(field), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


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
        ("synthetic:images=99999", r"Expected `images` to be a whole number 1…1\d\d\d, got 99999"),
        ("synthetic:seed=-1", r"Expected `seed` to be a whole number of at least 0, got '-1'"),
        ("synthetic:cats", r"without a detail, got 'synthetic:cats'"),
    ],
)
def test_wrong_names_are_refused(name, message):
    with pytest.raises(UsageError, match=message):
        open_synthetic(parse(name))
