"""One process against several of the engine ray: `python -m benchmarks.workers`.

Every way runs in a process of its own with an empty cache: the plain run on one thread and on all
cores, one worker of one thread, and as many workers as there are cores; with `--data` also a
pipeline of Ray Data, in which decoding is a stage of its own. The rate is that between the first
and the last image, so that starting up does not count; `start` is the time before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import pictures
from benchmarks.machine import describe

#: The networks of the demo: they come with packages.
SETTINGS = {"target": "efficientnet-lite0", "encoder": "sketch", "concepts": "english-3k"}


class _Watch:
    """A progress display that keeps when how many images were done."""

    def __init__(self) -> None:
        self.begun, self.moments, self.done = time.perf_counter(), [], 0

    @contextmanager
    def __call__(self, description: str, total: int) -> Iterator[_Watch]:
        self.reading = description == "reading the probe"
        yield self

    def advance(self, steps: int = 1, *, instant: bool = False) -> None:
        if self.reading:
            self.done += steps
            self.moments.append((time.perf_counter() - self.begun, self.done))

    @property
    def figures(self) -> dict[str, float]:
        (start, first), (end, last) = self.moments[0], self.moments[-1]
        rate = (last - first) / (end - start)
        return {"rate": rate, "start": max(0.0, start - first / rate), "seconds": end}


def one(engine: str, folder: Path) -> dict[str, float]:
    """One pass over the images, by an engine or by a pipeline of Ray Data (`data:N`)."""
    from neuronym.extraction.cache import Cache
    from neuronym.extraction.duplicates import SmallCopies
    from neuronym.extraction.run import extract
    from neuronym.inputs.settings import DissectSettings
    from neuronym.pipeline.plan import plan
    from neuronym.pipeline.run import make_feeds

    data = engine.startswith("data:")
    cache = tempfile.mkdtemp()
    settings = {**SETTINGS, "probe": f"folder:{folder}", "cache": cache, "layers": ["_fc"]}
    made = plan(DissectSettings(**settings, engine="ray" if data else engine))
    watch, kept = _Watch(), Cache(cache)
    if data:
        _by_ray_data(made, int(engine[5:]), watch)
        return watch.figures
    with made.engine.start(made, watch) as running:
        feeds = make_feeds(made, kept)
        extract(
            made.probe,
            feeds,
            kept,
            aside=[SmallCopies(kept)],
            workers=made.settings.threads,
            progress=watch,
            shards=running.shards,
        )
    return watch.figures


def _by_ray_data(made: Any, workers: int, watch: _Watch) -> None:
    """Reading and decoding as tasks, whose pixels a pool of actors takes from the object store."""
    import numpy as np
    import ray.data
    from ray import cloudpickle

    from neuronym.extraction.shards import shard_length
    from neuronym.pipeline.engines._worker import Load, Worker
    from neuronym.pipeline.engines.ray import _connected

    load = Load(
        made.target, made.layers, made.encoder, made.probe, "cpu", made.dtype, 32, 1, {}
    ).packed(cloudpickle)

    class Decode:
        def __init__(self) -> None:
            self.probe = made.probe
            self.steps = [n.preprocess.pixel_steps for n in (made.target, made.encoder)]

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            seen = [self.probe.read(int(n)).seen(*self.steps) for n in batch["id"]]
            return {"a": np.stack([s[0] for s in seen]), "b": np.stack([s[-1] for s in seen])}

    class Networks:
        def __init__(self) -> None:
            self.worker = Worker()
            self.worker.set_up(load, sys.path)

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            target, encoder, _ = self.worker._consumers
            for low in range(0, len(batch["a"]), 32):
                target(batch["a"][low : low + 32], list(target.entries))
                encoder(batch["b"][low : low + 32], list(encoder.entries))
            return {"count": np.array([len(batch["a"])])}

    with _connected(None), watch("reading the probe", len(made.probe)):
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        shard = shard_length(32)
        found = (
            ray.data.range(len(made.probe), override_num_blocks=-(-len(made.probe) // shard))
            .map_batches(Decode, batch_size=shard, num_cpus=0.25, concurrency=workers)
            .map_batches(Networks, batch_size=shard, num_cpus=0.5, concurrency=workers)
        )
        for row in found.iter_rows():
            watch.advance(int(row["count"]))


def _used() -> float:
    """Seconds of CPU of all processes that have ended, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print a table of the ways."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--images", type=int, default=3072, help="twelve shards by default")
    parser.add_argument("--data", action="store_true", help="a pipeline of Ray Data, too")
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one[0], Path(given.one[1]))))
        return
    cores = describe()["cores"]
    ways = {
        "plain run, 1 thread": ("local", 1),
        f"plain run, {cores} threads": ("local", cores),
        "ray, 1 worker of 1 thread": ("ray:workers=1,threads=1", 1),
        f"ray, {cores} workers of 1 thread": (f"ray:workers={cores},threads=1", 1),
    }
    if given.data:
        ways[f"Ray Data, {cores} actors of 1 thread"] = (f"data:{cores}", 1)
    folder = pictures.write(Path(tempfile.mkdtemp()) / "images", given.images, 320, 240)
    print(f"{given.images:,} images, {cores} cores, load {os.getloadavg()[0]:.1f} before")
    for way, (engine, threads) in ways.items():
        command = [sys.executable, "-m", "benchmarks.workers", "--one", engine, str(folder)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        before = _used()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        used = _used() - before
        if done.returncode:
            print(f"{way:<32} failed: {(done.stderr.strip().splitlines() or [''])[-1]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{way:<32} {found['rate']:8.1f} images/s, start {found['start']:5.1f} s, "
            f"in all {found['seconds']:6.1f} s, {used:6.1f} s of CPU, load {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
