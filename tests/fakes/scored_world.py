"""Labels of a similarity over arrays, for analyses of labels: no network, no atlas but a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from array_context import ArrayContext
from helpers import manifest
from neuronym._core import storage
from neuronym.atlas import schema
from neuronym.atlas.reader import Atlas
from neuronym.similarity.base import Similarity

METHOD = "clip-dissect.trial"


class _Atlas:
    """As much of an atlas as analyses read."""

    def __init__(
        self, folder: Path, similarity: Similarity, labels: pd.DataFrame, words: tuple[str, ...]
    ) -> None:
        about = {
            "labeller": "clip-dissect",
            "method": "clip-dissect",
            "with_defaults": similarity.spec,
        }
        self.folder, self._labels = folder, labels
        self.concepts = pd.DataFrame({"concept": words})
        self.manifest = manifest(methods={METHOD: about})

    def labels(self, layer: str, unit: None = None, *, method: str, trust: bool) -> pd.DataFrame:
        assert method == METHOD
        assert not trust
        return self._labels[self._labels["layer"] == layer]

    first_labels = Atlas.first_labels


def scored(
    similarity: Similarity,
    activations: Mapping[str, np.ndarray],
    images: np.ndarray,
    texts: np.ndarray,
    folder: Path,
    tie: np.ndarray | None = None,
) -> ArrayContext:
    """LabelContext with the labels that the similarity gives."""
    context = ArrayContext(activations, images, texts, tie=tie)
    layers = [context.activations(layer) for layer in activations]
    rows, arrays = [], {}
    tops = similarity.top_many(layers, images, texts, 1, tie=context.tie)
    for layer, top in zip(activations, tops, strict=True):
        rows += [
            (layer, unit, 1, float(score), reason is not None)
            for unit, (score, reason) in enumerate(zip(top.scores[:, 0], top.reasons, strict=True))
        ]
        for name, array in top.arrays.items():
            arrays[name if name == "log_normalisers" else f"{layer}/{name}"] = array
    names = ["layer", "unit", "rank", "score", "abstained"]
    if arrays:
        (folder / "arrays").mkdir(parents=True)
        storage.write_arrays(folder / schema.method_file(METHOD), arrays, {})
    context.atlas = _Atlas(folder, similarity, pd.DataFrame(rows, columns=names), context.words)
    return context
