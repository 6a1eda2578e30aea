"""Probes made of others: first images, a sample, values as 8 bits, and several together."""

from __future__ import annotations

import hashlib
import heapq
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from neuronym._core.checks import integer
from neuronym._core.errors import CorruptImageError, UsageError
from neuronym._core.progress import Progress, silent
from neuronym._core.registry import escape, parse, split, write
from neuronym._core.terminal import counted
from neuronym.inputs.probes import images
from neuronym.inputs.probes.base import Annotation, Mask, Probe, RawImage
from neuronym.inputs.probes.deep import NeedsPackageError
from neuronym.inputs.probes.values import IMAGES, BandsError, Values

_FIRST = "first:"
#: Images are made at once where at least one in so many of them is wanted.
_WORTH = 4
_MEANING = {
    1: "grey",
    2: "grey and alpha",
    3: "red, green and blue",
    4: "red, green, blue and alpha",
}


class Subset(Probe):
    """Some images of a probe, in the order and with the ids that they have there.

    Args:
        probe: the whole probe.
        places: which images, ascending.
        name: the name that opens this again.
        about: what `atlas.json` keeps of how they were chosen; None: they are all there are.
    """

    def __init__(
        self, probe: Probe, places: Sequence[int], name: str, about: dict[str, Any] | None = None
    ) -> None:
        self._probe, self._places, self.name, self._about = probe, places, name, about

    def __len__(self) -> int:
        return len(self._places)

    def image_id(self, index: int) -> str:
        return self._probe.image_id(self._inside(index))

    def read(self, index: int) -> RawImage:
        return self._probe.read(self._inside(index))

    def prepare(
        self, count: int, cache: Path, workers: int = 2, progress: Progress = silent
    ) -> None:
        """A small sample is not worth making the whole."""
        wanted = self._places[: min(count, len(self))]
        if len(wanted) and _WORTH * len(wanted) > int(max(wanted)):
            self._probe.prepare(int(max(wanted)) + 1, cache, workers, progress)

    def source(self, index: int) -> str | None:
        return self._probe.source(self._inside(index))

    def labels(self, index: int) -> Sequence[Annotation]:
        return self._probe.labels(self._inside(index))

    def masks(self, index: int) -> Sequence[Mask]:
        return self._probe.masks(self._inside(index))

    def vocabulary(self) -> Sequence[Annotation]:
        return self._probe.vocabulary()

    def group(self, index: int) -> str:
        return self._probe.group(self._inside(index))

    def eight_bit(self, index: int) -> bool:
        return self._probe.eight_bit(self._inside(index))

    @property
    def values(self) -> Values:
        return self._probe.values

    def shown(self, values: Values) -> Probe:
        return Subset(self._probe.shown(values), self._places, self.name, self._about)

    def facts(self) -> dict[str, Any]:
        facts = dict(self._probe.facts())
        if self._about is not None:
            facts["sample"] = [*facts.get("sample", []), self._about]
        return facts

    def _inside(self, index: int) -> int:
        if not 0 <= index < len(self._places):
            raise IndexError(index)
        return int(self._places[index])


def limited(probe: Probe, limit: int | str, seed: int = 0) -> Subset:
    """Fewer images of a probe.

    Args:
        probe: the whole probe.
        limit: N: a sample of N images that is spread evenly over the groups that the probe knows
            without reading images (sub-folders, classes); `first:N`: the first N.
        seed: of the sample; it depends on this and the images' ids, not on their order.

    Raises:
        UsageError: the limit is neither, or not at least 1.
    """
    count, first = read_limit(limit)
    whole, seed = len(probe), integer("seed", seed, 0)
    if first:
        count = min(count, whole)
        name = _limited_name(probe.name, f"{_FIRST}{count}", 0)
        return Subset(probe, range(count), name, {"images": count, "of": whole, "first": True})
    if count >= whole:
        return Subset(probe, range(whole), _limited_name(probe.name, str(count), seed))
    places, groups = _spread(probe, count, seed)
    about = {"images": count, "of": whole, "seed": seed, "groups": groups}
    return Subset(probe, places.tolist(), _limited_name(probe.name, str(count), seed), about)


