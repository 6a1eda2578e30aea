"""Statistics of every unit's activations while they stream by, and who abstains because of them."""

from __future__ import annotations

import numpy as np

from neuronym._checks import integer, misuse

#: A batch is taken in by parts of this many values, which stay in a core's cache.
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
        step = max(1, _PART_VALUES // max(1, self.units))
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
