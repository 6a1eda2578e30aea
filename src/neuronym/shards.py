"""Arrays that lie in shards on disk and are read by slices of rows."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from neuronym import _files
from neuronym._errors import NeuronymError


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
            part = _files.read_arrays(path)[0].get(self._array)
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
