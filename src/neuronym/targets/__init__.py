"""Networks under study, one file per source.

| file | what it opens |
|---|---|
| `efficientnet_lite.py` | `efficientnet-lite0`, `1`, `2`: embedded, no download |
| `torchvision_models.py` | `torchvision:NAME`, and short names such as `resnet50` |
| `timm_models.py` | `timm:NAME` |
| `hf_models.py` | `hf:REPO_OR_PATH` |
| `python_function.py` | `python:MODULE:FUNCTION` |
| `modules.py` | any torch module made in Python |
| `weights.py` | weights from files, verified |
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from neuronym._checks import misuse
from neuronym._names import parse
from neuronym.preprocess import Preprocess
from neuronym.targets import (  # noqa: F401  (registers what it imports)
    efficientnet_lite,
    hf_models,
    python_function,
    timm_models,
    torchvision_models,
)
from neuronym.targets.base import TARGETS, Target
from neuronym.targets.modules import of_module
from neuronym.targets.weights import load_weights

__all__ = ["TARGETS", "Target", "load_weights", "open_target"]


def open_target(
    spec: str | nn.Module | Target,
    *,
    weights: str | Path | None = None,
    preprocess: Preprocess | None = None,
) -> Target:
    """Open the network under study.

    Args:
        spec: a name such as `resnet50`, `timm:vit_tiny_patch16_224` or `python:mynets:small_cnn`,
            a torch module or a target (both set to evaluation mode).
        weights: a file of weights: safetensors, or a state dict or checkpoint of PyTorch.
        preprocess: in place of the preprocessing that comes with the network.

    Returns:
        The network in evaluation mode, on the CPU if it was opened by name.

    Raises:
        UsageError: there is no such network, parameter or file.
        NeuronymError: weights that cannot be downloaded, read or fitted.

    >>> open_target("squeezenet1_1:weights=random").preprocess.size
    (224, 224)
    """
    file = None if weights is None else Path(weights)
    if isinstance(spec, Target | nn.Module):
        target = spec if isinstance(spec, Target) else of_module(spec, preprocess)
        target.model.eval()  # also where it was trained further since
        if file is not None:
            load_weights(target.model, file, name=target.name)
            target = replace(target)  # a fingerprint taken before is that of other weights
    elif isinstance(spec, str):
        name = parse(TARGETS.expand(spec.strip()), "target")
        target = TARGETS[name.kind].make(name, file)
    else:
        raise misuse("target", "a name, a torch module or a Target", spec)
    return target if preprocess is None else replace(target, preprocess=preprocess)
