"""The arrays of one scoring, checked, and read in blocks of a bounded size."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64, Int64

from neuronym._checks import Verbatim, misuse
from neuronym._types import Progress, Rows
from neuronym.topk import Ranked, as_array, as_tensor, topk
from neuronym.unit_stats import UnitStats

if TYPE_CHECKING:
    import torch


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
        tile: concepts in a tile that one thread holds for all images in use.
    """

    images: int = 4096
    concepts: int = 512
    values: int = 1 << 23
    chunk: int = (1 << 15) - 1
    rows: int = 1024
    tile: int = 256


#: In force everywhere; tests replace it.
LIMITS = Limits()


def block_of(width: int, most: int | None = None) -> int:
    """How many rows of `width` numbers make a block."""
    return max(1, min(most or LIMITS.images, LIMITS.values // max(1, width)))


def spread(work: Callable[[int, int], None], count: int, step: int) -> None:
    """Call `work(low, high)` for every chunk of `step` out of `count`, on torch's thread count."""
    import torch

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

    def survey(self, progress: Progress) -> UnitStats:
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
    same, seen = np.arange(len(whole)), {}
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
    import torch

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
    import torch

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
