"""Linear explanations: a unit's activation as a sum of few concepts' scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from neuronym._core import hashing
from neuronym._core.devices import product
from neuronym._core.numerics.topk import TopK, as_array, as_tensor
from neuronym._core.progress import Progress
from neuronym._core.registry import number, whole
from neuronym._core.types import Rows
from neuronym.atlas.context import LabelContext
from neuronym.inputs.encoders.base import measured_logit_scale
from neuronym.labelling.base import LABELLERS, Labeller, Labels, LayerLabels
from neuronym.similarity.blocks import block_of, distinct_rows

_VALUES = 1 << 25  # covariances of units and concepts held at once
_UNITS = 64  # whose candidates are compared at once
#: Probabilities that deviate less, in relation to their mean, hold nothing but rounding.
_LEAST_SPREAD = 1e-5
#: The share of a concept's variance that the chosen ones must leave, or it says nothing new.
_LEAST_NEW = 1e-4
_FEWEST = 3  # different images in either part: over two, every correlation is ±1


def held_out(content_hashes: Sequence[str], share: float, seed: int) -> Bool[np.ndarray, " image"]:
    """Which images are kept for validation: a share of the distinct contents, drawn at random.

    The draw follows from the hashes and the seed, so it does not depend on the order of images, and
    copies of one image land in the same part.
    """
    distinct = sorted(set(content_hashes), key=lambda found: hashing.of_data([seed, found]))
    kept = set(distinct[: round(share * len(distinct))])
    return np.array([found in kept for found in content_hashes], bool)


@dataclass(frozen=True, eq=False)
class Sample:
    """Units and concepts over some images.

    Attributes:
        activations: `[image, unit]`, finite in the columns of `units`.
        images: embeddings `[image, dim]`.
        texts: distinct embeddings, float32 `[concept, dim]`.
        counts: how many concepts share each of them.
        a: scale of the softmax over concepts.
        units: the columns wanted.
        part: which images.
    """

    activations: Rows
    images: Rows
    texts: Float[np.ndarray, "concept dim"]
    counts: Int64[np.ndarray, " concept"]
    a: float
    units: Int64[np.ndarray, " unit"]
    part: Bool[np.ndarray, " image"]

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Some images at a time: concepts and units.

        Yields:
            p(t | x) · number of concepts, float32 `[concept, n]`; activations, float64 `[unit, n]`.
        """
        texts, counts = torch.from_numpy(self.texts), torch.from_numpy(self.counts).float()
        step = block_of(max(self.texts.shape[0], self.activations.shape[1]))
        for low in range(0, len(self.part), step):
            inside = self.part[low : low + step]
            if inside.any():
                block = as_tensor(as_array(self.images[low : low + step])[inside], torch.float32)
                cosines = product(texts, block).mul_(self.a)
                cosines -= cosines.max(0).values
                chances = cosines.exp_()
                chances *= counts.sum() / (counts @ chances)
                values = as_array(self.activations[low : low + step])[inside][:, self.units]
                yield chances, torch.from_numpy(values.T.astype(np.float64))


@dataclass(frozen=True, eq=False)
class Scale:
    """Mean and deviation over the images fitted on; concepts float32, units float64, `[·, 1]`.

    A deviation of 0 stands for a unit that is constant, or a concept that hardly varies.
    """

    count: int
    concept_mean: Tensor
    concept_std: Tensor
    unit_mean: Tensor
    unit_std: Tensor

    @classmethod
    def of(cls, sample: Sample) -> Scale:
        """Measure a sample."""
        count, sums = 0, torch.zeros((2, len(sample.texts), 1), dtype=torch.float64)
        units = torch.zeros((2, len(sample.units), 1), dtype=torch.float64)
        centre = None
        for chances, values in sample.blocks():
            # Differences from any value of a unit: they do not drown in a large mean, and are
            # exactly 0 where the unit is constant.
            centre = values[:, :1] if centre is None else centre
            for total, block in ((sums, chances.double()), (units, values - centre)):
                total[0] += block.sum(1, keepdim=True)
                total[1] += (block * block).sum(1, keepdim=True)
            count += values.shape[1]
        mean, square = sums / count
        std = (square - mean**2).clamp(min=0).sqrt()
        shift, square = units / count
        return cls(
            count,
            mean.float(),
            torch.where(std > _LEAST_SPREAD * mean, std, 0).float(),
            shift if centre is None else centre + shift,
            (square - shift**2).clamp(min=0).sqrt(),
        )

    def blocks(self, sample: Sample) -> Iterator[tuple[Tensor, Tensor]]:
        """The blocks of a sample, standardised; all 0 where the deviation is 0."""
        one = torch.where(self.concept_std > 0, 1 / self.concept_std, 0)
        unit = torch.where(self.unit_std > 0, 1 / self.unit_std, 0)
        for chances, values in sample.blocks():
            yield (chances - self.concept_mean).mul_(one), (values - self.unit_mean).mul_(unit)


