"""One pass over the probe: each image is decoded once and feeds every network.

The pass works shard by shard. A shard is a run of consecutive images; its key is the hash of their
content hashes. Whatever a network has already computed for a shard is taken from the cache, so a
pass that was killed goes on behind its last finished shard, and batches begin anew with each shard,
so the result does not depend on where it was killed.
"""

from __future__ import annotations

import functools
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from neuronym._core import hashing
from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.progress import Progress, silent
from neuronym.extraction.cache import Cache, CacheEntry, ShardedRows
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Probe, RawImage
from neuronym.inputs.probes.deep import NeedsPackageError

#: Larger encoded images are read again for decoding rather than held in memory.
_HOLD_BYTES = 1 << 18
#: Images per shard, rounded down to whole batches.
SHARD_IMAGES = 256
#: The arrays of an output: name → number of columns, type of the numbers.
Arrays = Mapping[str, tuple[int, Any]]
_Collected = dict[str, list[Mapping[str, np.ndarray]]]


@dataclass(frozen=True, eq=False)
class Header:
    """One image, read and hashed but not decoded."""

    index: int
    content_hash: str
    annotations: tuple[tuple[str, str, float], ...] = ()
    error: str | None = None
    warning: str | None = None
    raw: RawImage | None = None


@dataclass(frozen=True, eq=False)
class Decoded:
    """One decoded image: its size, and uint8 pixels for each preprocessing, or an error."""

    index: int
    width: int = 0
    height: int = 0
    pixels: tuple[np.ndarray, ...] = ()
    error: str | None = None
    passing: bool = False  # the error may be gone the next time


class Loader:
    """Threads that read and decode images of a probe. Use as a context manager."""

    def __init__(self, probe: Probe, workers: int) -> None:
        self.probe = probe
        self._threads = ThreadPoolExecutor(max(1, workers), thread_name_prefix="neuronym-load")

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def header(self, indices: Sequence[int]) -> list[Future[Header]]:
        """Start reading, hashing and collecting annotations."""
        return [self._threads.submit(self._header, index) for index in indices]

    def decode(
        self, headers: Sequence[Header], steps: Sequence[Preprocess | Any]
    ) -> list[Future[Decoded]]:
        """Start decoding and preprocessing, once per image for all networks."""
        return [self._threads.submit(self._decode, header, steps) for header in headers]

    def _header(self, index: int) -> Header:
        try:
            raw = self.probe.read(index)
            content_hash = raw.content_hash
        except CorruptImageError as error:
            return Header(index, "unreadable", error=str(error))
        held = raw if _size(raw) <= _HOLD_BYTES else None
        try:
            annotations = self._annotations(index)
        except CorruptImageError as error:
            # The image itself is fine; its annotations are lost, and that is said.
            return Header(index, content_hash, (), warning=str(error), raw=held)
        return Header(index, content_hash, annotations, raw=held)

    def _annotations(self, index: int) -> tuple[tuple[str, str, float], ...]:
        """Image-wide labels (area 1) and masks (their share of the image)."""
        found: dict[tuple[str, str], float] = {}
        for mask in self.probe.masks(index):
            key = (mask.category, mask.name)
            share = float(np.count_nonzero(mask.pixels) / max(mask.pixels.size, 1))
            found[key] = min(1.0, found.get(key, 0.0) + share)
        for label in self.probe.labels(index):
            found[label.category, label.name] = 1.0
        return tuple((*key, area) for key, area in sorted(found.items()))

    def _decode(self, header: Header, steps: Sequence[Preprocess | Any]) -> Decoded:
        if header.error is not None:
            return Decoded(header.index, error=header.error)
        try:
            raw = header.raw or self.probe.read(header.index)
        except CorruptImageError as error:
            return Decoded(header.index, error=str(error), passing=True)
        try:
            pixels = raw.seen(*steps)
            width, height = raw.size
        except NeedsPackageError as error:
            return Decoded(header.index, error=str(error), passing=True)
        except CorruptImageError as error:
            return Decoded(header.index, error=str(error))
        return Decoded(header.index, width, height, pixels)


def decoder() -> str:
    """What decides which images can be decoded: Pillow's version and its formats."""
    import PIL

    Image.init()
    return f"Pillow {PIL.__version__}: {' '.join(sorted(Image.OPEN))}"


