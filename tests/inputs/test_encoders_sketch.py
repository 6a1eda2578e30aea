"""sketch: the formula against loops, blurred images, and the real packages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from neuronym._core.errors import UsageError
from neuronym.inputs.encoders._depths import BLOCKS, SHRUNK, blurred, depths
from neuronym.inputs.encoders.base import embed_concepts, open_encoder
from neuronym.inputs.encoders.sketch import CLASSES, stored
from neuronym.inputs.preprocess.base import Preprocess
from tiny_encoders import one_thread  # noqa: F401

COLOURS = [
    "black",
    "white",
    "grey",
    "red",
    "green",
    "yellow",
    "blue",
    "brown",
    "purple",
    "pink",
    "orange",
]


@pytest.fixture(scope="module")
def encoder():
    return open_encoder("sketch")


def noise(rng, side=260):
    """A picture with detail at every scale."""
    total = np.zeros((side, side, 3))
    for cells in (5, 13, 33, 65, 130, 260):
        grid = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        total += np.asarray(Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC))
    return Image.fromarray((total / 6).astype(np.uint8))


def batch_of(encoder, *images):
    return encoder.preprocess.normalise(np.stack([encoder.preprocess.pixels(i) for i in images]))


def replica(encoder, batch):
    """The documented formula, image by image, in float64 loops."""
    held = {key: tensor.double().numpy() for key, tensor in stored().items()}
    looks, colour, sharp, soft = held["mix"]
    found = []
    for image in batch:
        without = blurred(image[None])
        with torch.no_grad():
            rows, scores = depths(encoder._target.model, image[None], without)
        p = np.exp(scores.double().numpy()[0] - float(scores.max()))
        p /= p.sum()
        total = sum(p[c] * held["names"][c] for c in np.argsort(-p)[:CLASSES])
        weight = soft if without.item() else sharp
        total = total + weight * sum(p[c] * held["kinds"][c] for c in range(len(p)))
        standard = (rows.double().numpy()[0] - held["centre"]) / held["scale"]
        look = standard @ held["bridge"]
        total = total + looks * look / np.linalg.norm(look)
        small = torch.nn.functional.interpolate(image[None], size=(65, 65), mode="area")[0]
        shares = np.zeros(len(COLOURS))
        for pixel in small.flatten(1).T.numpy():
            r, g, b = (
                min(max(int((v * np.float32(0.5) + np.float32(0.5)) * 16), 0), 15) for v in pixel
            )
            shares += held["palette"][(r * 16 + g) * 16 + b] / 65**2
        total = total + colour * shares @ held["colours"]
        found.append(total / np.linalg.norm(total))
    return np.stack(found)


def test_the_formula(encoder):
    rng = np.random.default_rng(3)
    soft = noise(rng).filter(ImageFilter.GaussianBlur(5))
    tiny = noise(rng).resize((32, 32))
    batch = batch_of(encoder, noise(rng), soft, tiny, Image.new("RGB", (70, 90), (200, 40, 30)))
    assert blurred(batch).tolist() == [False, True, True, False]
    vectors = encoder.encode_images(batch)
    assert vectors.dtype == torch.float32
    np.testing.assert_allclose(vectors, replica(encoder, batch), atol=2e-4)


def test_other_images_in_a_batch_change_nothing(encoder):
    rng = np.random.default_rng(4)
    batch = batch_of(encoder, noise(rng), noise(rng).resize((24, 24)), noise(rng))
    alone = torch.cat([encoder.encode_images(image[None]) for image in batch])
    torch.testing.assert_close(encoder.encode_images(batch), alone, atol=1e-5, rtol=0)


def test_blurred_images_are_seen_smaller(encoder):
    seen = []
    model = encoder._target.model
    hook = model.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[-1]))
    rng = np.random.default_rng(5)
    try:
        encoder.encode_images(batch_of(encoder, noise(rng), noise(rng).resize((32, 32))))
        encoder.encode_images(batch_of(encoder, noise(rng)))
    finally:
        hook.remove()
    assert seen == [260, SHRUNK, 260]
    hooked = [model._blocks[k] for k in BLOCKS] + [model._fc]
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in hooked)


def test_texts_are_centred_and_evened_out(encoder):
    words = ["striped", "dog", "an old red car"]
    plain = encoder._sentences.encode(words).double().numpy()
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    held = {key: stored()[key].double().numpy() for key in ("mean", "whiten")}
    expected = (plain - held["mean"]) @ held["whiten"]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.encode_texts(words), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((250, 0, 10), "red"),
        ((30, 144, 255), "blue"),
        ((140, 70, 20), "brown"),
        ((5, 5, 5), "black"),
    ],
)
def test_colours_are_named(encoder, colour, name):
    words = embed_concepts(encoder, COLOURS)
    vector = encoder.encode_images(batch_of(encoder, Image.new("RGB", (64, 48), colour)))
    assert COLOURS[int((vector.numpy() @ words.T).argmax())] == name


def test_drawn_textures_are_named(encoder):
    y, x = np.mgrid[:224, :224]
    bars = np.where((x + y) // 16 % 2, 230, 40)
    turn = np.arctan2(y - 112, x - 112) / (2 * np.pi)
    coil = np.where((np.hypot(x - 112, y - 112) / 30 + turn) % 1 < 0.5, 200, 60)
    discs = np.where(np.hypot(x % 44 - 22, y % 44 - 22) < 12, 220, 70)
    words = ["striped", "spiralled", "polka-dotted", "furry", "cracked", "cobwebbed"]
    images = [
        Image.fromarray(np.repeat(a[..., None], 3, 2).astype(np.uint8)) for a in (bars, coil, discs)
    ]
    scores = (
        encoder.encode_images(batch_of(encoder, *images)).numpy() @ embed_concepts(encoder, words).T
    )
    assert [words[k] for k in scores.argmax(1)] == words[:3]


def test_contract(encoder):
    assert (encoder.name, encoder.dim, encoder.logit_scale) == ("sketch", 384, 20.0)
    assert "stand-in for CLIP" in encoder.note
    assert "flatters" in encoder.note
    assert isinstance(encoder.preprocess, Preprocess)
    assert encoder.to("cpu") is encoder
    assert (
        encoder.fingerprint
        == open_encoder("sketch").fingerprint
        != open_encoder("conse").fingerprint
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = encoder.encode_images(batch_of(encoder, noise(np.random.default_rng(1))))
    assert rough.dtype == torch.float32


def test_fingerprint_follows_the_weights(encoder):
    changed = stored()
    changed["mix"] = changed["mix"] * 2
    other = type(encoder)(encoder._target, encoder._sentences, changed)
    assert other.fingerprint != encoder.fingerprint


@pytest.mark.parametrize("name", ["sketch:efficientnet-lite0", "sketch:classes=3"])
def test_it_takes_no_detail(name):
    with pytest.raises(UsageError, match=r"sketch without a detail, got 'sketch:.*conse:BACKBONE"):
        open_encoder(name)
