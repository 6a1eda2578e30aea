"""Network Dissection: which masks a unit's strongest responses cover."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from neuronym._core import hashing, registry
from neuronym.atlas.context import LabelContext
from neuronym.labelling.base import LABELLERS, Labeller, Labels, LayerLabels
from neuronym.labelling.methods import _masks
from neuronym.labelling.methods._masks import Annotations

#: How many values per unit are kept; up to that many in the tail, the quantile is exact.
KEPT = 1 << 14
# Maps stretched at once: bounds memory where a layer has thousands of units.
_UNITS = 64


class UpperQuantile:
    """Thresholds that a given share of a unit's values exceeds.

    The threshold is the lowest of the n values that at most ⌊quantile · n⌋ of them exceed:
    `np.quantile(values, 1 - quantile, method="inverted_cdf")`. If that is the highest of all, as
    where a unit saturates, it is lowered by a millionth of itself, so that the highest exceed it.

    Where the tail would hold more than `kept` values, every image contributes as many random
    positions as keep it that short. Then the share of values above the threshold is off by a
    factor of 1 ± kept^−½ (one standard error; 0.8 %), or less, since positions are drawn image by
    image and without repeats.

    Args:
        units: how many.
        images, positions: images in the stream, and values per unit of each.
        quantile: share of the values above the threshold.
        kept: how many values per unit may be kept.
    """

    def __init__(
        self, units: int, images: int, positions: int, quantile: float, kept: int = KEPT
    ) -> None:
        self._positions, self._drawn = positions, positions
        if int(quantile * images * positions) > kept:
            self._drawn = max(1, int(kept / (quantile * images)))
        # One more than may lie above: it is the threshold.
        self._tail = int(quantile * images * self._drawn) + 1
        self._best = [np.empty(0, np.float32) for _ in range(units)]
        self._low = np.full(units, -np.inf, np.float32)

    def update(self, row: int, values: np.ndarray) -> None:
        """Take in one image.

        Args:
            row: its number; decides which positions are drawn.
            values: float32 `[unit, position]`.
        """
        if self._drawn < self._positions:
            order = np.random.default_rng([0, row]).permutation(self._positions)
            values = values[:, order[: self._drawn]]
        high = values.max(1) > self._low
        for unit in np.flatnonzero(high):
            new = values[unit][values[unit] > self._low[unit]]
            best = np.concatenate([self._best[unit], new])
            # Sorting out is dear, so it waits until there is twice as much as needed.
            if len(best) >= 2 * self._tail:
                best = self._shorten(best)
                self._low[unit] = best.min()
            self._best[unit] = best

    def _shorten(self, values: np.ndarray) -> np.ndarray:
        if len(values) <= self._tail:
            return values
        return np.partition(values, len(values) - self._tail)[-self._tail :]

    def result(self) -> np.ndarray:
        """The thresholds, float32 `[unit]`; NaN without values."""
        found = np.full(len(self._best), np.nan, np.float32)
        for unit, values in enumerate(self._best):
            if len(values):
                tail = self._shorten(values)
                low = tail.min()
                same = low == tail.max() and np.isfinite(low)
                found[unit] = low - abs(low) * np.float32(1e-6) if same else low
        return found


@LABELLERS.register(
    "netdissect",
    syntax="netdissect[:quantile=Q,threshold=IOU]",
    example="netdissect:quantile=0.005,threshold=0.04",
)
@dataclass(frozen=True)
class NetDissect(Labeller):
    """Network Dissection: intersection over union of a unit's strongest responses with masks.

    With the threshold T such that P(a > T) = quantile over all positions of all images, A the
    unit's map stretched bilinearly to the resolution of the masks, and L the mask of a concept:

        IoU = Σ_x |A(x) > T  ∩  L(x)| / Σ_x |A(x) > T  ∪  L(x)|

    summed over the images that have any annotation of the concept's category. Image-wide labels
    are masks of the whole image.

    Args:
        quantile: share of the positions that count as a response.
        threshold: a unit whose best IoU is not above it abstains; it is no detector.

    Reference: Bau, Zhou, Khosla, Oliva, Torralba, Network Dissection: Quantifying Interpretability
    of Deep Visual Representations, CVPR 2017, arXiv 1704.05796.
    """

    name: ClassVar[str] = "netdissect"
    needs: ClassVar[tuple[str, ...]] = ("target", "probe", "annotations")
    quantile: float = registry.number(0.005, 1e-6, 0.5)
    threshold: float = registry.number(0.04, 0, 1)

    def check(self, context: LabelContext, layers: Sequence[str]) -> None:
        """Every layer must have maps."""
        super().check(context, layers)
        context.sources.check_maps(layers)

    def cost(self, context: LabelContext, layers: Sequence[str]) -> str:
        """Two passes of the target."""
        return f"It runs {context.sources.target.name} twice over {context.count:,} images."

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """Find thresholds in one pass over the probe, and intersections in another.

        Raises:
            NeuronymError: nothing is annotated, or a layer has no maps.
        """
        annotations = Annotations.of(context)
        grid = _masks.grid_of(context.sources.target.preprocess.size)
        levels = self._levels(context, layers)
        overlaps, areas = _overlaps(context, annotations, levels, grid)
        made = {
            layer: self._rank(
                annotations, overlaps[layer], areas, levels[layer], context.reasons(layer), count
            )
            for layer in layers
        }
        facts: dict = {"grid": list(grid)}
        frequent = self._too_frequent(annotations, areas, grid)
        if frequent:
            facts["note"] = (
                f"Concepts that fill more than {self.quantile / self.threshold:.1%} of their "
                f"category's images can hardly reach an IoU of {self.threshold:g} with the highest "
                f"{self.quantile:.2%} of positions: {', '.join(frequent)}. See quantile."
            )
        return Labels(made, facts=facts)

    def _levels(self, context: LabelContext, layers: Sequence[str]) -> dict[str, np.ndarray]:
        """The units' thresholds, float32 `[unit]` per layer; cached."""
        hashes = context.images["content_hash"]
        key = hashing.of_texts([f"upper quantile {self.quantile}, version 2", *hashes])
        entries = {layer: context.sources.entry(layer) for layer in layers}
        levels, streams = {}, {}
        for layer, entry in entries.items():
            positions, units = math.prod(context.sources.grid(layer)), context.units(layer)
            kept = entry.read(key)
            if kept is not None:
                levels[layer] = np.array(kept[0]["levels"])
            else:
                streams[layer] = UpperQuantile(units, context.count, positions, self.quantile)
        if streams:
            for rows, maps in context.sources.maps(list(streams)):
                for layer, stream in streams.items():
                    for row, values in zip(rows, maps[layer].flatten(2).numpy(), strict=True):
                        stream.update(int(row), values)
        for layer, stream in streams.items():
            levels[layer] = stream.result()
            entries[layer].write(key, {"levels": levels[layer]}, {})
        return levels

    def _rank(
        self,
        annotations: Annotations,
        overlap: _Overlap,
        areas: np.ndarray,
        levels: np.ndarray,
        reasons: Sequence[str | None],
        count: int,
    ) -> LayerLabels:
        union = overlap.units[:, annotations.category] + areas - overlap.both
        iou = (overlap.both / np.maximum(union, 1)).astype(np.float32)
        top = iou.argmax(1)
        highest = iou[np.arange(len(iou)), top]
        order = _masks.best(iou, iou > 0, count)
        own = [
            reason or self._why_not(annotations.names[concept], float(score))
            for reason, concept, score in zip(reasons, top, highest, strict=True)
        ]
        details = {
            "category": _masks.at(annotations.category_words, order),
            "detector": _masks.at((iou > self.threshold).astype(object), order),
        }
        words, scores = _masks.at(annotations.words, order), _masks.at(iou, order)
        measures = {"level": levels, "iou": highest}
        return LayerLabels(words, scores, tuple(own), details, measures)

    def _why_not(self, best: tuple[str, str], iou: float) -> str | None:
        if iou > self.threshold:
            return None
        if iou == 0:
            return "its strongest responses meet no annotation"
        category, name = best
        return (
            f"no concept above IoU {self.threshold:g}: the best, {name} ({category}), has {iou:.3f}"
        )

    def _too_frequent(
        self, annotations: Annotations, areas: np.ndarray, grid: tuple[int, int]
    ) -> list[str]:
        """Concepts so large that a unit's share of the positions cannot cover enough of them."""
        cells = annotations.has.sum(0)[annotations.category] * grid[0] * grid[1]
        large = self.quantile * cells < self.threshold * areas
        return list(annotations.words[large])


