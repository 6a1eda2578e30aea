"""rank-reorder: how well a concept puts the unit's highest images into the unit's own order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int64

from neuronym import _compiled
from neuronym._types import Progress
from neuronym.parameters import number, whole
from neuronym.similarity import _problem, _rank_errors
from neuronym.similarity._problem import Problem, block_of, embedding_blocks
from neuronym.similarity._tiled import Plan, Tiled
from neuronym.similarity.base import SIMILARITIES
from neuronym.unit_stats import abstentions

_PERMUTATIONS = 5
#: From so many images on, hardly a concept puts them in the right order by chance.
_FEW = 10
_LOWEST_MEAN = 1e-6
_LOWEST_SCORE = -1e38


@SIMILARITIES.register(
    "rank-reorder",
    syntax="rank-reorder[:p=…,top_fraction=…,scale_p=…,seed=…]",
    example="rank-reorder:top_fraction=0.1",
)
@dataclass(frozen=True)
class RankReorder(Tiled):
    r"""Error of reordering a unit's highest activations by the concept's ranks, against chance.

    B are the n = ⌊top_fraction·N⌋ images with the unit's highest activations. The image in B whose
    P[:,t] is the s-th smallest gets the s-th smallest activation of B; Δ is the difference to its
    own. score = −(mean |Δ|^p / baseline) / max(mean P[B,t], 1e-6)^scale_p, where the baseline is
    mean |Δ|^p over 5 random orders, the same ones for every unit. Equal P: the image with the
    smaller content hash counts as smaller.

    Args:
        p: exponent of the error.
        top_fraction: share of the images that make up B; fewer than 2 images: all units abstain.
        scale_p: exponent of the mean of P.
        seed: of the 5 random orders.

    Reference: Oikarinen and Weng, ICLR 2023, arXiv 2204.10965.

    >>> texts = np.eye(2)
    >>> images = np.array([[0.9, 0.1], [0.5, 0.2], [0.3, 0.3], [0.0, 0.0]])
    >>> activations = np.array([[5.0], [3.0], [1.0], [0.0]])
    >>> scores = RankReorder(top_fraction=0.75).scores(activations, images, texts)
    >>> scores.astype(float).round(3).tolist()
    [[-0.0, -3.727]]
    """

    name: ClassVar[str] = "rank-reorder"

    p: float = number(3.0, low=0.1, high=10)
    top_fraction: float = number(0.05, low=0, high=1)
    scale_p: float = number(0.5, low=0, high=5)
    seed: int = whole(0, low=0)

    def note(self, images: int) -> str:
        """A warning where the order of a few images decides."""
        n = self._size(images)
        if not 2 <= n < _FEW:
            return ""
        return (
            f"{self.name} compares the order of only {n} images per neuron (top_fraction "
            f"{self.top_fraction:g} of {images:,}): many words put so few in the right order by "
            "chance. Raise top_fraction or use more images."
        )

    def _size(self, images: int) -> int:
        """How many images make up B."""
        return math.floor(self.top_fraction * images + 1e-9)  # 0.29 · 100 is 28.999…

    def _plan(
        self, problem: Problem, shared: Mapping[str, np.ndarray] | None, progress: Progress
    ) -> Plan:
        n = self._size(problem.count)
        if n < 2:
            why = f"top_fraction {self.top_fraction:g} of {problem.count} images is {n}, 2 needed"
            alone = abstentions(problem.survey(progress))
            return Plan(tuple(reason or why for reason in alone), iter(()))
        ranked, stats = problem.rank(n, progress)
        reasons = list(abstentions(stats, min(n, problem.count - 1)))
        living = np.flatnonzero([reason is None for reason in reasons])
        heights = _between_0_and_1(ranked.values[living])
        chance = self._baseline(heights)
        for place in np.flatnonzero(chance == 0):
            equal = heights[place, 0] == heights[place, -1]
            what = "are equal" if equal else "stay in place in all random orders"
            reasons[living[place]] = f"its {n} highest activations {what}"
        fine = chance > 0
        tiles = self._tiles(problem, ranked.indices[living[fine]], heights[fine], chance[fine])
        return Plan(tuple(reasons), tiles, "compiled" if _compiled.available() else "numpy")

    def _baseline(self, heights: Float[np.ndarray, "unit n"]) -> Float[np.ndarray, " unit"]:
        """mean |Δ|^p over the random orders, which are drawn on places, not on images."""
        rng = np.random.default_rng(self.seed)
        total = np.zeros(len(heights))
        for _ in range(_PERMUTATIONS):
            order = rng.permutation(heights.shape[1])
            total += _rank_errors.power(heights - heights[:, order], self.p).mean(1)
        return total / _PERMUTATIONS

    def _tiles(
        self,
        problem: Problem,
        sets: Int64[np.ndarray, "unit n"],
        heights: Float[np.ndarray, "unit n"],
        chance: Float[np.ndarray, " unit"],
    ) -> Iterator[tuple[int, Float[np.ndarray, "unit text"]]]:
        used, where = np.unique(sets, return_inverse=True)
        distinct, member = _rank_errors.distinct_images(problem.images, used)
        # Column c of a tile is the image that comes c-th in the order of content hashes.
        order = np.argsort(problem.tie[used])
        places = np.argsort(order)[where.reshape(sets.shape)]
        middle = _mean_embedding(problem, sets)
        wide = block_of(max(len(used), len(sets)), _problem.LIMITS.concepts)
        for low in range(0, len(problem.texts), wide):
            texts = problem.texts[low : low + wide]
            cosines = _rank_errors.cosines(problem.images, distinct, texts)
            ranks = _rank_errors.ranks(cosines, member[order])
            error = _rank_errors.errors(ranks, places, heights, self.p)
            mean = np.maximum(middle @ texts.T.astype(np.float64), _LOWEST_MEAN)
            scores = -(error / chance[:, None]) / mean**self.scale_p
            # One outlier that stays in place in all random orders leaves hardly any chance error.
            yield low, np.maximum(scores, _LOWEST_SCORE).astype(np.float32)


def _between_0_and_1(values: Float[np.ndarray, "unit n"]) -> Float[np.ndarray, "unit n"]:
    """Each unit's values, shifted and scaled: the error's ratio to chance does not change."""
    wide = values.astype(np.float64)
    wide -= wide[:, -1:]
    return wide / np.where(wide[:, :1] > 0, wide[:, :1], 1)


def _mean_embedding(
    problem: Problem, sets: Int64[np.ndarray, "unit n"]
) -> Float[np.ndarray, "unit dim"]:
    """The mean of the embeddings of each unit's images, float64: its product with T is mean P."""
    import torch

    total = torch.zeros((len(sets), problem.images.shape[1]), dtype=torch.float64)
    for low, block in embedding_blocks(problem.images, block_of(max(total.shape))):
        unit, place = np.nonzero((sets >= low) & (sets < low + len(block)))
        counts = torch.zeros((len(sets), len(block)), dtype=torch.float64)
        counts[unit, sets[unit, place] - low] = 1
        total.addmm_(counts, block.double())
    return (total / sets.shape[1]).numpy()
