"""CLIP-Dissect: the concepts whose image–text similarities match the unit's activations best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuronym._core import hashing
from neuronym._core.registry import Name
from neuronym.atlas.context import Material
from neuronym.inputs.encoders.base import measured_sharpness
from neuronym.labelling.base import LABELLERS, Labeller, Labels, LayerLabels
from neuronym.similarity.base import OWN, SIMILARITIES, Similarity, name_of, open_similarity


@LABELLERS.register(
    "clip-dissect", syntax="clip-dissect:SIMILARITY", example="clip-dissect:soft-wpmi,top_k=5"
)
@dataclass(frozen=True)
class ClipDissect(Labeller):
    """CLIP-Dissect with any similarity: soft-wpmi by default.

    Parameters of the similarity follow its name: `clip-dissect:soft-wpmi,top_k=5`.

    Reference: Oikarinen and Weng, CLIP-Dissect, ICLR 2023, arXiv 2204.10965.
    """

    name: ClassVar[str] = "clip-dissect"
    needs: ClassVar[tuple[str, ...]] = ("activations", "embeddings")
    similarity: str | Similarity = "soft-wpmi"

    def __post_init__(self) -> None:
        """Keep the similarity itself: no name opens one of the user's own."""
        object.__setattr__(self, "_similarity", open_similarity(self.similarity))
        object.__setattr__(self, "similarity", name_of(self._similarity))

    @classmethod
    def from_name(cls, name: Name) -> ClipDissect:
        """`clip-dissect:cos`, `clip-dissect:soft-wpmi,top_k=5`, or the plain name."""
        kind = name.detail or "soft-wpmi"
        return cls(SIMILARITIES[kind].make.from_name(Name(kind, "", name.params)).spec)

    @property
    def spec(self) -> str:
        """`clip-dissect:soft-wpmi,top_k=5`."""
        if self.similarity.startswith(OWN):
            return f"{self.name}:{self.similarity}"
        return f"{self.name}:{self.similarity.replace(':', ',', 1)}"

    @property
    def stem(self) -> str:
        """`clip-dissect.soft-wpmi`."""
        kind = type(self._similarity).__name__ if self.similarity.startswith(OWN) else ""
        return f"{self.name}.{kind or self.similarity.partition(':')[0]}"

    @property
    def method_id(self) -> str:
        """As the atlas names it: `clip-dissect.soft-wpmi`, with a hash of other settings."""
        if ":" not in self.similarity:
            return self.stem
        return f"{self.stem}.{hashing.of_data(self.similarity)[:6]}"

    def label(self, material: Material, layers: Sequence[str], count: int) -> Labels:
        """Score all concepts for all units; see `Similarity.top_many`."""
        embeddings, texts = material.image_embeddings, material.text_embeddings
        sharpness = material.sharpness
        measured = sharpness is None
        if sharpness is None:
            sharpness = measured_sharpness(embeddings, texts)
        settled = self._similarity.settle(material.count, sharpness)
        how = {"device": material.device, "progress": material.progress}
        common = settled.shared(embeddings, texts, **how)
        found = settled.top_many(
            [material.activations(layer) for layer in layers],
            embeddings,
            texts,
            count,
            tie=material.tie,
            shared=common,
            **how,
        )
        words = np.array(material.words, dtype=object)
        made, shared = {}, {}
        for layer, top in zip(layers, found, strict=True):
            shared |= {k: v for k, v in top.arrays.items() if k in common}
            own = {k: v for k, v in top.arrays.items() if k not in common}
            made[layer] = LayerLabels(words[top.concepts], top.scores, top.reasons, arrays=own)
        facts = {
            "similarity": self.similarity,
            "settled": name_of(settled),
            "logit_scale": sharpness,
            "logit_scale_measured": measured,
        }
        if found[0].engine:
            facts["backend"] = found[0].engine
        if settled.note(material.count):
            facts["note"] = settled.note(material.count)
        return Labels(made, shared, facts)
