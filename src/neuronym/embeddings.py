"""The encoder's side of the pass: image embeddings, and the concepts' text embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from neuronym._types import Progress, silent
from neuronym.cache import Cache, Shelf
from neuronym.concepts.base import ConceptSet
from neuronym.devices import precision
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
        about = {
            "encoder": encoder.name,
            "weights": encoder.fingerprint,
            "preprocess": encoder.preprocess.to_dict(),
            "device": device.type,
            "dtype": dtype,
            "batch_size": batch_size,
        }
        self.shelves: Mapping[str, Shelf] = {IMAGES: cache.shelf("embeddings", about)}

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> dict[str, dict[str, np.ndarray]]:
        """uint8 `[image, height, width, 3]` → embeddings."""
        batch = self.preprocess.normalise(torch.from_numpy(pixels).to(self.device))
        with torch.no_grad(), precision(self.device, self.dtype):
            vectors = self.encoder.encode_images(batch)
        return {IMAGES: {"values": vectors.float().cpu().numpy()}}


def concept_embeddings(
    encoder: Encoder, concepts: ConceptSet, cache: Cache, progress: Progress = silent
) -> np.ndarray:
    """Unit vectors float32 `[concept, dim]`, from the cache where they are known."""
    about = {"encoder": encoder.name, "weights": encoder.fingerprint, "concepts": concepts.name}
    shelf = cache.shelf("texts", about)
    known = shelf.read(concepts.fingerprint)
    if known is None:
        vectors = embed_concepts(encoder, concepts.words, concepts.templates, progress=progress)
        shelf.write(concepts.fingerprint, {"values": vectors}, {})
        return vectors
    return np.array(known[0]["values"])
