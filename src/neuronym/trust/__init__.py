"""Analyses: how far the labels of a method can be trusted, one file per analysis."""

from __future__ import annotations

from neuronym.parameters import opened
from neuronym.trust import (  # noqa: F401  (each registers itself)
    bootstrap,
    confidence,
    faithfulness,
    significance,
)
from neuronym.trust.base import ANALYSES, Analysis, Findings

__all__ = ["ANALYSES", "Analysis", "Findings", "open_analysis"]


def open_analysis(spec: str | Analysis) -> Analysis:
    """An analysis from its name with parameters, or the analysis that is given.

    Args:
        spec: for example `significance`, `significance:sets=2000`, `bootstrap`.

    Raises:
        UsageError: no such analysis, no such parameter, or a value that does not fit.
    """
    return opened(ANALYSES, Analysis, spec)
