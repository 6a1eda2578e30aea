"""Contrastive Semantic Projection: what exemplars have and their look-alikes lack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from neuronym._core import registry
from neuronym._core.devices import product
from neuronym._core.numerics.topk import Ranked, as_array, as_tensor
from neuronym._core.progress import Progress
from neuronym._core.types import Rows
from neuronym.atlas.context import LabelContext
from neuronym.labelling.base import LABELLERS, Labeller, Labels, LayerLabels
from neuronym.labelling.methods._exemplars import (
    BLOCK,
    caveat,
    exemplar_vectors,
    images_read,
    mean_of,
    ranked_labels,
    unit,
)

#: Cosines held at once, and images at most in a block.
_VALUES, _BLOCK = 1 << 22, 1024
#: Exemplars per unit by default, where the probe has enough images.
MOST = 30
#: A shorter mean of residuals is nothing but rounding.
_ROUNDING = 1e-6


def contrasts(
    images: Float[np.ndarray, "image dim"],
    activations: Rows,
    rows: Int64[np.ndarray, "unit k"],
    means: Float[np.ndarray, " unit"],
    progress: Progress,
) -> Ranked:
    """For every exemplar the most similar image below the unit's mean.

    One image may be the contrast of several exemplars; of equal cosines the earlier image is taken.

    Args:
        images: unit vectors.
        activations: `[image, unit]`, read once, in blocks.
        rows: of the exemplars; −1 where there are fewer than k.
        means: activations below them are low.
        progress: counted in images.

    Returns:
        Cosines and rows, `[unit, k]`; −∞ and −1 where there is no exemplar, or no image below the
        mean.
    """
    used, places = np.unique(np.maximum(rows, 0), return_inverse=True)
    own = as_tensor(images[used], torch.float32)
    place = torch.from_numpy(places.reshape(rows.shape))
    values, found = np.full(rows.shape, -np.inf, np.float32), np.full(rows.shape, -1)
    step = max(1, min(_BLOCK, _VALUES // len(used)))
    several = max(1, _VALUES // (rows.shape[1] * step))
    with progress("contrasts", len(images)) as tick:
        for low in range(0, len(images), step):
            cosines = product(own, as_tensor(images[low : low + step], torch.float32))
            high = torch.from_numpy(~(as_array(activations[low : low + step]) < means).T)
            for first in range(0, len(rows), several):
                here = slice(first, first + several)
                best = cosines[place[here]].masked_fill_(high[here, None], -torch.inf).max(2)
                better = best.values.numpy() > values[here]
                values[here][better] = best.values.numpy()[better]
                found[here][better] = low + best.indices.numpy()[better]
            tick.advance(len(cosines.T))
    values[rows < 0], found[rows < 0] = -np.inf, -1
    return Ranked(values, found)


@LABELLERS.register("csp", syntax="csp:k=30,gamma=1", example="csp:gamma=0.5")
@dataclass(frozen=True)
class CSP(Labeller):
    """Contrastive Semantic Projection: exemplars minus what they share with look-alikes.

    Every exemplar x has a contrast: of the images whose activation is below the unit's mean over
    the probe, the one most similar to x for the encoder. With p and n the embeddings of the two,

        r_x = p − gamma · (p·n) n,     ϑ = Σ_x A(x) r_x / Σ_x A(x),     score(t) = cos(ϑ, T_t).

    Attributes:
        k: exemplars per unit; None: one in a hundred images, 5 to 30. Only images above 0 and
            above the unit's mean are taken.
        gamma: share of the projection that is taken off; 0 leaves exemplars as they are.

    Reference: Bouanani et al., Contrastive Semantic Projection: Faithful Neuron Labeling with
    Contrastive Examples, 2026, arXiv 2604.22477.
    """

    name: ClassVar[str] = "csp"
    needs: ClassVar[tuple[str, ...]] = ("activations", "embeddings")
    k: int | None = registry.whole(None, 1)
    gamma: float = registry.number(1.0, 0, 1)

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """Find the contrasts of every unit's exemplars, then project."""
        k = images_read(self.k, MOST, context.count)
        made = {layer: self._layer(context, layer, k, count) for layer in layers}
        return Labels(made, facts={"with_defaults": f"k={k}"} | caveat(k, context.count))

    def _layer(self, context: LabelContext, layer: str, k: int, count: int) -> LayerLabels:
        images, common = context.image_embeddings, context.reasons(layer)
        means = context.statistics(layer)["mean"].to_numpy()
        best = context.highest(layer, k)
        taken = (best.values > np.maximum(means, 0)[:, None]) & _active(common)[:, None]
        rows, weights = np.where(taken, best.indices, -1), np.where(taken, best.values, 0)
        contrast = contrasts(images, context.activations(layer), rows, means, context.progress)
        vectors = self._project(images, rows, contrast.indices, weights)
        reasons = tuple(
            known or _reason(rows[number], contrast.indices[number], vectors[number])
            for number, known in enumerate(common)
        )
        concepts, scores = ranked_labels(
            context.words, vectors, context.text_embeddings, reasons, count, context.progress
        )
        active, number = _active(reasons), taken.sum(1)
        likeness = np.where(taken, contrast.values, 0).sum(1) / np.maximum(number, 1)
        return LayerLabels(
            concepts,
            scores,
            reasons,
            measures={
                "exemplars": np.where(active, number, np.nan),
                "contrast": np.where(active, likeness, np.nan),
            },
            evidence=_evidence(context, rows, contrast, active),
            arrays={"vectors": unit(vectors).astype(np.float32)},
        )

    def _project(
        self,
        images: Float[np.ndarray, "image dim"],
        rows: Int64[np.ndarray, "unit k"],
        contrast: Int64[np.ndarray, "unit k"],
        weights: Float[np.ndarray, "unit k"],
    ) -> Float[np.ndarray, "unit dim"]:
        """ϑ of every unit; zero where nothing but rounding is left."""
        found = np.zeros((len(rows), images.shape[1]))
        for low in range(0, len(rows), BLOCK):
            here = slice(low, low + BLOCK)
            own, other = (exemplar_vectors(images, some[here]) for some in (rows, contrast))
            shared = (own * other).sum(2, keepdims=True) * other
            found[here] = mean_of(own - self.gamma * shared, weights[here].astype(np.float64))
        found[np.linalg.norm(found, axis=1) < _ROUNDING] = 0
        return found


def _active(reasons: Sequence[str | None]) -> Bool[np.ndarray, " unit"]:
    return np.array([reason is None for reason in reasons])


def _reason(rows: np.ndarray, contrast: np.ndarray, vector: np.ndarray) -> str | None:
    if (rows < 0).all():
        return "no activation is above 0: they are the weights of the exemplars"
    if (contrast < 0).all():
        return "no image is below its mean"
    return None if vector.any() else "its exemplars look like their contrasts"


def _evidence(
    context: LabelContext, rows: np.ndarray, contrast: Ranked, active: np.ndarray
) -> dict[str, Sequence[Any]]:
    """The contrast of every exemplar."""
    names = context.images["image_id"].to_numpy()
    units, ranks = np.nonzero((rows >= 0) & active[:, None])
    return {
        "unit": units,
        "rank": ranks + 1,
        "image_id": names[rows[units, ranks]],
        "contrast_id": names[contrast.indices[units, ranks]],
        "cosine": contrast.values[units, ranks],
    }
