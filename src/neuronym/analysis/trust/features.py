"""What is known of every unit's rank-1 label without the truth: features that it is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

from neuronym._core.numerics.topk import as_array
from neuronym._core.progress import Progress, silent
from neuronym.analysis.rescoring import own_similarity
from neuronym.analysis.trust.explanation_metrics import ranks
from neuronym.atlas.context import LabelContext
from neuronym.inputs.encoders.base import measured_logit_scale
from neuronym.similarity.wpmi import SoftWpmi

#: Labels per unit that are looked at: the first one, and those that it is held against.
LABELS = 10
#: Values of a block of work: images × (units and all their labels).
_BLOCK = 1 << 24
#: Float32 values that differ by less, in parts of the largest, differ by rounding.
_NOISE = 1e-5

#: Name → meaning. All are numbers per unit; NaN where the unit has no label or no such number.
FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "fit": "correlation of 1/√rank, the image's rank among the unit's activations, with the "
        "label's p(t | x), over all images",
        "fit_margin": "fit less the highest such correlation of the unit's next nine labels",
        "margin": "log of the score less that of the second label, plus 0.05",
        "crowding": "log of the number of the layer's units with the same highest image, over the "
        "number to be expected",
        "clarity": "mean cosine of pairs of the top_k images, in standard deviations of the "
        "probe's",
        "lead": "log of the highest activation, in standard deviations above the mean",
        "positive": "share of images with a positive activation",
        "chance": "−log10 of the p-value of `significance`",
        "stability": "log odds of the share of resamples with the same label, from `bootstrap`",
    }
)
#: Which analysis a feature is read from; the others are measured.
ANALYSED: Mapping[str, str] = MappingProxyType({"chance": "significance", "stability": "bootstrap"})

PerUnit = Float64[np.ndarray, " unit"]
_TRANSFORMED = {
    "chance": lambda frame: -np.log10(frame["p"]),
    "stability": lambda frame: np.log((frame["stability"] + 0.02) / (1.02 - frame["stability"])),
}


def features(
    context: LabelContext, method: str, layer: str, names: Iterable[str] = tuple(FEATURES)
) -> dict[str, PerUnit]:
    """`FEATURES` of one layer, in the order of its units.

    Args:
        context: of the atlas.
        method: one that scores all concepts by a similarity.
        layer: one that it has labelled.
        names: which ones. Those of analyses that were not run are NaN.

    Raises:
        UsageError: the method is not clip-dissect.
        NeuronymError: activations or embeddings are not to be had.
    """
    labels, scores = _labels(context, method, layer)
    found = of_labels(context, method, layer, labels, scores)
    units = context.units(layer)
    for name, analysis in ANALYSED.items():
        found[name] = np.full(units, np.nan)
        if name in set(names) and analysis in context.atlas.analyses(method):
            frame = context.atlas.trust(analysis, layer, method=method)
            frame = frame.set_index("unit").sort_index()
            found[name] = _TRANSFORMED[name](frame).reindex(range(units)).to_numpy(np.float64)
    return {name: np.where(labels[:, 0] < 0, np.nan, found[name]) for name in names}


def of_labels(
    context: LabelContext,
    method: str,
    layer: str,
    labels: Int64[np.ndarray, "unit rank"],
    scores: Float64[np.ndarray, "unit rank"],
) -> dict[str, PerUnit]:
    """The features that are measured, of labels that need not be in the atlas; see `measured`."""
    return measured(
        as_array(context.activations(layer)[0 : context.count]),
        context.image_embeddings,
        context.text_embeddings,
        labels,
        scores,
        logit_scale=logit_scale(context, method),
        top_k=_top_k(context, method),
        progress=context.progress,
    )


def logit_scale(context: LabelContext, method: str) -> float:
    """The scale of the softmax over concepts: the method's own, else the encoder's."""
    own = context.atlas.manifest.methods[method].get("logit_scale") or context.logit_scale
    return float(own or measured_logit_scale(context.image_embeddings, context.text_embeddings))


def _top_k(context: LabelContext, method: str) -> int:
    """Images that a label is made from; where a method has no such number, soft-wpmi's."""
    own = getattr(own_similarity(context.atlas, method), "top_k", None)
    return own or SoftWpmi().with_defaults(context.count, 1).top_k or context.count


def _labels(
    context: LabelContext, method: str, layer: str
) -> tuple[Int64[np.ndarray, "unit rank"], Float64[np.ndarray, "unit rank"]]:
    """The first labels of each unit: rows of the concepts (−1: none), and scores (NaN)."""
    frame = context.atlas.labels(layer, method=method, trust=False)
    frame = frame[~frame["abstained"] & (frame["rank"] <= LABELS)]
    shape = (context.units(layer), LABELS)
    rows, scores = np.full(shape, -1, np.int64), np.full(shape, np.nan)
    place = (frame["unit"].to_numpy(), frame["rank"].to_numpy() - 1)
    number = {word: row for row, word in enumerate(context.words)}
    # Words of other methods that are no concepts have no features.
    rows[place] = [number.get(word, -1) for word in frame["concept"]]
    scores[place] = frame["score"]
    return rows, scores


