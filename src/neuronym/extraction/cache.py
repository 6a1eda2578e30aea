"""The cache of expensive arrays: content-addressed shards in the user's cache directory.

    <root>/activations/<fingerprint>/about.json     what went in, readable
    <root>/activations/<fingerprint>/<key>.safetensors

The fingerprint covers everything that decides the values except the images (see
`passes._Pass._about` and `passes.TargetPass`); the key is a hash of the ordered content hashes of
the shard's images and of which of them could be read. A shard is written whole or not at all, so a
shard that exists is complete, and several processes may write at once: who comes second replaces a
shard by its equal.

A cache has a size limit, and nothing that a live process uses is removed (`_Lease`). One that
cannot be written to is read, and what is new goes to a temporary folder.
"""

from __future__ import annotations

import atexit
import bisect
import errno
import json
import os
import shutil
import tempfile
import time
import uuid
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from neuronym._core import hashing, storage
from neuronym._core.checks import real
from neuronym._core.errors import NeuronymError
from neuronym._core.terminal import size

NOTE = "about.json"
#: The folders below the root; `drawings` is written by the probe `synthetic`.
KINDS = ("activations", "detections", "drawings", "embeddings", "images", "maps", "texts")


_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
#: Live processes have a locked file here, and the names of entries that they use in another.
_RUNS = ".runs"
#: Seconds to wait for another process that notes or removes entries.
_PATIENCE = 10.0
#: GB that a cache may take; what was not used for longest goes first.
LIMIT_GB = 20.0
#: By the root of a cache that cannot be written to, where this process writes instead.
_aside: dict[Path, Path] = {}


def limit_gb(given: str | float | None = None) -> float:
    """The size limit in GB: what is given, or `$NEURONYM_CACHE_SIZE`, or 20; 0: there is none."""
    text = os.environ.get("NEURONYM_CACHE_SIZE") if given is None else given
    return LIMIT_GB if text in (None, "") else real("cache_size", text, 0)


def _unwritable(root: Path, error: OSError) -> NeuronymError:
    return NeuronymError(
        f"The cache {root} cannot be written to: {error.strerror or error}. Choose another folder "
        "with --cache or NEURONYM_CACHE, or free space in this one (`neuronym cache prune`). What "
        "was finished is kept: run the same command again to go on."
    )


