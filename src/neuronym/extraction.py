"""One pass over the probe: each image is decoded once and feeds every network.

The pass works shard by shard. A shard is a run of consecutive images; its key is the hash of their
content hashes. Whatever a network has already computed for a shard is taken from the cache, so a
pass that was killed goes on behind its last finished shard, and batches begin anew with each shard,
so the result does not depend on where it was killed.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from neuronym import _fingerprint
from neuronym._errors import NeuronymError, UsageError
from neuronym._types import Progress, silent
from neuronym.cache import Cache, Shelf
from neuronym.loading import Decoded, Glance, Loader
from neuronym.preprocess import Preprocess
from neuronym.probes.base import Probe
from neuronym.shards import ShardedRows

#: Images per shard, rounded down to whole batches.
SHARD_IMAGES = 256


class Consumer(Protocol):
    """A network that is fed with the probe's images and yields named arrays `[image, …]`."""

    preprocess: Preprocess
    shelves: Mapping[str, Shelf]

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> Mapping[str, Mapping[str, np.ndarray]]:
        """uint8 `[image, height, width, 3]` → for each wanted output its arrays."""


@dataclass(frozen=True)
class ImageRow:
    """What is known of one readable image."""

    image_id: str
    source: str | None
    width: int
    height: int
    content_hash: str
    annotations: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read."""

    image_id: str
    reason: str


@dataclass
class Extraction:
    """What a pass leaves: image rows, skipped images, and the shards of every output.

    `unannotated` images were read, but not their labels or masks.
    """

    images: list[ImageRow] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    unannotated: list[Skipped] = field(default_factory=list)
    parts: dict[str, list[tuple[Path, int]]] = field(default_factory=dict)
    computed: int = 0

    def rows(self, output: str, array: str, columns: int, dtype: np.dtype | type) -> ShardedRows:
        """One array of one output over all images, `[image, column]`."""
        return ShardedRows(self.parts.get(output, []), array, columns, dtype)

    @property
    def tie(self) -> np.ndarray:
        """int64 `[image]`: the place of each image in the order of content hashes (then ids)."""
        order = sorted(
            range(len(self.images)),
            key=lambda i: (self.images[i].content_hash, self.images[i].image_id),
        )
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        return places


@dataclass
class _Shard:
    """A run of images on its way through the pass."""

    glances: list[Glance]
    key: str
    wanted: list[list[str]]  # per consumer the outputs that the cache lacks
    sizes: dict[str, np.ndarray] | None  # from the cache, or None
    errors: dict[str, str]


def extract(
    probe: Probe,
    consumers: Sequence[Consumer],
    cache: Cache,
    *,
    batch_size: int = 32,
    workers: int = 2,
    progress: Progress = silent,
) -> Extraction:
    """Feed all images to all consumers, keeping finished shards in the cache.

    Raises:
        UsageError: the probe is empty or repeats an image id.
        NeuronymError: no image could be read, or the disk is full.
    """
    if len(probe) == 0:
        raise UsageError(f"Expected `probe` to hold at least one image, got none in {probe.name}.")
    repeated = [i for i, n in Counter(map(probe.image_id, range(len(probe)))).items() if n > 1]
    if repeated:
        raise UsageError(
            f"Expected image ids of {probe.name} to be unique, got {repeated[0]!r} twice."
        )
    sizes = cache.shelf("images", {"what": "sizes and errors of decoded images"})
    done = Extraction(parts={name: [] for consumer in consumers for name in consumer.shelves})
    with Loader(probe, workers) as loader, progress("reading the probe", len(probe)) as tick:
        lookahead = max(2, -(-2 * workers // batch_size) + 1)
        batches = _ahead(_batches(probe, consumers, sizes, loader, batch_size), lookahead)
        collected: dict[str, list[Mapping[str, np.ndarray]]] = {}
        decoded: list[Decoded] = []
        for shard, futures, last in batches:
            if futures is not None:
                some = [future.result() for future in futures]
                decoded += some
                _feed(consumers, shard, [image for image in some if image.error is None], collected)
                tick.advance(len(some))
                done.computed += len(some)
            else:
                tick.advance(len(shard.glances), instant=True)
            if last:
                _finish(probe, consumers, sizes, shard, decoded, collected, done)
                collected, decoded = {}, []
    if not done.images:
        first = done.skipped[0]
        raise NeuronymError(
            f"None of the {len(probe):,} images of {probe.name} could be read; the first, "
            f"{first.image_id}: {first.reason}"
        )
    return done


_Step = tuple[_Shard, "list[Future[Decoded]] | None", bool]


def _batches(
    probe: Probe, consumers: Sequence[Consumer], sizes: Shelf, loader: Loader, batch_size: int
) -> Iterator[_Step]:
    """Shards cut into batches whose decoding has been started; None for a shard from the cache."""
    length = max(batch_size, SHARD_IMAGES // batch_size * batch_size)
    ranges = [range(s, min(s + length, len(probe))) for s in range(0, len(probe), length)]
    waiting: deque[list[Future[Glance]]] = deque()
    for number, _ in enumerate(ranges):
        while len(waiting) < 2 and number + len(waiting) < len(ranges):
            waiting.append(loader.glance(ranges[number + len(waiting)]))
        glances = [future.result() for future in waiting.popleft()]
        shard = _plan(glances, consumers, sizes)
        steps = [c.preprocess for c, names in zip(consumers, shard.wanted, strict=True) if names]
        if not steps and shard.sizes is not None:
            yield shard, None, True
            continue
        for start in range(0, len(glances), batch_size):
            batch = glances[start : start + batch_size]
            last = start + batch_size >= len(glances)
            yield shard, loader.decode(batch, steps), last


def _ahead(steps: Iterator[_Step], count: int) -> Iterator[_Step]:
    """Keep `count` items started before they are needed."""
    started: deque[_Step] = deque()
    for step in steps:
        started.append(step)
        if len(started) > count:
            yield started.popleft()
    yield from started


def _plan(glances: list[Glance], consumers: Sequence[Consumer], sizes: Shelf) -> _Shard:
    key = _fingerprint.of_texts(glance.content_hash for glance in glances)
    known = sizes.read(key)
    wanted = [
        [name for name, shelf in consumer.shelves.items() if known is None or not shelf.has(key)]
        for consumer in consumers
    ]
    arrays, about = known if known is not None else (None, {})
    return _Shard(glances, key, wanted, arrays, json.loads(about.get("errors", "{}")))


def _feed(
    consumers: Sequence[Consumer],
    shard: _Shard,
    images: list[Decoded],
    collected: dict[str, list[Mapping[str, np.ndarray]]],
) -> None:
    """Run every network that has something to compute on one batch."""
    if not images:
        return
    place = 0
    for consumer, names in zip(consumers, shard.wanted, strict=True):
        if not names:
            continue
        pixels = np.stack([image.pixels[place] for image in images])
        for name, arrays in consumer(pixels, names).items():
            collected.setdefault(name, []).append(arrays)
        place += 1


def _finish(
    probe: Probe,
    consumers: Sequence[Consumer],
    sizes: Shelf,
    shard: _Shard,
    decoded: list[Decoded],
    collected: dict[str, list[Mapping[str, np.ndarray]]],
    done: Extraction,
) -> None:
    """Write what is new of a finished shard, and enter its images."""
    readable = [image for image in decoded if image.error is None]
    for consumer, names in zip(consumers, shard.wanted, strict=True):
        for name in names:
            if readable:
                batches = collected[name]
                whole = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
                consumer.shelves[name].write(shard.key, whole, {})
    if shard.sizes is None:
        shard.sizes = {
            "width": np.array([image.width for image in decoded], np.int32),
            "height": np.array([image.height for image in decoded], np.int32),
        }
        shard.errors = {
            str(place): image.error
            for place, image in enumerate(decoded)
            if image.error is not None
        }
        # Written last: its presence says that the readable rows of the shard are known.
        sizes.write(shard.key, shard.sizes, {"errors": json.dumps(shard.errors)})
    count = len(shard.glances) - len(shard.errors)
    for consumer in consumers:
        for name, shelf in consumer.shelves.items():
            done.parts[name].append((shelf.path(shard.key), count))
    for place, glance in enumerate(shard.glances):
        identity = probe.image_id(glance.index)
        if str(place) in shard.errors:
            done.skipped.append(Skipped(identity, shard.errors[str(place)]))
            continue
        if glance.warning is not None:
            done.unannotated.append(Skipped(identity, glance.warning))
        width, height = int(shard.sizes["width"][place]), int(shard.sizes["height"][place])
        done.images.append(
            ImageRow(
                identity, probe.source(glance.index), width, height,
                glance.content_hash, glance.annotations,
            )
        )  # fmt: skip
