"""Fingerprints of networks: of what they compute, not of how they came to be."""

from __future__ import annotations

import ast
import dataclasses
import dis
import enum
import functools
import inspect
import re
import sys
import types
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from neuronym._core.hashing import of_array, of_bytes

# What attributes say about a module's state, history or origin, not about what it computes.
_STATE = {
    "training",
    "_is_full_backward_hook",
    "_is_hf_initialized",
    "name_or_path",
    "warnings_issued",
    "pretrained_cfg",
    "default_cfg",
    "hf_device_map",
}
_CLASS_STATE = {
    "__module__",
    "__doc__",
    "__dict__",
    "__weakref__",
    "__annotations__",
    "__qualname__",
    "__firstlineno__",
    "__static_attributes__",
    "__parameters__",
    "__orig_bases__",
    "_abc_impl",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__match_args__",
    "__abstractmethods__",
    "__annotate__",
    "__annotations_cache__",
    "__annotate_func__",
}
_NESTED = 40  # how deep values are followed
_MANY = 50_000  # how many are
_FILES = 200  # how many of the user's own files are read
#: Where 0.1.0 had those of our own things that a network can hold. Their names are part of
#: fingerprints that lie in atlases and caches, so they stay what they were wherever the code goes.
_FORMER = {
    "_call": "neuronym.targets.base",
    "Annotation": "neuronym.probes.base",
    "Atlas": "neuronym.atlas",
    "ConceptSet": "neuronym.concepts.base",
    "Encoder": "neuronym.encoders.base",
    "Labeller": "neuronym.labellers.base",
    "Labels": "neuronym.labellers.base",
    "LayerLabels": "neuronym.labellers.base",
    "Mask": "neuronym.probes.base",
    "NeuronymError": "neuronym._errors",
    "Preprocess": "neuronym.preprocess.base",
    "Probe": "neuronym.probes.base",
    "RawImage": "neuronym.probes.base",
    "Similarity": "neuronym.similarity.base",
    "Target": "neuronym.targets.base",
    "Unit": "neuronym.unit",
    "UsageError": "neuronym._errors",
    "analyse": "neuronym.api",
    "compare": "neuronym.report.compare",
    "dissect": "neuronym.api",
    "label": "neuronym.api",
    "open_atlas": "neuronym.atlas",
    "record": "neuronym.recording.hooks",
}


def of_module(model: Any, *others: Any) -> str:
    """Fingerprint of what a torch module computes, and of functions that belong to it.

    Two networks get the same fingerprint only if all of these agree: the tree of modules with the
    attributes of each (functions by their code), hooks, parameters and buffers byte by byte, the
    source of every class from outside torch, and for classes and functions of the user's own files
    the whole files, with those of his own that they import. Left out is what differs between
    processes or follows from a pass: addresses, devices, the training flag, caches, and attributes
    that `forward` itself sets. Of other objects only the type counts.

    Args:
        model: the network.
        others: functions such as the one that runs the network, or the one that made it.
    """
    content = _Content(model)
    # Addresses of functions in a repr would differ in every process.
    parts = [re.sub(r" at 0x[0-9a-fA-F]+", "", repr(model)).encode("utf-8", "surrogatepass")]
    for path, module in model.named_modules():
        parts += [path.encode("utf-8", "surrogatepass"), content.module(module)]
    parts += [content.value(other) for other in others]
    tensors = dict(model.state_dict(keep_vars=False))
    tensors |= {f"buffer {name}": value for name, value in model.named_buffers()}
    for name, value in sorted(tensors.items()):
        if isinstance(value, torch.Tensor):
            parts += [name.encode(), content.tensor(value)]
        else:
            parts += [name.encode(), content.value(value)]
    parts += [part for key in sorted(content.files) for part in (key.encode(), content.files[key])]
    return of_bytes(*parts)


def _digest(*parts: str | bytes) -> bytes:
    chunks = [p.encode("utf-8", "surrogatepass") if isinstance(p, str) else p for p in parts]
    return of_bytes(*chunks).encode()


def _name(thing: Any) -> str:
    """A dotted name; of our own things one that does not follow the module they lie in."""
    module = getattr(thing, "__module__", None)
    name = getattr(thing, "__qualname__", "?")
    if isinstance(module, str) and module.partition(".")[0] == "neuronym":
        module = _FORMER.get(name.partition(".")[0], "neuronym")
    return f"{module}.{name}"