@dataclass(frozen=True)
class CacheEntry:
    """All shards that share one fingerprint.

    Attributes:
        folder: where they lie; it is made with the first one that is written.
        about: what the fingerprint is of.
    """

    folder: Path
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def path(self, key: str) -> Path:
        """Where the shard with this key lies or would lie."""
        path = self.folder / f"{key}.safetensors"
        return path if self._home == self.folder or path.exists() else self._home / path.name

    @property
    def _home(self) -> Path:
        """The folder that is written to."""
        root = self.folder.parent.parent
        return _aside[root] / self.folder.relative_to(root) if root in _aside else self.folder

    def shards(self) -> list[str]:
        """The keys of the shards that are there."""
        found = {p.stem for f in (self.folder, self._home) for p in f.glob("*.safetensors")}
        return sorted(found)

    def has(self, key: str, rows: int) -> bool:
        """Whether a whole, undamaged shard of so many rows is there."""
        found = self.read(key)
        return found is not None and all(len(array) == rows for array in found[0].values())

    def read(self, key: str) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
        """The shard's arrays (memory-mapped) and notes; None: absent, damaged or unreadable."""
        try:
            arrays, about = storage.read_arrays(self.path(key))
        except (NeuronymError, OSError):
            return None  # a damaged file is replaced by the next write
        return (arrays, about) if arrays and storage.intact(arrays, about) else None

    def write(self, key: str, arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
        """Store a shard, whole or not at all.

        Raises:
            NeuronymError: the cache cannot be written to.
        """
        try:
            if not os.path.exists(self._home / NOTE):
                storage.write_json(self._home / NOTE, dict(self.about))
            storage.write_arrays(self._home / f"{key}.safetensors", arrays, about)
        except NeuronymError as error:
            if isinstance(error.__cause__, OSError):
                raise _unwritable(self.folder.parent.parent, error.__cause__) from error
            raise


@dataclass(frozen=True)
class Stored:
    """One line of `neuronym cache list`."""

    kind: str
    fingerprint: str
    about: dict[str, Any]
    shards: int
    bytes: int
    last_used: float

    @property
    def name(self) -> str:
        """Where it lies below the root."""
        return f"{self.kind}/{self.fingerprint}"


class Cache:
    """A directory of entries."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root) if root is not None else storage.cache_root()
        self._names = set[str]()
        self._lease: _Lease | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "_names": self._names, "_lease": None}

    def check_writable(self) -> None:
        """Find out at once what could only fail after the first batches.

        A folder that is there and may not be written to is left as it is: what is new goes to a
        temporary folder, which goes with the process, and a warning says so.

        Raises:
            NeuronymError: nothing can be written; says what to do.
        """
        if self.root in _aside:
            return
        try:
            storage.check_writable(self.root)
        except OSError as error:
            if error.errno not in _FORBIDDEN or not self.root.is_dir():
                raise _unwritable(self.root, error) from error
            folder = tempfile.mkdtemp(prefix="neuronym-cache-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            _aside[self.root] = Path(folder)
            warnings.warn(
                f"The cache {self.root} cannot be written to ({error.strerror}): what it holds is "
                f"used, and what is new goes to {folder}, which is removed when this process ends. "
                "To keep it, choose another folder with --cache or NEURONYM_CACHE.",
                stacklevel=2,
            )
        self._hold()

    def _hold(self) -> None:
        """Let nobody remove the entries that were asked for."""
        if self.root.is_dir() and self.root not in _aside:
            lease = self._lease = self._lease or _Lease(self.root)
            for name in self._names:
                lease.add(name)

    def entry(
        self, kind: str, about: Mapping[str, Any], former: Mapping[str, Any] | None = None
    ) -> CacheEntry:
        """The entry for what `about` describes (JSON data that decides the cached values).

        `former` is how an earlier version described the same: its entry is taken if it is there.
        Nothing is written: that comes with the first shard.
        """
        assert kind in KINDS, kind
        data = {"schema": hashing.SCHEMA, "kind": kind, **about}
        folder = self.root / kind / hashing.of_data(data)
        if former is not None and not os.path.exists(folder):
            old = {"schema": hashing.SCHEMA, "kind": kind, **former}
            if os.path.exists(there := self.root / kind / hashing.of_data(old)):
                folder = there
        with suppress(OSError):  # absent; or a read-only cache, which can still be read
            os.utime(folder / NOTE)
            storage.remove_leftovers(folder, older_than=86400)
        self._names.add(f"{kind}/{folder.name}")
        self._hold()
        return CacheEntry(folder, data)

    def in_use(self) -> set[str]:
        """The names of entries that live processes use, as far as can be told."""
        with suppress(OSError, Timeout, NotImplementedError):
            with _alone(self.root) as used:
                return used
        return set()

    def list(self) -> list[Stored]:
        """What is stored, most recently used first.

        Raises:
            NeuronymError: the cache is no folder.
        """
        if os.path.exists(self.root) and not os.path.isdir(self.root):
            raise NeuronymError(
                f"The cache {self.root} is a file, not a folder. Choose another place with --cache "
                "or NEURONYM_CACHE."
            )
        found = []
        for note in self.root.glob(f"*/*/{NOTE}"):
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
    ) -> Sequence[Stored]:
        """Remove entries and return what was removed.

        Without conditions everything goes. `older_than_days` and `kind` narrow what may go;
        `keep_bytes` keeps the most recently used entries up to that size. What live processes use
        stays, and counts first.
        """
        stored = self.list()
        if not stored:
            return []
        try:
            with _alone(self.root) as used:
                return self._prune(stored, used, older_than_days, kind, keep_bytes, dry_run)
        except Timeout:
            raise NeuronymError(
                f"Another process is tidying the cache {self.root}: try again."
            ) from None
        except NotImplementedError:  # a file system without locks
            return self._prune(stored, set(), older_than_days, kind, keep_bytes, dry_run)
        except OSError as error:
            raise _unwritable(self.root, error) from error

    def _prune(
        self,
        every: Sequence[Stored],
        used: set[str],
        older_than_days: float | None,
        kind: str | None,
        keep_bytes: int | None,
        dry_run: bool,
    ) -> Sequence[Stored]:
        stored = [s for s in every if kind is None or s.kind == kind]
        gone, kept = [], sum(s.bytes for s in stored if s.name in used)
        for one in stored:
            old = time.time() - one.last_used
            if one.name in used or (older_than_days is not None and old < older_than_days * 86400):
                continue
            if keep_bytes is not None and kept + one.bytes <= keep_bytes:
                kept += one.bytes
                continue
            gone.append(one)
            if not dry_run:
                shutil.rmtree(self.root / one.name, ignore_errors=True)
        return gone

    def fit(self, gb: float) -> None:
        """Remove what was not used for longest until the rest takes so many GB; 0: no limit.

        A warning says what went. Where nothing can be removed, nothing happens.
        """
        if not gb or self.root in _aside or sum(s.bytes for s in self.list()) <= gb * 1e9:
            return
        with suppress(NeuronymError):
            if gone := self.prune(keep_bytes=int(gb * 1e9)):
                warnings.warn(
                    f"The cache {self.root} had grown over {gb:g} GB: what was not used for "
                    f"longest ({size(sum(s.bytes for s in gone))}) was removed. Allow more with "
                    "--cache-size or NEURONYM_CACHE_SIZE; 0 is no limit.",
                    stacklevel=2,
                )


class ShardedRows:
    """Several `[row, column]` arrays on disk that read as one, a slice at a time.

    Files are opened for each read and not kept open: a probe of a million images has more shards
    than a process may have files.

    Args:
        parts: the safetensors files and the number of rows in each.
        array: the name of the array inside the files.
        columns: width of the array.
        dtype: element type.
        kept: places of the rows that there are, ascending; None: all.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Path, int]],
        array: str,
        columns: int,
        dtype: np.dtype | type,
        kept: np.ndarray | None = None,
    ) -> None:
        self._parts = [(path, rows) for path, rows in parts if rows]
        self._ends = list(accumulate(rows for _, rows in self._parts))
        self._array, self._kept = array, kept
        self.dtype = np.dtype(dtype)
        whole = self._ends[-1] if self._ends else 0
        self.shape = (whole if kept is None else len(kept), columns)

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
        at = low
        while at < high:
            place = bisect.bisect_right(self._ends, at if self._kept is None else self._kept[at])
            part, start = self._open(place)
            if self._kept is None:
                stop = min(high, start + len(part))
                out[at - low : stop - low] = part[at - start : stop - start]
            else:
                stop = at + int(np.searchsorted(self._kept[at:high], start + len(part)))
                out[at - low : stop - low] = part[self._kept[at:stop] - start]
            at = stop
        return out

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)


