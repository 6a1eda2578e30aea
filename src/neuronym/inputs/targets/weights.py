"""Weights from files: read without running code, fitted to the network, verified."""

from __future__ import annotations

import contextlib
import pickletools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.hub import reason

#: Where training code puts the state dict inside a checkpoint, in the order they are looked for.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "teacher",
    "state_dict_ema",
    "model_ema",
    "ema",
    "weights",
    "params",
)

#: What wrappers of networks put before every key.
PREFIXES = (
    "module.",
    "model.",
    "_orig_mod.",
    "backbone.",
    "net.",
    "network.",
    "encoder.",
    "base_model.",
)

_HOW = "Save the weights alone: torch.save(model.state_dict(), 'weights.pth') or safetensors."

#: What training scripts keep beside the weights. Nothing of it is called: `_Beside` stands in its
#: place, and what that is given is dropped.
_NUMPY = ("scalar", "_reconstruct")
#: Bytes of a file among which the names of its parts stand.
_LOOKED_THROUGH = 1 << 22
_BESIDE = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    "_codecs.encode",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in _NUMPY),
)

# torchvision's published densenet files write "norm.1" for what is now called "norm1".
_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")


class _Beside:
    """In the place of something that is no weight; it keeps nothing of what it is made from."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def split_path(path: str | Path) -> tuple[Path, str]:
    """`file.pth#ema` → the file, and which of its state dicts; "" for the usual one."""
    whole = Path(path).expanduser()
    file, mark, part = str(whole).rpartition("#")
    return (Path(file), part) if mark and file and part and not whole.is_file() else (whole, "")


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a safetensors or PyTorch file, taken out of a checkpoint if need be.

    PyTorch files are read with `weights_only=True`: nothing in them is executed.

    Args:
        path: the file; what it holds decides, not what it is called. `file.pth#ema` takes the
            state dict under that key, or keys with dots between them, of a checkpoint.

    Raises:
        UsageError: there is no such file, or nothing under that key in it.
        NeuronymError: it is empty, cut off, text, or holds no weights or more than weights.
    """
    path, part = split_path(path)
    if not path.is_file():
        what = "a folder" if path.is_dir() else "nothing there"
        raise misuse("weights", "an existing file", f"{path} ({what})")
    with open(path, "rb") as file:
        head = file.read(256)
    if not head:
        raise NeuronymError(f"The weights file {path} is empty.")
    if head.startswith(b"version https://git-lfs"):
        raise NeuronymError(
            f"{path} is only a pointer of git-lfs to the weights: fetch them with `git lfs pull`."
        )
    if len(head) > 9 and head[8:9] == b"{":
        data: Any = _read_safetensors(path)
    elif head[:2] != b"PK" and head[:1] != b"\x80" and b"\0" not in head:
        raise NeuronymError(f"{path} is a text file, no weights. {_HOW}")
    else:
        data = _read_torch(path)
    return _part(data, part, path) if part else _unwrap(data, path)


def _part(data: Any, part: str, path: Path) -> dict[str, Tensor]:
    """The state dict under a key."""
    known = {name: _tensors(found) for name, found in _state_dicts(data)}
    if part in known:
        return known[part]
    # safetensors files have no dicts in them, but may have such prefixes.
    inner = {
        k.removeprefix(f"{part}."): v for k, v in _tensors(data).items() if k.startswith(f"{part}.")
    }
    if inner:
        return inner
    names = ", ".join(f"{path.name}#{name}" for name in known)
    has = f"It has these: {names}." if names else f"It has one, without a name: leave #{part} out."
    raise misuse("weights", f"name a state dict of {path}", part, has)


