"""Linear explanations: a unit's activation as a sum of few concepts' scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from neuronym.encoders.spread import measured_sharpness
from neuronym.labellers._sparse import Sample, fit, held_out
from neuronym.labellers.base import LABELLERS, Labeller, Labels, LayerLabels
from neuronym.material import Material
from neuronym.parameters import number, whole
from neuronym.similarity._problem import distinct_rows

_FEWEST = 3  # different images in either part: over two, every correlation is ±1


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
        a: scale of the softmax. None: the encoder's sharpness.
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

    def label(self, material: Material, layers: Sequence[str], count: int) -> Labels:
        """Explain all units of some layers."""
        hashes = material.images["content_hash"].to_numpy()
        validation = held_out(hashes, self.validation, self.seed)
        sizes = [len(set(hashes[validation == part])) for part in (False, True)]
        few = None
        if min(sizes) < _FEWEST:
            few = f"{sizes[0]} different images to fit on and {sizes[1]} to validate on"
            few += f", {_FEWEST} of each needed"
        a = material.sharpness if self.a is None else self.a
        if a is None:
            a = measured_sharpness(material.image_embeddings, material.text_embeddings)
        made = {layer: self._layer(material, layer, a, validation, few, count) for layer in layers}
        facts = {"a": a, "images": {"fit": sizes[0], "validation": sizes[1]}}
        return Labels(made, facts=facts)

    def _layer(
        self,
        material: Material,
        layer: str,
        a: float,
        validation: np.ndarray,
        few: str | None,
        count: int,
    ) -> LayerLabels:
        texts, member = distinct_rows(material.text_embeddings)
        first = np.unique(member, return_index=True)[1]  # of the concepts with equal embeddings
        words = np.array(material.words, dtype=object)[first]
        reasons = [reason or few for reason in material.reasons(layer)]
        units = np.flatnonzero([reason is None for reason in reasons])
        fitted = Sample(
            material.activations(layer),
            material.image_embeddings,
            texts,
            np.bincount(member),
            a,
            units,
            ~validation,
        )
        found = fit(fitted, self.length, self.width, self.tolerance, material.progress)
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
            every(np.where(there, words[concepts], None)[:, :count], None),
            every(scores[:, :count].astype(np.float32), np.nan),
            tuple(reasons),
            details={"weight": every(weights[:, :count].astype(np.float32), 0)},
            measures={
                "correlation": every(correlation.astype(np.float32), np.nan),
                "fit_correlation": every(found.correlation.astype(np.float32), np.nan),
                "concepts": every(there.sum(1), 0),
            },
        )
