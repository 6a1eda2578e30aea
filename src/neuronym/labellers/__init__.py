"""Labellers: methods that give every unit ranked concepts with scores, one file per method."""

from __future__ import annotations

from neuronym.labellers import (  # noqa: F401  (registers what it imports)
    clip_avg,
    clip_dissect,
    csp,
    frequent,
    from_annotations,
    grounded_sam,
    linear,
    netdissect,
    random_baseline,
    semanticlens,
)
from neuronym.labellers.base import LABELLERS, Labeller, Labels, LayerLabels
from neuronym.parameters import opened

__all__ = ["LABELLERS", "Labeller", "Labels", "LayerLabels", "open_labeller"]


def open_labeller(spec: str | Labeller) -> Labeller:
    """A labeller from its name with parameters, or the labeller that is given.

    Args:
        spec: for example `clip-dissect:cos`, `clip-avg:k=10`, `netdissect`.

    Raises:
        UsageError: no such method, no such parameter, or a value that does not fit.

    >>> open_labeller("clip-dissect:soft-wpmi,top_k=5").stem
    'clip-dissect.soft-wpmi'
    """
    return opened(LABELLERS, Labeller, spec)
