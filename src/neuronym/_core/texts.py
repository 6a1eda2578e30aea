"""Millions of short texts in two buffers, in place of a Python object for each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


class Texts(Sequence[str]):
    """A list of texts that grows at its end; it takes their bytes and 8 more for each.

    Names of files that are not UTF-8 come back as they were given.

    >>> names = Texts(["b", "a"])
    >>> names.append("c")
    >>> list(names), list(names.take(names.order()))
    (['b', 'a', 'c'], ['a', 'b', 'c'])
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._data, self._ends = bytearray(), array("q", [0])
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Add one at the end."""
        self._data += text.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._data))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        return self._data[self._ends[place] : self._ends[place + 1]].decode(
            "utf-8", "surrogateescape"
        )

    def order(self) -> np.ndarray:
        """uint64 `[text]`: the places of the texts in the order of their bytes.

        That is the order of their characters, too; equal ones stay in the order they have.
        """
        import pyarrow.compute as pc

        return np.asarray(pc.sort_indices(self.arrow()))

    def arrow(self) -> pa.LargeBinaryArray:
        """The same as they lie there; nothing can be appended as long as it is in use."""
        import pyarrow as pa

        buffers = [None, pa.py_buffer(self._ends), pa.py_buffer(self._data)]
        return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(self), buffers)

    def take(self, places: Any) -> Texts:
        """Some of them, in the order of `places`."""
        import pyarrow as pa

        some = self.arrow().take(pa.array(places, pa.int64()))
        found = Texts()
        _, ends, data = some.buffers()
        found._ends = array("q", np.frombuffer(ends, np.int64)[: len(some) + 1].tobytes())
        found._data = bytearray(data) if data is not None else bytearray()
        return found

    @property
    def ascii(self) -> bool:
        """Whether all their characters are those of ASCII."""
        return self._data.isascii()


def first_repeated(texts: Sequence[str]) -> str | None:
    """The first text that was there before, without a copy of all of them; None: there is none."""
    marks = np.fromiter(map(hash, texts), np.int64, len(texts))
    order = np.argsort(marks, kind="stable")
    same = np.flatnonzero(marks[order][1:] == marks[order][:-1])
    seen: set[str] = set()
    for row in np.unique(order[np.concatenate([same, same + 1])]):  # their marks may err
        if texts[row] in seen:
            return texts[row]
        seen.add(texts[row])
    return None


def places(wanted: Any, among: Any) -> np.ndarray:
    """int64 `[text]`: where each of some texts is among others that are all different; −1: nowhere.

    Both may be lists of texts, or columns of pandas or Arrow.
    """
    import pyarrow.compute as pc

    found = pc.index_in(_arrow(wanted), value_set=_arrow(among))
    return found.fill_null(-1).to_numpy().astype(np.int64)


def _arrow(texts: Any) -> pa.Array | pa.ChunkedArray:
    import pyarrow as pa

    if isinstance(texts, pa.Array | pa.ChunkedArray):
        return texts.cast(pa.large_binary())
    if hasattr(texts, "iloc"):
        return pa.array(texts, pa.large_string()).cast(pa.large_binary())
    return Texts(texts).arrow()
