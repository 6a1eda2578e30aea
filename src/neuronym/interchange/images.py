"""Images that published results list: their tables, and the files found again under a folder."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from neuronym._core import hashing
from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import CorruptImageError
from neuronym._core.progress import Progress
from neuronym.atlas import schema
from neuronym.atlas.writer import AtlasWriter, save_thumb
from neuronym.inputs.probes.base import RawImage
from neuronym.inputs.probes.images import read_file
from neuronym.interchange.base import Published


@dataclass(frozen=True)
class Found:
    """One image, as its row of images.parquet has it; None where it was not found."""

    source: str | None
    width: int | None
    height: int | None
    content_hash: str | None


def root_folder(root: str | Path) -> Path:
    """The folder of images, with links followed.

    Raises:
        UsageError: there is no such folder.
    """
    path = Path(root).expanduser()
    if not path.is_dir():
        kind = "is a file" if path.exists() else "does not exist"
        raise misuse("images", "an existing folder", Verbatim(f"{root}, which {kind}"))
    return path.resolve()


def locate(listed: str, root: Path) -> Path | None:
    """The file that a listed path means below a folder: the longest of its tails that is there.

    `data/broden1_224/images/dtd/woven_0005.jpg` is looked for as it is, as
    `broden1_224/images/dtd/woven_0005.jpg`, and so on. Lists come from anywhere: nothing outside
    the folder is ever found, whether through `..`, an absolute path or a link.

    Args:
        listed: the path as it stands in a file.
        root: as `root_folder` gives it.
    """
    parts = PurePosixPath(listed).parts
    for first in range(len(parts)):
        tail = parts[first:]
        if ".." in tail or tail[0] == "/":
            continue
        try:
            path = root.joinpath(*tail).resolve(strict=True)
            if path.is_relative_to(root) and stat.S_ISREG(path.stat().st_mode):
                return path
        except (OSError, ValueError, RuntimeError):
            continue  # not there, a name that cannot be, or links in a circle
    return None


@dataclass(frozen=True)
class Gathered:
    """What became of the images that files list.

    Attributes:
        listed: how many different ones there are; 0 where they were not taken.
        found: how many of them were found and read.
        damaged: those that were found and cannot be read, with the reason.
    """

    listed: int = 0
    found: int = 0
    damaged: tuple[tuple[str, str], ...] = ()


def names(published: Published, layers: Sequence[str]) -> list[str]:
    """The different images that files list for some layers, in the order of the files."""
    units = [unit for layer in layers for unit in published.images.get(layer, ())]
    return list(dict.fromkeys(name for unit in units for name in unit))


def write(
    writer: AtlasWriter,
    published: Published,
    layers: Sequence[str],
    root: Path | None,
    workers: int,
    progress: Progress,
) -> Gathered:
    """Write images.parquet, small copies, and exemplars.parquet of an imported atlas."""
    listed = names(published, layers)
    found, damaged = _read(listed, root, writer.folder, workers, progress) if root else ({}, {})
    missing = Found(None, None, None, None)
    facts = [found.get(name, missing) for name in listed]
    columns: dict[str, Any] = {
        "image_id": listed,
        **{n: [getattr(f, n) for f in facts] for n in ("source", "width", "height")},
        "content_hash": [fact.content_hash for fact in facts],
        "annotations": [[] for _ in listed],
        "copies": [0] * len(listed),
    }
    file = writer.table("images.parquet", "images", columns)
    texts = [f"{name}\0{fact.content_hash}" for name, fact in zip(listed, facts, strict=True)]
    probe = replace(
        writer.manifest.probe,
        given=len(listed),
        images=len(listed),
        skipped=[list(entry) for entry in damaged.items()],
        fingerprint=hashing.of_texts(texts),
        more={"found": len(found), "root": None if root is None else str(root)},
    )
    writer.finish("images", [file], probe=probe)
    writer.finish("thumbs", ["thumbs"] if found else [])
    rows = [
        (layer, unit, rank, name, None, None, None)
        for layer in layers
        for unit, images in enumerate(published.images.get(layer, ()))
        for rank, name in enumerate(images, 1)
    ]
    order = enumerate(schema.tables()["exemplars"].names)
    columns = {name: [row[place] for row in rows] for place, name in order}
    file = writer.table("exemplars.parquet", "exemplars", columns)
    writer.finish("exemplars", [file])
    return Gathered(len(listed), len(found), tuple(damaged.items()))


def _read(
    listed: Sequence[str], root: Path, atlas: Path, workers: int, progress: Progress
) -> tuple[dict[str, Found], dict[str, str]]:
    """Read images and write their small copies: what was found, and why others are damaged."""

    def one(name: str) -> Found | str | None:
        path = locate(name, root)
        if path is None:
            return None
        try:
            raw = RawImage(read_file(path))
            found = Found(str(path), *raw.size, raw.content_hash)
            thumb = atlas / schema.thumb_file(raw.content_hash)
            if not thumb.exists():
                save_thumb(raw.decode(), thumb)
        except CorruptImageError as error:
            return str(error)
        return found

    found, damaged = {}, {}
    threads = ThreadPoolExecutor(workers)
    try:
        with progress("images", len(listed)) as tick:
            for name, entry in zip(listed, threads.map(one, listed), strict=True):
                if isinstance(entry, Found):
                    found[name] = entry
                elif entry is not None:
                    damaged[name] = entry
                tick.advance()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    return found, damaged
