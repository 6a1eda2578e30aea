"""Make torchvision importable beside a CPU-only torch.

The registry's torchvision wheel is built against CUDA torch. Beside a CPU-only torch its compiled
extension does not load, and `import torchvision` then fails with `operator torchvision::nms does
not exist`, because it registers shape functions for operators that the extension would have
defined. Declaring the two operators first lets the import succeed: everything but box suppression
works. timm, open_clip and transformers import torchvision, so this must run before any of them.
Where the extension does load, nothing is touched.
"""

from __future__ import annotations

import functools
import importlib.util
import runpy
import sys
from pathlib import Path


@functools.cache
def prepare_torchvision() -> None:
    """Declare the operators torchvision expects, if its own extension cannot declare them."""
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    import torch

    if _extension_loads():
        return
    signatures = {
        "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    }
    for name, signature in signatures.items():
        if not _declared(name):
            torch.library.define(f"torchvision::{name}", signature)


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """The names of the 1,000 ImageNet classes in their usual order, as torchvision gives them.

    They stand in a file of torchvision that imports nothing; importing torchvision for them would
    cost seconds.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is not None and spec.origin is not None:
        file = Path(spec.origin).parent / "models" / "_meta.py"
        if file.is_file():
            names = runpy.run_path(str(file)).get("_IMAGENET_CATEGORIES", ())
            if len(names) == 1000:
                return tuple(names)
    prepare_torchvision()
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def _extension_loads() -> bool:
    import torch

    spec = importlib.util.find_spec("torchvision")
    assert spec is not None
    assert spec.submodule_search_locations
    for folder in spec.submodule_search_locations:
        for library in sorted(Path(folder).glob("_C.*")) + sorted(Path(folder).glob("_C_stable.*")):
            try:
                torch.ops.load_library(str(library))
            except OSError:
                continue
            if _declared("nms"):
                return True
    return False


def _declared(name: str) -> bool:
    import torch

    try:
        getattr(torch.ops.torchvision, name)
    except (AttributeError, RuntimeError):
        return False
    return True
