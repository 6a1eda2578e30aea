"""significance: is the best score higher than a search over all concepts gives by chance?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from neuronym.material import Material
from neuronym.parameters import number, whole
from neuronym.similarity import Similarity
from neuronym.similarity._mutual_information import MutualInformation
from neuronym.trust import _chance
from neuronym.trust._scoring import best_scores, similarity_of
from neuronym.trust.base import ANALYSES, Analysis, Findings

#: Scores of the WPMI family are exact to about so much: closer ones count as equal.
_ACCURACY = 1e-4
#: Of the best scores by chance, in percent; kept in the manifest.
_QUANTILES = (50, 90, 95, 99, 99.9)


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

    def check(self, material: Material, method: str) -> None:
        """Only methods that score all concepts by a similarity have such a chance level."""
        similarity_of(material, method)

    def run(self, material: Material, method: str, layers: Sequence[str]) -> Findings:
        """score, p, q, significant, and the reason for abstaining."""
        similarity = similarity_of(material, method)
        scores = {layer: best_scores(material, method, layer) for layer in layers}
        living = {layer: np.flatnonzero(np.isfinite(own)) for layer, own in scores.items()}
        living = {layer: units for layer, units in living.items() if len(units)}
        if not living:
            compared = {}
        elif isinstance(similarity, MutualInformation):
            compared = self._with_sets(similarity, material, method, scores, living)
        else:
            compared = self._with_permutations(similarity, material, scores, living)
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
        material: Material,
        method: str,
        scores: Mapping[str, np.ndarray],
        living: Mapping[str, np.ndarray],
    ) -> dict[str, _Comparison]:
        """Nothing but its images enters a unit's score: random sets stand for all units."""
        assert similarity.top_k is not None
        counts = {layer: len(units) for layer, units in living.items()}
        draws = self._draws(max(counts.values()), 10_000)
        sets = _chance.random_sets(material.count, similarity.top_k, draws, self.seed)
        best = _chance.best_of_sets(similarity, material, method, counts, sets)
        return {
            layer: _Comparison(scores[layer][units] - _ACCURACY, best[layer], best[layer])
            for layer, units in living.items()
        }

    def _with_permutations(
        self,
        similarity: Similarity,
        material: Material,
        scores: Mapping[str, np.ndarray],
        living: Mapping[str, np.ndarray],
    ) -> dict[str, _Comparison]:
        """What chance gives depends on the unit's activations: each is measured by its own."""
        draws = {layer: self._draws(len(units), 1000) for layer, units in living.items()}
        best = _chance.best_of_permutations(similarity, material, living, draws, self.seed)
        found = {}
        for layer, units in living.items():
            own, chance = _chance.standardised(scores[layer][units], best[layer])
            found[layer] = _Comparison(own, chance.ravel(), best[layer].ravel())
        return found

    def _judge(
        self, scores: np.ndarray, compared: _Comparison | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The columns of one layer, and its facts."""
        from scipy.stats import false_discovery_control

        p, q = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
        tested = np.isfinite(scores)
        about: dict[str, Any] = {"tested": int(tested.sum()), "significant": 0}
        if compared is not None:
            ordered = np.sort(compared.chance)
            above = len(ordered) - np.searchsorted(ordered, compared.units)
            p[tested] = (1 + above) / (1 + len(ordered))
            q[tested] = false_discovery_control(p[tested])
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
