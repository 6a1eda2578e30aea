"""CLIP-Dissect: the concepts whose image–text similarities match the unit's activations best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from neuronym._core import hashing
from neuronym._core.registry import OWN, Name, write
from neuronym.atlas.context import LabelContext
from neuronym.inputs.encoders.base import measured_logit_scale
from neuronym.labelling.base import LABELLERS, Labeller, Labels, LayerLabels
from neuronym.similarity.base import Similarity, name_of, open_similarity


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
        vars(self)["_opened"] = open_similarity(self.similarity)
        object.__setattr__(self, "similarity", name_of(self._similarity))

    @property
    def _similarity(self) -> Similarity:
        return vars(self)["_opened"]

    @property
    def _named(self) -> str:
        return str(self.similarity)

    @classmethod
    def from_name(cls, name: Name) -> ClipDissect:
        """`clip-dissect:cos`, `clip-dissect:soft-wpmi,top_k=5`, or the plain name."""
        kind, _, detail = (name.detail or "soft-wpmi").partition(":")
        return cls(open_similarity(write(Name(kind, detail, name.params))))

    @property
    def spec(self) -> str:
        """`clip-dissect:soft-wpmi,top_k=5`."""
        if self._own:
            return f"{self.name}:{self.similarity}"
        return f"{self.name}:{self._named.replace(':', ',', 1)}"

    @property
    def stem(self) -> str:
        """`clip-dissect.soft-wpmi`."""
        kind = type(self._similarity).__name__ if self._own else ""
        return f"{self.name}.{kind or self._named.partition(':')[0]}"

    @property
    def _own(self) -> bool:
        return self._named.startswith(f"{OWN}:")

    @property
    def method_id(self) -> str:
        """As the atlas names it: `clip-dissect.soft-wpmi`, with a hash of other settings."""
        if ":" not in self._named or self._named == vars(type(self._similarity)).get("address"):
            return self.stem
        return f"{self.stem}.{hashing.of_data(self.similarity)[:6]}"

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """Score all concepts for all units; see `Similarity.top_many`."""
        embeddings, texts = context.image_embeddings, context.text_embeddings
        logit_scale = context.logit_scale
        measured = logit_scale is None
        if logit_scale is None:
            logit_scale = measured_logit_scale(embeddings, texts)
        filled = self._similarity.with_defaults(context.count, logit_scale)
        how: dict[str, Any] = {"device": context.device, "progress": context.progress}
        common = filled.shared(embeddings, texts, **how)
        found = filled.top_many(
            [context.activations(layer) for layer in layers],
            embeddings,
            texts,
            count,
            tie=context.tie,
            shared=common,
            **how,
        )
        words = np.array(context.words, dtype=object)
        made, shared = {}, dict[str, np.ndarray]()
        for layer, top in zip(layers, found, strict=True):
            shared |= {k: v for k, v in top.arrays.items() if k in common}
            own = {k: v for k, v in top.arrays.items() if k not in common}
            made[layer] = LayerLabels(words[top.concepts], top.scores, top.reasons, arrays=own)
        facts = {
            "similarity": self.similarity,
            "with_defaults": name_of(filled),
            "logit_scale": logit_scale,
            "logit_scale_measured": measured,
        }
        if found[0].backend:
            facts["backend"] = found[0].backend
        if filled.note(context.count):
            facts["note"] = filled.note(context.count)
        return Labels(made, shared, facts)
