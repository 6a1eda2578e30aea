"""A baseline that knows the probe and not the unit: its most frequent concepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from neuronym._core.devices import product
from neuronym._core.numerics.topk import as_tensor
from neuronym._core.registry import word
from neuronym.atlas.context import LabelContext
from neuronym.labelling.base import LABELLERS, Labeller, Labels, LayerLabels

_IMAGES = 256


@LABELLERS.register("frequent", example="frequent:by=annotations")
@dataclass(frozen=True)
class Frequent(Labeller):
    """A baseline: the most frequent concepts of the probe, the same for every unit.

    `by=encoder`: score = share of the images that the encoder finds most similar to the concept.
    `by=annotations`: score = mean over the images of the share of the image that is so annotated
    (1 for image-wide labels). Concepts that never occur are left out. Equal scores: the smaller
    concept, or the annotation that comes first in the alphabet.

    Attributes:
        by: encoder or annotations.
    """

    name: ClassVar[str] = "frequent"
    needs: ClassVar[tuple[str, ...]] = ("embeddings",)
    by: str = word("encoder", ("encoder", "annotations"))

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """Give all units that other methods could label the same labels."""
        found = _seen(context) if self.by == "encoder" else _annotated(context)
        best = found.most_common(count)  # of equal ones the first that was counted
        words = np.array([name for name, _ in best], dtype=object)
        scores = np.array([amount / context.count for _, amount in best], np.float32)
        made = {}
        for layer in layers:
            reasons = context.reasons(layer)
            shape = (len(reasons), 1)
            made[layer] = LayerLabels(np.tile(words, shape), np.tile(scores, shape), reasons)
        return Labels(made, facts={"baseline": True, "note": "The same labels for every unit."})


def _seen(context: LabelContext) -> Counter[str]:
    """How many images the encoder finds most similar to each concept."""
    texts = as_tensor(context.text_embeddings, torch.float32)
    amounts = np.zeros(len(texts), np.int64)
    with context.progress("counting concepts", context.count) as tick:
        for low in range(0, context.count, _IMAGES):
            block = as_tensor(context.image_embeddings[low : low + _IMAGES], torch.float32)
            nearest = product(block, texts).numpy().argmax(1)  # the first of equals
            amounts += np.bincount(nearest, minlength=len(texts))
            tick.advance(len(block))
    return Counter({context.words[i]: int(amounts[i]) for i in np.flatnonzero(amounts)})


def _annotated(context: LabelContext) -> Counter[str]:
    """The area that carries each annotation, in images."""
    found: Any = Counter()
    for entries in context.annotations:
        for _, name, area in entries:
            found[name] += area
    return Counter(dict(sorted(found.items())))
