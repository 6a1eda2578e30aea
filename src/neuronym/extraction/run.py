"""One pass over the probe: each image is decoded once and feeds every network.

The pass works shard by shard. A shard is a run of consecutive images; its key is the hash of their
content hashes. Whatever a network has already computed for a shard is taken from the cache, so a
pass that was killed goes on behind its last finished shard, and batches begin anew with each shard,
so the result does not depend on where it was killed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from neuronym._core import hashing
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.numerics.topk import Ranked, UnitStats, topk
from neuronym._core.progress import Progress, silent
from neuronym._core.texts import first_repeated
from neuronym.extraction.cache import Cache, ShardedRows
from neuronym.extraction.image_table import Chosen, Copies, ImageRow, ImageTable
from neuronym.extraction.shards import Arrays, Consumer, Shard, Shards, Work, decoder, here
from neuronym.inputs.probes.base import Probe

#: Images that are read at once.
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image that could not be read."""

    image_id: str
    reason: str


@dataclass
class Extraction:
    """What a pass leaves: image rows, skipped images, and the shards of every output.

    `unannotated` images were read, but not their labels or masks. `copies` were read, but have no
    row of their own; `kept` are then the places, among all readable images, of those that have.
    `duplicates` says what is known of groups of images: see `ProbeFacts`. `beside`: as `parts`, of
    what consumers keep beside their outputs; of shards that lay in the cache it may lack.
    """

    images: ImageTable | Chosen = field(default_factory=ImageTable)
    copies: Copies | None = None
    kept: np.ndarray | None = None
    duplicates: dict[str, Any] | None = None
    skipped: list[Skipped] = field(default_factory=list)
    unannotated: list[Skipped] = field(default_factory=list)
    parts: dict[str, list[tuple[Path, int]]] = field(default_factory=dict)
    beside: dict[str, list[tuple[Path, int]]] = field(default_factory=dict)
    arrays: dict[str, Arrays] = field(default_factory=dict)
    computed: int = 0

    def rows(self, output: str, array: str = "values") -> ShardedRows:
        """One array of one output over the images, `[image, column]`."""
        columns, kind = self.arrays[output][array]
        return ShardedRows(self.parts[output], array, columns, kind, self.kept)

    def grouped(self, stands: np.ndarray, *, once: bool, **levels: float) -> Self:
        """The same, knowing of groups of images that are one picture.

        Args:
            stands: int64 `[image]`: the row of the image that stands for each; see `duplicates`.
            once: leave one row per group, that of the image that stands for it.
            levels: from which on images are nearly equal; goes into `duplicates`.
        """
        assert isinstance(self.images, ImageTable)
        copies = Copies(self.images, stands)
        groups = len(np.unique(copies.of))
        facts = {
            "counted": "once" if once else "all",
            "groups": groups,
            "images": groups + len(copies),
            "equal": int(copies.equal.sum()),
            **levels,
        }
        if not once:
            return replace(self, duplicates=facts)
        own = self.only(np.flatnonzero(stands == np.arange(len(stands))))
        return replace(own, copies=copies, duplicates=facts)

    def only(self, rows: np.ndarray) -> Self:
        """The same with some of the rows of a whole pass, int64 and ascending."""
        assert isinstance(self.images, ImageTable)
        return replace(self, images=Chosen(self.images, rows), kept=rows)

    def highest(self, output: str, k: int) -> tuple[Ranked, UnitStats]:
        """The k highest images of every unit of a layer, and the units' statistics."""
        rows = self.rows(output)
        stats = UnitStats(rows.shape[1])
        return topk(rows, k, self.tie, stats=stats), stats

    def peaks(self, output: str, indices: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Where the maxima of some images lie, as places in the map; −1 where not wanted.

        Args:
            output: a layer that has positions.
            indices: rows of images, `[unit, place]`.
            wanted: which of them, bool.

        Returns:
            int64 `[unit, place]`.
        """
        rows, found = self.rows(output, "peaks"), np.full(indices.shape, -1, np.int64)
        for start in range(0, rows.shape[0], _BLOCK):
            block = rows[start : start + _BLOCK]
            unit, place = np.nonzero(wanted & (indices >= start) & (indices < start + len(block)))
            found[unit, place] = block[indices[unit, place] - start, unit]
        return found

    @functools.cached_property
    def tie(self) -> np.ndarray:
        """int64 `[image]`: the place of each image in the order of content hashes (then ids)."""
        whole = self.images.whole if isinstance(self.images, Chosen) else self.images
        places = hashing.tie_order(whole.column("content_hash"), whole.column("image_id"))
        if self.kept is None:
            return places
        tie = np.empty(len(self.kept), np.int64)
        tie[np.argsort(places[self.kept])] = np.arange(len(tie))
        return tie


def extract(
    probe: Probe,
    consumers: Sequence[Consumer],
    cache: Cache,
    *,
    aside: Sequence[Consumer] = (),
    batch_size: int = 32,
    workers: int = 2,
    progress: Progress = silent,
    shards: Shards | None = None,
) -> Extraction:
    """Feed all images to all consumers, keeping finished shards in the cache.

    Consumers `aside` get what is decoded for the others: of shards that those have in the cache
    already they may lack theirs. `shards` computes them; None: this process does.

    Raises:
        UsageError: the probe is empty or repeats an image id.
        NeuronymError: no image could be read, or the disk is full.
    """
    if len(probe) == 0:
        raise UsageError(f"Expected `probe` to hold at least one image, got none in {probe.name}.")
    for identity in probe.ids:
        if not _storable(identity):
            raise UsageError(
                f"Expected image ids of {probe.name} to be UTF-8 text, not empty, got {identity!r}."
            )
    repeated = first_repeated(probe.ids)
    if repeated is not None:
        raise UsageError(
            f"Expected image ids of {probe.name} to be unique, got {repeated!r} twice."
        )
    probe.prepare(len(probe), cache.root, workers, progress)
    # What can be decoded depends on Pillow and its plugins; installing one makes a new entry.
    sizes = cache.entry("images", {"what": "sizes and errors of images", "decoder": decoder()})
    needed, consumers = len(consumers), [*consumers, *aside]
    done = Extraction(
        parts={name: [] for consumer in consumers for name in consumer.entries},
        beside={name: [] for consumer in consumers for name in consumer.beside},
        arrays={name: arrays for one in consumers for name, arrays in one.arrays.items()},
    )
    work = Work(probe, consumers, needed, cache, sizes, batch_size, workers)
    with progress("reading the probe", len(probe)) as tick:
        for shard, computed in (shards or here)(work, tick):
            _enter(probe, consumers, shard, done)
            done.computed += computed
    if not done.images:
        first = done.skipped[0]
        raise NeuronymError(
            f"None of the {len(probe):,} images of {probe.name} could be read; the first, "
            f"{first.image_id}: {first.reason}"
        )
    return done


def _storable(identity: object) -> bool:
    """Whether an id can stand in a table and on a line of its own."""
    try:
        return isinstance(identity, str) and bool(identity.encode()) and "\0" not in identity
    except UnicodeEncodeError:
        return False


def _enter(probe: Probe, consumers: Sequence[Consumer], shard: Shard, done: Extraction) -> None:
    """Enter a finished shard and its images."""
    assert isinstance(done.images, ImageTable)
    for consumer in consumers:
        for name, entry in consumer.entries.items():
            done.parts[name].append((entry.path(shard.key), shard.rows))
        for name, entry in consumer.beside.items():
            done.beside[name].append((entry.path(shard.key), shard.rows))
    for place, header in enumerate(shard.headers):
        identity = probe.image_id(header.index)
        if str(place) in shard.errors:
            done.skipped.append(Skipped(identity, shard.errors[str(place)]))
            continue
        if header.warning is not None:
            done.unannotated.append(Skipped(identity, header.warning))
        done.images.append(
            ImageRow(
                identity,
                probe.source(header.index),
                int(shard.width[place]),
                int(shard.height[place]),
                header.content_hash,
                header.annotations,
            )
        )
