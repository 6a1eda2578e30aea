"""The table of the images of a pass, on the disk as it grows, and which of them are copies."""

from __future__ import annotations

import functools
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuronym._core import storage

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows that lie together on the disk.
_BLOCK = 8192


@dataclass(frozen=True, slots=True)
class ImageRow:
    """What is known of one readable image."""

    image_id: str
    source: str | None
    width: int
    height: int
    content_hash: str
    annotations: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """A readable image for which another one stands, and that one's id."""

    image: ImageRow
    of: str
    equal: bool  # the same content, not just nearly


class ImageTable(Sequence[ImageRow]):
    """Images of a probe, read one by one or in blocks of columns; memory holds none of them.

    They are added at the end, and lie in a temporary file, which goes with this object.
    """

    def __init__(self) -> None:
        self._new: list[ImageRow] = []
        self._blocks: list[pa.RecordBatch] = []

    def append(self, row: ImageRow) -> None:
        """Add one at the end."""
        self._new.append(row)
        if len(self._new) == _BLOCK:
            path = self._folder / f"{len(self._blocks)}.arrow"
            self._blocks.append(_on_disk(self._batch(), path))
            self._new = []

    @functools.cached_property
    def _folder(self) -> Path:
        folder = tempfile.mkdtemp(prefix="neuronym-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def __len__(self) -> int:
        return _BLOCK * len(self._blocks) + len(self._new)

    def __getitem__(self, row: int) -> ImageRow:  # type: ignore[override]  # there are no slices
        if not 0 <= row < len(self):
            raise IndexError(row)
        block, place = divmod(int(row), _BLOCK)
        if block == len(self._blocks):
            return self._new[place]
        found = self._blocks[block].slice(place, 1).to_pylist()[0]
        marks = tuple(tuple(mark.values()) for mark in found.pop("annotations"))
        return ImageRow(**found, annotations=marks)

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """The columns of images.parquet that are known of every image, some rows at a time."""
        yield from self._blocks
        if self._new:
            yield self._batch()

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all images; it stays on the disk."""
        import pyarrow as pa

        return pa.chunked_array(
            [block[name] for block in self.blocks()], _schema().field(name).type
        )

    def pick(self, name: str, rows: np.ndarray) -> list[Any]:
        """One column of some rows, in any order."""
        return self.column(name).take(rows).to_pylist()

    def _batch(self) -> pa.RecordBatch:
        import pyarrow as pa

        rows = [asdict(row) for row in self._new]
        names = ("category", "name", "area")
        for row in rows:
            row["annotations"] = [dict(zip(names, a, strict=True)) for a in row["annotations"]]
        return pa.RecordBatch.from_pylist(rows, schema=_schema())


class Chosen(Sequence[ImageRow]):
    """Some rows of a table of images.

    Args:
        whole: the table.
        rows: which, int64 and ascending.
    """

    def __init__(self, whole: ImageTable, rows: np.ndarray) -> None:
        self.whole, self.rows = whole, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> ImageRow:  # type: ignore[override]  # there are no slices
        return self.whole[self.rows[row]]

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """As those of `ImageTable`."""
        low = 0
        for block in self.whole.blocks():
            first, end = np.searchsorted(self.rows, [low, low + len(block)])
            if first < end:
                yield block.take(self.rows[first:end] - low)
            low += len(block)

    def pick(self, name: str, rows: np.ndarray) -> list[Any]:
        """As that of `ImageTable`."""
        return self.whole.pick(name, self.rows[rows])

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of these images, in memory."""
        return self.whole.column(name).take(self.rows)


class Copies(Sequence[Copy]):
    """Images for which others stand.

    Args:
        whole: all images.
        stands: int64 `[image]`: the row of the one that stands for each; see `duplicates`.
    """

    def __init__(self, whole: ImageTable, stands: np.ndarray) -> None:
        self.images = Chosen(whole, np.flatnonzero(stands != np.arange(len(stands))))
        self.of = stands[self.images.rows]
        self.equal = np.zeros(len(self.of), bool)
        hashes = whole.column("content_hash")
        for low in range(0, len(self.of), _BLOCK):
            part = slice(low, low + _BLOCK)
            own, theirs = (hashes.take(rows) for rows in (self.images.rows[part], self.of[part]))
            self.equal[part] = np.asarray(own) == np.asarray(theirs)

    def __len__(self) -> int:
        return len(self.of)

    def __getitem__(self, place: int) -> Copy:  # type: ignore[override]  # there are no slices
        of = self.images.whole[self.of[place]].image_id
        return Copy(self.images[place], of, bool(self.equal[place]))

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """The columns of copies.parquet, some rows at a time."""
        import pyarrow as pa

        ids, low = self.images.whole.column("image_id"), 0
        for block in self.images.blocks():
            part = slice(low, low := low + len(block))
            of = ids.take(self.of[part]).combine_chunks()
            yield block.append_column("of", of).append_column("equal", pa.array(self.equal[part]))


def _on_disk(batch: pa.RecordBatch, path: Path) -> pa.RecordBatch:
    """The same rows, read from a file when they are asked for."""
    import pyarrow as pa

    try:
        with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, batch.schema) as writer:
            writer.write_batch(batch)
        return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    except OSError as error:
        raise storage.cannot_write(path, error) from error


@functools.cache
def _schema() -> pa.Schema:
    import pyarrow as pa

    marks = pa.struct([("category", pa.string()), ("name", pa.string()), ("area", pa.float64())])
    return pa.schema(
        [
            ("image_id", pa.string()),
            ("source", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("content_hash", pa.string()),
            ("annotations", pa.list_(marks)),
        ]
    )
