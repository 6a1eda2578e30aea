"""LabelContext for labellers made of arrays: no network, no atlas on disk."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import pandas as pd

from helpers import manifest
from neuronym._core.numerics.topk import Ranked, UnitStats, topk
from neuronym._core.progress import silent
from neuronym.atlas.context import LabelContext


class ArrayContext(LabelContext):
    """What an atlas would say about these arrays.

    Args:
        activations: by layer, `[image, unit]`.
        images, texts: embeddings.
        encoders: what `encoder(name)` gives; None is the atlas's own.
    """

    def __init__(
        self,
        activations: Mapping[str, np.ndarray],
        images: np.ndarray,
        texts: np.ndarray,
        *,
        tie: np.ndarray | None = None,
        templates: tuple[str, ...] = ("{}",),
        encoders: Mapping[str | None, object] | None = None,
    ) -> None:
        self._activations = {k: np.asarray(v, np.float32) for k, v in activations.items()}
        self._vectors, self._words = images, texts
        self.sources = _ArraySources(templates, encoders or {})
        self.progress = silent
        about = manifest(concepts={"templates": list(templates)})
        self.atlas = SimpleNamespace(manifest=about, imported=False)
        self.__dict__["images"] = pd.DataFrame(
            {"image_id": [f"{i * 7 % 100:02d}-{i}" for i in range(len(images))]}
        )
        self.__dict__["tie"] = np.arange(len(images)) if tie is None else tie
        self.__dict__["words"] = tuple(f"word {m}" for m in range(len(texts)))

    image_embeddings = property(lambda self: self._vectors)
    text_embeddings = property(lambda self: self._words)

    def units(self, layer: str) -> int:
        return self._activations[layer].shape[1]

    def activations(self, layer: str) -> np.ndarray:
        return self._activations[layer]

    def statistics(self, layer: str) -> pd.DataFrame:
        stats = UnitStats(self.units(layer))
        stats.update(self._activations[layer])
        return pd.DataFrame(
            {
                "min": stats.minimum.astype(np.float32),
                "mean": stats.mean.astype(np.float32),
                "max": stats.maximum.astype(np.float32),
                "nonfinite": stats.nonfinite,
                "dead": stats.minimum == stats.maximum,
            }
        )

    def highest(self, layer: str, k: int) -> Ranked:
        best = topk(self._activations[layer], min(k, self.count), self.tie)
        low = self.statistics(layer)["min"].to_numpy()[:, None]
        out = ~(np.isfinite(best.values) & (best.values > low))
        return Ranked(np.where(out, -np.inf, best.values), np.where(out, -1, best.indices))


class _ArraySources:
    """The encoders, and what they embed."""

    def __init__(self, templates: tuple[str, ...], encoders: Mapping[str | None, object]) -> None:
        self._templates, self._encoders = templates, encoders

    def encoder(self, name: str | None = None) -> object:
        return self._encoders[name]

    def embed_words(self, words, templates=None, encoder=None) -> np.ndarray:
        used = self._templates if templates is None else templates
        total = sum(encoder.texts([t.replace("{}", w) for w in words]) for t in used)
        return (total / np.linalg.norm(total, axis=1, keepdims=True)).astype(np.float32)

    def embed_images(self, encoder: object) -> np.ndarray:
        return encoder.images


def unit_vectors(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random float32 unit vectors."""
    vectors = rng.normal(size=shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def ugly_activations(rng: np.random.Generator, images: int) -> np.ndarray:
    """Eight units: two plain ones, ties, sparse, always negative, partly negative, dead, NaN."""
    found = rng.gamma(2.0, size=(images, 8))
    found[:, 2] = np.round(found[:, 2])
    found[:, 3] = 0
    found[[0, images // 2], 3] = [2.5, 1.25]
    found[:, 4] -= 100
    found[:, 5] -= found[:, 5].mean()
    found[:, 6] = 0.75
    found[images // 3, 7] = np.nan
    return found.astype(np.float32)
