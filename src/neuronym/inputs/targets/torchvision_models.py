"""Networks of torchvision."""

from __future__ import annotations

import hashlib
import re
import sys
import urllib.error
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neuronym._core.checks import Verbatim, missing_extra, misuse, nearest
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.hub import quiet, reachable, reason
from neuronym._core.registry import Name
from neuronym._core.storage import cannot_write
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.preprocess.published import from_torchvision
from neuronym.inputs.targets._options import downloads, seeded, source, spell
from neuronym.inputs.targets.base import PARTS, TARGETS, UNKNOWN, Origin, Target
from neuronym.inputs.targets.weights import load_weights

for _short in (
    "alexnet",
    "convnext_base",
    "convnext_small",
    "convnext_tiny",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "regnet_y_8gf",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "swin_b",
    "swin_s",
    "swin_t",
    "vgg11",
    "vgg16",
    "vgg19",
    "vit_b_16",
    "vit_b_32",
    "vit_l_16",
    "wide_resnet50_2",
):
    TARGETS.alias(_short, f"torchvision:{_short}")


@TARGETS.register("torchvision", syntax="torchvision:NAME", example="torchvision:resnet50")
def torchvision_target(name: Name, weights: Path | None) -> Target:
    """Any classification or segmentation network of torchvision, with its published weights.

    Without parameters the weights are torchvision's current best (`DEFAULT`), downloaded once.
    A file of weights is recognised as a published one by the hash that torchvision states; its
    preprocessing is then used. The first published one's (for most networks the plain resize to
    256 and centre crop of 224) goes with other files.

    Args:
        name: the parameter `weights` is a published set (IMAGENET1K_V1, …), a file, or `random`
            (with `seed`).
        weights: a file of weights. Its head may have any number of classes.

    Raises:
        UsageError: the name, or the name of the weights, is unknown.
        NeuronymError: the weights cannot be downloaded or do not fit.
    """
    prepare_torchvision()
    try:
        import torchvision  # noqa: F401
    except ImportError:
        raise missing_extra("The target torchvision", "torchvision", "all") from None
    _known(name.detail)
    where = source(name, weights)
    published = _published(name.detail)
    if where.random:
        with seeded(where.seed or 0):
            model = _build(name.detail, None)
        seen = _seen(published[0] if published else None)
        return Target(spell(name), model.eval(), **seen, pretrained=False)
    if where.file is not None:
        file: Path | None = where.file.expanduser()
        known = _recognise(where.file.expanduser(), published)
        entry = known or (published[0] if published else None)
    else:
        entry = known = _entry(name, where.published, published)
        file = _download(name, entry) if downloads() else None

    def rebuild(classes: int) -> nn.Module:
        return _build(name.detail, entry, num_classes=classes)

    shown = spell(name)
    with seeded(0):
        model = _build(name.detail, entry)
    if file is not None:
        model = load_weights(model, file, name=shown, rebuild=rebuild).eval()
    names = tuple(entry.meta["categories"]) if entry is not None else None
    if names is not None and _outputs(model) not in (None, len(names)):
        names = None  # a head for other classes
    seen = _seen(entry, assumed=known is None)
    shown = spell(name, where.file)
    return Target(shown, model, class_names=names, pretrained=file is not None, **seen)


def _known(detail: str) -> None:
    from torchvision import models

    names = models.list_models(module=models) + models.list_models(module=models.segmentation)
    if detail not in names:
        near = nearest(detail, names)
        remedy = f"Nearest: {', '.join(near)}. " if near else ""
        raise misuse(
            "target",
            "name a classification or segmentation network of torchvision",
            detail,
            f"{remedy}torchvision.models.list_models() lists them.",
        )


def _published(detail: str) -> list[Any]:
    from torchvision.models import get_model_weights

    return list(get_model_weights(detail))


