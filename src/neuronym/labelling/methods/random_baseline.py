"""The floor under every comparison: concepts drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuronym._core import hashing
from neuronym._core.registry import whole
from neuronym.atlas.context import LabelContext
from neuronym.labelling.base import LABELLERS, Labeller, Labels, LayerLabels


@LABELLERS.register("random", example="random:seed=1")
@dataclass(frozen=True)
class Random(Labeller):
    """A baseline: concepts drawn at random for every unit.

    All concepts are equally likely, none comes twice. The draw depends on the seed, the concept
    set, the layer and the unit, on nothing else. The score at rank r is 1/r; it means nothing.

    Attributes:
        seed: of the draw.
    """

    name: ClassVar[str] = "random"
    needs: ClassVar[tuple[str, ...]] = ()
    seed: int = whole(0, 0)

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """Draw concepts for all units that other methods could label."""
        words = np.array(context.words, dtype=object)
        concept_set = hashing.of_texts(context.words)
        scores = 1 / np.arange(1, min(count, len(words)) + 1, dtype=np.float32)
        made = {}
        for layer in layers:
            reasons = context.reasons(layer)
            drawn = np.full((len(reasons), len(scores)), None, dtype=object)
            for unit in range(len(reasons)):
                known = hashing.of_data([self.seed, concept_set, layer, unit])
                draw = np.random.default_rng(int(known, 16)).permutation(len(words))
                drawn[unit] = words[draw[: len(scores)]]
            made[layer] = LayerLabels(drawn, np.tile(scores, (len(reasons), 1)), reasons)
        note = "Labels drawn at random; the scores mean nothing."
        return Labels(made, facts={"baseline": True, "note": note})
