"""soft-wpmi and wpmi: pointwise mutual information of a concept and the highest images."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int32, Int64, Integer

from neuronym._core.checks import Verbatim, integer, misuse
from neuronym._core.numerics import compiled
from neuronym._core.numerics.topk import abstentions
from neuronym._core.progress import Progress, silent
from neuronym._core.registry import number, whole, word
from neuronym._core.types import Rows
from neuronym.similarity import blocks, resampling
from neuronym.similarity.base import SIMILARITIES, Similarity, Top
from neuronym.similarity.blocks import (
    HIGHEST_LOG,
    Form,
    Job,
    Problem,
    block_of,
    centre_of,
    embedding_blocks,
    with_duplicates,
)
from neuronym.similarity.kernels import wpmi_torch

PRIORS = ("layer", "probe")


def device_for(device: torch.device | str | None, images: Rows) -> str:
    """Where to compute: on CUDA or on the CPU. None: where the image embeddings are."""
    chosen = str(getattr(images, "device", "cpu") if device is None else device)
    return chosen if chosen.startswith("cuda") else "cpu"


def backend(device: str) -> ModuleType:
    """The module that computes there: both have the same functions."""
    if device == "cpu" and compiled.available():
        from neuronym.similarity.kernels import wpmi_compiled

        return wpmi_compiled
    return wpmi_torch


def name(device: str) -> str:
    """As `Top.backend` has it."""
    if device != "cpu":
        return "torch on cuda"
    return "compiled" if compiled.available() else "torch"


class MutualInformation(Similarity):
    r"""Weighted pointwise mutual information of a unit's highest images and a concept.

    score(k, t) = evidence(images of k, t) − λ log p(t), with p(t | x) = exp(a·cos(x, t) − log Z(x))
    and log Z(x) = log Σ_t exp(a·cos(x, t)) over the concept set.

    prior `layer`: log p(t) = log of the mean, over the layer's units, of exp(evidence).
    prior `probe`: log p(t) = the evidence of images that all have the probe's mean of p(t | x).
    """

    top_k: int | None
    a: float | None
    lam: float
    min_prob: float
    prior: str

    @abc.abstractmethod
    def _default_top_k(self, images: int) -> int:
        """The size of B_k that suits a probe of this many images."""

    @abc.abstractmethod
    def _default_a(self, logit_scale: float) -> float:
        """The scale of the softmax that suits an encoder of this logit scale."""

    @abc.abstractmethod
    def _form(self, top_k: int, highest: float) -> Form:
        """The evidence of sets of so many images, where log p(t | x) is at most `highest`."""

    def with_defaults(self, images: int, logit_scale: float) -> MutualInformation:
        """Fill in `top_k` from the number of images and `a` from the encoder's logit scale.

        Raises:
            UsageError: `top_k` was given and is larger than the number of images.
        """
        a = self._default_a(logit_scale) if self.a is None else self.a
        return dataclasses.replace(self, top_k=self._size(images), a=a)

    def depth(self, images: int) -> int:
        """top_k."""
        return self._size(images)

    def _size(self, images: int) -> int:
        """top_k for this many images."""
        default = min(images, self._default_top_k(images))
        if self.top_k is not None and self.top_k > images:
            raise misuse(
                "top_k",
                f"at most the number of images ({images})",
                self.top_k,
                "Take a smaller top_k or more images, or leave top_k out: "
                f"the default for {images} images is {default}.",
            )
        return default if self.top_k is None else self.top_k

    def _scale(self) -> float:
        """a, which nothing but the encoder can tell."""
        if self.a is None:
            raise misuse(
                "a",
                "a number when scores are computed",
                self.a,
                f"Write {self.name}:a={self._default_a(10):g} (which suits CLIP), or fill it in "
                "with with_defaults(images=…, logit_scale=encoder.logit_scale).",
            )
        return self.a

    def shared(
        self,
        images: Rows,
        texts: Rows,
        *,
        device: torch.device | str | None = None,
        progress: Progress = silent,
    ) -> dict[str, np.ndarray]:
        """Log-normalisers of the images, and with `prior="probe"` the mean probabilities.

        Returns:
            `log_normalisers`: float64 `[image]`, log Z(x). `mean_probabilities`: float64
            `[concept]`, the mean of p(t | x) over the images.

        Raises:
            UsageError: embeddings that are not finite, or far longer than unit vectors.
        """
        blocks.check_embeddings(images, texts)
        distinct, member = blocks.distinct_rows(texts)
        weights, where = np.bincount(member).astype(np.float32), device_for(device, images)
        normalisers, means = backend(where).log_normalisers(
            images, distinct, weights, self._scale(), self.prior == "probe", where, progress
        )
        if not np.isfinite(normalisers).all():
            raise misuse("images and texts", "be unit vectors", Verbatim("huge values"))
        found = {"log_normalisers": normalisers}
        if means is not None:
            found["mean_probabilities"] = means[member]
        return found

    def scores(
        self, activations: Rows, images: Rows, texts: Rows, *, tie: np.ndarray | None = None
    ) -> np.ndarray:
        """All scores, float32 `[unit, concept]`; rows of abstaining units are NaN."""
        problem = Problem.of(activations, images, texts, tie)
        shared = self.shared(images, texts)
        indices, _ = self._highest(problem, silent)
        active = indices[:, 0] >= 0
        found = np.full((problem.units, len(problem.member)), np.nan, np.float32)
        if active.any():
            job = self._job([indices[active]], problem, shared, device_for(None, images))
            found[active] = backend(job.device).scores(job)[:, problem.member]
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
        """The n best concepts per unit of several layers, in one pass over the concepts.

        Returns:
            One `Top` per layer. `arrays`: `indices` int32 `[unit, top_k]`, −1 where the unit
            abstains; `log_normalisers` float64 `[image]`; `log_prior` float64 `[concept]`, log p(t)
            (no such array where all units of the layer abstain).
        """
        n = min(integer("n", n, 1), texts.shape[0])
        problems = Problem.of_layers(layers, images, texts, tie)
        where = device_for(device, images)
        self._size(images.shape[0])
        if shared is None:
            shared = self.shared(images, texts, device=where, progress=progress)
        ranked = [self._highest(problem, progress) for problem in problems]
        sets = [indices[indices[:, 0] >= 0] for indices, _ in ranked]
        # A layer in which every unit abstains has no prior: leave it out.
        filled = [own for own in sets if len(own)]
        if filled:
            job = self._job(filled, problems[0], shared, where)
            best = backend(where).best(job, min(n, len(job.texts)), progress)
            member = problems[0].member
            all_scores, all_concepts = with_duplicates(best.scores, best.texts, member, n)
        found, layer = [], 0
        for (indices, reasons), own in zip(ranked, sets, strict=True):
            scores = np.full((len(indices), n), np.nan, np.float32)
            concepts = np.full((len(indices), n), -1, np.int64)
            arrays = {"indices": indices, "log_normalisers": np.asarray(shared["log_normalisers"])}
            if len(own):
                rows = slice(job.bounds[layer], job.bounds[layer + 1])
                active = indices[:, 0] >= 0
                scores[active], concepts[active] = all_scores[rows], all_concepts[rows]
                arrays["log_prior"] = best.priors[layer][member]
                layer += 1
            found.append(Top(scores, concepts, reasons, arrays, name(where)))
        return found

    def _highest(
        self, problem: Problem, progress: Progress
    ) -> tuple[Int32[np.ndarray, "unit top_k"], tuple[str | None, ...]]:
        """Each unit's images, −1 where it abstains, and why it does."""
        top_k = self._size(problem.count)
        ranked, stats = problem.rank(top_k, progress)
        # With top_k = N the set is every image, and no tie can decide who is in it.
        reasons = self._lonely(abstentions(stats, min(top_k, problem.count - 1)))
        active = np.flatnonzero([reason is None for reason in reasons])
        indices = np.full((problem.units, top_k), -1, np.int32)
        indices[active] = ranked.indices[active]
        return indices, reasons

    def _lonely(self, reasons: tuple[str | None, ...]) -> tuple[str | None, ...]:
        """One active unit is its own prior: at λ = 1 every concept scores 0."""
        if self.prior != "layer" or self.lam != 1 or sum(r is None for r in reasons) != 1:
            return reasons
        why = (
            "the layer has one active unit: prior=layer gives every concept the same score; "
            "use prior=probe"
        )
        return tuple(why if reason is None else reason for reason in reasons)

    def _job(
        self,
        sets: Sequence[Integer[np.ndarray, "_ top_k"]],
        problem: Problem,
        shared: Mapping[str, np.ndarray],
        device: str,
    ) -> Job:
        """The sets of one or more layers against all texts."""
        mean = None
        if self.prior == "probe":
            first = np.unique(problem.member, return_index=True)[1]
            mean = np.asarray(shared["mean_probabilities"])[first]
        normalisers = np.asarray(shared["log_normalisers"])
        return self._job_of(sets, problem.images, problem.texts, normalisers, mean, device)

    def _job_of(
        self,
        layers: Sequence[Integer[np.ndarray, "_ top_k"]],
        images: Rows,
        texts: Float[np.ndarray, "text dim"],
        log_normalisers: Float[np.ndarray, " image"],
        mean: Float64[np.ndarray, " text"] | None,
        device: str,
    ) -> Job:
        if log_normalisers.shape != (images.shape[0],):
            raise misuse(
                "log_normalisers",
                f"have one entry for each of the {images.shape[0]} images",
                log_normalisers.shape,
            )
        every = np.concatenate(layers).astype(np.int64)
        form = partial(self._form, every.shape[1])
        prior = None if mean is None else form(0.0).of_constant(mean)
        return Job(
            every,
            np.cumsum([0, *map(len, layers)]),
            images,
            texts,
            centre_of(texts),
            log_normalisers.astype(np.float64),
            self._scale(),
            form,
            self.lam,
            prior,
            device,
        )

    def evidence(
        self,
        sets: Int64[np.ndarray, "set top_k"],
        images: Rows,
        texts: Float[np.ndarray, "text dim"],
        log_normalisers: Float[np.ndarray, " image"],
    ) -> Iterator[tuple[int, Float32[torch.Tensor, "set text"], float]]:
        """Evidence of any sets of images, tile by tile: (first text, values, constant to add).

        The sets may be the units' highest images, resamples of them, or random ones: everything
        else about the scoring is shared. Only images that are in some set get a softmax row.
        """
        job = self._job_of([sets], images, texts, log_normalisers, None, device_for(None, images))
        yield from backend(job.device).evidence(job)

    def resample(
        self,
        sets: Integer[np.ndarray, "unit resample top_k"],
        candidates: Integer[np.ndarray, "unit candidate"],
        images: Rows,
        texts: Rows,
        log_normalisers: Float[np.ndarray, " image"],
        log_prior: Float[np.ndarray, " concept"],
    ) -> Float32[np.ndarray, "unit resample candidate"]:
        """Scores of each unit's own candidate concepts under resampled image sets.

        The prior is held at its full-sample value. The result and the working arrays grow with the
        number of units: hand over some hundred units of a layer at a time.

        Args:
            sets: rows of `images` from the highest activation down, drawn with or without
                repetition; −1 in the first place where the unit abstains.
            candidates: rows of `texts`; −1 for none.
            images: image embeddings `[image, dim]`.
            texts: text embeddings `[concept, dim]`.
            log_normalisers: log Z(x), as in `Top.arrays` or `shared`.
            log_prior: log p(t), as in `Top.arrays`.

        Returns:
            float32; NaN where there is no set or no candidate.

        Raises:
            UsageError: shapes or numbers that do not fit each other.
        """
        return resampling.resample(
            sets,
            candidates,
            images,
            texts,
            log_normalisers,
            log_prior,
            self._scale(),
            self.lam,
            partial(self._form, sets.shape[2]),
        )

    def score_words(
        self, arrays: Mapping[str, np.ndarray], images: Rows, texts: Rows
    ) -> Float[np.ndarray, "unit word"]:
        """Scores of words that need not be in the concept set, for all units of a layer.

        p(t | x) = exp(a·cos(x, t) − log Z(x)) with the stored log Z, which the new word does not
        enter: a word of the concept set gets the score it has, a new one is measured on the same
        scale, and no score depends on which words are asked for together.

        Args:
            arrays: `Top.arrays`: `indices` `[unit, top_k]` and `log_normalisers` `[image]`.
            images: image embeddings `[image, dim]`.
            texts: embeddings of the words `[word, dim]`.

        Returns:
            float32; NaN in the rows of units that abstain.
        """
        count = blocks.check_embeddings(images, texts)
        top_k = self._size(count)
        indices, normalisers = np.asarray(arrays["indices"]), np.asarray(arrays["log_normalisers"])
        if indices.ndim != 2 or indices.shape[1] != top_k or len(normalisers) != count:
            raise misuse(
                "arrays",
                f"fit {self.spec} on {count} images",
                f"indices {indices.shape}, log_normalisers {normalisers.shape}",
            )
        words, member = blocks.distinct_rows(texts)
        active = indices[:, 0] >= 0
        found = np.full((len(indices), texts.shape[0]), np.nan, np.float32)
        if active.any():
            mean = self._mean(images, words, normalisers) if self.prior == "probe" else None
            where = device_for(None, images)
            job = self._job_of([indices[active]], images, words, normalisers, mean, where)
            found[active] = backend(where).scores(job)[:, member]
        return found

    def _mean(
        self,
        images: Rows,
        words: Float[np.ndarray, "word dim"],
        normalisers: Float[np.ndarray, " image"],
    ) -> Float64[np.ndarray, " word"]:
        """The probe's mean of p(word | x), with the normalisers held."""
        total, centre, a = np.zeros(len(words)), centre_of(words), self._scale()
        columns = words - centre
        for low, block in embedding_blocks(images, block_of(len(words))):
            held = normalisers[low : low + len(block)]
            logs = held - a * blocks.along([(0, block)], centre, len(block))
            logits = a * (block.numpy() @ columns.T) - logs[:, None].astype(np.float32)
            total += np.exp(np.minimum(logits, HIGHEST_LOG)).sum(0, dtype=np.float64)
        return total / images.shape[0]