def _state_dicts(data: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Mappings that hold tensors by name, with their keys, dots between them."""
    if not isinstance(data, Mapping) or above.count(".") > 3:
        return
    for key, inner in data.items():
        if isinstance(key, str) and isinstance(inner, Mapping):
            name = f"{above}.{key}" if above else key
            if _tensors(inner):
                yield name, inner
            yield from _state_dicts(inner, name)


def _tensors(data: Any) -> dict[str, Tensor]:
    """Of a mapping the tensors that have names."""
    items = data.items() if isinstance(data, Mapping) else ()
    return {k: v for k, v in items if isinstance(k, str) and isinstance(v, Tensor)}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError) as error:
        raise NeuronymError(
            f"{path} is not a complete safetensors file: {reason(error)}. Was it cut off?"
        ) from error


def _read_torch(path: Path) -> Any:
    safe = getattr(torch.serialization, "safe_globals", None)
    beside = [(_Beside, name) for name in _BESIDE]
    try:
        with safe(beside) if safe else contextlib.nullcontext():
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, among them those for TorchScript archives
        text = str(error)
        if "TorchScript" in text:
            raise NeuronymError(f"{path} is a TorchScript archive, no weights. {_HOW}") from error
        if re.search(r"GLOBAL|Unsupported (?:global|class)", text) or _names_code(path):
            named = re.search(r"GLOBAL ([\w.]+)", text)
            also = f" ({named[1]})" if named else ""
            raise NeuronymError(
                f"{path} holds more than weights{also}, and loading that could run code, so "
                f"neuronym does not. If you trust it, take the weights out of it: {_convert(path)}"
            ) from error
        with open(path, "rb") as file:
            if file.read(2) != b"PK":  # no archive either
                raise NeuronymError(f"{path} is not a PyTorch file. {_HOW}") from error
        raise NeuronymError(
            f"{path} is not a complete PyTorch file: {reason(error)}. Was it cut off?"
        ) from error


def _convert(path: Path) -> str:
    """A line for the shell that writes the weights in a file beside it, running what it holds."""
    with open(path, "rb") as file:
        text = file.read(_LOOKED_THROUGH)
    key = next((k for k in WRAPPERS if b"\x00\x00\x00" + k.encode() + b"q" in text), WRAPPERS[0])
    out = str(path.with_name(f"{path.stem}-weights.pth"))
    steps = (
        "import torch",
        f"d = torch.load({str(path)!r}, 'cpu', weights_only=False)",
        f"d = d.get({key!r}, d) if isinstance(d, dict) else d",
        "d = d.state_dict() if hasattr(d, 'state_dict') else d",
        f"torch.save({{k: v for k, v in d.items() if torch.is_tensor(v)}}, {out!r})",
    )
    return f'python -c "{"; ".join(steps)}"'


def _names_code(path: Path) -> bool:
    """Whether a file is one whole pickle that names functions or classes; nothing is executed."""
    found = False
    try:
        with open(path, "rb") as file:
            if file.read(2)[:1] != b"\x80":
                return False
            file.seek(0)
            for step, _, _ in pickletools.genops(file):
                found = found or step.name in ("GLOBAL", "STACK_GLOBAL", "INST")
    except Exception:  # of many kinds, for bytes that are no pickle
        return False
    return found


def _unwrap(data: Any, path: Path) -> dict[str, Tensor]:
    found = data
    for _ in range(4):
        if not isinstance(found, Mapping):
            break
        tensors = _tensors(found)
        inner = next((found[k] for k in WRAPPERS if isinstance(found.get(k), Mapping)), None)
        if inner is None or (tensors and not _has_tensors(inner)):
            if tensors:
                return tensors
            break
        found = inner
    keys = f" (its keys are {', '.join(map(str, list(data)[:5]))})" if _keyed(data) else ""
    others = ", ".join(f"{path.name}#{name}" for name, _ in _state_dicts(data))
    how = f"It has these state dicts: {others}." if others else _HOW
    raise NeuronymError(f"{path} holds no weights by name{keys}. {how}")


def _has_tensors(data: Any) -> bool:
    return isinstance(data, Mapping) and any(
        isinstance(v, Tensor) or _has_tensors(v) for v in data.values()
    )


def _keyed(data: Any) -> bool:
    return isinstance(data, Mapping) and len(data) > 0


def load_weights(
    model: nn.Module,
    path: str | Path,
    *,
    name: str = "",
    rebuild: Callable[[int], nn.Module] | None = None,
) -> nn.Module:
    """Load a file of weights into a network, complete and of the right shapes, or not at all.

    Prefixes that wrappers leave (`module.`, `model.`, `_orig_mod.`, `backbone.`, …) are taken off
    where that makes the names match; what else the file holds beside such a prefix is left out.
    Numbers are converted to the network's precision.

    Args:
        model: the network, changed in place.
        path: the file.
        name: the network's name, for messages.
        rebuild: makes the network with another number of classes. With it, a file whose only
            other shapes are those of a head of n classes gives a network of n classes.

    Returns:
        The network with the weights: `model`, or the one rebuilt.

    Raises:
        UsageError: there is no such file.
        NeuronymError: it holds no weights, or not those of this network.
    """
    found = read_weights(path)
    wanted = model.state_dict()
    found = _matching(found, wanted)
    if rebuild is not None and (classes := _other_head(found, wanted)):
        model = rebuild(classes)
        wanted = model.state_dict()
    problems = _problems(found, wanted)
    if problems:
        what = name or type(model).__name__
        raise NeuronymError(
            f"The weights in {path} do not fit {what}: {'; '.join(problems)}."
            f"{_remedy(found, wanted)}"
        )
    fitting = {key: value for key, value in found.items() if key in wanted}
    model.load_state_dict(fitting, strict=False)
    return model


def _matching(found: dict[str, Tensor], wanted: Mapping[str, Any]) -> dict[str, Tensor]:
    """The file's tensors under the names that fit the network best."""
    found = {_DENSENET.sub(r"\1\2", k) if k not in wanted else k: v for k, v in found.items()}
    for _ in range(4):
        best = sum(key in wanted for key in found)
        choice = None
        for prefix in PREFIXES:
            inner = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
            hits = sum(key in wanted for key in inner)
            if hits > best or (hits == best == 0 and len(inner) == len(found)):
                best, choice = hits, inner
                if hits:
                    continue
                break
        if choice is None:
            break
        found = choice
    return found


def _spare(key: str) -> bool:
    # A counter that old files lack and that evaluation does not use.
    return key.endswith("num_batches_tracked")


def _problems(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    shared = [key for key in wanted if key in found]
    shapes = [
        f"{key} is {list(found[key].shape)} in the file, {list(wanted[key].shape)} in the network"
        for key in shared
        if found[key].shape != wanted[key].shape
    ]
    kinds = [
        f"{key} is {found[key].dtype} in the file, {wanted[key].dtype} in the network"
        for key in shared
        if found[key].is_floating_point() != wanted[key].is_floating_point()
    ]
    missing = [key for key in wanted if key not in found and not _spare(key)]
    surplus = [key for key in found if key not in wanted and not _spare(key)]
    listed = []
    for what, keys in (
        ("of another shape", shapes),
        ("of another type", kinds),
        ("missing from the file", missing),
        ("unknown to the network", surplus),
    ):
        if keys:
            more = ", …" if len(keys) > 3 else ""
            listed.append(f"{len(keys)} {what} ({', '.join(keys[:3])}{more})")
    return listed


def _other_head(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> int | None:
    """The number of classes of the file's head, if that is all in which its shapes differ."""
    shapes = {k: (found[k].shape, wanted[k].shape) for k in wanted if k in found}
    differing = {k: (f, w) for k, (f, w) in shapes.items() if f != w}
    last = next((k for k in reversed([*wanted]) if not _spare(k)), "").rpartition(".")[0]
    if last not in {k.rpartition(".")[0] for k in differing}:
        return None
    alike = all(len(f) == len(w) > 0 and f[1:] == w[1:] for f, w in differing.values())
    counts = {(f[0], w[0]) for f, w in differing.values()} if differing and alike else set()
    return counts.pop()[0] if len(counts) == 1 else None


def _remedy(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    classes = _other_head(found, wanted)
    if classes:
        return f" Its head is for {classes} classes: make the network with num_classes={classes}."
    hits = sum(key in found for key in wanted)
    if hits < len(wanted) / 2:
        return " These are the weights of another network."
    return " Were they saved from a changed version of this network?"