@functools.cache
def _source(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return ""  # defined interactively: what it is made of still counts


def _own(name: object) -> bool:
    """Whether a module is the user's: neither installed, nor Python's, nor this package's."""
    if not isinstance(name, str) or name not in sys.modules:
        return False
    root = name.partition(".")[0]
    if root in sys.stdlib_module_names or root in ("torch", "builtins", "neuronym"):
        return name == "__main__"
    file = str(getattr(sys.modules[name], "__file__", None) or "")
    return not {"site-packages", "dist-packages"} & set(Path(file).parts)


class _Content:
    """Digests of values by what they hold; the same in every process."""

    def __init__(self, model: Any) -> None:
        self.files: dict[str, bytes] = {}
        self._inside = {id(m): path for path, m in model.named_modules()}
        self._known: dict[int, tuple[Any, bytes]] = {}  # keeps the object: ids are used again
        self._open: list[int] = []
        self._left = _MANY
        self._internal = set(vars(nn.Module())) | _STATE

    def value(self, value: Any) -> bytes:
        """Of anything; for what cannot be told, of its type."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            return _digest(type(value).__name__, repr(value))
        if id(value) in self._known:
            return self._known[id(value)][1]
        if id(value) in self._open or len(self._open) > _NESTED or self._left <= 0:
            return _digest("again", _name(type(value)))
        self._open.append(id(value))
        self._left -= 1
        try:
            found = _digest(_name(type(value)), *self._parts(value))
        except Exception:  # objects that fail when they are looked at
            found = _digest(_name(type(value)))
        finally:
            self._open.pop()
        self._known[id(value)] = (value, found)
        return found

    def _parts(self, value: Any) -> Iterable[str | bytes]:
        if isinstance(value, torch.Tensor):
            return [self.tensor(value)]
        if isinstance(value, torch.nn.Module):
            inside = self._inside.get(id(value))
            return [self._whole(value) if inside is None else f"module {inside}"]
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            return [self.value(array.tolist()) if array.dtype.hasobject else of_array(array)]
        if isinstance(value, torch.dtype | torch.memory_format | torch.layout | range | slice):
            return [repr(value)]
        if isinstance(value, Mapping):
            items = [self.value(k) + self.value(v) for k, v in value.items() if not _cache(k)]
            return sorted(items)
        if isinstance(value, set | frozenset):
            return sorted(self.value(v) for v in value)
        if isinstance(value, list | tuple | deque):
            return [self.value(v) for v in value]
        if isinstance(value, enum.Enum):
            return [value.name]
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return [self.value(value.__func__), self.value(value.__self__)]
        if isinstance(value, types.BuiltinFunctionType | types.MethodDescriptorType):
            return [_name(value)]
        if isinstance(value, functools.partial):
            return [self.value(v) for v in (value.func, value.args, value.keywords)]
        if isinstance(value, types.ModuleType):
            self._file(value.__name__)
            return [value.__name__]
        if isinstance(value, re.Pattern | Path):
            return [str(value)]
        if isinstance(value, property):
            return [self.value(v) for v in (value.fget, value.fset)]
        if isinstance(value, staticmethod | classmethod) or hasattr(value, "__wrapped__"):
            return [self.value(value.__wrapped__)]
        if type(value).__module__.startswith("transformers."):
            return []  # a configuration also says where it was read from
        own = _own(type(value).__module__)
        if own or dataclasses.is_dataclass(value) or isinstance(value, types.SimpleNamespace):
            fields = dict(getattr(value, "__dict__", {}))
            for base in type(value).__mro__:
                slots = base.__dict__.get("__slots__", ())
                for slot in [slots] if isinstance(slots, str) else slots:
                    if hasattr(value, slot) and not slot.startswith("__"):
                        fields[slot] = getattr(value, slot)
            return [self.value(type(value)), self.value(fields)]
        return [getattr(value, "__qualname__", "")]

    def tensor(self, tensor: Any) -> bytes:
        """Of dtype, shape and values."""
        head = f"{tensor.dtype}:{tuple(tensor.shape)}"
        try:
            data = tensor.detach().cpu().contiguous()
            raw = data.reshape(-1).view(torch.uint8).numpy() if data.numel() else b""
        except (RuntimeError, NotImplementedError, TypeError):  # sparse, quantised, or no values
            return _digest(head, "" if tensor.is_meta else repr(tensor))
        return _digest(head, of_bytes(memoryview(raw)))

    def module(self, module: Any) -> bytes:
        """Of a module's class, attributes and hooks; not of its children and tensors."""
        if type(module).__module__.startswith("torch._dynamo"):
            return _digest("compiled")  # a wrapper: the network in it counts
        skip = self._internal | self._set_by_forward(type(module))
        plain = {k: v for k, v in vars(module).items() if k not in skip}
        if any(base.__module__.startswith("transformers.") for base in type(module).__mro__):
            # How it was loaded is kept under such names.
            plain = {k: v for k, v in plain.items() if not k.startswith("_")}
        hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        return _digest(self.value(type(module)), self.value(plain), self.value(hooks))

    def _whole(self, model: Any) -> bytes:
        """Of a module that hangs on the network without being part of it."""
        parts = [self.module(part) for part in model.modules()]
        return _digest(*parts, *(self.value(v) for v in model.state_dict().values()))

    def _set_by_forward(self, kind: type) -> set[str]:
        names: set[str] = set()
        for base in kind.__mro__:
            forward = base.__dict__.get("forward")
            if isinstance(forward, types.FunctionType) and _own(base.__module__):
                steps = dis.get_instructions(forward)
                names |= {str(s.argval) for s in steps if s.opname == "STORE_ATTR"}
        return names

    def _class(self, kind: type) -> Iterable[str | bytes]:
        parts: list[str | bytes] = [_name(kind)]
        for base in kind.__mro__:
            root = base.__module__.partition(".")[0]
            if root in ("torch", "builtins") or base is object:
                continue
            parts.append(_name(base))
            if not _own(base.__module__):
                own: Any = base
                parts.append(_source(own) if issubclass(base, nn.Module) else "")
                continue
            self._file(base.__module__)
            skip = _CLASS_STATE | self._set_by_forward(base)
            fields = {k: v for k, v in base.__dict__.items() if k not in skip}
            parts.append(self.value(fields))
        return parts

    def _function(self, function: types.FunctionType) -> Iterable[str | bytes]:
        if not _own(function.__module__):
            known = _name(function)
            bound = function.__closure__ if known.startswith("neuronym.") else None
            return [known, *(self.value(c.cell_contents) for c in bound or ())]
        self._file(function.__module__)
        codes = list(_codes(function.__code__))
        names = {name for code in codes for name in code.co_names}
        steps = [step for code in codes for step in dis.get_instructions(code)]
        stored = {str(s.argval) for s in steps if s.opname in ("STORE_GLOBAL", "STORE_DEREF")}
        # A function that fills lists or dictionaries keeps a log in them.
        fills = bool(names & {"append", "extend", "add", "update", "setdefault"})
        fills = fills or any(s.opname in ("STORE_SUBSCR", "DELETE_SUBSCR") for s in steps)

        def counts(name: str, value: Any) -> bool:
            return name not in stored and not (fills and isinstance(value, list | dict | set))

        parts: list[str | bytes] = [_name(function), *map(self._code, codes)]
        parts += [self.value(function.__defaults__), self.value(function.__kwdefaults__)]
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            try:
                held = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            if counts(name, held):
                parts += [name, self.value(held)]
        for name in sorted(names & function.__globals__.keys()):
            held = function.__globals__[name]
            if counts(name, held) and not isinstance(held, list | set):
                parts += [name, self.value(held)]
        return parts

    def _code(self, code: types.CodeType) -> bytes:
        consts = [c for c in code.co_consts if not isinstance(c, types.CodeType)]
        names = (code.co_names, code.co_varnames, code.co_freevars)
        return _digest(code.co_code, self.value(consts), repr(names))

    def _file(self, name: str) -> None:
        """Take in the file of one of the user's modules, and those that it imports."""
        if name in self.files or not _own(name) or len(self.files) >= _FILES:
            return
        file = getattr(sys.modules[name], "__file__", None)
        if not file or not str(file).endswith(".py"):
            return
        try:
            text = Path(file).read_bytes()
            tree = ast.parse(text)
        except (OSError, SyntaxError, ValueError):
            return
        self.files[name] = of_bytes(text).encode()
        package = getattr(sys.modules[name], "__package__", None) or ""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                parents = package.split(".")[: len(package.split(".")) + 1 - node.level]
                start = [*(parents if node.level else []), *filter(None, [node.module])]
                found = [".".join(start), *(".".join([*start, a.name]) for a in node.names)]
            else:
                continue
            for other in found:
                self._file(other)


def _cache(key: object) -> bool:
    return isinstance(key, str) and "cache" in key.lower()


def _codes(code: types.CodeType) -> Iterable[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _codes(const)
