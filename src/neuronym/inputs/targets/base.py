"""What a target is: the network under study, ready to run, with its preprocessing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from neuronym._core import module_fingerprint
from neuronym._core.checks import Verbatim, misuse
from neuronym._core.registry import Registry, parse
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.preprocess.published import from_timm
from neuronym.inputs.targets._options import without_downloads
from neuronym.inputs.targets.weights import load_weights

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
TARGETS = Registry("target", "targets", "neuronym.inputs.targets")


def _call(model: torch.nn.Module, batch: torch.Tensor) -> Any:
    return model(batch)


@dataclass(frozen=True, eq=False)
class Target:
    """The network under study.

    Attributes:
        name: the full name that opens it again, or a description.
        model: set to evaluation mode; on the CPU until a pass moves it.
        preprocess: from a decoded image to its input.
        class_names: what the units of the output layer stand for, if known.
        forward: runs the model on a float batch `[image, 3, height, width]`.
        pretrained: False when the weights are random.
        maker: the user's function that made it: its files count in the fingerprint.
    """

    name: str
    model: torch.nn.Module
    preprocess: Preprocess
    class_names: tuple[str, ...] | None = None
    forward: Callable[[torch.nn.Module, torch.Tensor], Any] = _call
    pretrained: bool = True
    maker: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        try:
            self.model.eval()
        except NotImplementedError:  # the module of an exported program
            raise _exported(self.model) from None

    @cached_property
    def fingerprint(self) -> str:
        """Of structure, source code, `forward` and the bytes of all weights; not of the name."""
        return module_fingerprint.of_module(self.model, self.forward, self._makers_file())

    def _makers_file(self) -> Any:
        # The module, and not the function: two functions may make the same network.
        return None if self.maker is None else sys.modules.get(self.maker.__module__)


def wrapping(module: nn.Module) -> str | None:
    """The name under which a wrapper keeps what it wraps; None: it is no wrapper."""
    if isinstance(module, _WRAPPERS):
        return "module"
    # By its name, because importing its class takes a second.
    return "_orig_mod" if type(module).__name__ == "OptimizedModule" else None


def unwrapped(model: nn.Module) -> nn.Module:
    """The network without the wrappers around it."""
    while (part := wrapping(model)) is not None:
        model = model.get_submodule(part)
    return model


def _exported(program: Any) -> Exception:
    return misuse(
        "target",
        "a network made of modules",
        Verbatim(f"{type(program).__name__} from torch.export, which has no layers"),
        "Give the Python module that it was exported from, or torch.export.unflatten(program) if "
        "it was exported with dynamic_shapes for the batch.",
    )


def of_module(model: nn.Module, preprocess: Preprocess | None = None, name: str = "") -> Target:
    """A torch module as a target, set to evaluation mode.

    Args:
        model: sees `[image, 3, height, width]`.
        preprocess: from a decoded image to its input. None: that of timm's configuration if the
            module carries one, else ImageNet's (resize to 256, centre crop of 224).
        name: what to call it; default: its class.
    """
    names = None
    config = getattr(model, "config", None)
    if hasattr(config, "id2label"):
        from neuronym.inputs.targets.hf_models import class_names, vision_side

        model = vision_side(model)
        names = class_names(config, model)
    if preprocess is None:
        preprocess = _stated(model)
    return Target(name or type(model).__name__, model, preprocess, names)


def _stated(model: Any) -> Preprocess:
    if getattr(model, "pretrained_cfg", None):
        return from_timm(model)
    size = getattr(getattr(model, "config", None), "image_size", None)
    if isinstance(size, int):
        return Preprocess((size, size), round(size / 0.875))
    return Preprocess()


def open_target(
    spec: str | nn.Module | Target,
    *,
    weights: str | Path | None = None,
    preprocess: Preprocess | None = None,
    download: bool = True,
) -> Target:
    """Open the network under study.

    Args:
        spec: a name such as `resnet50`, `timm:vit_tiny_patch16_224` or `python:mynets:small_cnn`,
            a torch module or a target (both set to evaluation mode).
        weights: a file of weights: safetensors, or a state dict or checkpoint of PyTorch.
        preprocess: in place of the preprocessing that comes with the network.
        download: False: draw weights at random that would be downloaded; the layers are the same.

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
            load_weights(unwrapped(target.model), file, name=target.name)
            target = replace(target)  # a fingerprint taken before is that of other weights
    elif isinstance(spec, str):
        name = parse(TARGETS.expand(spec.strip()), "target")
        with nullcontext() if download else without_downloads():
            target = TARGETS[name.kind].make(name, file)
    elif isinstance(spec, torch.export.ExportedProgram):
        raise _exported(spec)
    else:
        raise misuse("target", "a name, a torch module or a Target", spec)
    return target if preprocess is None else replace(target, preprocess=preprocess)
