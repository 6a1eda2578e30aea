"""Which layers a network has, of what shape and layout, which are recorded and how."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.extraction import pooling
from neuronym.extraction.hooks import in_precision_of, resolve_layers, tensor_of
from neuronym.inputs.targets.base import Target


@dataclass(frozen=True)
class LayerPlan:
    """How one layer is recorded: its module, layout and pooling."""

    info: LayerInfo
    mode: str

    @property
    def grid(self) -> tuple[int, int] | None:
        """Height and width of the map that peaks index into, or None for vectors."""
        return self.info.grid

    def to_dict(self) -> dict[str, Any]:
        """What decides the values, as JSON-able data."""
        return {
            "layer": self.info.name,
            "units": self.info.units,
            "shape": list(self.info.shape),
            "layout": self.info.layout,
            "pool": self.mode,
            "prefix_tokens": self.info.prefix_tokens,
        }


# Two, so that an output whose first dimension is not the images gives itself away.
_IMAGES = 2


@dataclass(frozen=True)
class LayerInfo:
    """One module of a network and what it puts out.

    Attributes:
        name: dotted.
        type: its class.
        shape: of its output, without the image dimension; None: it does not run, or gives none.
        units: how many neurons it has, or None.
        layout: NCHW, NHWC, tokens, vector, or other (which cannot be pooled).
        calls: how often it runs in one pass.
        depth: how many dots its name has.
        params: how many parameters it and its children have.
        prefix_tokens: class and register tokens before the patches; None: unknown.
        note: what is uncertain about it, or "".
        positions: height and width of the map that its tokens form; None: they form none.
        checksum: of its output for noise, rounded; it changes with what the layer computes.
    """

    name: str
    type: str
    shape: tuple[int, ...] | None
    units: int | None
    layout: str
    calls: int
    depth: int
    params: int
    prefix_tokens: int | None = None
    note: str = ""
    positions: tuple[int, int] | None = None
    checksum: str = ""

    @property
    def grid(self) -> tuple[int, int] | None:
        """Height and width of the map, or None where there is none."""
        if self.shape is None:
            return None
        if self.layout == "NCHW":
            return (self.shape[1], self.shape[2])
        if self.layout == "NHWC":
            return (self.shape[0], self.shape[1])
        return self.positions if self.layout == "tokens" else None


@dataclass(frozen=True)
class _Seen:
    """A layer's output for noise: shape with the images, mean, spread and mean size."""

    shape: tuple[int, ...]
    statistics: torch.Tensor | None
    odd: str = ""


def describe_layers(target: Any, layout: str | None = None) -> list[LayerInfo]:
    """Every module of a target in order, with its output as seen in a pass over two noise images.

    Args:
        target: the network under study.
        layout: NCHW or NHWC, where the guess for four-dimensional outputs would be wrong.

    Raises:
        NeuronymError: the network cannot run on images of its preprocessing's size.
    """
    model, size = target.model, target.preprocess.size
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise NeuronymError(
            f"{target.name} is or holds a TorchScript module, and these cannot be recorded: give "
            "the Python module that it was made from."
        )
    seen, calls = _shapes(target, size)
    changed: dict[str, _Seen | None] = {}
    modules = [(name, module) for name, module in model.named_modules() if name]
    if layout is None and any(_unsure(module, seen.get(name), size) for name, module in modules):
        with contextlib.suppress(NeuronymError):  # many networks take one size only
            changed, _ = _shapes(target, (size[0] + 64, size[1] + 64))
    prefix = pooling.prefix_tokens_of(model)
    described = [
        _describe(name, module, seen.get(name), changed.get(name), calls[name], layout, size)
        for name, module in modules
    ]
    counts = {info.shape[0] for info in described if info.layout == "tokens" and info.shape}
    return [_with_positions(info, prefix, size, counts) for info in described]


def _unsure(module: nn.Module, seen: _Seen | None, size: tuple[int, int]) -> bool:
    if seen is None or len(seen.shape) != 4:
        return False
    return bool(pooling.layout_of(module, seen.shape[1:], size=size).note)


