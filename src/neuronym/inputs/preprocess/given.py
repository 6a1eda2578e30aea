"""What users say of a network's preprocessing, in any form, put over what is known of it."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from neuronym._core.checks import Verbatim, choice, misuse, nearest
from neuronym._core.registry import split
from neuronym._core.terminal import counted
from neuronym.inputs.preprocess.base import CHANNELS, FILTERS, Channels, Preprocess
from neuronym.inputs.preprocess.published import from_hf, from_timm, from_transforms

_WORDS = {
    "fit": ("crop", "squash", "pad"),
    "interpolation": tuple(FILTERS),
    "centre": ("round", "floor"),
    "channels": CHANNELS,
}
_NUMBERS = {"size": int, "resize": int, "fill": int, "mean": float, "std": float, "scale": float}
_FORM = "Write it size=32,mean=0.5,std=0.25; the names are in docs/targets.md."


def settings_of(given: Any) -> dict[str, Any]:
    """The settings of a `Preprocess` that users name, and only these.

    >>> settings_of("size=32,mean=0.49,0.48,0.45,std=0.25")
    {'size': (32, 32), 'mean': (0.49, 0.48, 0.45), 'std': (0.25,)}

    Args:
        given: a text as above; a mapping; a `Preprocess`; a transform of torchvision that only
            resizes, crops and normalises; an image processor of transformers or what its file
            holds; a data configuration of timm. `scale`, in a text or mapping, is what white is
            to the network before mean and std apply: 1, or 255.

    Raises:
        UsageError: a setting is unknown, or a value is not of its kind.
    """
    if isinstance(given, Preprocess):
        return {entry.name: getattr(given, entry.name) for entry in fields(given)}
    if isinstance(given, str):
        return _scaled({key: _value(key, text) for key, text in _parts(given).items()})
    if isinstance(given, Mapping):
        if "input_size" in given:
            return settings_of(from_timm(given))
        if "image_mean" in given or "image_processor" in given:
            return settings_of(from_hf(given))
        return _scaled({str(key): _value(str(key), value) for key, value in given.items()})
    if hasattr(given, "to_dict"):
        return settings_of(from_hf(given))
    return from_transforms(given)


def text_of(said: Mapping[str, Any]) -> str:
    """The text that `settings_of` reads as these settings.

    >>> text_of({"size": (32, 48), "resize": None, "mean": (0.5, 0.4, 0.3)})
    'size=32x48,resize=none,mean=0.5,0.4,0.3'
    """

    def one(key: str, value: Any) -> str:
        if value is None:
            return "none"
        if key == "size" and value[0] == value[1]:
            return str(value[0])
        if isinstance(value, tuple):
            return ("," if key in ("mean", "std", "fill") else "x").join(map(repr, value))
        return str(value)

    return ",".join(f"{key}={one(key, value)}" for key, value in said.items())


def over(base: Preprocess, said: Mapping[str, Any]) -> Preprocess:
    """A preprocessing with what the user said in place of its own.

    A size without `resize` means that the shorter side is resized to it: the whole of a square
    image is seen.

    Raises:
        UsageError: the settings do not go together.
    """
    new = dict(said)
    if "size" in new:
        new.setdefault("resize", None)
    many = {len(new[name]) for name in ("mean", "std") if len(new.get(name, ())) > 1}
    own, count = new.pop("channels", None), max(many, default=0)
    channels: Channels | None = None if isinstance(own, int) else own
    if isinstance(own, int):
        channels, count = order_of(own), own
    elif channels is None and count not in (0, base.count):
        channels = order_of(count)
    if channels is not None:
        base = with_channels(base, channels, count or base.count)
    for name in ("mean", "std"):
        if len(new.get(name, ())) == 1:
            new[name] = new[name] * base.count
    if len(new.get("fill") or ()) == 1:
        new["fill"] = new["fill"] * max(base.count, 3)
    return replace(base, **new)


def with_channels(preprocess: Preprocess, channels: Channels, count: int) -> Preprocess:
    """The same for a network with other input channels.

    The mean and std of three channels become their average for one. Bands are not normalised,
    because those of red, green and blue mean nothing there.
    """
    if channels == "bands":
        if preprocess.count == count:
            mean, std = preprocess.mean, preprocess.std
        else:
            mean, std = (0.0,) * count, (1.0,) * count
    else:
        mean, std = preprocess.mean, preprocess.std
        wide = {"rgb": 3, "bgr": 3}.get(channels, 1)
        if wide != len(mean):
            mean, std = ((round(sum(v) / len(v), 12),) * wide for v in (mean, std))
    return replace(preprocess, channels=channels, mean=mean, std=std, fill=None)


def describe(preprocess: Preprocess) -> str:
    """What a network sees, in words.

    >>> describe(Preprocess())  # doctest: +NORMALIZE_WHITESPACE
    '224 × 224 pixels, RGB; shorter side to 256, bilinear, then the centre; mean 0.485 0.456 0.406,
    std 0.229 0.224 0.225'
    """
    p = preprocess
    names = {"rgb": "RGB", "bgr": "BGR", "grey": "grey", "bands": counted(p.count, "band")}
    mean, std = (" ".join(f"{v:.5g}" for v in _short(values)) for values in (p.mean, p.std))
    plain = set(p.mean) == {0.0} and set(p.std) == {1.0}
    scaled = "scaled to 0…1" if plain else f"mean {mean}, std {std}"
    return f"{_size(p.size)} pixels, {names[p.channels]}; {_resizing(p)}; {scaled}"


def _resizing(p: Preprocess) -> str:
    to = _size(p.resize if isinstance(p.resize, tuple) else p.size)
    if p.fit == "squash":
        cut = f", then the centre {_size(p.size)}" if to != _size(p.size) else ""
        return f"squashed to {to}, {p.interpolation}{cut}"
    if p.fit == "pad":
        return f"whole image, padded to {to}, {p.interpolation}"
    if isinstance(p.resize, tuple) or (p.resize is None and p.size[0] != p.size[1]):
        return f"resized to cover {to}, {p.interpolation}, then the centre"
    short = p.resize or p.size[0]
    share = min(1.0, p.size[0] / short) * min(1.0, p.size[1] / short)
    little = f" ({share:.0%} of a square image)" if share < 0.5 else ""
    return f"shorter side to {short}, {p.interpolation}, then the centre{little}"


def _size(pair: Sequence[int]) -> str:
    return f"{pair[0]} × {pair[1]}"


def _short(values: Sequence[float]) -> Sequence[float]:
    return values[:1] if len(set(values)) == 1 else values


def order_of(count: int) -> Channels:
    orders: dict[int, Channels] = {1: "grey", 3: "rgb"}
    return orders.get(count, "bands")


def _parts(text: str) -> dict[str, str]:
    """`key=value,value,key=value`: a part without a key goes on with the one before."""
    found: dict[str, str] = {}
    key = ""
    for part in split(text.strip(), ","):
        name, equals, value = part.partition("=")
        if equals:
            key = name.strip()
            if key in found:
                raise misuse("preprocess", f"settings with {key!r} at most once", text)
            found[key] = value.strip()
        elif key:
            found[key] += f",{part.strip()}"
        else:
            raise misuse("preprocess", "settings", text, _FORM)
    return found


def _value(key: str, value: Any) -> Any:
    known = [*_WORDS, *_NUMBERS]
    if key not in known:
        near = nearest(key, known)
        hint = f"Nearest: {', '.join(near)}. " if near else f"Known: {', '.join(known)}. "
        raise misuse("preprocess", "settings of the preprocessing", key, hint + _FORM)
    if isinstance(value, str):
        value = value.strip()
    if key == "channels" and str(value).isdecimal() and int(value) > 0:
        return int(value)
    if key in _WORDS:
        word = str(value).lower()
        word = "grey" if word == "gray" else word
        return choice(f"preprocess {key}", word, _WORDS[key])
    if key in ("resize", "fill") and (value is None or value == "none"):
        return None
    return _numbers(key, value)


def _numbers(key: str, value: Any) -> Any:
    if isinstance(value, str):
        parts: list[Any] = re.split(r"[,\s×x/]+", value)
    else:
        parts = list(value) if hasattr(value, "__iter__") else [value]
    try:
        numbers = tuple(_NUMBERS[key](part) for part in parts)
        whole = _NUMBERS[key] is float or all(map(operator.eq, map(float, parts), numbers))
    except (TypeError, ValueError):
        numbers, whole = (), False
    most = {"size": 2, "resize": 2, "scale": 1}.get(key, len(numbers))
    if not whole or not 0 < len(numbers) <= most:
        what = {"size": "one or two whole numbers", "resize": "one or two whole numbers, or none"}
        usual = "whole numbers 0…255" if key == "fill" else "numbers separated by commas"
        shown = Verbatim(value) if isinstance(value, str) and value else value
        raise misuse(f"preprocess {key}", what.get(key, usual), shown, _FORM)
    if key == "size":
        return numbers * 2 if len(numbers) == 1 else numbers
    return numbers[0] if key in ("resize", "scale") and len(numbers) == 1 else numbers


def _scaled(said: dict[str, Any]) -> dict[str, Any]:
    """With mean and std on the scale 0…1, whatever white is to the network."""
    scale = said.pop("scale", None)
    if scale is None:
        if max(map(abs, said.get("mean", ())), default=0) > 1:
            remedy = "For a network that sees values 0…255 write scale=255 as well."
            raise misuse("preprocess mean", "on the scale 0…1", said["mean"], remedy)
        return said
    if scale <= 0:
        raise misuse("preprocess scale", "a number above 0: 1 or 255", scale)
    mean, std = said.get("mean", (0.0,)), said.get("std", (1.0,))
    return said | {"mean": tuple(v / scale for v in mean), "std": tuple(v / scale for v in std)}