@SIMILARITIES.register(
    "soft-wpmi",
    syntax="soft-wpmi[:top_k=…,a=…,lam=…,min_prob=…,prior=layer|probe]",
    example="soft-wpmi:top_k=5,a=10,prior=probe",
)
@dataclass(frozen=True)
class SoftWpmi(MutualInformation):
    r"""Soft weighted pointwise mutual information: CLIP-Dissect's best similarity.

    Σ_{r<top_k} log(1 + p_r·(p(t | x_r) − 1) + min_prob) − lam·log p(t), where x_0, x_1, … are the
    unit's images from the highest activation down, and p_r = 0.998 − 0.028·r/top_k is the
    probability that x_r belongs to what the unit responds to.

    Args:
        top_k: images per unit. None: min(100, max(5, N/100)), and at most N.
        a: scale of the softmax over concepts. None: the encoder's logit scale (10 for CLIP).
        lam: weight λ of the prior.
        min_prob: added inside the logarithm.
        prior: `layer` (log-mean-exp over the layer's units) or `probe` (no unit is involved).

    Reference: Oikarinen and Weng, "CLIP-Dissect: Automatic Description of Neuron Representations in
    Deep Vision Networks", ICLR 2023, arXiv 2204.10965.

    >>> texts = np.eye(3)
    >>> images = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    >>> activations = np.array([[5, 0], [4, 1], [0, 2], [1, 0], [0, 9], [2, 8]])
    >>> similarity = SoftWpmi(top_k=2, a=10)
    >>> similarity.top(activations, images, texts, n=1).concepts.tolist()
    [[0], [2]]
    >>> scores = similarity.scores(activations, images, texts)
    >>> scores[:, [0, 2]].astype(float).round(3).tolist()
    [[0.693, -9.631], [-9.631, 0.693]]
    """

    name: ClassVar[str] = "soft-wpmi"

    top_k: int | None = whole(None, low=1)
    a: float | None = number(None, low=1e-6, high=1e4)
    lam: float = number(1.0, low=0, high=1000)
    min_prob: float = number(1e-7, low=1e-12, high=0.1)
    prior: str = word("layer", PRIORS)

    def _default_top_k(self, images: int) -> int:
        return min(100, max(5, images // 100))

    def _default_a(self, logit_scale: float) -> float:
        return logit_scale

    def _form(self, top_k: int, highest: float) -> Form:
        # 1 + p_r·(x − 1) + ε = (1 − p_r + ε)·(1 + w·x): the first factor is the same for all.
        member = 0.998 - 0.028 * np.arange(top_k) / top_k
        rest = 1 - member + self.min_prob
        return Form(member / rest, base=1.0, added=0.0, constant=float(np.log(rest).sum()))


@SIMILARITIES.register(
    "wpmi", syntax="wpmi[:top_k=…,a=…,lam=…,min_prob=…,prior=layer|probe]", example="wpmi:top_k=5"
)
@dataclass(frozen=True)
class Wpmi(MutualInformation):
    r"""Weighted pointwise mutual information of a concept and a unit's highest images.

    Σ_{x∈B_k} log(p(t | x) + min_prob) − lam·log p(t), where B_k are the unit's top_k images.

    Args:
        top_k: images per unit. None: min(28, max(5, N/100)), and at most N.
        a: scale of the softmax over concepts. None: logit scale of the encoder / 5 (2 for CLIP).
        lam: weight λ of the prior.
        min_prob: added inside the logarithm.
        prior: `layer` (log-mean-exp over the layer's units) or `probe` (no unit is involved).

    Reference: Oikarinen and Weng, "CLIP-Dissect: Automatic Description of Neuron Representations in
    Deep Vision Networks", ICLR 2023, arXiv 2204.10965.

    >>> texts = np.eye(3)
    >>> images = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    >>> activations = np.array([[5, 0], [4, 1], [0, 2], [1, 0], [0, 9], [2, 8]])
    >>> Wpmi(top_k=2, a=2).scores(activations, images, texts).astype(float).round(3).tolist()
    [[0.213, -1.792, -3.787], [-3.787, -1.792, 0.213]]
    """

    name: ClassVar[str] = "wpmi"

    top_k: int | None = whole(None, low=1)
    a: float | None = number(None, low=1e-6, high=1e4)
    lam: float = number(0.6, low=0, high=1000)
    min_prob: float = number(1e-7, low=1e-12, high=0.1)
    prior: str = word("layer", PRIORS)

    def _default_top_k(self, images: int) -> int:
        return min(28, max(5, images // 100))

    def _default_a(self, logit_scale: float) -> float:
        return logit_scale / 5

    def _form(self, top_k: int, highest: float) -> Form:
        # Ten probabilities of 1/20,000 underflow float32: scale their range to lie around 1, by a
        # power of two, which rounds nothing.
        power = -(math.log(self.min_prob) + max(0.0, min(highest, HIGHEST_LOG))) / 2
        scale = 2.0 ** round(power / math.log(2))
        constant = -top_k * math.log(scale)
        return Form(np.full(top_k, scale), base=0.0, added=self.min_prob, constant=constant)
