"""Chosen rows of a large array in another order, in a file that is mapped into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from neuronym._core import storage
from neuronym._core.types import Rows

#: Rows that are read at once.
_BLOCK = 2048


@contextmanager
def arranged(rows: Rows, order: Int64[np.ndarray, " row"]) -> Iterator[np.ndarray]:
    """The rows `order` of an array, which is read once from its beginning to its end.

    Raises:
        NeuronymError: the temporary file cannot be written.
    """
    first = rows[0:1]
    size, where = first.nbytes, np.full(rows.shape[0], -1)
    where[order] = np.arange(len(order))
    with tempfile.TemporaryFile() as file:
        try:
            for low in range(0, rows.shape[0], _BLOCK):
                block = np.ascontiguousarray(rows[low : low + _BLOCK])
                for row, place in zip(block, where[low : low + _BLOCK], strict=True):
                    if place >= 0:
                        file.seek(int(place) * size)
                        file.write(row.tobytes())
            file.flush()
        except OSError as error:
            raise storage.cannot_write(Path(tempfile.gettempdir()), error) from error
        yield np.memmap(file, first.dtype, "r", shape=(len(order), first.shape[1]))
