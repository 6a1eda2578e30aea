"""Scores the units of an atlas again, as its method did, under other circumstances."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from neuronym._core.errors import NeuronymError
from neuronym._core.numerics.topk import as_array, topk
from neuronym._core.types import Rows
from neuronym.analysis.stability.configurations import Configuration
from neuronym.atlas.context import Material
from neuronym.similarity.base import Similarity, Top, open_similarity

DEPTH = 20  # labels per unit that rankings are compared to


class Scorer:
    """One configuration, ready to be scored again.

    Args:
        configuration: whose similarity, layers and atlas.
        **origins: see `Material`.

    Raises:
        NeuronymError: the atlas holds no embeddings.
    """

    def __init__(self, configuration: Configuration, **origins: Any) -> None:
        self.configuration = configuration
        self.material = Material(configuration.atlas, **origins)
        self.layers = configuration.layers
        settled = configuration.facts.get("settled")
        if settled is None:
            raise NeuronymError(
                f"{configuration.atlas.folder} does not say with what its labels were made."
            )
        self.similarity = open_similarity(settled)
        self.images = np.asarray(self.material.image_embeddings)
        self.texts = np.asarray(self.material.text_embeddings)
        self.tie = self.material.tie

    @functools.cached_property
    def activations(self) -> list[Rows]:
        """Of each layer."""
        return [self.material.activations(layer) for layer in self.layers]

    @functools.cached_property
    def full(self) -> list[Top]:
        """The labels as they are, `DEPTH` of them."""
        return self.top()

    def top(
        self,
        similarity: Similarity | None = None,
        *,
        activations: Sequence[Rows] | None = None,
        images: np.ndarray | None = None,
        texts: np.ndarray | None = None,
        tie: np.ndarray | None = None,
        shared: dict[str, np.ndarray] | None = None,
        n: int = DEPTH,
    ) -> list[Top]:
        """The best concepts per layer; what is not given is as in the atlas."""
        return (similarity or self.similarity).top_many(
            self.activations if activations is None else activations,
            self.images if images is None else images,
            self.texts if texts is None else texts,
            n,
            tie=self.tie if tie is None else tie,
            shared=shared,
            device=self.material.device,
        )

    def restricted(self, k: int, shared: dict[str, np.ndarray]) -> list[Top]:
        """The best concepts when the similarity sees only each unit's k highest images.

        soft-wpmi and wpmi get top_k = k, rank-reorder top_fraction = k/N. For cos and cos-cubed
        every image outside a unit's k highest counts as one that leaves it silent: its activation
        is replaced by the unit's minimum.
        """
        known = {entry.name for entry in fields(self.similarity)}
        if "top_k" in known:
            return self.top(replace(self.similarity, top_k=k), shared=shared)
        if "top_fraction" in known:
            share = k / len(self.images)
            return self.top(replace(self.similarity, top_fraction=share), shared=shared)
        masked = [Masked(rows, k, self.tie) for rows in self.activations]
        return self.top(activations=masked, shared=shared)

    def within(self, rows: Int64[np.ndarray, " some"]) -> list[Top]:
        """The best concepts when the probe consists of some of its images only (ascending)."""
        similarity = self.similarity
        if getattr(similarity, "top_k", 0) > len(rows):
            similarity = replace(similarity, top_k=len(rows))
        return self.top(
            similarity,
            activations=[Chosen(layer, rows) for layer in self.activations],
            images=self.images[rows],
            tie=np.argsort(np.argsort(self.tie[rows])),
        )


class Chosen:
    """Some rows of an array, in ascending order, read by slices."""

    def __init__(self, rows: Rows, chosen: Int64[np.ndarray, " some"]) -> None:
        self._rows, self._chosen = rows, chosen
        self.shape = (len(chosen), rows.shape[1])

    def __getitem__(self, some: slice) -> np.ndarray:
        here = self._chosen[some]
        if not len(here):
            return as_array(self._rows[0:0])
        low = int(here[0])
        return as_array(self._rows[low : int(here[-1]) + 1])[here - low]


class Masked:
    """Activations of which each unit keeps its k highest; the others are its minimum."""

    def __init__(self, rows: Rows, k: int, tie: np.ndarray) -> None:
        from neuronym._core.numerics.topk import UnitStats

        stats = UnitStats(rows.shape[1])
        best = topk(rows, k, tie, stats=stats)
        self._rows, self.shape = rows, rows.shape
        self._low: Float[np.ndarray, " unit"] = stats.minimum.astype(np.float32)
        kept = best.indices >= 0
        order = np.argsort(best.indices[kept], kind="stable")
        self._image = best.indices[kept][order]
        self._unit = np.nonzero(kept)[0][order]

    def __getitem__(self, some: slice) -> np.ndarray:
        whole = as_array(self._rows[some])
        start = some.indices(self.shape[0])[0]
        low, high = np.searchsorted(self._image, [start, start + len(whole)])
        image, unit = self._image[low:high] - start, self._unit[low:high]
        # What is not finite stays: such units abstain.
        found = np.where(np.isfinite(whole), self._low, whole)
        found[image, unit] = whole[image, unit]
        return found
