"""The target's side of the pass: pooled activations of all chosen layers in one forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neuronym.cache import Cache, Shelf
from neuronym.devices import precision
from neuronym.pooling import pool
from neuronym.recording import LayerInfo, record
from neuronym.targets.base import Target


@dataclass(frozen=True)
class LayerPlan:
    """How one layer is recorded: its module, layout and pooling."""

    info: LayerInfo
    mode: str

    @property
    def grid(self) -> tuple[int, int] | None:
        """Height and width of the map that peaks index into, or None for vectors."""
        return self.info.grid

    def to_dict(self) -> dict[str, Any]:
        """What decides the values, as JSON-able data."""
        return {
            "layer": self.info.name,
            "units": self.info.units,
            "shape": list(self.info.shape),
            "layout": self.info.layout,
            "pool": self.mode,
            "prefix_tokens": self.info.prefix_tokens,
        }


class TargetPass:
    """Feeds batches to a target and pools what the chosen layers put out.

    Outputs are the layers' names; each yields `values` (float32 `[image, unit]`) and, where the
    layer has positions, `peaks` (the flat position of each maximum, uint16 or int32).
    """

    def __init__(
        self,
        target: Target,
        plans: Sequence[LayerPlan],
        cache: Cache,
        *,
        device: torch.device,
        dtype: str,
        batch_size: int,
    ) -> None:
        self.target, self.plans = target, {plan.info.name: plan for plan in plans}
        self.preprocess = target.preprocess
        self.device, self.dtype = device, dtype
        common = {
            "target": target.name,
            "weights": target.fingerprint,
            "preprocess": target.preprocess.to_dict(),
            "device": device.type,
            "dtype": dtype,
            "batch_size": batch_size,
        }
        self.shelves: Mapping[str, Shelf] = {
            plan.info.name: cache.shelf("activations", {**common, **plan.to_dict()})
            for plan in plans
        }
        self._placed = False

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> dict[str, dict[str, np.ndarray]]:
        """uint8 `[image, height, width, 3]` → per layer its pooled values and peaks."""
        if not self._placed:
            # Convolutions are about twice as fast with the channels last in memory.
            self.target.model.to(self.device, memory_format=torch.channels_last)
            self._placed = True
        batch = self.preprocess.normalise(torch.from_numpy(pixels).to(self.device))
        found: dict[str, dict[str, np.ndarray]] = {}

        def reduce(layer: str, output: torch.Tensor) -> None:
            plan = self.plans[layer]
            pooled = pool(
                output, plan.mode, plan.info.layout, plan.info.prefix_tokens,
                layer=layer, images=len(pixels),
            )  # fmt: skip
            arrays = {"values": pooled.values.float().cpu().numpy()}
            if pooled.peak is not None:
                small = plan.grid is not None and plan.grid[0] * plan.grid[1] <= 65536
                arrays["peaks"] = pooled.peak.cpu().numpy().astype(np.uint16 if small else np.int32)
            found[layer] = arrays

        with torch.no_grad(), precision(self.device, self.dtype):
            with record(self.target.model, list(wanted), reduce=reduce):
                self.target.forward(self.target.model, batch)
        return found
