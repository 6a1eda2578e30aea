"""annotations: what people say units respond to, as a ground-truth file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from neuronym._core.checks import Verbatim, misuse
from neuronym.analysis.truth.open import export_annotations, import_annotations
from neuronym.atlas.reader import Atlas
from neuronym.interchange.base import FORMATS


@FORMATS.register("annotations")
class AnnotationsFile:
    """One ground-truth file: layer, unit from 0, label, status, annotator, time.

    It holds no labels of a method: it goes into and out of `annotations.sqlite` of an atlas.
    """

    name: ClassVar[str] = "annotations"

    def read(self, atlas: Atlas, path: Path) -> int:
        """Add a file's answers to those in an atlas, all of them or none; returns how many.

        Raises:
            UsageError: there is no such file, or rows of it are malformed.
        """
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "does not exist"
            raise misuse("path", "a ground-truth file", Verbatim(f"{path}, which {kind}"))
        return import_annotations(atlas, path)

    def write(self, atlas: Atlas, path: Path, overwrite: bool = False) -> int:
        """Write the answers in an atlas as a file; returns how many.

        Raises:
            UsageError: something is there already.
            NeuronymError: there are no answers.
        """
        if path.exists() and not overwrite:
            raise misuse(
                "out",
                "a new path",
                Verbatim(f"{path}, which exists"),
                "Choose another one, or replace it with --overwrite.",
            )
        return export_annotations(atlas, path)
