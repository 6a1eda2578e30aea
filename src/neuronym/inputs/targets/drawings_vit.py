"""`drawings-vit`: a small transformer that tells drawings apart, its weights in the package.

`training/drawings_vit.py` made the weights, from drawings alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from neuronym._core.checks import misuse
from neuronym._core.registry import Name
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets._options import seeded, source, spell
from neuronym.inputs.targets.base import TARGETS, Target
from neuronym.inputs.targets.weights import load_weights

_TEXTURES = """
banded blotchy braided bubbly bumpy chequered cobwebbed cracked crosshatched crystalline dotted
fibrous flecked freckled frilly gauzy grid grooved honeycombed interlaced knitted lacelike lined
marbled matted meshed paisley perforated pitted pleated polka-dotted porous potholed scaly smeared
spiralled sprinkled stained stratified striped studded swirly veined waffled woven wrinkled
zigzagged
"""
_OBJECTS = """
airplane apple banana bicycle bird boat book bottle butterfly car cat chair clock cup dog elephant
eye face fish flower guitar hand house key ladder leaf mushroom person shoe star strawberry tree
truck umbrella wheel
"""
#: What it tells apart, by the names that the drawings have.
CLASSES = {
    "texture": tuple(_TEXTURES.split()),
    "object": tuple(_OBJECTS.split()),
}
NAMES = tuple(name for names in CLASSES.values() for name in names)
SIDE, RESIZE = 56, 64
_WEIGHTS = Path(__file__).with_suffix(".safetensors")


class DrawingsViT(nn.Module):
    """Four convolutions make 49 tokens of an image of 56 × 56 pixels; three blocks; their mean.

    `blocks.N` puts out `[image, token, feature]`; the tokens lie row by row on a grid of 7 × 7.
    """

    #: There is no class token: every token is a place in the image.
    num_prefix_tokens = 0

    def __init__(self, classes: int = len(NAMES), dim: int = 96, depth: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_convolution(3, 32, 2),
            *_convolution(32, 64, 2),
            *_convolution(64, 64, 1),
            *_convolution(64, dim, 2),
        )
        self.position = nn.Parameter(0.02 * torch.randn(1, (SIDE // 8) ** 2, dim))
        self.blocks = nn.Sequential(*(Block(dim) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Float `[image, 3, 56, 56]` → logits `[image, class]`."""
        tokens = self.stem(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(1))


def _convolution(before: int, after: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(after), nn.ReLU()


class Block(nn.Module):
    """Attention and a perceptron, each behind a layer norm and beside a shortcut."""

    def __init__(self, dim: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 3 * dim), nn.GELU(), nn.Linear(3 * dim, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """`[image, token, feature]` → the same shape."""
        images, count, dim = tokens.shape
        split = self.qkv(self.norm1(tokens)).view(images, count, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out(seen.transpose(1, 2).reshape(images, count, dim))
        return tokens + self.mlp(self.norm2(tokens))


@TARGETS.register("drawings-vit")
def drawings_vit(name: Name, weights: Path | None) -> Target:
    """A small transformer, embedded: 82 drawn textures and things at 56 pixels."""
    if name.detail:
        raise misuse("target", f"{name.kind} without a detail", f"{name.kind}:{name.detail}")
    where = source(name, weights)
    if where.published is not None:
        raise misuse("weights", "random or a file", where.published)
    if where.random:
        with seeded(where.seed or 0):
            model: nn.Module = DrawingsViT()
    else:
        model = load_weights(
            DrawingsViT(), where.file or _WEIGHTS, name=name.kind, rebuild=DrawingsViT
        )
    known = not where.random and getattr(model.head, "out_features", None) == len(NAMES)
    half = (0.5, 0.5, 0.5)
    return Target(
        spell(name, where.file),
        model.eval(),
        Preprocess((SIDE, SIDE), RESIZE, interpolation="bilinear", mean=half, std=half),
        NAMES if known else None,
        pretrained=not where.random,
    )
