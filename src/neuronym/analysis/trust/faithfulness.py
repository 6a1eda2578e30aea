"""faithfulness: on images that had no part in a label, does its concept predict the unit?"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.numerics.topk import as_array, topk
from neuronym._core.registry import number, text, whole
from neuronym.analysis.families import Families, families_of
from neuronym.analysis.rescoring import first_words
from neuronym.analysis.trust import explanation_metrics, held_out
from neuronym.analysis.trust.base import ANALYSES, Analysis, Findings
from neuronym.analysis.trust.explanation_metrics import METRICS, Metric, Pair, ranks
from neuronym.analysis.trust.features import logit_scale
from neuronym.atlas.context import LabelContext
from neuronym.atlas.view import View
from neuronym.labelling.base import Labeller, LayerLabels, open_labeller
from neuronym.similarity.wpmi import SoftWpmi

#: Values of a block of work: units × images, and images × words.
_BLOCK = 1 << 21
#: What a labeller may read to be run again on half of the images at no great cost.
_ARRAYS = {"activations", "embeddings", "annotations", "encoder"}

_AGREEMENTS = ("agreement", "word_agreement")

PerUnit = Float64[np.ndarray, " unit"]


@ANALYSES.register(
    "faithfulness",
    syntax="faithfulness[:metrics=…+…,share=…,splits=…,words=…,seed=…]",
    example="faithfulness:splits=5",
)
@dataclass(frozen=True)
class Faithfulness(Analysis):
    """How well a unit's word predicts the unit on images that did not choose the word.

    The probe is split in halves, several times. Each half chooses a word for every unit, by the
    method that made the labels; the other half then says (i) whether the unit's highest images
    there have a higher p(t | x) for that word than the rest, and (ii) what share of other words
    does at least as well. Beside the tests stand measures of explanations, each the mean over
    halves, and the same of a random concept. Methods that cannot be run again on half of the
    images keep their label, which the tested images have then helped to choose; the facts say so.

    Args:
        metrics: which ones, joined by +; see `METRICS`. None: those that pass the sanity tests.
        share: of the images of a half that count as active, and as having the concept, for the
            metrics of yes and no; and of its images that are the highest (at least 5).
        splits: how often the probe is halved.
        words: other words in test (ii) at most, drawn at random.
        seed: of the splits and of the random words.

    Reference: T. Oikarinen, G. Yan, T.-W. Weng. Evaluating Neuron Explanations: A Unified Framework
    with Sanity Checks. ICML 2025, arXiv 2506.05774.
    """

    name: ClassVar[str] = "faithfulness"
    metrics: str | None = text(None)
    share: float = number(0.02, low=1e-6, high=0.5)
    splits: int = whole(3, low=1)
    words: int = whole(1000, low=1)
    seed: int = whole(0, low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.chosen

    @property
    def chosen(self) -> list[Metric]:
        """The metrics to measure."""
        if self.metrics is None:
            return [metric for metric in METRICS.values() if metric.passes]
        return [explanation_metrics.find(name) for name in self.metrics.split("+")]

    def check(self, context: LabelContext, method: str) -> None:
        """There are embeddings and activations, and images enough for two halves."""
        if context.atlas.imported:
            raise context.atlas.lacks("embeddings")
        if context.count < 4:
            raise misuse("splits", "at least 4 images", context.count)

    def run(self, context: LabelContext, method: str, layers: Sequence[str]) -> Findings:
        """The tests, the metrics, the same of a random word (`random_…`), and the agreement."""
        failing = [metric for metric in self.chosen if not metric.passes]
        for metric in failing:
            warnings.warn(explanation_metrics.warning(metric.name), stacklevel=2)
        words = _Words(context, method, layers)
        labeller = again(context, method)
        shown = {layer: words.numbers(first_words(context, method, layer)) for layer in layers}
        found = {layer: _Halves() for layer in layers}
        rng = np.random.default_rng(self.seed + 1)
        sample = _sample(len(context.words), self.words, rng)
        total = 2 * self.splits * sum(map(context.units, layers))
        with context.progress("faithfulness", total) as tick:
            for inside, outside in self._halves(context):
                chosen = shown
                if labeller is not None:
                    chosen = _label(labeller, View(context, inside), layers, words)
                tie = np.argsort(np.argsort(context.tie[outside]))
                compared = words.image_ranks(outside, sample)
                for layer, labels in chosen.items():
                    rows = as_array(context.activations(layer)[0 : context.count])[outside]
                    random = _others(labels, len(context.words), rng)
                    measured = self._measure(rows, words.of(outside, random), random, "random_")
                    scores = words.of(outside, labels)
                    measured = self._measure(rows, scores, labels, "") | measured
                    high = _highest(rows, max(5, round(self.share * len(rows))), tie)
                    measured |= _test(high, scores, labels, compared, sample)
                    found[layer].add(labels, measured)
                    tick.advance(len(labels))
        families = families_of(context.atlas)
        permuted = self._permuted(context, labeller, layers, words, families)
        columns = {
            layer: own.columns(shown[layer], self._names, words, families)
            for layer, own in found.items()
        }
        facts: dict[str, Any] = {
            "share": self.share,
            "halves": 2 * self.splits,
            "labelled_again": labeller is not None,
            "families": dict(families.about),
            "means": {
                layer: {n: _number(float(_mean(own[n]))) for n in (*self._names, *_AGREEMENTS)}
                for layer, own in columns.items()
            },
            "permuted": permuted,
        }
        if labeller is None:
            facts["note"] = (
                f"The labels of {method} were not chosen again on half of the images: the images "
                "that test them helped to choose them."
            )
        if failing:
            facts["warnings"] = [explanation_metrics.warning(metric.name) for metric in failing]
        return Findings(columns, facts)

    @property
    def _names(self) -> list[str]:
        """The columns of metrics, in order."""
        names = [metric.name.replace("-", "_") for metric in self.chosen]
        return [*names, *(f"random_{name}" for name in names)]

    def _halves(self, context: LabelContext) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Images to label from and images to test on, ascending; both halves of each split.

        Images are drawn by the order of their content hashes: that of the probe plays no part.
        """
        by_hash = context.by_content
        for split in range(self.splits):
            half = np.empty(context.count, bool)
            drawn = np.random.default_rng(self.seed + split).permutation(context.count)
            half[by_hash] = drawn % 2 == 0
            first, second = np.flatnonzero(half), np.flatnonzero(~half)
            yield from ((first, second), (second, first))

    def _permuted(
        self,
        context: LabelContext,
        labeller: Labeller | None,
        layers: Sequence[str],
        words: _Words,
        families: Families,
    ) -> dict[str, dict[str, float | None]]:
        """By layer how often halves agree with the whole where activations are permuted."""
        if labeller is None:
            return {}
        every = np.arange(context.count)
        order = np.empty(context.count, np.int64)
        by_hash = context.by_content
        order[by_hash] = by_hash[np.random.default_rng(self.seed + 2).permutation(context.count)]
        shown = _label(labeller, View(context, every, permuted=order), layers, words)
        found = {layer: _Halves() for layer in layers}
        for inside, _ in itertools.islice(self._halves(context), 2):
            part = View(context, inside, permuted=order[inside])
            for layer, labels in _label(labeller, part, layers, words).items():
                found[layer].add(labels, {})
        return {
            layer: {
                name: _number(float(_mean(values)))
                for name, values in own.agreements(shown[layer], words, families).items()
            }
            for layer, own in found.items()
        }

    def _measure(
        self,
        activations: Float32[np.ndarray, "image unit"],
        scores: _Scores,
        concepts: Int64[np.ndarray, " unit"],
        prefix: str,
    ) -> dict[str, PerUnit]:
        """Every metric of every unit with its concept, on these images; NaN where it has none."""
        columns = {metric: np.full(len(concepts), np.nan) for metric in self.chosen}
        for here, p in scores:
            pair = Pair(activations[:, here].T, p, self.share)
            for metric, values in columns.items():
                values[here] = metric.measure(pair)
        return {prefix + m.name.replace("-", "_"): values for m, values in columns.items()}


