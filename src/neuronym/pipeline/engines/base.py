"""What an engine is: where the pass over the images is computed."""

from __future__ import annotations

import abc
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neuronym._core.progress import Progress
from neuronym._core.registry import Parameterised, Registry, opened
from neuronym.extraction.shards import Shards, here

if TYPE_CHECKING:
    from neuronym.pipeline.plan import Plan

ENGINES = Registry("engine", "engines", "neuronym.pipeline.engines")


@dataclass(eq=False)
class Running:
    """An engine at work.

    Attributes:
        shards: computes the shards of a pass.
        facts: what `atlas.json` keeps of it, complete when the pass is; empty: nothing to say.
    """

    shards: Shards = here
    facts: dict[str, Any] = field(default_factory=dict)


class Engine(Parameterised, abc.ABC):
    """Where a run's pass over the images is computed; subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def start(self, plan: Plan, progress: Progress) -> AbstractContextManager[Running]:
        """Make ready for the pass of a run; when the context is left, nothing of it remains.

        Raises:
            MissingExtraError: a package is absent.
            NeuronymError: it cannot be started.
        """


def open_engine(spec: str | Engine) -> Engine:
    """An engine from its name with parameters, or the engine that is given.

    Args:
        spec: for example `local`, `ray`, `ray://auto`, `ray:workers=4,threads=2`.

    Raises:
        UsageError: no such engine, no such parameter, or a value that does not fit.

    >>> open_engine("ray:workers=4").spec
    'ray:workers=4'
    >>> open_engine("ray://10.0.0.7:6379,gpus=0.5").spec
    'ray://10.0.0.7:6379,gpus=0.5'
    """
    return opened(ENGINES, Engine, spec)


def told(facts: dict[str, Any] | None) -> str | None:
    """What a user has to know of how it went, from the facts in `atlas.json`; None: nothing.

    >>> told({"name": "ray", "workers": 2, "replaced": 1, "again": 2})
    '1 worker of the engine ray died and was replaced; 2 blocks of images were computed again.'
    """
    replaced = (facts or {}).get("replaced", 0)
    if not facts or not replaced:
        return None
    died = "worker" if replaced == 1 else "workers"
    were = "died and was replaced" if replaced == 1 else "died and were replaced"
    again = facts.get("again", 0)
    blocks = "block of images was" if again == 1 else "blocks of images were"
    return (
        f"{replaced} {died} of the engine {facts['name']} {were}; {again} {blocks} computed again."
    )
