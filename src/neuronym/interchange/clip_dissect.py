"""clip-dissect: one file of one label per unit, as the method's authors publish theirs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from neuronym.interchange import _described
from neuronym.interchange.base import FORMATS, Format, Published


@FORMATS.register("clip-dissect")
class ClipDissect(Format):
    """One file of layer, unit from 0, description, similarity.

    The description of a unit that abstains is empty, and so is its similarity.
    """

    name: ClassVar[str] = "clip-dissect"

    def files(self, path: Path) -> list[Path]:
        return _described.files(path)

    def read(self, path: Path) -> Published:
        return _described.read(path, "similarity")

    def write(self, published: Published) -> dict[str, str]:
        return {"": _described.write(published, "similarity")}
