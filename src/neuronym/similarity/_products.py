"""The inner loop of the WPMI family: logarithms of products over sets of images.

A sum of logarithms is the logarithm of a product, and a float32 holds a product of many factors, so
one logarithm serves all factors that fit. A set is any list of images: a unit's highest ones, a
resample of them, or images drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxtyping import Float, Int64

from neuronym.similarity import _problem

if TYPE_CHECKING:
    from torch import Tensor

#: A product may come this close to the range of float32 (whose limit is 88.7).
_LOG_RANGE = 80.0


def log_products(
    rows: Float[Tensor, "image text"],
    sets: Int64[Tensor, "set k"],
    weights: Sequence[float] | None = None,
) -> Float[Tensor, "set text"]:
    r"""Σ_r log(1 + weights[r]·rows[sets[s, r], t]); without weights Σ_r log rows[sets[s, r], t].

    Args:
        rows: at least 0; above 0 without weights.
        sets: row numbers, in the order of the weights.
        weights: at least 0, one per place in a set.
    """
    import torch

    total = torch.empty((len(sets), rows.shape[1]), dtype=torch.float32)
    factors = _factors_per_log(rows, weights)
    by_place = sets.T.contiguous()

    def multiply(low: int, high: int) -> None:
        out = total[low:high].zero_()
        product, factor = torch.empty_like(out), torch.empty_like(out)
        for first in range(0, len(by_place), factors):
            product.fill_(1)
            for place in range(first, min(first + factors, len(by_place))):
                torch.index_select(rows, 0, by_place[place, low:high], out=factor)
                if weights is None:
                    product.mul_(factor)
                else:
                    product.addcmul_(product, factor, value=weights[place])
            out.add_(product.log_())

    _problem.spread(multiply, len(sets), max(1, _problem.LIMITS.chunk // rows.shape[1]))
    return total


def _factors_per_log(rows: Tensor, weights: Sequence[float] | None) -> int:
    """How many factors can be multiplied without leaving the range of float32."""
    high = float(rows.max())
    if weights is None:
        widest = max(abs(math.log(high)), abs(math.log(float(rows.min()))))
    else:
        widest = math.log1p(max(weights) * high)
    return max(1, int(min(_LOG_RANGE / max(widest, 1e-9), 64)))