@dataclass(frozen=True, eq=False)
class _Overlap:
    """Cells counted over the probe for one layer.

    Attributes:
        both: response and concept together, int64 `[unit, concept]`.
        units: response on images with annotations of a category, int64 `[unit, category]`.
    """

    both: np.ndarray
    units: np.ndarray


def _overlaps(
    context: LabelContext,
    annotations: Annotations,
    levels: Mapping[str, np.ndarray],
    grid: tuple[int, int],
) -> tuple[dict[str, _Overlap], np.ndarray]:
    """Counts per layer, and the cells of each concept, int64 `[concept]`."""
    concepts, categories = len(annotations.names), len(annotations.categories)
    found = {
        layer: _Overlap(
            np.zeros((len(level), concepts), np.int64), np.zeros((len(level), categories), np.int64)
        )
        for layer, level in levels.items()
    }
    areas = np.zeros(concepts, np.int64)
    for rows, maps in context.sources.maps(list(levels)):
        for place, row in enumerate(rows):
            shown, masks = _masks.masks_on_grid(context, annotations, row, grid)
            if not len(shown):
                continue
            areas[shown] += _whole(masks.sum(1))
            here = np.unique(annotations.category[shown])
            masks = masks.to(context.device)
            for layer, overlap in found.items():
                parts = _responses(maps[layer][place], levels[layer], grid, context.device)
                for units, response in parts:
                    overlap.both[units[:, None], shown] += _whole(response @ masks.T)
                    overlap.units[units[:, None], here] += _whole(response.sum(1))[:, None]
    return found, areas


def _responses(
    maps: torch.Tensor, levels: np.ndarray, grid: tuple[int, int], device: torch.device
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Units that respond, in parts, and where: zeros and ones, float32 `[unit, cell]`."""
    # A stretched map is nowhere higher than the map.
    units = np.flatnonzero(maps.amax((1, 2)).numpy() > levels)
    for low in range(0, len(units), _UNITS):
        part = units[low : low + _UNITS]
        level = torch.from_numpy(levels[part, None]).to(device)
        # In place, and float: new memory and another type would take half of the time.
        yield part, _masks.on_grid(maps[part].to(device), grid).gt_(level)


def _whole(counts: torch.Tensor) -> np.ndarray:
    # Below 2^24, so exact in float32.
    return counts.cpu().numpy().astype(np.int64)
