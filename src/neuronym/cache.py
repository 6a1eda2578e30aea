"""The cache of expensive arrays: content-addressed shards in the user's cache directory.

    <root>/activations/<fingerprint>/about.json     what went in, readable
    <root>/activations/<fingerprint>/<key>.safetensors

The fingerprint covers everything that decides the values except the images (weights' bytes, layer,
pooling, preprocessing, dtype, device kind, batch size, schema); the key is a hash of the ordered
content hashes of the shard's images. A shard is written whole or not at all, so a shard that exists
is complete.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuronym import _files, _fingerprint
from neuronym._errors import NeuronymError

KINDS = ("activations", "detections", "embeddings", "images", "texts")


def default_root() -> Path:
    """`$NEURONYM_CACHE`, or the user's cache directory."""
    import platformdirs

    chosen = os.environ.get("NEURONYM_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("neuronym"))


@dataclass(frozen=True)
class Shelf:
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
            arrays, about = _files.read_arrays(self.path(key))
        except (NeuronymError, OSError):
            return None  # a damaged file is replaced by the next write
        return (arrays, about) if arrays and _files.intact(arrays, about) else None

    def write(self, key: str, arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
        """Store a shard, whole or not at all."""
        _files.write_arrays(self.path(key), arrays, about)


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
    """A directory of shelves."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root) if root is not None else default_root()

    def shelf(self, kind: str, about: Mapping[str, Any]) -> Shelf:
        """The shelf for what `about` describes (JSON data that decides the cached values)."""
        assert kind in KINDS, kind
        data = {"schema": _fingerprint.SCHEMA, "kind": kind, **about}
        folder = self.root / kind / _fingerprint.of_data(data)
        note = folder / "about.json"
        if note.exists():
            try:
                os.utime(note)
            except OSError:
                pass  # a read-only cache can still be read
            _files.remove_leftovers(folder, older_than=86400)
        else:
            _files.write_json(note, data)
        return Shelf(folder)

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
        """Remove shelves and return what was removed.

        Without conditions everything goes. `older_than_days` and `kind` narrow what may go;
        `keep_bytes` keeps the most recently used shelves up to that size.
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