def _describe(
    name: str,
    module: nn.Module,
    seen: _Seen | None,
    other: _Seen | None,
    calls: int,
    layout: str | None,
    size: tuple[int, int],
) -> LayerInfo:
    params = sum(p.numel() for p in module.parameters() if not nn.parameter.is_lazy(p))
    common = (calls, name.count("."), params)
    kind = type(module).__name__
    if seen is None:
        note = "gives no tensor" if calls else "does not run"
        return LayerInfo(name, kind, None, None, "other", *common, note=note)
    own = seen.shape[1:]
    note = seen.odd
    if not seen.shape or seen.shape[0] != _IMAGES:
        note = note or "its first dimension is not the images"
    if note:
        return LayerInfo(name, kind, own, None, "other", *common, note=note)
    guess = pooling.layout_of(module, own, None if other is None else other.shape[1:], size)
    if layout is not None and guess.layout in ("NCHW", "NHWC"):
        guess = pooling.Guess("NHWC" if layout.upper() == "NHWC" else "NCHW")
    units = {"NCHW": own[0] if own else None, "other": None}.get(
        guess.layout, own[-1] if own else None
    )
    return LayerInfo(
        name,
        kind,
        own,
        units,
        guess.layout,
        *common,
        note=guess.note,
        checksum=_checksum(seen.statistics),
    )


def _with_positions(
    info: LayerInfo, prefix: int | None, size: tuple[int, int], counts: Collection[int]
) -> LayerInfo:
    """A layer of tokens with its prefix, and the map that its patches form."""
    if info.layout != "tokens" or info.shape is None:
        return info
    before = pooling.prefix_tokens_at(info.shape[0], prefix, size, counts)
    positions = pooling.grid_of(info.shape[0] - (before or 0), size)
    return replace(info, prefix_tokens=before, positions=positions)


def _look(output: torch.Tensor) -> _Seen:
    shape = tuple(output.shape)
    if output.is_complex():
        return _Seen(shape, None, "gives complex numbers")
    if output.layout != torch.strided:
        return _Seen(shape, None, "gives a sparse tensor")
    if not output.numel() or output.is_meta or output.is_quantized:
        return _Seen(shape, None)
    values = output.detach().float()
    found = [values.mean(), values.std(correction=0), values.abs().mean()]
    return _Seen(shape, torch.stack(found))


def _checksum(statistics: torch.Tensor | None) -> str:
    """Three digits of the largest, which a difference in the last bits seldom moves."""
    found = [] if statistics is None else statistics.tolist()
    largest = max(map(abs, found), default=0.0)
    if not math.isfinite(sum(found)) or largest == 0:
        return " ".join(map(str, found))
    digits = 2 - math.floor(math.log10(largest))
    return " ".join(str(round(v, digits) + 0.0) for v in found)


def _shapes(target: Any, size: tuple[int, int]) -> tuple[dict[str, _Seen | None], dict[str, int]]:
    """Outputs and numbers of calls of all modules in one pass."""
    model = target.model
    names = [name for name, _ in model.named_modules() if name]
    seen: dict[str, _Seen | None] = {}
    calls = dict.fromkeys(names, 0)
    handles = []

    def hook(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: object, output: object) -> None:
            found = tensor_of(output)
            seen[name] = None if found is None else _look(found)
            calls[name] += 1

        return keep

    some = next(model.parameters(), torch.empty(0))
    noise = torch.rand((_IMAGES, 3, *size), generator=torch.Generator().manual_seed(0)).to(
        some.device
    )
    try:
        for name in names:
            handles.append(model.get_submodule(name).register_forward_hook(hook(name)))
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # some networks draw numbers of their own
            target.forward(model, in_precision_of(model, noise))
    except NeuronymError:
        raise
    except Exception as error:
        raise NeuronymError(_does_not_run(target.name, size, error)) from error
    finally:
        for handle in handles:
            handle.remove()
    return seen, calls


def _does_not_run(name: str, size: tuple[int, int], error: Exception) -> str:
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
    shapes = re.search(r"\b(shapes?|sizes?|dim|dimensions?|channels?|mat1)\b", str(error), re.I)
    remedy = " Give the preprocessing that it was trained with." if shapes else ""
    return f"{name} does not run on images of {size[0]} × {size[1]} pixels: {what}.{remedy}"


def output_layer(target: Any, layers: Sequence[LayerInfo] | None = None) -> str:
    """The last layer with one number per image and unit: the class neurons of a classifier.

    Where the class names are known, the last one with as many units as there are names.

    Args:
        target: the network under study.
        layers: what `describe_layers` gave, if it is at hand.

    Raises:
        UsageError: no layer puts out plain vectors.
    """
    found = [layer for layer in layers or describe_layers(target) if layer.layout == "vector"]
    if not found:
        raise misuse(
            "layers",
            "given, because no layer puts out plain vectors",
            Verbatim("none"),
            f"List them with `neuronym layers {target.name}`.",
        )
    classes = len(target.class_names or ())
    return ([layer for layer in found if layer.units == classes] or found)[-1].name


#: How many layers are recorded when none are named, beside the output layer.
_STAGES = 4


