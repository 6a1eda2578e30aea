"""One pass over `[image, unit]` in blocks: statistics per unit, and its highest images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Integer

from neuronym._core.checks import integer, misuse
from neuronym._core.progress import Progress, silent
from neuronym._core.types import Rows

#: A batch is taken in by parts of this many values, which stay in a core's cache.
_STATS_VALUES = 1 << 18
#: The key of an empty place: below the key of every number, −∞ included.
_EMPTY = np.iinfo(np.int64).min
_LOW = 0xFFFFFFFF
_FLIP = 0x7FFFFFFF
#: How many activations are read at once by `topk`.
_BLOCK_VALUES = 1 << 22
#: How many activations are worth a thread of their own.
_PART_VALUES = 1 << 18


class UnitStats:
    """Running statistics per unit; batches and shards may come in any order.

    Values that are not finite are counted and left out of everything else.

    Attributes:
        images: how many rows came in.
        nonfinite: how many of a unit's values were NaN or infinite.
        minimum, maximum: NaN for a unit without finite values.
        mean: float64; with `std` by the updating formulas of Chan, Golub and LeVeque (1983).
        at_minimum: how many images have exactly the minimum.
        positive: how many images have a value above 0.

    >>> stats = UnitStats(units=2)
    >>> stats.update([[0.0, 5.0], [2.0, 5.0]])
    >>> stats.update([[4.0, 5.0]])
    >>> stats.mean.tolist(), stats.above_minimum.tolist(), stats.dead.tolist()
    ([2.0, 5.0], [2, 0], [False, True])
    """

    def __init__(self, units: int) -> None:
        self.units = integer("units", units, 0)
        self.images = 0
        self.nonfinite = np.zeros(units, np.int64)
        self.minimum = np.full(units, np.nan)
        self.maximum = np.full(units, np.nan)
        self.mean = np.zeros(units)
        self.at_minimum = np.zeros(units, np.int64)
        self.positive = np.zeros(units, np.int64)
        self._squares = np.zeros(units)  # Σ (value − mean)²

    #: What `to_array` holds, in this order.
    _HELD = ("nonfinite", "minimum", "maximum", "mean", "at_minimum", "positive", "_squares")

    def to_array(self) -> Float[np.ndarray, "7 unit"]:
        """All but the number of images, float64; `of_array` makes the same of it."""
        return np.stack([getattr(self, name).astype(np.float64) for name in self._HELD])

    @classmethod
    def of_array(cls, array: Float[np.ndarray, "7 unit"], images: int) -> UnitStats:
        """From what `to_array` gave, and the number of images."""
        made = cls(array.shape[1])
        made.images = images
        for name, values in zip(cls._HELD, array, strict=True):
            setattr(made, name, values.astype(getattr(made, name).dtype))
        return made

    @property
    def finite(self) -> np.ndarray:
        """How many finite values each unit has."""
        return self.images - self.nonfinite

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over the images (divided by their number), float64."""
        return np.sqrt(self._squares / np.maximum(self.finite, 1))

    @property
    def fraction_positive(self) -> np.ndarray:
        """Share of the images with a value above 0."""
        return self.positive / max(self.images, 1)

    @property
    def above_minimum(self) -> np.ndarray:
        """How many images have a value above the unit's minimum."""
        return self.finite - self.at_minimum

    @property
    def dead(self) -> np.ndarray:
        """True where all finite values are the same."""
        return self.above_minimum == 0

    def update(self, values: np.ndarray) -> None:
        """Take in a batch `[n, unit]`."""
        block = np.asarray(values)
        if block.ndim != 2 or block.shape[1] != self.units:
            raise misuse("values", f"have shape [n, {self.units}]", block.shape)
        step = max(1, _STATS_VALUES // max(1, self.units))
        for low in range(0, len(block), step):
            self.merge(self._of(block[low : low + step]))

    def _of(self, block: np.ndarray) -> UnitStats:
        """The statistics of a batch that is not empty."""
        new = UnitStats(self.units)
        new.images = len(block)
        low, high = block.min(0), block.max(0)  # NaN where a unit has one
        fine = None
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            fine = np.isfinite(block)
            new.nonfinite = len(block) - _count(fine)
            low = np.where(fine, block, np.inf).min(0)
            high = np.where(fine, block, -np.inf).max(0)
            block = np.where(fine, block, np.nan)  # neither equal to nor above anything
        some = new.finite > 0
        new.at_minimum = _count(block == low)
        new.positive = _count(block > 0)
        new.minimum = np.where(some, low, np.nan).astype(np.float64)
        new.maximum = np.where(some, high, np.nan).astype(np.float64)
        wide = block.astype(np.float64) if fine is None else np.where(fine, block, np.float64(0))
        new.mean = wide.sum(0) / np.maximum(new.finite, 1)
        wide -= new.mean
        if fine is not None:
            wide[~fine] = 0
        new._squares = np.einsum("iu,iu->u", wide, wide)
        return new

    def merge(self, other: UnitStats) -> None:
        """Take in the statistics of other images."""
        if other.units != self.units:
            raise misuse("other", f"have {self.units} units", other.units)
        mine, theirs = self.finite, other.finite
        total = np.maximum(mine + theirs, 1)
        lowest = np.fmin(self.minimum, other.minimum)
        self.at_minimum = np.where(self.minimum == lowest, self.at_minimum, 0) + np.where(
            other.minimum == lowest, other.at_minimum, 0
        )
        gap = other.mean - self.mean
        self._squares = self._squares + other._squares + gap**2 * (mine * (theirs / total))
        self.mean = self.mean + gap * (theirs / total)
        self.minimum, self.maximum = lowest, np.fmax(self.maximum, other.maximum)
        self.positive = self.positive + other.positive
        self.nonfinite = self.nonfinite + other.nonfinite
        self.images += other.images


def abstentions(stats: UnitStats, needed: int = 1) -> tuple[str | None, ...]:
    """Why each unit gets no label, or None for a unit that gets one.

    Args:
        stats: over the whole probe.
        needed: how many images must be above the unit's minimum. Below that, which images count as
            its highest would be decided by their content hashes.

    >>> stats = UnitStats(units=3)
    >>> stats.update([[1.0, 0.0, 0.0], [1.0, 3.0, 2.0], [1.0, 0.0, float("nan")]])
    >>> for reason in abstentions(stats, needed=2):
    ...     print(reason)
    dead: the activation is the same for every image
    only 1 image above its minimum, 2 needed
    not finite for 1 image
    """
    reasons: list[str | None] = []
    for bad, above in zip(stats.nonfinite.tolist(), stats.above_minimum.tolist(), strict=True):
        silent = why_silent(bad, dead=above == 0)
        if silent is not None:
            reasons.append(silent)
        elif above < needed:
            reasons.append(f"only {_images(above)} above its minimum, {needed} needed")
        else:
            reasons.append(None)
    return tuple(reasons)


def _count(true: np.ndarray) -> np.ndarray:
    """How many entries of each column are true."""
    # NumPy adds up bytes as bytes fourteen times faster than as larger integers.
    kind = np.uint8 if len(true) < 256 else np.int64
    return true.view(np.uint8).sum(0, dtype=kind).astype(np.int64)


def why_silent(nonfinite: int, dead: bool) -> str | None:
    """Why a unit can get no label from any method, or None.

    Args:
        nonfinite: images with a NaN or infinite activation.
        dead: whether the activation is the same for every image.
    """
    if nonfinite:
        return f"not finite for {_images(nonfinite)}"
    return "dead: the activation is the same for every image" if dead else None


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


class Ranked(NamedTuple):
    """The highest values of every unit, best first; fewer than k: −∞ and −1 at the end."""

    values: Float[np.ndarray, "unit k"]
    indices: Integer[np.ndarray, "unit k"]


class TopK:
    """A running top-k per unit; memory `[unit, k]`, whatever the number of images.

    NaN never enters. Values are compared as float32; −0 equals 0.

    >>> best = TopK(units=2, k=2)
    >>> best.update([[0.5, -3.0], [0.5, -1.0]], indices=[0, 1], tie=[7, 4])
    >>> best.update([[0.1, -2.0]], indices=[2], tie=[5])
    >>> best.result().indices.tolist()
    [[1, 0], [1, 2]]
    >>> best.result().values.tolist()
    [[0.5, 0.5], [-1.0, -2.0]]
    """

    def __init__(self, units: int, k: int) -> None:
        self.units, self.k = integer("units", units, 0), integer("k", k, 1)
        self._keys = np.full((self.units, self.k), _EMPTY)
        self._indices = np.full((self.units, self.k), -1)

    def update(
        self,
        values: np.ndarray,
        indices: np.ndarray,
        tie: np.ndarray,
    ) -> None:
        """Take in a batch.

        Args:
            values: `[n, unit]`.
            indices: whole numbers `[n]`, what `result` gives back for each row.
            tie: distinct whole numbers below 2^32, `[n]`; of equal values the smaller tie wins.
        """
        rows = as_array(values)
        number, order = as_array(indices, np.int64), as_array(tie, np.int64)
        if rows.ndim != 2 or rows.shape[1] != self.units:
            raise misuse("values", f"have shape [n, {self.units}]", rows.shape)
        if not len(number) == len(order) == len(rows):
            raise misuse("indices and tie", f"have {len(rows)} entries", len(number))
        if rows.size == 0:
            return
        parts = min(rows.size // _PART_VALUES + 1, _threads(), self.units)
        if parts == 1:
            self._take(rows, number, order, 0, self.units)
            return
        cuts = [self.units * part // parts for part in range(parts + 1)]
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(lambda a, b: self._take(rows, number, order, a, b), cuts, cuts[1:]))

    def _take(
        self, rows: np.ndarray, number: np.ndarray, order: np.ndarray, low: int, high: int
    ) -> None:
        """`update` for the units from `low` to `high`."""
        rows = rows[:, low:high]
        # Once k images are in, few values of a batch exceed the least of them.
        least = self._keys[low:high].min(1)
        better = _better(rows, order, _values(least), _ties(least))
        counts = np.count_nonzero(better, axis=0)
        crowded = np.flatnonzero(counts > 2 * self.k)
        if len(crowded):
            better[:, crowded] &= _highest(rows[:, crowded], self.k, order)
            counts[crowded] = np.count_nonzero(better[:, crowded], axis=0)
        width = int(counts.max())
        if width == 0:
            return
        image, unit = np.divmod(np.flatnonzero(better), high - low)
        # NumPy sorts 16-bit integers by radix: eighteen times faster than 64-bit ones.
        grouped = np.argsort(
            unit.astype(np.uint16) if high - low <= 1 << 16 else unit, kind="stable"
        )
        image, unit = image[grouped], unit[grouped]
        place = np.arange(len(unit)) - np.repeat(np.cumsum(counts) - counts, counts)
        keys = np.full((high - low, width), _EMPTY)
        found = np.full((high - low, width), -1)
        keys[unit, place] = _pack(rows[image, unit], order[image])
        found[unit, place] = number[image]
        self._merge(keys, found, low, high)

    def take(
        self,
        values: Float[np.ndarray, "unit n"],
        indices: Integer[np.ndarray, "unit n"],
        tie: Int64[np.ndarray, " image"],
    ) -> None:
        """Take in lists of each unit's own images, −1 in empty places; `tie` is of all images."""
        keys = np.where(indices < 0, _EMPTY, _pack(values, tie[indices]))
        self._merge(keys, indices, 0, self.units)

    def merge(self, other: TopK) -> None:
        """Take in the result of another pass over other images."""
        if other.units != self.units:
            raise misuse("other", f"have {self.units} units", other.units)
        self._merge(other._keys, other._indices, 0, self.units)

    def _merge(self, keys: np.ndarray, indices: np.ndarray, low: int, high: int) -> None:
        keys = np.concatenate([self._keys[low:high], keys], 1)
        indices = np.concatenate([self._indices[low:high], indices], 1)
        best = np.argpartition(keys, -self.k, axis=1)[:, -self.k :]
        best += np.arange(high - low)[:, None] * keys.shape[1]
        self._keys[low:high], self._indices[low:high] = keys.take(best), indices.take(best)

    def result(self) -> Ranked:
        """The best so far, in order."""
        order = np.argsort(self._keys, axis=1)[:, ::-1]
        keys = np.take_along_axis(self._keys, order, 1)
        return Ranked(_values(keys), np.take_along_axis(self._indices, order, 1))


def topk(
    rows: Rows,
    k: int,
    tie: np.ndarray | None = None,
    progress: Progress = silent,
    *,
    stats: UnitStats | None = None,
    block: int | None = None,
) -> Ranked:
    """The k highest images of every unit, in one pass over blocks of images.

    Args:
        rows: activations `[image, unit]`.
        k: how many images per unit; with fewer images, the last places stay empty.
        tie: a permutation of 0…N−1, `[image]`; of equal activations the smaller one wins.
            None: the earlier image wins.
        progress: display, counted in images.
        stats: statistics to update in the same pass.
        block: images per block. None: as many as make 16 MB.

    >>> topk(np.array([[3.0], [1.0], [3.0]]), k=2, tie=np.array([2, 0, 1])).indices.tolist()
    [[2, 0]]
    """
    images, units = rows.shape
    place = np.arange(images) if tie is None else np.asarray(tie)
    if place.shape != (images,):
        raise misuse("tie", f"have one place for each of the {images} images", place.shape)
    step = block or max(1, _BLOCK_VALUES // max(1, units))
    best = TopK(units, k)
    with progress("ranking images", images) as tick:
        for low in range(0, images, step):
            values = as_array(rows[low : low + step])
            high = low + len(values)
            best.update(values, np.arange(low, high), place[low:high])
            if stats is not None:
                stats.update(values)
            tick.advance(high - low)
    return best.result()


def as_array(values: object, dtype: type = np.float32) -> np.ndarray:
    """A block of rows as a NumPy array, from anything that `Rows` may hold."""
    if hasattr(values, "detach"):  # a tensor, perhaps bfloat16 or on another device
        values = values.detach().cpu().double().numpy()
    # A float64 value beyond the range of float32 is not finite for our purposes.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values, dtype=dtype)


def as_tensor(values: object, dtype: torch.dtype) -> torch.Tensor:
    """Anything array-like as a tensor on the CPU, without a copy where possible."""
    if isinstance(values, torch.Tensor):
        return values.detach().to("cpu", dtype)
    array = np.asarray(values)
    # torch warns about memory that it may not write to, such as a file opened read-only.
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(dtype)


def _better(
    values: Float[np.ndarray, "n unit"],
    tie: Int64[np.ndarray, " n"],
    least: Float[np.ndarray, " unit"],
    least_tie: Int64[np.ndarray, " unit"],
) -> Bool[np.ndarray, "n unit"]:
    """Which values come before the least one kept, or are it; NaN never."""
    found = values > least
    equal = values == least
    if equal.any():
        equal &= tie[:, None] <= least_tie
        found |= equal
    return found


def _highest(
    values: Float[np.ndarray, "n unit"], k: int, tie: Int64[np.ndarray, " n"]
) -> Bool[np.ndarray, "n unit"]:
    """Which values are among each unit's k highest, equal ones by tie; n > k."""
    rows = np.ascontiguousarray(values.T)
    missing = np.isnan(rows)
    numbers = np.where(missing, np.float32(-np.inf), rows) if missing.any() else rows
    least = np.partition(numbers, -k, axis=1)[:, -k, None]
    found = rows >= least
    tied = np.flatnonzero(np.count_nonzero(found, axis=1) > k)
    if len(tied):
        order = np.argsort(tie)
        rows, least = rows[np.ix_(tied, order)], least[tied]
        above, equal = rows > least, rows == least
        room = k - np.count_nonzero(above, axis=1)[:, None]
        equal &= np.cumsum(equal, axis=1, dtype=np.int32) <= room
        found[np.ix_(tied, order)] = above | equal
    return found.T


def _pack(values: Float[np.ndarray, ...], tie: Int64[np.ndarray, ...]) -> Int64[np.ndarray, ...]:
    """One integer per value whose order is (value, then smaller tie first).

    The bits of a positive float, read as an integer, are in the order of the floats; for negative
    ones the order is reversed, hence the flip. The lower half holds the tie.
    """
    bits = (values + np.float32(0)).view(np.int32).astype(np.int64)  # −0 becomes 0
    return (np.where(bits < 0, bits ^ _FLIP, bits) << 32) | (_LOW - tie)


def _values(keys: Int64[np.ndarray, ...]) -> Float[np.ndarray, ...]:
    """The values inside packed keys; −∞ in empty places."""
    ordered = keys >> 32
    bits = np.where(ordered < 0, ordered ^ _FLIP, ordered).astype(np.int32)
    return np.where(keys == _EMPTY, np.float32(-np.inf), bits.view(np.float32))


def _ties(keys: Int64[np.ndarray, ...]) -> Int64[np.ndarray, ...]:
    """The ties inside packed keys; above every tie in empty places."""
    return _LOW - (keys & _LOW)


def _threads() -> int:
    return torch.get_num_threads()
