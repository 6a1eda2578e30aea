"""Small activation maps of each unit's highest images, taken while the images pass by.

Every shard of the pass leaves, beside its pooled values, the maps of the images that are highest
within it, unit by unit: what a whole probe needs of them is then among what its shards kept, and no
image runs through the network twice. What lacks all the same (see `lacking` of `gathered`) is for
the caller to compute.

A map is kept as bytes with a scale of its own: value = low + byte · (high − low) / 255, so that it
is off by (high − low) / 510 at most. Maps of more than `LARGEST` cells along a side are made
smaller by means over areas, which leaves their mean as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8

from neuronym._core import storage
from neuronym._core.errors import NeuronymError
from neuronym.extraction.recording import LayerInfo

#: Cells along the longer side of a kept map, at most.
LARGEST = 14
_VERSION = 1


def small_grid(grid: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the kept map of a map of this height and width.

    >>> small_grid((56, 56)), small_grid((7, 7)), small_grid((20, 40))
    ((14, 14), (7, 7), (7, 14))
    """
    scale = min(1.0, LARGEST / max(grid))
    return max(1, round(grid[0] * scale)), max(1, round(grid[1] * scale))


def has_maps(grid: tuple[int, int] | None) -> bool:
    """Whether a layer of this grid has maps: more than one position."""
    return grid is not None and grid != (1, 1)


def shrunk(maps: torch.Tensor) -> torch.Tensor:
    """Float maps `[n, y, x]` at the size of `small_grid`, by exact means over areas."""
    grid = (maps.shape[1], maps.shape[2])
    small = small_grid(grid)
    if small == grid:
        return maps
    down, across = (
        _areas(length, count).to(maps) for length, count in zip(grid, small, strict=True)
    )
    with torch.autocast(maps.device.type, enabled=False):  # a pass in half precision may be running
        return down @ maps @ across.T


def _areas(length: int, count: int) -> torch.Tensor:
    """`[count, length]`: the share that each of `length` cells has in each of `count` areas."""
    edges = torch.arange(count + 1, dtype=torch.float64) * length / count
    cells = torch.arange(length, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], cells + 1) - torch.maximum(edges[:-1, None], cells)
    return overlap.clamp(min=0) * count / length


@dataclass(frozen=True, eq=False)
class Maps:
    """Some maps as bytes with their scales, `[n]` and `[n, y, x]`.

    Attributes:
        low, high: the lowest and highest value of each; NaN where a map has no finite values only.
    """

    cells: UInt8[np.ndarray, "map y x"]
    low: Float32[np.ndarray, " map"]
    high: Float32[np.ndarray, " map"]

    @classmethod
    def of(cls, maps: Float32[np.ndarray, "map y x"]) -> Maps:
        """Rounded to bytes."""
        low, high = maps.min((1, 2)), maps.max((1, 2))
        broken = ~np.isfinite(low) | ~np.isfinite(high)
        low, high = (np.where(broken, np.nan, v).astype(np.float32) for v in (low, high))
        span = np.where(high > low, high.astype(np.float64) - low, np.inf)[:, None, None]
        share = np.where(broken[:, None, None], 0, (maps - low[:, None, None].astype(float)) / span)
        return cls(np.rint(255 * share).astype(np.uint8), low, high)

    def values(self) -> Float32[np.ndarray, "map y x"]:
        """As they were, but for rounding; NaN throughout where a map was broken."""
        low, high = self.low.astype(np.float64), self.high.astype(np.float64)
        span = (high - low)[:, None, None] / 255
        return (low[:, None, None] + self.cells * span).astype(np.float32)


class Highest:
    """The maps of the `count` highest images of each unit of a layer, among those offered.

    Equal images do not displace one another. Memory is bounded by units × count × map.

    Args:
        units: how many.
        grid: height and width of the layer's maps.
        count: how many maps per unit.
    """

    def __init__(self, units: int, grid: tuple[int, int], count: int) -> None:
        self.count, self._seen = count, 0
        high, wide = small_grid(grid)
        self._value = np.full((count, units), -np.inf, np.float32)
        self._row = np.full((count, units), -1, np.int32)
        self._low = np.full((count, units), np.nan, np.float32)
        self._high = np.full((count, units), np.nan, np.float32)
        self._cells = np.zeros((count, units, high, wide), np.uint8)

    def wanted(
        self, values: Float32[np.ndarray, "image unit"]
    ) -> tuple[Int64[np.ndarray, " map"], Int64[np.ndarray, " map"]]:
        """Which of the next images' maps can be among the highest: images and units."""
        mask = np.isfinite(values) & (values > self._value.min(0))
        if len(values) > self.count:  # no more than so many of one batch stay
            last = np.partition(np.where(mask, values, -np.inf), -self.count, axis=0)[-self.count]
            mask &= values >= last
        images, units = np.nonzero(mask)
        return images, units

    def add(
        self,
        values: Float32[np.ndarray, "image unit"],
        images: Int64[np.ndarray, " map"],
        units: Int64[np.ndarray, " map"],
        maps: Maps,
    ) -> None:
        """Take in the next images, of which `images`, `units` are `wanted`, in ascending order."""
        ends = np.searchsorted(images, np.arange(len(values) + 1))
        for image, (start, stop) in enumerate(pairwise(ends.tolist())):
            unit = units[start:stop]
            place = self._value[:, unit].argmin(0)
            higher = values[image, unit] > self._value[place, unit]
            at, unit = start + np.flatnonzero(higher), unit[higher]
            to = (place[higher], unit)
            self._value[to], self._row[to] = values[image, unit], self._seen + image
            self._low[to], self._high[to] = maps.low[at], maps.high[at]
            self._cells[to] = maps.cells[at]
        self._seen += len(values)

    def arrays(self) -> dict[str, np.ndarray]:
        """What there is, `[place, unit]`: the number of the image (−1: none), scale and cells."""
        return {"row": self._row, "low": self._low, "high": self._high, "cells": self._cells}


