"""What layers put out during a forward pass: `with record(model, layers) as outputs`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neuronym._core.checks import misuse, nearest
from neuronym._core.errors import NeuronymError


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


Reduce = Callable[[str, Tensor], Any]


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
