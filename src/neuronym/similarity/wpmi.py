"""wpmi: pointwise mutual information of a concept and the unit's highest images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuronym.parameters import number, whole, word
from neuronym.similarity._evidence import HIGHEST_LOG, Form
from neuronym.similarity._mutual_information import PRIORS, MutualInformation
from neuronym.similarity.base import SIMILARITIES


@SIMILARITIES.register(
    "wpmi", syntax="wpmi[:top_k=…,a=…,lam=…,min_prob=…,prior=layer|probe]", example="wpmi:top_k=5"
)
@dataclass(frozen=True)
class Wpmi(MutualInformation):
    r"""Weighted pointwise mutual information of a concept and a unit's highest images.

    Σ_{x∈B_k} log(p(t | x) + min_prob) − lam·log p(t), where B_k are the unit's top_k images.

    Args:
        top_k: images per unit. None: min(28, max(5, N/100)), and at most N.
        a: scale of the softmax over concepts. None: sharpness of the encoder / 5 (2 for CLIP).
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

    def _default_a(self, sharpness: float) -> float:
        return sharpness / 5

    def _form(self, top_k: int, highest: float) -> Form:
        # Ten probabilities of 1/20,000 underflow float32: scale their range to lie around 1, by a
        # power of two, which rounds nothing.
        power = -(math.log(self.min_prob) + max(0.0, min(highest, HIGHEST_LOG))) / 2
        scale = 2.0 ** round(power / math.log(2))
        constant = -top_k * math.log(scale)
        return Form(np.full(top_k, scale), base=0.0, added=self.min_prob, constant=constant)
