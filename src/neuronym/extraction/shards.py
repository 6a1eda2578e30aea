"""Shards, the pieces of a pass: images read and decoded, what is computed of them, and written."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol, TypeVar

import numpy as np
from PIL import Image

from neuronym._core import hashing
from neuronym._core.errors import CorruptImageError
from neuronym._core.progress import Ticker
from neuronym.extraction.cache import Cache, CacheEntry
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Probe, RawImage
from neuronym.inputs.probes.deep import NeedsPackageError

#: Larger encoded images are read again for decoding rather than held in memory.
_HOLD_BYTES = 1 << 18
#: Images per shard, rounded down to whole batches.
SHARD_IMAGES = 256
#: The arrays of an output: name → number of columns, type of the numbers.
Arrays = Mapping[str, tuple[int, Any]]
T = TypeVar("T")
#: By output the arrays of each batch of a shard.
Collected = dict[str, list[Mapping[str, np.ndarray]]]


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

    @property
    def preprocess(self) -> Preprocess: ...
    @property
    def entries(self) -> Mapping[str, CacheEntry]: ...
    @property
    def arrays(self) -> Mapping[str, Arrays]: ...  # of every output
    @property
    def beside(self) -> Mapping[str, CacheEntry]: ...  # what else is kept of a computed shard

    def running(self) -> AbstractContextManager[None]:
        """A context for any number of calls, which may then share what they set up."""

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> Mapping[str, Mapping[str, np.ndarray]]:
        """uint8 `[image, height, width, 3]` → for each wanted output its arrays."""

    def shard_ends(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        """By name what is kept `beside` the outputs of the images seen since the last call."""


@dataclass
class Shard:
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


def shard_length(batch_size: int) -> int:
    """Images in a shard: whole batches."""
    return max(batch_size, SHARD_IMAGES // batch_size * batch_size)


@dataclass(frozen=True, eq=False)
class Work:
    """What a pass has to do.

    Attributes:
        needed: how many of the consumers, from the first, a shard has to have been fed to.
        sizes: where sizes and errors of images are kept.
    """

    probe: Probe
    consumers: Sequence[Consumer]
    needed: int
    cache: Cache
    sizes: CacheEntry
    batch_size: int
    workers: int

    @property
    def ranges(self) -> list[range]:
        """The places of the images of every shard."""
        length, count = shard_length(self.batch_size), len(self.probe)
        return [range(s, min(s + length, count)) for s in range(0, count, length)]

    @property
    def ahead(self) -> int:
        """How many batches are being decoded before they are needed."""
        return max(2, -(-2 * self.workers // self.batch_size) + 1)

    def planned(self, headers: list[Header]) -> Shard:
        """A shard of images that were read, and what the cache lacks of it."""
        return _plan(headers, self.consumers, self.sizes)

    def lacks(self, shard: Shard) -> bool:
        """Whether there is anything to compute."""
        return not shard.known or any(shard.wanted[: self.needed])

    def finish(
        self,
        shard: Shard,
        decoded: Sequence[Decoded],
        collected: Collected,
        behind: Behind,
        again: Callable[[Shard], Collected],
    ) -> None:
        """Write what is new of a shard that has been decoded.

        Args:
            behind: writes it.
            again: decodes the shard once more and computes what is wanted then. Called where other
                images were readable than when the rest of the shard was cached.
        """
        errors = {str(p): d.error for p, d in enumerate(decoded) if d.error is not None}
        expected = shard.errors if shard.known else errors
        shard.width = np.array([image.width for image in decoded], np.int32)
        shard.height = np.array([image.height for image in decoded], np.int32)
        shard.errors = errors

        def write() -> None:
            _write(shard, self.consumers, collected)
            if not any(image.passing for image in decoded):
                # An error that may pass is not kept: the next run tries again.
                arrays = {"width": shard.width, "height": shard.height}
                self.sizes.write(shard.content, arrays, {"errors": json.dumps(errors)})

        behind.start(write)
        if errors.keys() != expected.keys():
            behind.wait()
            shard.wanted = _lacking(shard, self.consumers)
            _write(shard, self.consumers, again(shard))


#: Yields the finished shards of a pass in their order, each with how many images were computed.
Shards = Callable[[Work, Ticker], Iterator[tuple[Shard, int]]]


def here(work: Work, tick: Ticker) -> Iterator[tuple[Shard, int]]:
    """The shards of a pass, computed by this process."""
    with ExitStack() as stack:
        for consumer in work.consumers:
            stack.enter_context(consumer.running())
        loader = stack.enter_context(Loader(work.probe, work.workers))
        behind = stack.enter_context(Behind())
        collected: Collected = {}
        decoded: list[Decoded] = []
        begun = False
        _end(work.consumers)  # forget what a pass that was stopped had begun

        def again(shard: Shard) -> Collected:
            return compute(work.consumers, shard, loader, work.batch_size)[1]

        for shard, futures, last in _ahead(_batches(work, loader), work.ahead):
            if futures is None:
                tick.advance(len(shard.headers), instant=True)
                yield shard, 0
                continue
            if not begun:
                work.cache.check_writable()
                begun = True
            decoded += _fed(work.consumers, shard, futures, collected)
            tick.advance(len(futures))
            if last:
                collected |= _end(work.consumers)
                work.finish(shard, decoded, collected, behind, again)
                yield shard, len(decoded)
                collected, decoded = {}, []


def compute(
    consumers: Sequence[Consumer],
    shard: Shard,
    loader: Loader,
    batch_size: int,
    *,
    ahead: int = 2,
    gate: AbstractContextManager[Any] | None = None,
    tick: Callable[[int], object] = int,
) -> tuple[list[Decoded], Collected]:
    """Decode one shard and feed it to the consumers that lack something of it.

    Args:
        ahead: how many batches are being decoded before they are needed.
        gate: held while the networks run; the first batches are decoded before.
        tick: called with the size of every batch that is done.
    """
    collected: Collected = {}
    decoded: list[Decoded] = []
    batches = _ahead(_decoding(consumers, shard, loader, batch_size), ahead)
    first = next(batches)
    with gate or nullcontext(), ExitStack() as stack:
        for consumer in consumers:
            stack.enter_context(consumer.running())
        _end(consumers)
        for futures in chain([first], batches):
            decoded += _fed(consumers, shard, futures, collected)
            tick(len(futures))
        collected |= _end(consumers)
    return decoded, collected


_Futures = list[Future[Decoded]]


def _batches(work: Work, loader: Loader) -> Iterator[tuple[Shard, _Futures | None, bool]]:
    """Batches whose decoding has been started, with their shards, and whether each is the last one;
    None for a shard of which nothing is lacking."""
    ranges = work.ranges
    waiting: deque[list[Future[Header]]] = deque()
    for number, _ in enumerate(ranges):
        while len(waiting) < 2 and number + len(waiting) < len(ranges):
            waiting.append(loader.header(ranges[number + len(waiting)]))
        shard = work.planned([future.result() for future in waiting.popleft()])
        if not work.lacks(shard):
            yield shard, None, True
            continue
        left = len(shard.headers)
        for futures in _decoding(work.consumers, shard, loader, work.batch_size):
            left -= len(futures)
            yield shard, futures, not left


def _decoding(
    consumers: Sequence[Consumer], shard: Shard, loader: Loader, batch_size: int
) -> Iterator[_Futures]:
    """The batches of a shard, the decoding of each started when it is asked for."""
    steps = _steps(consumers, shard)
    for start in range(0, len(shard.headers), batch_size):
        yield loader.decode(shard.headers[start : start + batch_size], steps)


def _steps(consumers: Sequence[Consumer], shard: Shard) -> list[Preprocess]:
    """What has to be made of an image: once for networks that see the same pixels."""
    pairs = zip(consumers, shard.wanted, strict=True)
    return list(dict.fromkeys(c.preprocess.pixel_steps for c, names in pairs if names))


def _ahead(steps: Iterator[T], count: int) -> Iterator[T]:
    """Keep `count` items started before they are needed."""
    started: deque[T] = deque()
    for step in steps:
        started.append(step)
        if len(started) > count:
            yield started.popleft()
    yield from started


def _plan(headers: list[Header], consumers: Sequence[Consumer], sizes: CacheEntry) -> Shard:
    empty = np.zeros(len(headers), np.int32)
    shard = Shard(headers, False, empty, empty, {}, [list(c.entries) for c in consumers])
    found = sizes.read(shard.content) if sizes.has(shard.content, len(headers)) else None
    if found is None:
        return shard
    arrays, about = found
    shard.known, shard.errors = True, json.loads(about["errors"])
    shard.width, shard.height = arrays["width"], arrays["height"]
    shard.wanted = _lacking(shard, consumers)
    return shard


def _lacking(shard: Shard, consumers: Sequence[Consumer]) -> list[list[str]]:
    """Per consumer the outputs that the cache does not have for this shard."""
    if not shard.rows:
        return [[] for _ in consumers]
    return [
        [name for name, entry in c.entries.items() if not entry.has(shard.key, shard.rows)]
        for c in consumers
    ]


def _fed(
    consumers: Sequence[Consumer], shard: Shard, futures: _Futures, collected: Collected
) -> list[Decoded]:
    """Run every network that lacks something on one batch, which is returned without pixels."""
    images = [future.result() for future in futures]
    readable = [image for image in images if image.error is None]
    batches = {
        step: np.stack([image.pixels[place] for image in readable])
        for place, step in enumerate(_steps(consumers, shard) if readable else ())
    }
    for consumer, names in zip(consumers, shard.wanted, strict=True):
        if names and readable:
            for name, arrays in consumer(batches[consumer.preprocess.pixel_steps], names).items():
                collected.setdefault(name, []).append(arrays)
    return [replace(image, pixels=()) for image in images]


def _end(consumers: Sequence[Consumer]) -> Collected:
    """What the consumers keep of a shard beside its outputs, now that it ends."""
    kept = (consumer.shard_ends() for consumer in consumers if consumer.beside)
    return {name: [arrays] for some in kept for name, arrays in some.items()}


class Behind:
    """Writes one shard to disk while the networks are at the next. Use as a context manager."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="neuronym-write")
        self._started: Future[None] | None = None

    def __enter__(self) -> Behind:
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


def _write(shard: Shard, consumers: Sequence[Consumer], collected: Collected) -> None:
    for consumer in consumers:
        for name, entry in [*consumer.entries.items(), *consumer.beside.items()]:
            if name in collected:
                batches = collected[name]
                whole = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
                entry.write(shard.key, whole, {})