def again(context: LabelContext, method: str) -> Labeller | None:
    """The labeller of a method, if it can label a second time from half of the images.

    Returns:
        None for methods that read more than arrays, or that cannot be opened by their name.
    """
    facts = context.atlas.manifest.methods[method]
    try:
        labeller = open_labeller(facts.method)
    except NeuronymError:
        return None
    weighted = getattr(labeller, "weighted", False)
    return labeller if set(labeller.needs) <= _ARRAYS and not weighted else None


def _first(found: LayerLabels) -> np.ndarray:
    """The rank-1 label of each unit; None for units that abstain, whatever stands in their rows."""
    silent = np.array([reason is not None for reason in found.reasons])
    return np.where(silent, cast(Any, None), found.concepts[:, 0])


def _label(
    labeller: Labeller, part: View, layers: Sequence[str], words: _Words
) -> dict[str, Int64[np.ndarray, " unit"]]:
    """The numbers of the rank-1 labels from some of the images; −1 where a unit abstains."""
    found = labeller.label(part, layers, 1).layers
    return {layer: words.numbers(_first(found[layer])) for layer in layers}


class _Words:
    """The concepts, and words of labels that are none of them, with p(t | x) of each.

    Args:
        context, method, layers: of the labels.
    """

    def __init__(self, context: LabelContext, method: str, layers: Sequence[str]) -> None:
        self.words = list(context.words)
        self._context = context
        self._number = {word: row for row, word in enumerate(self.words)}
        texts = np.asarray(context.text_embeddings, np.float32)
        self.scale = logit_scale(context, method)
        self._texts, self._images = texts, np.asarray(context.image_embeddings, np.float32)
        shared = SoftWpmi(top_k=1, a=self.scale).shared(self._images, texts)
        self._logs = np.asarray(shared["log_normalisers"], np.float64)

    def numbers(self, words: np.ndarray) -> Int64[np.ndarray, " unit"]:
        """The number of each word, −1 for None. New words are embedded and numbered."""
        new = sorted({word for word in words if word is not None and word not in self._number})
        if new:
            vectors = self._context.sources.embed_words(new)
            self._number |= {word: len(self.words) + place for place, word in enumerate(new)}
            self.words += new
            self._texts = np.concatenate([self._texts, vectors.astype(np.float32)])
        return np.array([-1 if word is None else self._number[word] for word in words], np.int64)

    def of(self, images: Int64[np.ndarray, " image"], numbers: np.ndarray) -> _Scores:
        """p(t | x) of every unit's word on some of the images."""
        logs = self._logs[images]
        return _Scores(self._images[images], self._texts, logs, self.scale, numbers)

    def image_ranks(
        self, images: Int64[np.ndarray, " image"], words: Int64[np.ndarray, " word"]
    ) -> Float32[np.ndarray, "image word"]:
        """Ranks of some images by p(t | x) of each word."""
        vectors, logs = self._images[images], self._logs[images]
        found = np.empty((len(images), len(words)), np.float32)
        step = max(1, _BLOCK // len(images))
        for low in range(0, len(words), step):
            some = words[low : low + step]
            cosines = (self._texts[some] @ vectors.T).astype(np.float64)
            found[:, low : low + step] = ranks(self.scale * cosines - logs).T
        return found


@dataclass(frozen=True, eq=False)
class _Scores:
    """p(t | x) of every unit's word, block by block: units, and `[unit, image]`."""

    images: Float32[np.ndarray, "image dim"]
    texts: Float32[np.ndarray, "word dim"]
    normalisers: Float64[np.ndarray, " image"]
    scale: float
    numbers: Int64[np.ndarray, " unit"]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        active = np.flatnonzero(self.numbers >= 0)
        step = max(1, _BLOCK // len(self.images))
        for low in range(0, len(active), step):
            here = active[low : low + step]
            cosines = self.texts[self.numbers[here]] @ self.images.T
            yield here, np.exp(self.scale * cosines - self.normalisers)


class _Halves:
    """What the halves found about the units of one layer, one after the other."""

    def __init__(self) -> None:
        self._labels: list[np.ndarray] = []
        self._parts: list[dict[str, PerUnit]] = []

    def add(self, labels: Int64[np.ndarray, " unit"], part: dict[str, PerUnit]) -> None:
        """What one half chose, and how it does on the other."""
        self._labels.append(labels)
        self._parts.append(part)

    def columns(
        self,
        shown: Int64[np.ndarray, " unit"],
        metrics: Sequence[str],
        words: _Words,
        families: Families,
    ) -> dict[str, PerUnit]:
        """Means over the halves, p-values combined, and how often the shown label was chosen."""

        def all_of(name: str) -> list[PerUnit]:
            return [part[name] for part in self._parts]

        def pairs(name: str) -> list[tuple[PerUnit, PerUnit]]:
            found = all_of(name)
            return list(zip(found[::2], found[1::2], strict=True))

        found: dict[str, PerUnit] = {}
        for name in ("effect", "effect_low", "effect_high"):
            found[name] = _mean(all_of(name))
        for p, combined in (("p", "held_out"), ("words_p", "words")):
            found[f"{combined}_p"] = held_out.combined(pairs(p))
            found[f"{combined}_q"] = held_out.discoveries(found[f"{combined}_p"])
        found["words_as_good"] = _mean(all_of("words_as_good"))
        found |= {name: _mean(all_of(name)) for name in metrics}
        found |= self.agreements(shown, words, families)
        found["halves"] = (np.stack(self._labels) >= 0).sum(0).astype(np.float64)
        return found

    def agreements(
        self, shown: Int64[np.ndarray, " unit"], words: _Words, families: Families
    ) -> dict[str, PerUnit]:
        """Share of the halves whose word is of the shown label's family, or the label itself."""
        heads = np.array([families.of(word) for word in words.words] + [None], object)
        labels = np.stack(self._labels)
        there = (labels >= 0) & (shown >= 0)
        same = (heads[labels] == heads[shown], labels == shown)
        return {
            name: _mean(np.where(there, values, np.nan))
            for name, values in zip(_AGREEMENTS, same, strict=True)
        }


def _test(
    high: Bool[np.ndarray, "image unit"],
    scores: _Scores,
    labels: Int64[np.ndarray, " unit"],
    compared: Float32[np.ndarray, "image word"],
    sample: Int64[np.ndarray, " word"],
) -> dict[str, PerUnit]:
    """Both tests of every unit's word on one half."""
    names = ("effect", "effect_low", "effect_high", "p", "words_as_good", "words_p")
    found = {name: np.full(len(labels), np.nan) for name in names}
    for here, values in scores:
        mine = high[:, here].T
        effect, p = held_out.superiority(mine, values)
        sizes = mine.sum(1)
        low, top = held_out.interval(effect, sizes, len(high) - sizes)
        better, others = held_out.as_good(mine, compared, effect, sample, labels[here])
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(np.isfinite(effect), better / others, np.nan)
        chance = np.where(np.isfinite(effect), (1 + better) / (1 + others), np.nan)
        for name, column in zip(names, (effect, low, top, p, share, chance), strict=True):
            found[name][here] = column
    return found


def _highest(
    activations: Float32[np.ndarray, "image unit"], k: int, tie: Int64[np.ndarray, " image"]
) -> Bool[np.ndarray, "image unit"]:
    """The k highest images of every unit that are above its minimum; of ties the smaller hash."""
    best = topk(activations, min(k, len(activations)), tie)
    low = np.min(activations, axis=0)[:, None]  # NaN for units with one, which have no labels
    found = np.zeros(activations.shape, bool)
    unit, place = np.nonzero((best.indices >= 0) & (best.values > low))
    found[best.indices[unit, place], unit] = True
    return found


def _sample(count: int, most: int, rng: np.random.Generator) -> Int64[np.ndarray, " word"]:
    """Words that others are held against, ascending: all, or so many at random."""
    if count <= most:
        return np.arange(count)
    return np.sort(rng.choice(count, most, replace=False))


def _others(
    concepts: Int64[np.ndarray, " unit"], count: int, rng: np.random.Generator
) -> Int64[np.ndarray, " unit"]:
    """A random concept other than each unit's own; −1 where it has none, or there is one only."""
    if count < 2:
        return np.full(len(concepts), -1)
    drawn = (concepts + rng.integers(1, count, len(concepts))) % count
    return np.where(concepts < 0, -1, drawn)


def _number(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return value if np.isfinite(value) else None


def _mean(parts: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Over the first axis, without NaN; NaN where there is nothing else."""
    values = np.asarray(parts, np.float64)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / known.sum(0)
