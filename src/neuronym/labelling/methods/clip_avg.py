"""CLIP-avg: the concepts that an encoder gives to a unit's exemplars, one image at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from jaxtyping import Float, Int64

from neuronym._core import registry
from neuronym._core.numerics.topk import Ranked
from neuronym._core.progress import Progress
from neuronym._core.types import Rows
from neuronym.atlas.context import LabelContext
from neuronym.labelling.base import LABELLERS, Labeller, Labels, LayerLabels
from neuronym.labelling.methods._exemplars import caveat, nearest_concepts

#: Images whose concepts are looked up at once.
_BLOCK = 1024


@LABELLERS.register("clip-avg", syntax="clip-avg:k=10,concepts=10", example="clip-avg:k=10")
@dataclass(frozen=True)
class ClipAvg(Labeller):
    """The encoder's best concepts of each exemplar, their cosines summed over the exemplars.

    score(t) = Σ_{x ∈ B} [t among the `concepts` best of x] · cos(I_x, T_t), with B the k highest
    images above the unit's minimum. Equal sums: the smaller concept first. The images' own
    activations play no part once they are chosen.

    Attributes:
        k: exemplars per unit; fewer where fewer images lie above the unit's minimum.
        concepts: how many concepts an image votes for.
        encoder: another encoder than the atlas's, by name.

    Reference: the baseline "CLIP-avg" of a study of ResNet-50's neurons; no paper is known.
    """

    name: ClassVar[str] = "clip-avg"
    needs: ClassVar[tuple[str, ...]] = ("activations", "embeddings")
    k: int = registry.whole(10, 1)
    concepts: int = registry.whole(10, 1)
    encoder: str | None = registry.text(None)

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """Look up the concepts of every image that is an exemplar, then count votes per unit."""
        images, texts, facts = self._embeddings(context)
        exemplars = {layer: context.highest(layer, self.k).indices for layer in layers}
        used = np.unique(np.concatenate([rows[rows >= 0] for rows in exemplars.values()]))
        votes = _votes(images, texts, used, self.concepts, context.progress)
        words = np.array(context.words, object)
        made = {}
        for layer, rows in exemplars.items():
            concepts, scores, supporters = _tally(rows, used, votes, count)
            made[layer] = LayerLabels(
                np.where(concepts < 0, cast(Any, None), words[concepts]),
                scores,
                context.reasons(layer),
                details={"images": supporters},
            )
        return Labels(made, facts=facts | caveat(self.k, context.count))

    def _embeddings(self, context: LabelContext) -> tuple[Rows, np.ndarray, dict[str, Any]]:
        if self.encoder is None:
            return context.image_embeddings, context.text_embeddings, {}
        encoder = context.sources.encoder(self.encoder)
        texts = context.sources.embed_words(context.words, encoder=encoder)
        return context.sources.embed_images(encoder), texts, {"encoder": encoder.name}


def _votes(
    images: Rows,
    texts: Float[np.ndarray, "concept dim"],
    used: Int64[np.ndarray, " used"],
    concepts: int,
    progress: Progress,
) -> Ranked:
    """The best concepts of the images that are used, and their cosines, `[used, concepts]`."""
    found = []
    with progress("concepts of exemplars", len(used)) as tick:
        for low in range(0, images.shape[0], _BLOCK):
            start, stop = np.searchsorted(used, [low, low + _BLOCK])
            if start < stop:
                block = np.asarray(images[low : low + _BLOCK])[used[start:stop] - low]
                found.append(nearest_concepts(block, texts, concepts))
                tick.advance(int(stop - start))
    if not found:
        return Ranked(np.empty((0, 1), np.float32), np.empty((0, 1), np.int64))
    return Ranked(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _tally(
    rows: Int64[np.ndarray, "unit k"], used: Int64[np.ndarray, " used"], votes: Ranked, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Concept numbers (−1: none), summed cosines and numbers of images, each `[unit, count]`."""
    unit, place = np.nonzero(rows >= 0)
    image = np.searchsorted(used, rows[unit, place])
    concept = votes.indices[image]
    width = int(votes.indices.max(initial=0)) + 1
    keys, member = np.unique(unit[:, None] * width + concept, return_inverse=True)
    sums = np.bincount(member.ravel(), votes.values[image].ravel().astype(np.float64), len(keys))
    supporters = np.bincount(member.ravel(), minlength=len(keys))
    owner, concept = np.divmod(keys, width)
    scores = sums.astype(np.float32)  # compared as they are written, so that ties are real ties
    order = np.lexsort((concept, -scores, owner))
    owner, concept = owner[order], concept[order]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    kept = rank < count
    shape = (len(rows), min(count, width))
    out = np.full(shape, -1), np.full(shape, np.nan, np.float32), np.zeros(shape, np.int32)
    columns: tuple[np.ndarray, ...] = (concept, scores[order], supporters[order])
    for target, values in zip(out, columns, strict=True):
        target[owner[kept], rank[kept]] = values[kept]
    return out
