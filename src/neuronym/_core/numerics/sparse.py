"""Rows of which only what differs from each unit's usual value is held.

A unit of a dictionary is silent for nearly every image. Its activations are held as its minimum,
once, and the values of the images that are above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, Integer

from neuronym._core.types import Rows

#: How many values are made dense at once.
_BLOCK_VALUES = 1 << 22
#: Sparse is worth it where no more than this share of the values has to be held: each takes eight
#: bytes in place of four, and reading is slower.
WORTH = 0.25


class SparseRows(np.lib.mixins.NDArrayOperatorsMixin):
    """`[image, unit]` that reads as a dense float32 array, a block of rows at a time.

    Whatever calculates with all of it at once makes the dense array for that.

    Args:
        fill: what a unit has where nothing is held, `[unit]`.
        offsets: where the entries of each image begin, and where the last one's end, `[image + 1]`.
        units: of every entry, ascending within an image.
        values: of every entry.

    >>> rows = SparseRows(np.float32([0, 1]), np.array([0, 1, 1]), np.int32([1]), np.float32([3]))
    >>> rows[0:2].tolist()
    [[0.0, 3.0], [0.0, 1.0]]
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        fill: Float32[np.ndarray, " unit"],
        offsets: Int64[np.ndarray, " image_and_one"],
        units: Integer[np.ndarray, " entry"],
        values: Float32[np.ndarray, " entry"],
    ) -> None:
        self.fill, self._offsets, self._units, self._values = fill, offsets, units, values
        self.shape = (len(offsets) - 1, len(fill))

    @classmethod
    def of_entries(
        cls,
        image: Int64[np.ndarray, " entry"],
        unit: Int64[np.ndarray, " entry"],
        values: Float32[np.ndarray, " entry"],
        images: int,
        fill: Float32[np.ndarray, " unit"],
    ) -> SparseRows:
        """From entries in any order, of each image and unit one at most."""
        order = np.lexsort((unit, image))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=images))])
        return cls(fill, offsets, unit[order].astype(np.int32), values[order])

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> SparseRows:
        """From what `write` has put into a file."""
        return cls(*(arrays[name] for name in ("fill", "offsets", "units", "values")))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """As NumPy reads a dense array: rows, or rows and columns."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        wanted = np.arange(len(self))[rows]
        if wanted.ndim == 0:
            return self._dense(wanted[None])[0][columns]
        if isinstance(rows, slice) and isinstance(columns, slice):
            return self._dense(wanted)[:, columns]
        if not isinstance(columns, int | np.integer):  # pairs or a mixture: NumPy's own rules
            return self._dense(wanted)[:, columns] if isinstance(rows, slice) else self[:][key]
        step = max(1, _BLOCK_VALUES // max(1, self.shape[1]))
        parts = [self._dense(wanted[low : low + step]) for low in range(0, len(wanted), step)]
        return np.concatenate([part[:, columns] for part in parts] or [self.fill[:0]])

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **how: Any) -> Any:
        given = [np.asarray(one) if isinstance(one, SparseRows) else one for one in inputs]
        return getattr(ufunc, method)(*given, **how)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)

    def _dense(self, rows: Int64[np.ndarray, " row"]) -> Float32[np.ndarray, "row unit"]:
        out = np.repeat(np.asarray(self.fill)[None], len(rows), 0)
        low, high = self._offsets[rows], self._offsets[rows + 1]
        counts = high - low
        entries = np.repeat(high - np.cumsum(counts), counts) + np.arange(counts.sum())
        row = np.repeat(np.arange(len(rows)), counts)
        out[row, self._units[entries]] = self._values[entries]
        return out


def offsets(
    rows: Rows, fill: Float32[np.ndarray, " unit"]
) -> Int64[np.ndarray, " image_and_one"] | None:
    """Where the entries of each image would begin; None where dense rows are the better choice."""
    images, units = rows.shape
    found, held = [np.zeros(1, np.int64)], 0
    for low in range(0, images, step := max(1, _BLOCK_VALUES // max(1, units))):
        found.append(np.count_nonzero(rows[low : low + step] != fill, axis=1))
        held += int(found[-1].sum())
        if held > WORTH * images * units:
            return None
    return np.cumsum(np.concatenate(found))


def blocks(
    rows: Rows, fill: Float32[np.ndarray, " unit"], ends: Int64[np.ndarray, " image_and_one"]
) -> dict[str, tuple[Any, tuple[int, ...], Any]]:
    """What `storage.write_array_blocks` takes, so that rows are never whole in memory."""
    images, units = rows.shape
    step = max(1, _BLOCK_VALUES // max(1, units))

    def entries(values: bool) -> Any:
        for low in range(0, images, step):
            block = np.asarray(rows[low : low + step])
            image, unit = np.nonzero(block != fill)
            yield block[image, unit] if values else unit.astype(np.int32)

    count = (int(ends[-1]),)
    return {
        "fill": (np.float32, fill.shape, [fill]),
        "offsets": (np.int64, ends.shape, [ends]),
        "units": (np.int32, count, entries(values=False)),
        "values": (np.float32, count, entries(values=True)),
    }
