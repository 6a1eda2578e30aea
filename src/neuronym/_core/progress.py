"""Progress of long work: the interface that everything reports to, and its displays."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Protocol


class Ticker(Protocol):
    """One piece of long work in progress."""

    def advance(self, steps: int = 1, *, instant: bool = False) -> None:
        """Count steps; `instant` ones (found in the cache) do not enter the rate."""


#: Opens a progress display: ``with progress("labelling layer4", total=20) as tick: ...``.
Progress = Callable[[str, int], AbstractContextManager[Ticker]]


class _Silent:
    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def advance(self, steps: int = 1, *, instant: bool = False) -> None:
        return None


def silent(description: str, total: int) -> _Silent:
    """The progress display that shows nothing."""
    return _Silent()


def automatic(quiet: bool = False) -> Progress:
    """A bar where standard error is a terminal, a line every 15 seconds where it is not."""
    if quiet:
        return silent
    return bar if sys.stderr.isatty() else lines


class _Counter:
    """Counts steps; those found in the cache do not enter the rate."""

    def __init__(self, total: int) -> None:
        self.done, self.worked, self.total = 0, 0, total
        self.started = time.monotonic()

    def add(self, steps: int, instant: bool) -> None:
        self.done += steps
        self.worked += 0 if instant else steps

    @property
    def rate(self) -> float:
        return self.worked / max(time.monotonic() - self.started, 1e-9)

    @property
    def left(self) -> str:
        if not self.worked:
            return "-:--:--"
        return str(timedelta(seconds=round((self.total - self.done) / self.rate)))


@contextmanager
def bar(description: str, total: int) -> Iterator[Ticker]:
    """A rich progress bar on standard error; it vanishes when done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    counter = _Counter(total)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]} left"),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=total, rate="", left="-:--:--")

        class Tick:
            def advance(self, steps: int = 1, *, instant: bool = False) -> None:
                counter.add(steps, instant)
                rate = f"{counter.rate:,.1f}/s"
                bars.update(task, advance=steps, rate=rate, left=counter.left)

        yield Tick()


@contextmanager
def lines(description: str, total: int, every: float = 15.0) -> Iterator[Ticker]:
    """A line on standard error every `every` seconds."""
    counter = _Counter(total)
    last = time.monotonic()

    class Tick:
        def advance(self, steps: int = 1, *, instant: bool = False) -> None:
            nonlocal last
            counter.add(steps, instant)
            if time.monotonic() - last >= every:
                last = time.monotonic()
                speed = f", {counter.rate:,.1f}/s, {counter.left} left" if counter.worked else ""
                print(
                    f"{description}: {counter.done:,} of {total:,}{speed}",
                    file=sys.stderr,
                    flush=True,
                )

    yield Tick()
