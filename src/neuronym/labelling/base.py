"""What a labeller is: any method that gives every unit ranked concepts with scores."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from neuronym._core import hashing
from neuronym._core.registry import Parameterised, Registry, opened
from neuronym.atlas.context import LabelContext

LABELLERS = Registry("method", "methods", "neuronym.labelling.methods")


@dataclass(frozen=True, eq=False)
class LayerLabels:
    """The ranked labels of all units of one layer.

    Attributes:
        concepts: words, object `[unit, n]`, best first; None where a unit has fewer than n labels.
        scores: float32 `[unit, n]`, descending in each row; NaN where there is no label.
        reasons: per unit why it abstains, or None. A unit that abstains gets no labels, whatever
            stands in its rows. A unit without any label must abstain.
        details: further columns of the labels table, each `[unit, n]`: numbers or words.
        measures: numbers per unit, each `[unit]`: become `trust/<method-id>.parquet`.
        evidence: columns of equal length, among them `unit`: become `evidence/<method-id>.parquet`.
        arrays: what a later search needs to score new words, by name.
    """

    concepts: np.ndarray
    scores: np.ndarray
    reasons: tuple[str | None, ...]
    details: Mapping[str, np.ndarray] = field(default_factory=dict)
    measures: Mapping[str, np.ndarray] = field(default_factory=dict)
    evidence: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Labels:
    """What a labeller found.

    Attributes:
        layers: by layer name.
        shared: arrays that all layers have in common.
        facts: about the run, for `methods` in `atlas.json`: parameters with their defaults, caveats
            (`note`).
    """

    layers: Mapping[str, LayerLabels]
    shared: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Labeller(Parameterised, abc.ABC):
    """A labelling method; subclasses are frozen dataclasses of its parameters.

    Attributes:
        needs: what it reads, for people: any of activations, embeddings, annotations, probe,
            target, encoder. What is missing is said by `LabelContext` when it is asked for.
    """

    needs: ClassVar[tuple[str, ...]] = ("activations",)

    @property
    def stem(self) -> str:
        """The readable part of the method-id."""
        return self.name

    @property
    def method_id(self) -> str:
        """`clip-avg`, with a short hash of the settings that are not the default."""
        if self.spec in (vars(type(self)).get("address"), self.stem.replace(".", ":", 1)):
            return self.stem
        return f"{self.stem}.{hashing.of_data(self.spec)[:6]}"

    def check(self, context: LabelContext, layers: Sequence[str]) -> None:
        """Refuse at once what could only fail later.

        Raises:
            UsageError, NeuronymError: something the method needs is missing; says how to get it.
        """
        if "annotations" in self.needs:
            _ = context.annotations

    def cost(self, context: LabelContext, layers: Sequence[str]) -> str:
        """One line on what labelling would cost, for methods that take long; else empty."""
        return ""

    @abc.abstractmethod
    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """Label all units of some layers.

        Args:
            context: what there is to read; `context.progress` is the display for long work.
            layers: names of layers of the atlas.
            count: labels per unit at most.

        Raises:
            UsageError, NeuronymError: something the method needs is missing; says how to get it.
        """


def open_labeller(spec: str | Labeller) -> Labeller:
    """A labeller from its name with parameters, or the labeller that is given.

    Args:
        spec: for example `clip-dissect:cos`, `clip-avg:k=10`, `netdissect`; `clip-dissect.cos`, as
            ids of methods are printed; `python:MODULE:CLASS,k=10`, a method of one's own.

    Raises:
        UsageError: no such method, no such parameter, or a value that does not fit.
        NeuronymError: a module of one's own cannot be imported.

    >>> open_labeller("clip-dissect:soft-wpmi,top_k=5").stem
    'clip-dissect.soft-wpmi'
    >>> open_labeller("clip-dissect.cos").spec
    'clip-dissect:cos'
    """
    if isinstance(spec, str):
        kind, dot, rest = spec.partition(".")
        if dot and kind in LABELLERS:
            spec = f"{kind}:{rest}"
    return opened(LABELLERS, Labeller, spec)