class Sums:
    """One sparse sum of standardised concept probabilities per unit, fitted by `fit`.

    Attributes:
        scale: what was standardised by.
        concepts: rows of the texts, int64 `[unit, length]`, in the order chosen; −1: no further.
        weights: float64 `[unit, length]`, above 0; 0 where there is no concept.
        correlation: of sum and unit over the images fitted on, float64 `[unit]`; 0: no concept.
    """

    def __init__(self, scale: Scale, length: int) -> None:
        units = len(scale.unit_std)
        self.scale = scale
        self.concepts = np.full((units, length), -1)
        self.weights = np.zeros((units, length))
        self.correlation = np.zeros(units)

    def predict(self, chances: Tensor, units: np.ndarray) -> Tensor:
        """The sums of some units over a standardised block, float64 `[unit, n]`."""
        total = torch.zeros((len(units), chances.shape[1]), dtype=torch.float64)
        for place in range(self.concepts.shape[1]):
            some = np.flatnonzero(self.concepts[units, place] >= 0)
            terms = chances[torch.from_numpy(self.concepts[units[some], place])].double()
            total[some] += terms * torch.from_numpy(self.weights[units[some], place, None])
        return total

    def correlate(self, sample: Sample) -> Float[np.ndarray, " unit"]:
        """Correlation of each sum and its unit over other images; NaN where the unit is constant.

        It is 0 where the sum is constant.
        """
        every, count = np.arange(len(self.weights)), 0
        sums = torch.zeros((5, len(every)), dtype=torch.float64)
        low = high = None
        for chances, values in self.scale.blocks(sample):
            guess = self.predict(chances, every)
            for total, term in zip(
                sums, (guess, values, guess * guess, values * values, guess * values), strict=True
            ):
                total += term.sum(1)
            least, most = values.aminmax(dim=1)
            low = least if low is None else torch.minimum(low, least)
            high = most if high is None else torch.maximum(high, most)
            count += values.shape[1]
        x, y, xx, yy, xy = sums / max(count, 1)
        both = ((xx - x * x).clamp(min=0) * (yy - y * y).clamp(min=0)).sqrt()
        found = torch.where(both > 1e-12, (xy - x * y) / both, 0)
        if low is not None and high is not None:
            found = torch.where(high > low, found, torch.nan)
        return found.numpy()


def fit(sample: Sample, length: int, width: int, tolerance: float, progress: Progress) -> Sums:
    """Choose concepts one by one and weigh them by least squares; see `Linear`.

    Args:
        sample: the images to fit on. Units that are constant there get no concept.
        length, width, tolerance: as in `Linear`.
    """
    scale = Scale.of(sample)
    found = Sums(scale, length)
    active = np.flatnonzero(scale.unit_std.numpy())
    with progress("choosing concepts", length) as tick:
        for step in range(length):
            if len(active):
                candidates = _highest(sample, found, active, step, width)
                active = active[_grow(sample, found, active, step, candidates, tolerance)]
            tick.advance()
    return found


