"""What labellers read: the arrays and tables of an atlas, and what it was made from."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.numerics.topk import Ranked, topk, why_silent
from neuronym._core.types import Rows
from neuronym.atlas.reader import Atlas
from neuronym.atlas.sources import Origins

if TYPE_CHECKING:
    import pandas as pd


class Material(Origins):
    """One atlas, and what it was made from.

    Args:
        atlas: images, units and exemplars must be there; labels need not.
        activations: by layer name, in place of those the atlas keeps.
        **origins: see `Origins`: target, probe, encoder, device, workers, cache, progress.
    """

    def __init__(
        self, atlas: Atlas, *, activations: Mapping[str, Rows] | None = None, **origins: Any
    ) -> None:
        super().__init__(atlas, **origins)
        self._activations = dict(activations or {})

    @functools.cached_property
    def tie(self) -> np.ndarray:
        """int64 `[image]`: of equal activations the image with the smaller one comes first."""
        return self.atlas.tie

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """The concepts."""
        return tuple(self.atlas.concepts["concept"])

    @functools.cached_property
    def _embeddings(self) -> dict[str, np.ndarray]:
        return self.atlas.embeddings()

    @property
    def image_embeddings(self) -> np.ndarray:
        """Unit vectors of the atlas's encoder, float32 `[image, dim]`, memory-mapped."""
        return self._embeddings["images"]

    @property
    def text_embeddings(self) -> np.ndarray:
        """Unit vectors of the concepts, float32 `[concept, dim]`."""
        return self._embeddings["concepts"]

    @property
    def sharpness(self) -> float | None:
        """The encoder's scale of the softmax over concepts, if it has a settled one."""
        return self.atlas.manifest["encoder"].get("sharpness")

    def units(self, layer: str) -> int:
        """How many units a layer has."""
        return int(self.atlas.layers[layer]["units"])

    def statistics(self, layer: str) -> pd.DataFrame:
        """The rows of units.parquet of a layer, in the order of its units."""
        frame = self.atlas.units
        return frame[frame["layer"] == layer].reset_index(drop=True)

    def reasons(self, layer: str) -> tuple[str | None, ...]:
        """Why units can get no label from any method: dead, or not finite; else None."""
        if self.atlas.imported:  # no activations were seen
            return (None,) * self.units(layer)
        rows = self.statistics(layer).itertuples()
        return tuple(why_silent(row.nonfinite, row.dead) for row in rows)

    @functools.cached_property
    def annotations(self) -> list[list[tuple[str, str, float]]]:
        """Per image: category, name, and share of the image (1 for image-wide labels).

        Raises:
            NeuronymError: no image of the probe is annotated.
        """
        found = [
            [(a["category"], a["name"], float(a["area"])) for a in entries]
            for entries in self.images["annotations"]
        ]
        if not any(found):
            raise self._missing(
                "annotations",
                "Use a probe with image-wide labels or masks: synthetic, broden:PATH, or a folder "
                "with masks (docs/probes.md).",
            )
        return found

    def highest(self, layer: str, k: int) -> Ranked:
        """The k highest images above the unit's minimum, best first: values and rows `[unit, k]`.

        Empty places hold −∞ and −1. Read from the exemplars where they suffice.
        """
        kept = self.atlas.manifest["config"].get("exemplars", 0)
        if k <= kept:
            return self._from_exemplars(layer, k)
        rows = self.activations(layer)
        best = topk(rows, min(k, self.count), self.tie, self.progress)
        low = self.statistics(layer)["min"].to_numpy()[:, None]
        out = ~(np.isfinite(best.values) & (best.values > low))
        return Ranked(np.where(out, -np.inf, best.values), np.where(out, -1, best.indices))

    def _from_exemplars(self, layer: str, k: int) -> Ranked:
        frame = self.atlas.exemplars(layer)
        frame = frame[frame["rank"] <= k]
        shape = (self.units(layer), min(k, self.count))
        values, rows = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
        place = (frame["unit"].to_numpy(), frame["rank"].to_numpy() - 1)
        values[place] = frame["activation"].to_numpy()
        rows[place] = frame["image_id"].map(self.row_of).to_numpy()
        return Ranked(values, rows)

    @functools.cached_property
    def row_of(self) -> dict[str, int]:
        """image_id → row."""
        return {image_id: row for row, image_id in enumerate(self.images["image_id"])}

    def activations(self, layer: str) -> Rows:
        """float32 `[image, unit]`: those kept in the atlas, else from the cache or another pass."""
        if layer not in self._activations:
            if self.atlas.manifest.get("kept") == "all" or self.atlas.imported:
                self._activations[layer] = self.atlas.activations(layer)
            else:
                self._activations |= self._activations_again()
        return self._activations[layer]

    def _activations_again(self) -> dict[str, Rows]:
        """All layers through the pass that made the atlas: what is in the cache is not run."""
        done = self._extract(self.target_pass)
        infos = [plan.info for plan in self.plans]
        return {info.name: done.rows(info.name, "values", info.units, np.float32) for info in infos}

    def _missing(self, what: str, remedy: str) -> NeuronymError:
        return NeuronymError(f"{self.atlas.folder} has no {what}. {remedy}")

    def check_layers(self, layers: Sequence[str] | None) -> list[str]:
        """Layers by exact name, in the atlas's order; None: all."""
        if layers is None:
            return list(self.atlas.layers)
        for layer in layers:
            self.atlas.check_unit(layer)
        if not layers:
            raise misuse("layers", "at least one layer", list(layers))
        return [layer for layer in self.atlas.layers if layer in set(layers)]
