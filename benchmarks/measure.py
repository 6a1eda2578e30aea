"""One measurement is one process: `python -m benchmarks.measure CASE SIDE SIZE REPEATS FILE`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import Arrays
from benchmarks.clock import Clock, forget_peak, memory

ROOT = Path(__file__).parents[1]
#: A run is repeated in its process until it has been timed for so long.
_SECONDS = 2.0


@dataclass(frozen=True, eq=False)
class Measured:
    """One side at one size; times and memory are minima over the runs.

    Attributes:
        wall, cpu: seconds; cpu is that of all threads.
        peak: bytes beyond what was in use before (inputs, libraries), or None.
        total: bytes of the whole process at its peak, or None.
        warm: seconds that the warm-up took (compiling, starting threads), or None without one.
        runs: how many.
        arrays: the results.
    """

    wall: float
    cpu: float
    peak: int | None
    total: int | None
    warm: float | None
    runs: int
    arrays: Arrays

    def best(self, other: Measured | None) -> Measured:
        """The minima of two measurements, with the results of this one."""
        if other is None:
            return self
        both = {name: (value, getattr(other, name)) for name, value in self.to_dict().items()}
        least = {name: None if None in pair else min(pair) for name, pair in both.items()}
        return Measured(**least | {"runs": self.runs + other.runs}, arrays=self.arrays)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the results, JSON-able."""
        return {name: value for name, value in vars(self).items() if name != "arrays"}


class FailedError(Exception):
    """A process that measured ended with an error."""


def measure(case: str, side: str, size: Mapping[str, Any], repeats: int) -> Measured:
    """Run one side in a process of its own.

    Raises:
        FailedError: it failed; the message is the end of what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="neuronym-bench-") as folder:
        file = Path(folder) / "results.npz"
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "benchmarks.measure",
                case,
                side,
                json.dumps(size),
                str(repeats),
                str(file),
            ],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise FailedError("\n".join(done.stderr.strip().splitlines()[-12:]))
        with np.load(file) as found:
            arrays = dict(found)
    return Measured(**json.loads(done.stdout.splitlines()[-1]), arrays=arrays)


def main(case: str, side: str, size: str, repeats: str, file: str) -> None:
    """Measure in this process and print one line of JSON."""
    from benchmarks.cases import find

    chosen = find(case)
    work = chosen.sides[side]
    warm = None
    if "warm" in chosen.sizes:
        start = time.perf_counter()
        work(chosen.prepare(**chosen.sizes["warm"]), Clock())
        warm = time.perf_counter() - start
    inputs = chosen.prepare(**json.loads(size))
    forget_peak()
    before, clocks = memory(), []
    while not clocks or (len(clocks) < int(repeats) and sum(c.wall for c in clocks) < _SECONDS):
        clocks.append(Clock())
        arrays = work(inputs, clocks[-1])
    total = memory(peak=True)
    np.savez(file, **arrays)
    found = Measured(
        min(clock.wall for clock in clocks),
        min(clock.cpu for clock in clocks),
        None if before is None or total is None else total - before,
        total,
        warm,
        len(clocks),
        arrays,
    )
    print(json.dumps(found.to_dict()))


if __name__ == "__main__":
    main(*sys.argv[1:])
