"""Names for the things that pass between modules: array shapes, progress, seeds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Rows(Protocol):
    """A two-dimensional float array read by slices of rows: ndarray, memmap, tensor or shards."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice) -> np.ndarray: ...


class Ticker(Protocol):
    """One piece of long work in progress."""

    def advance(self, steps: int = 1, *, instant: bool = False) -> None:
        """Count steps; `instant` ones (found in the cache) do not enter the rate."""


#: Opens a progress display: ``with progress("labelling layer4", total=20) as tick: ...``.
Progress = Callable[[str, int], AbstractContextManager[Ticker]]


class _Silent:
    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def advance(self, steps: int = 1, *, instant: bool = False) -> None:
        return None


def silent(description: str, total: int) -> _Silent:
    """The progress display that shows nothing."""
    return _Silent()
