"""milan: one file of one free-text description per unit."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from neuronym.interchange import _described
from neuronym.interchange.base import FORMATS, Format, Published


@FORMATS.register("milan")
class Milan(Format):
    """One file of layer, unit from 0, description, as MILAN's authors publish theirs.

    The description of a unit that abstains is empty.
    """

    name: ClassVar[str] = "milan"
    scores: ClassVar[bool] = False

    def files(self, path: Path) -> list[Path]:
        return _described.files(path)

    def read(self, path: Path) -> Published:
        return _described.read(path)

    def write(self, published: Published) -> dict[str, str]:
        return {"": _described.write(published)}
