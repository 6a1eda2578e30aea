"""Probes from whatever a user gives for one, and unions and parts of them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from neuronym._core.checks import Verbatim, integer, misuse
from neuronym._core.registry import Name, escape, parse, split, write
from neuronym.inputs.probes import hub
from neuronym.inputs.probes.base import (
    PROBES,
    Annotation,
    DatasetProbe,
    ListProbe,
    Mask,
    Probe,
    RawImage,
)


class Union(Probe):
    """Several probes, one after the other.

    Every id gets the kind of its probe in front, numbered from the second of a kind on:
    `synthetic/…`, `folder/…`, `folder-2/…`. So ids are unique, and an image keeps its id as long
    as the parts before its own stay the same.
    """

    def __init__(self, parts: Sequence[Probe]) -> None:
        self._parts = tuple(parts)
        self._ends = list(accumulate(len(part) for part in self._parts))
        self._prefixes = []
        count: Counter[str] = Counter()
        for part in self._parts:
            kind = _kind(part)
            count[kind] += 1
            self._prefixes.append(kind if count[kind] == 1 else f"{kind}-{count[kind]}")
        self.name = "+".join(part.name for part in self._parts)

    def __len__(self) -> int:
        return self._ends[-1]

    def image_id(self, index: int) -> str:
        number, inner = self._find(index)
        return f"{self._prefixes[number]}/{self._parts[number].image_id(inner)}"

    def read(self, index: int) -> RawImage:
        number, inner = self._find(index)
        return self._parts[number].read(inner)

    def source(self, index: int) -> str | None:
        number, inner = self._find(index)
        return self._parts[number].source(inner)

    def labels(self, index: int) -> Sequence[Annotation]:
        number, inner = self._find(index)
        return self._parts[number].labels(inner)

    def masks(self, index: int) -> Sequence[Mask]:
        number, inner = self._find(index)
        return self._parts[number].masks(inner)

    def vocabulary(self) -> Sequence[Annotation]:
        return sorted({entry for part in self._parts for entry in part.vocabulary()})

    def _find(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number - 1] if number else 0)


class First(Probe):
    """The first images of a probe, with the ids they have there.

    Args:
        probe: the whole probe.
        limit: how many images to keep; a larger number keeps all.

    Raises:
        UsageError: `limit` is not at least 1.
    """

    def __init__(self, probe: Probe, limit: int) -> None:
        self._probe = probe
        self._length = min(integer("limit", limit, 1), len(probe))
        self.name = _limited_name(probe.name, self._length)

    def __len__(self) -> int:
        return self._length

    def image_id(self, index: int) -> str:
        return self._probe.image_id(self._inside(index))

    def read(self, index: int) -> RawImage:
        return self._probe.read(self._inside(index))

    def source(self, index: int) -> str | None:
        return self._probe.source(self._inside(index))

    def labels(self, index: int) -> Sequence[Annotation]:
        return self._probe.labels(self._inside(index))

    def masks(self, index: int) -> Sequence[Mask]:
        return self._probe.masks(self._inside(index))

    def vocabulary(self) -> Sequence[Annotation]:
        return self._probe.vocabulary()

    def _inside(self, index: int) -> int:
        if not 0 <= index < self._length:
            raise IndexError(index)
        return index


def _kind(probe: Probe) -> str:
    kind = probe.name.partition(":")[0]
    return kind if re.fullmatch(r"[\w-]+", kind) else "images"


def _limited_name(name: str, limit: int) -> str:
    """`folder:PATH` → `folder:PATH,limit=7`; what is not one name gets a remark."""
    if " given in Python" in name or len(split(name, "+")) > 1:
        return f"{name} (first {limit})"
    parsed = parse(name, "probe")
    return write(type(parsed)(parsed.kind, parsed.detail, {**parsed.params, "limit": str(limit)}))


# Each source registers itself.


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
