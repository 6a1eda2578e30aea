"""rank-reorder: how well the order of a concept predicts the highest activations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer

from neuronym._core.numerics import compiled
from neuronym._core.numerics.topk import abstentions
from neuronym._core.progress import Progress
from neuronym._core.registry import number, whole
from neuronym._core.types import Rows
from neuronym.similarity import blocks
from neuronym.similarity.base import SIMILARITIES
from neuronym.similarity.blocks import Problem, block_of, digest, embedding_blocks
from neuronym.similarity.tiled import Plan, Tiled

_PERMUTATIONS = 5
#: From so many images on, hardly a concept puts them in the right order by chance.
_FEW = 10
_LOWEST_MEAN = 1e-6
_LOWEST_SCORE = -1e38


def distinct_images(
    images: Rows, used: Int64[np.ndarray, " used"]
) -> tuple[Int64[np.ndarray, " distinct"], Int64[np.ndarray, " used"]]:
    """The used images without repeated embeddings, and for every used image its place in them.

    Cosines of equal embeddings differ in the last bit when the product computes their columns in
    different ways; shared columns tie for certain.
    """
    same, seen = np.empty(len(used), np.int64), dict[bytes, int]()
    for low, block in embedding_blocks(images, block_of(images.shape[1]), used):
        for place, row in enumerate(block.numpy(), low):
            same[place] = seen.setdefault(digest(row), place)
    places, member = np.unique(same, return_inverse=True)
    return used[places], member


def cosines(
    images: Rows,
    wanted: Int64[np.ndarray, " wanted"],
    texts: Float[np.ndarray, "text dim"],
) -> Float[np.ndarray, "text wanted"]:
    """P of some images, given in ascending order: float64, rounded to float32."""
    found = np.empty((len(texts), len(wanted)), np.float32)
    tile = torch.from_numpy(texts).double()
    step = block_of(max(texts.shape))
    for start, block in embedding_blocks(images, step, wanted):
        found[:, start : start + len(block)] = (tile @ block.double().T).float().numpy()
    return found


def ranks(
    cosines: Float[np.ndarray, "text distinct"], member: Int64[np.ndarray, " column"]
) -> Integer[np.ndarray, "text column"]:
    """The rank of every image for every text, from 0 at the smallest; equal: the earlier column.

    Integers that pack a float (in the order of floats) and its column sort faster than floats with
    their indices.
    """
    count = len(member)
    found = np.empty((len(cosines), count), np.uint16 if count <= 1 << 16 else np.uint32)

    def work(low: int, high: int) -> None:
        bits = (cosines[low:high, member] + np.float32(0)).view(np.int32).astype(np.int64)
        keys = (np.where(bits < 0, bits ^ 0x7FFFFFFF, bits) << 32) | np.arange(count)
        keys.sort(axis=1)
        order = np.arange(count, dtype=found.dtype)
        np.put_along_axis(found[low:high], keys & 0xFFFFFFFF, order[None], axis=1)

    blocks.spread(work, len(cosines), block_of(count, 16))
    return found


def errors(
    ranks: Integer[np.ndarray, "text used"],
    places: Int64[np.ndarray, "unit n"],
    heights: Float[np.ndarray, "unit n"],
    p: float,
) -> Float[np.ndarray, "unit text"]:
    """mean |Δ|^p of every unit and text, by sorting (rank, place) packed into one integer.

    Args:
        ranks: of every image that some unit uses, for every text.
        places: each unit's images, the highest activation first, as columns of `ranks`.
        heights: their activations, scaled to 0…1.
        p: the exponent.
    """
    return (_compiled_errors if compiled.available() else _plain_errors)(ranks, places, heights, p)


def _compiled_errors(
    ranks: Integer[np.ndarray, "text used"],
    places: Int64[np.ndarray, "unit n"],
    heights: Float[np.ndarray, "unit n"],
    p: float,
) -> Float[np.ndarray, "unit text"]:
    from neuronym.similarity.kernels import rank

    texts, n = len(ranks), places.shape[1]
    # In ascending order a place among the images is a place in the ladder of heights.
    places = np.ascontiguousarray(places[:, ::-1], ranks.dtype)
    ladders = np.ascontiguousarray(heights[:, ::-1], np.float32)
    bits = (n - 1).bit_length()
    kind = np.uint32 if (ranks.shape[1] - 1).bit_length() + bits <= 32 else np.uint64
    found = np.empty((len(places), texts))
    # As many pairs are sorted at once as fit the second-level cache: few units, more texts.
    pairs = max(1, 8 * blocks.LIMITS.chunk // n)
    few = min(pairs, 8)

    def work(low: int, high: int) -> None:
        keys = np.empty((few, high - low, n), kind)
        for start in range(0, len(places), few):
            own = slice(start, start + few)
            part = keys[: len(places[own])]
            rank.fill_keys(ranks[low:high], places[own], bits, part)
            part.sort(axis=2)
            rank.add_errors(part, ladders[own], bits, np.float32(p), found[own, low:high])

    blocks.spread(work, texts, min(pairs // few, -(-texts // torch.get_num_threads())))
    found /= n
    return found


def _plain_errors(
    ranks: Integer[np.ndarray, "text used"],
    places: Int64[np.ndarray, "unit n"],
    heights: Float[np.ndarray, "unit n"],
    p: float,
) -> Float[np.ndarray, "unit text"]:
    """The same without numba, several times as slow."""
    texts, n = len(ranks), places.shape[1]
    found = np.empty((len(places), texts))

    def work(low: int, high: int) -> None:
        part, own = places[low:high], heights[low:high].astype(np.float32)
        bits = (part.size - 1).bit_length()
        kind = np.int32 if ranks.shape[1] << bits < 1 << 31 else np.int64
        keys: np.ndarray = ranks[:, part.ravel()].astype(kind)
        keys <<= bits
        keys |= np.arange(part.size, dtype=kind)
        keys = keys.reshape(texts, *part.shape)
        keys.sort(axis=2)
        keys &= (1 << bits) - 1
        gaps = own.ravel()[keys]
        gaps -= own[:, ::-1]  # the heights descend: reversed, the s-th smallest
        found[low:high] = power(gaps, p).mean(2, dtype=np.float64).T

    blocks.spread(work, len(places), max(1, 8 * blocks.LIMITS.chunk // (texts * n)))
    return found


def power(gaps: np.ndarray, p: float) -> np.ndarray:
    """|gaps|^p; products where they do, which are much faster."""
    size = np.abs(gaps)
    if p == 3:
        return size * size * size
    return size if p == 1 else size**p


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
            alone = abstentions(problem.statistics(progress))
            return Plan(tuple(reason or why for reason in alone), iter(()))
        ranked, stats = problem.rank(n, progress)
        reasons = list(abstentions(stats, min(n, problem.count - 1)))
        active = np.flatnonzero([reason is None for reason in reasons])
        heights = _between_0_and_1(ranked.values[active])
        chance = self._baseline(heights)
        for place in np.flatnonzero(chance == 0):
            equal = heights[place, 0] == heights[place, -1]
            what = "are equal" if equal else "stay in place in all random orders"
            reasons[active[place]] = f"its {n} highest activations {what}"
        fine = chance > 0
        tiles = self._tiles(problem, ranked.indices[active[fine]], heights[fine], chance[fine])
        return Plan(tuple(reasons), tiles, "compiled" if compiled.available() else "numpy")

    def _baseline(self, heights: Float[np.ndarray, "unit n"]) -> Float[np.ndarray, " unit"]:
        """mean |Δ|^p over the random orders, which are drawn on places, not on images."""
        rng = np.random.default_rng(self.seed)
        total = np.zeros(len(heights))
        for _ in range(_PERMUTATIONS):
            order = rng.permutation(heights.shape[1])
            total += power(heights - heights[:, order], self.p).mean(1)
        return total / _PERMUTATIONS

    def _tiles(
        self,
        problem: Problem,
        sets: Int64[np.ndarray, "unit n"],
        heights: Float[np.ndarray, "unit n"],
        chance: Float[np.ndarray, " unit"],
    ) -> Iterator[tuple[int, Float[np.ndarray, "unit text"]]]:
        used, where = np.unique(sets, return_inverse=True)
        distinct, member = distinct_images(problem.images, used)
        # Column c of a tile is the image that comes c-th in the order of content hashes.
        order = np.argsort(problem.tie[used])
        places = np.argsort(order)[where.reshape(sets.shape)]
        middle = _mean_embedding(problem, sets)
        wide = block_of(max(len(used), len(sets)), blocks.LIMITS.concepts)
        for low in range(0, len(problem.texts), wide):
            texts = problem.texts[low : low + wide]
            found = cosines(problem.images, distinct, texts)
            error = errors(ranks(found, member[order]), places, heights, self.p)
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
    total = torch.zeros((len(sets), problem.images.shape[1]), dtype=torch.float64)
    for low, block in embedding_blocks(problem.images, block_of(max(total.shape))):
        unit, place = np.nonzero((sets >= low) & (sets < low + len(block)))
        counts = torch.zeros((len(sets), len(block)), dtype=torch.float64)
        counts[unit, sets[unit, place] - low] = 1
        total.addmm_(counts, block.double())
    return (total / sets.shape[1]).numpy()