def _size(raw: RawImage) -> int:
    if isinstance(raw.data, bytes):
        return len(raw.data)
    if not isinstance(raw.data, Image.Image):
        return raw.data.nbytes  # an array or a tensor
    return raw.data.width * raw.data.height * 3


class Consumer(Protocol):
    """A network that is fed with the probe's images and yields named arrays `[image, …]`."""

    preprocess: Preprocess
    entries: Mapping[str, CacheEntry]
    arrays: Mapping[str, Arrays]  # of every output
    beside: Mapping[str, CacheEntry]  # of outputs with something else that is kept of each shard

    def running(self) -> AbstractContextManager[None]:
        """A context for any number of calls, which may then share what they set up."""

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> Mapping[str, Mapping[str, np.ndarray]]:
        """uint8 `[image, height, width, 3]` → for each wanted output its arrays."""

    def shard_ends(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        """What is kept `beside` the outputs of a shard, all of whose images have been seen."""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """What is known of one readable image."""

    image_id: str
    source: str | None
    width: int
    height: int
    content_hash: str
    annotations: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image that could not be read."""

    image_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A readable image for which another one stands, and that one's id."""

    image: ImageRow
    of: str
    equal: bool  # the same content, not just nearly


@dataclass
class Extraction:
    """What a pass leaves: image rows, skipped images, and the shards of every output.

    `unannotated` images were read, but not their labels or masks. `copies` were read, but have no
    row of their own; `kept` are then the places, among all readable images, of those that have.
    `duplicates` says what is known of groups of images: see `ProbeFacts`. `beside`: as `parts`, of
    what consumers keep beside their outputs; of shards that lay in the cache it may lack.
    """

    images: list[ImageRow] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
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

    def grouped(self, stands: np.ndarray, *, once: bool, **levels: float) -> Extraction:
        """The same, knowing of groups of images that are one picture.

        Args:
            stands: int64 `[image]`: the row of the image that stands for each; see `duplicates`.
            once: leave one row per group, that of the image that stands for it.
            levels: from which on images are nearly equal; goes into `duplicates`.
        """
        images = self.images
        copies = [
            Copy(image, images[of].image_id, image.content_hash == images[of].content_hash)
            for row, (image, of) in enumerate(zip(images, stands.tolist(), strict=True))
            if of != row
        ]
        groups = len({copy.of for copy in copies})
        facts = {
            "counted": "once" if once else "all",
            "groups": groups,
            "images": groups + len(copies),
            "equal": sum(copy.equal for copy in copies),
            **levels,
        }
        if not once:
            return replace(self, duplicates=facts)
        own = self.only(np.flatnonzero(stands == np.arange(len(images))))
        return replace(own, copies=copies, duplicates=facts)

    def only(self, rows: np.ndarray) -> Extraction:
        """The same with some of the rows, int64 and ascending."""
        images = [self.images[row] for row in rows.tolist()]
        return replace(self, images=images, kept=rows)

    @functools.cached_property
    def tie(self) -> np.ndarray:
        """int64 `[image]`: the place of each image in the order of content hashes (then ids)."""
        images = self.images
        return hashing.tie_order(
            [image.content_hash for image in images], [image.image_id for image in images]
        )


@dataclass
class _Shard:
    """A run of images on its way through the pass.

    `key` names what was decoded: the content of all images and which of them were readable, so
    that cached arrays always have the rows that the shard has.
    """

    headers: list[Header]
    known: bool  # whether sizes and errors come from the cache
    width: np.ndarray
    height: np.ndarray
    errors: dict[str, str]  # place → reason
    wanted: list[list[str]]  # per consumer the outputs that the cache lacks

    @property
    def content(self) -> str:
        """Names the images as they lie there."""
        return hashing.of_texts(header.content_hash for header in self.headers)

    @property
    def key(self) -> str:
        """Names the images as they were decoded."""
        return hashing.of_texts([self.content, *sorted(self.errors, key=int)])

    @property
    def rows(self) -> int:
        """Readable images."""
        return len(self.headers) - len(self.errors)


def extract(
    probe: Probe,
    consumers: Sequence[Consumer],
    cache: Cache,
    *,
    aside: Sequence[Consumer] = (),
    batch_size: int = 32,
    workers: int = 2,
    progress: Progress = silent,
) -> Extraction:
    """Feed all images to all consumers, keeping finished shards in the cache.

    Consumers `aside` get what is decoded for the others: of shards that those have in the cache
    already they may lack theirs.

    Raises:
        UsageError: the probe is empty or repeats an image id.
        NeuronymError: no image could be read, or the disk is full.
    """
    if len(probe) == 0:
        raise UsageError(f"Expected `probe` to hold at least one image, got none in {probe.name}.")
    for index in range(len(probe)):
        if not _storable(probe.image_id(index)):
            raise UsageError(
                f"Expected image ids of {probe.name} to be UTF-8 text, not empty, "
                f"got {probe.image_id(index)!r}."
            )
    repeated = [i for i, n in Counter(map(probe.image_id, range(len(probe)))).items() if n > 1]
    if repeated:
        raise UsageError(
            f"Expected image ids of {probe.name} to be unique, got {repeated[0]!r} twice."
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
    _ended(consumers)  # forget what a pass that was stopped had begun
    with ExitStack() as stack:
        for consumer in consumers:
            stack.enter_context(consumer.running())
        loader = stack.enter_context(Loader(probe, workers))
        behind = stack.enter_context(_Behind())
        tick = stack.enter_context(progress("reading the probe", len(probe)))
        lookahead = max(2, -(-2 * workers // batch_size) + 1)
        batches = _ahead(_batches(probe, consumers, needed, sizes, loader, batch_size), lookahead)
        collected: _Collected = {}
        decoded: list[Decoded] = []
        for shard, futures, last in batches:
            if futures is not None:
                if not done.computed:
                    cache.check_writable()
                some = [future.result() for future in futures]
                _feed(consumers, shard, some, collected)
                decoded += [replace(image, pixels=()) for image in some]
                tick.advance(len(some))
                done.computed += len(some)
            else:
                tick.advance(len(shard.headers), instant=True)
            if last and decoded:
                _finish(shard, consumers, sizes, loader, behind, decoded, collected, batch_size)
            if last:
                _enter(probe, consumers, shard, done)
                collected, decoded = {}, []
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


_Step = tuple[_Shard, "list[Future[Decoded]] | None", bool]


def _batches(
    probe: Probe,
    consumers: Sequence[Consumer],
    needed: int,
    sizes: CacheEntry,
    loader: Loader,
    batch_size: int,
) -> Iterator[_Step]:
    """Shards cut into batches whose decoding has been started; None for a shard of which the first
    `needed` consumers lack nothing."""
    length = max(batch_size, SHARD_IMAGES // batch_size * batch_size)
    ranges = [range(s, min(s + length, len(probe))) for s in range(0, len(probe), length)]
    waiting: deque[list[Future[Header]]] = deque()
    for number, _ in enumerate(ranges):
        while len(waiting) < 2 and number + len(waiting) < len(ranges):
            waiting.append(loader.header(ranges[number + len(waiting)]))
        headers = [future.result() for future in waiting.popleft()]
        shard = _plan(headers, consumers, sizes)
        if shard.known and not any(shard.wanted[:needed]):
            yield shard, None, True
            continue
        for start in range(0, len(headers), batch_size):
            futures = loader.decode(headers[start : start + batch_size], _steps(consumers, shard))
            yield shard, futures, start + batch_size >= len(headers)


def _steps(consumers: Sequence[Consumer], shard: _Shard) -> list[Preprocess]:
    """What has to be made of an image: once for networks that see the same pixels."""
    pairs = zip(consumers, shard.wanted, strict=True)
    return list(dict.fromkeys(c.preprocess.pixel_steps for c, names in pairs if names))


def _ahead(steps: Iterator[_Step], count: int) -> Iterator[_Step]:
    """Keep `count` items started before they are needed."""
    started: deque[_Step] = deque()
    for step in steps:
        started.append(step)
        if len(started) > count:
            yield started.popleft()
    yield from started


def _plan(headers: list[Header], consumers: Sequence[Consumer], sizes: CacheEntry) -> _Shard:
    empty = np.zeros(len(headers), np.int32)
    shard = _Shard(headers, False, empty, empty, {}, [list(c.entries) for c in consumers])
    found = sizes.read(shard.content) if sizes.has(shard.content, len(headers)) else None
    if found is None:
        return shard
    arrays, about = found
    shard.known, shard.errors = True, json.loads(about["errors"])
    shard.width, shard.height = arrays["width"], arrays["height"]
    shard.wanted = _lacking(shard, consumers)
    return shard


def _lacking(shard: _Shard, consumers: Sequence[Consumer]) -> list[list[str]]:
    """Per consumer the outputs that the cache does not have for this shard."""
    if not shard.rows:
        return [[] for _ in consumers]
    return [
        [name for name, entry in c.entries.items() if not entry.has(shard.key, shard.rows)]
        for c in consumers
    ]


def _feed(
    consumers: Sequence[Consumer],
    shard: _Shard,
    images: Sequence[Decoded],
    collected: _Collected,
) -> None:
    """Run every network that has something to compute on one batch."""
    readable = [image for image in images if image.error is None]
    if not readable:
        return
    batches = {
        step: np.stack([image.pixels[place] for image in readable])
        for place, step in enumerate(_steps(consumers, shard))
    }
    for consumer, names in zip(consumers, shard.wanted, strict=True):
        if names:
            for name, arrays in consumer(batches[consumer.preprocess.pixel_steps], names).items():
                collected.setdefault(name, []).append(arrays)


def _finish(
    shard: _Shard,
    consumers: Sequence[Consumer],
    sizes: CacheEntry,
    loader: Loader,
    behind: _Behind,
    decoded: list[Decoded],
    collected: _Collected,
    batch_size: int,
) -> None:
    """Write what is new of a shard that has been decoded."""
    errors = {str(p): d.error for p, d in enumerate(decoded) if d.error is not None}
    expected = shard.errors if shard.known else errors
    shard.width = np.array([image.width for image in decoded], np.int32)
    shard.height = np.array([image.height for image in decoded], np.int32)
    shard.errors = errors

    def write() -> None:
        _write(shard, consumers, collected, beside)
        if not any(image.passing for image in decoded):
            # An error that may pass is not kept: the next run tries again.
            arrays = {"width": shard.width, "height": shard.height}
            sizes.write(shard.content, arrays, {"errors": json.dumps(errors)})

    beside = _ended(consumers)
    behind.start(write)
    if errors.keys() == expected.keys():
        return
    # Other images were readable than when the rest of this shard was cached: compute that too.
    behind.wait()
    shard.wanted = _lacking(shard, consumers)
    rest: _Collected = {}
    for start in range(0, len(shard.headers), batch_size):
        batch = shard.headers[start : start + batch_size]
        futures = loader.decode(batch, _steps(consumers, shard))
        _feed(consumers, shard, [future.result() for future in futures], rest)
    _write(shard, consumers, rest, _ended(consumers))


class _Behind:
    """Writes one shard to disk while the networks are at the next. Use as a context manager."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="neuronym-write")
        self._started: Future[None] | None = None

    def __enter__(self) -> _Behind:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self.wait()

    def start(self, write: Callable[[], None]) -> None:
        """Begin to write, when what was begun before is on disk."""
        self.wait()
        self._started = self._thread.submit(write)

    def wait(self) -> None:
        """Until nothing is left to write; raises what writing raised."""
        started, self._started = self._started, None
        if started is not None:
            started.result()


def _ended(consumers: Sequence[Consumer]) -> list[Mapping[str, Mapping[str, np.ndarray]]]:
    """By consumer what it keeps of a shard beside its outputs."""
    return [consumer.shard_ends() if consumer.beside else {} for consumer in consumers]


def _write(
    shard: _Shard,
    consumers: Sequence[Consumer],
    collected: _Collected,
    beside: Sequence[Mapping[str, Mapping[str, np.ndarray]]],
) -> None:
    for consumer, kept in zip(consumers, beside, strict=True):
        for name, arrays in kept.items():
            consumer.beside[name].write(shard.key, arrays, {})
        for name, entry in consumer.entries.items():
            if name in collected:
                batches = collected[name]
                whole = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
                entry.write(shard.key, whole, {})


def _enter(probe: Probe, consumers: Sequence[Consumer], shard: _Shard, done: Extraction) -> None:
    """Enter a finished shard and its images."""
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
