"""Vision networks of transformers, from the Hugging Face hub or a folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from torch import nn

from neuronym._core.checks import Verbatim, missing_extra, misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.hub import hub, looks_like_a_path, quiet, reason
from neuronym._core.registry import Name
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.preprocess.published import from_hf
from neuronym.inputs.targets._options import downloads, seeded, source, spell
from neuronym.inputs.targets.base import PARTS, TARGETS, UNKNOWN, Origin, Target
from neuronym.inputs.targets.weights import load_weights

_OTHERWISE = (
    "Without the hub, give a folder written by save_pretrained (hf:PATH), or use the embedded "
    "target efficientnet-lite0."
)


@TARGETS.register(
    "hf", syntax="hf:REPO_OR_PATH", example="hf:google/vit-base-patch16-224", extra="hf"
)
def hf_target(name: Name, weights: Path | None) -> Target:
    """Any vision network of transformers: a classifier with its head, else the bare network.

    Of a network for images and texts (CLIP, SigLIP), the image side is the target.

    Args:
        name: the detail is a repository or a folder written by `save_pretrained`; the parameter
            `revision` is the repository's, `weights` is a file, or `random` (with `seed`).
        weights: a file of weights, in place of those beside the configuration.

    Raises:
        UsageError: there is no such folder, or no vision network in it.
        NeuronymError: it cannot be fetched, is incomplete, or transformers is missing.
    """
    prepare_torchvision()
    try:
        import transformers  # noqa: F401
    except ImportError:
        raise missing_extra("The target hf", "transformers", "hf") from None
    where = source(name, weights, {"revision": "of a repository"})
    if where.published is not None:
        raise misuse("weights", "random or a file", where.published)
    place = Path(name.detail).expanduser()
    if not name.detail or (not place.is_dir() and looks_like_a_path(name.detail)):
        raise misuse(
            "target",
            "name a repository of the hub or an existing folder: hf:REPO_OR_PATH",
            Verbatim(spell(name)),
        )

    trained = not where.random and (downloads() or place.is_dir())

    def load(at: str, **options: Any) -> tuple[nn.Module, Any, Any]:
        if "revision" in name.params:
            options["revision"] = name.params["revision"]
        return _load(at, trained=trained and where.file is None, seed=where.seed, **options)

    if place.is_dir():
        try:
            with quiet():
                model, config, processor = load(str(place), local_files_only=True)
        except NeuronymError:
            raise
        except Exception as error:
            raise NeuronymError(
                f"The folder {name.detail} could not be loaded: {reason(error)}. It needs "
                "config.json, model.safetensors and preprocessor_config.json, as save_pretrained "
                "writes them."
            ) from error
    else:
        with hub(f"The network {name.detail}", _OTHERWISE):
            from huggingface_hub import constants

            model, config, processor = load(name.detail, local_files_only=constants.HF_HUB_OFFLINE)
    if where.file is not None:
        model = load_weights(model, where.file, name=spell(name))
    tower = vision_side(model)
    if processor is not None:
        preprocess, origin = from_hf(processor), Origin("preprocessor_config.json")
    else:
        preprocess, origin = _from_config(tower.config)
    if where.file is not None:
        stating = "config.json" if processor is None else "preprocessor_config.json"
        origin = Origin("", PARTS, f"as in {stating}")
    return Target(
        spell(name, where.file),
        tower.eval(),
        preprocess,
        None if where.random else class_names(config, tower),
        pretrained=trained or where.file is not None,
        origin=origin,
    )


def _load(
    at: str, *, trained: bool, seed: int | None, **options: Any
) -> tuple[nn.Module, Any, Any]:
    import transformers as hf

    config = hf.AutoConfig.from_pretrained(at, **options)
    stated = " ".join(config.architectures or ())
    auto = (
        hf.AutoModelForImageClassification if "ForImageClassification" in stated else hf.AutoModel
    )
    if trained:
        model, report = auto.from_pretrained(
            at, config=config, output_loading_info=True, dtype="float32", **options
        )
        _check_complete(at, model, report)
    else:
        with seeded(seed or 0):
            model = auto.from_config(config)
    try:
        processor = hf.AutoImageProcessor.from_pretrained(at, **options)
    except (OSError, ValueError, ImportError):
        processor = None  # a folder without preprocessor_config.json
    return model, config, processor


def _check_complete(at: str, model: nn.Module, report: dict[str, Any]) -> None:
    """Refuse a network whose weights are largely absent; name layers that are left at random.

    transformers fills what it misses with random numbers and only prints a table.
    """
    side = "vision_model." if hasattr(model, "vision_model") else ""
    wrong = [*report.get("missing_keys", ()), *report.get("mismatched_keys", ())]
    absent = sorted(key for key in map(str, wrong) if side in key)
    if not absent:
        return
    named = ", ".join(absent[:3]) + (", …" if len(absent) > 3 else "")
    if any("classifier" in key or "head" in key for key in absent) or len(absent) > 4:
        raise NeuronymError(
            f"The weights of {at} do not fill its {type(model).__name__}: {len(absent)} tensors "
            f"are missing or of another shape ({named})."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(
            f"Random weights in {at}, because its files lack them: {named}.", stacklevel=2
        )


def vision_side(model: nn.Module) -> nn.Module:
    """The part of a network that sees images: itself, or the tower of a dual network.

    Raises:
        UsageError: it takes no images.
    """
    for attribute in ("vision_model", "vision_tower"):
        inner = getattr(model, attribute, None)
        if isinstance(inner, nn.Module) and hasattr(model, "text_model"):
            return inner
    if getattr(model, "main_input_name", "pixel_values") != "pixel_values":
        raise misuse(
            "target",
            "a network that sees images",
            Verbatim(type(model).__name__),
            "Its input is called " + str(getattr(model, "main_input_name", "?")) + ".",
        )
    return model


def class_names(config: Any, model: nn.Module) -> tuple[str, ...] | None:
    """The names of a classifier's outputs in order, or None where they are only LABEL_0, …"""
    if "ForImageClassification" not in type(model).__name__:
        return None
    names = [
        str(label) for _, label in sorted(dict(config.id2label).items(), key=lambda p: int(p[0]))
    ]
    return None if all(n == f"LABEL_{i}" for i, n in enumerate(names)) else tuple(names)


def _from_config(config: Any) -> tuple[Preprocess, Origin]:
    """Where there is no preprocessor_config.json: its size, and ImageNet's normalisation."""
    stated = getattr(config, "image_size", None)
    size = stated or 224
    high, wide = (size, size) if isinstance(size, int) else (size[0], size[-1])
    preprocess = Preprocess((high, wide), round(min(high, wide) / 0.875), interpolation="bicubic")
    return preprocess, Origin("size from config.json", PARTS[1:]) if stated else UNKNOWN
