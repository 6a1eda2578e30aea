"""bootstrap: does the label survive another draw of the probe's images?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, Integer

from neuronym._core.numerics.topk import UnitStats, as_array, topk
from neuronym._core.registry import number, whole
from neuronym._core.types import Rows
from neuronym.analysis.families import Families, families_of
from neuronym.analysis.rescoring import similarity_of
from neuronym.analysis.trust.base import ANALYSES, Analysis, Findings
from neuronym.atlas.context import LabelContext
from neuronym.similarity.base import Similarity, Top
from neuronym.similarity.wpmi import MutualInformation

#: Ranks of labels that are kept.
RANKS = 5
#: A concept set of more families than this is not shown.
MOST_FAMILIES = 5
#: Scores of candidates that are held at once.
_HELD = 1 << 25
#: Similarities without `resample` search all concepts again for every resample: at most so many.
_SEARCHES = 20


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
    context: LabelContext,
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
    images, texts = context.image_embeddings, context.text_embeddings
    activations = [context.activations(layer) for layer in layers]
    how: dict[str, Any] = {"tie": context.tie, "progress": context.progress}
    tops = similarity.top_many(activations, images, texts, max(RANKS, candidates), **how)
    tops_of = dict(zip(layers, tops, strict=True))
    if not isinstance(similarity, MutualInformation):
        return _searched(similarity, context, tops_of, counts)
    units = sum(map(context.units, layers))
    with context.progress("scoring resampled probes", units) as tick:
        found = {}
        for layer, top in tops_of.items():
            parts = []
            for part in _parts(len(top.concepts), counts.shape[0] * top.concepts.shape[1]):
                parts.append(_scored(similarity, context, layer, top, part, counts))
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
    context: LabelContext,
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
    active = np.flatnonzero(full[:, 0] >= 0)
    if len(active):
        sets = image_sets(context, layer, part.start + active, counts, similarity.top_k or 0)
        # In ascending order, of equal scores the first is the one of the smaller number.
        candidates = np.sort(full[active], axis=1)
        arrays = top.arrays["log_normalisers"], top.arrays["log_prior"]
        embeddings = context.image_embeddings, context.text_embeddings
        values = similarity.resample(sets, candidates, *embeddings, *arrays)
        place = (candidates == full[active, :1]).argmax(1)
        scores[active] = np.take_along_axis(values, place[:, None, None], 2)[:, :, 0]
        there = sets[:, :, 0] >= 0
        for rank in range(labels.shape[2]):
            best = values.argmax(2)
            named = np.take_along_axis(candidates, best, 1)
            labels[active, :, rank] = np.where(there, named, -1)
            np.put_along_axis(values, best[:, :, None], -np.inf, 2)
    return _padded(labels), scores


def image_sets(
    context: LabelContext,
    layer: str,
    units: Int64[np.ndarray, " unit"],
    counts: Integer[np.ndarray, "resample image"],
    top_k: int,
) -> Int32[np.ndarray, "unit resample top_k"]:
    """The highest images of some units in every resample, best first.

    −1 where the unit would abstain: too few of the resample's images lie above its minimum.
    """
    own = as_array(_all(context.activations(layer)))[:, units]
    held, counts = counts.sum(1), counts.astype(np.int32)
    # Ranks deep enough that a resample of this density almost surely fills its places with them.
    deep = math.ceil((top_k + 6 * math.sqrt(top_k) + 20) * counts.shape[1] / held.min())
    for depth in (min(deep, len(own)), len(own)):
        stats = UnitStats(len(units))
        ranked = topk(own, depth, context.tie, stats=stats)
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
    context: LabelContext,
    tops: Mapping[str, Top],
    counts: Integer[np.ndarray, "resample image"],
) -> dict[str, Resampled]:
    """Labels and scores by searching all concepts again on the images of every resample."""
    whole = {layer: as_array(_all(context.activations(layer))) for layer in tops}
    images = _all(context.image_embeddings)
    found: dict[str, list[Any]] = {layer: [] for layer in tops}
    wide = max(top.concepts.shape[1] for top in tops.values())
    with context.progress("scoring resampled probes", len(counts)) as tick:
        for times in counts:
            rows = np.repeat(np.arange(len(times)), times)
            tie = np.argsort(np.argsort(context.tie[rows], kind="stable"))
            activations = [own[rows] for own in whole.values()]
            again = similarity.top_many(
                activations, images[rows], context.text_embeddings, wide, tie=tie
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


@ANALYSES.register(
    "bootstrap",
    syntax="bootstrap[:resamples=…,candidates=…,coverage=…,halves=…,seed=…]",
    example="bootstrap:resamples=200",
)
@dataclass(frozen=True)
class Bootstrap(Analysis):
    """Whether the label survives another draw of the probe's images.

    The probe's N images are drawn N times with replacement, and every unit is labelled again from
    its highest images of that draw; besides, the probe is split into halves that share no image.

    Beside the words stand their families (`families.parquet`): a label that changes within its
    family has not changed its meaning. The concept set is the few families that cover the labels
    of independent halves.

    Args:
        resamples: draws of the probe. cos, cos-cubed and rank-reorder, which take a whole search
            for each, get at most 20.
        candidates: each unit's best concepts that are scored again (WPMI family; the others search
            all concepts).
        coverage: share of the halves whose labels the concept set covers, and level of the
            interval of the score.
        halves: how often the probe is split.
        seed: of the random draws.

    Reference: G. Yan, T. Oikarinen, T.-W. Weng. Faithful and Stable Neuron Explanations for
    Trustworthy Mechanistic Interpretability. 2025, arXiv 2512.18092.
    """

    name: ClassVar[str] = "bootstrap"
    resamples: int = whole(100, low=2)
    candidates: int = whole(256, low=5)
    coverage: float = number(0.9, low=0, high=1)
    halves: int = whole(10, low=1)
    seed: int = whole(0, low=0)

    def check(self, context: LabelContext, method: str) -> None:
        """Only methods that score all concepts by a similarity can be run again so cheaply."""
        similarity_of(context, method)

    def run(self, context: LabelContext, method: str, layers: Sequence[str]) -> Findings:
        """stability and half_agreement of words and of families, the concept set, and more."""
        similarity, rng = similarity_of(context, method), np.random.default_rng(self.seed)
        quick = isinstance(similarity, MutualInformation)
        resamples = self.resamples if quick else min(self.resamples, _SEARCHES)
        halves = self.halves if quick else min(self.halves, _SEARCHES // 4)
        # Drawn by content hash: the order of the images plays no part.
        counts = np.concatenate(
            [draws(context.count, resamples, rng), split(context.count, halves, rng)]
        )[:, context.tie]
        words, families = np.array(context.words, dtype=object), families_of(context.atlas)
        heads = _numbered(families, context.words)
        columns = {}
        for layer, found in relabel(similarity, context, layers, counts, self.candidates).items():
            drawn = Resampled(found.full, found.labels[:, :resamples], found.scores[:, :resamples])
            alone = found.labels[:, resamples:]
            columns[layer] = {
                **self._summary(drawn),
                "half_agreement": _half_agreement(found.full, alone),
                "family_stability": _share(heads[drawn.labels[:, :, 0]], heads[found.full[:, 0]]),
                "family_half_agreement": _half_agreement(heads[found.full], heads[alone]),
                **self._sets(found.full, alone[:, :, 0], heads, words),
            }
        facts = {
            "resamples": resamples,
            "halves": halves,
            "coverage": self.coverage,
            "families": dict(families.about),
            "units_with_set": {
                layer: sum(size is not None for size in own["set_size"])
                for layer, own in columns.items()
            },
        }
        return Findings(columns, facts)

    def _summary(self, found: Resampled) -> dict[str, Any]:
        """The columns that the draws with replacement give."""
        active = found.full[:, 0] >= 0
        tail = 100 * (1 - self.coverage) / 2
        low, high = np.full((2, len(active)), np.nan)
        known = np.isfinite(found.scores)
        for unit in np.flatnonzero(known.any(1)):
            scores = found.scores[unit, known[unit]]
            low[unit], high[unit] = np.percentile(scores, [tail, 100 - tail])
        return {
            "stability": _share(found.labels[:, :, 0], found.full[:, 0]),
            "top5_jaccard": np.where(active, _jaccard(found).mean(1), np.nan),
            "low": low,
            "high": high,
        }

    def _sets(
        self,
        full: Int64[np.ndarray, "unit rank"],
        labels: Int64[np.ndarray, "unit half"],
        heads: Int64[np.ndarray, " concept"],
        words: np.ndarray,
    ) -> dict[str, list[Any]]:
        """The few families that cover the labels of independent halves, by their leading words.

        Of a unit whose halves need more than `MOST_FAMILIES`, nothing: so wide a set says nothing.
        """
        sets: list[tuple[Any, Any, Any]] = []
        for own, best in zip(heads[labels], heads[full], strict=True):
            chosen, share = concept_set(own, best, self.coverage)
            few = best[0] >= 0 and 0 < len(chosen) <= MOST_FAMILIES and share >= self.coverage
            sets.append((list(words[chosen]), len(chosen), share) if few else (None, None, None))
        named = zip(*sets, strict=True)
        names = ("concept_set", "set_size", "coverage")
        return {name: list(column) for name, column in zip(names, named, strict=True)}


def bootstrap_labels(
    context: LabelContext,
    method: str,
    layers: Sequence[str],
    resamples: int = 100,
    seed: int = 0,
    candidates: int = 256,
) -> dict[str, Resampled]:
    """Labels of every unit on draws of the probe's images with replacement, by layer.

    See `Resampled` for the arrays: `full` `[unit, 5]`, `labels` `[unit, resample, 5]`, `scores`
    `[unit, resample]`. The draws are those of the analysis `bootstrap` with the same seed.

    Raises:
        UsageError: the method is not clip-dissect.
        NeuronymError: the activations are not to be had.
    """
    counts = draws(context.count, resamples, np.random.default_rng(seed))[:, context.tie]
    return relabel(similarity_of(context, method), context, layers, counts, candidates)


def draws(
    images: int, resamples: int, rng: np.random.Generator
) -> Int64[np.ndarray, "resample image"]:
    """How often each image is drawn when as many are drawn with replacement as there are."""
    return rng.multinomial(images, np.full(images, 1 / images), resamples)


def split(images: int, times: int, rng: np.random.Generator) -> Int64[np.ndarray, "half image"]:
    """Two halves per time that share no image, one after the other; an odd image is left out."""
    first = np.arange(images) < images // 2
    second = (np.arange(images) >= images // 2) & (np.arange(images) < images // 2 * 2)
    halves = np.stack([first, second]).astype(np.int64)
    return np.concatenate([halves[:, rng.permutation(images)] for _ in range(times)])


def concept_set(
    labels: Int64[np.ndarray, " resample"], full: Int64[np.ndarray, " rank"], coverage: float
) -> tuple[Int64[np.ndarray, " concept"], float]:
    """The most frequent labels that together cover enough of the resamples, and the share covered.

    Of equally frequent ones those come first that are best on the whole probe.
    """
    named, times = np.unique(labels[labels >= 0], return_counts=True)
    place = {concept: rank for rank, concept in enumerate(full.tolist())}
    ranks = [place.get(concept, len(full)) for concept in named.tolist()]
    order = np.lexsort((named, np.array(ranks, np.int64), -times))
    shares = times[order].cumsum() / max(len(labels), 1)
    count = min(int(np.searchsorted(shares, coverage - 1e-9)) + 1, len(named))
    return named[order[:count]], float(shares[count - 1]) if count else 0.0


def _numbered(families: Families, words: Sequence[str]) -> Int64[np.ndarray, " concept"]:
    """The number of each word's leading word, and −1 for the word −1."""
    number = {word: row for row, word in enumerate(words)}
    heads = [number.get(families.of(word), row) for row, word in enumerate(words)]
    return np.array([*heads, -1], np.int64)


def _share(
    labels: Int64[np.ndarray, "unit resample"], full: Int64[np.ndarray, " unit"]
) -> Float64[np.ndarray, " unit"]:
    """Share of the resamples with the label of the whole probe; NaN where that is none."""
    return np.where(full >= 0, (labels == full[:, None]).mean(1), np.nan)


def _jaccard(found: Resampled) -> Float64[np.ndarray, "unit resample"]:
    """Of the first five labels on the whole probe and on each resample."""
    equal = found.full[:, None, :, None] == found.labels[:, :, None, :]
    there = (found.full >= 0)[:, None, :, None]
    common = (equal & there).sum((2, 3))
    sizes = (found.full >= 0).sum(1)[:, None] + (found.labels >= 0).sum(2)
    return common / np.maximum(sizes - common, 1)


def _half_agreement(
    full: Int64[np.ndarray, "unit rank"], labels: Int64[np.ndarray, "unit half rank"]
) -> Float64[np.ndarray, " unit"]:
    """Share of the splits whose halves agree on the first label."""
    first, second = labels[:, 0::2, 0], labels[:, 1::2, 0]
    agreed = ((first == second) & (first >= 0)).mean(1)
    return np.where(full[:, 0] >= 0, agreed, np.nan)
