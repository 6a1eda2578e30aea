"""Pooling: against slow loops, over layouts, orders of memory, and numbers that are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from neuronym._core.errors import UsageError
from neuronym.extraction import pooling
from neuronym.extraction.passes import choose_layers
from neuronym.extraction.pooling import (
    POOLINGS,
    grid_of,
    grouped,
    in_words,
    layout_of,
    pool,
    prefix_tokens_at,
    prefix_tokens_of,
)
from neuronym.inputs.targets.base import open_target

IMAGES, UNITS, HEIGHT, WIDTH = 3, 5, 7, 11


def maps(seed: int = 0) -> torch.Tensor:
    return torch.randn(IMAGES, UNITS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def slow(values: torch.Tensor, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """The pooled values and first peaks of `[image, unit, y, x]`, in loops and float64."""
    image, unit, height, width = values.shape
    out, peak = np.empty((image, unit)), np.zeros((image, unit), int)
    for i in range(image):
        for u in range(unit):
            total, best, at = 0.0, -math.inf, 0
            for y in range(height):
                for x in range(width):
                    value = float(values[i, u, y, x])
                    total += value
                    if value > best:
                        best, at = value, y * width + x
            out[i, u] = total / (height * width) if mode == "mean" else best
            peak[i, u] = at
    return out, peak


ORDERS = {
    "contiguous": ("NCHW", lambda m: m),
    "channels-last": ("NCHW", lambda m: m.contiguous(memory_format=torch.channels_last)),
    "NHWC": ("NHWC", lambda m: m.permute(0, 2, 3, 1).contiguous()),
    "NHWC view": ("nhwc", lambda m: m.permute(0, 2, 3, 1)),
    "slice": ("NCHW", lambda m: torch.cat([m, m], 3)[..., :WIDTH]),
    "slice of units": (
        "NHWC",
        lambda m: torch.cat([m, m], 1).permute(0, 2, 3, 1).contiguous()[..., :UNITS],
    ),
    "float64": ("NCHW", lambda m: m.double()),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("mode", ["mean", "max"])
@pytest.mark.parametrize("ties", [False, True])
def test_maps_equal_a_slow_replica(order, mode, ties):
    given = maps().mul(1.5).round() if ties else maps()
    layout, change = ORDERS[order]
    found = pool(change(given), mode, layout)
    values, peak = slow(given, mode)
    assert found.values.dtype == torch.float32
    assert found.grid == (HEIGHT, WIDTH)
    np.testing.assert_allclose(found.values, values, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found.peak, peak)


@pytest.mark.parametrize("prefix", [0, 1, 5, None])
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_tokens_equal_maps_once_the_prefix_is_off(prefix, mode):
    square = maps()[..., :HEIGHT, :HEIGHT].contiguous()
    patches = square.flatten(2).transpose(1, 2)
    tokens = torch.cat([torch.full((IMAGES, prefix or 0, UNITS), 100.0), patches], 1)
    found = pool(tokens, mode, "tokens", prefix)
    values, peak = slow(square, mode)
    assert found.grid == (HEIGHT, HEIGHT)
    np.testing.assert_allclose(found.values, values, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found.peak, peak)


def test_class_token_is_the_first():
    tokens = torch.randn(IMAGES, 13, UNITS)
    for prefix in (1, 4, None):
        assert torch.equal(pool(tokens, "cls", "tokens", prefix).values, tokens[:, 0])
    assert pool(tokens, "cls", "tokens", 4).grid == (3, 3)
    assert pool(tokens, "cls", "tokens", 1).peak is None  # twelve patches form no square
    with pytest.raises(
        UsageError, match="Expected `pool` to be mean or max where there is no class"
    ):
        pool(tokens, "cls", "tokens", 0)
    with pytest.raises(UsageError, match="no class token"):
        pool(maps(), "cls", "NCHW")


def test_auto_is_cls_where_a_class_token_is_known_else_mean():
    tokens = torch.randn(IMAGES, 17, UNITS)
    assert torch.equal(pool(tokens, "auto", "tokens", 1).values, tokens[:, 0])
    for prefix in (0, None):
        torch.testing.assert_close(pool(tokens, "auto", "tokens", prefix).values, tokens.mean(1))
    torch.testing.assert_close(pool(maps()).values, maps().mean((2, 3)))
    assert pooling.mode_of("auto", "NHWC", 1) == "mean"


@pytest.mark.parametrize("mode", ["auto", "mean", "max", "cls", "none"])
def test_vectors_stay_as_they_are_but_share_no_memory(mode):
    vectors = torch.randn(IMAGES, UNITS)
    found = pool(vectors, mode, "vector")
    assert torch.equal(found.values, vectors)
    assert (found.peak, found.grid) == (None, None)
    vectors.zero_()
    assert found.values.abs().sum() > 0


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_a_nan_makes_its_unit_nan_and_nothing_else(order, mode):
    given = maps()
    given[1, 2, 3, 4] = math.nan
    layout, change = ORDERS[order]
    found = pool(change(given), mode, layout)
    expected = torch.zeros(IMAGES, UNITS, dtype=torch.bool)
    expected[1, 2] = True
    assert torch.equal(found.values.isnan(), expected)
    assert found.peak[1, 2] == 0


def test_infinities_stay():
    given = maps()
    given[0, 1] = -math.inf
    given[2, 3, 1, 1] = math.inf
    found = pool(given, "max")
    assert found.values[0, 1] == -math.inf
    assert found.peak[0, 1] == 0
    assert found.values[2, 3] == math.inf
    assert found.peak[2, 3] == WIDTH + 1
    assert pool(given, "mean").values[2, 3] == math.inf


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_single(kind):
    given = torch.full((1, 2, 64, 64), 100.0, dtype=kind)  # the sum, 409,600, overflows float16
    found = pool(given, "mean")
    assert found.values.dtype == torch.float32
    assert torch.equal(found.values, torch.full((1, 2), 100.0))


def test_integers_and_inference_tensors_are_fine():
    assert pool(torch.arange(24).reshape(1, 2, 3, 4), "max").values.tolist() == [[11.0, 23.0]]
    with torch.inference_mode():
        assert pool(maps(), "mean").peak.shape == (IMAGES, UNITS)
    needs = maps().requires_grad_()
    assert not pool(needs, "mean").values.requires_grad


@pytest.mark.parametrize(
    ("output", "settings", "message"),
    [
        (torch.zeros(3, 5, 2, 2, 2), {}, r"four dimensions for the layout NCHW, got \(3, 5, 2, 2"),
        (torch.zeros(3), {"layout": "vector"}, r"outputs of \[image, unit\] .* got \(3,\)"),
        (torch.zeros(3, 5), {"layout": "tokens"}, r"\[image, token, unit\]"),
        (torch.zeros(3, 5, 0, 2), {}, r"got \(3, 5, 0, 2\).*neuronym layers"),
        (torch.zeros(3, 5, 2, 2), {"layout": "CHWN"}, "Expected `layout` to be one of NCHW, NHWC"),
        (torch.zeros(3, 5, 2, 2), {"mode": "low"}, "Expected `pool` to be one of auto, cls, max"),
        (torch.zeros(3, 5, 2, 2), {"images": 1, "layer": "b.attn"}, "one row per image.*b.attn"),
        (torch.zeros(3, 5, 2), {"layout": "tokens", "prefix_tokens": 5}, "fewer than the 5 tokens"),
    ],
)
def test_impossible_requests_are_refused(output, settings, message):
    with pytest.raises(UsageError, match=message):
        pool(output, **settings)


def test_a_new_pooling_is_one_decorator(monkeypatch):
    monkeypatch.setattr(POOLINGS, "_entries", {entry.name: entry for entry in POOLINGS})

    @POOLINGS.register("low")
    def low(patches, dim, prefix):
        """The lowest response."""
        return patches.amin(dim)

    assert torch.equal(pool(maps(), "low").values, maps().amin((2, 3)))
    assert POOLINGS["low"].summary == "The lowest response."


class LayerNorm2d(nn.LayerNorm):
    """As torchvision and timm derive it."""


@pytest.mark.parametrize(
    ("module", "shape", "other", "expected"),
    [
        (nn.Conv2d(3, 7, 1), (7, 7, 7), None, "NCHW"),
        (nn.MaxPool2d(2), (4, 4, 9), None, "NCHW"),
        (nn.Linear(3, 4), (9, 9, 4), None, "NHWC"),
        (nn.Linear(3, 9), (4, 9, 9), None, "NHWC"),
        (nn.LayerNorm(9), (4, 9, 9), None, "NHWC"),
        (LayerNorm2d(9), (9, 4, 5), None, "NCHW"),
        (nn.GELU(), (5, 8, 8), None, "NCHW"),
        (nn.GELU(), (8, 8, 5), None, "NHWC"),
        (nn.GELU(), (8, 8, 8), (8, 10, 10), "NCHW"),
        (nn.GELU(), (8, 8, 8), (10, 10, 8), "NHWC"),
        (nn.GELU(), (5, 6, 7), (5, 8, 9), "NCHW"),
        (nn.GELU(), (8, 8, 5), (8, 10, 7), "NCHW"),
        (nn.GELU(), (9, 5), None, "tokens"),
        (nn.GELU(), (5,), None, "vector"),
        (nn.Conv3d(1, 1, 1), (5, 2, 3, 4), None, "other"),
        (nn.Conv1d(1, 5, 1), (5, 9), None, "NCL"),
        (nn.GELU(), (5, 9), (5, 12), "NCL"),
        (nn.GELU(), (9, 5), (12, 5), "tokens"),
        (nn.Linear(1, 9), (5, 9), (5, 12), "tokens"),
        (nn.GELU(), (), None, "other"),
    ],
)
def test_layouts(module, shape, other, expected):
    guess = layout_of(module, shape, other)
    assert guess.layout == expected
    by_shape = other is None and isinstance(module, nn.GELU) and len(shape) == 3
    assert bool(guess.note) == (by_shape or expected == "other")


def test_a_layout_that_cannot_be_told_is_noted():
    for shape in ((8, 8, 8), (5, 6, 7)):
        guess = layout_of(nn.GELU(), shape)
        assert guess.layout == "NCHW"
        assert "--layout" in guess.note


def test_prefix_tokens_by_parameter_names_and_statements():
    class Plain(nn.Module):
        def __init__(self, **shapes):
            super().__init__()
            for name, shape in shapes.items():
                setattr(self, name, nn.Parameter(torch.zeros(shape)))

    assert prefix_tokens_of(Plain(cls_token=(1, 1, 7), reg_token=(1, 4, 7))) == 5
    assert prefix_tokens_of(Plain(class_embedding=(7,))) == 1
    assert prefix_tokens_of(Plain(weight=(7,))) is None
    stated = Plain(weight=(7,))
    stated.num_prefix_tokens = 0
    assert prefix_tokens_of(stated) == 0


@pytest.mark.parametrize(
    ("tokens", "prefix", "expected"),
    [
        (17, 1, 1),
        (16, 1, 0),
        (21, 5, 5),
        (16, 5, 0),
        (16, None, None),
        (16, 0, 0),
        (13, 1, 1),
        (1, 1, 0),
    ],
)
def test_prefix_at_a_layer(tokens, prefix, expected):
    assert prefix_tokens_at(tokens, prefix) == expected


@pytest.mark.parametrize(
    ("tokens", "prefix", "size", "counts", "expected"),
    [
        (32, 1, (32, 64), (), 0),
        (33, 1, (32, 64), (), 1),
        (17, 1, (16, 64), (), 1),
        (11, 1, (32, 32), {11, 12}, 0),
        (12, 1, (32, 32), {11, 12}, 1),
    ],
)
def test_prefix_where_images_are_no_squares(tokens, prefix, size, counts, expected):
    assert prefix_tokens_at(tokens, prefix, size, counts) == expected


@pytest.mark.parametrize(
    ("patches", "size", "expected"),
    [
        (16, (16, 64), (2, 8)),
        (32, (32, 64), (4, 8)),
        (16, (64, 64), (4, 4)),
        (12, (9, 9), None),
        (16, (33, 35), (4, 4)),
        (21, (97, 225), (3, 7)),
        (13, (32, 64), None),
        (0, (8, 8), None),
    ],
)
def test_grids_have_the_proportions_of_the_input(patches, size, expected):
    assert grid_of(patches, size) == expected


def test_tokens_on_a_stated_grid():
    found = pool(torch.randn(3, 17, 5), "mean", "tokens", 1, grid=(2, 8))
    assert found.grid == (2, 8)
    assert found.peak is not None
    assert pool(torch.randn(3, 17, 5), "mean", "tokens", 1, grid=None).peak is None


def test_layouts_by_the_proportions_of_the_input():
    assert layout_of(nn.GELU(), (16, 8, 8), size=(32, 16)).layout == "NHWC"
    assert layout_of(nn.GELU(), (8, 16, 8), size=(32, 16)).layout == "NCHW"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(3, 5, dtype=torch.complex64), "complex numbers. This is b"),
        (torch.zeros(3, 5).to_sparse(), "sparse"),
    ],
)
def test_numbers_that_cannot_be_pooled(output, message):
    with pytest.raises(UsageError, match=message):
        pool(output, layout="vector", layer="b")


# Words for people.


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (("mean", "NCHW", None), "mean over positions"),
        (("max", "NHWC", None), "maximum over positions"),
        (("cls", "tokens", 1), "class token"),
        (("mean", "tokens", None), "mean over tokens"),
        (("mean", "tokens", 0), "mean over tokens"),
        (("mean", "tokens", 1), "mean over tokens without the class token"),
        (("max", "tokens", 5), "maximum over tokens without the first 5"),
        (("none", "vector", None), "none: one number as it is"),
        (("own", "NCHW", None), "own over positions"),
        ((None, None, None), "unknown"),
    ],
)
def test_pooling_in_words(facts, words):
    assert in_words(*facts) == words


def test_layers_that_are_pooled_alike_stand_together():
    vit = open_target("timm:test_vit,weights=random")
    plans = choose_layers(vit, ["patch_embed.proj", "blocks.0", "blocks.1", "head"])
    assert grouped({plan.info.name: plan.pooling for plan in plans}) == (
        "mean over positions (patch_embed.proj); class token (blocks.0, blocks.1); "
        "none: one number as it is (head)"
    )
    plans = choose_layers(vit, ["blocks.*"], "mean")
    said = grouped({plan.info.name: plan.pooling for plan in plans})
    assert said == "mean over tokens without the class token"
    many = {f"layer{n}": "mean" for n in range(11)} | {"head": "none"}
    assert "layer7 and 3 more); none (head)" in grouped(many)
