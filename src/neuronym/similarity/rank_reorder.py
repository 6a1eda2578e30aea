"""rank-reorder: how well a concept puts the unit's highest images into the unit's own order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Int64, Integer

from neuronym._types import Progress
from neuronym.similarity import _problem
from neuronym.similarity._problem import Problem, block_of, embedding_blocks
from neuronym.similarity._tiled import Plan, Tiled
from neuronym.similarity.base import SIMILARITIES
from neuronym.similarity.parameters import number, whole
from neuronym.unit_stats import abstentions

if TYPE_CHECKING:
    from torch import Tensor

_PERMUTATIONS = 5
_LOWEST_MEAN = 1e-6
_LOWEST_SCORE = -1e38


@SIMILARITIES.register(
    "rank-reorder", syntax="rank-reorder[:p=…,top_fraction=…,scale_p=…,seed=…]",
    example="rank-reorder:top_fraction=0.1",
)  # fmt: skip
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

    def _plan(
        self, problem: Problem, shared: Mapping[str, np.ndarray] | None, progress: Progress
    ) -> Plan:
        n = math.floor(self.top_fraction * problem.count + 1e-9)  # 0.29 · 100 is 28.999…
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
        return Plan(tuple(reasons), tiles)

    def _baseline(self, heights: Float[np.ndarray, "unit n"]) -> Float[np.ndarray, " unit"]:
        """mean |Δ|^p over the random orders, which are drawn on places, not on images."""
        rng = np.random.default_rng(self.seed)
        total = np.zeros(len(heights))
        for _ in range(_PERMUTATIONS):
            order = rng.permutation(heights.shape[1])
            total += _power(heights - heights[:, order], self.p).mean(1)
        return total / _PERMUTATIONS

    def _tiles(
        self,
        problem: Problem,
        sets: Int64[np.ndarray, "unit n"],
        heights: Float[np.ndarray, "unit n"],
        chance: Float[np.ndarray, " unit"],
    ) -> Iterator[tuple[int, Float[np.ndarray, "unit text"]]]:
        used, where = np.unique(sets, return_inverse=True)
        # Column c of a tile is the image that comes c-th in the order of content hashes.
        column = np.argsort(np.argsort(problem.tie[used]))
        places = column[where.reshape(sets.shape)]
        middle = _mean_embedding(problem, sets)
        wide = block_of(max(len(used), len(sets)), _problem.LIMITS.concepts)
        for low in range(0, len(problem.texts), wide):
            texts = problem.texts[low : low + wide]
            ranks = _ranks(_cosines(problem, used, column, texts))
            error = self._errors(ranks, places, heights)
            mean = np.maximum(middle @ texts.T.astype(np.float64), _LOWEST_MEAN)
            scores = -(error / chance[:, None]) / mean**self.scale_p
            # One outlier that stays in place in all random orders leaves hardly any chance error.
            yield low, np.maximum(scores, _LOWEST_SCORE).astype(np.float32)

    def _errors(
        self,
        ranks: Integer[np.ndarray, "text used"],
        places: Int64[np.ndarray, "unit n"],
        heights: Float[np.ndarray, "unit n"],
    ) -> Float[np.ndarray, "unit text"]:
        """mean |Δ|^p of every unit and text, by sorting (rank, place) packed into one integer."""
        texts, n = len(ranks), places.shape[1]
        found = np.empty((len(places), texts))

        def sort(low: int, high: int) -> None:
            part, own = places[low:high], heights[low:high].astype(np.float32)
            bits = (part.size - 1).bit_length()
            kind = np.int32 if ranks.shape[1] << bits < 1 << 31 else np.int64
            keys = ranks[:, part.ravel()].astype(kind, copy=False)
            keys <<= bits
            keys |= np.arange(part.size, dtype=kind)
            keys = keys.reshape(texts, *part.shape)
            keys.sort(axis=2)
            keys &= (1 << bits) - 1
            gaps = own.ravel()[keys]
            gaps -= own[:, ::-1]  # the heights descend: reversed, the s-th smallest
            found[low:high] = _power(gaps, self.p).mean(2, dtype=np.float64).T

        _problem.spread(sort, len(places), max(1, 8 * _problem.LIMITS.chunk // (texts * n)))
        return found


def _between_0_and_1(values: Float[np.ndarray, "unit n"]) -> Float[np.ndarray, "unit n"]:
    """Each unit's values, shifted and scaled: the error's ratio to chance does not change."""
    wide = values.astype(np.float64)
    wide -= wide[:, -1:]
    return wide / np.where(wide[:, :1] > 0, wide[:, :1], 1)


def _power(gaps: np.ndarray, p: float) -> np.ndarray:
    size = np.abs(gaps)
    if p == 3:
        return size * size * size
    return size if p == 1 else size**p


def _cosines(
    problem: Problem,
    used: Int64[np.ndarray, " used"],
    column: Int64[np.ndarray, " used"],
    texts: Float[np.ndarray, "text dim"],
) -> Float[np.ndarray, "text used"]:
    """P of the used images, in float32 rounded from float64: equal embeddings get equal cosines."""
    import torch

    found = np.empty((len(texts), len(used)), np.float32)
    tile: Tensor = torch.from_numpy(texts).double()
    step = block_of(max(texts.shape))
    for start, block in embedding_blocks(problem.images, step, used):
        here = column[start : start + len(block)]
        found[:, here] = (tile @ block.double().T).float().numpy()
    return found


def _ranks(cosines: Float[np.ndarray, "text used"]) -> Integer[np.ndarray, "text used"]:
    """The rank of every image for every text, from 0 at the smallest; equal: the earlier column.

    Integers that pack a float (in the order of floats) and its column sort faster than floats with
    their indices.
    """
    bits = (cosines + np.float32(0)).view(np.int32).astype(np.int64)
    keys = (np.where(bits < 0, bits ^ 0x7FFFFFFF, bits) << 32) | np.arange(cosines.shape[1])
    keys.sort(axis=1)
    ranks = np.empty(cosines.shape, np.int32)
    order = np.arange(cosines.shape[1], dtype=np.int32)
    np.put_along_axis(ranks, keys & 0xFFFFFFFF, order[None], axis=1)
    return ranks


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
