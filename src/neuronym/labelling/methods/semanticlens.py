"""SemanticLens: the concepts nearest to the mean embedding of a unit's exemplars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from neuronym._core import registry
from neuronym._core.progress import Progress
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

#: A move that gains less is rounding.
_CLUSTER_ROUNDING = 1e-12
#: Exemplars that are compared with the mean where one is an outlier.
_COMPARED = 10
#: Shorter differences of unit vectors are nothing but rounding.
_ROUNDING = 1e-5
#: Exemplars per unit by default, where the probe has enough images.
MOST = 30


class Halves(NamedTuple):
    """The best split found of every unit's vectors in two.

    Attributes:
        second: which vectors are in the second cluster; the others that are present are in the
            first. All False where all vectors are the same.
        error: sum of squared distances to the centres.
    """

    second: Bool[np.ndarray, "unit k"]
    error: Float[np.ndarray, " unit"]


def halves(gram: Float[np.ndarray, "unit k k"], present: Bool[np.ndarray, "unit k"]) -> Halves:
    """2-means by the method of Hartigan, from k starts.

    A start puts every vector to the nearer of two: one of the k, and the vector farthest from it.
    Then the move of a single vector that lowers the error most is made, until none lowers it. The
    start that ends with the smallest error wins, of equal ones the first. Nothing is random. Such
    optima are also optima of Lloyd's algorithm, but not the other way round, and centres are never
    formed: distances to them follow from inner products, whatever the dimension.

    Args:
        gram: inner products of a unit's vectors.
        present: which of the k places hold a vector.

    Reference: Hartigan, Clustering Algorithms, 1975; Telgarsky and Vattani, Hartigan's Method:
    k-means Clustering without Voronoi, AISTATS 2010.

    >>> vectors = np.array([[0.0], [1.0], [9.0], [10.0]])
    >>> split = halves((vectors @ vectors.T)[None], np.ones((1, 4), bool))
    >>> split.second.tolist(), split.error.tolist()
    ([[False, False, True, True]], [1.0])
    """
    square = np.einsum("ukk->uk", gram)
    pairs = present[:, :, None] & present[:, None, :]
    distance = np.where(pairs, square[:, :, None] + square[:, None, :] - 2 * gram, -1)
    far = distance.argmax(2)[:, :, None]
    second = pairs & (np.take_along_axis(distance, far, 1) < distance)  # [unit, start, vector]
    inner, whole = second @ gram, present[:, None] @ gram  # with the sums of clusters
    while True:
        first = pairs & ~second
        leave_first, join_first = _moves(square, whole - inner, first)
        leave_second, join_second = _moves(square, inner, second)
        gain = np.where(second, leave_second - join_first, leave_first - join_second)
        gain[~pairs] = 0
        best = gain.argmax(2)[:, :, None]
        moves = np.take_along_axis(gain, best, 2) > _CLUSTER_ROUNDING
        if not moves.any():
            break
        leaves = np.take_along_axis(second, best, 2)
        inner += np.where(leaves, -1, 1) * moves * np.take_along_axis(gram, best, 1)
        np.put_along_axis(second, best, leaves ^ moves, 2)
    error = square.sum(1, where=present)[:, None] - _explained(whole - inner, first)
    error = np.where(present, error - _explained(inner, second), np.inf)
    start, units = error.argmin(1), np.arange(len(gram))
    return Halves(second[units, start], error[units, start])


def _explained(inner: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Number of members times their mean's squared length."""
    return (inner * members).sum(2) / np.maximum(members.sum(2), 1)


