"""The preprocessing that published models state, read from each library's own description."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from neuronym._core.checks import Verbatim, misuse
from neuronym.inputs.preprocess.base import FILTERS, Fit, Preprocess


def from_torchvision(transforms: Any) -> Preprocess:
    """The preprocessing of a torchvision weight enum.

    Args:
        transforms: a weight enum's member, or what its `transforms()` returns.

    Raises:
        UsageError: these transforms are not those of image classification.
    """
    preset = transforms.transforms() if hasattr(transforms, "transforms") else transforms
    try:
        (crop,), (resize,) = preset.crop_size[:1], preset.resize_size[:1]
        how = preset.interpolation
        return Preprocess(
            size=(crop, crop),
            resize=resize,
            interpolation=_filter(how),
            mean=tuple(preset.mean),
            std=tuple(preset.std),
        )
    except (AttributeError, TypeError, ValueError):
        raise misuse(
            "transforms",
            "the preprocessing of a torchvision classification model",
            preset,
            "Give `preprocess=Preprocess(...)` instead.",
        ) from None


def from_transforms(transform: Any) -> dict[str, Any]:
    """The settings of a `Preprocess` that torchvision's transforms amount to.

    Args:
        transform: a preset, one transform, or a `Compose` of any that resize, crop at the centre,
            make grey, convert and normalise, of `torchvision.transforms` or `transforms.v2`.

    Returns:
        What they say and no more: `Compose([ToTensor(), Normalize(…)])` says no size.

    Raises:
        UsageError: something else is among them, or it is no transform at all.
    """
    if hasattr(transform, "crop_size"):
        return vars(from_torchvision(transform))
    said: dict[str, Any] = {}
    steps = getattr(transform, "transforms", [transform])
    for step in steps:
        kind = type(step).__name__
        if kind == "Resize" and "size" not in said:
            pair = [step.size] if isinstance(step.size, int) else list(step.size)
            square = len(pair) == 1
            said |= {
                "size": tuple(pair * 2 if square else pair),
                "interpolation": _filter(step.interpolation),
            }
            said |= (
                {"resize": pair[0], "fit": "crop"} if square else {"resize": None, "fit": "squash"}
            )
        elif kind == "CenterCrop":
            size = _pair(step.size)
            # Squashed to a pair, and then the centre of that.
            before = said["size"] if said.get("fit") == "squash" else said.get("resize")
            said |= {"size": size, "resize": before}
        elif kind == "Normalize":
            said |= {"mean": tuple(map(float, step.mean)), "std": tuple(map(float, step.std))}
        elif kind == "Grayscale":
            if step.num_output_channels != 1:
                raise _no_data(step)
            said |= {"channels": "grey"}
        elif kind not in _CONVERT:
            raise _no_data(step)
    if "mean" not in said and type(steps[-1]).__name__ in _CONVERT:  # scaled to 0…1, and that is it
        said |= {"mean": (0.0,), "std": (1.0,)}
    return said


# Transforms that only change how the same values are held.
_CONVERT = {
    "ToTensor",
    "PILToTensor",
    "ToImage",
    "ToDtype",
    "ConvertImageDtype",
    "ToPureTensor",
    "ToPILImage",
}


def _no_data(step: Any) -> Exception:
    name = getattr(step, "__name__", type(step).__name__)
    return misuse(
        "preprocess",
        "settings such as size=32,mean=0.5,std=0.25, a Preprocess, or a transform of torchvision "
        "that resizes, crops at the centre and normalises",
        Verbatim(name),
        "It is kept as settings, so that an atlas says what the network saw; what cannot be "
        "written so goes into a Target's `forward` (docs/targets.md).",
    )


def from_timm(config: Any) -> Preprocess:
    """The evaluation preprocessing of a timm model.

    Args:
        config: the model, or its data configuration as `timm.data.resolve_model_data_config`
            gives it (input_size, interpolation, mean, std, crop_pct, crop_mode).
    """
    if not isinstance(config, Mapping):
        from timm.data import resolve_model_data_config

        config = resolve_model_data_config(config)
    size = _pair(config.get("input_size", (3, 224, 224))[-2:])
    share = config.get("crop_pct") or 0.875
    inner = (math.floor(size[0] / share), math.floor(size[1] / share))
    mode = config.get("crop_mode") or "center"
    fits: dict[str, Fit] = {"squash": "squash", "border": "pad"}
    fit = fits.get(mode, "crop")
    return Preprocess(
        size=size,
        fit=fit,
        interpolation=_filter(config.get("interpolation") or "bilinear"),
        resize=inner[0] if fit == "crop" and inner[0] == inner[1] else inner,
        mean=_three(config.get("mean", (0.485, 0.456, 0.406))),
        std=_three(config.get("std", (0.229, 0.224, 0.225))),
    )


def from_open_clip(preprocess_cfg: Any) -> Preprocess:
    """The evaluation preprocessing of an open_clip model.

    Args:
        preprocess_cfg: `model.visual.preprocess_cfg`, a dictionary or a `PreprocessCfg`.
    """
    cfg = preprocess_cfg
    own = is_dataclass(cfg) and not isinstance(cfg, type)
    given: dict[str, Any] = asdict(cfg) if own else dict(cfg)
    size = _pair(given.get("size", 224))
    mode = given.get("resize_mode") or "shortest"
    # open_clip takes bicubic for everything but bilinear, and for all that is not square.
    bilinear = given.get("interpolation") == "bilinear"
    if mode == "shortest" and size[0] != size[1]:
        bilinear = False
    shade = given.get("fill_color") or 0
    fits: dict[str, Fit] = {"shortest": "crop", "squash": "squash", "longest": "pad"}
    return Preprocess(
        size=size,
        resize=size[0] if mode == "shortest" and size[0] == size[1] else size,
        fit=fits[mode],
        interpolation="bilinear" if bilinear else "bicubic",
        mean=_three(given.get("mean") or (0.48145466, 0.4578275, 0.40821073)),
        std=_three(given.get("std") or (0.26862954, 0.26130258, 0.27577711)),
        fill=tuple(shade) if isinstance(shade, list | tuple) else (shade,) * 3,
    )


def from_hf(processor: Any) -> Preprocess:
    """The preprocessing of a Hugging Face image processor.

    A scale factor other than 1/255 and an offset become part of mean and std, so the network's
    input is the same. Where the processor would leave images of different sizes (no centre crop
    after resizing the shorter side, or no resizing), the centre square is taken.

    Args:
        processor: an image processor, a processor that holds one, or the contents of
            `preprocessor_config.json`.

    Raises:
        UsageError: it has no fixed image size.
    """
    given = _hf_settings(processor)
    kind = str(given.get("image_processor_type") or given.get("feature_extractor_type") or "")
    size, crop = given.get("size"), given.get("crop_size")
    cropped = bool(given.get("do_center_crop")) and crop is not None
    fit, resize, final = _hf_geometry(kind, size, crop if cropped else None, given)

    factor = float(given.get("rescale_factor") or 1 / 255) if _on(given, "do_rescale") else 1.0
    shift: tuple[float, ...] = (1.0,) * 3 if given.get("rescale_offset") else (0.0,) * 3
    spread: tuple[float, ...] = (1.0,) * 3
    std = _three(given.get("image_std") or 1.0)
    # MobileViT does not normalise, but writes a mean into its files all the same.
    usual = given.get("image_mean") is not None and "MobileViT" not in kind
    if _on(given, "do_normalize", default=usual):
        mean = _three(given.get("image_mean") or 0.0)
        shift = tuple(s + m for s, m in zip(shift, mean, strict=True))
        spread = std
    if given.get("include_top"):  # EfficientNet divides by std once more
        spread = tuple(a * b for a, b in zip(spread, std, strict=True))
    unit = factor * 255
    plain = abs(unit - 1) < 1e-6  # keep published numbers as they are written
    return Preprocess(
        size=final,
        resize=resize,
        fit=fit,
        centre="floor",
        interpolation=_filter(given.get("resample", 2)),
        mean=shift if plain else tuple(s / unit for s in shift),
        std=spread if plain else tuple(s / unit for s in spread),
        channels="bgr" if given.get("do_flip_channel_order") else "rgb",
    )


def _hf_settings(processor: Any) -> dict[str, Any]:
    if isinstance(processor, Mapping):
        settings = dict(processor)
        return dict(settings.get("image_processor") or settings)
    inner = getattr(processor, "image_processor", processor)
    return dict(inner.to_dict())


def _hf_geometry(
    kind: str, size: Any, crop: Any, given: Mapping[str, Any]
) -> tuple[Fit, int | tuple[int, int] | None, tuple[int, int]]:
    """Fit, resize and final size that a processor's settings amount to."""
    final = _hf_pair(crop) if crop is not None else None
    if not _on(given, "do_resize") and final is not None:
        return "crop", min(final), final
    if isinstance(size, int):
        # Old files hold a bare number; these families meant both sides by it, others the shorter.
        square = crop is None or any(name in kind for name in ("DeiT", "Beit", "EfficientNet"))
        size = {"height": size, "width": size} if square else {"shortest_edge": size}
    sides = {k: v for k, v in dict(_items(size)).items() if v}
    share = given.get("crop_pct")
    if short := sides.get("shortest_edge"):
        if "ConvNext" in kind or (share and crop is None):
            if short >= 384:
                return "squash", None, (short, short)
            return "crop", int(short / (share or 0.875)), final or (short, short)
        resize = int(short / share) if share else short
        if "Levit" in kind:
            resize = int((256 / 224) * short)
        return "crop", resize, final or (short, short)
    if "height" in sides and "width" in sides:
        pair = (sides["height"], sides["width"])
        if share and "PoolFormer" in kind:
            scaled = (int(pair[0] / share), int(pair[1] / share))
            same = scaled[0] == scaled[1]
            return "crop" if same else "squash", scaled[0] if same else scaled, final or pair
        if final is None or final == pair:
            return "squash", None, pair
        return "squash", pair, final
    raise misuse(
        "preprocess",
        "an image processor with a fixed image size",
        size,
        "Give `preprocess=Preprocess(size=(height, width), ...)` instead.",
    )


def _on(given: Mapping[str, Any], key: str, default: bool = True) -> bool:
    """A `do_…` switch; absent and null mean the default that the data suggest."""
    value = given.get(key, default)
    return bool(value)


def _items(size: Any) -> Any:
    if size is None:
        return {}
    if isinstance(size, list | tuple):
        return {"height": size[0], "width": size[-1]}
    return size


def _hf_pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return (size, size)
    sides = dict(_items(size))
    short = sides.get("shortest_edge") or 0
    return (sides.get("height") or short, sides.get("width") or short)


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))


def _three(value: Any) -> tuple[float, float, float]:
    values = [value] * 3 if isinstance(value, int | float) else [float(v) for v in value]
    red, green, blue = values * 3 if len(values) == 1 else values
    return (red, green, blue)


def _filter(name: Any) -> str:
    """A filter's name from Pillow's number, torchvision's enum or a word."""
    if isinstance(name, int):
        return {number: word for word, number in FILTERS.items()}[int(name)]
    word = str(getattr(name, "value", name)).lower()
    return "nearest" if word == "nearest-exact" else "bilinear" if word == "random" else word
