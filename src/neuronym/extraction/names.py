"""How layers are named: by patterns, by their calls, and as if no wrapper were there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from neuronym._core.checks import misuse, nearest
from neuronym.extraction.precision import shared
from neuronym.inputs.targets.base import wrapping


class Layers(Mapping[str, nn.Module]):
    """The modules of a network by their dotted names, in order, as if no wrapper were there.

    Attributes:
        first: by the id of a module the name it is described under; it may have several.
        spelled: by name with wrappers in it, as torch spells it (`module.fc`), the name without.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules: dict[str, nn.Module] = {}
        self.first: dict[int, str] = {}
        self.spelled: dict[str, str] = {}
        self._walk(model, "", "")

    def _walk(self, module: nn.Module, name: str, spelled: str) -> None:
        while (part := wrapping(module)) is not None:
            module, spelled = module.get_submodule(part), _join(spelled, part)
            if name:
                self.spelled[spelled] = name
        if name:
            self._modules[name] = module
            self.first.setdefault(id(module), name)
            if spelled != name:
                self.spelled[spelled] = name
        for part, child in module._modules.items():
            if child is not None:
                self._walk(child, _join(name, part), _join(spelled, part))

    def once(self) -> dict[str, nn.Module]:
        """Every module under its first name."""
        return {name: m for name, m in self.items() if self.first[id(m)] == name}

    def find(self, layer: str) -> tuple[str, int | None] | None:
        """The name without wrappers of a layer, and which of its calls is meant: `relu#2`.

        Returns:
            None where there is no such layer, as with a pattern.
        """
        call = None
        if layer not in self._modules and layer not in self.spelled:
            layer, call = split_call(layer)
        name = layer if layer in self._modules else self.spelled.get(layer)
        return None if name is None else (name, call)

    def module(self, layer: str) -> nn.Module:
        """The module of a layer that `find` finds."""
        name, _ = self.find(layer) or (layer, None)
        return self[name]

    def __getitem__(self, name: str) -> nn.Module:
        return self._modules[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


def _join(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def split_call(layer: str) -> tuple[str, int | None]:
    """`relu#2` → `relu` and 2, its second call; without a number: None, the last."""
    found = re.fullmatch(r"(.+)#([1-9]\d*)", layer)
    return (layer, None) if found is None else (found[1], int(found[2]))


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
    Patterns pass over containers that cannot run, such as ModuleList. `relu#2` is the second call
    of a module that runs several times. Names leave out wrappers (`module.`, `_orig_mod.`), and
    with them they are names as well.

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
    every = Layers(network)
    wanted = [
        part
        for text in wanted
        for part in ([text] if text in every else map(str.strip, str(text).split(",")))
        if part
    ]
    if not wanted:
        given = patterns if isinstance(patterns, str) else ",".join(map(str, patterns))
        raise misuse("layers", "name at least one layer", given, "Or leave it out altogether.")
    chosen: set[str] = set()
    for pattern in wanted:
        found = {pattern}
        if every.find(pattern) is None:
            text, call = split_call(pattern)
            shape = re.compile(_regex(text))
            some = [n for n, m in every.once().items() if _runs(m) and shape.fullmatch(n)]
            found = {n if call is None else f"{n}#{call}" for n in some}
        if not found:
            raise unknown_layer(pattern, every, network, title)
        chosen |= found
    place = {name: number for number, name in enumerate(every)}

    def order(layer: str) -> tuple[int, int]:
        name, call = every.find(layer) or (layer, None)
        return place[name], call or sys.maxsize

    return sorted(chosen, key=order)


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


def eager() -> AbstractContextManager[None]:
    """Compiled networks run module by module inside: what is compiled calls no hooks."""
    stance = getattr(torch.compiler, "set_stance", None)  # since torch 2.6
    if stance is None or "torch._dynamo" not in sys.modules:  # nothing is compiled
        return nullcontext()
    return shared("compiled", lambda: stance("force_eager"))


@contextmanager
def on_one_device(model: nn.Module) -> Iterator[None]:
    """Data-parallel parts inside a network see the whole batch, on the device it is on."""
    split = [m for m in model.modules() if isinstance(m, nn.DataParallel) and m.device_ids]
    before = [module.device_ids for module in split]
    for module in split:
        module.device_ids = []
    try:
        yield
    finally:
        for module, devices in zip(split, before, strict=True):
            module.device_ids = devices
