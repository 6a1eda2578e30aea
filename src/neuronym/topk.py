"""The k highest values of every unit, found while the images stream by, in any order.

Values are ordered by (value, descending; tie, ascending), a total order when ties are distinct:
the result is the same for every batch size, shard and image order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from neuronym._checks import integer, misuse
from neuronym._types import Progress, Rows, silent
from neuronym.unit_stats import UnitStats

if TYPE_CHECKING:
    import torch

#: The key of an empty place: below the key of every number, −∞ included.
_EMPTY = np.iinfo(np.int64).min
_LOW = 0xFFFFFFFF
_FLIP = 0x7FFFFFFF
#: How many activations are read at once by `topk`.
_BLOCK_VALUES = 1 << 22


class Ranked(NamedTuple):
    """The highest values of every unit, best first; fewer than k: −∞ and −1 at the end."""

    values: Float[np.ndarray, "unit k"]
    indices: Integer[np.ndarray, "unit k"]


class TopK:
    """A running top-k per unit; memory `[unit, k]`, whatever the number of images.

    NaN never enters. Values are compared as float32; −0 equals 0.

    >>> best = TopK(units=2, k=2)
    >>> best.update([[0.5, -3.0], [0.5, -1.0]], indices=[0, 1], tie=[7, 4])
    >>> best.update([[0.1, -2.0]], indices=[2], tie=[5])
    >>> best.result().indices.tolist()
    [[1, 0], [1, 2]]
    >>> best.result().values.tolist()
    [[0.5, 0.5], [-1.0, -2.0]]
    """

    def __init__(self, units: int, k: int) -> None:
        import torch

        self.units, self.k = integer("units", units, 0), integer("k", k, 1)
        self._keys = torch.full((self.units, self.k), _EMPTY, dtype=torch.int64)
        self._indices = torch.full((self.units, self.k), -1, dtype=torch.int64)

    def update(
        self,
        values: np.ndarray,
        indices: np.ndarray,
        tie: np.ndarray,
    ) -> None:
        """Take in a batch.

        Args:
            values: `[n, unit]`.
            indices: whole numbers `[n]`, what `result` gives back for each row.
            tie: distinct whole numbers below 2^32, `[n]`; of equal values the smaller tie wins.
        """
        import torch

        rows = as_tensor(values, torch.float32).T
        number, order = as_tensor(indices, torch.int64), as_tensor(tie, torch.int64)
        if rows.ndim != 2 or rows.shape[0] != self.units:
            raise misuse("values", f"have shape [n, {self.units}]", tuple(np.shape(values)))
        if not len(number) == len(order) == rows.shape[1]:
            raise misuse("indices and tie", f"have {rows.shape[1]} entries", len(number))
        if rows.shape[1] == 0 or self.units == 0:
            return
        columns = _best_columns(rows, order, min(self.k, rows.shape[1]))
        keys = _pack(rows.gather(1, columns), order[columns])
        found = number[columns]
        self._merge(keys, found)

    def merge(self, other: TopK) -> None:
        """Take in the result of another pass over other images."""
        if other.units != self.units:
            raise misuse("other", f"have {self.units} units", other.units)
        self._merge(other._keys, other._indices)

    def _merge(self, keys: torch.Tensor, indices: torch.Tensor) -> None:
        import torch

        empty = keys == _EMPTY
        indices = indices.masked_fill(empty, -1)
        best = torch.cat([self._keys, keys], 1).topk(self.k, dim=1)
        self._indices = torch.cat([self._indices, indices], 1).gather(1, best.indices)
        self._keys = best.values

    def result(self) -> Ranked:
        """The best so far, in order."""
        return Ranked(_values(self._keys).numpy(), self._indices.numpy().copy())


def topk(
    rows: Rows,
    k: int,
    tie: np.ndarray | None = None,
    progress: Progress = silent,
    *,
    stats: UnitStats | None = None,
    block: int | None = None,
) -> Ranked:
    """The k highest images of every unit, in one pass over blocks of images.

    Args:
        rows: activations `[image, unit]`.
        k: how many images per unit; with fewer images, the last places stay empty.
        tie: a permutation of 0…N−1, `[image]`; of equal activations the smaller one wins.
            None: the earlier image wins.
        progress: display, counted in images.
        stats: statistics to update in the same pass.
        block: images per block. None: as many as make 16 MB.

    >>> topk(np.array([[3.0], [1.0], [3.0]]), k=2, tie=np.array([2, 0, 1])).indices.tolist()
    [[2, 0]]
    """
    images, units = rows.shape
    place = np.arange(images) if tie is None else np.asarray(tie)
    if place.shape != (images,):
        raise misuse("tie", f"have one place for each of the {images} images", place.shape)
    step = block or max(1, _BLOCK_VALUES // max(1, units))
    best = TopK(units, k)
    with progress("ranking images", images) as tick:
        for low in range(0, images, step):
            values = as_array(rows[low : low + step])
            high = low + len(values)
            best.update(values, np.arange(low, high), place[low:high])
            if stats is not None:
                stats.update(values)
            tick.advance(high - low)
    return best.result()


def as_array(values: object, dtype: type = np.float32) -> np.ndarray:
    """A block of rows as a NumPy array, from anything that `Rows` may hold."""
    if hasattr(values, "detach"):  # a tensor, perhaps bfloat16 or on another device
        values = values.detach().cpu().double().numpy()
    # A float64 value beyond the range of float32 is not finite for our purposes.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values, dtype=dtype)


def as_tensor(values: object, dtype: torch.dtype) -> torch.Tensor:
    """Anything array-like as a tensor on the CPU, without a copy where possible."""
    import torch

    if isinstance(values, torch.Tensor):
        return values.detach().to("cpu", dtype)
    array = np.asarray(values)
    # torch warns about memory that it may not write to, such as a file opened read-only.
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(dtype)


def _best_columns(rows: torch.Tensor, tie: torch.Tensor, k: int) -> torch.Tensor:
    """The columns of each row's k best values, in no particular order."""
    import torch

    if k == rows.shape[1]:
        return torch.arange(k).expand(rows.shape[0], k)
    values = rows.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    found = values.topk(k + 1, dim=1)
    columns = found.indices[:, :k].contiguous()
    # Where the last value taken equals the first one left out, ties have to decide.
    unclear = torch.nonzero(found.values[:, k - 1] == found.values[:, k])[:, 0]
    if len(unclear):
        columns[unclear] = _pack(rows[unclear], tie).topk(k, dim=1).indices
    return columns


def _pack(values: torch.Tensor, tie: torch.Tensor) -> torch.Tensor:
    """One int64 per value whose order is (value, then smaller tie first); NaN becomes empty.

    The bits of a positive float, read as an integer, are in the order of the floats; for negative
    ones the order is reversed, hence the flip. The lower half holds the tie.
    """
    import torch

    bits = (values + 0.0).contiguous().view(torch.int32).to(torch.int64)  # + 0.0: −0 becomes 0
    ordered = torch.where(bits < 0, bits ^ _FLIP, bits)
    return ((ordered << 32) | (_LOW - tie)).masked_fill(values.isnan(), _EMPTY)


def _values(keys: torch.Tensor) -> torch.Tensor:
    """The values inside packed keys."""
    import torch

    ordered = keys >> 32
    bits = torch.where(ordered < 0, ordered ^ _FLIP, ordered).to(torch.int32)
    return bits.view(torch.float32).masked_fill(keys == _EMPTY, -torch.inf)
