"""What is to be scored, checked and cut into blocks, and the threads that take them."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.devices import full_precision
from neuronym._core.numerics.topk import Ranked, UnitStats, as_array, as_tensor, topk
from neuronym._core.progress import Progress
from neuronym._core.types import Rows

Item = TypeVar("Item")
_one_pass = threading.Lock()
#: A product of factors may come this close to the range of float32 (whose limit is 88.7).
_LOG_RANGE = 80.0
#: Within the concept set log p(t | x) is at most 0, but a word from outside it may be nearer to an
#: image than all concepts are, by up to 2·a. It counts as no nearer than this.
HIGHEST_LOG = 80.0


def _renew_lock() -> None:
    global _one_pass
    _one_pass = threading.Lock()


if hasattr(os, "register_at_fork"):  # the thread that holds the lock does not live on in a child
    os.register_at_fork(after_in_child=_renew_lock)


def on_threads(
    work: Callable[[Iterator[Item]], None],
    items: Iterable[Item],
    done: Callable[[Item], None] = lambda item: None,
) -> None:
    """Run `work` on each of torch's threads, all drawing from one series of items.

    torch's own operations run on one thread within: nothing competes for cores, and what a thread
    works on stays in its core's cache. Items are read by one thread at a time, in order.

    Args:
        work: called once per thread with its share of the items.
        items: whatever `work` takes.
        done: called when an item is finished, by one thread at a time.
    """
    series, guard, stop = iter(items), threading.Lock(), threading.Event()

    def draw() -> Iterator[Item]:
        while not stop.is_set():
            with guard:
                try:
                    item = next(series)
                except StopIteration:
                    return
            yield item
            with guard:
                done(item)

    def run() -> None:
        torch.set_num_threads(1)  # OpenMP keeps this number per thread
        try:
            work(draw())
        except BaseException:
            stop.set()
            raise

    # torch's number of threads is also the default of threads that begin: one change at a time.
    with _one_pass, full_precision():
        threads = torch.get_num_threads()
        if threads == 1:
            work(draw())
            return
        pool = ThreadPoolExecutor(threads)
        try:
            for task in [pool.submit(run) for _ in range(threads)]:
                task.result()
        finally:
            stop.set()  # Ctrl-C: finish no more than the items that are begun
            pool.shutdown()
            torch.set_num_threads(threads)


@dataclass(frozen=True)
class Limits:
    """How much is held at once; results depend on it only through rounding.

    Attributes:
        images: rows of image embeddings or activations in a block.
        concepts: concepts in a tile.
        values: numbers in any block, tile or working array.
        chunk: numbers in a working array of the innermost loops: it should stay in a core's cache,
            and below the size from which torch splits single operations over threads, because
            whole chunks are spread over threads already.
        rows: image embeddings in a block that one thread multiplies.
        span: concepts that one thread holds for all images in use.
    """

    images: int = 4096
    concepts: int = 512
    values: int = 1 << 23
    chunk: int = (1 << 15) - 1
    rows: int = 1024
    span: int = 256


#: In force everywhere; tests replace it.
LIMITS = Limits()


def block_of(width: int, most: int | None = None) -> int:
    """How many rows of `width` numbers make a block."""
    return max(1, min(most or LIMITS.images, LIMITS.values // max(1, width)))


def spread(work: Callable[[int, int], None], count: int, step: int) -> None:
    """Call `work(low, high)` for every chunk of `step` out of `count`, on torch's thread count."""
    lows = range(0, count, step)
    with ThreadPoolExecutor(min(torch.get_num_threads(), len(lows)) or 1) as pool:
        for _ in pool.map(lambda low: work(low, min(low + step, count)), lows):
            pass


