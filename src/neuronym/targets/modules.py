"""A torch module made in Python as a target."""

from __future__ import annotations

from typing import Any

from torch import nn

from neuronym.preprocess import Preprocess, from_timm
from neuronym.targets.base import Target


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
        from neuronym.targets.hf_models import class_names, vision_side

        model = vision_side(model)
        names = class_names(config, model)
    if preprocess is None:
        preprocess = _stated(model)
    return Target(name or type(model).__name__, model.eval(), preprocess, names)


def _stated(model: Any) -> Preprocess:
    if getattr(model, "pretrained_cfg", None):
        return from_timm(model)
    size = getattr(getattr(model, "config", None), "image_size", None)
    if isinstance(size, int):
        return Preprocess((size, size), round(size / 0.875))
    return Preprocess()
