"""Does a unit feed another one: the source is ablated, and the target measured on its images.

With y the target's activation and y⁻ that without the source, d = y − y⁻ of an image is what the
source did there. A link is the difference of the mean d on the target's exemplars and on random
images, over the same difference of y: the share of what sets the exemplars apart for the target
that goes away with the source. 1: all of it; below 0: the source keeps the target low there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from neuronym.analysis.effect.statistics import third
from neuronym.atlas.context import LabelContext
from neuronym.extraction.interventions import ChangedPass, levelled, zeroed

#: Exemplars of a target that are looked at, and random images beside them.
EXEMPLARS, OTHERS = 12, 40
#: An effect up to this share is none: in a network of many ways everything does a little.
LEAST = 0.01
#: Images whose pixels are held at once.
_IMAGES = 32
_LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Effects:
    """Of some pairs. NaN: the target has too few exemplars, or they are no higher than others.

    Attributes:
        effect: the share described above.
        low, high: the ends of its 95 % interval.
        p: of the hypothesis that the share lies within ±`LEAST`.
        slope: of d on the source's activation, over the same images: above 0 the source drives the
            target up.
    """

    effect: Float64[np.ndarray, " pair"]
    low: Float64[np.ndarray, " pair"]
    high: Float64[np.ndarray, " pair"]
    p: Float64[np.ndarray, " pair"]
    slope: Float64[np.ndarray, " pair"]


def compared(
    own: Sequence[np.ndarray], others: Sequence[np.ndarray], least: float = LEAST
) -> tuple[float, float, float, float]:
    """Effect, the ends of its interval and p of one pair, by Welch's t-test on the differences.

    p is the larger of Welch's and of the same after Hall's transformation for skewness.

    Args:
        own: y and y⁻ of the target's exemplars.
        others: y and y⁻ of random images.
        least: shares up to this one are none.
    """
    from scipy.stats import t

    nothing = (float("nan"),) * 4
    (y, without), (y_other, without_other) = (
        [np.asarray(values, np.float64) for values in pair] for pair in (own, others)
    )
    if min(len(y), len(y_other)) < 3:
        return nothing
    with np.errstate(invalid="ignore", over="ignore"):
        d, d_other = y - without, y_other - without_other
        gap, difference = y.mean() - y_other.mean(), d.mean() - d_other.mean()
        parts = np.array([d.var(ddof=1) / len(d), d_other.var(ddof=1) / len(d_other)])
    error = np.sqrt(parts.sum())
    if not (gap > 0 and np.isfinite([gap, difference, error]).all()):
        return nothing
    beyond = abs(difference) - least * gap
    if error == 0:
        share = difference / gap
        return share, share, share, float(beyond <= 0)
    freedom = parts.sum() ** 2 / (parts**2 / [len(d) - 1, len(d_other) - 1]).sum()
    # Hall's transformation for skewness, where it makes the effect less sure.
    ratio, skew = beyond / error, (third(d) - third(d_other)) / error**3 * np.sign(difference)
    bent = ratio + skew * ratio**2 / 3 + skew**2 * ratio**3 / 27 + skew / 6
    far = (abs(difference) + least * gap) / error
    p = t.sf(min(ratio, bent), freedom) + t.sf(far, freedom)
    half = t.ppf((1 + _LEVEL) / 2, freedom) * error
    ends = ((difference + side * half) / gap for side in (-1, 1))
    return difference / gap, *ends, min(1.0, float(p))


def slope(x: np.ndarray, d: np.ndarray) -> float:
    """Of the line through d by least squares; NaN where x is the same everywhere."""
    away = x - x.mean()
    squares = float(away @ away)
    return float(away @ d) / squares if squares > 0 else float("nan")


class Ablations:
    """Ablates units of one layer and measures units of another.

    Args:
        context: of the atlas.
        source, target: names of the two layers.
        how: `mean` (over the random images) or `zero`.
        seed: of the random images.

    Raises:
        NeuronymError: the network or the images are not there.
    """

    def __init__(
        self, context: LabelContext, source: str, target: str, how: str, seed: int
    ) -> None:
        self._context, self._sources = context, context.sources
        self._from, self._to, self._how = source, target, how
        plans = {plan.info.name: plan for plan in self._sources.plans}
        self._plan = plans[source]
        arguments: dict[str, Any] = {
            "device": context.device,
            "dtype": "float32",
            "batch_size": self._sources.settings.batch_size,
        }
        self._changed = ChangedPass(
            self._sources.target, [plans[source], plans[target]], self._sources.cache, **arguments
        )
        order = np.random.default_rng(seed).permutation(context.count)
        self._random = np.sort(context.by_content[order[:OTHERS]])
        self._levels: np.ndarray | None = None
        self._before: dict[int, np.ndarray] = {}  # what the source layer puts out for an image

    def __call__(self, pairs: Sequence[tuple[int, int]]) -> Effects:
        """The effects of pairs of a source and a target unit."""
        exemplars = self._exemplars({target for _, target in pairs})
        wanted: dict[int, dict[int, set[int]]] = {}  # image → source (−1: none) → targets
        for source, target in pairs:
            for image in {*exemplars[target], *self._random.tolist()}:
                for unit in (-1, source):
                    wanted.setdefault(image, {}).setdefault(unit, set()).add(target)
        measured: dict[tuple[int, int, int], float] = {}
        images = sorted(wanted)
        with self._context.progress("ablating units", len(images)) as tick:
            for low in range(0, len(images), _IMAGES):
                some = images[low : low + _IMAGES]
                self._measure(some, wanted, measured)
                tick.advance(len(some))
        found = []
        for source, target in pairs:
            own = exemplars[target]
            rest = [image for image in self._random.tolist() if image not in own]
            values = [
                np.array(
                    [[measured[image, unit, target] for image in some] for unit in (-1, source)]
                )
                for some in (own, rest)
            ]
            every = np.concatenate(values, 1)
            x = np.array([self._before[image][source] for image in (*own, *rest)], np.float64)
            effects = compared(list(values[0]), list(values[1]))
            found.append((*effects, slope(x, every[0] - every[1])))
        columns = np.array(found, np.float64).reshape(-1, 5).T
        return Effects(*columns)

    def _exemplars(self, targets: set[int]) -> dict[int, list[int]]:
        rows = self._context.highest(self._to, EXEMPLARS).indices
        return {unit: [int(row) for row in rows[unit] if row >= 0] for unit in targets}

    def _measure(
        self,
        images: Sequence[int],
        wanted: dict[int, dict[int, set[int]]],
        measured: dict[tuple[int, int, int], float],
    ) -> None:
        pixels = np.stack([self._sources.seen(image) for image in images])
        rows = [(n, unit) for n, image in enumerate(images) for unit in sorted(wanted[image])]
        units = np.array([[unit] for _, unit in rows])
        change = zeroed(self._plan, units)
        if self._how == "mean":
            change = levelled(self._plan, units, self._mean())
        found = self._changed.under(
            pixels, [change], [self._from, self._to], [n for n, _ in rows], output=False
        ).values
        for before, values, (n, unit) in zip(found[self._from], found[self._to], rows, strict=True):
            if unit == -1:
                self._before[images[n]] = before
            for target in wanted[images[n]][unit]:
                measured[images[n], unit, target] = float(values[target])

    def _mean(self) -> np.ndarray:
        if self._levels is None:
            pixels = np.stack([self._sources.seen(image) for image in self._random])
            self._levels = self._changed.levels(self._from, pixels)
        return self._levels