@dataclass(frozen=True, eq=False)
class Problem:
    """One layer, one probe, one concept set.

    Identical text embeddings are scored once, so that their scores are equal to the last bit.

    Attributes:
        activations: `[image, unit]`.
        images: `[image, dim]`.
        texts: the distinct text embeddings, in the order in which they first occur.
        member: for every concept its row in `texts`.
        tie: a permutation of the images' numbers.
    """

    activations: Rows
    images: Rows
    texts: Float[np.ndarray, "distinct dim"]
    member: Int64[np.ndarray, " concept"]
    tie: Int64[np.ndarray, " image"]

    @classmethod
    def of(
        cls, activations: Rows, images: Rows, texts: Rows, tie: np.ndarray | None = None
    ) -> Problem:
        """Check the shapes that `Similarity.scores` and `top` are given.

        Raises:
            UsageError: shapes that do not fit each other, empty arrays, `tie` not a permutation.
        """
        return cls.of_layers([activations], images, texts, tie)[0]

    @classmethod
    def of_layers(
        cls, layers: Sequence[Rows], images: Rows, texts: Rows, tie: np.ndarray | None = None
    ) -> list[Problem]:
        """The problems of several layers of one probe, with everything else in common."""
        count = check_embeddings(images, texts)
        for activations in layers:
            _two_dimensional("activations", activations, "[image, unit]")
            if activations.shape[0] != count:
                raise misuse(
                    "activations", f"have one row for each of the {count} images", activations.shape
                )
        places = np.arange(count) if tie is None else np.asarray(tie).astype(np.int64)
        if not np.array_equal(np.sort(places), np.arange(count)):
            raise misuse("tie", f"hold each of 0…{count - 1} once", list(places[:8]))
        distinct, member = distinct_rows(texts)
        return [cls(activations, images, distinct, member, places) for activations in layers]

    @property
    def count(self) -> int:
        """Number of images."""
        return self.images.shape[0]

    @property
    def units(self) -> int:
        return self.activations.shape[1]

    def rank(self, k: int, progress: Progress) -> tuple[Ranked, UnitStats]:
        """Each unit's k highest images, and its statistics, in one pass."""
        stats = UnitStats(self.units)
        step = block_of(4 * self.units)  # the ranking works with several arrays of this size
        found = topk(self.activations, k, self.tie, progress, stats=stats, block=step)
        return found, stats

    def statistics(self, progress: Progress) -> UnitStats:
        """The units' statistics alone."""
        stats = UnitStats(self.units)
        with progress("reading activations", self.count) as tick:
            for _, block in blocks(self.activations, block_of(self.units)):
                stats.update(block)
                tick.advance(len(block))
        return stats


def check_embeddings(images: Rows, texts: Rows) -> int:
    """Number of images, if images and texts are embeddings in one space.

    Raises:
        UsageError: they are not.
    """
    _two_dimensional("images", images, "[image, dim]")
    _two_dimensional("texts", texts, "[concept, dim]")
    if images.shape[1] != texts.shape[1]:
        raise misuse(
            "texts",
            f"have the dimension of the image embeddings ({images.shape[1]})",
            texts.shape[1],
            "Use one encoder for both.",
        )
    return images.shape[0]


def _two_dimensional(argument: str, rows: Rows, form: str) -> None:
    shape = getattr(rows, "shape", None)
    if shape is None or len(shape) != 2 or 0 in shape:
        raise misuse(argument, f"an array of shape {form} without empty axes", shape)


def distinct_rows(
    texts: Rows,
) -> tuple[Float[np.ndarray, "distinct dim"], Int64[np.ndarray, " concept"]]:
    """The distinct rows in order of first occurrence, and for every row which of them it is.

    >>> rows, member = distinct_rows(np.array([[2.0, 1.0], [0.0, 1.0], [2.0, 1.0]]))
    >>> len(rows), member.tolist()
    (2, [0, 1, 0])
    """
    whole = as_array(texts[0 : texts.shape[0]])
    _finite("texts", whole)
    same, seen = np.arange(len(whole)), dict[bytes, int]()
    for row in _suspects(whole):
        same[row] = seen.setdefault(digest(whole[row]), row)
    first, member = np.unique(same, return_inverse=True)
    if len(first) == len(whole):
        # Writeable, because torch warns about arrays that are not, such as mapped files.
        return np.require(whole, requirements=["C", "W"]), member
    return np.ascontiguousarray(whole[first]), member


