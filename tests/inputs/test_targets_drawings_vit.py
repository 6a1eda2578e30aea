"""The embedded transformer: it loads without any package, and tells drawings apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training.drawings_vit import LABELS, LEARNED, TESTED, choose

from neuronym._core.errors import UsageError
from neuronym.extraction.recording import describe_layers
from neuronym.inputs.probes.synthetic import SyntheticProbe
from neuronym.inputs.targets import drawings_vit
from neuronym.inputs.targets.base import TARGETS, open_target
from neuronym_drawings import camera, catalogue, draw
from neuronym_drawings.catalogue import TRAINING_SEEDS

#: Drawings of this seed were neither learned from nor used to measure the published accuracy.
FRESH = TRAINING_SEEDS + 900_000
#: Of these drawings at least so many are recognised.
LEVEL = 0.7


@pytest.fixture(scope="module")
def target():
    return open_target("drawings-vit")


@pytest.fixture(scope="module")
def fresh():
    """Drawings that it has not seen, two of each third class, as images, and their classes."""
    chosen = [found for found in choose(FRESH, 2) if found[2] % 3 == 0]
    pictures = {picture.id: picture for picture in catalogue(FRESH)}
    images = [camera.decoded(draw(pictures[name], FRESH)) for _, name, _ in chosen]
    return images, np.array([number for _, _, number in chosen])


def recognised(target, images) -> np.ndarray:
    pixels = torch.from_numpy(np.stack([target.preprocess.pixels(image) for image in images]))
    with torch.inference_mode():
        return target.model(target.preprocess.normalise(pixels)).argmax(1).numpy()


def test_it_comes_with_the_package(target):
    assert (target.name, target.pretrained, len(target.class_names)) == ("drawings-vit", True, 82)
    assert target.preprocess.size == (56, 56)
    assert target.preprocess.resize == 64
    assert drawings_vit._WEIGHTS.stat().st_size < 2_000_000
    assert TARGETS["drawings-vit"].summary.startswith("A small transformer, embedded")


def test_it_tells_drawings_apart_that_it_has_not_seen(target, fresh):
    images, classes = fresh
    assert len(classes) > 50
    assert (recognised(target, images) == classes).mean() > LEVEL
    # With random weights it does not: the drawings give nothing away.
    random = open_target("drawings-vit:weights=random,seed=3")
    assert (recognised(random, images) == classes).mean() < 0.1
    assert random.class_names is None


def test_its_classes_are_drawn_and_named():
    drawn = {tuple(picture.id.split("/")[:2]) for picture in catalogue(0)}
    assert set(LABELS) <= drawn
    assert tuple(name for _, name in LABELS) == drawings_vit.NAMES
    assert len(set(drawings_vit.NAMES)) == 82


@pytest.mark.torture
def test_no_probe_holds_what_it_learned():
    for first in (LEARNED, TESTED):
        seeds = {seed for seed, _, _ in choose(first, 30)}
        assert min(seeds) >= TRAINING_SEEDS
        with pytest.raises(UsageError, match="0…999999"):
            SyntheticProbe(1, seed=min(seeds))
    assert not {s for s, _, _ in choose(LEARNED, 100)} & {s for s, _, _ in choose(TESTED, 10)}


def test_its_tokens_lie_on_a_grid(target):
    layers = {info.name: info for info in describe_layers(target)}
    for number in range(3):
        info = layers[f"blocks.{number}"]
        assert (info.shape, info.prefix_tokens, info.positions) == ((49, 96), 0, (7, 7))
    assert layers["head"].units == 82


def test_attention_is_that_of_the_paper():
    torch.manual_seed(2)
    block = drawings_vit.Block(24, heads=3).double().eval()
    tokens = torch.randn(2, 5, 24, dtype=torch.float64)
    with torch.inference_mode():
        query, key, value = block.qkv(block.norm1(tokens)).split(24, dim=2)
        heads = []
        for head in range(3):
            part = slice(8 * head, 8 * head + 8)
            weights = (query[..., part] @ key[..., part].mT / 8**0.5).softmax(-1)
            heads.append(weights @ value[..., part])
        seen = tokens + block.out(torch.cat(heads, -1))
        expected = seen + block.mlp(block.norm2(seen))
        torch.testing.assert_close(block(tokens), expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("drawings-vit:big", "drawings-vit without a detail"),
        ("drawings-vit:weights=best", "Expected `weights` to be random or a file"),
        ("drawing-vit", "Nearest: drawings-vit"),
    ],
)
def test_wrong_names_are_refused(name, message):
    with pytest.raises(UsageError, match=message):
        open_target(name)
