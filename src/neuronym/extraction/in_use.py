"""Which entries of a cache live processes use, so that no other one removes them."""

from __future__ import annotations

import os
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

#: Where each user of a cache has a locked file, and the names of entries in another.
_FOLDER = ".runs"
#: Seconds to wait for another process that notes or removes entries.
_PATIENCE = 10.0


class Lease:
    """The entries that one process uses, until this object or the process ends.

    A file system without locks, or one that cannot be written to, keeps none: nothing can be
    removed there by somebody who would have to ask.

    Args:
        root: the folder of the cache, which is there.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._names = root, set[str]()
        self._file = root / _FOLDER / f"{uuid.uuid4().hex}.txt"
        self._lock = _locked(self._file.with_suffix(".lock"))

    def add(self, name: str) -> None:
        """Use an entry, `KIND/FINGERPRINT`, from now on."""
        if name in self._names:
            return
        with suppress(OSError, Timeout, NotImplementedError), alone(self._root):
            if not self._names:
                self._lock.acquire()
                weakref.finalize(self, _end, self._lock, self._file)
            with open(self._file, "a", encoding="utf-8") as out:
                out.write(f"{name}\n")
            self._names.add(name)


@contextmanager
def alone(root: Path) -> Iterator[set[str]]:
    """While nobody else notes entries or removes some: the names of those that are in use.

    Raises:
        OSError, Timeout, NotImplementedError: there can be no locks, or somebody holds this one.
    """
    (root / _FOLDER).mkdir(exist_ok=True)
    with _locked(root / _FOLDER / "all.lock", _PATIENCE):
        used: set[str] = set()
        for path in (root / _FOLDER).glob("*.txt"):
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
