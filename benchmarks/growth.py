"""Peak memory and rate of whole runs over more and more small images: `-m benchmarks.growth`.

A run is a process of its own, with default settings, two small layers, 300 words and an encoder
that costs next to nothing: what there is to hold is the images. The peak is that of all its
processes together.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import ROOT

#: Images of one folder: a folder of a million files is slow on every file system.
_FOLDER = 1000
_RUN = """
import sys
from pathlib import Path
from benchmarks.networks import run_tiny
run_tiny(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def main() -> None:
    """Measure, and print one line per size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--images", default="1000,10000,100000", metavar="N,…")
    sizes = [int(size) for size in parser.parse_args().images.split(",")]
    first = 0
    for size in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            _write(Path(scratch) / "images", size)
            begun = time.perf_counter()
            peak = _peak([sys.executable, "-c", _RUN, f"{scratch}/images", scratch])
            seconds = time.perf_counter() - begun
        first = first or peak
        print(
            f"{size:>11,} images: {seconds:8.1f} s, {size / seconds:7.1f} images/s, "
            f"{peak >> 20:,} MB ({peak / first - 1:+.1%})",
            flush=True,
        )


def _write(folder: Path, count: int) -> None:
    """Small JPEGs, all different, in sub-folders."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / f"{number // _FOLDER:05d}"
        if number % _FOLDER == 0:
            place.mkdir(parents=True)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        picture = coarse.resize((32, 32), Image.Resampling.BICUBIC)
        picture.save(place / f"{number:08d}.jpg", quality=85)


def _peak(command: list[str]) -> int:
    """Bytes that a command and all its children hold at most, sampled ten times a second."""
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths}
    most = 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, sum(map(_held, _family(process.pid))))
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(process.returncode)
    return most


def _family(process: int) -> list[int]:
    found = [process]
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [one for child in task.read_text().split() for one in _family(int(child))]
        except OSError:
            pass  # it has just ended
    return found


def _held(process: int) -> int:
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