def _entry(name: Name, wanted: str | None, published: list[Any]) -> Any:
    """The published weights of that name; without one, torchvision's default."""
    words = [entry.name for entry in published]
    if not published:
        raise misuse(
            "weights",
            f"given, because torchvision has none for {name.detail}",
            Verbatim("none"),
            f"Use --weights PATH, or {spell(name)},weights=random.",
        )
    if wanted is None or wanted == "DEFAULT":
        return type(published[0]).DEFAULT
    if wanted not in words:
        raise misuse(
            "weights", f"one of {', '.join([*words, 'DEFAULT', 'random'])}, or a file", wanted
        )
    return published[words.index(wanted)]


def _build(detail: str, entry: Any, **options: Any) -> nn.Module:
    """The network without weights, with what its published weights need to be set otherwise."""
    from torchvision.models import get_model, list_models, segmentation

    meta = entry.meta if entry is not None else {}
    if detail in list_models(module=segmentation):
        options["weights_backbone"] = None
        if meta and not detail.startswith("lraspp"):
            options["aux_loss"] = True
        options.setdefault("num_classes", len(meta["categories"]) if meta else None)
    elif detail in ("googlenet", "inception_v3"):
        options["init_weights"] = False
        # Their published weights were trained with another normalisation, converted inside.
        options["transform_input"] = entry is not None
    elif detail.startswith("vit_") and meta:
        options["image_size"] = meta["min_size"][0]
    with quiet():
        return get_model(detail, weights=None, **options)


def _seen(entry: Any, assumed: bool = False) -> dict[str, Any]:
    """The preprocessing of published weights, and that they state it or that it is assumed."""
    if entry is None:
        return {"preprocess": Preprocess(), "origin": UNKNOWN}
    whose = f"torchvision's weights {entry.name}"
    origin = Origin("", PARTS, f"as for {whose}") if assumed else Origin(whose)
    return {"preprocess": _preprocess(entry), "origin": origin}


def _preprocess(entry: Any) -> Preprocess:
    try:
        return from_torchvision(entry)
    except UsageError:  # segmentation: the whole image at one size
        preset = entry.transforms()
        (size,) = preset.resize_size[:1]
        return Preprocess((size, size), size, mean=tuple(preset.mean), std=tuple(preset.std))


def _recognise(file: Path, published: list[Any]) -> Any:
    """The published weights that a file is a copy of, by the hash in their address."""
    marks = {}
    for entry in published:
        found = re.search(r"-([0-9a-f]{8,})\.[a-z]+$", entry.url)
        if found:
            marks[found[1]] = entry
    if not file.is_file() or not marks:
        return None
    digest = hashlib.sha256()
    with open(file, "rb") as data:
        while block := data.read(1 << 20):
            digest.update(block)
    return next((e for mark, e in marks.items() if digest.hexdigest().startswith(mark)), None)


def _download(name: Name, entry: Any) -> Path:
    """The file of published weights in torch's own cache, fetched if it is not there yet."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rpartition("/")[2]
    if file.is_file():
        return file
    mark = re.search(r"-([0-9a-f]{8,})\.[a-z]+$", entry.url)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(file, error) from error
    cause = "there is no network"
    if reachable(entry.url):
        try:
            torch.hub.download_url_to_file(
                entry.url, str(file), mark[1] if mark else None, progress=sys.stderr.isatty()
            )
            return file
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            cause = reason(error)
        except RuntimeError as error:  # the hash is another: cut off or replaced on the way
            cause = reason(error)
        except OSError as error:
            raise cannot_write(file, error) from error
    raise NeuronymError(
        f"The weights of {spell(name)} could not be downloaded from {entry.url}: {cause}. "
        "Give them as a file with --weights PATH, or use the embedded target efficientnet-lite0."
    )


def _outputs(model: nn.Module) -> int | None:
    """How many classes the head has: the width of the last layer with weights."""
    last = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    head = last[-1] if last else None
    if isinstance(head, nn.Linear):
        return head.out_features
    return head.out_channels if isinstance(head, nn.Conv2d) else None
