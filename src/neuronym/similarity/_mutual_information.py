"""What soft-wpmi and wpmi have in common: probabilities of concepts, priors, and new words."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64, Int64

from neuronym._checks import misuse
from neuronym._types import Progress, Rows, silent
from neuronym.similarity import _problem
from neuronym.similarity._problem import Problem, block_of, embedding_blocks
from neuronym.similarity._tiled import Plan, Tiled
from neuronym.topk import as_array, as_tensor
from neuronym.unit_stats import abstentions

if TYPE_CHECKING:
    from torch import Tensor

PRIORS = ("layer", "probe")

# Within the concept set log p(t | x) is at most 0, but a word from outside it may be nearer to an
# image than all concepts are, by up to 2·a. A float32 ends at e^88.
_HIGHEST_LOG = 80.0


class MutualInformation(Tiled):
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
    def _default_a(self, sharpness: float) -> float:
        """The scale of the softmax that suits an encoder of this sharpness."""

    @abc.abstractmethod
    def _evidence(
        self, probabilities: Float[Tensor, "image text"], sets: Int64[Tensor, "set top_k"]
    ) -> tuple[Float[Tensor, "set text"], float]:
        """Evidence of each set of images for each text, and a constant still to be added to it.

        The constant is often in the hundreds: it is added in float64 where it does not cancel
        anyway. `probabilities` may be overwritten.
        """

    @abc.abstractmethod
    def _probe_prior(
        self, mean: Float64[np.ndarray, " text"], top_k: int
    ) -> Float64[np.ndarray, " text"]:
        """log p(t) from the probe's mean of p(t | x)."""

    def settle(self, images: int, sharpness: float) -> MutualInformation:
        """Fill in `top_k` from the number of images and `a` from the encoder's sharpness.

        Raises:
            UsageError: `top_k` was given and is larger than the number of images.
        """
        a = self._default_a(sharpness) if self.a is None else self.a
        return dataclasses.replace(self, top_k=self._size(images), a=a)

    def _size(self, images: int) -> int:
        """top_k for this many images."""
        default = min(images, self._default_top_k(images))
        if self.top_k is not None and self.top_k > images:
            raise misuse(
                "top_k", f"at most the number of images ({images})", self.top_k,
                "Take a smaller top_k or more images, or leave top_k out: "
                f"the default for {images} images is {default}.",
            )  # fmt: skip
        return default if self.top_k is None else self.top_k

    def _scale(self) -> float:
        """a, which nothing but the encoder can tell."""
        if self.a is None:
            raise misuse(
                "a", "a number when scores are computed", self.a,
                f"Write {self.name}:a={self._default_a(10):g} (which suits CLIP), or fill it in "
                "with settle(images=…, sharpness=encoder.sharpness).",
            )  # fmt: skip
        return self.a

    def shared(
        self, images: Rows, texts: Rows, *, progress: Progress = silent
    ) -> dict[str, np.ndarray]:
        """Log-normalisers of the images, and with `prior="probe"` the mean probabilities.

        Returns:
            `log_normalisers`: float64 `[image]`, log Z(x). `mean_probabilities`: float64
            `[concept]`, the mean of p(t | x) over the images.
        """
        _problem.check_embeddings(images, texts)
        distinct, member = _problem.distinct_rows(texts)
        weights = np.bincount(member).astype(np.float32)
        probe = self.prior == "probe"
        normalisers, means = _normalise(images, distinct, weights, self._scale(), probe, progress)
        found = {"log_normalisers": normalisers}
        if means is not None:
            found["mean_probabilities"] = means[member]
        return found

    def _plan(
        self, problem: Problem, shared: Mapping[str, np.ndarray] | None, progress: Progress
    ) -> Plan:
        self._scale()
        top_k = self._size(problem.count)
        ranked, stats = problem.rank(top_k, progress)
        # With top_k = N the set is every image, and no tie can decide who is in it.
        reasons = abstentions(stats, min(top_k, problem.count - 1))
        reasons = self._lonely(reasons)
        living = np.flatnonzero([reason is None for reason in reasons])
        indices = np.full((problem.units, top_k), -1, np.int32)
        indices[living] = ranked.indices[living]
        if shared is None:
            shared = self.shared(problem.images, problem.texts[problem.member], progress=progress)
        normalisers = np.asarray(shared["log_normalisers"])
        mean = None
        if self.prior == "probe":
            first = np.unique(problem.member, return_index=True)[1]
            mean = np.asarray(shared["mean_probabilities"])[first]
        sets = indices[living].astype(np.int64)
        tiles = self._tiles(sets, problem.images, problem.texts, normalisers, mean)
        return Plan(reasons, tiles, {"indices": indices, "log_normalisers": normalisers})

    def _lonely(self, reasons: tuple[str | None, ...]) -> tuple[str | None, ...]:
        """One living unit is its own prior: at λ = 1 every concept scores 0."""
        if self.prior != "layer" or self.lam != 1 or sum(r is None for r in reasons) != 1:
            return reasons
        why = (
            "the layer has one living unit: prior=layer gives every concept the same score; "
            "use prior=probe"
        )
        return tuple(why if reason is None else reason for reason in reasons)

    def evidence(
        self,
        sets: Int64[np.ndarray, "set top_k"],
        images: Rows,
        texts: Float[np.ndarray, "text dim"],
        log_normalisers: Float[np.ndarray, " image"],
    ) -> Iterator[tuple[int, Float[Tensor, "set text"], float]]:
        """Evidence of any sets of images, tile by tile: (first text, values, constant to add).

        The sets may be the units' highest images, resamples of them, or random ones: everything
        else about the scoring is shared. Only images that are in some set get a softmax row.
        """
        import torch

        a = self._scale()
        used, places = np.unique(sets, return_inverse=True)
        where = torch.from_numpy(places.reshape(sets.shape))
        minus = torch.from_numpy(-np.asarray(log_normalisers, np.float64)[used]).float()[:, None]
        wide = block_of(max(len(used), len(sets)), _problem.LIMITS.concepts)
        every = torch.from_numpy(texts)
        for low in range(0, len(texts), wide):
            tile = every[low : low + wide].T
            rows = torch.empty((len(used), tile.shape[1]))
            step = block_of(max(images.shape[1], tile.shape[1]))
            for start, block in embedding_blocks(images, step, used):
                part = slice(start, start + len(block))
                torch.addmm(minus[part], block, tile, alpha=a, out=rows[part])
            if 2 * a > _HIGHEST_LOG:
                rows.clamp_(max=_HIGHEST_LOG)
            yield low, *self._evidence(rows.exp_(), where)

    def _tiles(
        self,
        sets: np.ndarray,
        images: Rows,
        texts: np.ndarray,
        normalisers: np.ndarray,
        mean: np.ndarray | None,
    ) -> Iterator[tuple[int, Float[np.ndarray, "set text"]]]:
        for low, values, constant in self.evidence(sets, images, texts, normalisers):
            if mean is None:
                shift = _layer_prior(values, constant)
            else:
                shift = self._probe_prior(mean[low : low + values.shape[1]], sets.shape[1])
            values += as_tensor(constant - self.lam * shift, values.dtype)
            yield low, values.numpy()

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
        import torch

        count = _problem.check_embeddings(images, texts)
        top_k = self._size(count)
        indices, normalisers = np.asarray(arrays["indices"]), np.asarray(arrays["log_normalisers"])
        if indices.ndim != 2 or indices.shape[1] != top_k or len(normalisers) != count:
            raise misuse(
                "arrays", f"fit {self.spec} on {count} images",
                f"indices {indices.shape}, log_normalisers {normalisers.shape}",
            )  # fmt: skip
        words, member = _problem.distinct_rows(texts)
        living = np.flatnonzero(indices[:, 0] >= 0)
        found = np.full((len(indices), texts.shape[0]), np.nan, np.float32)
        if len(living) == 0:
            return found
        mean = None
        if self.prior == "probe":
            total = torch.zeros(len(words), dtype=torch.float64)
            columns = torch.from_numpy(words).T
            for low, block in embedding_blocks(images, block_of(len(words))):
                minus = -as_array(normalisers[low : low + len(block)], np.float64)
                shift = torch.from_numpy(minus).float()[:, None]
                logits = torch.addmm(shift, block, columns, alpha=self._scale())
                total += logits.clamp_(max=_HIGHEST_LOG).exp_().sum(0, dtype=torch.float64)
            mean = (total / count).numpy()
        sets = indices[living].astype(np.int64)
        tiles = self._tiles(sets, images, words, normalisers, mean)
        distinct = np.concatenate([tile for _, tile in tiles], axis=1)
        found[living] = distinct[:, member]
        return found


