"""How well a score tells right labels from wrong ones; plain arrays in, numbers out."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float


def auc(scores: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """The chance that a right one scores higher than a wrong one; ties count half.

    Returns:
        NaN where there is none of one kind.

    >>> auc(np.array([3.0, 2, 2, 1]), np.array([True, True, False, False]))
    0.875
    """
    good, bad = np.sort(scores[right]), np.sort(scores[~right])
    if not len(good) or not len(bad):
        return float("nan")
    below, upto = (np.searchsorted(bad, good, side) for side in ("left", "right"))
    return float((below + upto).sum() / (2 * len(good) * len(bad)))


def precision_at(
    scores: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " t"], np.ndarray, Float[np.ndarray, " t"]]:
    """The curve: for each score as a threshold, what lies at or above it.

    Returns:
        The distinct scores from the highest down, how many reach each, and the share of these
        that is right.
    """
    order = np.argsort(-scores, kind="stable")
    hits, count = np.cumsum(right[order]), np.arange(1, len(scores) + 1)
    last: Any = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True)) if len(scores) else []
    return scores[order][last], count[last], (hits / count)[last]


def auprc(scores: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Area under the precision–recall curve: Σ (R_t − R_{t−1})·P_t over distinct scores.

    Equal scores are one step, so the order of ties does not matter. A score that says nothing
    gives the share of right ones.

    Returns:
        NaN where none is right.
    """
    if not right.any():
        return float("nan")
    _, count, precision = precision_at(scores, right)
    recall = count * precision / right.sum()
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def threshold(
    scores: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], precision: float
) -> tuple[float, int]:
    """The lowest score such that of those that reach it the wished share is right.

    Returns:
        The score, and how many reach it; NaN and 0 where no score does.
    """
    found, count, precise = precision_at(scores, right)
    good = np.flatnonzero(precise >= precision - 1e-12)
    return (float(found[good[-1]]), int(count[good[-1]])) if len(good) else (float("nan"), 0)
