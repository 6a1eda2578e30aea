"""What labellers read of a probe's annotations: who carries which, and masks beside maps."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from neuronym._core.errors import NeuronymError
from neuronym.atlas.context import LabelContext

#: Maps and masks are compared on a grid whose longer side has this many cells at most: half of the
#: usual 224 pixels, the resolution that the masks of Broden have.
SIDE = 112


@dataclass(frozen=True, eq=False)
class Annotations:
    """The annotations of all images: entry e says that `area[e]` of its image is `concept[e]`.

    Attributes:
        names: category and name of every concept, sorted; the same name in two categories is two
            concepts.
        categories: sorted.
        start: the entries of image i are `start[i]` to `start[i + 1]`, int64 `[image + 1]`.
        concept: int64 `[entry]`.
        area: share of the image, 1 for image-wide labels, float64 `[entry]`.
    """

    names: tuple[tuple[str, str], ...]
    categories: tuple[str, ...]
    start: np.ndarray
    concept: np.ndarray
    area: np.ndarray

    @classmethod
    def of(cls, context: LabelContext) -> Annotations:
        """Those that the atlas holds.

        Raises:
            NeuronymError: no image is annotated.
        """
        entries = context.annotations
        names = tuple(sorted({(category, name) for some in entries for category, name, _ in some}))
        number = {key: place for place, key in enumerate(names)}
        flat = [(number[c, n], area) for some in entries for c, n, area in some]
        return cls(
            names,
            tuple(sorted({category for category, _ in names})),
            np.cumsum([0, *map(len, entries)]),
            np.array([concept for concept, _ in flat], np.int64),
            np.array([area for _, area in flat], np.float64),
        )

    @functools.cached_property
    def number(self) -> dict[tuple[str, str], int]:
        """Category and name → concept."""
        return {key: place for place, key in enumerate(self.names)}

    @functools.cached_property
    def words(self) -> np.ndarray:
        """The names, object `[concept]`."""
        return np.array([name for _, name in self.names], dtype=object)

    @functools.cached_property
    def category_words(self) -> np.ndarray:
        """The categories' names, object `[concept]`."""
        return np.array([category for category, _ in self.names], dtype=object)

    @functools.cached_property
    def category(self) -> np.ndarray:
        """The category of each concept as a place in `categories`, int64 `[concept]`."""
        return np.array([self.categories.index(category) for category, _ in self.names], np.int64)

    @functools.cached_property
    def has(self) -> np.ndarray:
        """Whether an image has an annotation of a category, bool `[image, category]`."""
        found = np.zeros((len(self.start) - 1, len(self.categories)), bool)
        image = np.repeat(np.arange(len(found)), np.diff(self.start))
        found[image, self.category[self.concept]] = True
        return found

    @functools.cached_property
    def total(self) -> np.ndarray:
        """Areas summed over all images, float64 `[concept]`."""
        return np.bincount(self.concept, self.area, len(self.names))

    def areas(self, rows: np.ndarray) -> np.ndarray:
        """Areas summed over some images per unit.

        Args:
            rows: of images, int64 `[unit, k]`; −1 for none.

        Returns:
            float64 `[unit, concept]`.
        """
        unit, place = np.nonzero(rows >= 0)
        row = rows[unit, place]
        count = self.start[row + 1] - self.start[row]
        first = np.repeat(self.start[row] - (np.cumsum(count) - count), count)
        entry = first + np.arange(count.sum())
        cell = np.repeat(unit, count) * len(self.names) + self.concept[entry]
        shape = (len(rows), len(self.names))
        return np.bincount(cell, self.area[entry], shape[0] * shape[1]).reshape(shape)


def grid_of(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the grid for a network's input of `size`."""
    shrink = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def masks_on_grid(
    context: LabelContext, annotations: Annotations, row: int, grid: tuple[int, int]
) -> tuple[np.ndarray, torch.Tensor]:
    """What one image shows where the network looks; image-wide labels are everywhere.

    Returns:
        Concepts int64 `[m]`, ascending, and their masks, float32 `[m, cell]` of zeros and ones.

    Raises:
        NeuronymError: its labels or masks are others than those in the atlas.
    """
    found: dict[int, np.ndarray] = {}
    if annotations.start[row] < annotations.start[row + 1]:
        for number, mask in _visible(context, annotations, row, grid):
            found[number] = found[number] | mask if number in found else mask
    concepts = sorted(found)
    expected = annotations.concept[annotations.start[row] : annotations.start[row + 1]]
    if set(concepts) != set(expected.tolist()):
        raise NeuronymError(
            f"{context.images['image_id'].iloc[row]} has lost labels or masks since "
            f"{context.atlas.folder} was made. Make the atlas anew with --overwrite."
        )
    flat = [found[concept].ravel() for concept in concepts]
    masks = np.stack(flat) if flat else np.zeros((0, grid[0] * grid[1]), bool)
    return np.array(concepts, np.int64), torch.from_numpy(masks).float()


def _visible(
    context: LabelContext, annotations: Annotations, row: int, grid: tuple[int, int]
) -> Iterator[tuple[int, np.ndarray]]:
    known = annotations.number
    marks: list[tuple[Any, Any]] = [(label, None) for label in context.sources.labels(row)]
    marks += [(mask, mask.pixels) for mask in context.sources.masks(row)]
    for mark, pixels in marks:
        number = known.get((mark.category, mark.name))
        if number is None:
            raise NeuronymError(
                f"{context.images['image_id'].iloc[row]} is annotated with {mark.name!r} "
                f"({mark.category}), which {context.atlas.folder} does not know: labels or masks "
                "have changed since it was made. Make the atlas anew with --overwrite."
            )
        whole = np.ones(grid, bool)
        yield (
            number,
            whole if pixels is None else context.sources.target.preprocess.mask(pixels, grid),
        )


def on_grid(maps: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Maps `[unit, y, x]` stretched over the input bilinearly, `[unit, cell]`."""
    return interpolate(maps[None], size=grid, mode="bilinear", align_corners=False)[0].flatten(1)


def inside(maps: torch.Tensor, masks: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The share of each unit's positive activation in each mask, float64 `[unit, m]`.

    Where a unit is nowhere positive, all positions count alike.

    Args:
        maps: float32 `[unit, y, x]`.
        masks: `[m, cell]` of zeros and ones.
        grid: height and width that the cells form.
    """
    positive = on_grid(maps, grid).clamp_(min=0).double()
    # A class token can be finite where a patch is not.
    positive = torch.nan_to_num(positive, 0.0, 0.0, 0.0)
    positive[positive.sum(1) == 0] = 1
    return positive @ masks.T.double() / positive.sum(1, keepdim=True)


def best(scores: np.ndarray, keep: np.ndarray, count: int) -> np.ndarray:
    """Concepts by falling score, of equal ones the smaller; int64 `[unit, n]`, −1 where none is.

    Args:
        scores: `[unit, concept]`.
        keep: which may be named, bool `[unit, concept]`.
        count: how many per unit at most.
    """
    key = np.where(keep, scores, -np.inf)
    order = np.argsort(-key, axis=1, kind="stable")[:, :count]
    return np.where(np.take_along_axis(keep, order, 1), order, -1)


def at(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Values `[unit, concept]` or `[concept]` in the order that `best` gave; NaN or None for −1."""
    rows = np.broadcast_to(values, (len(order), values.shape[-1]))
    empty: Any = None if values.dtype == object else np.nan
    return np.where(order < 0, empty, np.take_along_axis(rows, np.maximum(order, 0), 1))
