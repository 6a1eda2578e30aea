"""Labels under resampled probes, from ranks of images and scores of candidate concepts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64, Integer

from neuronym._types import Rows
from neuronym.material import Material
from neuronym.similarity import Similarity, Top
from neuronym.similarity._mutual_information import MutualInformation
from neuronym.topk import as_array, topk
from neuronym.unit_stats import UnitStats

#: Ranks of labels that are kept.
RANKS = 5
#: Scores of candidates that are held at once.
_HELD = 1 << 25


@dataclass(frozen=True, eq=False)
class Resampled:
    """Labels of one layer under resampled probes.

    Attributes:
        full: numbers of the best concepts on the whole probe, best first; −1 where there is none.
        labels: the same on every resample; −1 where the unit has no label there.
        scores: of the whole probe's rank-1 concept on every resample; NaN where it is not known.
    """

    full: Int64[np.ndarray, "unit rank"]
    labels: Int64[np.ndarray, "unit resample rank"]
    scores: Float32[np.ndarray, "unit resample"]


def relabel(
    similarity: Similarity,
    material: Material,
    layers: Sequence[str],
    counts: Integer[np.ndarray, "resample image"],
    candidates: int,
) -> dict[str, Resampled]:
    """Label the units of some layers on resampled probes.

    An image that a resample holds several times counts as often as it is held: it takes as many
    places among a unit's highest images. What does not change is the prior, the log-normalisers,
    and (WPMI family) the candidates: every unit's best concepts on the whole probe. The other
    similarities search all concepts again.

    Args:
        counts: how often each resample holds each image.
        candidates: concepts per unit that are scored again.
    """
    images, texts = material.image_embeddings, material.text_embeddings
    activations = [material.activations(layer) for layer in layers]
    how = {"tie": material.tie, "progress": material.progress}
    tops = similarity.top_many(activations, images, texts, max(RANKS, candidates), **how)
    tops_of = dict(zip(layers, tops, strict=True))
    if not isinstance(similarity, MutualInformation):
        return _searched(similarity, material, tops_of, counts)
    units = sum(map(material.units, layers))
    with material.progress("scoring resampled probes", units) as tick:
        found = {}
        for layer, top in tops_of.items():
            parts = []
            for part in _parts(len(top.concepts), counts.shape[0] * top.concepts.shape[1]):
                parts.append(_scored(similarity, material, layer, top, part, counts))
                tick.advance(part.stop - part.start)
            found[layer] = Resampled(
                _padded(top.concepts),
                *(np.concatenate(arrays) for arrays in zip(*parts, strict=True)),
            )
    return found


def _parts(units: int, width: int) -> Iterator[slice]:
    step = max(1, min(512, _HELD // width))
    for low in range(0, units, step):
        yield slice(low, min(low + step, units))


def _padded(concepts: np.ndarray) -> np.ndarray:
    """The first `RANKS` columns; −1 where there are fewer."""
    missing = max(0, RANKS - concepts.shape[-1])
    wide = [(0, 0)] * (concepts.ndim - 1) + [(0, missing)]
    return np.pad(concepts[..., :RANKS], wide, constant_values=-1)


def _scored(
    similarity: MutualInformation,
    material: Material,
    layer: str,
    top: Top,
    part: slice,
    counts: np.ndarray,
) -> tuple[Int64[np.ndarray, "unit resample rank"], Float32[np.ndarray, "unit resample"]]:
    """Labels and scores of some units of a layer, by scoring their candidates again."""
    full = top.concepts[part]
    shape = (len(full), len(counts))
    labels = np.full((*shape, min(RANKS, full.shape[1])), -1)
    scores = np.full(shape, np.nan, np.float32)
    living = np.flatnonzero(full[:, 0] >= 0)
    if len(living):
        sets = image_sets(material, layer, part.start + living, counts, similarity.top_k)
        # In ascending order, of equal scores the first is the one of the smaller number.
        candidates = np.sort(full[living], axis=1)
        arrays = top.arrays["log_normalisers"], top.arrays["log_prior"]
        embeddings = material.image_embeddings, material.text_embeddings
        values = similarity.resample(sets, candidates, *embeddings, *arrays)
        place = (candidates == full[living, :1]).argmax(1)
        scores[living] = np.take_along_axis(values, place[:, None, None], 2)[:, :, 0]
        there = sets[:, :, 0] >= 0
        for rank in range(labels.shape[2]):
            best = values.argmax(2)
            named = np.take_along_axis(candidates, best, 1)
            labels[living, :, rank] = np.where(there, named, -1)
            np.put_along_axis(values, best[:, :, None], -np.inf, 2)
    return _padded(labels), scores


def image_sets(
    material: Material,
    layer: str,
    units: Int64[np.ndarray, " unit"],
    counts: Integer[np.ndarray, "resample image"],
    top_k: int,
) -> Int32[np.ndarray, "unit resample top_k"]:
    """The highest images of some units in every resample, best first.

    −1 where the unit would abstain: too few of the resample's images lie above its minimum.
    """
    own = as_array(_all(material.activations(layer)))[:, units]
    held, counts = counts.sum(1), counts.astype(np.int32)
    # Ranks deep enough that a resample of this density almost surely fills its places with them.
    deep = math.ceil((top_k + 6 * math.sqrt(top_k) + 20) * counts.shape[1] / held.min())
    for depth in (min(deep, len(own)), len(own)):
        stats = UnitStats(len(units))
        ranked = topk(own, depth, material.tie, stats=stats)
        times = np.ascontiguousarray(counts[:, ranked.indices].transpose(1, 0, 2))
        ends = np.minimum(times.cumsum(2, dtype=np.int32), top_k)
        if (ends[:, :, -1] == np.minimum(top_k, held)).all():
            break
    full = ends[:, :, -1] == top_k  # a resample with fewer than top_k images makes no set at all
    taken = np.diff(ends[full], axis=1, prepend=np.int32(0))
    sets = np.full((*full.shape, top_k), -1, np.int32)
    ranks = np.broadcast_to(ranked.indices.astype(np.int32)[:, None], times.shape)
    sets[full] = np.repeat(ranks[full].ravel(), taken.ravel()).reshape(-1, top_k)
    above = ranked.values > stats.minimum[:, None]
    needed = np.minimum(top_k, held - 1)
    sets[(times * above[:, None]).sum(2) < needed] = -1
    return sets


def _searched(
    similarity: Similarity,
    material: Material,
    tops: Mapping[str, Top],
    counts: Integer[np.ndarray, "resample image"],
) -> dict[str, Resampled]:
    """Labels and scores by searching all concepts again on the images of every resample."""
    whole = {layer: as_array(_all(material.activations(layer))) for layer in tops}
    images, found = _all(material.image_embeddings), {layer: [] for layer in tops}
    wide = max(top.concepts.shape[1] for top in tops.values())
    with material.progress("scoring resampled probes", len(counts)) as tick:
        for times in counts:
            rows = np.repeat(np.arange(len(times)), times)
            tie = np.argsort(np.argsort(material.tie[rows], kind="stable"))
            activations = [own[rows] for own in whole.values()]
            again = similarity.top_many(
                activations, images[rows], material.text_embeddings, wide, tie=tie
            )
            for (layer, top), new in zip(tops.items(), again, strict=True):
                same = new.concepts == top.concepts[:, :1]
                score = np.where(same, new.scores, np.nan)
                kept = np.take_along_axis(score, same.argmax(1)[:, None], 1)[:, 0]
                found[layer].append((_padded(new.concepts), kept))
            tick.advance()
    return {
        layer: Resampled(
            _padded(tops[layer].concepts), *(np.stack(a, 1) for a in zip(*parts, strict=True))
        )
        for layer, parts in found.items()
    }


def _all(rows: Rows) -> np.ndarray:
    return rows[0 : rows.shape[0]]
