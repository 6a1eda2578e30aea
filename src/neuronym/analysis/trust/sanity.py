"""Two tests that a measure of explanations has to pass: missing labels and extra labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from neuronym.analysis.trust.explanation_metrics import METRICS, Binary, Graded, Metric, Pair

#: A smaller fall than this counts as none.
TOLERANCE = 0.001
#: The share of units whose value has to fall.
NEEDED = 0.9
#: How rare the concept is in the worlds that metrics are tried in.
FREQUENCIES = (0.4, 0.01, 0.001)
_UNITS, _IMAGES = 20, 20_000

Grade = Callable[[Binary], Graded]


def _as_numbers(present: Binary) -> Graded:
    return present.astype(np.float64)


@dataclass(frozen=True)
class Verdict:
    """What the tests say of a metric in one world.

    Attributes:
        metric: its name.
        world: `ideal`, `noisy` or `graded`; see `worlds`.
        frequency: share of the images that have the concept.
        missing, extra: share of the units whose value falls under the test.
    """

    metric: str
    world: str
    frequency: float
    missing: float
    extra: float

    @property
    def passes(self) -> bool:
        """Whether the value falls for more than nine in ten units in both tests."""
        return min(self.missing, self.extra) > NEEDED


def missing_labels(present: Binary, rng: np.random.Generator) -> Binary:
    """The labels with a random half of each unit's taken away; of an odd number the larger half."""
    kept = present.sum(1) // 2
    return present & (_random_ranks(present, rng) < kept[:, None])


def extra_labels(present: Binary, rng: np.random.Generator) -> Binary:
    """The labels, and as many again on random other images (all the others, if there are fewer)."""
    return present | (_random_ranks(~present, rng) < present.sum(1)[:, None])


def _random_ranks(among: Binary, rng: np.random.Generator) -> np.ndarray:
    """A random order of each row's true places, from 0; the others come after them."""
    keys = rng.random(among.shape) + ~among
    return np.argsort(np.argsort(keys, axis=1), axis=1)


def falls(metric: Metric, before: Pair, after: Pair, tolerance: float = TOLERANCE) -> float:
    """The share of units whose value is lower after than before.

    Args:
        metric: an entry of `METRICS`.
        before, after: the same units, with right and with spoiled labels.
        tolerance: a smaller fall does not count.

    Returns:
        Among the units with a value before; NaN if there is none. A value that is lost is a fall.
    """
    old, new = metric.measure(before), metric.measure(after)
    known = np.isfinite(old)
    return float(np.mean(~(new[known] >= old[known] - tolerance))) if known.any() else np.nan


def spoiled(
    activations: Graded, present: Binary, grade: Grade = _as_numbers, seed: int = 0
) -> tuple[Pair, Pair, Pair]:
    """Units with the right labels, with half of them missing, and with as many extra ones.

    Args:
        activations: `[unit, image]`, of units whose concept is known.
        present: bool `[unit, image]`: the images that have the unit's concept.
        grade: from labels to the scores that metrics see. Default: 0 and 1.
        seed: of what is taken and added.
    """
    rng = np.random.default_rng(seed)
    present = np.asarray(present, bool)
    # Units are active as often as their concept occurs: the best case for metrics of yes and no.
    share = float(present.mean())
    labels = (present, missing_labels(present, rng), extra_labels(present, rng))
    before, missing, extra = (Pair(activations, grade(found), share) for found in labels)
    missing.active = extra.active = before.active
    return before, missing, extra


def worlds(
    units: int = _UNITS, images: int = _IMAGES, seed: int = 0
) -> Iterator[tuple[str, float, Graded, Binary, Grade]]:
    """Units of known concepts: (world, frequency, activations, present, grade).

    `ideal`: units are 1 on their concept and 0 elsewhere. `noisy`: they respond by degrees; on
    every image a background drawn from |N(0, 0.1)|, and on a random 80 % of the concept's images
    and on a quarter as many others a response drawn from 0.2…1 on top of it. `graded`: the same
    units, and scores that are graded too, as an encoder's are: from 0.5…1 with the concept, and
    from an exponential distribution of mean 0.02 without. (There is no graded world of one image in
    1,000: the background of the other 999 drowns it.)
    """
    rng = np.random.default_rng(seed)
    for frequency in FREQUENCIES:
        count = round(frequency * images)
        present = _random_ranks(np.ones((units, images), bool), rng) < count
        yield "ideal", frequency, present.astype(np.float64), present, _as_numbers
        seen = present & (_random_ranks(present, rng) < 0.8 * count)
        seen |= ~present & (_random_ranks(~present, rng) < 0.25 * count)
        response = rng.uniform(0.2, 1, present.shape) * seen
        noisy = response + np.abs(rng.normal(0, 0.1, present.shape))
        yield "noisy", frequency, noisy, present, _as_numbers
        if frequency >= 0.01:
            high = rng.uniform(0.5, 1, present.shape)
            low = np.minimum(rng.exponential(0.02, present.shape), 1)
            yield "graded", frequency, noisy, present, partial(_graded, high, low)


def _graded(high: Graded, low: Graded, present: Binary) -> Graded:
    return np.where(present, high, low)


def judge(metrics: dict[str, Metric] = METRICS, **size: int) -> dict[str, list[Verdict]]:
    """Both tests of every metric in all worlds.

    Take a unit and the labels of the concept that explains it, and spoil the labels: take half of
    them away at random, or add as many again on random other images. A measure that means anything
    falls.

    Args:
        metrics: by name.
        **size: units, images, seed; see `worlds`.

    Reference: Oikarinen, Yan and Weng, "Evaluating Neuron Explanations: A Unified Framework with
    Sanity Checks", ICML 2025, arXiv 2506.05774.
    """
    found: dict[str, list[Verdict]] = {name: [] for name in metrics}
    for world, frequency, activations, present, grade in worlds(**size):
        before, missing, extra = spoiled(activations, present, grade)
        for name, metric in metrics.items():
            shares = (falls(metric, before, after) for after in (missing, extra))
            found[name].append(Verdict(name, world, frequency, *shares))
    return found


def passes(verdicts: list[Verdict]) -> bool:
    """Whether a metric passes both tests in all worlds."""
    return all(verdict.passes for verdict in verdicts)


def table(verdicts: dict[str, list[Verdict]]) -> str:
    """The verdicts as a Markdown table: per metric and test its worst world."""
    lines = [
        "| metric | missing labels | worst in | extra labels | worst in | passes |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in verdicts.items():
        cells = []
        for test in ("missing", "extra"):
            worst = min(found, key=lambda verdict: getattr(verdict, test))
            value = getattr(worst, test)
            where = "–" if value == 1 else f"{worst.world}, {worst.frequency:g}"
            cells += [f"{value:.0%}".replace("%", " %"), where]
        lines.append(f"| `{name}` | {' | '.join(cells)} | {'yes' if passes(found) else 'no'} |")
    return "\n".join(lines)
