"""Which layers a network has, of what shape and layout, and what they put out in a pass."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.terminal import counted
from neuronym.extraction import pooling
from neuronym.extraction.axes import (
    FEW,
    FOLDED,
    MIXED,
    MORE,
    RANDOM,
    Axes,
    Seen,
    find_axes,
    layout_named,
    look,
)
from neuronym.extraction.names import Layers, eager, on_one_device, unknown_layer
from neuronym.inputs.targets.base import Target, unwrapped
from neuronym.inputs.targets.guess import guess

Reduce = Callable[[str, Tensor], Any]


def tensor_of(output: object) -> Tensor | None:
    """The first tensor in a module's output: of mappings logits, then last_hidden_state, first.

    A quantised one comes as the numbers that it stands for.
    """
    if isinstance(output, Tensor):
        return output.dequantize() if output.is_quantized else output
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


class Enough(BaseException):
    """Ends a forward pass of which nothing more is wanted; networks do not catch it."""


def run_target(
    target: Target,
    batch: Tensor,
    layers: Iterable[str] = (),
    reduce: Reduce | None = None,
    whole: Callable[[], None] | None = None,
    inside: AbstractContextManager[None] | None = None,
) -> Recording:
    """A forward pass of a target over a batch of its input; returns what layers put out.

    Args:
        layers, reduce: as for `record`.
        whole: called inside the pass as soon as every layer has put something out. If it raises
            `Enough`, the pass ends there.
        inside: what the pass runs in; hooks that it attaches come before those that record.
    """
    # A function of the user's own knows what it was given.
    own = target.forward is not Target.forward
    model = target.model if own else unwrapped(target.model)
    with (
        inside or contextlib.nullcontext(),
        Recording(target.model, layers, reduce, whole) as found,
    ):
        with contextlib.suppress(Enough), on_one_device(target.model):
            found.output = target.forward(model, in_precision_of(target.model, batch))
    return found


class Recording(Mapping[str, Any]):
    """What layers put out in the latest forward pass; attached while its `with` block runs.

    Compiled networks run uncompiled inside the block, so that each of their layers is seen.

    Attributes:
        calls: how often each layer ran in the latest forward pass; its last output is kept, or
            that of the call that its name says (`relu#2`).
        passes: how often the network as a whole was called.
        output: what the forward of `run_target` gave; None before its end.
    """

    output: Any = None

    def __init__(
        self,
        model: nn.Module,
        layers: Iterable[str],
        reduce: Reduce | None,
        whole: Callable[[], None] | None = None,
    ) -> None:
        self._model, self._reduce, self._whole = unwrapped(model), reduce, whole
        known = Layers(model)
        self._modules = {name: _lookup(name, known, model) for name in layers}
        self._open = contextlib.ExitStack()
        self._attached, self.passes = False, 0
        self.clear()

    def __enter__(self) -> Recording:
        if self._attached:
            raise RuntimeError("this recording is already attached")
        self._attached, self.passes = True, 0
        try:
            # Values of an earlier pass must never be taken for those of the current one.
            self._attach(self._model.register_forward_pre_hook(lambda *_: self._begin()))
            for name, (module, call) in self._modules.items():
                self._attach(module.register_forward_hook(self._hook(name, call)))
            self._attach(self._model.register_forward_hook(lambda *_: self._complete()))
            self._open.enter_context(eager())
        except BaseException:
            self._detach()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._detach()
        if kind is None:
            self._complete()

    @property
    def repeats_nothing(self) -> bool:
        """Whether every value was the only one that could be meant, so that none replaced it."""
        calls = self._modules.items()
        once = all(call is not None or self.calls[name] == 1 for name, (_, call) in calls)
        return once and self.passes == 1

    def _attach(self, handle: Any) -> None:
        self._open.callback(handle.remove)

    def _detach(self) -> None:
        self._open.close()
        self._attached = False

    def _begin(self) -> None:
        self.passes += 1
        self.clear()

    def clear(self) -> None:
        """Forget everything recorded so far."""
        self._values: dict[str, Any] = {}
        self.calls: dict[str, int] = dict.fromkeys(self._modules, 0)

    def _hook(self, name: str, call: int | None) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: object, output: object) -> None:
            self.calls[name] += 1
            if call not in (None, self.calls[name]):
                return
            found = tensor_of(output)
            if found is None:
                raise NeuronymError(
                    f"The layer {name} gives {type(output).__name__}, which holds no tensor: "
                    "choose another one."
                )
            # Here and not after the pass: a following in-place operation (ReLU) would change it.
            if self._reduce is None:
                self._values[name] = found.detach().clone()
            else:
                value = self._reduce(name, found.detach())
                if isinstance(value, Tensor) and _shares_memory(value, found):
                    value = value.clone()
                self._values[name] = value
            if self._whole is not None and len(self._values) == len(self._modules):
                self._whole()

        return keep

    def _complete(self) -> None:
        for name in self._modules:
            if name not in self._values:
                raise self._never(name)

    def _never(self, name: str) -> NeuronymError:
        if count := self.calls[name]:
            times = "once" if count == 1 else f"{count} times"
            return NeuronymError(
                f"The layer {name} is a call that does not happen: when the network sees an image, "
                f"{name.rpartition('#')[0]} runs {times}."
            )
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
        layers: exact dotted names; `resolve_layers` expands patterns. `relu#2` is the second call
            of a module that runs several times.
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


def _lookup(layer: str, known: Layers, model: nn.Module) -> tuple[nn.Module, int | None]:
    """A layer's module, and which of its calls is meant."""
    found = known.find(layer)
    if found is None:
        raise unknown_layer(layer, known, model, "")
    return known[found[0]], found[1]


