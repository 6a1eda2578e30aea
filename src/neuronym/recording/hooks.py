"""What layers put out during a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from neuronym._errors import NeuronymError
from neuronym.recording.names import unknown_layer
from neuronym.recording.outputs import tensor_of

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
