"""How far the cosines of one image with many texts lie apart, and the sharpness that suits it."""

from __future__ import annotations

import numpy as np

from neuronym._checks import misuse
from neuronym._types import Rows

#: Standard deviation of one image's cosines over English words for CLIP ViT-B/16, for which the
#: papers' sharpness was chosen.
CLIP_SPREAD, CLIP_SHARPNESS = 0.02, 10.0


def cosine_spread(images: Rows, texts: Rows, *, block: int = 4096) -> float:
    """Mean over images of the standard deviation, over texts, of their cosines.

    For unit vectors x and t with covariance C of the texts, the variance of x·t over the texts is
    xᵀCx, so the image × text matrix is never built.

    Args:
        images: unit vectors `[image, dim]`.
        texts: unit vectors `[text, dim]`.
        block: rows held in float64 at a time.

    Returns:
        The spread, on the cosines' own scale.

    Raises:
        UsageError: no image, fewer than two texts, or different lengths of vectors.
    """
    count, dim = texts.shape
    if count < 2:
        raise misuse("texts", "at least two embeddings", count)
    if images.shape[0] < 1:
        raise misuse("images", "at least one embedding", images.shape[0])
    if images.shape[1] != dim:
        raise misuse("images", f"vectors of length {dim}, as the texts are", images.shape[1])
    mean = sum(part.sum(0) for part in _blocks(texts, block)) / count
    covariance = np.zeros((dim, dim))
    for part in _blocks(texts, block):
        centred = part - mean
        covariance += centred.T @ centred
    covariance /= count
    total = 0.0
    for part in _blocks(images, block):
        variances = np.einsum("nd,nd->n", part @ covariance, part)
        total += float(np.sqrt(np.maximum(variances, 0)).sum())
    return total / images.shape[0]


def measured_sharpness(images: Rows, texts: Rows) -> float:
    """The sharpness `a` at which concept scores spread as CLIP's do with a = 10.

    a = 10 · 0.02 / spread, rounded to two significant digits.

    Args:
        images: unit vectors `[image, dim]`.
        texts: unit vectors `[text, dim]`.

    Raises:
        UsageError: as `cosine_spread`; or all texts have one and the same embedding.
    """
    spread = cosine_spread(images, texts)
    if spread < 1e-9:
        raise misuse("texts", "at least two different embeddings", f"a spread of {spread:.1g}")
    return float(f"{CLIP_SHARPNESS * CLIP_SPREAD / spread:.2g}")


def _blocks(rows: Rows, size: int):
    for start in range(0, rows.shape[0], size):
        yield np.asarray(rows[start : start + size], dtype=np.float64)
