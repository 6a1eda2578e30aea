"""A layer whose output is not a matter of the image alone is named, and no other one."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.extraction.axes import MIXED, RANDOM
from neuronym.extraction.recording import describe_layers
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target


class Tokens(nn.Module):
    """Patches as tokens, and what becomes of them."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.patches, self.block, self.head = nn.Conv2d(3, 24, 8, 8), block, nn.Linear(24, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.block(self.patches(images).flatten(2).transpose(1, 2))
        return self.head(tokens.mean(1))


class Attention(nn.MultiheadAttention):
    """Attention of `[image, token, unit]` to itself, whatever it takes for what."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return super().forward(tokens, tokens, tokens, need_weights=False)[0]


class Functional(nn.Module):
    """A function as a layer."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.function(images)


def convolutional(*between: nn.Module) -> nn.Module:
    tail = (nn.Conv2d(8, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Conv2d(3, 8, 3), *between, *tail)


def encoder(**options: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(24, 4, 48, **options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def masked() -> nn.Module:
    prepare_torchvision()
    from transformers import ViTMAEConfig, ViTMAEModel

    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    images = {"intermediate_size": 48, "image_size": 32, "patch_size": 8}
    return ViTMAEModel(ViTMAEConfig(**sizes, **images))


def notes(model: nn.Module) -> dict[str, str]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
                nn.init.uniform_(module.running_var, 0.5, 2)
    seen = Preprocess((32, 32), 32, mean=(0.5,) * 3, std=(0.5,) * 3)
    found = {}
    for info in describe_layers(Target("net", model, seen)):
        if info.usable:
            found[info.name] = next((what for what in (RANDOM, MIXED) if what in info.note), "")
    return found


@pytest.mark.parametrize(
    ("make", "what", "first"),
    [
        (lambda: convolutional(Functional(functional.dropout)), RANDOM, "1"),
        (lambda: convolutional(Functional(lambda x: x + 0.1 * torch.randn_like(x))), RANDOM, "1"),
        (masked, RANDOM, "embeddings"),
        (lambda: convolutional(nn.BatchNorm2d(8, track_running_stats=False)), MIXED, "1"),
        (lambda: convolutional(Functional(lambda x: x - x.mean(0, keepdim=True))), MIXED, "1"),
        (lambda: Tokens(Attention(24, 4)), MIXED, "block"),
        (lambda: Tokens(encoder(batch_first=False)), MIXED, "block"),
    ],
    ids=["dropout", "noise", "masked", "batch norm", "batch mean", "attention", "encoder"],
)
def test_what_is_no_matter_of_the_image_alone_is_named(make, what, first):
    found = notes(make())
    assert set(found.values()) == {"", what}
    assert found[first] == what
    before = list(found)[: list(found).index(first)]
    assert not any(found[name] for name in before if not first.startswith(f"{name}."))
    assert found[list(found)[-1]] == what  # and whatever comes behind it


@pytest.mark.parametrize(
    "make",
    [
        lambda: convolutional(nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.5)),
        lambda: convolutional(nn.InstanceNorm2d(8), nn.GELU()),
        lambda: Tokens(Attention(24, 4, batch_first=True)),
        lambda: Tokens(encoder(batch_first=True)),
        lambda: convolutional(nn.BatchNorm2d(8)).half(),
        lambda: convolutional(nn.BatchNorm2d(8)).bfloat16(),
    ],
    ids=["batch norm", "instance norm", "attention", "encoder", "float16", "bfloat16"],
)
def test_ordinary_layers_are_not_named(make):
    assert set(notes(make()).values()) == {""}


def test_each_part_of_a_fast_transformer_is_recorded():
    """PyTorch runs a whole encoder layer at once in evaluation mode, past its parts' hooks."""
    model = Tokens(encoder(batch_first=True))
    found = notes(model)
    for part in ("self_attn", "linear1", "linear2", "norm1", "norm2"):
        assert f"block.layers.1.{part}" in found