def choose_layers(
    target: Target, patterns: Sequence[str], pool: str = "auto", layout: str = "auto"
) -> list[LayerPlan]:
    """The layers that names and patterns stand for, in network order, with their pooling settled.

    Layers that a pattern matches but that cannot be pooled are left out; named ones are refused.

    Raises:
        UsageError: an unknown layer, one without units, or a pooling that does not fit.
    """
    infos = describe_layers(target, None if layout == "auto" else layout)
    if patterns:
        named = {part.strip() for pattern in patterns for part in pattern.split(",")}
        named |= set(patterns)  # a name may hold a comma
        # A module with several names is described under the first.
        modules = target.model.named_modules(remove_duplicate=False)
        first = {id(module): name for name, module in target.model.named_modules()}
        names = {name: first[id(module)] for name, module in modules}
        wanted = {names[name] for name in resolve_layers(target, patterns)}
        named = {names.get(name, name) for name in named}
        chosen = [info for info in infos if info.name in wanted]
        for info in chosen:
            if info.layout == "other" and info.name in named:
                raise UsageError(
                    f"Expected `layers` to name layers with units, got {info.name!r}, which "
                    f"{info.note or f'puts out the shape {info.shape}'}. "
                    f"See `neuronym layers {target.name}`."
                )
        chosen = [info for info in chosen if info.layout != "other"]
    else:
        chosen = default_layers(infos)
    if not chosen and not patterns:
        raise UsageError(f"No layer of {target.name} has units that can be recorded.")
    if not chosen:
        raise UsageError(
            f"Expected `layers` to name layers with units, got {', '.join(patterns)!r}, of which "
            f"none has any. See `neuronym layers {target.name}`."
        )
    return [LayerPlan(info, _mode(pool, info)) for info in chosen]


def _mode(pool: str, info: LayerInfo) -> str:
    if info.layout == "vector":
        pooling.settle(pool, "vector")  # an unknown name is wrong even where it has no effect
        return "none"
    mode = pooling.settle(pool, info.layout, info.prefix_tokens)
    if mode == "cls" and (info.layout != "tokens" or info.prefix_tokens == 0):
        raise UsageError(
            f"Expected `pool` to fit {info.name}, got 'cls', but its output ({info.layout}) has no "
            "class token. Use --pool auto, mean or max."
        )
    return mode


def default_layers(infos: Sequence[LayerInfo]) -> list[LayerInfo]:
    """The last stage at each resolution, four of them at most, and the output layer.

    For a ResNet these are layer1 … layer4 and fc. A network whose tokens keep one resolution gets
    four of its blocks, evenly spaced. Stages are modules made of others, before plain operations;
    modules that run several times per image are passed over, since only their last call could be
    recorded.
    """
    usable = [i for i in infos if i.calls == 1 and i.units and i.units > 1]
    stages = [i for i in usable if i.grid and i.grid[0] * i.grid[1] > 1]
    children: dict[str, list[LayerInfo]] = {}
    for info in infos:
        children.setdefault(info.name.rpartition(".")[0], []).append(info)
    made = [i for i in stages if any(child.params for child in children.get(i.name, ()))]
    # Where one module ends another (layer4 ends layer4.2), the outer one is the stage, unless it
    # spans several resolutions (features ends features.7).
    whole = [i for i in made if all(c.grid in (None, i.grid) for c in children[i.name])]
    last: dict[tuple, LayerInfo] = {}
    for info in whole if len({i.grid for i in whole}) > 1 else stages:
        before = last.pop(info.grid, None)  # type: ignore[arg-type]
        inner = before is not None and info.name.startswith(f"{before.name}.")
        last[info.grid] = before if inner and before is not None else info  # type: ignore[index]
    order = {info.name: place for place, info in enumerate(infos)}
    chosen = sorted(last.values(), key=lambda info: order[info.name])[-_STAGES:]
    blocks = _blocks(stages)
    if len(chosen) < _STAGES and len(blocks) >= _STAGES:
        chosen = [blocks[(n + 1) * len(blocks) // _STAGES - 1] for n in range(_STAGES)]
    outputs = [i for i in usable if i.layout == "vector"] or usable[-1:]
    return sorted(
        {i.name: i for i in [*chosen, *outputs[-1:]]}.values(), key=lambda i: order[i.name]
    )


def _blocks(stages: Sequence[LayerInfo]) -> list[LayerInfo]:
    """The longest run of numbered siblings of one type and one shape: a transformer's blocks."""
    groups: dict[tuple, list[LayerInfo]] = {}
    for info in stages:
        parent, _, own = info.name.rpartition(".")
        if own.isdecimal() or own.rpartition("_")[2].isdecimal():
            groups.setdefault((parent, info.type, info.shape), []).append(info)
    return max(groups.values(), key=len, default=[])
