"""The hot paths of scoring, each by neuronym and as straightforward loops in torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import problem
from benchmarks import straightforward as plain
from benchmarks.case import Arrays
from benchmarks.clock import Clock
from benchmarks.problem import Problem, Size
from neuronym._core.numerics.topk import topk
from neuronym.similarity.base import Similarity
from neuronym.similarity.wpmi import SoftWpmi, Wpmi

#: Labels per unit.
BEST = 20
#: Units that the straightforward rank-reorder is timed on, of all.
SAMPLED = 20


def prepare(**size: Any) -> Problem:
    """A problem from the fields of its size, which JSON has turned into lists."""
    return problem.make(Size(**{**size, "units": tuple(size["units"])}))


def few(top_k: int) -> int:
    """top_k of wpmi: the published 28 where soft-wpmi has 100."""
    return math.ceil(0.28 * top_k)


def soft_wpmi(size: Size) -> SoftWpmi:
    return SoftWpmi(top_k=size.top_k, a=10)


def wpmi(size: Size) -> Wpmi:
    return Wpmi(top_k=few(size.top_k), a=2)


def labels(similarity: Callable[[Size], Similarity], inputs: Problem, clock: Clock) -> Arrays:
    """neuronym: the best concepts of every unit, all layers at once."""
    scorer = similarity(inputs.size)
    with clock():
        tops = scorer.top_many(inputs.layers, inputs.images, inputs.texts, BEST)
    return {
        "scores": np.concatenate([top.scores for top in tops]),
        "concepts": np.concatenate([top.concepts for top in tops]),
        "units": np.arange(inputs.size.all_units),
    }


def tensors(inputs: Problem) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Layers, images, texts, without copies."""
    layers = [torch.from_numpy(layer) for layer in inputs.layers]
    return layers, torch.from_numpy(inputs.images), torch.from_numpy(inputs.texts)


def _found(best: tuple[torch.Tensor, torch.Tensor], units: np.ndarray | None = None) -> Arrays:
    scores, concepts = (part.numpy() for part in best)
    units = np.arange(len(scores)) if units is None else units
    return {"scores": scores, "concepts": concepts, "units": units}


def soft_wpmi_loop(one: plain.Evidence, inputs: Problem, clock: Clock) -> Arrays:
    """The papers' formula; `one` is how a unit's evidence is written."""
    layers, images, texts = tensors(inputs)
    with clock():
        p = plain.softmax(images, texts, a=10)
        best = plain.mutual_information(layers, p, one, top_k=inputs.size.top_k, lam=1, n=BEST)
    return _found(best)


def wpmi_loop(tuned: bool, inputs: Problem, clock: Clock) -> Arrays:
    """The papers' formula; tuned: one logarithm per image and concept, not per unit."""
    layers, images, texts = tensors(inputs)
    with clock():
        p, one = plain.softmax(images, texts, a=2), plain.evidence
        if tuned:
            p, one = p.add_(plain.MIN_PROB).log_(), plain.sum_of_logs
        top_k = few(inputs.size.top_k)
        best = plain.mutual_information(layers, p, one, top_k=top_k, lam=0.6, n=BEST)
    return _found(best)


def labels_loop(score: Callable[..., Any], inputs: Problem, clock: Clock) -> Arrays:
    """cos or cos-cubed with P in full."""
    layers, images, texts = tensors(inputs)
    with clock():
        best = score(layers, images, texts, BEST)
    return _found(best)


def rank_reorder_loop(inputs: Problem, clock: Clock) -> Arrays:
    """Timed on `SAMPLED` units; what all units share counts once."""
    layers, images, texts = tensors(inputs)
    starts = np.cumsum([0, *inputs.size.units])
    chosen = np.linspace(0, starts[-1] - 1, min(SAMPLED, starts[-1])).astype(int)
    best = []
    with clock():
        cosines = images @ texts.T
    with clock(scale=inputs.size.all_units / len(chosen)):
        for low, layer in zip(starts, layers, strict=False):
            own = [unit - low for unit in chosen if 0 <= unit - low < layer.shape[1]]
            if own:
                best.append(plain.rank_reorder(layer, own, cosines, BEST))
    return _found((torch.cat([b[0] for b in best]), torch.cat([b[1] for b in best])), chosen)


def ranked(inputs: Problem, clock: Clock) -> Arrays:
    """neuronym's streaming top-k."""
    with clock():
        found = topk(inputs.layers[0], inputs.size.top_k)
    return {"values": found.values, "indices": found.indices}


def ranked_by_torch(inputs: Problem, clock: Clock) -> Arrays:
    """All activations at once."""
    with clock():
        found = torch.from_numpy(inputs.layers[0]).topk(inputs.size.top_k, dim=0)
    return {"values": found.values.T.numpy(), "indices": found.indices.T.numpy()}
