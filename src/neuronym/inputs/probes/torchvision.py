"""Data sets of torchvision by the name of their class, downloaded where the network allows."""

from __future__ import annotations

import contextlib
import inspect
import sys
from pathlib import Path
from typing import Any

from neuronym._core import torchvision_compat
from neuronym._core.checks import Verbatim, misuse, nearest
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.registry import Name, known_params, write
from neuronym.inputs.probes.base import CLASS, PROBES, DatasetProbe, Probe, valid_text

#: Data sets whose classes are not simply objects get the categories that Broden uses.
_CATEGORIES = {"DTD": "texture", "Places365": "scene", "SUN397": "scene"}
_OURS = {"root", "transform", "transforms", "target_transform", "download", "loader", "kwargs"}
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


@PROBES.register(
    "torchvision",
    syntax="torchvision:DATASET[,split=…][,root=DIR][,…]",
    example="torchvision:CIFAR100,split=train",
)
def open_torchvision(name: Name) -> Probe:
    """An image classification data set of torchvision; its class names become labels.

    The other parameters are those of the data set's class, for example `partition=1` of DTD.

    Raises:
        UsageError: no such data set, split or parameter.
        NeuronymError: it is not on this machine and cannot be downloaded.
    """
    torchvision_compat.prepare_torchvision()
    from torchvision import datasets

    kind = _class(datasets, name)
    dataset = _open(kind, name)
    return DatasetProbe(
        dataset,
        valid_text(write(name)),
        category=_CATEGORIES.get(kind.__name__, CLASS),
        parallel=_reads_files(kind),
        rename=_readable_path,
    )


def _class(datasets: Any, name: Name) -> type:
    known = {entry: getattr(datasets, entry) for entry in datasets.__all__}
    known = {entry: kind for entry, kind in known.items() if inspect.isclass(kind)}
    if name.detail in known:
        return known[name.detail]
    got = name.detail or Verbatim(f"{write(name)} without a data set")
    near = nearest(name.detail, known) if name.detail else []
    remedy = f"Nearest: {', '.join(near)}." if near else "For example torchvision:CIFAR100."
    raise misuse("probe", "torchvision:DATASET, a class of torchvision.datasets", got, remedy)


def _reads_files(kind: type) -> bool:
    """Whether it reads image files with a function that can be given to it."""
    from torchvision.datasets import ImageFolder

    return "loader" in inspect.signature(kind).parameters or issubclass(kind, ImageFolder)


def _open(kind: type, name: Name) -> Any:
    accepted = inspect.signature(kind).parameters
    own = {key: entry for key, entry in accepted.items() if key not in _OURS}
    splits = ("split",) if {"split", "train"} & own.keys() else ()
    known_params(name, *splits, *(key for key in own if key not in (*splits, "train")), "root")
    settings: dict[str, Any] = {}
    for key, text in name.params.items():
        if key == "split" and "split" not in own:
            settings["train"] = _is_train(text)
        elif key != "root":
            settings[key] = _value(key, text, own[key].default)
    if "root" in accepted:
        root = Path(name.params.get("root") or _default_root()).expanduser()
        settings["root"] = str(root)
    if _reads_files(kind):
        # The encoded file instead of decoded pixels: it is hashed, and decoded in our threads.
        settings["loader"] = Path
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return _on_disk_or_downloaded(kind, settings, "download" in accepted)
    except (NeuronymError, ImportError):
        raise
    except (TypeError, ValueError) as error:
        raise UsageError(f"torchvision's {kind.__name__} cannot be opened: {error}") from error
    except Exception as error:
        raise NeuronymError(_cannot_get(kind, settings, error)) from error


def _on_disk_or_downloaded(kind: type, settings: dict[str, Any], download: bool) -> Any:
    if not download:
        return kind(**settings)
    try:
        return kind(**settings)
    except (RuntimeError, FileNotFoundError):  # what is not there is looked for on the network
        Path(settings["root"]).mkdir(parents=True, exist_ok=True)
        return kind(**settings, download=True)


def _cannot_get(kind: type, settings: dict[str, Any], error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"torchvision's {kind.__name__} is not in {settings.get('root', 'its folder')} and could "
        f"not be downloaded: {reason[:300].rstrip('.')}. Put it there or name its place with "
        "root=DIR, use your own images with folder:PATH, or the embedded probe `synthetic`."
    )


def _default_root() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("neuronym")) / "torchvision"


def _is_train(text: str) -> bool:
    if text not in ("train", "test", "val"):
        raise misuse("split", "train or test", text)
    return text == "train"


def _value(key: str, text: str, default: Any) -> Any:
    """Text as the type of the parameter's default."""
    if isinstance(default, bool):
        if text.lower() not in _TRUE + _FALSE:
            raise misuse(key, "true or false", text)
        return text.lower() in _TRUE
    if isinstance(default, int | float):
        try:
            return type(default)(text)
        except ValueError:
            raise misuse(key, "a number", text) from None
    if default is None and text.isdecimal():
        return int(text)
    if isinstance(default, tuple):
        if not all(part.isdecimal() for part in text.split("x")):
            raise misuse(key, "numbers with x between them, such as 3x32x32", text)
        return tuple(int(part) for part in text.split("x"))
    return text


def _readable_path(name: str) -> str:
    """Places365 writes its classes as paths: `/a/airport_terminal` → `airport_terminal`."""
    return name.split("/", 2)[-1] if name.startswith("/") and name.count("/") >= 2 else name


for _short, _full in (("cifar10", "CIFAR10"), ("cifar100", "CIFAR100"), ("dtd", "DTD")):
    PROBES.alias(_short, f"torchvision:{_full}")
