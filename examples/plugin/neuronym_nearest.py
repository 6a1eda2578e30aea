"""A labelling method: the concepts nearest to what the highest activating images show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

import neuronym as nym


@nym.LABELLERS.register("nearest", syntax="nearest:k=3,of=mean")
@dataclass(frozen=True)
class Nearest(nym.Labeller):
    """The concepts nearest to the k highest activating images.

    Attributes:
        k: how many of a unit's highest activating images count.
        of: their mean embedding, or the first image's alone.
    """

    name: ClassVar[str] = "nearest"
    needs: ClassVar[tuple[str, ...]] = ("activations", "embeddings")
    k: int = 3
    of: Literal["mean", "first"] = "mean"

    def label(self, context: nym.LabelContext, layers: Sequence[str], count: int) -> nym.Labels:
        words, made = np.array(context.words, dtype=object), {}
        for layer in layers:
            rows = context.highest(layer, 1 if self.of == "first" else self.k).indices
            shown = context.image_embeddings[rows].mean(axis=1)
            scores = shown @ context.text_embeddings.T
            order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
            scores = np.take_along_axis(scores, order, axis=1)
            made[layer] = nym.LayerLabels(words[order], scores, context.reasons(layer))
        return nym.Labels(made)
