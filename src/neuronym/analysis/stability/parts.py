"""Real stability: labels scored again under other circumstances, one function per part."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from neuronym._core.errors import NeuronymError
from neuronym._core.numerics.topk import UnitStats, as_array, topk
from neuronym._core.progress import Ticker
from neuronym._core.types import Rows
from neuronym.analysis import matching
from neuronym.analysis.stability.configurations import Configuration
from neuronym.analysis.stability.measures import jaccard, rbo, same_first
from neuronym.analysis.trust.base import open_analysis
from neuronym.analysis.trust.bootstrap import Bootstrap
from neuronym.atlas import schema
from neuronym.atlas.context import LabelContext
from neuronym.similarity.base import Similarity, Top, open_similarity

#: Columns of every layer, in the order of the scorer's layers.
Columns = list[dict[str, np.ndarray]]
DEPTH = 20  # labels per unit that rankings are compared to


def image_counts(counts: Sequence[int], images: int) -> list[int]:
    """The numbers of images that a probe has."""
    return sorted({k for k in counts if k <= images})


def number_of_images(scorer: Scorer, tick: Ticker, counts: Sequence[int]) -> Columns:
    """Labels from each unit's k highest images, against those from the largest k.

    Columns `images_<k>_same`, `images_<k>_jaccard`, `images_<k>_rbo` for every k but the largest.
    """
    shared = scorer.similarity.shared(scorer.images, scorer.texts, device=scorer.context.device)
    found = {}
    for k in counts:
        found[k] = scorer.restricted(k, shared)
        tick.advance()
    last = counts[-1]
    return _merged(_compared(found[k], found[last], f"images_{k}") for k in counts if k != last)


def bootstrap(scorer: Scorer, tick: Ticker, resamples: int, seed: int) -> Columns:
    """Labels from resamples of the images; see `trust.bootstrap`.

    What the atlas holds of the analysis `bootstrap` with the same numbers is taken from there.
    Columns `bootstrap_same`: share of the resamples with the unit's first label.
    `bootstrap_jaccard`: mean overlap of the first five. `bootstrap_size`: of the concept set that
    covers 90 % of the resamples. `bootstrap_covered`: the share that it covers.
    """
    wanted, atlas = Bootstrap(resamples=resamples, halves=1, seed=seed), scorer.context.atlas
    method, layers = scorer.configuration.method, scorer.layers
    key = schema.analysis_id(wanted.name, method)
    entry: Any = atlas.manifest.analyses.get(key, {})
    there = entry and replace(open_analysis(entry["spec"]), halves=wanted.halves) == wanted
    if there and set(layers) <= set(entry["layers"]):
        found: Any = {layer: atlas.trust(wanted.name, layer, method=method) for layer in layers}
    else:
        found = wanted.run(scorer.context, method, layers).layers
    names = {
        "same": "stability",
        "jaccard": "top5_jaccard",
        "size": "set_size",
        "covered": "coverage",
    }
    return [
        {f"bootstrap_{n}": np.array(found[layer][c], np.float64) for n, c in names.items()}
        for layer in layers
    ]


def split_halves(scorer: Scorer, tick: Ticker, splits: int, seed: int) -> Columns:
    """Labels from one half of the images against those from the other, several random splits.

    Which images make a half depends on their content, not on their order. Columns `halves_same`,
    `halves_jaccard`, `halves_rbo`: means over the splits.
    """
    count, found = len(scorer.images), []
    by_content = np.argsort(scorer.tie)
    for split in range(splits):
        rng = np.random.default_rng([seed, split])
        shuffled = by_content[rng.permutation(count)]
        one, other = (scorer.within(np.sort(half)) for half in np.array_split(shuffled, 2))
        found.append(_compared(one, other, "halves"))
        tick.advance()
    return _mean(found)


def image_order(scorer: Scorer, tick: Ticker, seed: int) -> Columns:
    """Labels when images, activations and embeddings come in another order.

    Column `order_same`: 1 where the first label is the same, which it should be everywhere.
    """
    order = np.random.default_rng(seed).permutation(len(scorer.images))
    columns = []
    for rows, full in zip(scorer.activations, scorer.full, strict=True):
        shuffled = np.asarray(rows[0 : len(order)])[order]
        (top,) = scorer.top(
            activations=[shuffled], images=scorer.images[order], tie=scorer.tie[order]
        )
        columns.append({"order_same": same_first(top.concepts, full.concepts)})
        tick.advance()
    return columns


def concept_subsets(
    scorer: Scorer, tick: Ticker, subsets: int, share: float, seed: int, synonyms: float | None
) -> Columns:
    """Labels from random parts of the concept set.

    Columns `words_kept`: of the subsets that hold the unit's label, the share in which it is the
    first again. Of the subsets without it: `words_next`, the share in which the best of the other
    labels that are left moves up, and `words_synonyms`, in which a synonym takes its place.
    """
    words = scorer.context.words
    same = matching.vocabulary(scorer.configuration.atlas, words, synonyms)
    size, found = max(1, round(share * len(words))), []
    for subset in range(subsets):
        rng = np.random.default_rng([seed, subset])
        chosen = np.sort(rng.permutation(len(words))[:size])
        tops = scorer.top(texts=scorer.texts[chosen])
        found.append(
            [
                _moved(full.concepts, _numbers(top, chosen), chosen, same)
                for full, top in zip(scorer.full, tops, strict=True)
            ]
        )
        tick.advance()
    return _mean(found)


def other_prompts(
    scorer: Scorer, tick: Ticker, templates: Sequence[str], synonyms: float | None
) -> Columns:
    """Labels when the words are embedded in other prompt templates.

    Columns `prompts_same`, `prompts_synonyms`, `prompts_jaccard`, `prompts_rbo`: means over the
    templates.

    Raises:
        NeuronymError, UsageError: the encoder cannot be opened.
    """
    words = scorer.context.words
    same = matching.vocabulary(scorer.configuration.atlas, words, synonyms)
    encoder, found = scorer.context.sources.encoder(), []
    for template in templates:
        texts = scorer.context.sources.embed_words(words, [template], encoder)
        tops = scorer.top(texts=np.asarray(texts))
        columns = _compared(tops, scorer.full, "prompts")
        for own, top, full in zip(columns, tops, scorer.full, strict=True):
            alike = same.pairs(top.concepts[:, :1], full.concepts[:, :1], "synonyms")[:, 0, 0]
            own["prompts_synonyms"] = np.where(np.isfinite(own["prompts_same"]), alike, np.nan)
        found.append(columns)
        tick.advance()
    return _mean(found)


class Scorer:
    """One configuration, ready to be scored again.

    Args:
        configuration: whose similarity, layers and atlas.
        **sources: see `LabelContext`.

    Raises:
        NeuronymError: the atlas holds no embeddings.
    """

    def __init__(self, configuration: Configuration, **sources: Any) -> None:
        self.configuration = configuration
        self.context = LabelContext(configuration.atlas, **sources)
        self.layers = configuration.layers
        filled = configuration.facts.get("with_defaults")
        if filled is None:
            raise NeuronymError(
                f"{configuration.atlas.folder} does not say with what its labels were made."
            )
        self.similarity = open_similarity(filled)
        self.images = np.asarray(self.context.image_embeddings)
        self.texts = np.asarray(self.context.text_embeddings)
        self.tie = self.context.tie

    @functools.cached_property
    def activations(self) -> list[Rows]:
        """Of each layer."""
        return [self.context.activations(layer) for layer in self.layers]

    @functools.cached_property
    def full(self) -> list[Top]:
        """The labels as they are, `DEPTH` of them."""
        return self.top()

    def top(
        self,
        similarity: Similarity | None = None,
        *,
        activations: Sequence[Rows] | None = None,
        images: np.ndarray | None = None,
        texts: np.ndarray | None = None,
        tie: np.ndarray | None = None,
        shared: dict[str, np.ndarray] | None = None,
        n: int = DEPTH,
    ) -> list[Top]:
        """The best concepts per layer; what is not given is as in the atlas."""
        return (similarity or self.similarity).top_many(
            self.activations if activations is None else activations,
            self.images if images is None else images,
            self.texts if texts is None else texts,
            n,
            tie=self.tie if tie is None else tie,
            shared=shared,
            device=self.context.device,
        )

    def restricted(self, k: int, shared: dict[str, np.ndarray]) -> list[Top]:
        """The best concepts when the similarity sees only each unit's k highest images.

        soft-wpmi and wpmi get top_k = k, rank-reorder top_fraction = k/N. For cos and cos-cubed
        every image outside a unit's k highest counts as one that leaves it silent: its activation
        is replaced by the unit's minimum.
        """
        known = {entry.name for entry in fields(self.similarity)}
        if "top_k" in known:
            return self.top(replace(self.similarity, top_k=k), shared=shared)
        if "top_fraction" in known:
            share = k / len(self.images)
            return self.top(replace(self.similarity, top_fraction=share), shared=shared)
        masked = [Masked(rows, k, self.tie) for rows in self.activations]
        return self.top(activations=masked, shared=shared)

    def within(self, rows: Int64[np.ndarray, " some"]) -> list[Top]:
        """The best concepts when the probe consists of some of its images only (ascending)."""
        similarity = self.similarity
        if getattr(similarity, "top_k", 0) > len(rows):
            similarity = replace(similarity, top_k=len(rows))
        return self.top(
            similarity,
            activations=[Chosen(layer, rows) for layer in self.activations],
            images=self.images[rows],
            tie=np.argsort(np.argsort(self.tie[rows])),
        )


class Chosen:
    """Some rows of an array, in ascending order, read by slices."""

    def __init__(self, rows: Rows, chosen: Int64[np.ndarray, " some"]) -> None:
        self._rows, self._chosen = rows, chosen
        self.shape = (len(chosen), rows.shape[1])

    def __getitem__(self, some: slice) -> np.ndarray:
        here = self._chosen[some]
        if not len(here):
            return as_array(self._rows[0:0])
        low = int(here[0])
        return as_array(self._rows[low : int(here[-1]) + 1])[here - low]


class Masked:
    """Activations of which each unit keeps its k highest; the others are its minimum."""

    def __init__(self, rows: Rows, k: int, tie: np.ndarray) -> None:
        stats = UnitStats(rows.shape[1])
        best = topk(rows, k, tie, stats=stats)
        self._rows, self.shape = rows, rows.shape
        self._low: Float[np.ndarray, " unit"] = stats.minimum.astype(np.float32)
        kept = best.indices >= 0
        order = np.argsort(best.indices[kept], kind="stable")
        self._image = best.indices[kept][order]
        self._unit = np.nonzero(kept)[0][order]

    def __getitem__(self, some: slice) -> np.ndarray:
        whole = as_array(self._rows[some])
        start = some.indices(self.shape[0])[0]
        low, high = np.searchsorted(self._image, [start, start + len(whole)])
        image, unit = self._image[low:high] - start, self._unit[low:high]
        # What is not finite stays: such units abstain.
        found = np.where(np.isfinite(whole), self._low, whole)
        found[image, unit] = whole[image, unit]
        return found


def _moved(
    old: Int64[np.ndarray, "unit depth"],
    new: Int64[np.ndarray, "unit depth"],
    chosen: Int64[np.ndarray, " chosen"],
    same: matching.Vocabulary,
) -> dict[str, np.ndarray]:
    """What became of each unit's first label in one subset."""
    both = (old[:, 0] >= 0) & (new[:, 0] >= 0)
    left = np.isin(old, chosen) & (old >= 0)
    kept = np.where(both & left[:, 0], new[:, 0] == old[:, 0], np.nan)
    following = np.where(left.any(1), old[np.arange(len(old)), left.argmax(1)], -1)
    gone = both & ~left[:, 0]
    alike = same.pairs(old[:, :1], new[:, :1], "synonyms")[:, 0, 0]
    return {
        "words_kept": kept,
        "words_next": np.where(gone, new[:, 0] == following, np.nan),
        "words_synonyms": np.where(gone, alike, np.nan),
    }


