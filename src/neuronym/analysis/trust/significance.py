"""significance: is the best score higher than a search over all concepts gives by chance?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from neuronym._core.numerics.topk import as_array
from neuronym._core.registry import number, whole
from neuronym.analysis.rescoring import best_scores, kept_arrays, similarity_of
from neuronym.analysis.trust import held_out
from neuronym.analysis.trust.base import ANALYSES, Analysis, Findings
from neuronym.atlas.context import LabelContext
from neuronym.similarity.base import Similarity
from neuronym.similarity.wpmi import MutualInformation

if TYPE_CHECKING:
    import torch


#: Columns of permuted activations that are scored together.
_TOGETHER = 4096
#: Scores of the WPMI family are exact to about so much: closer ones count as equal.
_ACCURACY = 1e-4
#: Of the best scores by chance, in percent; kept in the manifest.
_QUANTILES = (50, 90, 95, 99, 99.9)


def random_sets(images: int, size: int, sets: int, seed: int) -> Int64[np.ndarray, "set size"]:
    """Sets of distinct images in random order: the highest images of permuted activations."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(images, size, replace=False) for _ in range(sets)])


def best_of_sets(
    similarity: MutualInformation,
    context: LabelContext,
    method: str,
    active: Mapping[str, int],
    sets: Int64[np.ndarray, "set top_k"],
) -> dict[str, Float64[np.ndarray, " set"]]:
    """The best score over all concepts of every set, as if it were a unit of each layer.

    With prior `layer` a unit takes part in its own prior, and so must the set: it stands in for
    one of the K units, log p(t) = log(((K − 1)·P(t) + exp(evidence)) / K), P being the mean of
    exp(evidence) over the layer. With P alone, units of small layers would look worse than chance.

    Args:
        active: by layer, how many of its units do not abstain.
        sets: the same for all layers, so that one pass over the concepts serves them all.
    """
    import torch

    normalisers, priors = kept_arrays(context, method, active)
    texts, lam = context.text_embeddings, similarity.lam
    layered = similarity.prior == "layer"
    found = {layer: torch.full((len(sets),), -math.inf) for layer in active}
    rest = 0.0
    with context.progress("scoring random image sets", len(texts)) as tick:
        tiles = similarity.evidence(sets, context.image_embeddings, texts, normalisers)
        for low, values, constant in tiles:  # evidence = values + constant
            high = low + values.shape[1]
            for layer, best in found.items():
                held = priors[layer][low:high] - constant
                prior = torch.from_numpy(held.astype(np.float32))
                if layered and lam != 1:
                    prior = prior + _share(values - prior, active[layer])
                torch.maximum(best, (values - lam * prior).amax(1), out=best)
            rest = (1 - lam) * constant
            tick.advance(high - low)
    scores = {layer: best.double() for layer, best in found.items()}
    if layered and lam == 1:  # its own share leaves the order of a set's concepts as it is
        scores = {layer: best - _share(best, active[layer]) for layer, best in scores.items()}
    return {layer: (best + rest).numpy() for layer, best in scores.items()}


def _share(gap: torch.Tensor, units: int) -> torch.Tensor:
    """log((K − 1 + e^gap) / K): what it adds to log p(t) that the set is one of the K units."""
    import torch

    others = torch.tensor(math.log(units - 1) if units > 1 else -math.inf, dtype=gap.dtype)
    return torch.logaddexp(others, gap) - math.log(units)


