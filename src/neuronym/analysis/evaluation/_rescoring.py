"""Scores of any concepts for known neurons, and cosines of labels with the names of classes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from neuronym._core import storage
from neuronym._core.errors import MissingExtraError, NeuronymError
from neuronym.atlas import schema
from neuronym.atlas.context import Material
from neuronym.similarity.base import open_similarity

if TYPE_CHECKING:
    import pandas as pd

    from neuronym.inputs.encoders.sentences import Sentences


#: Rows of concepts → scores `[unit, concept]` of all units of a layer; NaN for units that abstain.
Scorer = Callable[[np.ndarray], np.ndarray]


def scorer(material: Material, method: str, layer: str) -> Scorer | None:
    """How a method scores concepts, some at a time; None for methods that score no others.

    The WPMI family goes by what its labels left behind, the others by the activations.
    """
    facts = material.atlas.manifest["methods"][method]
    if facts.get("labeller") != "clip-dissect" or "settled" not in facts:
        return None
    similarity = open_similarity(facts["settled"])
    images, texts = material.image_embeddings, material.text_embeddings
    if hasattr(similarity, "score_words"):
        path = material.atlas.folder / schema.method_file(method)
        kept = storage.read_arrays(path)[0] if path.exists() else {}
        if f"{layer}/indices" not in kept:
            return None
        arrays = {
            k: kept[n]
            for k, n in (("indices", f"{layer}/indices"), ("log_normalisers", "log_normalisers"))
        }
        return lambda rows: similarity.score_words(arrays, images, texts[rows])
    if material.atlas.manifest.get("kept") != "all":
        return None
    activations = material.activations(layer)
    return lambda rows: similarity.scores(activations, images, texts[rows], tie=material.tie)


@functools.cache
def _sentence_model() -> Sentences:
    from neuronym.inputs.encoders.sentences import minilm

    return minilm()


class Closeness:
    """Cosines of labels with the names of their units' classes.

    Args:
        material: of the atlas.
        truth: all known units: layer, unit, labels.

    Attributes:
        notes: what could not be had, in sentences.
    """

    def __init__(self, material: Material, truth: pd.DataFrame) -> None:
        self._material, self.notes = material, list[str]()
        self._names = {
            (row.layer, row.unit): row.labels[0] for row in truth.itertuples()
        }  # the first is the class's whole name

    def of(self, first: pd.DataFrame) -> dict[str, float | None]:
        """Mean cosines of first labels (layer, unit, concept) with the classes' names.

        Returns:
            `cosine` and `cosine_sentences`; None where a model is not at hand.
        """
        labels = list(first["concept"])
        names = [self._names[key] for key in zip(first["layer"], first["unit"], strict=True)]
        found: dict[str, float | None] = {}
        for key, embed in (("cosine", self._encoded), ("cosine_sentences", self._sentences)):
            words = list(dict.fromkeys([*labels, *names]))
            vectors = embed(tuple(words)) if words else None
            row = {word: place for place, word in enumerate(words)}
            found[key] = (
                None
                if vectors is None
                else float(
                    np.mean(
                        [
                            vectors[row[a]] @ vectors[row[b]]
                            for a, b in zip(labels, names, strict=True)
                        ]
                    )
                )
            )
        return found

    def _encoded(self, words: tuple[str, ...]) -> np.ndarray | None:
        """By the atlas's encoder: concepts as they were embedded, others by opening it."""
        rows = {word: row for row, word in enumerate(self._material.words)}
        strange = [word for word in words if word not in rows]
        try:
            vectors = np.asarray(self._material.text_embeddings)
            new = self._material.embed_words(strange) if strange else vectors[:0]
        except NeuronymError as error:
            self._note(f"No cosine under the encoder: {error}")
            return None
        places = {word: len(vectors) + place for place, word in enumerate(strange)}
        return np.concatenate([vectors, new])[[(rows | places)[word] for word in words]]

    def _sentences(self, words: tuple[str, ...]) -> np.ndarray | None:
        try:
            model = _sentence_model()
        except MissingExtraError as error:
            self._note(f"No cosine under a sentence model: {error}")
            return None
        vectors = model.encode(words).numpy()
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