class _Lease:
    """The entries that one process uses, until this object or the process ends.

    A file system without locks, or one that cannot be written to, keeps none: nothing can be
    removed there by somebody who would have to ask.

    Args:
        root: the folder of the cache, which is there.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._names = root, set[str]()
        self._file = root / _RUNS / f"{uuid.uuid4().hex}.txt"
        self._lock = _locked(self._file.with_suffix(".lock"))

    def add(self, name: str) -> None:
        """Use an entry, `KIND/FINGERPRINT`, from now on."""
        if name in self._names:
            return
        with suppress(OSError, Timeout, NotImplementedError), _alone(self._root):
            if not self._names:
                self._lock.acquire()
                weakref.finalize(self, _end, self._lock, self._file)
            with open(self._file, "a", encoding="utf-8") as out:
                out.write(f"{name}\n")
            self._names.add(name)


@contextmanager
def _alone(root: Path) -> Iterator[set[str]]:
    """While nobody else notes entries or removes some: the names of those that are in use.

    Raises:
        OSError, Timeout, NotImplementedError: there can be no locks, or somebody holds this one.
    """
    (root / _RUNS).mkdir(exist_ok=True)
    with _locked(root / _RUNS / "all.lock", _PATIENCE):
        used: set[str] = set()
        for path in (root / _RUNS).glob("*.txt"):
            lock = _locked(path.with_suffix(".lock"))
            try:
                lock.acquire()
            except Timeout:
                used |= set(path.read_text("utf-8").splitlines())
            else:  # its process is gone
                _end(lock, path)
        yield used


def _locked(path: Path, timeout: float = 0) -> FileLock:
    return FileLock(path, timeout=timeout, thread_local=False)


def _end(lock: FileLock, file: Path) -> None:
    with suppress(OSError):
        os.unlink(file)
    lock.release(force=True)
    with suppress(OSError):
        os.unlink(lock.lock_file)
