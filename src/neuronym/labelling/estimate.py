"""What labelling would cost, before anything is labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas
from neuronym.atlas.writer import AtlasWriter
from neuronym.labelling.base import Labeller
from neuronym.labelling.run import to_label


@dataclass(frozen=True)
class Estimate:
    """What there is to do.

    Attributes:
        method: the method-id of the labels.
        layers: that would be labelled.
        units: how many they have.
        cost: one line, for methods that take long; else empty.
    """

    method: str
    layers: list[str]
    units: int
    cost: str


def estimate(
    atlas: Atlas,
    labeller: Labeller,
    *,
    layers: Sequence[str] | None = None,
    overwrite: bool = False,
    **context: Any,
) -> Estimate:
    """What `run.label` would do with the same arguments; nothing is written.

    Raises:
        UsageError, NeuronymError: as `run.label`, as far as that is known before.
    """
    given, writer = LabelContext(atlas, **context), AtlasWriter(atlas.folder, atlas.manifest)
    names = to_label(writer, given, labeller, layers, overwrite)
    cost = labeller.cost(given, names)
    return Estimate(labeller.method_id, names, sum(map(given.units, names)), cost)
