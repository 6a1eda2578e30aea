"""What a similarity is: (activations, image embeddings, text embeddings) → scores per concept."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from neuronym._core.former import Former, told
from neuronym._core.progress import Progress, silent
from neuronym._core.registry import OWN, Parameterised, Registry, opened
from neuronym._core.types import Rows

SIMILARITIES = Registry("similarity", "similarities", "neuronym.similarity")


@dataclass(frozen=True, eq=False)
class Top:
    """The best concepts of every unit of one layer.

    Attributes:
        scores: float32 `[unit, n]`, descending; NaN where the unit abstains.
        concepts: int64 `[unit, n]`, indices into the concept set; −1 where the unit abstains.
            Equal scores: the smaller index comes first.
        reasons: per unit why it abstains, or None.
        arrays: what later steps need to score new words or other sets of images: image indices,
            log-normalisers, the prior of every concept.
        backend: what computed it, where there is a choice: `compiled`, `numpy`, `torch` or
            `torch on cuda`.
    """

    scores: np.ndarray
    concepts: np.ndarray
    reasons: tuple[str | None, ...]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    backend: str = ""
    engine = Former("engine", "backend")


class Similarity(Parameterised, abc.ABC):
    """A pure function of arrays; subclasses are frozen dataclasses of its parameters.

    Arguments shared by `scores` and `top`:
        activations: `[image, unit]` of ONE layer, all its units (the layer's prior needs them).
        images: image embeddings `[image, dim]`, unit vectors.
        texts: text embeddings `[concept, dim]`, unit vectors.
        tie: int64 `[image]`, the place of each image in the order of content hashes; equal
            activations go to the smaller one. None: to the earlier image.
        device: where to compute, a torch device or its name. None: where the image embeddings are.
            Similarities and devices that do not go together fall back to the CPU.

    Units that abstain get no scores and take no part in the layer's prior.
    """

    def with_defaults(self, images: int, logit_scale: float) -> Similarity:
        """This similarity with the defaults filled in that depend on probe size and encoder."""
        return self

    def settle(self, images: int, sharpness: float) -> Similarity:
        """The former name of `with_defaults`, until 0.3."""
        told("Similarity.", "settle", "with_defaults")
        return self.with_defaults(images, sharpness)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "settle" in vars(cls):
            told(f"{cls.__name__}.", "settle", "with_defaults")
            cls.with_defaults = vars(cls)["settle"]  # type: ignore[method-assign]  # meant

    def note(self, images: int) -> str:
        """What a reader of labels from so many images has to know; empty where there is nothing."""
        return ""

    def depth(self, images: int) -> int | None:
        """How many of a unit's highest images decide its labels; None: its other ones do, too."""
        return None

    def shared(
        self,
        images: Rows,
        texts: Rows,
        *,
        device: torch.device | str | None = None,
        progress: Progress = silent,
    ) -> dict[str, np.ndarray]:
        """What depends on images and texts alone: make it once, hand it to `top` of every layer."""
        return {}

    @abc.abstractmethod
    def scores(
        self, activations: Rows, images: Rows, texts: Rows, *, tie: np.ndarray | None = None
    ) -> np.ndarray:
        """All scores, float32 `[unit, concept]`; rows of abstaining units are NaN."""

    @abc.abstractmethod
    def top_many(
        self,
        layers: Sequence[Rows],
        images: Rows,
        texts: Rows,
        n: int = 20,
        *,
        tie: np.ndarray | None = None,
        shared: Mapping[str, np.ndarray] | None = None,
        device: torch.device | str | None = None,
        progress: Progress = silent,
    ) -> list[Top]:
        """`top` of several layers of one probe; what they have in common is done once."""

    def top(
        self,
        activations: Rows,
        images: Rows,
        texts: Rows,
        n: int = 20,
        *,
        tie: np.ndarray | None = None,
        shared: Mapping[str, np.ndarray] | None = None,
        progress: Progress = silent,
    ) -> Top:
        """The n best concepts per unit, streaming over tiles of concepts and blocks of images.

        With fewer than n concepts, all of them in order.
        """
        layers = [activations]
        return self.top_many(layers, images, texts, n, tie=tie, shared=shared, progress=progress)[0]


def open_similarity(spec: str | Similarity) -> Similarity:
    """A similarity from its name with parameters, or the similarity that is given.

    Args:
        spec: for example `soft-wpmi`, `soft-wpmi:top_k=5,a=10,prior=probe`, `cos`.

    Raises:
        UsageError: no such similarity, no such parameter, or a value that does not fit.

    >>> open_similarity("wpmi:lam=0.5,top_k=7").spec
    'wpmi:top_k=7,lam=0.5'
    >>> open_similarity("soft-wpmi").with_defaults(images=1000, logit_scale=10).spec
    'soft-wpmi:top_k=10,a=10'
    """
    return opened(SIMILARITIES, Similarity, spec)


def name_of(similarity: Similarity) -> str:
    """What stands for a similarity in an atlas: its spec, if that opens one of the same class.

    Of a class of the user's own: `python:` and its dotted name, with the parameters.

    >>> from neuronym.similarity.cosine import Cos
    >>> name_of(Cos())
    'cos'
    """
    kind = type(similarity)
    known = similarity.name in SIMILARITIES and SIMILARITIES[similarity.name].make is kind
    if known or "address" in vars(kind):
        return similarity.spec
    _, _, given = similarity.spec.partition(":")
    return f"{OWN}:{kind.__module__}.{kind.__qualname__}{',' if given else ''}{given}"