def _layer_prior(values: Float[Tensor, "set text"], constant: float) -> np.ndarray:
    """log of the mean over the units of exp(evidence), float64 `[text]`."""
    import torch

    total = torch.logsumexp(values, 0).double().numpy()
    return total + (constant - math.log(len(values)))


def _normalise(
    images: Rows,
    texts: Float[np.ndarray, "distinct dim"],
    weights: Float[np.ndarray, " distinct"],
    a: float,
    means: bool,
    progress: Progress,
) -> tuple[Float64[np.ndarray, " image"], Float64[np.ndarray, " distinct"] | None]:
    """log Z of every image, and the mean probability of every text, in one pass over the images."""
    import torch

    normalisers = np.empty(images.shape[0])
    columns, count = torch.from_numpy(texts).T, torch.from_numpy(weights)
    total = torch.zeros(len(texts), dtype=torch.float64)
    with progress("reading images", images.shape[0]) as tick:
        for low, block in embedding_blocks(images, block_of(max(texts.shape))):
            logits = (block @ columns).mul_(a)
            highest = logits.amax(1, keepdim=True)
            logits.sub_(highest).exp_()
            sums = logits @ count
            logs = highest[:, 0].double() + sums.double().log()
            normalisers[low : low + len(block)] = logs.numpy()
            if means:
                total += (logits / sums[:, None]).sum(0, dtype=torch.float64)
            tick.advance(len(block))
    return normalisers, (total / images.shape[0]).numpy() if means else None