def _suspects(rows: Float[np.ndarray, "row dim"]) -> list[int]:
    """Rows that may equal another one, ascending: along one direction they meet within rounding.

    Hashing every row takes ten times as long.
    """
    direction = np.random.default_rng(0).normal(size=rows.shape[1])
    along = np.concatenate([block.astype(np.float64) @ direction for _, block in blocks(rows, 512)])
    length = max(float(np.abs(block).max()) for _, block in blocks(rows, 512))
    near = 4 * np.finfo(np.float64).eps * rows.shape[1] * length * np.abs(direction).sum()
    order = np.argsort(along, kind="stable")
    close = np.diff(along[order]) <= near
    return sorted({*order[:-1][close].tolist(), *order[1:][close].tolist()})


def digest(row: Float[np.ndarray, " dim"]) -> bytes:
    """The same for equal rows: −0 and 0 are the same number."""
    return hashlib.blake2b((row + np.float32(0)).tobytes(), digest_size=16).digest()


def blocks(rows: Rows, step: int) -> Iterator[tuple[int, Float[np.ndarray, "row column"]]]:
    """Blocks of rows in float32, each with the number of its first row."""
    for low in range(0, rows.shape[0], step):
        yield low, as_array(rows[low : low + step])


def embedding_blocks(
    images: Rows, step: int, used: Int64[np.ndarray, " used"] | None = None
) -> Iterator[tuple[int, torch.Tensor]]:
    """Blocks of image embeddings `[row, dim]`, with the place of the first among all that come.

    Args:
        images: `[image, dim]`.
        step: images read at once.
        used: ascending numbers of the images wanted. None: all.
    """
    for low, block in blocks(images, step):
        _finite("images", block)
        if used is None:
            yield low, as_tensor(block, torch.float32)
            continue
        start, stop = np.searchsorted(used, [low, low + len(block)])
        if stop - start == len(block):
            yield int(start), as_tensor(block, torch.float32)
        elif stop > start:
            yield int(start), as_tensor(block[used[start:stop] - low], torch.float32)


def reader(
    images: Rows, used: Int64[np.ndarray, " used"], step: int, device: str = "cpu"
) -> Callable[[], Iterator[tuple[int, torch.Tensor]]]:
    """What gives `embedding_blocks` of the used images as often as it is called, on any thread.

    The embeddings are kept in memory where they are few, else read again each time.
    """
    if len(used) * images.shape[1] > LIMITS.values:
        guard = threading.Lock()

        def again() -> Iterator[tuple[int, torch.Tensor]]:
            series = embedding_blocks(images, step, used)
            while True:
                with guard:
                    found = next(series, None)
                if found is None:
                    return
                yield found[0], found[1].to(device)

        return again
    kept = torch.from_numpy(gather(images, used)).to(device)
    return lambda: ((low, kept[low : low + step]) for low in range(0, len(kept), step))


def along(
    blocks: Iterable[tuple[int, torch.Tensor]], vector: Float[np.ndarray, " dim"], count: int
) -> Float64[np.ndarray, " row"]:
    """The product of every row of `embedding_blocks` and one vector, in float64."""
    found = np.empty(count)
    for low, block in blocks:
        found[low : low + len(block)] = block.cpu().numpy().astype(np.float64) @ vector
    return found


def gather(images: Rows, used: Int64[np.ndarray, " used"]) -> Float[np.ndarray, "used dim"]:
    """The embeddings of the used images, float32."""
    kept = np.empty((len(used), images.shape[1]), np.float32)
    for low, block in embedding_blocks(images, block_of(images.shape[1]), used):
        kept[low : low + len(block)] = block.numpy()
    return kept


def _finite(argument: str, block: np.ndarray) -> None:
    if not np.isfinite(block).all():
        raise misuse(argument, "hold finite embeddings", Verbatim("NaN or infinite values"))


@dataclass(frozen=True, eq=False)
class Form:
    """Evidence of a set of images for a text: constant + Σ_r log(base + weights[r]·(p_r + added)).

    The constant is often in the hundreds: it is added in float64.

    Attributes:
        weights: float64 `[top_k]`, one per place in the set; with base 0 all the same.
        base: 1 or 0.
        added: at least 0, above 0 with base 0.
        constant: see above.
    """

    weights: Float64[np.ndarray, " top_k"]
    base: float
    added: float
    constant: float

    def factors(self, highest: float) -> int:
        """How many factors can be multiplied within float32, where log p is at most `highest`."""
        most = self.base + self.weights.max() * (math.exp(min(highest, HIGHEST_LOG)) + self.added)
        least = self.base + self.weights.min() * self.added
        widest = max(abs(math.log(most)), abs(math.log(least)), 1e-9)
        return max(1, int(min(_LOG_RANGE / widest, 64)))

    def of_constant(self, p: Float64[np.ndarray, " text"]) -> Float64[np.ndarray, " text"]:
        """The evidence of a set of images that all have the probability p."""
        return self.constant + sum(np.log(self.base + w * (p + self.added)) for w in self.weights)