@dataclass(frozen=True)
class LayerInfo:
    """One module of a network and what it puts out.

    Attributes:
        name: dotted; `relu#2` is the second call of a module that runs several times.
        type: its class.
        shape: of its output for one image, as `axes` arranges it; None: it does not run, or gives
            none.
        units: how many neurons it has, or None.
        layout: NCHW, NHWC, tokens, vector, or other (which cannot be pooled).
        calls: how often the module runs in one pass.
        depth: how many dots its name has.
        params: how many parameters it and its children have.
        prefix_tokens: class and register tokens before the patches; None: unknown.
        note: what is uncertain about it, or why it cannot be pooled, as a verb phrase; or "".
        positions: height and width of the map that its tokens form; None: they form none.
        checksum: of its output for noise, rounded; it changes with what the layer computes.
        axes: where the output holds the images.
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
    axes: Axes = Axes()

    @property
    def usable(self) -> bool:
        """Whether it can be recorded and pooled."""
        return self.layout != "other"

    @property
    def width(self) -> int:
        """How many neurons it has, of a layer that can be pooled."""
        assert self.units is not None, f"{self.name} has no units"
        return self.units

    @property
    def spelled(self) -> str:
        """The layout as `--layout` names it."""
        return self.axes.spell(self.layout)

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

    def maps_of(self, output: Tensor, images: Tensor, units: Tensor) -> Tensor:
        """The maps of some pairs of image and unit, `[n, y, x]`, of an output as `axes` arranges
        it, without prefix tokens."""
        assert self.grid is not None
        if self.layout == "NCHW":
            return output[images, units]
        if self.layout == "NHWC":
            return output[images, :, :, units]
        patches = output[:, self.prefix_tokens or 0 :]
        return patches[images, :, units].unflatten(1, self.grid)


#: By module what each of its calls put out; None: no tensor.
_Outputs = dict[str, list[Seen | None]]


def describe_layers(
    target: Any, layout: str | None = None, *, calls: bool = False
) -> list[LayerInfo]:
    """Every module of a target in order, with its output as seen in passes over noise images.

    Args:
        target: the network under study.
        layout: NCHW, NHWC, tokens, tokens-first or NCL, where the guess would be wrong.
        calls: before a module that runs several times, describe each of its calls (`relu#1`, …).

    Raises:
        NeuronymError: the network cannot run on images of its preprocessing's size.
    """
    model, size = target.model, target.preprocess.size
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise NeuronymError(
            f"{target.name} is or holds a TorchScript module, and these cannot be recorded: give "
            "the Python module that it was made from."
        )
    layout = layout_named(layout)
    few = _outputs(target, size)
    again = functools.cache(lambda: _outputs(target, size, seed=1))
    more, larger = _with_more(target, size), None
    modules = Layers(model).once()
    if layout is None and any(_unsure(m, few[name], size) for name, m in modules.items()):
        with contextlib.suppress(NeuronymError):  # many networks take one size only
            larger = _outputs(target, (size[0] + 64, size[1] + 64))
    described = []
    for name, module in modules.items():
        count = len(few[name])
        for call in [*range(count if calls and count > 1 else 0), None]:
            first, second, third = (_call_of(o, name, call, count) for o in (few, more, larger))
            if more is not None and first is not None and second is None:
                second = Seen((), odd="runs another number of times for other images")
            info = _describe(name, module, count, first, second, third, layout, size)
            if info.axes.rows > 1 and not _same_features(name, modules, few):
                none: dict[str, Any] = {"units": None, "prefix_tokens": None, "positions": None}
                info = replace(info, layout="other", axes=Axes(), note=FOLDED, **none)
            alone = info.usable and info.axes.rows == 1
            if first is not None and second is not None and alone:
                steady = first.agrees(second, info.axes.images)
                if not steady:
                    info = _unsteady(info, first, _call_of(again(), name, call, count))
            one = info if call is None else replace(info, name=f"{name}#{call + 1}", calls=1)
            described.append(one)
    prefix = pooling.prefix_tokens_of(model)
    tokens = [i for i in described if i.layout == "tokens" and i.shape and i.axes.rows == 1]
    counts = {info.shape[0] for info in tokens if info.shape}
    return [_with_positions(info, prefix, size, counts) for info in described]


def _unsteady(info: LayerInfo, few: Seen, again: Seen | None) -> LayerInfo:
    """A layer with a note that what it gives for an image is not a matter of that image alone."""
    random = again is None or not few.agrees(again, info.axes.images)
    return replace(info, note="; ".join(filter(None, (info.note, RANDOM if random else MIXED))))


def _with_more(target: Any, size: tuple[int, int]) -> _Outputs | None:
    """What it puts out for another number of images, or None where it takes even ones only, say."""
    try:
        return _outputs(target, size, MORE)
    except NeuronymError as error:
        try:
            _outputs(target, size, 1)
        except NeuronymError:
            raise NeuronymError(
                f"{target.name} runs on {FEW} images at once but neither on 1 nor on {MORE}, and "
                "batches have other sizes: make it take any number (exported networks: with "
                f"dynamic_shapes). {str(error.__cause__).strip().splitlines()[0]}"
            ) from error
        return None


def _call_of(outputs: _Outputs | None, name: str, call: int | None, count: int) -> Seen | None:
    """The output of one call, or of the last; None also where it ran another number of times."""
    if outputs is None or len(outputs[name]) != count or not count:
        return None
    return outputs[name][-1 if call is None else call]


def _unsure(module: nn.Module, calls: Sequence[Seen | None], size: tuple[int, int]) -> bool:
    shapes = [seen.shape[1:] for seen in calls if seen is not None]
    return any(pooling.layout_of(module, shape, size=size).unsure for shape in shapes)


def _same_features(name: str, modules: Mapping[str, nn.Module], few: _Outputs) -> bool:
    """Whether all rows of an output hold the same features: a layer on its last dimension made it.

    So it is with windows, but not with heads, each of which has features of its own.
    """
    wanted = {seen.shape for seen in few[name] if seen is not None}
    inside = [n for n in modules if n == name or n.startswith(f"{name}.")]
    made = [few[n] for n in inside if type(modules[n]) in (nn.Linear, nn.LayerNorm)]
    return any(seen is not None and seen.shape in wanted for calls in made for seen in calls)


def _describe(
    name: str,
    module: nn.Module,
    calls: int,
    few: Seen | None,
    more: Seen | None,
    larger: Seen | None,
    layout: str | None,
    size: tuple[int, int],
) -> LayerInfo:
    params = sum(p.numel() for p in module.parameters() if not nn.parameter.is_lazy(p))
    common = (calls, name.count("."), params)
    kind = type(module).__name__
    if few is None:
        note = "gives no tensor" if calls else "does not run"
        return LayerInfo(name, kind, None, None, "other", *common, note=note)
    axes = few.odd or (more.odd if more else "") or find_axes(few, more, layout)
    if isinstance(axes, str):
        return LayerInfo(name, kind, few.shape[1:], None, "other", *common, note=axes)
    own = axes.shape_of(few.shape)
    alike = larger is not None and axes.rows == 1 and len(larger.shape) == len(few.shape)
    other = axes.shape_of(larger.shape) if larger is not None and alike else None
    told = axes.images and len(few.shape) == 3  # the images behind something: that is tokens-first
    guess = pooling.layout_of(module, own, other, size, None if told else layout)
    if guess.layout == "NCL":
        axes, guess = replace(axes, units_first=True), pooling.Guess("tokens")
        own = own[::-1]
    units = {"NCHW": own[0] if own else None, "other": None}.get(
        guess.layout, own[-1] if own else None
    )
    # Neither in windows nor in what 1-D convolutions put out there is a class token.
    bare = axes.units_first or (axes.rows > 1 and len(few.shape) > 2)
    return LayerInfo(
        name,
        kind,
        own,
        units,
        guess.layout,
        *common,
        prefix_tokens=0 if bare else None,
        note=guess.note,
        checksum=_checksum(few.statistics),
        axes=axes,
    )


def _with_positions(
    info: LayerInfo, prefix: int | None, size: tuple[int, int], counts: Collection[int]
) -> LayerInfo:
    """A layer of tokens with its prefix, and the map that its patches form."""
    if info.layout != "tokens" or info.shape is None:
        return info
    before = info.prefix_tokens
    if before is None:
        before = pooling.prefix_tokens_at(info.shape[0], prefix, size, counts)
    positions = pooling.grid_of(info.shape[0] - (before or 0), size)
    # Windows are not in the order of the map.
    return replace(info, prefix_tokens=before, positions=positions if info.axes.rows == 1 else None)


def _checksum(statistics: torch.Tensor | None) -> str:
    """Three digits of the largest, which a difference in the last bits seldom moves."""
    found = [] if statistics is None else statistics.tolist()
    largest = max(map(abs, found), default=0.0)
    if not math.isfinite(sum(found)) or largest == 0:
        return " ".join(map(str, found))
    digits = 2 - math.floor(math.log10(largest))
    return " ".join(str(round(v, digits) + 0.0) for v in found)


def _outputs(
    target: Any, size: tuple[int, int], images: int = FEW, seed: int | None = None
) -> _Outputs:
    """What every call of every module puts out in one pass.

    Args:
        images: how many. The first two are always the same; the third is another kind of noise, for
            layers that mix images up to show it.
        seed: of the numbers that the network draws; None: another one for more images.
    """
    model = target.model
    modules = Layers(model).once()
    seen: _Outputs = {name: [] for name in modules}

    def hook(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: object, output: object) -> None:
            found = tensor_of(output)
            seen[name].append(None if found is None else look(found))

        return keep

    some = next(model.parameters(), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((FEW, target.preprocess.count, *size), generator=generator)
    if images > FEW:  # the same and others
        others = torch.rand((images - FEW, *noise.shape[1:]), generator=generator) * 4 - 3
        noise = torch.cat([noise, others])
    noise = noise[:images].to(some.device)
    handles = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(hook(name)))
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            # Some networks draw numbers of their own.
            torch.default_generator.manual_seed(max(0, images - FEW) if seed is None else seed)
            run_target(target, noise)
    except NeuronymError:
        raise
    except Exception as error:
        raise NeuronymError(_does_not_run(target, size, error)) from error
    finally:
        for handle in handles:
            handle.remove()
    return seen


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
