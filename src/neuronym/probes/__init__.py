"""Probes: ordered sets of images, from a name, a folder, a data set or a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuronym._checks import Verbatim, integer, misuse
from neuronym._names import Name, escape, parse, split

# Each source registers itself.
from neuronym.probes import broden, folder, hub, synthetic, torchvision  # noqa: F401
from neuronym.probes.base import PROBES, Annotation, Mask, Probe, RawImage
from neuronym.probes.memory import DatasetProbe, ListProbe
from neuronym.probes.union import First, Union

__all__ = ["PROBES", "Annotation", "Mask", "Probe", "RawImage", "open_probe"]


def open_probe(spec: Any, *, limit: int | None = None) -> Probe:
    """A probe from what a user may give for one.

    Args:
        spec: a name (`synthetic`, `folder:PATH`, `broden:PATH`, `torchvision:CIFAR100`, `hf:NAME`,
            unions `a+b`), each with an optional `limit=N`; a `pathlib.Path` of a folder; a list of
            PIL images, arrays, tensors, paths or encoded bytes; a data set with a length and
            numbered items `image`, `(image, label)` or `{"image": …}`; or a probe.
        limit: keep the first so many images.

    Raises:
        UsageError: nothing is known by this name, a parameter is wrong, or there are no images.
        NeuronymError: it cannot be read or downloaded.
    """
    probe = _open(spec)
    return probe if limit is None else First(probe, limit)


def _open(spec: Any) -> Probe:
    if isinstance(spec, Probe):
        return spec
    if isinstance(spec, str):
        parts = [_open_name(text) for text in split(spec, "+")]
        return parts[0] if len(parts) == 1 else Union(parts)
    if isinstance(spec, Path):
        return _open_name(f"folder:{escape(str(spec))}")
    if isinstance(spec, list | tuple):
        return ListProbe(spec)
    if type(spec).__module__.partition(".")[0] == "datasets" and hasattr(spec, "features"):
        return hub.HubProbe(spec)
    if hasattr(spec, "__getitem__") and not isinstance(spec, dict | bytes):
        return DatasetProbe(spec)
    remedy = "Give its data set: loader.dataset." if hasattr(spec, "dataset") else ""
    expected = "a name, a path, a list of images or a data set with a length and numbered items"
    raise misuse("probe", expected, Verbatim(type(spec).__name__), remedy)


def _open_name(text: str) -> Probe:
    if not text.strip():
        raise misuse("probe", "a name", text, "See `neuronym list probes`.")
    name = parse(PROBES.expand(text.strip()), "probe")
    if name.kind not in PROBES:
        if Path(text).expanduser().is_dir():
            hint = f"For this folder write folder:{escape(text)}."
            raise misuse("probe", "a name of the form kind:detail", text, hint)
        raise PROBES.unknown(name.kind)
    params = dict(name.params)
    limit = params.pop("limit", None)
    count = None if limit is None else integer("limit", limit, 1)
    probe = PROBES[name.kind].make(Name(name.kind, name.detail, params))
    return probe if count is None else First(probe, count)
