"""The drawings: shapes, masks, noise, and what a camera does to them."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from neuronym_drawings import camera, palette, photographs
from neuronym_drawings.backdrops import BACKDROPS
from neuronym_drawings.canvas import Canvas, Note
from neuronym_drawings.catalogue import GROUPS, catalogue, draw
from neuronym_drawings.noise import SIZE, cells, fbm, generator, slopes, streaks
from neuronym_drawings.scenes.base import SCENES
from neuronym_drawings.textures.base import TEXTURES
from neuronym_drawings.things.base import THINGS, Pen
from seen_from import seen_from


@pytest.mark.parametrize(
    ("name", "area"),
    [("circle", np.pi * 0.81), ("square", 2.56), ("diamond", 1.235), ("triangle", 1.299)],
)
@pytest.mark.parametrize("scale", [41.0, 73.5])
def test_areas_of_shapes(name, area, scale):
    canvas = Canvas(generator("area", name))
    THINGS[name].draw(Pen(canvas, THINGS[name], "red", 110.3, 108.9, scale, turn=13))
    found = {tuple(note): pixels.sum() for note, pixels in canvas.masks()}
    assert found["object", name] == pytest.approx(area * scale**2, rel=0.02)
    assert found["colour", "red"] == found["object", name]


def test_what_is_hidden_belongs_to_what_hides_it():
    canvas = Canvas(generator("hidden"))
    for name, x, tint in (("square", 80.0, "blue"), ("circle", 120.0, "red")):
        THINGS[name].draw(Pen(canvas, THINGS[name], tint, x, 112.0, 50.0))
    masks = {note.name: pixels for note, pixels in canvas.masks()}
    assert not (masks["square"] & masks["circle"]).any()
    assert masks["circle"].sum() == pytest.approx(np.pi * 45**2, rel=0.02)
    assert masks["square"].sum() < 0.8 * 80**2
    assert palette.name_of(canvas.rgb[masks["circle"]].mean(0)) == "red"


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


def test_photographs_are_cropped_inside():
    for crop in photographs.crops():
        pixels = crop.pixels()
        assert pixels.shape == (SIZE, SIZE, 3)
        # A crop that ran over the edge would have black rows or columns there.
        edges = np.stack([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        black = edges.reshape(4, -1).max(1) == 0
        assert not black.any() or crop.file in ("retina.jpg", "horse.png"), crop.id
        assert crop.labels


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


# The camera


def painted(seed: str, count: int) -> Canvas:
    """Discs of pure colours, each of which another note owns."""
    canvas = Canvas(generator(seed))
    for k in range(count):
        x, y, radius = canvas.rng.uniform(20, 200, 3)
        angle = np.linspace(0, 2 * np.pi, 60)
        disc = np.stack([x + radius / 3 * np.cos(angle), y + radius / 3 * np.sin(angle)], 1)
        colour = canvas.rng.random(3).astype(np.float32)
        canvas.fill([disc], colour, (Note("object", f"disc {k}"),), "flat", rough=0)
    return canvas


@pytest.mark.parametrize("amount", [0.4, 1.0])
@pytest.mark.parametrize("seed", ["one", "two", "mirrored"])
def test_masks_stay_exact_in_perspective(seed, amount):
    canvas = painted(seed, 9)
    before = canvas.pixels(), canvas.owner.copy()
    corners = camera.viewpoint(generator(seed, amount), amount)
    if seed == "mirrored":
        corners = corners[[1, 0, 3, 2]]
    camera.look(canvas, corners)
    rgb, owner, sure = seen_from(*before, corners)
    assert np.array_equal(canvas.owner[sure], owner[sure])
    assert sure.mean() > 0.99
    assert np.abs(canvas.pixels().astype(int) - rgb).max() <= 2


def test_the_mask_of_a_shape_is_the_shape_seen_in_perspective():
    for name in ("square", "triangle"):
        canvas = Canvas(generator("seen", name))
        THINGS[name].draw(Pen(canvas, THINGS[name], "red", 110.0, 112.0, 60.0, turn=10))
        whole = canvas.owner > 0
        corners = np.array([(20.0, 11.0), (200.0, 30.0), (213.0, 208.0), (9.0, 190.0)])
        camera.look(canvas, corners)
        # Centres of pixels of the result, taken back into the drawing.
        steps = camera.homography([(0, 0), (SIZE, 0), (SIZE, SIZE), (0, SIZE)], corners)
        y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
        depth = steps[6] * x + steps[7] * y + 1
        u = (steps[0] * x + steps[1] * y + steps[2]) / depth
        v = (steps[3] * x + steps[4] * y + steps[5]) / depth
        expected = whole[np.floor(v).astype(int), np.floor(u).astype(int)]
        mask = canvas.owner > 0
        assert mask.sum() == pytest.approx(expected.sum(), rel=0.005)
        assert (mask != expected).sum() < 0.02 * mask.sum()


def test_a_viewpoint_lies_within_the_drawing():
    for k in range(400):
        corners = camera.viewpoint(generator("corners", k), (k % 10 + 1) / 10)
        assert corners.min() >= -1e-6
        assert corners.max() <= SIZE + 1e-6
        assert np.ptp(corners, axis=0).min() > 0.4 * SIZE


def test_a_picture_follows_from_its_id_and_seed():
    pictures = {picture.id: picture for picture in catalogue(0)}
    for name in ("object/owl/07", "texture/gauzy/23"):
        first, second = (draw(pictures[name], 0) for _ in range(2))
        assert camera.jpeg(first) == camera.jpeg(second)
        assert not np.array_equal(first.pixels(), draw(pictures[name], 1).pixels())