def best_of_permutations(
    similarity: Similarity,
    context: LabelContext,
    active: Mapping[str, Int64[np.ndarray, " active"]],
    least: Mapping[str, int],
    seed: int,
) -> dict[str, Float64[np.ndarray, "active permutation"]]:
    """The best score over all concepts of units whose activations are permuted over the images.

    Args:
        active: by layer, the units that do not abstain.
        least: by layer, permuted units at least; at least ten permutations of each unit.
    """
    rng = np.random.default_rng(seed)
    again = {layer: max(10, -(-least[layer] // len(units))) for layer, units in active.items()}
    jobs = [(layer, draw) for layer, draws in again.items() for draw in range(draws)]
    found = {layer: np.empty((len(units), again[layer])) for layer, units in active.items()}
    embeddings = context.image_embeddings, context.text_embeddings
    with context.progress("scoring permuted activations", len(jobs)) as tick:
        while jobs:
            several, width = list[tuple[str, int]](), 0
            while jobs and (not several or width + len(active[jobs[0][0]]) <= _TOGETHER):
                several.append(jobs.pop(0))
                width += len(active[several[-1][0]])
            permuted = [_permuted(context, layer, active[layer], rng) for layer, _ in several]
            tops = similarity.top_many(permuted, *embeddings, 1, tie=context.tie)
            for (layer, draw), top in zip(several, tops, strict=True):
                found[layer][:, draw] = top.scores[:, 0]
            tick.advance(len(several))
    return found


def _permuted(
    context: LabelContext,
    layer: str,
    units: Int64[np.ndarray, " active"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "image active"]:
    rows, order = context.activations(layer), context.by_content
    values = as_array(rows[0 : rows.shape[0]])[:, units]
    permuted = np.empty_like(values)
    permuted[order] = rng.permuted(values[order], axis=0)
    return permuted


def standardised(
    scores: Float64[np.ndarray, " unit"], chance: Float64[np.ndarray, "unit permutation"]
) -> tuple[Float64[np.ndarray, " unit"], Float64[np.ndarray, "unit permutation"]]:
    """Scores in standard deviations above the mean of the unit's own permutations.

    Each permutation is measured by the others, and the score by as many of them: were the unit one
    more permutation of itself, all of them would have the same distribution.
    """
    count = chance.shape[1] - 1
    others = (chance.sum(1, keepdims=True) - chance) / count
    squares = (chance**2).sum(1, keepdims=True) - chance**2
    spread = np.sqrt(np.maximum(squares / count - others**2, 0))
    some = chance[:, :count]
    return (
        _distance(scores - some.mean(1), some.std(1)),
        _distance(chance - others, spread),
    )


def _distance(gap: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """gap / spread, where differences below the accuracy of scores count as none."""
    gap = np.where(np.abs(gap) < 1e-6, 0.0, gap)
    return gap / np.maximum(spread, 1e-6)


class _Comparison(NamedTuple):
    """What is compared in one layer.

    Attributes:
        units: one number per unit that does not abstain.
        chance: the same for units that say nothing.
        best: best scores by chance.
    """

    units: np.ndarray
    chance: np.ndarray
    best: np.ndarray


@ANALYSES.register(
    "significance", syntax="significance[:sets=…,fdr=…,seed=…]", example="significance:fdr=0.01"
)
@dataclass(frozen=True)
class Significance(Analysis):
    r"""Whether the best score is higher than what the same search gives by chance.

    Chance are units whose activations are permuted over the images.
    p = (1 + #{best scores by chance ≥ the unit's}) / (1 + all of them), each the maximum over all
    concepts; q by Benjamini and Hochberg over the layer. Units with q > fdr abstain.

    Args:
        sets: random image sets (for cos, cos-cubed and rank-reorder: permuted units per layer, at
            least ten of each unit). None: units of the (widest) layer / fdr, so that a single unit
            can be found among them; at least 10,000 (1,000) and at most 50,000.
        fdr: share of false discoveries that is accepted among the significant units of a layer.
        seed: of the random draws.

    References: Y. Benjamini, Y. Hochberg. Controlling the false discovery rate. JRSS B, 1995.
    B. Phipson, G. K. Smyth. Permutation p-values should never be zero. SAGMB, 2010.
    """

    name: ClassVar[str] = "significance"
    sets: int | None = whole(None, low=19)
    fdr: float = number(0.05, low=1e-6, high=1)
    seed: int = whole(0, low=0)

    def check(self, context: LabelContext, method: str) -> None:
        """Only methods that score all concepts by a similarity have such a chance level."""
        similarity_of(context, method)

    def run(self, context: LabelContext, method: str, layers: Sequence[str]) -> Findings:
        """score, p, q, significant, and the reason for abstaining."""
        similarity = similarity_of(context, method)
        scores = {layer: best_scores(context, method, layer) for layer in layers}
        active = {layer: np.flatnonzero(np.isfinite(own)) for layer, own in scores.items()}
        active = {layer: units for layer, units in active.items() if len(units)}
        if not active:
            compared = {}
        elif isinstance(similarity, MutualInformation):
            compared = self._with_sets(similarity, context, method, scores, active)
        else:
            compared = self._with_permutations(similarity, context, scores, active)
        columns, about = {}, {}
        for layer in layers:
            columns[layer], about[layer] = self._judge(scores[layer], compared.get(layer))
        how = "random image sets" if isinstance(similarity, MutualInformation) else "permutations"
        return Findings(columns, {"how": how, "fdr": self.fdr, "chance": about})

    def _draws(self, units: int, least: int) -> int:
        return self.sets or min(50_000, max(least, math.ceil(units / self.fdr)))

    def _with_sets(
        self,
        similarity: MutualInformation,
        context: LabelContext,
        method: str,
        scores: Mapping[str, np.ndarray],
        active: Mapping[str, np.ndarray],
    ) -> dict[str, _Comparison]:
        """Nothing but its images enters a unit's score: random sets stand for all units."""
        assert similarity.top_k is not None
        counts = {layer: len(units) for layer, units in active.items()}
        draws = self._draws(max(counts.values()), 10_000)
        sets = context.by_content[random_sets(context.count, similarity.top_k, draws, self.seed)]
        best = best_of_sets(similarity, context, method, counts, sets)
        return {
            layer: _Comparison(scores[layer][units] - _ACCURACY, best[layer], best[layer])
            for layer, units in active.items()
        }

    def _with_permutations(
        self,
        similarity: Similarity,
        context: LabelContext,
        scores: Mapping[str, np.ndarray],
        active: Mapping[str, np.ndarray],
    ) -> dict[str, _Comparison]:
        """What chance gives depends on the unit's activations: each is measured by its own."""
        draws = {layer: self._draws(len(units), 1000) for layer, units in active.items()}
        best = best_of_permutations(similarity, context, active, draws, self.seed)
        found = {}
        for layer, units in active.items():
            own, chance = standardised(scores[layer][units], best[layer])
            found[layer] = _Comparison(own, chance.ravel(), best[layer].ravel())
        return found

    def _judge(
        self, scores: np.ndarray, compared: _Comparison | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The columns of one layer, and its facts."""
        p, q = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
        tested = np.isfinite(scores)
        about: dict[str, Any] = {"tested": int(tested.sum()), "significant": 0}
        if compared is not None:
            ordered = np.sort(compared.chance)
            above = len(ordered) - np.searchsorted(ordered, compared.units)
            p[tested] = (1 + above) / (1 + len(ordered))
            q = held_out.discoveries(p)
            about |= {
                "significant": int((q[tested] <= self.fdr).sum()),
                "draws": len(ordered),
                "threshold": self._threshold(p[tested], q[tested], compared),
                "quantiles": {
                    str(at): float(np.percentile(compared.best, at)) for at in _QUANTILES
                },
            }
        columns = {
            "score": scores,
            "p": p,
            "q": q,
            "significant": [bool(v <= self.fdr) if v == v else None for v in q],
            "reason": [f"no better than chance (q = {v:.2g})" if v > self.fdr else None for v in q],
        }
        return columns, about

    def _threshold(self, p: np.ndarray, q: np.ndarray, compared: _Comparison) -> float | None:
        """The score above which a unit of this layer is significant; None: no such score."""
        if compared.chance is not compared.best:
            return None
        passed = p[q <= self.fdr]
        largest = passed.max() if len(passed) else self.fdr / len(p)
        higher = math.floor(largest * (1 + len(compared.best)) + 1e-9) - 1
        if higher < 0:
            return None
        return float(np.sort(compared.best)[::-1][higher] + _ACCURACY)
