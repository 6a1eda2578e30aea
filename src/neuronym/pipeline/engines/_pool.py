"""A pool of workers that share the shards of a pass: who gets which, who died, what is awaited."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from neuronym._core.errors import NeuronymError
from neuronym._core.progress import Ticker
from neuronym._core.terminal import counted
from neuronym.extraction.shards import Behind, Collected, Shard, Work
from neuronym.pipeline.engines._worker import same

#: Shards that a worker has at a time: one is computed, one is being decoded, one is read.
HELD = 3
#: A shard with which so many workers died is not given to another one.
TRIES = 3
#: Seconds without progress after which the run says what it waits for.
PATIENCE = 60.0
#: Seconds between two questions to a worker how far it is.
EVERY = 1.0


@dataclass(eq=False)
class _Member:
    """A worker and what it is at.

    Attributes:
        who: its process and machine, once it is set up.
        held: by number the shards it has been given; None: it is still reading that one.
        partial: how many images of those are computed.
        past: shards whose images it can let go.
        asked: when it was last asked how far it is.
    """

    actor: Any
    who: str = ""
    held: dict[int, Shard | None] = field(default_factory=dict)
    partial: int = 0
    past: list[int] = field(default_factory=list)
    asked: float = 0.0


class Pool:
    """Workers, their shards, and their replacements.

    Args:
        ray: the module, connected.
        spawn: starts a worker.
        load: a reference to the pickled `Load`.
        size: number of workers.
        room: says what room there is for workers.
    """

    def __init__(
        self,
        ray: Any,
        spawn: Callable[[], Any],
        load: Any,
        size: int,
        room: Callable[[], str] = str,
    ) -> None:
        self._ray, self._spawn, self._load, self._room = ray, spawn, load, room
        self.size, self.replaced, self.again = size, 0, 0
        self._members: list[_Member] = []
        self._pending: dict[Any, tuple[_Member, str, int]] = {}
        self._tries: Counter[int] = Counter()
        self._stillborn = 0
        for _ in range(size):
            self._start()

    def close(self) -> None:
        """End all workers."""
        members, self._members, self._pending = self._members, [], {}
        for member in members:
            self._ray.kill(member.actor)

    def shards(self, work: Work, tick: Ticker) -> Iterator[tuple[Shard, int]]:
        """The shards of a pass, computed by the workers, who end with it.

        Raises:
            NeuronymError: a worker raised it; workers die of the same images again and again; they
                compute otherwise than this process.
        """
        work.cache.check_writable()
        ranges, moved, yielded = work.ranges, _Moved(tick), 0
        self._ready: dict[int, tuple[Shard, int]] = {}
        self._queue = deque(range(len(ranges)))
        try:
            with Behind() as behind:
                while yielded < len(ranges):
                    self._give(ranges)
                    for reference in self._ray.wait([*self._pending], timeout=EVERY)[0]:
                        known = len(self._ready)
                        member, what, number = self._pending.pop(reference)
                        try:
                            self._take(member, what, number, reference, work, behind)
                        except self._ray.exceptions.RayActorError as error:
                            self._lost(member, ranges, error)
                        if len(self._ready) > known:
                            shard, computed = self._ready[number]
                            moved.finished(len(shard.headers), instant=not computed)
                    moved.to(sum(member.partial for member in self._members))
                    if moved.silent():
                        print(self._awaited(ranges), file=sys.stderr, flush=True)
                    while yielded in self._ready:
                        yield self._ready.pop(yielded)
                        yielded += 1
        finally:
            self.close()

    def _start(self) -> None:
        member = _Member(self._spawn())
        self._members.append(member)
        self._ask(member, "set up", -1, member.actor.set_up.remote(self._load, sys.path))

    def _ask(self, member: _Member, what: str, number: int, reference: Any) -> None:
        self._pending[reference] = (member, what, number)

    def _give(self, ranges: list[range]) -> None:
        """Hand shards to workers that have room for them, and ask the others how far they are."""
        for member in self._members:
            while (number := self._next(member)) is not None:
                self._queue.remove(number)
                past, member.past = member.past, []
                member.held[number] = None
                read = member.actor.read.options(concurrency_group="read")
                self._ask(member, "read", number, read.remote(number, ranges[number], past))
            busy = any(shard is not None for shard in member.held.values())
            if busy and time.monotonic() - member.asked > EVERY:
                member.asked = float("inf")
                done = member.actor.done.options(concurrency_group="talk")
                self._ask(member, "done", -1, done.remote())

    def _next(self, member: _Member) -> int | None:
        """The shard that a worker gets; one that was lost with others' workers it gets alone."""

        def alone(number: int) -> bool:
            return self._tries[number] >= TRIES - 1

        if not member.who or len(member.held) >= HELD or any(map(alone, member.held)):
            return None
        return next((n for n in self._queue if not (member.held and alone(n))), None)

    def _take(
        self, member: _Member, what: str, number: int, reference: Any, work: Work, behind: Behind
    ) -> None:
        """Go on with what a worker gives."""
        found = self._get(reference)
        if what == "set up":
            self._check(found, work)
            member.who, self._stillborn = found["who"], 0
        elif what == "done":
            member.asked = time.monotonic()
            member.partial = sum(n for shard, n in found.items() if shard in member.held)
        elif what == "read":
            shard = work.planned(found)
            if work.lacks(shard):
                member.held[number] = shard
                self._ask(member, "compute", number, self._compute(member, number, shard))
            else:
                self._done(member, number, shard, 0)
        else:
            decoded, collected = found
            held = member.held[number]
            assert held is not None

            def again(shard: Shard) -> Collected:
                return self._get(self._compute(member, number, shard))[1]

            work.finish(held, decoded, collected, behind, again)
            self._done(member, number, held, len(decoded))

    def _compute(self, member: _Member, number: int, shard: Shard) -> Any:
        compute = member.actor.compute.options(concurrency_group="compute")
        return compute.remote(number, shard.wanted)

    def _done(self, member: _Member, number: int, shard: Shard, computed: int) -> None:
        member.partial = max(0, member.partial - computed)
        del member.held[number]
        member.past.append(number)
        self._ready[number] = (shard, computed)

    def _get(self, reference: Any) -> Any:
        """What a call gave; what it raised is raised as if it had happened here."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, NeuronymError):
                raise type(cause)(str(cause)) from error
            raise NeuronymError(
                f"A worker of the engine ray failed: {type(cause).__name__}: "
                f"{(str(cause).strip().splitlines() or [''])[0]}. What was finished is kept: run "
                "the same command again to go on, or leave --engine out."
            ) from error

    def _lost(self, member: _Member, ranges: list[range], error: Exception) -> None:
        """Put another worker in the place of one that died; its shards are done again."""
        if member not in self._members:
            return  # a later call to a worker that is known to be dead
        self._members.remove(member)
        self._pending = {k: v for k, v in self._pending.items() if v[0] is not member}
        self._ray.kill(member.actor)
        begun = [number for number, shard in member.held.items() if shard is not None]
        self._queue.extendleft(sorted(member.held, reverse=True))
        self._tries.update(begun)
        self._stillborn += not member.who
        self.replaced, self.again = self.replaced + 1, self.again + len(begun)
        deadly = [number for number in begun if self._tries[number] >= TRIES]
        if deadly or self._stillborn >= TRIES * self.size:
            at = f"at the images {_places(ranges[deadly[0]])}" if deadly else "while they started"
            raise NeuronymError(
                f"{TRIES} workers of the engine ray died one after the other {at}, the last one: "
                f"{_first(error)} If memory ran out, take fewer workers or a smaller --batch-size. "
                "What was finished is kept: run the same command again to go on."
            ) from error
        self._start()

    def _check(self, found: dict[str, str], work: Work) -> None:
        """Refuse workers whose results are not those that the cache would take them for."""
        own = same() | {
            name: str(getattr(consumer, "arithmetic", ""))
            for name, consumer in zip(("target", "encoder"), work.consumers, strict=False)
        }
        for name, value in own.items():
            if found[name] != value:
                raise NeuronymError(
                    f"Expected the workers to compute as this machine does ({name}: {value}), got "
                    f"{found[name]} in {found['who']}. Start the run on a machine like theirs, "
                    "with the same packages."
                )

    def _awaited(self, ranges: list[range]) -> str:
        """What is being waited for, in a sentence."""
        ready = [member for member in self._members if member.who]
        if not ready:
            return (
                f"ray: for a minute none of {counted(self.size, 'worker')} has started. "
                f"{self._room()}"
            ).rstrip()
        at = [
            f"{member.who} at the images {', '.join(_places(ranges[n]) for n in member.held)}"
            for member in ready
            if member.held
        ]
        return f"ray: no image was finished for a minute. Waiting for {'; '.join(at[:4])}."


class _Moved:
    """Progress over all workers, which never goes back, and how long there was none."""

    def __init__(self, tick: Ticker) -> None:
        self._tick, self._whole, self._shown, self._last = tick, 0, 0, time.monotonic()

    def finished(self, images: int, *, instant: bool) -> None:
        """A shard is finished: `instant`: found in the cache."""
        if instant:
            self._tick.advance(images, instant=True)
            self._last = time.monotonic()
        else:
            self._whole += images

    def to(self, partial: int) -> None:
        """So many images of unfinished shards are computed."""
        more = self._whole + partial - self._shown
        if more > 0:
            self._tick.advance(more)
            self._shown += more
            self._last = time.monotonic()

    def silent(self) -> bool:
        """Whether there was no progress for `PATIENCE`; asked again, for as long once more."""
        if time.monotonic() - self._last < PATIENCE:
            return False
        self._last = time.monotonic()
        return True


def _places(images: range) -> str:
    return f"{images.start:,} to {images.stop - 1:,}"


def _first(error: Exception) -> str:
    """What Ray says of a death, in one line; of one while it was made the last: what was raised."""
    lines = [line.strip() for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines()]
    lines = [line for line in lines if line] or [type(error).__name__]
    made = "creation task" in lines[0]
    said = next((line for line in lines if "died because" in line or "exit" in line), lines[0])
    return (lines[-1] if made else said)[:300].rstrip(".") + "."