def measured(
    activations: Float[np.ndarray, "image unit"],
    images: Float[np.ndarray, "image dim"],
    texts: Float[np.ndarray, "concept dim"],
    labels: Int64[np.ndarray, "unit rank"],
    scores: Float[np.ndarray, "unit rank"],
    *,
    logit_scale: float,
    top_k: int,
    progress: Progress = silent,
) -> dict[str, PerUnit]:
    """The features that come from arrays.

    Args:
        activations: of one layer.
        images, texts: embeddings.
        labels: rows of `texts`, best first; −1: none.
        scores: of the labels.
        logit_scale: scale of the softmax over concepts.
        top_k: images that a label is made from.
    """
    units, count = len(labels), len(images)
    found = {name: np.full(units, np.nan) for name in FEATURES if name not in ANALYSED}
    vectors = np.asarray(images, np.float32)
    shared = SoftWpmi(top_k=1, a=logit_scale).shared(vectors, texts)
    normalisers = np.asarray(shared["log_normalisers"], np.float32)
    typical, spread = _pairs(vectors)
    step = max(1, _BLOCK // (count * (1 + labels.shape[1])))
    highest = np.zeros(units, np.int64)
    with np.errstate(invalid="ignore", divide="ignore"), progress("features", units) as tick:
        for low in range(0, units, step):
            here = slice(low, low + step)
            block = np.ascontiguousarray(activations[:, here].T, np.float32)
            weights = 1 / np.sqrt(1 + count - ranks(block))
            fits = _fits(weights, vectors, texts, normalisers, labels[here], logit_scale)
            found["fit"][here] = fits[:, 0]
            others = np.fmax.reduce(fits[:, 1:], axis=1, initial=np.nan)
            found["fit_margin"][here] = fits[:, 0] - others
            top = np.argpartition(-block, top_k - 1, axis=1)[:, :top_k]
            highest[here] = block.argmax(1)
            found["clarity"][here] = (_clarity(vectors[top]) - typical) / spread
            found["lead"][here] = np.log((block.max(1) - block.mean(1)) / block.std(1))
            found["positive"][here] = (block > 0).mean(1)
            tick.advance(len(block))
        if scores.shape[1] > 1:
            found["margin"] = np.log(scores[:, 0] - scores[:, 1] + 0.05)
    found["crowding"] = _crowding(highest, labels[:, 0] >= 0, count)
    return {name: np.where(np.isfinite(v), v, np.nan) for name, v in found.items()}


def _crowding(
    highest: Int64[np.ndarray, " unit"], active: Bool[np.ndarray, " unit"], images: int
) -> PerUnit:
    """log (1 + other units with the same highest image) / (1 + as many as if drawn at random)."""
    units = np.bincount(highest[active], minlength=images)
    others = units[highest] - active
    return np.log1p(others) - np.log1p(max(active.sum() - 1, 0) / images)


def standardised(rows: Float[np.ndarray, "row image"]) -> Float32[np.ndarray, "row image"]:
    """Each row less its mean, over its standard deviation; NaN where only rounding varies."""
    centred = rows - rows.mean(1, keepdims=True, dtype=np.float64).astype(np.float32)
    spread = np.sqrt(np.einsum("ri,ri->r", centred, centred) / rows.shape[1])
    low, high = rows.min(1), rows.max(1)
    flat = high - low <= _NOISE * np.maximum(np.abs(low), np.abs(high))
    return centred / np.where(flat, np.nan, spread)[:, None]


def _fits(
    weights: Float[np.ndarray, "unit image"],
    images: Float32[np.ndarray, "image dim"],
    texts: Float[np.ndarray, "concept dim"],
    normalisers: Float32[np.ndarray, " image"],
    labels: Int64[np.ndarray, "unit rank"],
    a: float,
) -> Float64[np.ndarray, "unit rank"]:
    """Correlation of each unit's weights with p(t | x) of each of its labels."""
    used, member = np.unique(np.maximum(labels, 0), return_inverse=True)
    p = np.asarray(texts[used], np.float32) @ images.T
    np.exp(np.multiply(p, a, out=p) - normalisers, out=p)
    fits = standardised(weights.astype(np.float32)) @ standardised(p).T / p.shape[1]
    own = np.take_along_axis(fits, member.reshape(labels.shape), 1).astype(np.float64)
    return np.where(labels < 0, np.nan, own)


def _clarity(vectors: Float32[np.ndarray, "unit k dim"]) -> PerUnit:
    """Mean cosine of all pairs; NaN with fewer than two."""
    k = vectors.shape[1]
    squares = (vectors.mean(1, dtype=np.float64) ** 2).sum(1)
    return (k * squares - 1) / (k - 1) if k > 1 else np.full(len(vectors), np.nan)


def _pairs(images: Float32[np.ndarray, "image dim"]) -> tuple[float, float]:
    """Mean and standard deviation of the cosine of two images of the probe, from a sample."""
    first, second = np.random.default_rng(0).integers(0, len(images), (2, 20_000))
    apart = first != second
    cosines = np.einsum("pd,pd->p", images[first[apart]], images[second[apart]])
    return (float(cosines.mean()), float(cosines.std())) if apart.any() else (np.nan, np.nan)
