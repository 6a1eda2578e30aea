"""Which layers a network has, of what shape and layout, and what they put out in a pass."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from neuronym._core.checks import Verbatim, misuse, nearest
from neuronym._core.errors import NeuronymError
from neuronym._core.terminal import counted
from neuronym.extraction import pooling
from neuronym.inputs.targets.base import Target
from neuronym.inputs.targets.guess import guess

Reduce = Callable[[str, Tensor], Any]
# Two, so that an output whose first dimension is not the images gives itself away.
_IMAGES = 2


def unknown_layer(pattern: str, known: Iterable[str], model: object, name: str) -> Exception:
    near = nearest(pattern, [k for k in known if k])
    what = name or type(model).__name__
    remedy = f"Nearest: {', '.join(near)}. " if near else ""
    command = f"neuronym layers {what}" if name else "neuronym layers TARGET"
    return misuse(
        "layers", f"name modules of {what}", pattern, f"{remedy}List them with `{command}`."
    )


def resolve_layers(model: Any, patterns: str | Iterable[str]) -> list[str]:
    r"""The layers that names and patterns stand for, in the network's order, without repeats.

    `*` and `?` stand for anything but a dot, `**` for anything, `[...]` for one of some characters.
    Patterns pass over containers that cannot run, such as ModuleList.

    >>> resolve_layers(nn.Sequential(nn.ReLU(), nn.Linear(3, 2)), "1, *")
    ['0', '1']

    Args:
        model: a torch module, or a target (its name then appears in messages).
        patterns: exact dotted names or patterns, as a list or separated by commas.

    Raises:
        UsageError: nothing has such a name, or there is no name at all.
    """
    network, title = (model, "") if isinstance(model, nn.Module) else (model.model, model.name)
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    every = {name: m for name, m in network.named_modules(remove_duplicate=False) if name}
    parts = [[text] if text in every else str(text).split(",") for text in wanted]
    wanted = [part.strip() for texts in parts for part in texts if part.strip()]
    if not wanted:
        given = patterns if isinstance(patterns, str) else ",".join(map(str, patterns))
        raise misuse("layers", "name at least one layer", given, "Or leave it out altogether.")
    once = {name for name, _ in network.named_modules()}
    chosen: set[str] = set()
    for pattern in wanted:
        if pattern in every:
            found = {pattern}
        else:
            shape = re.compile(_regex(pattern))
            found = {
                name
                for name, module in every.items()
                if name in once and _runs(module) and shape.fullmatch(name)
            }
        if not found:
            raise unknown_layer(pattern, every, network, title)
        chosen |= found
    return [name for name in every if name in chosen]


def _runs(module: nn.Module) -> bool:
    return type(module).forward is not nn.Module.forward


def _regex(pattern: str) -> str:
    parts = []
    for token in re.findall(r"\*\*\.|\*\*|\*|\?|\[!?[^\]]+\]|.", pattern):
        if token == "**.":
            parts.append(r"(?:.*\.)?")
        elif token == "**":
            parts.append(".*")
        elif token == "*":
            parts.append(r"[^.]*")
        elif token == "?":
            parts.append(r"[^.]")
        elif len(token) > 1:
            inner = token[1:-1].replace("\\", r"\\")
            parts.append("[^" + inner[1:] + "]" if inner.startswith("!") else f"[{inner}]")
        else:
            parts.append(re.escape(token))
    return "".join(parts)


def tensor_of(output: object) -> Tensor | None:
    """The first tensor in a module's output: of mappings logits, then last_hidden_state, first."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        first = [output[k] for k in ("logits", "last_hidden_state") if k in output]
        parts: Iterable[object] = [*first, *output.values()]
    elif isinstance(output, list | tuple):
        parts = output
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        return tensor_of({f.name: getattr(output, f.name) for f in dataclasses.fields(output)})
    else:
        return None
    return next((found for part in parts if (found := tensor_of(part)) is not None), None)


def in_precision_of(model: nn.Module, batch: Tensor) -> Tensor:
    """The batch in the floating-point type of the model's first parameter that has one."""
    known = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    kinds = (p.dtype for p in model.parameters() if p.dtype in known)
    return batch.to(next(kinds, batch.dtype))


def run_target(
    target: Target, batch: Tensor, layers: Iterable[str] = (), reduce: Reduce | None = None
) -> Recording:
    """A forward pass of a target over a batch of its input; returns what layers put out.

    Args: `layers` and `reduce` as for `record`.
    """
    with record(target.model, layers, reduce) as found:
        target.forward(target.model, in_precision_of(target.model, batch))
    return found


