"""From tiles of scores to all scores and to the best concepts of every unit."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64

from neuronym._core.checks import integer
from neuronym._core.numerics.topk import TopK, as_array
from neuronym._core.progress import Progress, silent
from neuronym._core.types import Rows
from neuronym.similarity.base import Similarity, Top
from neuronym.similarity.blocks import Problem, with_duplicates


@dataclass(frozen=True, eq=False)
class Plan:
    """A scoring about to be done.

    Attributes:
        reasons: per unit why it abstains, or None.
        tiles: (first distinct text, float32 scores `[active unit, text]`), in ascending order.
        backend: see `Top.backend`.
    """

    reasons: tuple[str | None, ...]
    tiles: Iterator[tuple[int, Float[np.ndarray, "active text"]]]
    backend: str = ""

    @property
    def active(self) -> Int64[np.ndarray, " active"]:
        """The units that do not abstain."""
        return np.flatnonzero([reason is None for reason in self.reasons])


class Tiled(Similarity):
    """A similarity that scores one tile of concepts after the other, for all units at once."""

    @abc.abstractmethod
    def _plan(
        self, problem: Problem, shared: Mapping[str, np.ndarray] | None, progress: Progress
    ) -> Plan:
        """Do what comes before the tiles: rank images, find out who abstains."""

    def scores(
        self, activations: Rows, images: Rows, texts: Rows, *, tie: np.ndarray | None = None
    ) -> np.ndarray:
        """All scores, float32 `[unit, concept]`; rows of abstaining units are NaN."""
        problem = Problem.of(activations, images, texts, tie)
        plan = self._plan(problem, None, silent)
        active = plan.active
        found = np.full((problem.units, len(problem.member)), np.nan, np.float32)
        distinct = np.empty((len(active), len(problem.texts)), np.float32)
        if len(active):
            for low, tile in plan.tiles:
                distinct[:, low : low + tile.shape[1]] = tile
            found[active] = distinct[:, problem.member]
        return found

    def top_many(
        self,
        layers: Sequence[Rows],
        images: Rows,
        texts: Rows,
        n: int = 20,
        *,
        tie: np.ndarray | None = None,
        shared: Mapping[str, np.ndarray] | None = None,
        device: torch.device | str | None = None,
        progress: Progress = silent,
    ) -> list[Top]:
        """`top` of several layers of one probe, as if they were one: no score depends on others."""
        n = min(integer("n", n, 1), texts.shape[0])
        problems = Problem.of_layers(layers, images, texts, tie)
        if not problems:
            return []
        problem = replace(problems[0], activations=SideBySide(layers))
        plan = self._plan(problem, shared, progress)
        active = plan.active
        scores = np.full((problem.units, n), np.nan, np.float32)
        concepts = np.full((problem.units, n), -1, np.int64)
        if len(active):
            best = TopK(len(active), min(n, len(problem.texts)))
            with progress("scoring concepts", len(problem.texts)) as tick:
                for low, tile in plan.tiles:
                    texts_here = np.arange(low, low + tile.shape[1])
                    best.update(tile.T, texts_here, texts_here)
                    tick.advance(tile.shape[1])
            ranked = best.result()
            scores[active], concepts[active] = with_duplicates(
                ranked.values, ranked.indices, problem.member, n
            )
        ends = np.cumsum([rows.shape[1] for rows in layers]).tolist()
        cuts = [slice(low, high) for low, high in zip([0, *ends], ends, strict=False)]
        return [
            Top(scores[cut], concepts[cut], plan.reasons[cut], backend=plan.backend) for cut in cuts
        ]


class SideBySide:
    """The activations of several layers of one probe as one array `[image, unit]`."""

    def __init__(self, layers: Sequence[Rows]) -> None:
        self._layers = layers
        self.shape = (layers[0].shape[0], sum(rows.shape[1] for rows in layers))

    def __getitem__(self, rows: slice) -> np.ndarray:
        blocks = [as_array(layer[rows]) for layer in self._layers]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, 1)
