"""The target's side of the pass: pooled activations of all chosen layers in one forward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neuronym._errors import NeuronymError
from neuronym.cache import Cache, Shelf
from neuronym.devices import precision
from neuronym.pooling import pool
from neuronym.recording import LayerInfo, in_precision_of, record
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
            plan.info.name: cache.shelf(
                "activations",
                # The checksum is not part of the plan: other machines round otherwise.
                {**common, **plan.to_dict(), "grid": plan.grid, "checksum": plan.info.checksum},
            )
            for plan in plans
        }
        self._placed = False

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> dict[str, dict[str, np.ndarray]]:
        """uint8 `[image, height, width, 3]` → per layer its pooled values and peaks."""
        if not self._placed:
            # Convolutions are about twice as fast with the channels last in memory.
            with self._named():
                self.target.model.to(self.device, memory_format=torch.channels_last)
            self._placed = True
        batch = self.preprocess.normalise(torch.from_numpy(pixels).to(self.device))
        batch = in_precision_of(self.target.model, batch)
        found: dict[str, dict[str, np.ndarray]] = {}

        got: dict[str, tuple[int, tuple[int, int] | None, tuple[int, ...]]] = {}

        def reduce(layer: str, output: torch.Tensor) -> None:
            plan = self.plans[layer]
            pooled = pool(
                output, plan.mode, plan.info.layout, plan.info.prefix_tokens,
                layer=layer, images=len(pixels), grid=plan.grid,
            )  # fmt: skip
            arrays = {"values": pooled.values.float().cpu().numpy()}
            if pooled.peak is not None:
                small = plan.grid is not None and plan.grid[0] * plan.grid[1] <= 65536
                arrays["peaks"] = pooled.peak.cpu().numpy().astype(np.uint16 if small else np.int32)
            found[layer] = arrays
            got[layer] = (pooled.values.shape[1], pooled.grid, tuple(output.shape[1:]))

        with torch.no_grad(), precision(self.device, self.dtype):
            with record(self.target.model, list(wanted), reduce=reduce), self._named():
                self.target.forward(self.target.model, batch)
        for layer, (units, grid, shape) in got.items():  # of the last call, like the values
            info = self.plans[layer].info
            if (units, grid) != (info.units, info.grid):
                raise NeuronymError(
                    f"The layer {layer} of {self.target.name} gives other numbers of units or "
                    f"positions for some images than for others: {shape} in place of "
                    f"{info.shape}. Leave it out of `layers`."
                )
        return found

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say which network failed."""
        try:
            yield
        except NeuronymError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            cause = f"{type(error).__name__}: {lines[0]}".rstrip(". :")
            full = isinstance(error, torch.OutOfMemoryError | MemoryError)
            full = full or "out of memory" in str(error) or "can't allocate" in str(error)
            remedy = " Try a smaller --batch-size." if full else ""
            raise NeuronymError(
                f"{self.target.name} failed on a batch of images: {cause}.{remedy}"
            ) from error
