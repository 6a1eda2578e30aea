"""cos and cos-cubed: cosines of activations and concept similarities over all images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from neuronym._core.devices import full_precision, product
from neuronym._core.numerics.topk import UnitStats, abstentions, as_array, as_tensor
from neuronym._core.progress import Progress
from neuronym._core.registry import number
from neuronym.similarity import blocks
from neuronym.similarity.base import SIMILARITIES
from neuronym.similarity.blocks import Problem, block_of, embedding_blocks
from neuronym.similarity.tiled import Plan, Tiled

#: Cosines are made larger by this (a power of two: exactly), so that sixth powers of small ones are
#: normal numbers in float32.
_SCALE = 1024.0


@SIMILARITIES.register("cos")
@dataclass(frozen=True)
class Cos(Tiled):
    r"""Cosine of P[:, t] and the unit's activations over all images of the probe.

    Σ_i P[i,t]·q[i] / (‖P[:,t]‖·‖q‖), and 0 where P[:, t] is all zeros.

    P is never formed: with I the image embeddings, P[:,t]·q = T_t·(Iᵀq) and
    ‖P[:,t]‖² = T_tᵀ(IᵀI)T_t, so one pass over the images in float64 is enough.

    Reference: Oikarinen and Weng, ICLR 2023, arXiv 2204.10965.

    >>> texts = np.eye(2)
    >>> images = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> activations = np.array([[2.0], [1.0], [0.0]])
    >>> Cos().scores(activations, images, texts).astype(float).round(3).tolist()
    [[0.997, 0.279]]
    """

    name: ClassVar[str] = "cos"

    def _plan(
        self, problem: Problem, shared: Mapping[str, np.ndarray] | None, progress: Progress
    ) -> Plan:
        dim = problem.images.shape[1]
        cross = torch.zeros((problem.units, dim), dtype=torch.float64)
        gram = torch.zeros((dim, dim), dtype=torch.float64)
        stats = UnitStats(problem.units)
        step = block_of(max(problem.units, dim), blocks.LIMITS.rows)
        with progress("reading activations", problem.count) as tick:
            for low, block in embedding_blocks(problem.images, step):
                values = as_array(problem.activations[low : low + len(block)])
                stats.update(values)
                here = block.double()
                cross.addmm_(as_tensor(values, torch.float64).T, here)
                gram.addmm_(here.T, here)
                tick.advance(len(block))
        plan = Plan(abstentions(stats), iter(()))
        active = plan.active
        length = np.sqrt(problem.count * (stats.std[active] ** 2 + stats.mean[active] ** 2))
        unit = cross[torch.from_numpy(active)] / torch.from_numpy(length)[:, None]
        return Plan(plan.reasons, _tiles(unit, gram, problem.texts))


def _tiles(unit: Tensor, gram: Tensor, texts: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    wide = block_of(max(unit.shape), blocks.LIMITS.concepts)
    for low in range(0, len(texts), wide):
        tile = torch.from_numpy(texts[low : low + wide]).double()
        length = ((tile @ gram) * tile).sum(1).clamp_(min=0).sqrt()
        tile = torch.where(length[:, None] > 0, tile / length[:, None], 0)
        yield low, (unit @ tile.T).clamp_(-1, 1).float().numpy()


@SIMILARITIES.register(
    "cos-cubed", syntax="cos-cubed[:min_norm=…]", example="cos-cubed:min_norm=1e-6"
)
@dataclass(frozen=True)
class CosCubed(Tiled):
    r"""Cosine of the concept's and the unit's values, both centred over the images and cubed.

    c = (P[:,t] − mean)³, d = (q − mean)³: Σ_i c_i·d_i / (max(‖c‖, min_norm)·max(‖d‖, min_norm)).

    The clamp binds where cosines spread little: with a standard deviation of 0.03 over the images,
    ‖c‖ is about 1e-4·√N, so that below some 100 images scores shrink towards 0; lower min_norm.

    Args:
        min_norm: the least norm to divide by, for concepts and units alike.

    Reference: Oikarinen, Das, Nguyen and Weng, "Label-Free Concept Bottleneck Models", ICLR 2023,
    arXiv 2304.06129.

    >>> texts = np.eye(2)
    >>> images = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> activations = np.array([[2.0], [1.0], [0.0]])
    >>> CosCubed().scores(activations, images, texts).astype(float).round(3).tolist()
    [[0.981, -0.878]]
    """

    name: ClassVar[str] = "cos-cubed"

    min_norm: float = number(1e-3, low=1e-30, high=1e30)

    def _plan(
        self, problem: Problem, shared: Mapping[str, np.ndarray] | None, progress: Progress
    ) -> Plan:
        stats = problem.statistics(progress)
        plan = Plan(abstentions(stats), iter(()))
        active = plan.active
        mean = stats.mean[active]
        squares = np.zeros(len(active))
        with progress("measuring activations", problem.count) as tick:
            for _, block in blocks.blocks(problem.activations, block_of(problem.units)):
                for low in range(0, len(block), _part(problem.units)):
                    cubes = _cubed(block[low : low + _part(problem.units), active], mean, 1.0)
                    squares += np.einsum("iu,iu->u", cubes, cubes)
                tick.advance(len(block))
        norms = np.maximum(np.sqrt(squares), self.min_norm)
        return Plan(plan.reasons, self._tiles(problem, active, mean, norms))

    def _tiles(
        self, problem: Problem, active: np.ndarray, mean: np.ndarray, norms: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        images, texts = problem.images, problem.texts
        centre = torch.zeros(images.shape[1], dtype=torch.float64)
        for _, block in embedding_blocks(images, block_of(images.shape[1])):
            centre += block.sum(0, dtype=torch.float64) / problem.count
        # Every tile reads all activations again: few, wide tiles.
        wide = block_of(max(problem.units, images.shape[1]), 4 * blocks.LIMITS.concepts)
        width = max(problem.units, images.shape[1], min(wide, len(texts)))
        step = block_of(width, 2 * blocks.LIMITS.rows)
        for low in range(0, len(texts), wide):
            tile = torch.from_numpy(texts[low : low + wide])
            total = torch.zeros((len(active), len(tile)), dtype=torch.float64)
            squares = torch.zeros(len(tile), dtype=torch.float64)
            with full_precision():
                for start, block in embedding_blocks(images, step):
                    # Centring the embeddings, not P, leaves nothing to cancel in float32.
                    cubes = product(tile, ((block.double() - centre) * _SCALE).float()).pow_(3)
                    squares += torch.linalg.vector_norm(cubes, dim=1).double() ** 2
                    values = as_array(problem.activations[start : start + len(block)])
                    units = torch.from_numpy(_units(values, active, mean, 1 / np.cbrt(norms)))
                    total += product(units.T, cubes)
            total /= squares.sqrt().clamp_(min=self.min_norm * _SCALE**3)
            yield low, total.clamp_(-1, 1).float().numpy()


def _units(
    values: np.ndarray, active: np.ndarray, mean: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """The active units' side of the cosine for a block of images, float32 `[image, unit]`."""
    found = np.empty((len(values), len(active)), np.float32)

    def work(low: int, high: int) -> None:
        found[low:high] = _cubed(values[low:high, active], mean, scale)

    blocks.spread(work, len(values), _part(values.shape[1]))
    return found


def _cubed(values: np.ndarray, mean: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
    """(scale·(q − mean))³ in float64: the cube of a float32 need not fit a float32."""
    centred = values - mean
    centred *= scale
    return centred * centred * centred


def _part(units: int) -> int:
    """How many rows are worked on at once: what they take should stay in a core's cache."""
    return max(1, 4 * blocks.LIMITS.chunk // units)
