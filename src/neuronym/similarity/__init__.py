"""Similarities: how well a concept matches what a unit responds to, one file per function."""

from __future__ import annotations

from neuronym.parameters import opened
from neuronym.similarity.base import SIMILARITIES, Similarity, Top
from neuronym.similarity.cos import Cos
from neuronym.similarity.cos_cubed import CosCubed
from neuronym.similarity.rank_reorder import RankReorder
from neuronym.similarity.soft_wpmi import SoftWpmi
from neuronym.similarity.wpmi import Wpmi

__all__ = [
    "SIMILARITIES",
    "Cos",
    "CosCubed",
    "RankReorder",
    "Similarity",
    "SoftWpmi",
    "Top",
    "Wpmi",
    "open_similarity",
]


def open_similarity(spec: str | Similarity) -> Similarity:
    """A similarity from its name with parameters, or the similarity that is given.

    Args:
        spec: for example `soft-wpmi`, `soft-wpmi:top_k=5,a=10,prior=probe`, `cos`.

    Raises:
        UsageError: no such similarity, no such parameter, or a value that does not fit.

    >>> open_similarity("wpmi:lam=0.5,top_k=7").spec
    'wpmi:top_k=7,lam=0.5'
    >>> open_similarity("soft-wpmi").settle(images=1000, sharpness=10).spec
    'soft-wpmi:top_k=10,a=10'
    """
    return opened(SIMILARITIES, Similarity, spec)
