"""What an engine is: where the pass over the images is computed."""

from __future__ import annotations

import abc
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuronym._core.progress import Progress
from neuronym._core.registry import Parameterised, Registry
from neuronym.atlas.schema import EngineFacts
from neuronym.extraction.shards import Shards, here

if TYPE_CHECKING:
    from neuronym.pipeline.plan import Plan

ENGINES = Registry("engine", "engines", "neuronym.pipeline.engines")


@dataclass(eq=False)
class Running:
    """An engine at work.

    Attributes:
        shards: computes the shards of a pass.
        facts: what `atlas.json` keeps of it, complete when the pass is; None: nothing.
    """

    shards: Shards = here
    facts: EngineFacts | None = None


class Engine(Parameterised, abc.ABC):
    """Where a run's pass over the images is computed; subclasses are frozen dataclasses.

    >>> from neuronym._core.registry import opened
    >>> opened(ENGINES, Engine, "ray://10.0.0.7:6379,gpus=0.5").spec
    'ray://10.0.0.7:6379,gpus=0.5'
    """

    @abc.abstractmethod
    def start(self, plan: Plan, progress: Progress) -> AbstractContextManager[Running]:
        """Make ready for the pass of a run; when the context is left, nothing of it remains.

        Raises:
            MissingExtraError: a package is absent.
            NeuronymError: it cannot be started.
        """
