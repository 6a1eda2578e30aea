"""The engine that is taken unasked: the process that runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from neuronym._core.progress import Progress
from neuronym.pipeline.engines.base import ENGINES, Engine, Running

if TYPE_CHECKING:
    from neuronym.pipeline.plan import Plan


@ENGINES.register("local")
@dataclass(frozen=True)
class Local(Engine):
    """This process, with all its cores or one card: the default."""

    name: ClassVar[str] = "local"

    @contextmanager
    def start(self, plan: Plan, progress: Progress) -> Iterator[Running]:
        yield Running()
