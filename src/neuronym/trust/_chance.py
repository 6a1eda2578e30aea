"""Best scores that come about by chance: those of units whose activations say nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64, Int64

from neuronym.material import Material
from neuronym.similarity import Similarity
from neuronym.similarity._mutual_information import MutualInformation
from neuronym.topk import as_array
from neuronym.trust._scoring import kept_arrays

if TYPE_CHECKING:
    import torch

#: Columns of permuted activations that are scored together.
_TOGETHER = 4096


def random_sets(images: int, size: int, sets: int, seed: int) -> Int64[np.ndarray, "set size"]:
    """Sets of distinct images in random order: the highest images of permuted activations."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(images, size, replace=False) for _ in range(sets)])


def best_of_sets(
    similarity: MutualInformation,
    material: Material,
    method: str,
    living: Mapping[str, int],
    sets: Int64[np.ndarray, "set top_k"],
) -> dict[str, Float64[np.ndarray, " set"]]:
    """The best score over all concepts of every set, as if it were a unit of each layer.

    With prior `layer` a unit takes part in its own prior, and so must the set: it stands in for
    one of the K units, log p(t) = log(((K − 1)·P(t) + exp(evidence)) / K), P being the mean of
    exp(evidence) over the layer. With P alone, units of small layers would look worse than chance.

    Args:
        living: by layer, how many of its units do not abstain.
        sets: the same for all layers, so that one pass over the concepts serves them all.
    """
    import torch

    normalisers, priors = kept_arrays(material, method, living)
    texts, lam = material.text_embeddings, similarity.lam
    layered = similarity.prior == "layer"
    found = {layer: torch.full((len(sets),), -math.inf) for layer in living}
    rest = 0.0
    with material.progress("scoring random image sets", len(texts)) as tick:
        tiles = similarity.evidence(sets, material.image_embeddings, texts, normalisers)
        for low, values, constant in tiles:  # evidence = values + constant
            high = low + values.shape[1]
            for layer, best in found.items():
                held = priors[layer][low:high] - constant
                prior = torch.from_numpy(held.astype(np.float32))
                if layered and lam != 1:
                    prior = prior + _share(values - prior, living[layer])
                torch.maximum(best, (values - lam * prior).amax(1), out=best)
            rest = (1 - lam) * constant
            tick.advance(high - low)
    scores = {layer: best.double() for layer, best in found.items()}
    if layered and lam == 1:  # its own share leaves the order of a set's concepts as it is
        scores = {layer: best - _share(best, living[layer]) for layer, best in scores.items()}
    return {layer: (best + rest).numpy() for layer, best in scores.items()}


def _share(gap: torch.Tensor, units: int) -> torch.Tensor:
    """log((K − 1 + e^gap) / K): what it adds to log p(t) that the set is one of the K units."""
    import torch

    others = torch.tensor(math.log(units - 1) if units > 1 else -math.inf, dtype=gap.dtype)
    return torch.logaddexp(others, gap) - math.log(units)


def best_of_permutations(
    similarity: Similarity,
    material: Material,
    living: Mapping[str, Int64[np.ndarray, " living"]],
    least: Mapping[str, int],
    seed: int,
) -> dict[str, Float64[np.ndarray, "living permutation"]]:
    """The best score over all concepts of units whose activations are permuted over the images.

    Args:
        living: by layer, the units that do not abstain.
        least: by layer, permuted units at least; at least ten permutations of each unit.
    """
    rng = np.random.default_rng(seed)
    again = {layer: max(10, -(-least[layer] // len(units))) for layer, units in living.items()}
    jobs = [(layer, draw) for layer, draws in again.items() for draw in range(draws)]
    found = {layer: np.empty((len(units), again[layer])) for layer, units in living.items()}
    embeddings = material.image_embeddings, material.text_embeddings
    with material.progress("scoring permuted activations", len(jobs)) as tick:
        while jobs:
            several, width = [], 0
            while jobs and (not several or width + len(living[jobs[0][0]]) <= _TOGETHER):
                several.append(jobs.pop(0))
                width += len(living[several[-1][0]])
            permuted = [_permuted(material, layer, living[layer], rng) for layer, _ in several]
            tops = similarity.top_many(permuted, *embeddings, 1, tie=material.tie)
            for (layer, draw), top in zip(several, tops, strict=True):
                found[layer][:, draw] = top.scores[:, 0]
            tick.advance(len(several))
    return found


def _permuted(
    material: Material,
    layer: str,
    units: Int64[np.ndarray, " living"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "image living"]:
    rows = material.activations(layer)
    return rng.permuted(as_array(rows[0 : rows.shape[0]])[:, units], axis=0)


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
