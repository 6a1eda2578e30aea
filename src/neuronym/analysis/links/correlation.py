"""Which units of one layer are high on the images on which a unit of another layer is high."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from neuronym._core.progress import Progress, Ticker, silent
from neuronym._core.storage import RowsFile, arranged
from neuronym._core.types import Rows

#: Correlations under permuted images that each unit of the target layer is compared with, at least.
DRAWS = 20_000
#: Permutations of the images, at least and at most.
_LEAST, _MOST = 5, 1000
#: How many values of a layer are read at once.
_BLOCK = 1 << 22


@dataclass(frozen=True, eq=False)
class Correlations:
    """Between the units of two layers. NaN: one of the two is dead or not finite.

    Attributes:
        r: Pearson's correlation of the activations over the images.
        p: how often a correlation of the same target unit is at least as far from 0 when the
            images of the sources are permuted.
        q: those of Benjamini and Hochberg over all pairs.
        permutations: how many there were.
    """

    r: Float32[np.ndarray, "source target"]
    p: Float64[np.ndarray, "source target"]
    q: Float64[np.ndarray, "source target"]
    permutations: int


def correlate(
    source: Rows,
    target: Rows,
    order: Int64[np.ndarray, " image"],
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Correlations:
    r"""Correlate every unit of one layer with every unit of another over the same images.

    r = Σ_i (x_i − x̄)(y_i − ȳ) / √(Σ_i (x_i − x̄)² Σ_i (y_i − ȳ)²). The images of all source units
    are permuted together; p = (1 + n) / (1 + N), of a target unit's N correlations under
    permutations with any source those n whose |r| is at least as high.

    Activations are read by blocks of images, so memory does not grow with their number; it holds a
    few numbers per pair of units.

    Args:
        source, target: activations `[image, unit]`.
        order: the rows that count, in an order that does not depend on that of the probe.
        seed: of the permutations.
        progress: display for long work.
    """
    from scipy.stats import false_discovery_control

    with arranged(source, order) as first, arranged(target, order) as second:
        x, y = _Standard(first), _Standard(second)
        sources, targets = np.flatnonzero(x.speaks), np.flatnonzero(y.speaks)
        shape = (source.shape[1], target.shape[1])
        r, p, q = (np.full(shape, np.nan) for _ in range(3))
        if not (len(sources) and len(targets)):
            return Correlations(r.astype(np.float32), p, q, 0)
        times = min(_MOST, max(_LEAST, math.ceil(DRAWS / len(sources))))
        with progress("correlation of activations", 1 + times) as tick:
            found = np.clip(_products(x, y, np.arange(len(order)), np.float64), -1, 1)
            tick.advance(1)
            beyond = _beyond(x, y, np.abs(found), times, seed, tick)
    inner = np.ix_(sources, targets)
    r[inner], p[inner] = found, (1 + beyond) / (1 + times * len(sources))
    q[inner] = false_discovery_control(p[inner], axis=None).reshape(found.shape)
    return Correlations(r.astype(np.float32), p, q, times)


class _Standard:
    """Activations around their means, with columns of length 1, of the units that say anything."""

    def __init__(self, rows: RowsFile) -> None:
        self.rows, self.step = rows, max(1, _BLOCK // max(1, rows.shape[1]))
        low, high = (np.full(rows.shape[1], end) for end in (np.inf, -np.inf))
        total = np.zeros(rows.shape[1])
        for block in self._blocks():
            low, high = np.minimum(low, block.min(0)), np.maximum(high, block.max(0))
            with np.errstate(invalid="ignore"):  # ∞ − ∞ of a unit that is left out
                total += block.sum(0)
        finite = np.isfinite(low) & np.isfinite(high)
        self.speaks: Bool[np.ndarray, " unit"] = finite & (low < high)
        self.mean, squares = total[self.speaks] / len(rows), np.zeros(self.speaks.sum())
        for block in self._blocks():
            squares += np.square(block[:, self.speaks] - self.mean).sum(0)
        self.length = np.sqrt(squares)

    def _blocks(self):
        for start in range(0, len(self.rows), self.step):
            yield self.rows[start : start + self.step].astype(np.float64)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Some rows of it, float64."""
        return (self.rows[rows][:, self.speaks].astype(np.float64) - self.mean) / self.length


def _products(x: _Standard, y: _Standard, rows: np.ndarray, kind: type) -> np.ndarray:
    """Σ over images of products of sources, their images taken in another order, and targets."""
    step = min(x.step, y.step)
    total: np.ndarray = np.zeros((len(x.mean), len(y.mean)), kind)
    for low in range(0, len(rows), step):
        here = np.arange(low, min(low + step, len(rows)))
        total += x.of(rows[here]).astype(kind).T @ y.of(here).astype(kind)
    return total


def _beyond(
    x: _Standard, y: _Standard, size: np.ndarray, times: int, seed: int, tick: Ticker
) -> Int64[np.ndarray, "source target"]:
    """How many correlations under permutations are as far from 0 as each of `size`."""
    random, (sources, targets) = np.random.default_rng(seed), size.shape
    ranked = np.sort(size, axis=0) - 1e-6  # what rounds differently is equal
    below = np.zeros((sources + 1, targets), np.int64)  # by how many of `ranked` they reach
    for _ in range(times):
        chance = np.abs(_products(x, y, random.permutation(len(x.rows)), np.float32))
        for unit in range(targets):
            reached = np.searchsorted(ranked[:, unit], chance[:, unit], "right")
            below[:, unit] += np.bincount(reached, minlength=sources + 1)
        tick.advance(1)
    # The n-th of the ranked ones is reached by those that reach n + 1 of them or more.
    reached = below[::-1].cumsum(0)[::-1][1:]
    found = np.empty_like(reached)
    np.put_along_axis(found, np.argsort(size, axis=0, kind="stable"), reached, 0)
    return found


def strongest(size: np.ndarray, keep: int) -> Bool[np.ndarray, "source target"]:
    """Of each column the `keep` highest values above 0; of equal ones the first. NaN is none."""
    size = np.nan_to_num(size, nan=0.0, posinf=0.0, neginf=0.0)
    chosen = np.zeros(size.shape, bool)
    order = np.argsort(-size, axis=0, kind="stable")[:keep]
    np.put_along_axis(chosen, order, True, 0)
    return chosen & (size > 0)