def _highest(
    sample: Sample, found: Sums, units: np.ndarray, step: int, width: int
) -> Int64[np.ndarray, "unit width"]:
    """Per unit the concepts that covary most with what is left of it, ascending."""
    concepts = len(sample.texts)
    group, best = max(1, _VALUES // concepts), []
    for low in range(0, len(units), group):
        some = units[low : low + group]
        covariance = torch.zeros((concepts, len(some)))
        for chances, values in found.scale.blocks(sample):
            rest = (values[some] - found.predict(chances, some)).float()
            covariance += product(chances, rest)
        for place in range(step):
            covariance[found.concepts[some, place], np.arange(len(some))] = -torch.inf
        top = TopK(len(some), min(width, concepts))
        top.update(covariance.numpy(), np.arange(concepts), np.arange(concepts))
        best.append(np.sort(top.result().indices, axis=1))
    return np.concatenate(best)


def _grow(
    sample: Sample,
    found: Sums,
    units: np.ndarray,
    step: int,
    candidates: np.ndarray,
    tolerance: float,
) -> Bool[np.ndarray, " unit"]:
    """Add each unit's best candidate if it is worth it; tells to which units one was added.

    With G the covariances among the chosen concepts, g those of a candidate with them, r its
    covariance with what is left of the unit, and s = 1 − gᵀG⁻¹g what is new in it: least squares
    gives the candidate the weight r/s, takes (r/s)·G⁻¹g from the others, and explains r²/s more.
    """
    chosen, weights = found.concepts[units, :step], found.weights[units, :step]
    among, with_unit = _covariances(sample, found.scale, units, chosen, candidates)
    g = among[:, :, step:]  # [unit, step, width]
    shared = np.linalg.solve(among[:, :, :step], g)
    r = with_unit - (weights[:, None] @ g)[:, 0]
    s = 1 - (g * shared).sum(1)
    varies = found.scale.concept_std.numpy()[candidates, 0] > 0
    fresh = ~(candidates[:, :, None] == chosen[:, None]).any(2)
    allowed = varies & fresh & (r > 0) & (s > _LEAST_NEW)
    weight = np.where(allowed, r / np.where(allowed, s, 1), 0)
    others = weights[:, :, None] - weight[:, None] * shared
    allowed &= (others > 0).all(1)
    explained = np.where(allowed, r * weight, 0)
    best = explained.argmax(1)  # the first of equals, and candidates ascend
    row = np.arange(len(units))
    before = found.correlation[units] ** 2
    after = np.minimum(before + explained[row, best], 1)
    worth = allowed[row, best]
    if step:
        lower = np.log(np.maximum(1 - before, 1e-12) / np.maximum(1 - after, 1e-12))
        count = found.scale.count
        price = (math.log(count) + 2 * math.log(sample.counts.sum())) / count
        worth &= (lower > price) & (np.sqrt(after) - np.sqrt(before) >= tolerance)
    row, best, units = row[worth], best[worth], units[worth]
    found.concepts[units, step] = candidates[row, best]
    found.weights[units, :step] = others[row, :, best]
    found.weights[units, step] = weight[row, best]
    found.correlation[units] = np.sqrt(after[row])
    return worth


def _covariances(
    sample: Sample, scale: Scale, units: np.ndarray, chosen: np.ndarray, candidates: np.ndarray
) -> tuple[Float[np.ndarray, "unit step all"], Float[np.ndarray, "unit width"]]:
    """Of chosen concepts with chosen ones and candidates; of candidates with the unit."""
    both, step = torch.from_numpy(np.concatenate([chosen, candidates], 1)), chosen.shape[1]
    among = torch.zeros((len(units), step, both.shape[1]), dtype=torch.float64)
    with_unit = torch.zeros(candidates.shape, dtype=torch.float64)
    for chances, values in scale.blocks(sample):
        for low in range(0, len(units), _UNITS):
            some = slice(low, low + _UNITS)
            terms = chances[both[some]].double()  # [unit, all, n]
            among[some] += terms[:, :step] @ terms.mT
            with_unit[some] += (terms[:, step:] @ values[units[some], :, None])[:, :, 0]
    return (among / scale.count).numpy(), (with_unit / scale.count).numpy()


@LABELLERS.register("linear", example="linear:length=5")
@dataclass(frozen=True)
class Linear(Labeller):
    r"""Linear explanations: the activation as a sum of few concepts, tested on other images.

    q[i] ≈ w₁·p₁[i] + … + w_n·p_n[i] + constant, all w > 0, with p_m[i] the probability of concept m
    given image i (softmax of a·cosine over all concepts), standardised over the images. Concepts
    are added one by one: of the `width` that covary most with what is left of the activation, the
    one that explains most of it and leaves all weights of the least-squares solution above 0. The
    first is always taken; a further one if it raises the correlation by `tolerance` and lowers the
    extended Bayesian information criterion, N·log(residual variance) + n·(log N + 2·log M) for N
    images and M concepts. All that is done on one part of the images, chosen by content; the score
    is the correlation on the other part, which no choice has seen.

    Attributes:
        length: concepts per unit at most.
        tolerance: by how much another concept must raise the correlation.
        width: candidates compared in every step.
        a: scale of the softmax. None: the encoder's logit scale.
        validation: share of the images that is held out.
        seed: of the choice of images.

    Reference: Oikarinen and Weng, Linear Explanations for Individual Neurons, ICML 2024,
    arXiv 2405.06855. Criterion: Chen and Chen, Biometrika 95, 2008.
    """

    name: ClassVar[str] = "linear"
    needs: ClassVar[tuple[str, ...]] = ("activations", "embeddings")
    length: int = whole(10, 1)
    tolerance: float = number(0.02, 0, 1)
    width: int = whole(10, 1)
    a: float | None = number(None, 0, 1e6)
    validation: float = number(0.3, 0.05, 0.95)
    seed: int = whole(0, 0)

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """Explain all units of some layers."""
        hashes = context.images["content_hash"].to_numpy()
        validation = held_out(hashes, self.validation, self.seed)
        sizes = [len(set(hashes[validation == part])) for part in (False, True)]
        few = None
        if min(sizes) < _FEWEST:
            few = f"{sizes[0]} different images to fit on and {sizes[1]} to validate on"
            few += f", {_FEWEST} of each needed"
        a = context.logit_scale if self.a is None else self.a
        if a is None:
            a = measured_logit_scale(context.image_embeddings, context.text_embeddings)
        made = {layer: self._layer(context, layer, a, validation, few, count) for layer in layers}
        facts = {"a": a, "images": {"fit": sizes[0], "validation": sizes[1]}}
        return Labels(made, facts=facts)

    def _layer(
        self,
        context: LabelContext,
        layer: str,
        a: float,
        validation: np.ndarray,
        few: str | None,
        count: int,
    ) -> LayerLabels:
        texts, member = distinct_rows(context.text_embeddings)
        first = np.unique(member, return_index=True)[1]  # of the concepts with equal embeddings
        words = np.array(context.words, dtype=object)[first]
        reasons = [reason or few for reason in context.reasons(layer)]
        units = np.flatnonzero([reason is None for reason in reasons])
        fitted = Sample(
            context.activations(layer),
            context.image_embeddings,
            texts,
            np.bincount(member),
            a,
            units,
            ~validation,
        )
        found = fit(fitted, self.length, self.width, self.tolerance, context.progress)
        correlation = found.correlate(replace(fitted, part=validation))
        for place, unit in enumerate(units):
            if not found.scale.unit_std[place]:
                reasons[unit] = "the same activation on all images to fit on"
            elif found.concepts[place, 0] < 0:
                reasons[unit] = "no concept rises with it"
            elif np.isnan(correlation[place]):
                reasons[unit] = "the same activation on all images to validate on"
            elif not correlation[place] > 0:
                reasons[unit] = f"validation correlation {correlation[place]:.2f}, not above 0"
        # The heaviest concept first; of equal ones the smaller concept.
        order = np.lexsort((found.concepts, -found.weights), axis=1)
        concepts = np.take_along_axis(found.concepts, order, 1)
        weights = np.take_along_axis(found.weights, order, 1)
        there = concepts >= 0
        heaviest = np.where(there[:, :1], weights[:, :1], 1)
        scores = np.where(there, correlation[:, None] * weights / heaviest, np.nan)

        def every(values: np.ndarray, empty: object) -> np.ndarray:
            """Rows for all units of the layer from those that were fitted."""
            whole_layer = np.full((len(reasons), *values.shape[1:]), empty, values.dtype)
            whole_layer[units] = values
            return whole_layer

        return LayerLabels(
            every(np.where(there, words[concepts], cast(Any, None))[:, :count], None),
            every(scores[:, :count].astype(np.float32), np.nan),
            tuple(reasons),
            details={"weight": every(weights[:, :count].astype(np.float32), 0)},
            measures={
                "correlation": every(correlation.astype(np.float32), np.nan),
                "fit_correlation": every(found.correlation.astype(np.float32), np.nan),
                "concepts": every(there.sum(1), 0),
            },
        )
