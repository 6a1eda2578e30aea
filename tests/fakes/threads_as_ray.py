"""What the engine uses of Ray, with threads of this process in place of processes."""

from __future__ import annotations

import pickle
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any


class RayActorError(Exception):
    """The process is gone."""


class RayTaskError(Exception):
    """A call raised something: `cause`."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__("a long traceback")
        self.cause = cause


class _Pickler(pickle.Pickler):
    def reducer_override(self, thing: Any) -> Any:
        return NotImplemented


class Actor:
    """One worker; each of its groups of methods has threads of its own."""

    def __init__(self, ray: ThreadsAsRay, kind: type, groups: dict[str, int]) -> None:
        self.ray, self.inner, self.dead = ray, kind(), threading.Event()
        self.number = len(ray.actors)
        self.threads = {name: ThreadPoolExecutor(n) for name, n in {"": 1, **groups}.items()}
        self.calls: list[Future] = []

    def __getattr__(self, name: str) -> Any:
        return _Method(self, name, "")

    def die(self) -> None:
        self.dead.set()
        for call in self.calls:
            if not call.done():
                call.set_exception(RayActorError("The actor died unexpectedly.\nworker exit."))


class _Method:
    def __init__(self, actor: Actor, name: str, group: str) -> None:
        self.actor, self.name, self.group = actor, name, group

    def options(self, concurrency_group: str) -> _Method:
        return _Method(self.actor, self.name, concurrency_group)

    def remote(self, *args: Any) -> Future:
        actor, found = self.actor, Future()
        actor.calls.append(found)
        given = [arg.result() if isinstance(arg, Future) else arg for arg in args]
        copied = pickle.loads(pickle.dumps(given))  # nothing is shared with the caller

        def run() -> None:
            if actor.ray.kills(actor, self.name, copied):
                actor.die()
            if actor.dead.is_set():
                return
            try:
                result = pickle.loads(pickle.dumps(getattr(actor.inner, self.name)(*copied)))
            except Exception as error:
                if not actor.dead.is_set():
                    found.set_exception(RayTaskError(error))
            else:
                if not actor.dead.is_set():
                    found.set_result(result)

        if actor.dead.is_set():
            found.set_exception(RayActorError("The actor died unexpectedly.\nworker exit."))
        else:
            actor.threads[self.group].submit(run)
        return found


class ThreadsAsRay:
    """The module `ray`.

    Args:
        cpus: of its one machine.
        kills: whether a worker dies when it begins a call: (worker, method, arguments).
    """

    exceptions = SimpleNamespace(RayActorError=RayActorError, RayTaskError=RayTaskError)
    cloudpickle = SimpleNamespace(CloudPickler=_Pickler)

    def __init__(self, cpus: int = 2, kills: Callable[[Actor, str, list], bool] | None = None):
        self.cpus, self.kills = cpus, kills or (lambda *_: False)
        self.actors: list[Actor] = []
        self.calls: defaultdict[str, int] = defaultdict(int)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": float(self.cpus)}}]

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 1.0}

    def remote(self, *, concurrency_groups: dict[str, int], **options: Any) -> Any:
        self.options = options

        def of(kind: type) -> Any:
            def make() -> Actor:
                self.actors.append(Actor(self, kind, concurrency_groups))
                return self.actors[-1]

            made = SimpleNamespace(remote=make)
            made.options = lambda **_: made
            return made

        return of

    def put(self, thing: Any) -> Future:
        found: Future = Future()
        found.set_result(thing)
        return found

    def get(self, reference: Future) -> Any:
        return reference.result()

    def wait(self, references: list[Future], timeout: float) -> tuple[list[Future], list[Future]]:
        done = wait(references, timeout, FIRST_COMPLETED).done
        return [r for r in references if r in done][:1], []

    def kill(self, actor: Actor) -> None:
        actor.die()

    @contextmanager
    def connected(self, address: str | None) -> Iterator[ThreadsAsRay]:
        """In the place of the engine's own connection."""
        yield self
        for actor in self.actors:
            assert actor.dead.is_set(), "a worker is left over"
            for threads in actor.threads.values():
                threads.shutdown()