class Recording(Mapping[str, Any]):
    """What layers put out in the latest forward pass; attached while its `with` block runs.

    Attributes:
        calls: how often each layer ran in the latest forward pass; its last output is kept.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str], reduce: Reduce | None) -> None:
        modules = dict(model.named_modules(remove_duplicate=False))
        self._model, self._reduce = model, reduce
        self._modules = {name: _lookup(modules, name, model) for name in layers}
        self._handles: list[Any] = []
        self.clear()

    def __enter__(self) -> Recording:
        if self._handles:
            raise RuntimeError("this recording is already attached")
        try:
            # Values of an earlier pass must never be taken for those of the current one.
            attach = self._model.register_forward_pre_hook
            self._handles.append(attach(lambda *_: self.clear()))
            for name, module in self._modules.items():
                self._handles.append(module.register_forward_hook(self._hook(name)))
            self._handles.append(self._model.register_forward_hook(lambda *_: self._complete()))
        except BaseException:
            self._detach()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._detach()
        if kind is None:
            self._complete()

    def _detach(self) -> None:
        while self._handles:
            self._handles.pop().remove()

    def clear(self) -> None:
        """Forget everything recorded so far."""
        self._values: dict[str, Any] = {}
        self.calls: dict[str, int] = dict.fromkeys(self._modules, 0)

    def _hook(self, name: str) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: object, output: object) -> None:
            found = tensor_of(output)
            if found is None:
                raise NeuronymError(
                    f"The layer {name} gives {type(output).__name__}, which holds no tensor: "
                    "choose another one."
                )
            self.calls[name] += 1
            # Here and not after the pass: a following in-place operation (ReLU) would change it.
            if self._reduce is None:
                self._values[name] = found.detach().clone()
                return
            value = self._reduce(name, found.detach())
            if isinstance(value, Tensor) and _shares_memory(value, found):
                value = value.clone()
            self._values[name] = value

        return keep

    def _complete(self) -> None:
        for name, count in self.calls.items():
            if not count:
                raise self._never(name)

    def _never(self, name: str) -> NeuronymError:
        return NeuronymError(
            f"The layer {name} exists but does not run when the network sees an image, so it has "
            "no activations: leave it out of `layers`."
        )

    def __getitem__(self, name: str) -> Any:
        if name in self._modules and name not in self._values:
            raise self._never(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def record(model: nn.Module, layers: Iterable[str], reduce: Reduce | None = None) -> Recording:
    """Record what layers put out: ``with record(model, ["layer4"]) as acts: model(batch)``.

    Hooks attach when the block is entered and detach when it is left, also by an exception.

    Args:
        model: the network.
        layers: exact dotted names; `resolve_layers` expands patterns.
        reduce: `reduce(layer, output)` is called inside the pass, and what it returns is kept in
            place of a copy of the output. A module that runs several times keeps the last.

    Returns:
        A mapping from layer to output, with `calls` per layer.

    Raises:
        UsageError: a name is no module of the model.
        NeuronymError: a layer was not called in a pass, or its output holds no tensor.
    """
    return Recording(model, [layers] if isinstance(layers, str) else layers, reduce)


def _shares_memory(a: Tensor, b: Tensor) -> bool:
    try:
        return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return True


def _lookup(modules: Mapping[str, nn.Module], name: str, model: nn.Module) -> nn.Module:
    if name == "" or name not in modules:
        raise unknown_layer(name, modules, model, "")
    return modules[name]


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
    shape = (_IMAGES, target.preprocess.count, *size)
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(some.device)
    try:
        for name in names:
            handles.append(model.get_submodule(name).register_forward_hook(hook(name)))
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # some networks draw numbers of their own
            run_target(target, noise)
    except NeuronymError:
        raise
    except Exception as error:
        raise NeuronymError(_does_not_run(target, size, error)) from error
    finally:
        for handle in handles:
            handle.remove()
    return seen, calls


def _does_not_run(target: Any, size: tuple[int, int], error: Exception) -> str:
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
    own = (
        "A network that takes other input than one batch of images is run by the `forward` of a "
        "Target (docs/targets.md)."
    )
    offer = None if isinstance(error, TypeError) else guess(target)
    shapes = re.search(r"\b(shapes?|sizes?|dim|dimensions?|channels?|mat1)\b", str(error), re.I)
    if offer:
        remedy = offer.words
    elif isinstance(error, TypeError) or not shapes:  # too few arguments, a list for a tensor, …
        remedy = own
    else:
        how = "--preprocess size=…,mean=…,std=…"
        remedy = f"Give the preprocessing that it was trained with: {how} (docs/dissect.md). {own}"
    seen = f"{size[0]} × {size[1]} pixels and {counted(target.preprocess.count, 'channel')}"
    return f"{target.name} does not run on images of {seen}: {what}. {remedy}"


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
