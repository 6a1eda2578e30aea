"""The cache of expensive arrays: content-addressed shards in the user's cache directory.

    <root>/activations/<fingerprint>/about.json     what went in, readable
    <root>/activations/<fingerprint>/<key>.safetensors

The fingerprint covers everything that decides the values except the images (see
`passes._Pass._about` and `passes.TargetPass`); the key is a hash of the ordered content hashes of
the shard's images and of which of them could be read. A shard is written whole or not at all, so a
shard that exists is complete.
"""

from __future__ import annotations

import bisect
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from neuronym._core import hashing, storage
from neuronym._core.errors import NeuronymError

#: The folders below the root; `drawings` is written by the probe `synthetic`.
KINDS = ("activations", "detections", "drawings", "embeddings", "images", "texts")


@dataclass(frozen=True)
class CacheEntry:
    """All shards that share one fingerprint."""

    folder: Path

    def path(self, key: str) -> Path:
        """Where the shard with this key lies or would lie."""
        return self.folder / f"{key}.safetensors"

    def has(self, key: str, rows: int) -> bool:
        """Whether a whole, undamaged shard of so many rows is there."""
        found = self.read(key)
        return found is not None and all(len(array) == rows for array in found[0].values())

    def read(self, key: str) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
        """The shard's arrays (memory-mapped) and notes, or None if it is absent or damaged."""
        try:
            arrays, about = storage.read_arrays(self.path(key))
        except (NeuronymError, OSError):
            return None  # a damaged file is replaced by the next write
        return (arrays, about) if arrays and storage.intact(arrays, about) else None

    def write(self, key: str, arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
        """Store a shard, whole or not at all."""
        storage.write_arrays(self.path(key), arrays, about)


@dataclass(frozen=True)
class Stored:
    """One line of `neuronym cache list`."""

    kind: str
    fingerprint: str
    about: dict[str, Any]
    shards: int
    bytes: int
    last_used: float


class Cache:
    """A directory of entries."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root) if root is not None else storage.cache_root()

    def entry(
        self, kind: str, about: Mapping[str, Any], former: Mapping[str, Any] | None = None
    ) -> CacheEntry:
        """The entry for what `about` describes (JSON data that decides the cached values).

        `former` is how an earlier version described the same: its entry is taken if it is there.
        """
        assert kind in KINDS, kind
        data = {"schema": hashing.SCHEMA, "kind": kind, **about}
        folder = self.root / kind / hashing.of_data(data)
        if former is not None and not folder.exists():
            old = {"schema": hashing.SCHEMA, "kind": kind, **former}
            if (there := self.root / kind / hashing.of_data(old)).exists():
                folder = there
        note = folder / "about.json"
        if note.exists():
            try:
                os.utime(note)
            except OSError:
                pass  # a read-only cache can still be read
            storage.remove_leftovers(folder, older_than=86400)
        else:
            storage.write_json(note, data)
        return CacheEntry(folder)

    def list(self) -> list[Stored]:
        """What is stored, most recently used first."""
        found = []
        for note in self.root.glob("*/*/about.json"):
            folder = note.parent
            if folder.parent.name not in KINDS:
                continue
            try:
                about = json.loads(note.read_text("utf-8"))
            except (OSError, ValueError, RecursionError):
                about = {}
            about = about if isinstance(about, dict) else {}
            sizes = [f.stat().st_size for f in folder.glob("*.safetensors")]
            found.append(
                Stored(
                    folder.parent.name,
                    folder.name,
                    about,
                    len(sizes),
                    sum(sizes),
                    note.stat().st_mtime,
                )
            )
        return sorted(found, key=lambda s: -s.last_used)

    def prune(
        self,
        *,
        older_than_days: float | None = None,
        kind: str | None = None,
        keep_bytes: int | None = None,
        dry_run: bool = False,
    ) -> list[Stored]:
        """Remove entries and return what was removed.

        Without conditions everything goes. `older_than_days` and `kind` narrow what may go;
        `keep_bytes` keeps the most recently used entries up to that size.
        """
        gone, kept = [], 0
        for stored in self.list():
            if kind is not None and stored.kind != kind:
                continue
            old = time.time() - stored.last_used
            if older_than_days is not None and old < older_than_days * 86400:
                continue
            if keep_bytes is not None and kept + stored.bytes <= keep_bytes:
                kept += stored.bytes
                continue
            gone.append(stored)
            if not dry_run:
                shutil.rmtree(self.root / stored.kind / stored.fingerprint, ignore_errors=True)
        return gone


class ShardedRows:
    """Several `[row, column]` arrays on disk that read as one, a slice at a time.

    Files are opened for each read and not kept open: a probe of a million images has more shards
    than a process may have files.

    Args:
        parts: the safetensors files and the number of rows in each.
        array: the name of the array inside the files.
        columns: width of the array.
        dtype: element type.
    """

    def __init__(
        self, parts: Sequence[tuple[Path, int]], array: str, columns: int, dtype: np.dtype | type
    ) -> None:
        self._parts = [(path, rows) for path, rows in parts if rows]
        self._ends = list(accumulate(rows for _, rows in self._parts))
        self._array = array
        self.dtype = np.dtype(dtype)
        self.shape = (self._ends[-1] if self._ends else 0, columns)

    def __len__(self) -> int:
        return self.shape[0]

    def _open(self, place: int) -> tuple[np.ndarray, int]:
        path, rows = self._parts[place]
        try:
            part = storage.read_arrays(path)[0].get(self._array)
        except OSError as error:
            raise NeuronymError(
                f"{path} cannot be read any more ({error.strerror}): something removed it from the "
                "cache during the run. Run the same command again."
            ) from error
        if part is None or part.shape != (rows, self.shape[1]):
            raise NeuronymError(
                f"{path} does not hold {self._array!r} of shape {(rows, self.shape[1])}: something "
                "changed it during the run. Run the same command again."
            )
        return part, self._ends[place] - rows

    def __getitem__(self, rows: slice) -> np.ndarray:
        low, high, step = rows.indices(len(self))
        if step != 1:
            raise ValueError("ShardedRows is read by slices with step 1")
        out = np.empty((max(high - low, 0), self.shape[1]), self.dtype)
        at, place = low, bisect.bisect_right(self._ends, low)
        while at < high:
            part, start = self._open(place)
            stop = min(high, start + len(part))
            out[at - low : stop - low] = part[at - start : stop - start]
            at, place = stop, place + 1
        return out

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)