def read_limit(limit: int | str) -> tuple[int, bool]:
    """How many images, and whether the first ones are meant: `500`, `first:500`."""
    first = isinstance(limit, str) and limit.startswith(_FIRST)
    number = limit.removeprefix(_FIRST) if isinstance(limit, str) else limit
    return integer("limit", number, 1), first


def sampled(about: dict[str, Any]) -> str:
    """What `limited` did, for people: `sample of 60 of 10,000 images, seed 0`."""
    which = f"{about['images']:,} of {counted(about['of'], 'image')}"
    if about.get("first"):
        return f"the first {which}"
    groups = f" over {about['groups']:,} groups" if about["groups"] > 1 else ""
    return f"sample of {which}{groups}, seed {about['seed']}"


def sentences(facts: Mapping[str, Any]) -> list[str]:
    """What a probe's facts are for people: how images were chosen, what their values mean."""
    told = []
    for entry in facts.get("sample") or ():
        part = f" of {entry['part']}/" if entry.get("part") else ""
        told.append(f"The images{part} are {'' if entry.get('first') else 'a '}{sampled(entry)}.")
    values = Values.from_data(facts["values"]) if facts.get("values") else Values()
    if values.summary:
        told.append(f"Values that are not 8 bit: {values.summary}.")
    elif values.range is not None:
        told.append("No image that was looked at needs --value-range: they are 8 bit.")
    if values.bands is not None:
        shown = ", ".join(map(str, values.bands))
        all_of_them = f", and the network sees all {values.seen}" if values.seen else ""
        meaning = _MEANING[len(values.bands)]
        told.append(f"Of several bands, {shown} are shown ({meaning}){all_of_them}.")
    if left_out := facts.get("left_out"):
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in left_out.items())
        told.append(f"Left out: {counted(sum(left_out.values()), 'file')} ({kinds}).")
    return told


def _spread(probe: Probe, count: int, seed: int) -> tuple[np.ndarray, int]:
    """Places of `count` images, and the number of groups.

    Images are put in order of their groups, in each by chance, and every M/N-th is taken: each
    group gets its share, rounded up or down.
    """
    total = len(probe)
    names: dict[str, int] = {}
    groups = np.fromiter(
        (names.setdefault(probe.group(i), len(names)) for i in range(total)), np.int64, total
    )
    ranks = np.empty(len(names), np.int64)
    ranks[[names[name] for name in sorted(names)]] = np.arange(len(names))
    order = np.lexsort((_draws(probe, seed), ranks[groups]))
    start = np.random.default_rng(seed).random()
    taken = np.floor((np.arange(count) + start) * total / count).astype(np.int64)
    return np.sort(order[np.minimum(taken, total - 1)]), len(names)


def _draws(probe: Probe, seed: int) -> np.ndarray:
    """One random number uint64 for each image, which follows from its id and the seed."""
    return np.fromiter((_draw(probe, i, seed) for i in range(len(probe))), np.uint64, len(probe))


def _draw(probe: Probe, index: int, seed: int) -> int:
    text = f"{seed}\0{probe.image_id(index)}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _limited_name(name: str, limit: str, seed: int) -> str:
    """`folder:PATH` → `folder:PATH,limit=7`; what is not one name gets a remark."""
    if " given in Python" in name or len(split(name, "+")) > 1:
        return (
            f"{name} ({limit.replace(_FIRST, 'first ') if _FIRST in limit else f'{limit} of it'})"
        )
    parsed = parse(name, "probe")
    more = {"limit": limit} | ({"limit_seed": str(seed)} if seed else {})
    written = write(type(parsed)(parsed.kind, parsed.detail, parsed.params | more))
    return written.replace(rf"limit={escape(_FIRST)}", f"limit={_FIRST}")


