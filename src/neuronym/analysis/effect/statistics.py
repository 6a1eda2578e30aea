"""From outputs with and without a unit to effects: chosen on one half, measured on the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

#: Effects are reported up to this q, so that at most `ABSENT` of them are absent: t-tests of ten
#: images a side report too many where differences are skewed (docs/effect.md has the figures).
FDR = 0.01
ABSENT = 0.05
#: What `one_output` gives for each output that it tests.
OUTPUT_COLUMNS = (
    "output",
    "side",
    "difference",
    "on_exemplars",
    "on_random",
    "probability",
    "error",
    "freedom",
    "p",
)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network puts out for some images with a unit as it is, and changed.

    Attributes:
        plain, changed: `[image, output]`.
    """

    plain: Float32[np.ndarray, "image output"]
    changed: Float32[np.ndarray, "image output"]

    @property
    def difference(self) -> Float64[np.ndarray, "image output"]:
        """Changed less plain."""
        with np.errstate(invalid="ignore"):  # of infinities
            return self.changed.astype(np.float64) - self.plain

    def part(self, rows: slice) -> Seen:
        """Some of the images."""
        return Seen(self.plain[rows], self.changed[rows])


def one_output(
    exemplars: Seen | None, random: Seen, count: int, named: bool
) -> dict[str, list[Any]]:
    """What a unit does to single outputs.

    The outputs that fall and rise most are chosen on every other image, the first among them;
    the effect is measured on the rest. It is the mean difference on exemplars less that on random
    images, with Welch's standard error; without exemplars, the mean difference on random images.

    Args:
        exemplars: the highest first. None: effects on random images are wanted.
        random: of random images.
        count: outputs to choose that fall, and that rise.
        named: outputs are classes, so that changes of probability (by softmax) mean something.

    Returns:
        `OUTPUT_COLUMNS`, an entry per chosen output: those that fall, then those that rise, the
        largest difference first.
    """
    choose, measure = slice(0, None, 2), slice(1, None, 2)
    first = _contrast(exemplars and exemplars.part(choose), random.part(choose))[0]
    order = np.argsort(first, kind="stable")
    fall = [int(n) for n in order[:count] if first[n] < 0]
    rise = [int(n) for n in order[::-1][:count] if first[n] > 0]
    chosen = [*fall, *rise]
    own, other = exemplars and exemplars.part(measure), random.part(measure)
    difference, error, freedom, p = (column[chosen] for column in _contrast(own, other))
    seen = own or other
    likely = _probabilities(seen)[:, chosen].mean(0) if named else np.full(len(chosen), np.nan)
    high = own.difference[:, chosen].mean(0) if own else np.full(len(chosen), np.nan)
    found = {
        "output": chosen,
        "side": ["falls"] * len(fall) + ["rises"] * len(rise),
        "difference": difference,
        "on_exemplars": high,
        "on_random": other.difference[:, chosen].mean(0),
        "probability": likely,
        "error": error,
        "freedom": freedom,
        "p": p,
    }
    return {name: list(found[name]) for name in OUTPUT_COLUMNS}


def whole_output(exemplars: Seen | None, random: Seen) -> dict[str, Any]:
    """What a unit does to the output as a whole, on all images.

    Returns:
        turn: by how many degrees the output turns, mean over exemplars; turn_random: over random
        images; turn_p: of the difference, by Welch's test (without exemplars: None); norm,
        norm_random: change of its length, as a share; flips, flips_random: share of images of
        which another output becomes the highest.
    """
    turns = {}
    found: dict[str, Any] = {}
    for name, seen in (("", exemplars), ("_random", random)):
        if seen is None:
            found |= {f"turn{name}": None, f"norm{name}": None, f"flips{name}": None}
            continue
        a, b = seen.plain.astype(np.float64), seen.changed.astype(np.float64)
        lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            # Exact for small angles, where the arc cosine is not (Kahan).
            ways = a / lengths[0][:, None], b / lengths[1][:, None]
            half = np.linalg.norm(ways[0] - ways[1], axis=1), np.linalg.norm(sum(ways), axis=1)
            turns[name] = np.degrees(2 * np.arctan2(*half))
            norms = lengths[1] / lengths[0] - 1
        found[f"turn{name}"] = float(np.mean(turns[name]))
        found[f"norm{name}"] = float(np.mean(norms))
        several = a.shape[1] > 1
        flips = float(np.mean(a.argmax(1) != b.argmax(1))) if several else None
        found[f"flips{name}"] = flips
    if exemplars is not None:
        found["turn_p"] = float(_welch(turns[""][:, None], turns["_random"][:, None])[3][0])
    return {"turn_p": None} | found


def _probabilities(seen: Seen) -> np.ndarray:
    from scipy.special import softmax

    return softmax(seen.changed.astype(np.float64), 1) - softmax(seen.plain.astype(np.float64), 1)


def _contrast(exemplars: Seen | None, random: Seen) -> tuple[np.ndarray, ...]:
    if exemplars is None:
        return _welch(random.difference, None)
    return _welch(exemplars.difference, random.difference)


def _welch(high: np.ndarray, other: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """Difference of means, standard error, degrees of freedom and two-sided p, `[output]` each.

    p is the larger of Welch's, and of the same after Hall's transformation for skewness (JRSS B
    54, 1992, 221–228).
    """
    from scipy.stats import t

    parts = [high] if other is None else [high, other]
    means = [part.mean(0) for part in parts]
    spreads = [part.var(0, ddof=1) / len(part) for part in parts]
    difference = means[0] - (means[1] if other is not None else 0.0)
    square = np.sum(spreads, axis=0)
    below = sum(s**2 / (len(part) - 1) for s, part in zip(spreads, parts, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = np.where(square > 0, square**2 / below, len(high) - 1)
        error = np.sqrt(square)
        ratio = np.where(difference == 0, 0.0, difference / error)
        skew = third(high) - (third(other) if other is not None else 0.0)
        skew = np.where(error > 0, skew / error**3, 0.0)
        bent = ratio + skew * ratio**2 / 3 + skew**2 * ratio**3 / 27 + skew / 6
    bent = np.where(np.isfinite(ratio), np.maximum(bent * np.sign(ratio), 0), np.inf)
    return difference, error, freedom, 2 * t.sf(np.minimum(bent, np.abs(ratio)), freedom)


def third(values: np.ndarray) -> np.ndarray:
    """The third central moment of a mean, without bias."""
    n = len(values)
    scale = n / ((n - 1) * (n - 2)) / n**2
    return scale * ((values - values.mean(0)) ** 3).sum(0)


def reported(p: Float64[np.ndarray, " test"]) -> tuple[np.ndarray, np.ndarray]:
    """q-values of tests, and which of their intervals have which level.

    q is by Benjamini and Hochberg. Tests with q ≤ `FDR` are reported, with intervals of the level
    1 − FDR · reported / tests, of which no larger share misses although these were chosen
    (Benjamini and Yekutieli, JASA 2005); they exclude 0. Others have the level 1 − FDR.

    Returns:
        q and level, `[test]`.
    """
    from scipy.stats import false_discovery_control

    if not len(p):
        return p, p
    q = false_discovery_control(p)
    hits = int((q <= FDR).sum())
    return q, np.where(q <= FDR, 1 - FDR * hits / len(p), 1 - FDR)


def intervals(
    difference: np.ndarray, error: np.ndarray, freedom: np.ndarray, level: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the intervals of differences, `[test]` each."""
    from scipy.stats import t

    half = t.isf((1 - level) / 2, freedom) * error
    return difference - half, difference + half
