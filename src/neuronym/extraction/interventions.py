"""Running a network with some of its units changed: ablated, or steered along their direction."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError
from neuronym.extraction.names import Layers, split_call
from neuronym.extraction.passes import LayerPlan, TargetPass
from neuronym.extraction.pooling import pool
from neuronym.extraction.recording import Enough, Recording, in_precision_of, run_target, tensor_of
from neuronym.inputs.targets.base import unwrapped

#: Bytes of a changed layer's output that the rest of a network gets at once.
_FAN_BYTES = 1 << 26
#: Two ways to compute the same may differ by this share of the largest value.
_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Change:
    """What is done to units of one layer: at every position `keep · value + add`.

    The rows of a batch share the change, or each has its own, so that many units can be tested in
    one forward. `zeroed`, `levelled` and `steered` make it.

    Attributes:
        plan: of the layer; one of a layer that runs several times means the call that its name
            says (`relu#2`), else the last.
        units: int64 `[row or 1, k]`, different ones within a row; −1: none.
        keep: 0 replaces the value, 1 adds to it.
        add: float32 `[kind or 1, row or 1, k]`; kind 0 is for positions, kind n for the nth class
            or register token; one kind is for all.
        prefix: whether class and register tokens are changed as well.
    """

    plan: LayerPlan
    units: Tensor
    keep: float
    add: Tensor
    prefix: bool = True

    def take(self, rows: Any) -> Change:
        """The change of some rows of the batch, in their order."""
        place = torch.as_tensor(rows, dtype=torch.int64)
        units = self.units if len(self.units) == 1 else self.units[place]
        add = self.add if self.add.shape[1] == 1 else self.add[:, place]
        return replace(self, units=units, add=add)

    def apply(self, output: Tensor) -> Tensor:
        """What the layer puts out in place of `output`, a tensor of its own of the same shape."""
        info = self.plan.info
        arranged = info.axes.arrange(output).clone()
        last = arranged.movedim(1, -1) if info.layout == "NCHW" else arranged
        if last.shape[-1] != info.units:
            raise NeuronymError(
                f"The layer {info.name} gives {last.shape[-1]} units in place of {info.units} "
                "for some images: choose another one."
            )
        flat = last.unsqueeze(1) if last.ndim == 2 else last
        rows = len(flat)
        units = self.units.to(flat.device).expand(rows, -1)
        add = self.add.to(flat.device).expand(-1, *units.shape)
        row, place = (units >= 0).nonzero(as_tuple=True)
        unit = units[row, place]
        before = (info.prefix_tokens or 0) if info.layout == "tokens" else 0
        parts = [(flat[:, before:], add[0])]
        if self.prefix:
            parts += [(flat[:, n : n + 1], add[min(n + 1, len(add) - 1)]) for n in range(before)]
        for part, more in parts:
            old = part[row, ..., unit]
            new = more[row, place].to(old.dtype).reshape(-1, *(1 for _ in old.shape[1:]))
            # Not 0 · old, which is not 0 where the network gives infinities.
            part[row, ..., unit] = (old + new) if self.keep else new.expand_as(old)
        return info.axes.restore(arranged, output.shape)


def _units_of(plan: LayerPlan, units: Any) -> Tensor:
    """As int64 `[row or 1, k]`, each a unit of the layer or −1."""
    found = torch.as_tensor(np.asarray(units, np.int64))
    found = found.reshape(1, -1) if found.ndim < 2 else found
    if found.numel() and not -1 <= int(found.min()) <= int(found.max()) < plan.info.width:
        wrong = next(int(u) for u in found.flatten() if not -1 <= u < plan.info.width)
        raise misuse("units", f"from 0 to {plan.info.width - 1} in {plan.info.name}", wrong)
    return found


def zeroed(plan: LayerPlan, units: Any, *, prefix: bool = True) -> Change:
    """Units ablated: they put out 0 everywhere.

    Args:
        plan: of their layer.
        units: `[k]` for all rows of a batch, or `[row, k]`, for each row its own; −1: none.
        prefix: also at class and register tokens.
    """
    return Change(plan, _units_of(plan, units), 0.0, torch.zeros(1, 1, 1), prefix)


def levelled(plan: LayerPlan, units: Any, levels: Any, *, prefix: bool = True) -> Change:
    """Units ablated: everywhere they put out their mean.

    Args:
        plan, units, prefix: as for `zeroed`.
        levels: `[kind, unit]` as `ChangedPass.levels` finds them over images, or `[unit]`, such as
            recorded means, for class and register tokens too.
    """
    return _with(plan, units, 0.0, levels, prefix)


def steered(plan: LayerPlan, units: Any, amounts: Any, *, prefix: bool = True) -> Change:
    """Units moved along their direction: an amount is added everywhere.

    Args:
        plan, units, prefix: as for `zeroed`.
        amounts: `[unit]`, in the unit's own scale: steps times its standard deviation over images.
    """
    return _with(plan, units, 1.0, amounts, prefix)


def _with(plan: LayerPlan, units: Any, keep: float, of_unit: Any, prefix: bool) -> Change:
    chosen = _units_of(plan, units)
    values = torch.as_tensor(np.asarray(of_unit, np.float32))
    values = values[None] if values.ndim == 1 else values
    return Change(plan, chosen, keep, values[:, chosen.clamp_min(0)], prefix)


@contextmanager
def changing(
    model: nn.Module, changes: Sequence[Change], rows: Tensor | None = None
) -> Iterator[None]:
    """A network whose units are changed in each forward pass inside the block.

    What comes after a layer sees the changed output, in-place operations too. A module that works
    in place is changed in place, so that a network that reads its input again sees the change.

    Args:
        model: the network.
        changes: of different layers.
        rows: `[row]`: the layer of the one change puts out these rows of its batch, so that what
            comes after it runs for many changes of each image; see `ChangedPass.under`.
    """
    layers = Layers(model)

    def attach(change: Change) -> None:
        name = change.plan.info.name
        module, call = layers.module(name), split_call(name)[1] or change.plan.info.calls
        if name in layers:
            call = change.plan.info.calls
        state: dict[str, Any] = {"calls": 0}

        def before(module: nn.Module, inputs: tuple) -> None:
            state["calls"] += 1
            first = tensor_of(inputs)
            if first is not None and first.is_inference():
                first = None
            state["input"] = (first, first._version) if first is not None else None

        def after(module: nn.Module, inputs: tuple, output: Any) -> Any:
            first, state["input"] = state.pop("input", None), None
            if state["calls"] != call:
                return None
            found = tensor_of(output)
            if found is None or not _has(output, found):
                kind = type(output).__name__ if found is None else "quantised numbers"
                raise NeuronymError(
                    f"The layer {name} gives {kind}, which cannot be changed: choose another one."
                )
            if rows is not None:
                found = found.index_select(change.plan.info.axes.images, rows.to(found.device))
            changed = change.apply(found)
            if first is not None and rows is None and _in_place(first[0], first[1], found):
                found.copy_(changed)
                return None
            return _exchanged(output, tensor_of(output), changed)

        stack.callback(module.register_forward_pre_hook(before).remove)
        stack.callback(module.register_forward_hook(after).remove)
        root = unwrapped(model).register_forward_pre_hook(lambda *_: state.update(calls=0))
        stack.callback(root.remove)

    with ExitStack() as stack:
        for change in changes:
            attach(change)
        yield


@contextmanager
def fed(model: nn.Module, images: Tensor) -> Iterator[None]:
    """The first operation of a network gets these images, whatever the network was given."""
    waiting = [images]

    def swap(module: nn.Module, inputs: tuple) -> Any:
        return (waiting.pop(), *inputs[1:]) if waiting and inputs else None

    with ExitStack() as stack:
        for module in model.modules():
            if not any(module.children()):
                stack.callback(module.register_forward_pre_hook(swap).remove)
        yield


def _in_place(given: Tensor, version: int, output: Tensor) -> bool:
    """Whether a module that was given a tensor wrote its output into it."""
    return given._version > version and given.data_ptr() == output.data_ptr()


def _parts(output: Any) -> Iterator[Any]:
    if isinstance(output, Mapping):
        yield from output.values()
    elif isinstance(output, list | tuple):
        yield from output
    elif dataclasses.is_dataclass(output):
        yield from (getattr(output, field.name) for field in dataclasses.fields(output))


def _has(output: Any, tensor: Tensor) -> bool:
    return output is tensor or any(_has(part, tensor) for part in _parts(output))


def _exchanged(output: Any, old: Tensor | None, new: Tensor) -> Any:
    """A module's output with one tensor in the place of another, wherever that stands."""
    if output is old:
        return new
    if old is None or not _has(output, old):
        return output
    if isinstance(output, Mapping):
        again: Any = copy.copy(output)
        for name, part in output.items():
            again[name] = _exchanged(part, old, new)
        return again
    if isinstance(output, list | tuple):
        parts = [_exchanged(part, old, new) for part in output]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    again = copy.copy(output)
    for field in dataclasses.fields(output):
        object.__setattr__(again, field.name, _exchanged(getattr(output, field.name), old, new))
    return again


