"""Units of two networks that respond to the same images, one to one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float32

from neuronym._core.types import Rows
from neuronym.analysis.diff.correlation import take
from neuronym.analysis.diff.shared import Activations, SharedImages, standard

#: Images at most, evenly among the shared ones: more would not tell the partners better.
IMAGES = 1024
#: Pairs of units that may be looked at once more for each further shuffling.
_PAIRS = 200_000_000
_SHUFFLINGS = 8
_BLOCK = 1024


def partners(
    a: Mapping[str, Rows] | Activations,
    b: Mapping[str, Rows] | Activations,
    layers: tuple[list[str], list[str]],
    images: SharedImages,
    fdr: float = 0.05,
) -> pd.DataFrame:
    """Pairs of units, each of which correlates with the other more than with any other unit.

    Such pairs exist by chance too. How high they correlate is seen with the images of the second
    network shuffled (rotated in the order of content hashes, which is as good as random), once to
    eight times: the threshold is the lowest from which on so many chance pairs, and one, are at
    most a share `fdr` of the pairs (target–decoy, as in searches of mass spectra).

    Args:
        a, b: activations by layer.
        layers: of a, and of b.
        images: shared ones.

    Returns:
        a_layer, a_unit, b_layer, b_unit, correlation; the highest first. `frame.attrs` has
        `images`, `shufflings` and `threshold` (None: no pair is above chance).

    Reference: Li et al. 2016, Convergent learning, ICLR (best both ways); Elias and Gygi 2007,
    Nature Methods 4 (decoys).
    """
    some = np.unique(np.linspace(0, len(images) - 1, min(len(images), IMAGES)).astype(int))
    first = {layer: take(a[layer], images.a[some]) for layer in layers[0]}
    second = {layer: take(b[layer], images.b[some]) for layer in layers[1]}
    x, y = (
        np.concatenate([standard(values) for values in side.values()], axis=1)
        for side in (first, second)
    )
    shuffled = int(np.clip(_PAIRS // max(1, x.shape[1] * y.shape[1]), 1, _SHUFFLINGS))
    steps = [(k + 1) * len(some) // (shuffled + 1) for k in range(shuffled)]
    left, right, r = _mutual(x, y)
    chance = np.concatenate([_mutual(x, np.roll(y, step, axis=0))[2] for step in steps])
    order = np.argsort(-r, kind="stable")
    left, right, r = left[order], right[order], r[order]
    above = len(chance) - np.searchsorted(np.sort(chance), r)
    false = (1 + above) / shuffled
    good = np.flatnonzero(false <= fdr * np.arange(1, len(r) + 1))
    count = int(good[-1]) + 1 if len(good) else 0
    names = [_names(side) for side in (first, second)]
    found = pd.DataFrame(
        {
            "a_layer": names[0][0][left[:count]],
            "a_unit": names[0][1][left[:count]],
            "b_layer": names[1][0][right[:count]],
            "b_unit": names[1][1][right[:count]],
            "correlation": r[:count],
        }
    )
    threshold = float(r[count - 1]) if count else None
    found.attrs = {"images": len(some), "shufflings": shuffled, "threshold": threshold}
    return found


def _names(side: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    counts = [values.shape[1] for values in side.values()]
    return np.repeat(np.array(list(side), object), counts), np.concatenate(
        [np.arange(count) for count in counts]
    )


def _mutual(
    x: Float32[np.ndarray, "image left"], y: Float32[np.ndarray, "image right"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places in x and y of pairs that are best both ways, and their correlations above 0."""
    best = np.zeros(y.shape[1], np.float32)
    whose = np.full(y.shape[1], -1)
    own, mine = np.zeros(x.shape[1], np.float32), np.full(x.shape[1], -1)
    for some in _slices(x.shape[1]):
        for others in _slices(y.shape[1]):
            r = x[:, some].T @ y[:, others]
            _better(own[some], mine[some], r.max(1), others.start + r.argmax(1))
            _better(best[others], whose[others], r.max(0), some.start + r.argmax(0))
    left = np.flatnonzero(mine >= 0)
    left = left[whose[mine[left]] == left]
    return left, mine[left], own[left]


def _better(best: np.ndarray, place: np.ndarray, value: np.ndarray, new: np.ndarray) -> None:
    """Take over, in place, what is higher than before."""
    more = value > best
    best[more], place[more] = value[more], new[more]


def _slices(count: int) -> Iterator[slice]:
    return (slice(low, min(low + _BLOCK, count)) for low in range(0, count, _BLOCK))
