"""soft-wpmi: pointwise mutual information where the unit's images belong to its set by degrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuronym.parameters import number, whole, word
from neuronym.similarity._evidence import Form
from neuronym.similarity._mutual_information import PRIORS, MutualInformation
from neuronym.similarity.base import SIMILARITIES


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
        a: scale of the softmax over concepts. None: the encoder's sharpness (10 for CLIP).
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

    def _default_a(self, sharpness: float) -> float:
        return sharpness

    def _form(self, top_k: int, highest: float) -> Form:
        # 1 + p_r·(x − 1) + ε = (1 − p_r + ε)·(1 + w·x): the first factor is the same for all.
        member = 0.998 - 0.028 * np.arange(top_k) / top_k
        rest = 1 - member + self.min_prob
        return Form(member / rest, base=1.0, added=0.0, constant=float(np.log(rest).sum()))
