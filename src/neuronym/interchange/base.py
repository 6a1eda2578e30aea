"""What a format of published results is: files on one side, labels of layers on the other."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from neuronym._core.registry import Registry
from neuronym.labelling.base import LayerLabels

FORMATS = Registry("format", "formats", "neuronym.interchange")

#: Why a unit abstains whose label is empty in a file: no format has a place for the reason.
NO_LABEL = "no label in the file"


@dataclass(frozen=True, eq=False)
class Published:
    """The results that some files hold.

    Attributes:
        layers: by layer name the labels of all its units.
        images: by layer name, per unit, the images of its highest activations as they are listed,
            best first. Empty for formats without images.
        facts: what else a format needs to write the same files again, for `methods` in
            `atlas.json`.
    """

    layers: Mapping[str, LayerLabels]
    images: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Format(abc.ABC):
    """One format. What `write` writes, `read` reads back unchanged.

    Attributes:
        name: under which it is registered.
        labels: how many labels per unit it has a place for.
        listed: how many images per unit it has a place for.
        scores: whether it has a place for scores.
        details: further columns of the labels table that it has a place for.
    """

    name: ClassVar[str]
    labels: ClassVar[int] = 1
    listed: ClassVar[int] = 0
    scores: ClassVar[bool] = True
    details: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def files(self, path: Path) -> list[Path]:
        """The files that `read` reads.

        Raises:
            UsageError: there are none at `path`.
        """

    @abc.abstractmethod
    def read(self, path: Path) -> Published:
        """Read and check everything.

        Raises:
            UsageError: there is nothing of this format at `path`.
            NeuronymError: something is malformed; names the file and the line.
        """

    @abc.abstractmethod
    def write(self, published: Published) -> dict[str, str]:
        """The files that hold these results: name → text. A format of one file names it ``""``.

        Raises:
            UsageError: the format cannot hold these labels.
        """