@dataclass(frozen=True, eq=False)
class Job:
    """Sets of images against texts: score = evidence − lam·log p(t).

    Attributes:
        sets: rows of `images`.
        bounds: layer i has the sets bounds[i] … bounds[i + 1] − 1, at least one.
        images: `[image, dim]`.
        texts: distinct.
        centre: of the texts, see `centre_of`.
        normalisers: log Z of every image.
        a: scale of the softmax.
        form: the form of the evidence where log p is at most so much.
        lam: weight of the prior.
        prior: log p(t), for `prior="probe"`; None for `prior="layer"`.
        device: of torch.
    """

    sets: Int64[np.ndarray, "set top_k"]
    bounds: Int64[np.ndarray, " layer_and_1"]
    images: Rows
    texts: Float[np.ndarray, "text dim"]
    centre: Float32[np.ndarray, " dim"]
    normalisers: Float64[np.ndarray, " image"]
    a: float
    form: Callable[[float], Form]
    lam: float
    prior: Float64[np.ndarray, " text"] | None
    device: str

    def span(self, low: int, high: int) -> Float32[np.ndarray, "text dim"]:
        """Some texts, centred."""
        return self.texts[low:high] - self.centre

    def logs(
        self, used: Int64[np.ndarray, " used"], blocks: Iterable[tuple[int, torch.Tensor]]
    ) -> Float32[np.ndarray, " used"]:
        """What log p(t | x) = a·x·(t − centre) − logs(x) subtracts for each image.

        Args:
            used: numbers of the images.
            blocks: their embeddings.
        """
        held = self.normalisers[used]
        return (held - self.a * along(blocks, self.centre, len(used))).astype(np.float32)


def centre_of(texts: Float[np.ndarray, "text dim"]) -> Float32[np.ndarray, " dim"]:
    """The mean embedding, which is subtracted from all texts and accounted for in float64.

    Embeddings of CLIP share a direction. Without it their products are smaller, and float32 rounds
    them up to ten times less.
    """
    return texts.mean(0, dtype=np.float64).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Best:
    """The best texts of every set: higher score first, of equal scores the smaller text.

    Attributes:
        scores: float32, descending.
        texts: their numbers.
        priors: log p(t).
    """

    scores: Float[np.ndarray, "set n"]
    texts: Int64[np.ndarray, "set n"]
    priors: Float64[np.ndarray, "layer text"]


def with_duplicates(
    scores: Float[np.ndarray, "unit k"],
    rows: Int64[np.ndarray, "unit k"],
    member: Int64[np.ndarray, " concept"],
    n: int,
) -> tuple[Float[np.ndarray, "unit n"], Int64[np.ndarray, "unit n"]]:
    """The n best concepts from the best distinct texts: equal scores, smaller concept first."""
    count = int(member.max()) + 1
    if count == len(member):
        return scores, rows
    # The concepts of every distinct text, ascending, at most n of each, padded at the end.
    order = np.argsort(member, kind="stable")
    start = np.searchsorted(member[order], np.arange(count))
    within = np.arange(len(member)) - start[member[order]]
    width = min(n, int(within.max()) + 1)
    padding = len(member)
    concepts = np.full((count, width), padding, np.int64)
    kept = within < width
    concepts[member[order][kept], within[kept]] = order[kept]
    candidates = concepts[rows].reshape(len(rows), -1)
    values = np.repeat(scores, width, axis=1)
    values[candidates == padding] = -np.inf
    best = np.lexsort((candidates, -values), axis=1)[:, :n]
    return np.take_along_axis(values, best, 1), np.take_along_axis(candidates, best, 1)
