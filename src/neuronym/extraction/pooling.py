"""From a layer's output to one number per image and unit, and where in the image it came from."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from neuronym._core.checks import Verbatim, choice, misuse
from neuronym._core.registry import Registry

POOLINGS = Registry("pool", "poolings")

Layout = Literal["NCHW", "NHWC", "NCL", "tokens", "vector", "other"]
LAYOUTS: tuple[Layout, ...] = ("NCHW", "NHWC", "tokens", "vector")
_CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.PixelShuffle,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.Upsample,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)
# Parameters that hold tokens put before the patches, in timm, torchvision, transformers, open_clip.
_TOKENS = {
    "cls_token",
    "class_token",
    "class_embedding",
    "dist_token",
    "distillation_token",
    "reg_token",
    "register_tokens",
    "storage_tokens",
}

# Layers that are named where many are pooled alike.
_NAMED = 8


@dataclass(frozen=True, eq=False)
class Pooled:
    """What is kept of a layer's output.

    Attributes:
        values: float32 `[image, unit]`.
        peak: int64 `[image, unit]`, where on `grid` the response is highest, counted row by row;
            of equal ones the first; 0 for a map with a NaN. None where there is no grid.
        grid: height and width of the map, or None.
    """

    values: Tensor
    peak: Tensor | None
    grid: tuple[int, int] | None


class Guess(NamedTuple):
    """A layout, a note where it is no more than a guess, and whether a larger image may tell."""

    layout: Layout
    note: str = ""
    unsure: bool = False


@POOLINGS.register("mean")
def mean(patches: Tensor, dim: int, prefix: Tensor | None) -> Tensor:
    """The mean over all positions; class and register tokens are left out."""
    return patches.mean(dim)


@POOLINGS.register("max")
def maximum(patches: Tensor, dim: int, prefix: Tensor | None) -> Tensor:
    """The highest response at any position; class and register tokens are left out."""
    return patches.amax(dim)


@POOLINGS.register("cls")
def class_token(patches: Tensor, dim: int, prefix: Tensor | None) -> Tensor:
    """The response at the class token, the first of the tokens."""
    if prefix is None:
        raise misuse(
            "pool",
            "mean or max where there is no class token",
            "cls",
            "Give prefix_tokens if the layer has one all the same.",
        )
    return prefix[:, 0].clone()


def mode_of(pool: str, layout: str, prefix_tokens: int | None = None) -> str:
    """The pooling that `auto` stands for: `cls` where a class token is known, else `mean`.

    Raises:
        UsageError: there is no such pooling.
    """
    if pool == "auto":
        return "cls" if layout == "tokens" and prefix_tokens else "mean"
    return choice("pool", pool, ["auto", *(entry.name for entry in POOLINGS)])


def in_words(mode: str | None, layout: str | None, prefix_tokens: int | None = None) -> str:
    """How a layer's output becomes one number per image and unit, for people.

    >>> in_words("mean", "tokens", 5), in_words("cls", "tokens", 1), in_words("none", "vector")
    ('mean over tokens without the first 5', 'class token', 'none: one number as it is')

    Args:
        mode: a pooling, or `none`.
        layout, prefix_tokens: those of the layer.
    """
    if mode is None or layout is None:
        return "unknown"
    if layout == "vector":
        return "none: one number as it is"
    if mode == "cls":
        return "class token"
    name = {"max": "maximum"}.get(mode, mode)
    if layout != "tokens":
        return f"{name} over positions"
    first = f"the first {prefix_tokens}" if (prefix_tokens or 0) > 1 else "the class token"
    return f"{name} over tokens" + (f" without {first}" if prefix_tokens else "")


def grouped(poolings: Mapping[str, str]) -> str:
    """How layers are pooled, those that are pooled alike together.

    >>> grouped({"layer3": "mean over positions", "layer4": "mean over positions"})
    'mean over positions'
    >>> grouped({"layer4": "mean over positions", "fc": "none: one number as it is"})
    'mean over positions (layer4); none: one number as it is (fc)'

    Args:
        poolings: by layer, in words.
    """
    by_words: dict[str, list[str]] = {}
    for layer, words in poolings.items():
        by_words.setdefault(words, []).append(layer)
    if len(by_words) == 1:
        return next(iter(by_words))

    def named(layers: list[str]) -> str:
        more = f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else ""
        return ", ".join(layers[:_NAMED]) + more

    return "; ".join(f"{words} ({named(layers)})" for words, layers in by_words.items())


def pool(
    output: Tensor,
    mode: str = "auto",
    layout: str = "NCHW",
    prefix_tokens: int | None = None,
    *,
    layer: str = "this layer",
    images: int | None = None,
    grid: tuple[int, int] | Literal["square"] | None = "square",
) -> Pooled:
    """Reduce a layer's output to one number per image and unit.

    Half precision is accumulated in float32. A NaN anywhere in a map makes the unit's value NaN.
    The result shares no memory with `output`, which the network may overwrite.

    Args:
        output: `[image, unit, y, x]`, `[image, y, x, unit]`, `[image, token, unit]` or
            `[image, unit]`, as `layout` says.
        mode: auto, mean, max, cls or another of `POOLINGS`; ignored for plain vectors.
        layout: NCHW, NHWC, tokens or vector.
        prefix_tokens: how many class and register tokens stand before the patches. None: unknown,
            taken for 0, and `cls` takes the first token.
        layer: the layer's name, for messages.
        images: how many images the output should be for, if that is to be checked.
        grid: height and width of the map that tokens form; square: their root, if it is whole;
            None: they form none.

    Raises:
        UsageError: the output's shape does not fit the layout, or the layout does not fit the mode.
    """
    layout = _layout(layout, output, layer, images)
    values = output.detach()
    values = values.to(torch.float32) if values.dtype != torch.float32 else values
    if layout == "vector":
        shared = values.untyped_storage().data_ptr() == output.untyped_storage().data_ptr()
        return Pooled(values.clone() if shared else values, None, None)

    mode = mode_of(mode, layout, prefix_tokens)
    prefix = None
    if layout == "tokens":
        count = prefix_tokens or 0
        if count >= values.shape[1]:
            raise misuse(
                "prefix_tokens", f"fewer than the {values.shape[1]} tokens of {layer}", count
            )
        # The first token is taken for the class token only when nobody knows better.
        prefix = values[:, : count or 1] if prefix_tokens != 0 else None
        values = values[:, count:]
        if grid == "square" or (grid and grid[0] * grid[1] != values.shape[1]):
            grid = grid_of(values.shape[1])
    elif layout == "NCHW":
        values = values.permute(0, 2, 3, 1)
    if layout != "tokens":
        grid = (values.shape[1], values.shape[2])
        values = _flat(values)
    assert grid != "square"
    # From here on [image, position, unit], in whatever order of memory the network left it.
    positions_last = values.stride(1) == 1 and values.shape[1] > 1
    patches, dim = (values.transpose(1, 2), 2) if positions_last else (values, 1)
    pooled = POOLINGS[mode].make(patches, dim, prefix).contiguous()
    return Pooled(pooled, None if grid is None else _peak(patches, dim, grid), grid)


def _layout(layout: str, output: Tensor, layer: str, images: int | None) -> str:
    """The layout's canonical name, checked against the output's shape."""
    by_fold = {name.lower(): name for name in LAYOUTS}
    layout = choice("layout", by_fold.get(str(layout).lower(), layout), LAYOUTS)
    shape = tuple(output.shape)
    dims = {"vector": 2, "tokens": 3}.get(layout, 4)
    if output.is_complex() or output.layout != torch.strided:
        what = "complex numbers" if output.is_complex() else f"a {output.layout} tensor"
        raise misuse("layers", "give plain real numbers", Verbatim(what), f"This is {layer}.")
    if len(shape) != dims or 0 in shape:
        kinds = {2: "[image, unit]", 3: "[image, token, unit]", 4: "four dimensions"}
        raise misuse(
            "layers",
            f"give outputs of {kinds[dims]} for the layout {layout}",
            shape,
            f"This is {layer}; `neuronym layers` shows the shapes of all layers.",
        )
    if images is not None and shape[0] != images:
        raise misuse(
            "layers",
            f"give one row per image ({images})",
            shape,
            f"This is {layer}, which splits or joins images; choose the layer around it.",
        )
    return layout


def _flat(maps: Tensor) -> Tensor:
    """`[image, y, x, unit]` → `[image, position, unit]`, without a copy where memory allows."""
    image, height, width, unit = maps.shape
    if maps.permute(0, 3, 1, 2).is_contiguous():
        return maps.permute(0, 3, 1, 2).reshape(image, unit, height * width).transpose(1, 2)
    return maps.reshape(image, height * width, unit)


def _peak(patches: Tensor, dim: int, grid: tuple[int, int]) -> Tensor:
    """The first position of the maximum, `[image, unit]`.

    On a CPU torch's argmax is slow. Measured on `[16, 256, 56, 56]` with one thread: positions
    last, torch 15 ms, NumPy 2.4 ms; units last, torch 29 ms, NumPy 28 ms, in two steps 6 ms.
    """
    if patches.device.type != "cpu":
        top, at = patches.max(dim)
    elif dim == 2:
        top = patches.amax(dim)
        at = torch.from_numpy(patches.contiguous().numpy().argmax(axis=2))
    else:  # the first row that holds the maximum, then the first place in that row
        image, _, unit = patches.shape
        rows = patches.reshape(image, *grid, unit)
        highest = rows.amax(2)
        top = highest.amax(1)
        kind = torch.int16 if grid[0] < 2**15 else torch.int32
        countdown = torch.arange(grid[0], 0, -1, dtype=kind)[:, None]
        row = grid[0] - ((highest == top[:, None]) * countdown).amax(1).long()
        row = row.masked_fill_(top.isnan(), 0)
        best = rows[torch.arange(image)[:, None], row, :, torch.arange(unit)]
        at = row * grid[1] + torch.from_numpy(best.contiguous().numpy().argmax(axis=2))
    return at.masked_fill(top.isnan(), 0)


def layout_of(
    module: nn.Module,
    shape: Sequence[int],
    other: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
    stated: str | None = None,
) -> Guess:
    """The layout of a module's output whose first dimension is the images.

    By the module's type where that is certain, then by what changed when the input did, then, with
    a note, by which two dimensions have the input's proportions, else NCHW.

    Args:
        module: the layer.
        shape: its output's shape without the image dimension.
        other: the same for an input of another height and width, if the network takes one.
        size: height and width of the input; None: a square.
        stated: how the user names the axes, of maps in any case, of tokens where types do not tell.
    """
    # Exact types: libraries derive a channels-first "LayerNorm2d" from LayerNorm.
    last = type(module) in (nn.Linear, nn.LayerNorm)
    first = isinstance(module, _CHANNELS_FIRST)
    same = other is not None and len(other) == len(shape)
    changed = tuple(a != b for a, b in zip(shape, other or (), strict=True)) if same else ()
    if len(shape) == 1:
        return Guess("vector")
    if len(shape) == 2:
        if last or first:
            return Guess("NCL" if first else "tokens")
        if stated in ("NCL", "tokens"):
            return Guess("NCL" if stated == "NCL" else "tokens")
        return Guess("NCL" if changed == (False, True) else "tokens", unsure=not changed)
    if len(shape) != 3:
        count = {0: "one dimension", 4: "five dimensions"}.get(len(shape), "many dimensions")
        return Guess("other", f"gives outputs of {count}: choose a layer with maps or tokens")
    if stated in ("NCHW", "NHWC"):
        return Guess("NCHW" if stated == "NCHW" else "NHWC")
    if last:
        return Guess("NHWC")
    if first or type(module).__name__.endswith("2d"):
        return Guess("NCHW")
    if changed == (False, True, True):
        return Guess("NCHW")
    if changed == (True, True, False):
        return Guess("NHWC")
    a, b, c = shape
    alike, behind = _fits(a, b, *(size or (1, 1))), _fits(b, c, *(size or (1, 1)))
    if behind and not alike:
        return Guess("NCHW", "is taken for [unit, y, x] by its proportions; see --layout", True)
    if alike and not behind:
        return Guess("NHWC", "is taken for [y, x, unit] by its proportions; see --layout", True)
    return Guess("NCHW", "is taken for [unit, y, x]: the shape does not tell; see --layout", True)


def prefix_tokens_of(model: nn.Module) -> int | None:
    """How many class and register tokens a transformer puts before its patches; None: unknown."""
    stated = getattr(model, "num_prefix_tokens", None)
    if isinstance(stated, int):
        return stated
    count, found = 0, False
    for name, value in model.named_parameters():
        if name.rpartition(".")[2] in _TOKENS:
            found = True
            count += value.shape[-2] if value.ndim > 1 else 1
    kind = str(getattr(getattr(model, "config", None), "model_type", ""))
    if found:
        return count
    return 0 if any(family in kind for family in ("siglip", "ijepa", "swin")) else None


def prefix_tokens_at(
    tokens: int,
    prefix: int | None,
    size: tuple[int, int] | None = None,
    counts: Collection[int] = (),
) -> int | None:
    """How many of a layer's tokens stand before the patches.

    A network with a class token has layers without it, such as the patch embedding. What counts is
    with or without which number of tokens the rest forms a map of the input's proportions, then
    which numbers of tokens other layers have.

    Args:
        tokens: how many the layer has.
        prefix: how many class and register tokens the network has; None: unknown.
        size: height and width of the input; None: a square.
        counts: the numbers of tokens of all layers.
    """
    if not prefix:
        return prefix
    inner = tokens - prefix
    if inner < 1:
        return 0
    with_prefix, without = grid_of(inner, size) is not None, grid_of(tokens, size) is not None
    if with_prefix == without:
        with_prefix, without = inner in counts, tokens + prefix in counts
    return 0 if without and not with_prefix else prefix


def grid_of(patches: int, size: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """Height and width of a map of so many patches with the input's proportions, or None.

    Args:
        patches: how many.
        size: height and width of the input; None: a square.
    """
    height, width = size or (1, 1)
    if patches < 1:
        return None
    if height == width:
        side = math.isqrt(patches)
        return (side, side) if side * side == patches else None
    pairs = [(h, patches // h) for h in range(1, patches + 1) if patches % h == 0]
    fitting = [pair for pair in pairs if _fits(*pair, height, width)]
    return min(fitting, key=lambda g: abs(math.log(g[0] * width / (g[1] * height))), default=None)


def _fits(h: int, w: int, height: int, width: int) -> bool:
    """Whether patches of one size, rounded down or up, tile `height` × `width` as `h` × `w`."""
    if height == width:
        return h == w
    if min(h, w) < 1:
        return False
    down = max(height / (h + 1), width / (w + 1)) < min(height / h, width / w)
    most = min(height / (h - 1) if h > 1 else math.inf, width / (w - 1) if w > 1 else math.inf)
    return down or max(height / h, width / w) < most
