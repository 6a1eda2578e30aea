"""How well a concept explains a unit: measures of its activations against the concept's scores."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from neuronym._core.checks import misuse, nearest, real

# All work row by row on arrays `[unit, image]`, each unit with one concept. A row that a measure is
# not defined for (a constant activation, no image with the concept, a value that is not finite)
# gets NaN.

#: Images per half of the top-and-random sample.
_HALF = 25
_MIN_PROB = 1e-7

PerUnit = Float64[np.ndarray, " unit"]
Graded = Float[np.ndarray, "unit image"]
Binary = Bool[np.ndarray, "unit image"]


class Pair:
    """Units and their concepts, in the forms that metrics ask for.

    Attributes:
        activations: float64 `[unit, image]`.
        scores: float64 `[unit, image]`: of the concept, for example p(t | x), or 1 where an image
            has the concept and 0 where it has not.
        share: of the images that count as active, and as having the concept.
        fine: bool `[unit]`: all its values are finite. Rows where they are not are set to 0.
    """

    def __init__(self, activations: Graded, scores: Graded, share: float = 0.01) -> None:
        self.activations = np.asarray(activations, np.float64)
        self.scores = np.asarray(scores, np.float64)
        self.share = real("share", share, 0, 1)
        if self.activations.ndim != 2 or self.activations.shape != self.scores.shape:
            raise misuse(
                "scores", f"have the activations' shape {self.activations.shape}", self.scores.shape
            )
        parts = (self.activations, self.scores)
        fine, also = (np.all(np.isfinite(part), axis=1) for part in parts)
        self.fine: np.ndarray = fine & also
        if not self.fine.all():
            self.activations, self.scores = (np.where(self.fine[:, None], p, 0) for p in parts)

    @functools.cached_property
    def active(self) -> Binary:
        """The images that the unit is active on; see `highest`."""
        return highest(self.activations, self.share)

    @functools.cached_property
    def present(self) -> Binary:
        """The images that have the concept: those labelled 1, or the highest of graded scores."""
        if np.isin(self.scores, (0, 1)).all():
            return self.scores == 1
        return highest(self.scores, self.share)

    @functools.cached_property
    def score_ranks(self) -> Graded:
        """Ranks of the scores; see `ranks`."""
        return ranks(self.scores)


@dataclass(frozen=True)
class Metric:
    """A measure of explanations.

    Attributes:
        name: under which it is found in `METRICS`.
        measure: from a `Pair` to one float64 per unit.
        passes: whether it notices missing and extra labels (`sanity.judge` decides; a test holds
            the two together).
        summary: what it is, in a line.
    """

    name: str
    measure: Callable[[Pair], PerUnit]
    passes: bool
    summary: str


METRICS: dict[str, Metric] = {}


def _metric(
    name: str, *, passes: bool
) -> Callable[[Callable[[Pair], PerUnit]], Callable[[Pair], PerUnit]]:
    def decorate(measure: Callable[[Pair], PerUnit]) -> Callable[[Pair], PerUnit]:
        @functools.wraps(measure)
        def of_fine_rows(pair: Pair) -> PerUnit:
            return np.where(pair.fine, measure(pair), np.nan)

        summary = (measure.__doc__ or "").split("\n")[0]
        METRICS[name] = Metric(name, of_fine_rows, passes, summary)
        return of_fine_rows

    return decorate


def find(name: str) -> Metric:
    """A metric by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in METRICS:
        near = nearest(name, METRICS)
        raise misuse(
            "metric",
            f"one of {', '.join(METRICS)}",
            name,
            f"Nearest: {', '.join(near)}." if near else "",
        )
    return METRICS[name]


