"""What methods share that read a unit's highest images: choosing them, nearest concepts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

from neuronym._core.numerics.topk import Ranked, TopK
from neuronym._core.progress import Progress, silent

#: Cosines held at once.
_VALUES = 1 << 22
#: Units whose exemplars are held at once.
BLOCK = 128


def nearest_concepts(
    vectors: Float[np.ndarray, "row dim"],
    texts: Float[np.ndarray, "concept dim"],
    n: int,
    progress: Progress = silent,
) -> Ranked:
    """The n concepts of highest cosine for every vector, best first.

    Cosines are computed in float64 and compared as float32, so that identical text embeddings tie;
    of equal cosines the smaller concept comes first. A zero vector has cosine 0 with everything.

    Args:
        vectors: of any length.
        texts: of any length.
        n: fewer where there are fewer concepts.
        progress: counted in concepts.

    >>> ranked = nearest_concepts(np.array([[3.0, 4.0]]), np.eye(2), n=5)
    >>> ranked.values.round(3).tolist(), ranked.indices.tolist()
    ([[0.800000011920929, 0.6000000238418579]], [[1, 0]])
    """
    best = TopK(len(vectors), min(n, len(texts)))
    rows = unit(vectors)
    step = max(1, _VALUES // max(1, len(rows)))
    with progress("scoring concepts", len(texts)) as tick:
        for low in range(0, len(texts), step):
            tile = unit(texts[low : low + step])
            numbers = np.arange(low, low + len(tile))
            best.update(np.clip(tile @ rows.T, -1, 1).astype(np.float32), numbers, numbers)
            tick.advance(len(tile))
    return best.result()


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths, float64 `[..., dim]`; zero stays zero."""
    wide = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    return wide / np.where(lengths > 0, lengths, 1)


def ranked_labels(
    words: Sequence[str],
    vectors: Float[np.ndarray, "unit dim"],
    texts: Float[np.ndarray, "concept dim"],
    reasons: Sequence[str | None],
    count: int,
    progress: Progress = silent,
) -> tuple[np.ndarray, np.ndarray]:
    """The concepts nearest to the vector of every unit: words and cosines, both `[unit, n]`.

    Rows of units that have a reason to abstain hold None and NaN.
    """
    active = np.flatnonzero([reason is None for reason in reasons])
    n = min(count, len(words))
    concepts = np.full((len(reasons), n), None, object)
    scores = np.full((len(reasons), n), np.nan, np.float32)
    if len(active):
        best = nearest_concepts(vectors[active], texts, n, progress)
        concepts[active] = np.array(words, object)[best.indices]
        scores[active] = best.values
    return concepts, scores


def exemplar_vectors(
    images: Float[np.ndarray, "image dim"], rows: Int64[np.ndarray, "unit k"]
) -> Float[np.ndarray, "unit k dim"]:
    """Embeddings of every unit's exemplars, float64; 0 in empty places (row −1)."""
    found = np.asarray(images[np.maximum(rows, 0)], np.float64)
    found[rows < 0] = 0
    return found


def mean_of(
    vectors: Float[np.ndarray, "unit k dim"], weights: Float[np.ndarray, "unit k"]
) -> Float[np.ndarray, "unit dim"]:
    """Weighted mean of every unit's vectors, float64; 0 where all weights are 0.

    >>> mean_of(np.array([[[2.0, 1.0], [4.0, 0.0]]]), np.array([[1, 3]])).tolist()
    [[3.5, 0.25]]
    """
    total = weights.sum(1, keepdims=True)
    return ((weights / np.where(total > 0, total, 1))[:, None] @ vectors)[:, 0]


def images_read(k: int | None, most: int, images: int) -> int:
    """How many exemplars to take: k, or by default one in a hundred images, 5 to `most`.

    >>> images_read(None, 30, 1_000), images_read(None, 30, 50_000), images_read(7, 30, 1_000)
    (10, 30, 7)
    """
    return min(most, fitting(images)) if k is None else k


def fitting(images: int) -> int:
    """How many of a probe's images may be expected to show what a unit responds to."""
    return max(5, images // 100)


def caveat(k: int, images: int) -> dict[str, str]:
    """A note for the atlas where k exemplars are many for the probe; else empty.

    >>> caveat(30, 50_000)
    {}
    """
    if k <= fitting(images):
        return {}
    note = f"k={k} of {images:,} images: most exemplars may not show what the unit responds to"
    return {"note": f"{note}; k={fitting(images)} suits this probe"}
