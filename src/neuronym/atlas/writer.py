"""The write side of an atlas: stages add files; the manifest lists what is complete."""

from __future__ import annotations

import errno
import io
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from neuronym._core import storage
from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas import schema
from neuronym.atlas.schema import MANIFEST, Manifest, read_manifest
from neuronym.inputs.settings import EXECUTION

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from PIL.Image import Image


#: The longer side of the small copies of images, in pixels.
THUMB_PIXELS = 224
#: What a file system without locks answers.
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
LOCK = ".lock"  # held while a run writes
ANNOTATIONS = "annotations.sqlite"  # people's answers: the one file that is not made anew


class AtlasWriter:
    """Adds stages to an atlas. A stage is entered in the manifest after its files are on disk.

    The folder is locked while a writer lives, so that two runs cannot mix their files.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self._lock: FileLock | None = None

    @classmethod
    def begin(
        cls, folder: Path, manifest: Manifest, *, resume: bool, overwrite: bool
    ) -> AtlasWriter:
        """Start an atlas, go on with an unfinished one, or refuse.

        `manifest.identity` is what must agree for a run to go on where another stopped.

        Raises:
            UsageError: something else is there already.
            NeuronymError: another run is writing there, or the folder cannot be made.
        """
        return cls._locked(folder, lambda: cls._begin(folder, manifest, resume, overwrite))

    @classmethod
    def _begin(cls, folder: Path, manifest: Manifest, resume: bool, overwrite: bool) -> AtlasWriter:
        there, damaged = None, False
        try:
            there = read_manifest(folder)
        except NeuronymError:
            if not overwrite:
                raise
            damaged = True
        _check_replaceable(folder, damaged or there is not None, overwrite)
        if there is not None and not overwrite:
            _check_same(folder, there, manifest, resume)
            if not there.stages:
                _clear(folder)  # what a killed --overwrite left
            return cls(folder, there)
        writer = cls(folder, manifest)
        # The new manifest first: a run killed while the old files go is then an unfinished atlas.
        writer._save()
        if damaged or there is not None:
            _clear(folder)
        return writer

    @classmethod
    def extend(cls, folder: Path) -> AtlasWriter:
        """Open an atlas to add stages to it.

        Raises:
            NeuronymError: another run is writing there.
        """

        def make() -> AtlasWriter:
            manifest = read_manifest(folder)
            if manifest is None:
                raise misuse("atlas", "the folder of an atlas", str(folder))
            return cls(folder, manifest)

        return cls._locked(folder, make)

    @classmethod
    def _locked(cls, folder: Path, make: Callable[[], AtlasWriter]) -> AtlasWriter:
        """What `make` gives, holding the folder's lock."""
        lock = _lock(folder)
        try:
            writer = make()
        except BaseException:
            lock.release()
            raise
        writer._lock = lock
        storage.remove_leftovers(folder)
        return writer

    def __enter__(self) -> AtlasWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other runs write to the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def has(self, stage: str) -> bool:
        """Whether a stage is complete: all its files are there and as large as they were."""
        files = self.manifest.stages.get(stage)
        return files is not None and all(
            _size(self.folder / name) == size for name, size in files.items()
        )

    def table(
        self,
        file: str,
        table: str,
        columns: Mapping[str, Any] | Iterable[pa.RecordBatch],
        **more: np.ndarray,
    ) -> str:
        """Write one Parquet file with the columns of a table; returns its name.

        Args:
            file: its name.
            table: the table.
            columns: all of them, or blocks of rows, which are written as they come.
            more: of blocks, further columns of all rows.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        known = schema.tables()[table]
        with storage.atomic_write(self.folder / file) as out:
            if isinstance(columns, Mapping):
                pq.write_table(pa.table(dict(columns), schema=known), out, compression="zstd")
                return file
            with pq.ParquetWriter(out, known, compression="zstd") as writer:
                low = 0
                block: Any
                for block in columns:
                    for name, values in more.items():
                        part = values[low : low + len(block)]
                        block = block.append_column(name, pa.array(part))
                    low += len(block)
                    writer.write_batch(block.cast(known))
        return file

    def join(
        self,
        file: str,
        table: str,
        layers: Sequence[str],
        parts: Mapping[str, Mapping[str, Any]],
        old: Collection[str],
    ) -> str:
        """Write a Parquet file of several layers, of which some stay as they are.

        Args:
            file: its name; what lies there is replaced as a whole.
            table: its known columns; for names that are no table, none.
            layers: the order of the layers in it.
            parts: by layer its columns; columns that are not in the table's schema may follow.
            old: layers whose rows are taken from the file that lies there.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        known = schema.tables().get(table, pa.schema([]))
        types = {field.name: field.type for field in known} | {"unit": pa.int32()}
        made = {}
        for layer, columns in parts.items():
            plain = pa.table(dict(columns))
            fields = [field.with_type(types.get(field.name, field.type)) for field in plain.schema]
            made[layer] = plain.cast(pa.schema(fields))
        if old and (self.folder / file).exists():
            try:
                there = storage.read_table(self.folder / file)
            except (pa.ArrowInvalid, OSError, ValueError) as error:
                raise NeuronymError(
                    f"{self.folder / file} is damaged, and holds {', '.join(old)}: label these "
                    "layers again together with the others, with --overwrite."
                ) from error
            made |= {layer: there.filter(pc.equal(there["layer"], layer)) for layer in old}
        ordered = [made[layer] for layer in layers if layer in made]
        whole = pa.concat_tables(ordered, promote_options="permissive")
        with storage.atomic_write(self.folder / file) as out:
            pq.write_table(whole, out, compression="zstd")
        return file

    def finish(self, stage: str, files: Iterable[str], **facts: Any) -> None:
        """Enter a stage whose files are written, and what is known now in the manifest."""
        for name, value in facts.items():
            setattr(self.manifest, name, value)
        self.manifest.stages[stage] = {f: _size(self.folder / f) for f in sorted(files)}
        self._save()

    def note(self, **facts: Any) -> None:
        """Enter facts that are no stage of their own."""
        for name, value in facts.items():
            setattr(self.manifest, name, value)
        self._save()

    def drop_analyses(self, method: str) -> None:
        """Remove what was found about labels that are about to change."""
        entries = self.manifest.analyses
        stale = [key for key, entry in entries.items() if entry.method == method]
        files = [f for key in stale for f in self.manifest.stages.pop(f"trust {key}", ())]
        for key in stale:
            del entries[key]
        if stale:
            self._save()
        for file in files:
            (self.folder / file).unlink(missing_ok=True)

    def complete(self) -> None:
        """Mark the atlas complete."""
        self.manifest.complete = True
        self._save()

    def _save(self) -> None:
        storage.write_json(self.folder / MANIFEST, self.manifest.to_data())


