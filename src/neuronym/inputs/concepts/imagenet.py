"""The 1,000 class names of ImageNet, from torchvision's weights."""

from __future__ import annotations

from neuronym._core import torchvision_compat
from neuronym._core.registry import Name, known_params
from neuronym.inputs.concepts.base import CONCEPTS, Annotated


@CONCEPTS.register("imagenet")
def imagenet(name: Name, probe: Annotated | None) -> list[str]:
    """The 1,000 class names of ImageNet-1k in class order, case kept.

    "Cardigan" is the dog and "cardigan" the garment: case tells them apart.
    """
    known_params(name)
    return list(torchvision_compat.imagenet_names())
