"""Networks whose output neurons are known, good and bad: what the default calibrator is fitted on.

The bad ones are EfficientNet-Lite with noise in the weights or with smaller pictures; their class
neurons get fewer right labels. docs/confidence.md has the commands.
"""

from __future__ import annotations

import dataclasses

import torch

from neuronym.inputs.targets.base import Target, open_target


def lite0_96px() -> Target:
    """EfficientNet-Lite0 on pictures of 96 pixels."""
    return _smaller("efficientnet-lite0", 96)


def lite0_64px() -> Target:
    """EfficientNet-Lite0 on pictures of 64 pixels."""
    return _smaller("efficientnet-lite0", 64)


def lite2_96px() -> Target:
    """EfficientNet-Lite2 on pictures of 96 pixels."""
    return _smaller("efficientnet-lite2", 96)


def lite0_noise() -> Target:
    """EfficientNet-Lite0 with noise of a tenth of each weight tensor's standard deviation."""
    return _noisy("efficientnet-lite0", 0.1)


def lite1_noise() -> Target:
    """EfficientNet-Lite1 with noise of 8 % of each weight tensor's standard deviation."""
    return _noisy("efficientnet-lite1", 0.08)


def lite2_noise() -> Target:
    """EfficientNet-Lite2 with noise of a tenth of each weight tensor's standard deviation."""
    return _noisy("efficientnet-lite2", 0.1)


def _smaller(name: str, side: int) -> Target:
    target = open_target(name)
    return dataclasses.replace(
        target, preprocess=dataclasses.replace(target.preprocess, size=(side, side), resize=side)
    )


def _noisy(name: str, share: float) -> Target:
    target, generator = open_target(name), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in target.model.parameters():
            if weight.ndim > 1:
                noise = torch.randn(weight.shape, generator=generator)
                weight.add_(noise * weight.std() * share)
    return target
