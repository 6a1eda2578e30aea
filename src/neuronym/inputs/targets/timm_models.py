"""Networks of timm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuronym._core.checks import Verbatim, missing_extra, misuse, nearest
from neuronym._core.hub import hub, quiet
from neuronym._core.registry import Name
from neuronym._core.torchvision_compat import imagenet_names, prepare_torchvision
from neuronym.inputs.preprocess.published import from_timm
from neuronym.inputs.targets._options import downloads, seeded, source, spell
from neuronym.inputs.targets.base import PARTS, TARGETS, Origin, Target
from neuronym.inputs.targets.weights import load_weights

_OTHERWISE = (
    "Without the hub, give the weights as a file with --weights PATH, or use the embedded target "
    "efficientnet-lite0."
)


@TARGETS.register("timm", syntax="timm:NAME", example="timm:vit_tiny_patch16_224", extra="timm")
def timm_target(name: Name, weights: Path | None) -> Target:
    """Any network of timm, with its published weights.

    Args:
        name: the detail may carry timm's tag (resnet50.a1_in1k) or be hf-hub:OWNER/REPO; the
            parameter `weights` is a file, or `random` (with `seed`).
        weights: a file of weights. Its head may have any number of classes.

    Raises:
        UsageError: timm has no such network.
        NeuronymError: the weights cannot be downloaded or do not fit, or timm is missing.
    """
    prepare_torchvision()
    try:
        import timm
    except ImportError:
        raise missing_extra("The target timm", "timm", "timm") from None
    where = source(name, weights)
    if where.published is not None:
        raise misuse(
            "weights",
            "random or a file",
            where.published,
            "timm's own weights are chosen by the tag of the name: timm:resnet50.a1_in1k.",
        )
    remote = ":" in name.detail
    if not remote:
        _known(timm, name.detail, published=where.file is None and not where.random)

    def build(**options: Any) -> Any:
        with quiet():
            return timm.create_model(name.detail, pretrained=False, **options)

    if where.random:
        with seeded(where.seed or 0):
            model = build()
    elif where.file is not None:
        model = load_weights(
            build(), where.file, name=spell(name), rebuild=lambda n: build(num_classes=n)
        )
    else:
        with hub(f"The network {spell(name)}", _OTHERWISE), seeded(0):
            model = timm.create_model(name.detail, pretrained=downloads())
    trained = not where.random and (where.file is not None or downloads())
    names = imagenet_names() if trained and getattr(model, "num_classes", 0) == 1000 else None
    whose = "timm's configuration of the network"
    return Target(
        spell(name, where.file),
        model.eval(),
        from_timm(model),
        names,
        pretrained=trained,
        origin=Origin(whose) if where.file is None else Origin("", PARTS, f"as in {whose}"),
    )


def _known(timm: Any, detail: str, *, published: bool) -> None:
    architecture, _, tag = detail.partition(".")
    if not timm.is_model(architecture):
        near = nearest(architecture, timm.list_models())
        remedy = f"Nearest: {', '.join(near)}. " if near else ""
        raise misuse(
            "target", "name a network of timm", detail, f"{remedy}timm.list_models() lists them."
        )
    with_weights = timm.list_models(f"{architecture}.*", pretrained=True)
    if tag and detail not in with_weights:
        raise misuse(
            "target",
            f"have one of timm's tags for {architecture}",
            detail,
            f"Known: {', '.join(with_weights) or 'none'}.",
        )
    if published and not with_weights and not timm.models.is_model_pretrained(architecture):
        raise misuse(
            "weights",
            f"given, because timm has none for {architecture}",
            Verbatim("none"),
            f"Use --weights PATH, or timm:{detail},weights=random.",
        )
