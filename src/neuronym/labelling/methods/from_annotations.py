"""Labels from what is known to be on a unit's highest images (the "Broden label")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuronym._core import registry
from neuronym._core.checks import choice
from neuronym.atlas.context import LabelContext
from neuronym.labelling.base import LABELLERS, Labeller, Labels, LayerLabels
from neuronym.labelling.methods import _masks
from neuronym.labelling.methods._masks import Annotations

# What is this little above 1 is rounding.
_ABOVE = 1 + 1e-9


@LABELLERS.register(
    "annotations",
    syntax="annotations[:k=N,weighted=yes|no,rank=gain|lift|share,category=NAME]",
    example="annotations:k=10,weighted=yes",
)
@dataclass(frozen=True)
class FromAnnotations(Labeller):
    """Labels and masks of a unit's highest images, against how common they are in the probe.

    Over the k highest images, and over the whole probe for the base:

        share      = Σ area of the concept / Σ area of all concepts of its category
        lift       = share / base
        coverage   = images annotated in the category / k
        enrichment = mean area of the concept / mean area over the whole probe
        gain       = coverage · share · log2(enrichment)

    Areas are shares of the image, 1 for image-wide labels; with `weighted`, shares of the positive
    part of the unit's activation map, upsampled bilinearly.

    Args:
        k: how many of a unit's highest images count.
        weighted: whether areas are weighted by the unit's own map; needs the target.
        rank: what the score is: gain, lift or share.
        category: only this category; None: all.

    Reference: the category-wise sums are the Broden labels of a study of ResNet-50's neurons that
    built on Bau et al., Network Dissection, CVPR 2017, arXiv 1704.05796; lift and gain are ours.
    """

    name: ClassVar[str] = "annotations"
    needs: ClassVar[tuple[str, ...]] = ("activations", "annotations")
    k: int = registry.whole(10, 1)
    weighted: bool = registry.flag(False)
    rank: str = registry.word("gain", ("gain", "lift", "share"))
    category: str | None = registry.text(None)

    def check(self, context: LabelContext, layers: Sequence[str]) -> None:
        """With `weighted`, every layer must have maps."""
        super().check(context, layers)
        if self.weighted:
            context.sources.check_maps(layers)

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """Rank the annotations of each unit's highest images.

        Raises:
            UsageError: the probe has no such category.
            NeuronymError: nothing is annotated; with `weighted`, a layer has no maps.
        """
        annotations = Annotations.of(context)
        if self.category is not None:
            choice("category", self.category, annotations.categories)
        rows = {layer: context.highest(layer, self.k).indices for layer in layers}
        for layer in layers:  # units that abstain take no part in anything
            silent = [reason is not None for reason in context.reasons(layer)]
            rows[layer][silent] = -1
        if self.weighted:
            areas = _weighted_areas(context, annotations, rows)
        else:
            areas = {layer: annotations.areas(rows[layer]) for layer in layers}
        made = {
            layer: self._rank(annotations, rows[layer], areas[layer], context.reasons(layer), count)
            for layer in layers
        }
        return Labels(made)

    def _rank(
        self,
        annotations: Annotations,
        rows: np.ndarray,
        areas: np.ndarray,
        reasons: Sequence[str | None],
        count: int,
    ) -> LayerLabels:
        images = (rows >= 0).sum(1)
        seen = (annotations.has[rows] & (rows >= 0)[:, :, None]).sum(1)
        share = _of_category(annotations, areas)
        base = _of_category(annotations, annotations.total[None])[0]
        lift = _ratio(share, base)
        coverage = _ratio(seen, images[:, None])[:, annotations.category]
        mean = annotations.total / len(annotations.has)
        enrichment = _ratio(_ratio(areas, images[:, None]), mean)
        gain = coverage * share * np.log2(np.maximum(enrichment, 1))
        # Compared as they are stored, so that rounding breaks no ties.
        scores = {"gain": gain, "lift": lift, "share": share}[self.rank].astype(np.float32)
        keep = {"gain": enrichment > _ABOVE, "lift": lift > _ABOVE, "share": share > 0}[self.rank]
        if self.category is not None:
            keep = keep & (annotations.category_words == self.category)
        order = _masks.best(scores, keep, count)
        own = [
            reason or _why_not(n, any_seen, found)
            for reason, n, any_seen, found in zip(
                reasons, images, seen.any(1), np.any(order >= 0, axis=1), strict=True
            )
        ]
        numbers = {"share": share, "base": base, "lift": lift, "coverage": coverage}
        numbers["enrichment"] = enrichment
        return LayerLabels(
            _masks.at(annotations.words, order),
            _masks.at(scores, order),
            tuple(own),
            {"category": _masks.at(annotations.category_words, order)}
            | {name: _masks.at(values, order) for name, values in numbers.items()},
        )


def _of_category(annotations: Annotations, areas: np.ndarray) -> np.ndarray:
    """Areas `[unit, concept]` as shares of those of all concepts of the same category."""
    out = np.zeros_like(areas)
    for number in range(len(annotations.categories)):
        columns = annotations.category == number
        total = areas[:, columns].sum(1, keepdims=True)
        out[:, columns] = _ratio(areas[:, columns], total)
    return out


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Above / below, 0 where nothing is below."""
    return above / np.where(below > 0, below, np.inf)


def _why_not(images: int, annotated: bool, found: bool) -> str | None:
    if found:
        return None
    if not images:
        return "no image above its minimum"
    if not annotated:
        return f"none of its {images} highest images is annotated"
    return f"nothing is more common on its {images} highest images than in the probe"


def _weighted_areas(
    context: LabelContext, annotations: Annotations, rows: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Sums over each unit's images of the share of its map inside each mask."""
    grid = _masks.grid_of(context.sources.target.preprocess.size)
    sums = {layer: np.zeros((len(r), len(annotations.names))) for layer, r in rows.items()}
    wanted = np.unique(np.concatenate([r.ravel() for r in rows.values()]))
    for some, maps in context.sources.maps(list(rows), wanted[wanted >= 0]):
        for place, row in enumerate(some):
            concepts, masks = _masks.masks_on_grid(context, annotations, row, grid)
            for layer in rows:
                units = np.flatnonzero((rows[layer] == row).any(1))
                if not len(units) or not len(concepts):
                    continue
                share = _masks.inside(maps[layer][place, units], masks, grid)
                sums[layer][units[:, None], concepts] += share.numpy()
    return sums
