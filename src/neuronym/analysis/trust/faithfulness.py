"""faithfulness: on images that had no part in a label, does its concept predict the unit?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, Float64, Int64

from neuronym._core.checks import misuse
from neuronym._core.numerics.topk import as_array
from neuronym._core.registry import number, text, whole
from neuronym.analysis.rescoring import similarity_of
from neuronym.analysis.trust import explanation_metrics
from neuronym.analysis.trust.base import ANALYSES, Analysis, Findings
from neuronym.analysis.trust.explanation_metrics import METRICS, Metric, Pair
from neuronym.analysis.trust.features import logit_scale
from neuronym.atlas.context import LabelContext
from neuronym.similarity.base import Similarity, open_similarity
from neuronym.similarity.wpmi import SoftWpmi

#: Values of a block of work: units × images.
_BLOCK = 1 << 21

PerUnit = Float64[np.ndarray, " unit"]


@ANALYSES.register(
    "faithfulness",
    syntax="faithfulness[:metrics=…+…,share=…,folds=…,seed=…]",
    example="faithfulness:folds=5",
)
@dataclass(frozen=True)
class Faithfulness(Analysis):
    """How well the label's concept predicts the unit on images that had no part in the label.

    The probe is split into folds; every unit is labelled again without one fold, and p(t | x) of
    that label is held against the unit's activations on the fold. Each measure is the mean over
    folds; beside it stands the same of a random concept.

    Args:
        metrics: which ones, joined by +; see `METRICS`. None: those that pass the sanity tests.
        share: of the images of a fold that count as active, and as having the concept, for the
            metrics of yes and no.
        folds: parts of the probe.
        seed: of the split and of the random concepts.

    Reference: T. Oikarinen, G. Yan, T.-W. Weng. Evaluating Neuron Explanations: A Unified Framework
    with Sanity Checks. ICML 2025, arXiv 2506.05774.
    """

    name: ClassVar[str] = "faithfulness"
    metrics: str | None = text(None)
    share: float = number(0.02, low=1e-6, high=0.5)
    folds: int = whole(2, low=2)
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
        """Only methods that score all concepts by a similarity can label again without a fold."""
        _similarity(context, method, len(self._split(context)[0][0]))

    def run(self, context: LabelContext, method: str, layers: Sequence[str]) -> Findings:
        """The metrics, the same of a random concept (`random_…`), and `agreement`."""
        failing = [metric for metric in self.chosen if not metric.passes]
        for metric in failing:
            warnings.warn(explanation_metrics.warning(metric.name), stacklevel=2)
        scale = logit_scale(context, method)
        shared = SoftWpmi(top_k=1, a=scale).shared(
            context.image_embeddings, context.text_embeddings
        )
        logs, rng = shared["log_normalisers"], np.random.default_rng(self.seed + 1)
        parts: dict[str, list[dict[str, PerUnit]]] = {layer: [] for layer in layers}
        total = self.folds * sum(map(context.units, layers))
        with context.progress("faithfulness", total) as tick:
            for inside, outside in self._split(context):
                images = np.asarray(context.image_embeddings)[outside]
                found = _labels_of(context, method, layers, inside)
                for layer, labels in found.items():
                    rows = as_array(context.activations(layer)[0 : context.count])[outside]
                    same = labels == _shown(context, method, layer)
                    part = {"agreement": np.where(labels < 0, np.nan, same)}
                    random = _others(labels, len(context.words), rng)
                    for prefix, concepts in (("", labels), ("random_", random)):
                        part |= self._measure(
                            rows,
                            images,
                            context.text_embeddings,
                            logs[outside],
                            scale,
                            concepts,
                            prefix,
                        )
                    parts[layer].append(part)
                    tick.advance(len(labels))
        columns = {
            layer: {n: _mean([part[n] for part in own]) for n in (*self._names, "agreement")}
            for layer, own in parts.items()
        }
        facts: dict[str, Any] = {
            "share": self.share,
            "folds": self.folds,
            "means": {
                layer: {n: _number(float(_mean(values))) for n, values in own.items()}
                for layer, own in columns.items()
            },
        }
        if failing:
            facts["warnings"] = [explanation_metrics.warning(metric.name) for metric in failing]
        return Findings(columns, facts)

    @property
    def _names(self) -> list[str]:
        """The columns of metrics, in order."""
        names = [metric.name.replace("-", "_") for metric in self.chosen]
        return [*names, *(f"random_{name}" for name in names)]

    def _split(self, context: LabelContext) -> list[tuple[np.ndarray, np.ndarray]]:
        """Images to label from and images to measure on, in the order of content hashes."""
        if context.count < 2 * self.folds:
            raise misuse(
                "folds", f"at most half the number of images ({context.count})", self.folds
            )
        fold = np.random.default_rng(self.seed).permutation(context.count) % self.folds
        order = context.by_content
        return [(order[fold != k], order[fold == k]) for k in range(self.folds)]

    def _measure(
        self,
        activations: Float32[np.ndarray, "image unit"],
        images: Float32[np.ndarray, "image dim"],
        texts: Float32[np.ndarray, "concept dim"],
        log_normalisers: Float64[np.ndarray, " image"],
        a: float,
        concepts: Int64[np.ndarray, " unit"],
        prefix: str,
    ) -> dict[str, PerUnit]:
        """Every metric of every unit with its concept, on these images; NaN where it has none."""
        columns = {metric: np.full(len(concepts), np.nan) for metric in self.chosen}
        active = np.flatnonzero(concepts >= 0)
        step = max(1, _BLOCK // len(images))
        for low in range(0, len(active), step):
            here = active[low : low + step]
            cosines = np.asarray(texts[concepts[here]]) @ images.T
            pair = Pair(activations[:, here].T, np.exp(a * cosines - log_normalisers), self.share)
            for metric, values in columns.items():
                values[here] = metric.measure(pair)
        return {prefix + m.name.replace("-", "_"): values for m, values in columns.items()}


def _similarity(context: LabelContext, method: str, images: int) -> Similarity:
    """The method's similarity, with the defaults of a probe of so many images."""
    similarity_of(context, method)
    given = open_similarity(context.atlas.manifest.methods[method]["similarity"])
    return given.with_defaults(images, logit_scale(context, method))


def _labels_of(
    context: LabelContext, method: str, layers: Sequence[str], images: Int64[np.ndarray, " image"]
) -> dict[str, Int64[np.ndarray, " unit"]]:
    """The rank-1 label of every unit from some of the images alone; −1 where it abstains."""
    similarity = _similarity(context, method, len(images))
    vectors, texts = np.asarray(context.image_embeddings)[images], context.text_embeddings
    shared, found = similarity.shared(vectors, texts), {}
    tie = np.argsort(np.argsort(context.tie[images]))
    for layer in layers:
        rows = as_array(context.activations(layer)[0 : context.count])[images]
        top = similarity.top(rows, vectors, texts, 1, tie=tie, shared=shared)
        found[layer] = top.concepts[:, 0]
    return found


def _shown(context: LabelContext, method: str, layer: str) -> Int64[np.ndarray, " unit"]:
    """The rank-1 label that the atlas has for each unit; −2 where it has none."""
    frame = context.atlas.first_labels(layer, method=method, trust=False, abstaining=False)
    number = {word: row for row, word in enumerate(context.words)}
    found = np.full(context.units(layer), -2)
    found[frame["unit"].to_numpy()] = [number[word] for word in frame["concept"]]
    return found


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
    values = np.asarray(parts)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / known.sum(0)
