"""bootstrap: does the label survive another draw of the probe's images?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64, Int64

from neuronym.material import Material
from neuronym.parameters import number, whole
from neuronym.similarity._mutual_information import MutualInformation
from neuronym.trust._resampling import Resampled, relabel
from neuronym.trust._scoring import similarity_of
from neuronym.trust.base import ANALYSES, Analysis, Findings

#: Similarities without `resample` search all concepts again for every resample: at most so many.
_SEARCHES = 20


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

    Args:
        resamples: draws of the probe. cos, cos-cubed and rank-reorder, which take a whole search
            for each, get at most 20.
        candidates: each unit's best concepts that are scored again (WPMI family; the others search
            all concepts).
        coverage: share of the resamples whose labels the concept set covers, and level of the
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

    def check(self, material: Material, method: str) -> None:
        """Only methods that score all concepts by a similarity can be run again so cheaply."""
        similarity_of(material, method)

    def run(self, material: Material, method: str, layers: Sequence[str]) -> Findings:
        """stability, top5_jaccard, concept_set, set_size, coverage, low, high, half_agreement."""
        similarity, rng = similarity_of(material, method), np.random.default_rng(self.seed)
        quick = isinstance(similarity, MutualInformation)
        resamples = self.resamples if quick else min(self.resamples, _SEARCHES)
        halves = self.halves if quick else min(self.halves, _SEARCHES // 4)
        counts = np.concatenate(
            [draws(material.count, resamples, rng), split(material.count, halves, rng)]
        )
        words = np.array(material.words, dtype=object)
        columns = {}
        for layer, found in relabel(similarity, material, layers, counts, self.candidates).items():
            drawn = Resampled(found.full, found.labels[:, :resamples], found.scores[:, :resamples])
            columns[layer] = self._summary(drawn, words) | {
                "half_agreement": _half_agreement(found.full, found.labels[:, resamples:])
            }
        facts = {"resamples": resamples, "halves": halves, "coverage": self.coverage}
        return Findings(columns, facts)

    def _summary(self, found: Resampled, words: np.ndarray) -> dict[str, Any]:
        """The columns that the draws with replacement give."""
        living = found.full[:, 0] >= 0
        sets = [
            concept_set(own[:, 0], full, self.coverage)
            for own, full in zip(found.labels, found.full, strict=True)
        ]
        tail = 100 * (1 - self.coverage) / 2
        low, high = np.full((2, len(living)), np.nan)
        known = np.isfinite(found.scores)
        for unit in np.flatnonzero(known.any(1)):
            scores = found.scores[unit, known[unit]]
            low[unit], high[unit] = np.percentile(scores, [tail, 100 - tail])
        same = (found.labels[:, :, 0] == found.full[:, :1]).mean(1)
        return {
            "stability": np.where(living, same, np.nan),
            "top5_jaccard": np.where(living, _jaccard(found).mean(1), np.nan),
            "concept_set": [
                list(words[chosen]) if live else None
                for (chosen, _), live in zip(sets, living, strict=True)
            ],
            "set_size": [
                len(chosen) if live else None
                for (chosen, _), live in zip(sets, living, strict=True)
            ],
            "coverage": [
                share if live else None for (_, share), live in zip(sets, living, strict=True)
            ],
            "low": low,
            "high": high,
        }


def bootstrap_labels(
    material: Material,
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
    counts = draws(material.count, resamples, np.random.default_rng(seed))
    return relabel(similarity_of(material, method), material, layers, counts, candidates)


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
    order = np.lexsort((named, ranks, -times))
    shares = times[order].cumsum() / max(len(labels), 1)
    count = min(int(np.searchsorted(shares, coverage - 1e-9)) + 1, len(named))
    return named[order[:count]], float(shares[count - 1]) if count else 0.0


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
