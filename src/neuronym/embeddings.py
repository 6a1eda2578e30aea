"""The encoder's side of the pass: image embeddings, and the concepts' text embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch

from neuronym import folding
from neuronym._types import Progress, silent
from neuronym.cache import Cache, Shelf
from neuronym.concepts.base import ConceptSet
from neuronym.devices import arithmetic, at_once, on_device, precision
from neuronym.encoders.base import Encoder
from neuronym.encoders.texts import embed_concepts

#: The one output of an `EncoderPass`. No layer can have this name: none starts with a dot.
IMAGES = ".image embeddings"


class EncoderPass:
    """Feeds batches to an encoder; yields `values`, float32 unit vectors `[image, dim]`."""

    def __init__(
        self, encoder: Encoder, cache: Cache, *, device: torch.device, dtype: str, batch_size: int
    ) -> None:
        self.encoder, self.preprocess = encoder.to(device), encoder.preprocess
        self.device, self.dtype = device, dtype
        self._at_once = at_once(batch_size, device)
        self._folding = folding.find(self._embedded, self.preprocess.size, device, dtype)
        self.arithmetic = arithmetic(device, dtype, len(self._folding.places))
        about = {
            "encoder": encoder.name,
            "weights": encoder.fingerprint,
            "preprocess": encoder.preprocess.to_dict(),
            "device": device.type,
            "dtype": dtype,
            "batch_size": batch_size,
            "at_once": self._at_once,
            "arithmetic": self.arithmetic,
        }
        self.shelves: Mapping[str, Shelf] = {IMAGES: cache.shelf("embeddings", about)}

    def running(self) -> AbstractContextManager[None]:
        """What batches have in common: the precision, and weights converted to it."""
        return precision(self.device, self.dtype)

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> dict[str, dict[str, np.ndarray]]:
        """uint8 `[image, height, width, 3]` → embeddings."""
        with self.running():
            cuts = range(self._at_once, len(pixels), self._at_once)
            found = [self._part(part) for part in np.split(pixels, cuts)]
        return {IMAGES: {"values": np.concatenate(found)}}

    def _part(self, pixels: np.ndarray) -> np.ndarray:
        batch = self.preprocess.normalise(on_device(pixels, self.device))
        with self._folding.applied():
            vectors = self.encoder.encode_images(batch)
            skipped = self._folding.skipped
        if skipped:  # it takes other ways for some images than for noise
            self._folding.stop()
            return self._part(pixels)
        return vectors.float().cpu().numpy()

    def _embedded(self, batch: torch.Tensor) -> list[torch.Tensor]:
        return [self.encoder.encode_images(batch)]


def concept_embeddings(
    encoder: Encoder,
    concepts: ConceptSet,
    cache: Cache,
    progress: Progress = silent,
    *,
    keep: bool = True,
) -> np.ndarray:
    """Unit vectors float32 `[concept, dim]`, from the cache where they are known.

    Args:
        keep: write new ones to the cache.
    """
    cpu = torch.device("cpu")  # on another device `precision` changes nothing in float32
    about = {
        "encoder": encoder.name,
        "weights": encoder.fingerprint,
        "concepts": concepts.name,
        "arithmetic": arithmetic(cpu, "float32", 0),
    }
    shelf = cache.shelf("texts", about)
    known = shelf.read(concepts.fingerprint)
    if known is None:
        with precision(cpu, "float32"):
            vectors = embed_concepts(encoder, concepts.words, concepts.templates, progress=progress)
        if keep:
            shelf.write(concepts.fingerprint, {"values": vectors}, {})
        return vectors
    return np.array(known[0]["values"])