class Shown(Subset):
    """A probe whose images are shown as `values` say: one range for all that are not 8 bit.

    Args:
        probe: the whole probe.
        asked: what the user said; a range that has been found before is taken as it is.
    """

    def __init__(self, probe: Probe, asked: Values) -> None:
        super().__init__(probe, range(len(probe)), probe.name)
        self._asked = asked

    def read(self, index: int) -> RawImage:
        raw = self._probe.read(index)
        if isinstance(raw.data, bytes) or self.values.seen is not None:
            return RawImage(raw.data, self.values)
        return RawImage(images.to_rgb(raw.data, self.values))

    @cached_property
    def values(self) -> Values:
        """The ranges, found in up to 200 images that follow from their ids.

        Raises:
            UsageError: of most of them, nothing says which bands are red, green and blue, or a
                package is missing that reads them.
        """
        if self._asked.images is not None:
            return self._asked
        with ThreadPoolExecutor(4) as threads:
            seen = list(threads.map(self._look, self._chosen()))
        reasons = [entry for entry in seen if isinstance(entry, str)]
        if 2 * len(reasons) > len(seen):
            raise UsageError(reasons[0])
        return self._asked.measured(entry for entry in seen if isinstance(entry, np.ndarray))

    def shown(self, values: Values) -> Probe:
        return Shown(self._probe, values)

    def facts(self) -> dict[str, Any]:
        return self._probe.facts() | {"values": self.values.to_data()}

    def _chosen(self) -> list[int]:
        """The images to look at: some of those that may be of more than 8 bits."""

        def draws() -> Iterator[tuple[int, int]]:
            for index in range(len(self)):
                if not self._probe.eight_bit(index):
                    yield _draw(self._probe, index, 0), index

        return [index for _, index in heapq.nsmallest(IMAGES, draws())]

    def _look(self, index: int) -> np.ndarray | str | None:
        """Some values of an image that is not 8 bit, or what the user has to do before it is read.

        None: it has 8 bits, or is damaged, which the pass will say.
        """
        try:
            array = images.deep_values(self._probe.read(index).data, self._asked)
        except (BandsError, NeedsPackageError) as error:
            every = "" if self._asked.seen is None else " The network sees all of them."
            more = every if isinstance(error, BandsError) else ""
            return f"The image {self.image_id(index)} {error}.{more}"
        except CorruptImageError:
            return None
        return None if array is None else Values.thinned(array)


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

    def prepare(
        self, count: int, cache: Path, workers: int = 2, progress: Progress = silent
    ) -> None:
        for part, end in zip(self._parts, self._ends, strict=True):
            inside = count - (end - len(part))
            if inside > 0:
                part.prepare(min(inside, len(part)), cache, workers, progress)

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

    def group(self, index: int) -> str:
        number, inner = self._find(index)
        return f"{self._prefixes[number]}/{self._parts[number].group(inner)}"

    def eight_bit(self, index: int) -> bool:
        number, inner = self._find(index)
        return self._parts[number].eight_bit(inner)

    def facts(self) -> dict[str, Any]:
        every = [part.facts() for part in self._parts]
        left_out = sum((Counter(facts.get("left_out", {})) for facts in every), Counter())
        sample = [
            {"part": prefix} | entry
            for prefix, facts in zip(self._prefixes, every, strict=True)
            for entry in facts.get("sample", [])
        ]
        return ({"left_out": dict(left_out)} if left_out else {}) | (
            {"sample": sample} if sample else {}
        )

    def _find(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number - 1] if number else 0)


def _kind(probe: Probe) -> str:
    kind = probe.name.partition(":")[0]
    return kind if re.fullmatch(r"[\w-]+", kind) else "images"


# Each source registers itself.