def _numbers(top: Top, chosen: np.ndarray) -> Int64[np.ndarray, "unit depth"]:
    """The concepts of a subset by their numbers in the whole set."""
    return np.where(top.concepts >= 0, chosen[top.concepts], -1)


def _compared(left: Sequence[Top], right: Sequence[Top], name: str) -> Columns:
    """Agreement of two series of rankings, layer by layer."""
    return [
        {
            f"{name}_same": same_first(a.concepts, b.concepts),
            f"{name}_jaccard": jaccard(a.concepts, b.concepts),
            f"{name}_rbo": rbo(a.concepts[:, :DEPTH], b.concepts[:, :DEPTH]),
        }
        for a, b in zip(left, right, strict=True)
    ]


def _merged(series: Iterable[Columns]) -> Columns:
    """Several series of columns as one."""
    return [{k: v for own in layer for k, v in own.items()} for layer in zip(*series, strict=True)]


def _mean(series: Sequence[Columns]) -> Columns:
    """Means over repetitions, of those in which there was something to compare."""
    return [
        {name: _mean_known([own[name] for own in layer]) for name in layer[0]}
        for layer in zip(*series, strict=True)
    ]


def _mean_known(values: Sequence[np.ndarray]) -> np.ndarray:
    stacked = np.stack(values)
    known = np.isfinite(stacked)
    total = np.where(known, stacked, 0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)
