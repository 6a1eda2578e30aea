"""How well probabilities agree with what came true: reliability, calibration error, Brier score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64

from neuronym._core.checks import integer, misuse
from neuronym.analysis.evaluation import curves

_RESAMPLES = 1000
_BLOCK = 1 << 21  # values of the draws that are worked on at once
_LEVEL = 95


@dataclass(frozen=True)
class Interval:
    """A number and the ends of its 95 % bootstrap interval over units."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Reliability:
    """Probabilities against what came true.

    Attributes:
        units: how many.
        share: of the units that are right.
        mean: of the probabilities.
        ece: expected calibration error, see `ece`.
        expected: what it would be on average if the probabilities were exact: with finitely many
            units it is never 0.
        brier: see `brier`.
        auc: how often a right unit has a higher probability than a wrong one; NaN where all are
            right or wrong.
        bins: per bin of equal mass the columns `confidence` (mean probability), `right` (share),
            `low`, `high` (bootstrap interval of that share), `units`.
    """

    units: int
    share: float
    mean: float
    ece: Interval
    expected: float
    brier: Interval
    auc: float
    bins: dict[str, list[float]]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data; None for what is not defined."""
        data = dict(vars(self)) | {"auc": self.auc if math.isfinite(self.auc) else None}
        return data | {name: vars(data[name]) for name in ("ece", "brier")}


def measure(
    probabilities: Float[np.ndarray, " unit"],
    right: Bool[np.ndarray, " unit"],
    *,
    bins: int = 10,
    seed: int = 0,
) -> Reliability:
    """Compare probabilities with what came true; intervals by 1,000 bootstrap draws of the units.

    The intervals of errors are the value ± 1.96 standard deviations of the draws, because
    resampling adds to a calibration error what noise adds to it. Those of shares are percentiles.

    Raises:
        UsageError: no units, or probabilities that are none.
    """
    p, y = _check(probabilities, right)
    bins = integer("bins", bins, 1)
    rng = np.random.default_rng(seed)
    errors, scores, exact = [], [], []
    step = max(1, _BLOCK // len(p))
    for low in range(0, _RESAMPLES, step):
        shape = (min(step, _RESAMPLES - low), len(p))
        rows = rng.integers(0, len(p), shape)
        errors.append(_eces(p[rows], y[rows], bins))
        scores.append(((p[rows] - y[rows]) ** 2).mean(1))
        exact.append(_eces(np.broadcast_to(p, shape), rng.random(shape) < p, bins))
    parts = _parts(p, bins)
    tail = (100 - _LEVEL) / 2
    shares = [rng.binomial(len(rows), y[rows].mean(), _RESAMPLES) / len(rows) for rows in parts]
    low, high = np.percentile(shares, [tail, 100 - tail], axis=1)
    return Reliability(
        len(p),
        float(y.mean()),
        float(p.mean()),
        _interval(ece(p, y, bins), errors),
        float(np.concatenate(exact).mean()),
        _interval(brier(p, y), scores),
        auc(p, y),
        {
            "confidence": [float(p[rows].mean()) for rows in parts],
            "right": [float(y[rows].mean()) for rows in parts],
            "low": low.tolist(),
            "high": high.tolist(),
            "units": [len(rows) for rows in parts],
        },
    )


def ece(
    probabilities: Float[np.ndarray, " unit"], right: Bool[np.ndarray, " unit"], bins: int = 10
) -> float:
    r"""Expected calibration error over bins of equal mass.

    Σ_b n_b/n · |mean probability in b − share that is right in b|. The bins hold equally many units
    (of the same probability some may lie in one bin and some in the next).

    >>> ece(np.array([0.25, 0.25, 0.75, 0.75]), np.array([False, False, True, True]), bins=2)
    0.25
    """
    p, y = _check(probabilities, right)
    integer("bins", bins, 1)
    return float(_eces(p[None], y[None], bins)[0])


def brier(probabilities: Float[np.ndarray, " unit"], right: Bool[np.ndarray, " unit"]) -> float:
    """Mean squared distance of the probability from 1 where it came true and from 0 elsewhere."""
    p, y = _check(probabilities, right)
    return float(((p - y) ** 2).mean())


def auc(probabilities: Float[np.ndarray, " unit"], right: Bool[np.ndarray, " unit"]) -> float:
    """How often a right unit has a higher probability than a wrong one; ties count half."""
    p, y = _check(probabilities, right)
    return curves.auc(p, y)


def _parts(p: Float64[np.ndarray, " unit"], bins: int) -> list[np.ndarray]:
    order = np.argsort(p, kind="stable")
    return np.array_split(order, min(bins, len(p)))


def _eces(
    p: Float64[np.ndarray, "draw unit"], y: Bool[np.ndarray, "draw unit"], bins: int
) -> Float64[np.ndarray, " draw"]:
    """`ece` of each row."""
    order = np.argsort(p, axis=1, kind="stable")
    gaps = np.take_along_axis(p, order, 1) - np.take_along_axis(y, order, 1)
    begins = [part[0] for part in np.array_split(np.arange(p.shape[1]), min(bins, p.shape[1]))]
    return np.abs(np.add.reduceat(gaps, begins, axis=1)).sum(1) / p.shape[1]


def _interval(value: float, drawn: Sequence[Float64[np.ndarray, " draw"]]) -> Interval:
    half = NormalDist().inv_cdf(0.5 + _LEVEL / 200) * float(np.concatenate(drawn).std())
    return Interval(value, max(0.0, value - half), value + half)


def _check(
    probabilities: Float[np.ndarray, " unit"], right: Bool[np.ndarray, " unit"]
) -> tuple[Float64[np.ndarray, " unit"], Bool[np.ndarray, " unit"]]:
    p, y = np.asarray(probabilities, np.float64), np.asarray(right, bool)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise misuse("probabilities", f"have one entry per unit, as `right` has {y.shape}", p.shape)
    if not ((p >= 0) & (p <= 1)).all():
        raise misuse("probabilities", "hold numbers 0…1", p[~((p >= 0) & (p <= 1))][0])
    return p, y
