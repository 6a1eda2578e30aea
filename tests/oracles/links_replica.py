"""Links from their definitions, in float64 and in loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's; NaN for what is constant or not finite."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def chances(x: np.ndarray, y: np.ndarray, times: int, seed: int) -> np.ndarray:
    """p of every pair `[source, target]`: see `correlate`; `times` permutations of all sources."""
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(x)) for _ in range(times)]
    found = np.full((x.shape[1], y.shape[1]), np.nan)
    for target in range(y.shape[1]):
        drawn = [
            abs(correlation(x[order, source], y[:, target]))
            for order in orders
            for source in range(x.shape[1])
        ]
        drawn = [value for value in drawn if value == value]
        for source in range(x.shape[1]):
            own = abs(correlation(x[:, source], y[:, target]))
            if own == own:
                beyond = sum(value >= own - 1e-6 for value in drawn)
                found[source, target] = (1 + beyond) / (1 + len(drawn))
    return found


def discoveries(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's q: the smallest p·m/rank of all p at least as large."""
    known = sorted(value for value in p.ravel() if value == value)
    steps = [value * len(known) / (rank + 1) for rank, value in enumerate(known)]
    found = np.full(p.shape, np.nan)
    for place, value in np.ndenumerate(p):
        if value == value:
            found[place] = min(s for v, s in zip(known, steps, strict=True) if v >= value)
    return found


def jacobian(
    network: nn.Module, source: nn.Module, target: nn.Module, image: torch.Tensor
) -> np.ndarray:
    """Of a network that is linear between two of its modules, by differences.

    Returns:
        `[source channel, target channel]` of lists of derivatives of the target's middle position
        by each position of the source, as `[source, target, position]`.
    """
    image, held = image.double(), {}

    def run(given: torch.Tensor | None) -> torch.Tensor:
        def put(module: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor | None:
            held.setdefault("source", output.clone())
            return given

        def take(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
            held["target"] = output.clone()

        handles = [source.register_forward_hook(put), target.register_forward_hook(take)]
        try:
            network(image)
        finally:
            for handle in handles:
                handle.remove()
        return _middle(held["target"])

    before, base = run(None), held["source"]
    found = np.zeros((base.shape[1], len(before), base[0, 0].numel()))
    for channel in range(base.shape[1]):
        for position in range(base[0, 0].numel()):
            more = base.clone()
            more[0, channel].view(-1)[position] += 1.0
            found[channel, :, position] = run(more) - before
    return found


def _middle(output: torch.Tensor) -> np.ndarray:
    place = (slice(None), *(size // 2 for size in output.shape[2:]))
    return output[0][place].detach().numpy()


def effect(
    measure: Callable[[int | None, int], float], own: list[int], others: list[int]
) -> tuple[float, float]:
    """The share that goes away with a source, and its standard error.

    Args:
        measure: (the ablated source or None, image) → the target's activation.
        own, others: images.
    """
    y = {image: measure(None, image) for image in {*own, *others}}
    d = {image: y[image] - measure(0, image) for image in y}
    gap = np.mean([y[i] for i in own]) - np.mean([y[i] for i in others])
    parts = [np.array([d[i] for i in some]) for some in (own, others)]
    error = np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts))
    return float((parts[0].mean() - parts[1].mean()) / gap), float(error / gap)
