"""Units scored anew: for any word, as their method does it, and for a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32

from neuronym._core import storage
from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError
from neuronym.atlas import schema
from neuronym.atlas.schema import Facts
from neuronym.extraction.passes import IMAGES, EncoderPass
from neuronym.search.relations import Relations
from neuronym.similarity.base import open_similarity
from neuronym.similarity.wpmi import MutualInformation

if TYPE_CHECKING:
    from PIL.Image import Image

    from neuronym.atlas.context import Sources
    from neuronym.atlas.reader import Atlas
    from neuronym.inputs.encoders.base import Encoder


_KEPT = 1000  # embeddings of new words
#: words → unit vectors `[word, dim]`.
Embed = Callable[[Sequence[str]], np.ndarray]


class Scorer:
    """The similarity of one method of an atlas, ready to score words that it has no labels of.

    Args:
        atlas: with embeddings.
        method: a method-id.
        embed: embeds words that are not among the concepts.

    Raises:
        NeuronymError: the method has no similarity, or the atlas no embeddings.
    """

    def __init__(self, atlas: Atlas, method: str, embed: Embed) -> None:
        facts: Facts | dict[str, Any] = atlas.manifest.methods.get(method, {})
        if "with_defaults" not in facts or "similarity" not in facts:
            raise NeuronymError(
                f"{method} cannot score words of its own accord: it is not clip-dissect. Search by "
                "its labels, or name a clip-dissect method with --method."
            )
        self._similarity = open_similarity(facts["with_defaults"])
        self._atlas, self._embed, self._layers = atlas, embed, atlas.labelled_layers(method)
        self._images = atlas.embeddings()["images"]
        self._words = {word: row for row, word in enumerate(atlas.concepts["concept"])}
        self._vectors: dict[str, np.ndarray] = {}
        self._path = atlas.folder / schema.method_file(method)
        self._arrays = storage.read_arrays(self._path)[0] if self._path.exists() else {}

    def embedded(self, word: str) -> bool:
        """Whether a word's embedding is at hand."""
        return word in self._words or word in self._vectors

    def vector(self, word: str) -> Float32[np.ndarray, " dim"]:
        """The text embedding of a word, as the atlas has it or from the encoder; kept."""
        if word in self._words:
            return np.asarray(self._atlas.embeddings()["concepts"][self._words[word]])
        vector = self._vectors.get(word)
        if vector is None:
            vector = self._vectors[word] = np.asarray(self._embed([word])[0], np.float32)
            if len(self._vectors) > _KEPT:
                self._vectors.pop(next(iter(self._vectors)), None)
        return vector

    def score(self, word: str) -> dict[str, Float[np.ndarray, " unit"]]:
        """Per layer the score of a word for every unit; NaN where a unit abstains.

        Raises:
            NeuronymError: the similarity needs activations that were not kept.
        """
        text, found = self.vector(word)[None], {}
        if isinstance(self._similarity, MutualInformation):
            layers = [layer for layer in self._layers if f"{layer}/indices" in self._arrays]
            sets = [self._arrays[f"{layer}/indices"] for layer in layers]
            if "log_normalisers" not in self._arrays or not layers:
                raise NeuronymError(
                    f"{self._path} is missing or empty, which holds what scoring words takes. Make "
                    "it anew: run the `neuronym dissect` of this atlas with --resume."
                )
            arrays = {"log_normalisers": self._arrays["log_normalisers"]}
            for layer, indices in zip(layers, sets, strict=True):
                given = arrays | {"indices": indices}
                found[layer] = self._similarity.score_words(given, self._images, text)[:, 0]
            return found
        for layer in self._layers:
            activations = self._atlas.activations(layer)
            scores = self._similarity.scores(activations, self._images, text, tie=self._atlas.tie)
            found[layer] = scores[:, 0]
        return found


def by_encoder(
    sources: Sources, encoder: Encoder, relations: Relations, picture: Image
) -> pd.DataFrame:
    """layer, unit, likeness: cosine of the picture with the mean of each unit's exemplars.

    Both less the probe's mean embedding.
    """
    feed = EncoderPass(encoder, sources.cache, device=sources.device, dtype="float32", batch_size=1)
    pixels = feed.preprocess.pixels(picture)[None]
    vector = feed(pixels, [IMAGES])[IMAGES]["values"][0].astype(np.float64)
    vector -= np.asarray(sources.atlas.embeddings()["images"]).mean(0, dtype=np.float64)
    vector /= max(np.linalg.norm(vector), 1e-12)
    return relations.units.frame(
        np.arange(len(relations.units)), likeness=relations.directions @ vector
    )


def by_target(sources: Sources, picture: Image) -> pd.DataFrame:
    """layer, unit, activation, deviation, share: what the picture does to each unit.

    `deviation`: by how many of its standard deviations over the probe the activation exceeds the
    unit's mean. `share`: of the probe's images that activate the unit less; NaN where the atlas
    keeps no activations.
    """
    atlas, feed = sources.atlas, sources.target_pass
    if feed.preprocess.channels == "bands":
        count = feed.preprocess.count
        raise misuse("by", f"encoder: a picture has not the {count} bands of the network", "target")
    pixels = feed.preprocess.pixels(picture)[None]
    found = feed(pixels, list(atlas.layers))
    parts = []
    for layer in atlas.layers:
        values = found[layer]["values"][0]
        facts = atlas.units[atlas.units["layer"] == layer]
        with np.errstate(divide="ignore", invalid="ignore"):
            deviation = (values - facts["mean"].to_numpy()) / facts["std"].to_numpy()
        try:
            share = (atlas.activations(layer) < values).mean(0)
        except NeuronymError:
            share = np.full(len(values), np.nan)
        parts.append(
            pd.DataFrame(
                {
                    "layer": layer,
                    "unit": facts["unit"].to_numpy(),
                    "activation": values,
                    "deviation": deviation,
                    "share": share,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
