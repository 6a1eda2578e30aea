"""Rows of labels and the arrays that atlases are made from, one from the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from neuronym.interchange.base import NO_LABEL
from neuronym.labelling.base import LayerLabels

#: concept, score (NaN: none), and the values of further columns.
Label = tuple


def from_rows(units: Sequence[Sequence[Label]], details: Sequence[str] = ()) -> LayerLabels:
    """The labels of a layer.

    Args:
        units: per unit its labels, best first; a unit without any abstains.
        details: names of the columns behind concept and score.
    """
    width = max((len(labels) for labels in units), default=0)
    concepts, *others = (
        np.full((len(units), width), None, object) for _ in range(1 + len(details))
    )
    scores = np.full((len(units), width), np.nan, np.float32)
    for unit, labels in enumerate(units):
        for place, (concept, score, *rest) in enumerate(labels):
            concepts[unit, place], scores[unit, place] = concept, score
            for column, value in zip(others, rest, strict=True):
                column[unit, place] = value
    reasons = tuple(None if labels else NO_LABEL for labels in units)
    return LayerLabels(concepts, scores, reasons, dict(zip(details, others, strict=True)))


def rows(labels: LayerLabels, details: Sequence[str] = ()) -> Iterator[list[Label]]:
    """Per unit its labels, best first: concept, score (NaN: none), further columns (None: none)."""
    columns: Mapping[str, np.ndarray] = labels.details
    for unit, reason in enumerate(labels.reasons):
        concepts = [] if reason else labels.concepts[unit]
        there = [place for place, concept in enumerate(concepts) if concept is not None]
        yield [
            (
                labels.concepts[unit, place],
                labels.scores[unit, place],
                *(columns[n][unit, place] if n in columns else None for n in details),
            )
            for place in there
        ]