def _moves(
    square: np.ndarray, inner: np.ndarray, members: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the error loses if a vector leaves a cluster (−∞: the last one), gains if one joins."""
    number = members.sum(2, keepdims=True)
    shared = _explained(inner, members)[:, :, None] / np.maximum(number, 1)
    distance = square[:, None] - 2 * inner / np.maximum(number, 1) + shared
    leaving = np.where(number > 1, distance * number / np.maximum(number - 1, 1), -np.inf)
    return leaving, distance * number / (number + 1)


@LABELLERS.register("semanticlens", syntax="semanticlens:k=30", example="semanticlens:k=30")
@dataclass(frozen=True)
class SemanticLens(Labeller):
    """The words nearest to the mean embedding of a unit's exemplars, empty prompts taken off.

    score(t) = cos(ϑ, Q_t), with ϑ the mean of the image embeddings of the unit's k highest images
    and Q_t the mean over the atlas's templates of E("… t …") − E("… …"), the embedding of the
    prompt minus that of the prompt without the word. Measures per unit: `exemplars`, `clarity`,
    `polysemanticity`, `redundancy` (docs/labellers.md).

    Attributes:
        k: exemplars per unit; None: one in a hundred images, 5 to 30. Fewer where fewer images
            lie above the unit's minimum.
        centre: whether the empty prompts are subtracted.

    Reference: Dreyer et al., Mechanistic understanding and validation of large AI models with
    SemanticLens, Nature Machine Intelligence 2025, arXiv 2501.05398.
    """

    name: ClassVar[str] = "semanticlens"
    needs: ClassVar[tuple[str, ...]] = ("activations", "embeddings", "encoder")
    k: int | None = registry.whole(None, 1)
    centre: bool = registry.flag(True)

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """Embed the concepts, then average the exemplars of every unit."""
        texts, shared, k = context.text_embeddings, {}, images_read(self.k, MOST, context.count)
        if self.centre:
            texts, empty = centred_texts(context)
            shared = {"empty_prompts": empty}
        made = {}
        for layer in layers:
            rows = context.highest(layer, k).indices
            means, measures = statistics(context.image_embeddings, rows, context.progress)
            reasons = tuple(
                reason
                or (
                    None
                    if np.linalg.norm(mean) > _ROUNDING
                    else "the embeddings of its exemplars cancel"
                )
                for reason, mean in zip(context.reasons(layer), means, strict=True)
            )
            active = np.array([reason is None for reason in reasons])
            measures["redundancy"] = redundancy(means, active)
            concepts, scores = ranked_labels(
                context.words, means, texts, reasons, count, context.progress
            )
            made[layer] = LayerLabels(
                concepts,
                scores,
                reasons,
                measures={k: np.where(active, v, np.nan) for k, v in measures.items()},
                arrays={"vectors": unit(means).astype(np.float32)},
            )
        return Labels(made, shared, {"with_defaults": f"k={k}"} | caveat(k, context.count))


def centred_texts(context: LabelContext) -> tuple[np.ndarray, np.ndarray]:
    """Prompts minus prompts without a word, mean over templates: `[concept, dim]`.

    Also the embeddings of the empty prompts, `[template, dim]`.
    """
    templates = context.atlas.manifest.concepts.templates
    encoder = context.sources.encoder()
    empty = np.concatenate([context.sources.embed_words([""], [t], encoder) for t in templates])
    if len(templates) == 1:
        return _without_rounding(context.text_embeddings - empty), empty
    total = sum(
        context.sources.embed_words(context.words, [template], encoder).astype(np.float64) - gap
        for template, gap in zip(templates, empty, strict=True)
    )
    return _without_rounding(total / len(templates)), empty


def _without_rounding(vectors: np.ndarray) -> np.ndarray:
    """Words that embed like no word at all have no direction."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths < _ROUNDING, 0, vectors)


def statistics(
    images: Float[np.ndarray, "image dim"], rows: Int64[np.ndarray, "unit k"], progress: Progress
) -> tuple[Float[np.ndarray, "unit dim"], dict[str, np.ndarray]]:
    """Mean embedding of every unit's exemplars, and measures of how they lie around it.

    Args:
        images: image embeddings.
        rows: of the exemplars, best first, −1 where there are fewer.
        progress: counted in units.
    """
    means = np.zeros((len(rows), images.shape[1]))
    measures = {n: np.full(len(rows), np.nan) for n in ("exemplars", "clarity", "polysemanticity")}
    with progress("exemplar embeddings", len(rows)) as tick:
        for low in range(0, len(rows), BLOCK):
            here = slice(low, low + BLOCK)
            present = rows[here] >= 0
            vectors = exemplar_vectors(images, rows[here])
            means[here] = mean_of(vectors, present)
            measures["exemplars"][here] = present.sum(1)
            measures["clarity"][here] = clarity(vectors, present)
            measures["polysemanticity"][here] = polysemanticity(vectors, present)
            tick.advance(len(present))
    return means, measures


def clarity(
    vectors: Float[np.ndarray, "unit k dim"], present: Bool[np.ndarray, "unit k"]
) -> Float[np.ndarray, " unit"]:
    """Mean cosine of all pairs of a unit's exemplars; NaN with fewer than two.

    From the mean m of n unit vectors: (n·‖m‖² − 1) / (n − 1).

    >>> clarity(np.array([[[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]]]), np.ones((1, 3), bool)).round(4)
    array([0.3333])
    """
    n = present.sum(1)
    squares = (mean_of(unit(vectors), present) ** 2).sum(1)
    return np.where(n > 1, (n * squares - 1) / np.maximum(n - 1, 1), np.nan)


def polysemanticity(
    vectors: Float[np.ndarray, "unit k dim"], present: Bool[np.ndarray, "unit k"]
) -> Float[np.ndarray, " unit"]:
    """1 − the cosine of the centres of two clusters of a unit's exemplars; NaN with fewer than two.

    A cluster of one image is an outlier, not a second meaning: then 1 − the mean cosine of the
    first ten exemplars with the mean of all.
    """
    second = halves(vectors @ vectors.swapaxes(1, 2), present).second
    first = present & ~second
    centres = unit(mean_of(vectors, first)), unit(mean_of(vectors, second))
    apart = 1 - (centres[0] * centres[1]).sum(1)
    to_mean = (unit(vectors) @ unit(mean_of(vectors, present))[:, :, None])[:, :, 0]
    compared = present & (np.cumsum(present, axis=1) <= _COMPARED)
    scattered = 1 - (to_mean * compared).sum(1) / np.maximum(compared.sum(1), 1)
    lonely = np.minimum(first.sum(1), second.sum(1)) < 2
    return np.where(present.sum(1) > 1, np.where(lonely, scattered, apart), np.nan)


def redundancy(
    means: Float[np.ndarray, "unit dim"], active: Bool[np.ndarray, " unit"]
) -> Float[np.ndarray, " unit"]:
    """Highest cosine of a unit's mean embedding with that of another active unit of the layer.

    NaN for units that do not live or have no other beside them.
    """
    found = np.full(len(means), np.nan)
    units, rows = np.flatnonzero(active), unit(means[active])
    if len(units) < 2:
        return found
    for low in range(0, len(units), BLOCK):
        cosines = rows[low : low + BLOCK] @ rows.T
        own = np.arange(len(cosines))
        cosines[own, low + own] = -np.inf
        found[units[low : low + BLOCK]] = cosines.max(1)
    return np.clip(found, -1, 1)