def measure(name: str, activations: Graded, scores: Graded, share: float = 0.01) -> PerUnit:
    """A metric of every unit's activations against its concept's scores.

    >>> active = np.array([[0.0, 0.0, 3.0, 5.0]])
    >>> dog = np.array([[0.1, 0.2, 0.1, 0.9]])
    >>> measure("correlation", active, dog).round(3).tolist()
    [0.775]

    Args:
        name: see `METRICS`. Those that fail the sanity tests are computed under a warning.
        activations: `[unit, image]`.
        scores: `[unit, image]`, of each unit's concept; zeros and ones are labels.
        share: of the images that count as active, for metrics of yes and no.

    Raises:
        UsageError: no such metric, or shapes that do not fit.
    """
    metric = find(name)
    if not metric.passes:
        warnings.warn(warning(name), stacklevel=2)
    return metric.measure(Pair(activations, scores, share))


def warning(name: str) -> str:
    """What whoever uses a metric that fails the sanity tests has to know."""
    good = ", ".join(metric.name for metric in METRICS.values() if metric.passes)
    return (
        f"{name} fails the sanity tests: it can stay the same when half of a concept's labels are "
        f"missing, or as many wrong ones are added. Prefer {good}."
    )


# -- forms ------------------------------------------------------------------------------------


def highest(values: Graded, share: float) -> Binary:
    """The ⌈share·N⌉ highest images of each row and their ties, but none at the row's minimum."""
    count = values.shape[1]
    if not count:
        return np.zeros(values.shape, bool)
    place = count - max(1, math.ceil(share * count - 1e-9))
    least = np.partition(values, place, axis=1)[:, place, None]
    return (values >= least) & (values > values.min(1, keepdims=True))


def ranks(values: Graded) -> Graded:
    """Ranks within each row from 1 (the lowest) up; ties share the mean of their ranks."""
    from scipy.stats import rankdata

    return rankdata(values, axis=1)


def _ratio(above: np.ndarray, below: np.ndarray) -> PerUnit:
    """above / below; NaN where below is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0, np.nan, above / below)


def _pearson(left: Graded, right: Graded) -> PerUnit:
    # A constant row has no correlation, whatever rounding leaves of it once it is centred.
    flat = (left.min(1) == left.max(1)) | (right.min(1) == right.max(1))
    centred = [part - part.mean(1, keepdims=True) for part in (left, right)]
    return np.where(flat, np.nan, _cosine(*centred))


def _cosine(left: Graded, right: Graded) -> PerUnit:
    lengths = np.sqrt((left * left).sum(1) * (right * right).sum(1))
    return _ratio((left * right).sum(1), lengths)


def _both(pair: Pair) -> tuple[PerUnit, PerUnit, PerUnit]:
    """How many images are active and have the concept; are active; have the concept."""
    both = (pair.active & pair.present).sum(1)
    return both, pair.active.sum(1), pair.present.sum(1)


# -- metrics that pass ------------------------------------------------------------------------


@_metric("correlation", passes=True)
def correlation(pair: Pair) -> PerUnit:
    """Pearson's correlation of activations and scores."""
    return _pearson(pair.activations, pair.scores)


@_metric("cosine", passes=True)
def cosine(pair: Pair) -> PerUnit:
    """Cosine of activations and scores, without taking off their means."""
    return _cosine(pair.activations, pair.scores)


@_metric("f1", passes=True)
def f1(pair: Pair) -> PerUnit:
    """Harmonic mean of precision and recall: 2·|active ∧ present| / (|active| + |present|)."""
    both, active, present = _both(pair)
    return np.where(active * present == 0, np.nan, _ratio(2 * both, active + present))


@_metric("iou", passes=True)
def iou(pair: Pair) -> PerUnit:
    """Intersection over union: |active ∧ present| / |active ∨ present|."""
    both, active, present = _both(pair)
    return np.where(active * present == 0, np.nan, _ratio(both, active + present - both))