def beside(layer: str) -> str:
    """What the maps of a layer are called beside it. No layer can have this name."""
    return f".maps of {layer}"


#: Of a batch the images and units whose maps may be among the highest, and these maps.
Chosen = tuple[np.ndarray, np.ndarray, Maps]


class ShardMaps:
    """The highest maps of each layer among the images of a shard, as they pass by.

    Args:
        count: how many per unit; 0: none.
    """

    def __init__(self, count: int) -> None:
        self._count, self._highest = count, dict[str, Highest]()
        #: What decides which maps a shard holds and how, for the cache.
        self.about = {"maps": count, "largest": LARGEST, "version": _VERSION}

    def has(self, info: LayerInfo) -> bool:
        """Whether maps of a layer are kept."""
        return self._count > 0 and has_maps(info.grid)

    def choose(self, info: LayerInfo, output: torch.Tensor, values: np.ndarray) -> Chosen:
        """What may be among the highest of a batch; nothing is taken in.

        Args:
            output: of the layer, arranged.
            values: the same pooled, `[image, unit]`.
        """
        if info.name not in self._highest:
            assert info.grid is not None
            self._highest[info.name] = Highest(values.shape[1], info.grid, self._count)
        images, units = self._highest[info.name].wanted(values)
        chosen = info.maps_of(output, torch.from_numpy(images), torch.from_numpy(units))
        return images, units, Maps.of(shrunk(chosen.float()).cpu().numpy())

    def add(self, layer: str, values: np.ndarray, chosen: Chosen) -> None:
        """Take in a batch and what was chosen of it."""
        self._highest[layer].add(values, *chosen)

    def end(self) -> dict[str, dict[str, np.ndarray]]:
        """What there is, by `beside` of the layer; the next shard begins anew."""
        kept = {beside(layer): highest.arrays() for layer, highest in self._highest.items()}
        self._highest.clear()
        return kept


def gathered(
    parts: Sequence[tuple[Path, int]],
    rows: Int64[np.ndarray, "unit place"],
    wanted: Bool[np.ndarray, "unit place"],
    grid: tuple[int, int],
) -> tuple[Maps, Int64[np.ndarray, " map"], Bool[np.ndarray, " map"]]:
    """The maps of some units' images from what the shards kept.

    Args:
        parts: the files of the shards and how many images each has, in order.
        rows: the images' numbers over all shards.
        wanted: which of `rows` are meant, `[unit, place]`.
        grid: of the kept maps.

    Returns:
        The maps of `rows[wanted]` in that order, their units, and which of them lack.
    """
    unit, _ = np.nonzero(wanted)
    row = rows[wanted]
    cells = np.zeros((len(row), *grid), np.uint8)
    low = np.full(len(row), np.nan, np.float32)
    high, lacking, start = low.copy(), np.ones(len(row), bool), 0
    for path, count in parts:
        here = np.flatnonzero((row >= start) & (row < start + count))
        found = _read(path, grid) if len(here) else None
        if found is not None:
            same = found["row"][:, unit[here]] == row[here] - start
            here, place = here[same.any(0)], same.argmax(0)[same.any(0)]
            at = (place, unit[here])
            cells[here], low[here], high[here] = (
                found["cells"][at],
                found["low"][at],
                found["high"][at],
            )
            lacking[here] = False
        start += count
    return Maps(cells, low, high), unit, lacking


def _read(path: Path, grid: tuple[int, int]) -> dict[str, np.ndarray] | None:
    """What a shard kept, or None where nothing can be read or is of another kind."""
    try:
        arrays, told = storage.read_arrays(path)
    except (NeuronymError, OSError):
        return None
    whole = {"row", "low", "high", "cells"} <= arrays.keys() and storage.intact(arrays, told)
    return arrays if whole and arrays["cells"].shape[2:] == grid else None
