"""Figures of an atlas, one file each."""

from neuronym.report.plots import (  # noqa: F401  they register themselves
    accuracy,
    categories,
    concepts,
    correctness,
    neurons,
    ranks,
    scores,
)
from neuronym.report.plots.base import FIGURES, View, draw, view

__all__ = ["FIGURES", "View", "draw", "view"]