@dataclass(frozen=True)
class Fan:
    """How rows are repeated at a changed layer.

    Attributes:
        single: of one image at a time. Where a way around the layer has a row per image, torch adds
            that of one image to all its rows, and of several to none.
        inside: the network is given as many rows as it puts out, and its first operation the
            images: for networks that reshape at their end to the number of rows they were given.
    """

    single: bool
    inside: bool


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a changed network put out.

    Attributes:
        values: by layer: pooled as in a plain run, float32 `[row, unit]`, or as it is put out, with
            the images first.
        output: of the network as a whole (of several tensors the logits, else the first), float32
            `[row, …]`; None: not asked for.
    """

    values: dict[str, np.ndarray]
    output: np.ndarray | None


class ChangedPass(TargetPass):
    """A target whose units are changed as it runs, set up like the pass that makes an atlas.

    `plans` are the layers that are changed or read. Batch norms behind convolutions whose outputs
    are changed are not folded, so the change is what it would be without folding.
    """

    def under(
        self,
        pixels: np.ndarray,
        changes: Sequence[Change] = (),
        wanted: Sequence[str] = (),
        rows: Any = None,
        *,
        raw: bool = False,
        output: bool = True,
    ) -> Outcome:
        """Images through the changed network.

        Args:
            pixels: uint8 `[image, height, width, channel]`, as the target's preprocessing gives.
            changes: of different layers; their rows are those of the result. None: a plain run.
            wanted: layers to read. Of a changed layer the changed values are read.
            rows: `[row]`: which image each row of the result is for, so that many changes can be
                tested on few images; rows of one image stand together. None: one row per image.
                What comes before a changed layer then runs once per image, where the network lets
                its rows be repeated at that layer; that is tried out, and else images are repeated.
            raw: what layers put out as it is, and not pooled.
            output: also what the network puts out.
        """
        place = np.arange(len(pixels)) if rows is None else np.asarray(rows, np.int64)
        fan = None if rows is None else self._fan(pixels, changes, tuple(wanted), raw, output)
        found = []
        with self.running():
            for low, high in self._pieces(place, changes, fan):
                mine = [change.take(range(low, high)) for change in changes]
                images, inverse = np.unique(place[low:high], return_inverse=True)
                repeated = torch.from_numpy(inverse.reshape(-1)) if fan else None
                seen = pixels[images] if fan else pixels[place[low:high]]
                inside = fan is not None and fan.inside
                found.append(self._once(seen, mine, wanted, repeated, raw, output, inside))
        return Outcome(
            {name: np.concatenate([one.values[name] for one in found]) for name in wanted},
            np.concatenate([one.output for one in found]) if output else None,
        )

    def levels(self, layer: str, pixels: np.ndarray) -> np.ndarray:
        """A layer's means over images: `[1 + prefix, unit]`, over positions, then by prefix token.

        Args:
            layer: its name.
            pixels: as for `under`.
        """
        info = self.plans[layer].info
        total: np.ndarray | float = 0.0
        for part in self._parts(pixels):
            values = self.under(part, wanted=[layer], raw=True, output=False).values[layer]
            values = np.moveaxis(values, 1, -1) if info.layout == "NCHW" else values
            flat = values.reshape(len(values), -1, values.shape[-1]).astype(np.float64)
            before = (info.prefix_tokens or 0) if info.layout == "tokens" else 0
            kinds = [flat[:, before:].mean(1), *(flat[:, n] for n in range(before))]
            total = total + np.stack([kind.sum(0) for kind in kinds])
        return np.asarray(total / len(pixels), np.float32)

    def _pieces(
        self, place: np.ndarray, changes: Sequence[Change], fan: Fan | None
    ) -> Iterator[tuple[int, int]]:
        """Where the rows that run at once begin and end."""
        size, breaks = self.at_once, np.array([], np.int64)
        if fan:
            per_row = 4 * int(np.prod(changes[0].plan.info.shape or ()))
            size = max(size, _FAN_BYTES // per_row)
        if fan and fan.single:
            breaks = np.flatnonzero(np.diff(place)) + 1
        for low, high in itertools.pairwise([0, *breaks.tolist(), len(place)]):
            yield from ((at, min(at + size, high)) for at in range(low, high, size))

    def _fan(
        self,
        pixels: np.ndarray,
        changes: Sequence[Change],
        wanted: tuple[str, ...],
        raw: bool,
        output: bool,
    ) -> Fan | None:
        """How rows can be repeated at the changed layer: tried out on an image and its flip."""
        if len(changes) != 1 or changes[0].plan.info.axes.rows > 1:
            return None
        key = (changes[0].plan.info.name, wanted, output)
        if key not in self._fans:
            two, change = np.stack([pixels[0], pixels[0, ::-1]]), changes[0].take([0, 0, 0])

            def agrees(fan: Fan) -> bool:
                place = np.array([0, 0, 0] if fan.single else [0, 1, 1])
                images = two[: place.max() + 1]
                given = (wanted, torch.from_numpy(place), raw, output, fan.inside)
                try:
                    found = self._once(images, [change], *given)
                except Exception:  # whatever torch or the network says to the number of rows
                    return False
                plain = self._once(images[place], [change], wanted, None, raw, output)
                pairs = [(found.values[name], plain.values[name]) for name in wanted]
                if found.output is not None and plain.output is not None:
                    pairs.append((found.output, plain.output))
                return all(_same(a, b) for a, b in pairs)

            ways = (Fan(single, inside) for single in (False, True) for inside in (False, True))
            with self.running():
                self._fans[key] = next((fan for fan in ways if agrees(fan)), None)
        return self._fans[key]

    @property
    def _fans(self) -> dict[Any, Fan | None]:
        return self.__dict__.setdefault("_fans_of", {})

    def _once(
        self,
        pixels: np.ndarray,
        changes: Sequence[Change],
        wanted: Sequence[str],
        rows: Tensor | None,
        raw: bool,
        output: bool,
        fed_inside: bool = False,
    ) -> Outcome:
        batch = self._input(pixels)
        if self._without:
            batch = batch.contiguous(memory_format=self._memory)
        count = len(pixels) if rows is None else len(rows)
        images = in_precision_of(self.target.model, batch) if fed_inside else None
        batch = batch if images is None else batch[:1].expand(count, *batch.shape[1:])
        # Changed layers are recorded, too: they must have run before the pass may end.
        layers = list(dict.fromkeys([*wanted, *(change.plan.info.name for change in changes)]))
        key = ("changed", *layers)
        early = None if output else self._ends.get(key)
        ahead: list[frozenset[int]] = []

        def reduce(layer: str, tensor: Tensor) -> Any:
            if layer not in wanted:
                return None
            plan = self.plans[layer]
            arranged = plan.info.axes.arrange(tensor)
            if raw:
                return arranged.float().cpu().clone()
            try:
                how = (plan.mode, plan.info.layout, plan.info.prefix_tokens)
                return pool(arranged, *how, layer=layer, images=count, grid=None).values.cpu()
            except (NeuronymError, RuntimeError, IndexError) as error:
                return error  # perhaps not the last call, which alone counts

        def whole() -> None:
            if early is not None:
                raise Enough
            ahead.append(self._folding.waiting)

        def run() -> Recording:
            with self._full_vectors(wanted), self._named():
                with fed(self.target.model, images) if images is not None else nullcontext():
                    changed = changing(self.target.model, changes, rows)
                    return run_target(self.target, batch, layers, reduce, whole, changed)

        ran = self._folded(run, early or frozenset())
        if key not in self._ends and not output:
            self._ends[key] = ahead[-1] if ran.repeats_nothing else None
        values = {name: ran[name] for name in wanted}
        for value in values.values():
            if isinstance(value, Exception):
                raise value
        found = None
        if output:
            tensor = tensor_of(ran.output)
            if tensor is None or tensor.shape[:1] != (count,):
                raise NeuronymError(
                    f"{self.target.name} puts out nothing with one row per image, so what a unit "
                    "does to its output cannot be measured."
                )
            found = tensor.detach().float().cpu().numpy()
        return Outcome({name: value.numpy() for name, value in values.items()}, found)


def _same(a: Any, b: Any) -> bool:
    if a.shape != b.shape:
        return False
    largest = np.abs(b[np.isfinite(b)]).max(initial=0.0)
    return bool(np.allclose(a, b, rtol=0, atol=_TOLERANCE * largest, equal_nan=True))
