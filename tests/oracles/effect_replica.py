"""What a unit does to the output, straight from the definition, one image at a time in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy import stats
from torch import Tensor

#: From a batch of images, and perhaps a changed layer, to the output.
Whole = Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]


def drawn(hashes: Sequence[str], seed: int) -> list[int]:
    """All images, drawn in the order of their content."""
    by_content = sorted(range(len(hashes)), key=lambda row: hashes[row])
    order = np.random.default_rng(seed).permutation(len(hashes))
    return [by_content[place] for place in order]


def level(run: Whole, images: Sequence[Tensor], unit: Callable[[Tensor], Tensor]) -> float:
    """The mean of a unit over images and positions."""
    means: list[float] = []

    def keep(layer: Tensor) -> Tensor:
        means.append(float(unit(layer).detach().mean()))
        return layer

    for image in images:
        run(image, keep)
    return sum(means) / len(means)


def changes(
    run: Whole,
    images: Sequence[Tensor],
    unit: Callable[[Tensor], Tensor],
    new: Callable[[Tensor], Tensor],
) -> np.ndarray:
    """Output with the unit changed less output without, `[image, output]`."""

    def change(layer: Tensor) -> Tensor:
        layer = layer.clone()
        values = unit(layer)
        values.copy_(new(values))
        return layer

    pairs = [(run(image, change), run(image, lambda layer: layer)) for image in images]
    return np.array([(a - b).detach().numpy()[0] for a, b in pairs])


def effects(high: np.ndarray | None, other: np.ndarray, count: int) -> list[dict[str, float]]:
    """Chosen on images 1, 3, 5, … and measured on 2, 4, 6, …, by scipy's tests."""

    def mean(part: int, output: int) -> float:
        own = 0.0 if high is None else high[part::2, output].mean()
        random = other[part::2, output].mean()
        return random if high is None else own - random

    outputs = sorted(range(other.shape[1]), key=lambda output: mean(0, output))
    falls = [output for output in outputs if mean(0, output) < 0][:count]
    rises = [output for output in outputs[::-1] if mean(0, output) > 0][:count]
    found = []
    for output in [*falls, *rises]:
        random = other[1::2, output]
        row = {"output": output, "difference": mean(1, output)}
        if max(np.ptp(random), 0 if high is None else np.ptp(high[1::2, output])) < 1e-12:
            row |= {"p": 0.0, "freedom": 1.0, "error": 0.0}  # a constant, but for rounding
        elif high is None:
            test = stats.ttest_1samp(random, 0)
        else:
            test = stats.ttest_ind(high[1::2, output], random, equal_var=False)
        if "p" not in row:
            row |= {"p": float(test.pvalue), "freedom": float(test.df)}
            row["error"] = row["difference"] / float(test.statistic)
            parts = [(random, 1)] if high is None else [(high[1::2, output], 1), (random, -1)]
            row["p"] = max(row["p"], bent(parts, float(test.statistic), row["freedom"]))
        found.append(row)
    return found


def bent(parts: list[tuple[np.ndarray, int]], t: float, freedom: float) -> float:
    """p of Hall's transformation of t; 1 where it has the other sign."""
    third = sum(sign * stats.kstat(part, 3) / len(part) ** 2 for part, sign in parts)
    error = sum(stats.kstat(part, 2) / len(part) for part, _ in parts) ** 0.5
    skew = float(third / error**3)
    transformed = t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6
    return 2 * float(stats.t.sf(max(transformed * np.sign(t), 0), freedom))


def reported(rows: list[dict[str, float]], share: float = 0.01) -> list[dict[str, float]]:
    """The rows with low and high: of those that step up to so many false discoveries, widened."""
    order = sorted(range(len(rows)), key=lambda place: rows[place]["p"])
    hits = 0
    for rank, place in enumerate(order, 1):
        if rows[place]["p"] <= share * rank / len(rows):
            hits = rank
    for rank, place in enumerate(order, 1):
        row = rows[place]
        row["reported"] = rank <= hits
        miss = share * hits / len(rows) if rank <= hits else share
        half = stats.t.ppf(1 - miss / 2, row["freedom"]) * row["error"]
        row["low"], row["high"] = row["difference"] - half, row["difference"] + half
    return rows


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Between two vectors, in degrees."""
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def seen(pixels: np.ndarray, mean: float = 0.5, std: float = 0.5) -> Tensor:
    """One image as the small networks take it, in float64."""
    image = torch.from_numpy(pixels).double().permute(2, 0, 1)[None] / 255
    return (image - mean) / std
