"""A baseline that knows the probe and not the unit: its most frequent concepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from neuronym._core.devices import product
from neuronym._core.numerics.topk import as_tensor
from neuronym._core.registry import word
from neuronym.atlas.context import Material
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

    def label(self, material: Material, layers: Sequence[str], count: int) -> Labels:
        """Give all units that other methods could label the same labels."""
        found = _seen(material) if self.by == "encoder" else _annotated(material)
        best = found.most_common(count)  # of equal ones the first that was counted
        words = np.array([name for name, _ in best], dtype=object)
        scores = np.array([amount / material.count for _, amount in best], np.float32)
        made = {}
        for layer in layers:
            reasons = material.reasons(layer)
            shape = (len(reasons), 1)
            made[layer] = LayerLabels(np.tile(words, shape), np.tile(scores, shape), reasons)
        return Labels(made, facts={"baseline": True, "note": "The same labels for every unit."})


def _seen(material: Material) -> Counter[str]:
    """How many images the encoder finds most similar to each concept."""
    texts = as_tensor(material.text_embeddings, torch.float32)
    amounts = np.zeros(len(texts), np.int64)
    with material.progress("counting concepts", material.count) as tick:
        for low in range(0, material.count, _IMAGES):
            block = as_tensor(material.image_embeddings[low : low + _IMAGES], torch.float32)
            nearest = product(block, texts).numpy().argmax(1)  # the first of equals
            amounts += np.bincount(nearest, minlength=len(texts))
            tick.advance(len(block))
    return Counter({material.words[i]: int(amounts[i]) for i in np.flatnonzero(amounts)})


def _annotated(material: Material) -> Counter[str]:
    """The area that carries each annotation, in images."""
    found: Counter[str] = Counter()
    for entries in material.annotations:
        for _, name, area in entries:
            found[name] += area
    return Counter(dict(sorted(found.items())))
