"""What an analysis is: it examines the labels of one method."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from neuronym._core.registry import Parameterised, Registry, opened
from neuronym.atlas.context import LabelContext

ANALYSES = Registry("analysis", "analyses", "neuronym.analysis.trust")


@dataclass(frozen=True, eq=False)
class Findings:
    """What an analysis found.

    Attributes:
        layers: by layer name its columns, each with one entry per unit; missing values are None or
            NaN. They become `trust/<analysis>.<method-id>.parquet`.
        facts: about the run, for `analyses` in `atlas.json`.
    """

    layers: Mapping[str, Mapping[str, Sequence[Any] | np.ndarray]]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Analysis(Parameterised, abc.ABC):
    """One way to examine the labels of a method; subclasses are frozen dataclasses of parameters.

    Attributes:
        after: analyses that it reads, which are run before it where they are not there yet.
        default: whether it is run where no analysis is named; not those that take long.
    """

    after: ClassVar[tuple[str, ...]] = ()
    default: ClassVar[bool] = True

    def check(self, context: LabelContext, method: str) -> None:
        """Refuse at once what could only fail later.

        Raises:
            UsageError, NeuronymError: the method's labels cannot be examined like this; says why.
        """

    @abc.abstractmethod
    def run(self, context: LabelContext, method: str, layers: Sequence[str]) -> Findings:
        """Examine the labels of some layers.

        Args:
            context: what there is to read; `context.progress` is the display for long work.
            method: a method-id of the atlas.
            layers: names of layers that the method has labelled.

        Raises:
            NeuronymError: something it needs is missing; says how to get it.
        """


def open_analysis(spec: str | Analysis) -> Analysis:
    """An analysis from its name with parameters, or the analysis that is given.

    Args:
        spec: for example `significance`, `significance:sets=2000`, `bootstrap`.

    Raises:
        UsageError: no such analysis, no such parameter, or a value that does not fit.
    """
    return opened(ANALYSES, Analysis, spec)
