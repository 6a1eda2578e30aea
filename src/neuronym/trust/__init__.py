"""Analyses: how far the labels of a method can be trusted, one file per analysis."""

from __future__ import annotations

from neuronym import _names
from neuronym._checks import misuse
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
    if isinstance(spec, Analysis):
        return spec
    if not isinstance(spec, str):
        raise misuse("analysis", "a name or an Analysis", spec)
    name = _names.parse(ANALYSES.expand(spec), "analysis")
    return ANALYSES[name.kind].make.from_name(name)
