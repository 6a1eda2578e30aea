"""The write side of an atlas: stages add files; the manifest lists what is complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neuronym import _files, schema
from neuronym._errors import NeuronymError, UsageError

MANIFEST = "atlas.json"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an atlas, or None if there is none.

    Raises:
        NeuronymError: the manifest is damaged or of a later version.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
        version = manifest["schema"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NeuronymError(f"{path} is not a readable atlas manifest: {error}.") from error
    if version > schema.VERSION:
        raise NeuronymError(
            f"{folder} has atlas format {version}, this neuronym reads up to {schema.VERSION}: "
            "upgrade neuronym."
        )
    return manifest


class AtlasWriter:
    """Adds stages to an atlas. A stage is entered in the manifest after its files are on disk."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest

    @classmethod
    def begin(
        cls, folder: Path, manifest: Mapping[str, Any], *, resume: bool, overwrite: bool
    ) -> AtlasWriter:
        """Start an atlas, go on with an unfinished one, or refuse.

        `manifest["identity"]` is what must agree for a run to go on where another stopped.

        Raises:
            UsageError: something else is there already.
        """
        there = read_manifest(folder) if folder.is_dir() else None
        if there is None:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise UsageError(
                    f"Expected `out` to be a new folder or an atlas, got {folder}, which exists "
                    "and is no atlas. Choose another path with --out."
                )
        elif overwrite:
            _clear(folder, there)
        else:
            _check_same(folder, there, manifest, resume)
            return cls(folder, there)
        writer = cls(
            folder, {"schema": schema.VERSION, **manifest, "complete": False, "stages": {}}
        )
        writer._save()
        return writer

    def has(self, stage: str) -> bool:
        """Whether a stage is complete, with all its files there."""
        files = self.manifest["stages"].get(stage)
        return files is not None and all((self.folder / name).exists() for name in files)

    def table(self, file: str, table: str, columns: Mapping[str, Any]) -> str:
        """Write one Parquet file with the columns of a table; returns its name."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        data = pa.table(dict(columns), schema=schema.tables()[table])
        with _files.atomic_write(self.folder / file) as out:
            pq.write_table(data, out, compression="zstd")
        return file

    def finish(self, stage: str, files: Iterable[str], **facts: Any) -> None:
        """Enter a stage whose files are written, and facts for the manifest's top level."""
        self.manifest |= facts
        self.manifest["stages"][stage] = sorted(files)
        self._save()

    def complete(self) -> None:
        """Mark the atlas complete."""
        self.manifest["complete"] = True
        self._save()

    def _save(self) -> None:
        _files.write_json(self.folder / MANIFEST, self.manifest)


def _check_same(
    folder: Path, there: dict[str, Any], wanted: Mapping[str, Any], resume: bool
) -> None:
    old, new = there.get("identity", {}), wanted["identity"]
    different = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    if different:
        raise UsageError(
            f"Expected `out` to be free, got {folder}, an atlas made with other settings "
            f"({', '.join(different)}). Choose another path with --out, or replace it with "
            "--overwrite."
        )
    if there.get("complete") and not resume:
        raise UsageError(
            f"Expected `out` to be free, got {folder}, a complete atlas of the same settings. "
            "Look at it with `neuronym show`, repair it with --resume, or make it anew with "
            "--overwrite."
        )


def _clear(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Remove what an atlas consists of, and nothing else in its folder."""
    if not os.access(folder, os.W_OK):
        raise NeuronymError(f"Cannot write {folder}: permission denied.")
    (folder / MANIFEST).unlink(missing_ok=True)
    for name in ("labels", "trust", "arrays", "thumbs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (*(f"{table}.parquet" for table in schema.tables()), "annotations.sqlite"):
        (folder / name).unlink(missing_ok=True)