def check_free(
    folder: Path, config: Mapping[str, Any], *, resume: bool = False, overwrite: bool = False
) -> None:
    """Refuse what `AtlasWriter.begin` would refuse later, before anything is loaded for it.

    Args:
        folder: where the atlas is to go.
        config: the settings of the run, by name.
        resume, overwrite: as for `begin`.

    Raises:
        UsageError: something else is there already.
    """
    if folder.exists() and not folder.is_dir():
        raise _no_atlas(folder)
    if not folder.is_dir():
        return
    try:
        there = read_manifest(folder)
    except NeuronymError:
        return  # `begin` says what is wrong with it
    _check_replaceable(folder, there is not None, overwrite)
    if there is None or overwrite or resume or not there.complete:
        return
    old = there.config
    matters = config.keys() & old.keys() - set(EXECUTION)
    different = sorted(k for k in matters if config[k] != old[k])
    raise _other(folder, different) if different else _complete(folder)


def _check_replaceable(folder: Path, atlas: bool, overwrite: bool) -> None:
    """Refuse a folder of other things, and with `overwrite` what people said."""
    if not atlas and any(not _leftover(path) for path in folder.iterdir()):
        raise _no_atlas(folder)
    if overwrite and (folder / ANNOTATIONS).exists():
        raise UsageError(
            f"Expected an atlas that --overwrite may replace, got {folder}, which holds what "
            f"people said. Keep it with `neuronym export {folder} --format annotations --out "
            f"FILE`, remove {folder / ANNOTATIONS}, and try again; or choose another --out."
        )


def _no_atlas(folder: Path) -> UsageError:
    return UsageError(
        f"Expected `out` to be a new folder or an atlas, got {folder}, which exists and is no "
        "atlas. Choose another path with --out."
    )


def _other(folder: Path, different: Sequence[str]) -> UsageError:
    return UsageError(
        f"Expected `out` to be free, got {folder}, an atlas made with other settings "
        f"({', '.join(different)}). Choose another path with --out, or replace it with "
        "--overwrite."
    )


def _complete(folder: Path) -> UsageError:
    return UsageError(
        f"Expected `out` to be free, got {folder}, a complete atlas of the same settings. "
        "Look at it with `neuronym show`, repair it with --resume, or make it anew with "
        "--overwrite."
    )


def _check_same(folder: Path, there: Manifest, wanted: Manifest, resume: bool) -> None:
    old, new = there.identity, wanted.identity
    different = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    if different:
        raise _other(folder, different)
    if there.complete and not resume:
        raise _complete(folder)


def _clear(folder: Path) -> None:
    """Remove what an atlas consists of but its manifest, and nothing else in its folder."""
    for name in ("labels", "trust", "evidence", "effect", "links", "arrays", "maps", "thumbs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for table in schema.tables():
        (folder / f"{table}.parquet").unlink(missing_ok=True)


def _size(path: Path) -> int:
    """Bytes of a file, number of files in a folder, −1 for nothing."""
    try:
        return len(list(path.iterdir())) if path.is_dir() else path.stat().st_size
    except OSError:
        return -1


def _leftover(path: Path) -> bool:
    return path.name == LOCK or (path.name.startswith(".") and path.name.endswith(".tmp"))


def _lock(folder: Path) -> FileLock:
    """Make the folder if need be and lock it, until the lock is released."""
    if folder.exists() and not folder.is_dir():
        raise _no_atlas(folder)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise NeuronymError(
            f"Another run is writing to {folder}. Wait for it, or choose another path with --out."
        ) from None
    except NotImplementedError:
        pass  # a file system without locks
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise storage.cannot_write(folder, error) from error
    return lock


def save_thumb(image: Image, path: Path) -> None:
    """Write the small copy of an image, which is changed."""
    image.thumbnail((THUMB_PIXELS, THUMB_PIXELS))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=88)
    with storage.atomic_write(path) as out:
        out.write(data.getvalue())
