"""How much a neuron's responses to the same images changed, against what the choice of them does.

Both atlases are read once, in blocks. The images fall into groups by their content; per group and
unit six sums are kept, from which the correlation over any half of the groups follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from neuronym._core.types import Rows

#: Groups of images at most, a power of two: halves are drawn from them.
GROUPS = 32
#: Images per group at least.
_PER_GROUP = 4
#: Fewer shared images than this tell nothing.
LEAST = 8 * _PER_GROUP
#: By type of numbers: what rounding does to a pooled activation, as a share of the largest one.
_ROUNDING = {"float32": 1e-6, "float16": 2e-4, "bfloat16": 1e-3}
_BLOCK_VALUES = 1 << 20
_UNITS = 2048  # whose halves are looked at at once


@dataclass(frozen=True, eq=False)
class Change:
    """What is known of the units of a layer, `[unit]` each.

    Attributes:
        correlation: Pearson's, over the shared images; NaN where a unit is silent in one atlas.
        low, high: ends of its 95 % interval.
        p: of no change: of a correlation of `same` or more, or, where a unit is silent in one
            atlas, of the other one's responses. NaN: not compared.
        gain: how many times as widely the responses spread as before.
        silent_a, silent_b: the responses are the same up to rounding.
    """

    correlation: Float[np.ndarray, " unit"]
    low: Float[np.ndarray, " unit"]
    high: Float[np.ndarray, " unit"]
    p: Float[np.ndarray, " unit"]
    gain: Float[np.ndarray, " unit"]
    silent_a: np.ndarray
    silent_b: np.ndarray


def groups_of(images: int) -> int:
    """Into how many groups so many images fall.

    >>> groups_of(31), groups_of(32), groups_of(100), groups_of(5000)
    (0, 8, 16, 32)
    """
    found = GROUPS
    while found >= 8 and images < found * _PER_GROUP:
        found //= 2
    return found if found >= 8 else 0


def rounding(dtype: str | None) -> float:
    """What rounding does to a pooled activation, as a share of the largest one."""
    return _ROUNDING.get(dtype or "float32", _ROUNDING["bfloat16"])


def change(
    a: Rows,
    b: Rows,
    rows_a: Int64[np.ndarray, " image"],
    rows_b: Int64[np.ndarray, " image"],
    *,
    same: float = 0.99,
    noise: tuple[float, float] = (_ROUNDING["float32"],) * 2,
) -> Change:
    r"""Compare the responses of the units of a layer, unit by unit.

    Let r be the correlation over all images, and r₁, r₂ those over the two halves of a split of
    the groups. Over the G − 1 balanced splits that the rows of a Hadamard matrix name, the standard
    error of z = artanh r is √(mean (z₁ − z₂)² / 4), and at least 1/√(n − 3), which it is for
    normal values. p is the upper tail of Student's t with G − 1 degrees of freedom at
    (artanh `same` − z) / error. Groups of images, not images, are what varies: a neuron that two
    pictures alone make respond has a wide interval.

    A unit that is silent in one atlas has no correlation. If it responds to m of the images in the
    other (by more than a thousandth of its range above its minimum), p = 2⁻ᵐ: McNemar's exact test
    of m pairs that differ, all in one direction.

    Args:
        a, b: activations `[image, unit]`.
        rows_a, rows_b: of the same images in both, in the order of their content.
        same: the correlation from which on a neuron counts as unchanged.
        noise: what rounding does to activations of a and b, as a share of the largest one; one
            that spreads less than ten times that is silent.

    Reference: McCarthy 1969, Review of the International Statistical Institute 37 (balanced
    half-samples); Fisher 1915, Biometrika 10.
    """
    from scipy import stats

    count = groups_of(len(rows_a))
    sums, facts = _sums(a, b, rows_a, rows_b, count)
    silent = [
        _spread(sums.sum(0), place) <= 10 * level * np.abs(fact).max(0)
        for place, (level, fact) in enumerate(zip(noise, facts, strict=True))
    ]
    fine = np.isfinite(sums).all((0, 1))
    both = fine & ~silent[0] & ~silent[1]
    r, error = np.full((2, len(fine)), np.nan)
    for low in range(0, len(fine), _UNITS):
        some = np.arange(low, min(low + _UNITS, len(fine)))
        some = some[both[some]]
        r[some], error[some] = _of_halves(sums[:, :, some])
    z = np.arctanh(r)
    freedom = count - 1
    reach = stats.t.ppf(0.975, freedom) * error
    p = stats.t.sf((np.arctanh(same) - z) / error, freedom)
    for silent_one, other in ((silent[0], 1), (silent[1], 0)):
        one = fine & silent_one & ~silent[other]
        p[one] = (
            0.5 ** _responding(b if other else a, rows_b if other else rows_a, facts[other])[one]
        )
    spread = [_spread(sums.sum(0), place) for place in (0, 1)]
    gain = np.divide(spread[1], spread[0], out=np.full(len(fine), np.nan), where=both)
    return Change(
        r, np.tanh(z - reach), np.tanh(z + reach), p, gain, silent[0] & fine, silent[1] & fine
    )


def take(rows: Rows, places: Int64[np.ndarray, " image"]) -> Float[np.ndarray, "image unit"]:
    """Some rows, ascending or not, of what is read by slices."""
    if isinstance(rows, np.ndarray):
        return np.asarray(rows[places])
    out = np.empty((len(places), rows.shape[1]), np.float32)
    order = np.argsort(places, kind="stable")
    breaks = np.flatnonzero(np.diff(places[order]) != 1) + 1
    for run in np.split(order, breaks):
        first = places[run[0]]
        out[run] = rows[first : first + len(run)]
    return out


def _blocks(count: int, units: int) -> Sequence[slice]:
    step = max(1, _BLOCK_VALUES // max(1, units))
    return [slice(low, min(low + step, count)) for low in range(0, count, step)]


def _sums(
    a: Rows, b: Rows, rows_a: np.ndarray, rows_b: np.ndarray, count: int
) -> tuple[Float[np.ndarray, "group 6 unit"], list[Float[np.ndarray, "2 unit"]]]:
    """Per group n, Σa, Σb, Σa², Σb², Σab; and of a and b the minimum and the maximum.

    Values are taken less those of the first image, so that a constant gives zeros.
    """
    units = a.shape[1]
    group = np.arange(len(rows_a)) % count  # the rows are in the order of content
    order = np.argsort(rows_a, kind="stable")  # files are read from front to back
    rows_a, rows_b, group = rows_a[order], rows_b[order], group[order]
    sums = np.zeros((count, 6, units))
    start = [
        take(rows, places[:1]).astype(np.float64) for rows, places in ((a, rows_a), (b, rows_b))
    ]
    ends = [np.stack([np.full(units, np.inf), np.full(units, -np.inf)]) for _ in range(2)]
    with np.errstate(invalid="ignore", over="ignore"):
        for some in _blocks(len(rows_a), units):
            member = np.equal.outer(np.arange(count), group[some]).astype(np.float64)
            x, y = (
                take(rows, places[some]).astype(np.float64)
                for rows, places in ((a, rows_a), (b, rows_b))
            )
            for end, values in zip(ends, (x, y), strict=True):
                np.minimum(end[0], values.min(0), out=end[0])
                np.maximum(end[1], values.max(0), out=end[1])
            x -= start[0]
            y -= start[1]
            sums[:, 0] += member.sum(1)[:, None]
            for place, values in enumerate((x, y, x * x, y * y, x * y), 1):
                sums[:, place] += member @ values
    return sums, ends


def _spread(total: Float[np.ndarray, "6 unit"], place: int) -> Float[np.ndarray, " unit"]:
    """The standard deviation of a (0) or b (1)."""
    n, mean = total[0], total[1 + place] / total[0]
    return np.sqrt(np.maximum(total[3 + place] / n - mean * mean, 0))


def _of_halves(
    sums: Float[np.ndarray, "group 6 unit"],
) -> tuple[Float[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    """The correlation of each unit, and the standard error of its artanh."""
    from scipy.linalg import hadamard

    r = _correlation(sums.sum(0))
    first = (hadamard(len(sums))[1:] > 0).astype(np.float64)
    flat = sums.reshape(len(sums), -1)
    shape = (len(first), *sums.shape[1:])
    halves = [_correlation((side @ flat).reshape(shape)) for side in (first, 1 - first)]
    error = np.sqrt(np.mean((np.arctanh(halves[0]) - np.arctanh(halves[1])) ** 2, 0) / 4)
    return r, np.maximum(error, 1 / np.sqrt(sums[:, 0].sum(0) - 3))


def _correlation(sums: Float[np.ndarray, "*split 6 unit"]) -> Float[np.ndarray, "*split unit"]:
    """Pearson's, short of ±1. Where both are constant 1, where one is 0."""
    n, a, b, aa, bb, ab = np.moveaxis(sums, -2, 0)
    left, right = (np.maximum(square - one * one / n, 0) for one, square in ((a, aa), (b, bb)))
    # What is left of a constant is rounding.
    left, right = (
        np.where(value > 1e-12 * square, value, 0) for value, square in ((left, aa), (right, bb))
    )
    lengths = np.sqrt(left * right)
    r = np.divide(ab - a * b / n, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    r[(left == 0) & (right == 0)] = 1
    return np.clip(r, -1 + 1e-12, 1 - 1e-12)


def _responding(
    rows: Rows, places: np.ndarray, ends: Float[np.ndarray, "2 unit"]
) -> Int64[np.ndarray, " unit"]:
    """To how many of the images a unit responds by more than a thousandth of its range."""
    level = ends[0] + 1e-3 * (ends[1] - ends[0])
    found = np.zeros(len(level), np.int64)
    places = np.sort(places)
    for some in _blocks(len(places), len(level)):
        found += (take(rows, places[some]) > level).sum(0)
    return found