@_metric("auprc", passes=True)
def auprc(pair: Pair) -> PerUnit:
    """Area under the precision–recall curve of the scores as a detector of the active images.

    Average precision: the mean over active images of the precision at their score; images with the
    same score come in together.
    """
    falling = np.argsort(-pair.scores, axis=1, kind="stable")
    ordered = np.take_along_axis(pair.scores, falling, 1)
    hit = np.take_along_axis(pair.active, falling, 1)
    found = np.cumsum(hit, 1)
    precision = found / np.arange(1, hit.shape[1] + 1)
    # Precision is read where a score ends: at the last of its images.
    count = hit.shape[1]
    last = np.ones(hit.shape, bool)
    last[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
    ends = np.where(last, np.arange(count), count - 1)
    ends = np.minimum.accumulate(ends[:, ::-1], 1)[:, ::-1]
    at_end = np.take_along_axis(precision, ends, 1)
    return _ratio((at_end * hit).sum(1), hit.sum(1))


# -- metrics that fail ------------------------------------------------------------------------


@_metric("recall", passes=False)
def recall(pair: Pair) -> PerUnit:
    """Share of the active images that have the concept."""
    both, active, _ = _both(pair)
    return _ratio(both, active)


@_metric("precision", passes=False)
def precision(pair: Pair) -> PerUnit:
    """Share of the concept's images that are active."""
    both, _, present = _both(pair)
    return _ratio(both, present)


@_metric("accuracy", passes=False)
def accuracy(pair: Pair) -> PerUnit:
    """Share of the images that are active and have the concept, or neither."""
    return (pair.active == pair.present).mean(1)


@_metric("balanced-accuracy", passes=False)
def balanced_accuracy(pair: Pair) -> PerUnit:
    """Mean of the shares of active and of inactive images that the concept gets right."""
    both, active, present = _both(pair)
    count = pair.active.shape[1]
    neither = count - active - present + both
    return (_ratio(both, active) + _ratio(neither, count - active)) / 2


@_metric("auc", passes=False)
def auc(pair: Pair) -> PerUnit:
    """Area under the ROC curve: how often an active image scores above an inactive one."""
    active = pair.active.sum(1)
    above = (pair.score_ranks * pair.active).sum(1) - active * (active + 1) / 2
    return _ratio(above, active * (pair.active.shape[1] - active))


@_metric("spearman", passes=False)
def spearman(pair: Pair) -> PerUnit:
    """Spearman's rank correlation of activations and scores."""
    return _pearson(ranks(pair.activations), pair.score_ranks)


@_metric("correlation-top-and-random", passes=False)
def correlation_top_and_random(pair: Pair) -> PerUnit:
    """Pearson's correlation on the 25 most active images and 25 random ones (seeded)."""
    return _pearson(*_top_and_random(pair))


@_metric("spearman-top-and-random", passes=False)
def spearman_top_and_random(pair: Pair) -> PerUnit:
    """Spearman's correlation on the 25 most active images and 25 random ones (seeded)."""
    return _pearson(*map(ranks, _top_and_random(pair)))


@_metric("wpmi", passes=False)
def wpmi(pair: Pair) -> PerUnit:
    """Mean log score over the active images less the log of the mean score over all."""
    logs = np.log(np.maximum(pair.scores, 0) + _MIN_PROB)
    mean = np.maximum(pair.scores, 0).mean(1)
    return _ratio((logs * pair.active).sum(1), pair.active.sum(1)) - np.log(mean + _MIN_PROB)


@_metric("mad", passes=False)
def mad(pair: Pair) -> PerUnit:
    """Mean activation on images with the concept less that on images without."""
    present, count = pair.present.sum(1), pair.present.shape[1]
    inside = (pair.activations * pair.present).sum(1)
    outside = (pair.activations * ~pair.present).sum(1)
    return _ratio(inside, present) - _ratio(outside, count - present)


def _top_and_random(pair: Pair) -> tuple[Graded, Graded]:
    count = pair.activations.shape[1]
    half = min(_HALF, count)
    top = np.argsort(-pair.activations, axis=1, kind="stable")[:, :half]
    some = np.random.default_rng(0).choice(count, half, replace=False)
    rows = np.concatenate([top, np.tile(some, (len(top), 1))], 1)
    activations = np.take_along_axis(pair.activations, rows, 1)
    return activations, np.take_along_axis(pair.scores, rows, 1)
