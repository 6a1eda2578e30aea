"""The probe `synthetic`: pictures drawn by neuronym_drawings; needs no files and no network.

Pictures are drawn once, in blocks, by as many processes as there are cores, and kept:

    <cache>/drawings/<key>/about.json            what decides the pictures
    <cache>/drawings/<key>/0007.safetensors      pictures 224 … 255: JPEG files, owner maps, notes

The key covers the code that draws. What is not there is drawn when it is read.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL

import neuronym_drawings
from neuronym._core import checks, hashing, storage
from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.progress import Progress, silent
from neuronym._core.registry import Name
from neuronym.inputs.probes.base import PROBES, Annotation, Mask, Probe, RawImage
from neuronym_drawings import camera, photographs
from neuronym_drawings.canvas import Note, Notes, masks_of
from neuronym_drawings.catalogue import TRAINING_SEEDS, Picture, catalogue, draw
from neuronym_drawings.noise import SIZE

_log = logging.getLogger(__name__)
#: Pictures per file of the cache.
BLOCK = 32
#: Fewer pictures than this are drawn when they are read.
_WORTH_KEEPING = 3 * BLOCK


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture as it is kept: a JPEG file, who owns each pixel, and what the owners are."""

    jpeg: bytes
    owner: bytes
    notes: tuple[Notes, ...]

    def masks(self) -> list[Mask]:
        """One mask for each thing that can be seen."""
        owner = np.frombuffer(zlib.decompress(self.owner), np.int16).reshape(SIZE, SIZE)
        return [Mask(*note, pixels) for note, pixels in masks_of(owner, self.notes)]


class SyntheticProbe(Probe):
    """Colours, textures, materials, objects, scenes and photographs of 224 × 224 pixels.

    Every image follows from its id and the seed alone, so any thread may read any image at any
    time. `prepare` draws many at once and keeps them.

    Args:
        images: keep the first so many (≥ 1); None keeps all. The kinds are mixed, so a first part
            is a fair sample of the whole.
        seed: 0 for the standard pictures, any other number below `TRAINING_SEEDS` for another draw
            of the same ids (the photographs stay as they are).

    Attributes:
        remark: one sentence if the photographs are missing, else "".

    Raises:
        UsageError: `images` or `seed` is out of range.
    """

    def __init__(self, images: int | None = None, seed: int = 0) -> None:
        self.seed = checks.integer("seed", seed, 0, TRAINING_SEEDS - 1)
        whole = catalogue(self.seed)
        count = len(whole) if images is None else checks.integer("images", images, 1, len(whole))
        self._pictures = whole[:count]
        self._limit = images
        given = {} if images is None else {"images": count}
        if self.seed:
            given["seed"] = self.seed
        written = ",".join(f"{key}={value}" for key, value in given.items())
        self.name = f"synthetic:{written}" if written else "synthetic"
        self.remark = ""
        if photographs.photograph_folder() is None:
            self.remark = (
                "scikit-image is not installed: the probe `synthetic` has no photographs, "
                "only its drawn images."
            )
            _log.warning(self.remark)
        self._folder = _folder(storage.cache_root(), self.seed)
        self._drawn = functools.lru_cache(maxsize=8)(self._draw)
        self._block = functools.lru_cache(maxsize=4)(self._open)

    def __len__(self) -> int:
        return len(self._pictures)

    def __reduce__(self) -> tuple[type[SyntheticProbe], tuple[int | None, int]]:
        # Workers of a data loader get the recipe, not the pictures.
        return type(self), (self._limit, self.seed)

    def image_id(self, index: int) -> str:
        return self._pictures[index].id

    def read(self, index: int) -> RawImage:
        return RawImage(self._drawn(index).jpeg)

    def labels(self, index: int) -> Sequence[Annotation]:
        return _annotations(self._pictures[index].labels)

    def masks(self, index: int) -> Sequence[Mask]:
        return self._drawn(index).masks()

    def eight_bit(self, index: int) -> bool:
        return True

    def group(self, index: int) -> str:
        return self.image_id(index).rpartition("/")[0]

    def vocabulary(self) -> Sequence[Annotation]:
        # Known from the plan of the pictures: nothing is drawn.
        return _annotations(sorted({n for p in self._pictures for n in p.labels + p.masked}))

    def prepare(
        self, count: int, cache: Path, workers: int = 2, progress: Progress = silent
    ) -> None:
        """Draw the first `count` pictures in `workers` processes and keep them below `cache`."""
        count = min(count, len(self))
        self._folder = _folder(cache, self.seed)
        blocks = range(-(-count // BLOCK))
        missing = [number for number in blocks if not _file(self._folder, number).exists()]
        if count < _WORTH_KEEPING or not missing:
            with contextlib.suppress(OSError):  # when it was last used
                os.utime(self._folder / "about.json")
            return
        try:
            storage.write_json(self._folder / "about.json", _about(self.seed))
        except NeuronymError as error:
            return _cannot_keep(str(error))
        sizes = {number: len(_pictures(self.seed, number)) for number in blocks}
        with progress("drawing the pictures", sum(sizes.values())) as tick:
            tick.advance(sum(sizes[n] for n in blocks if n not in missing), instant=True)
            for number in _in_processes(self._folder, self.seed, missing, workers):
                tick.advance(sizes[number])
        self._block.cache_clear()

    def _draw(self, index: int) -> Drawn:
        block = self._block(index // BLOCK)
        return block[index % BLOCK] if block else _one(self._pictures[index], self.seed)

    def _open(self, number: int) -> list[Drawn] | None:
        """The pictures of a block, or None if they have not been kept whole."""
        try:
            arrays, about = storage.read_arrays(_file(self._folder, number))
            if not storage.intact(arrays, about):
                return None
            ends, data = arrays["ends"].tolist(), arrays["data"].tobytes()
            notes = [
                tuple(tuple(Note(*n) for n in own) for own in p) for p in json.loads(about["notes"])
            ]
        except (NeuronymError, OSError, KeyError, ValueError):
            return None  # it is drawn again when it is read
        starts = [0, *(end for _, end in ends)]
        return [
            Drawn(data[start:middle], data[middle:end], one)
            for start, (middle, end), one in zip(starts, ends, notes, strict=False)
        ]


def _annotations(notes: Iterable[Note]) -> tuple[Annotation, ...]:
    return tuple(Annotation(*note) for note in notes)


def _one(picture: Picture, seed: int) -> Drawn:
    canvas = draw(picture, seed)
    owner = zlib.compress(np.ascontiguousarray(canvas.owner, np.int16).tobytes(), 1)
    return Drawn(camera.jpeg(canvas), owner, tuple(canvas.notes))


def _pictures(seed: int, number: int) -> Sequence[Picture]:
    return catalogue(seed)[number * BLOCK : (number + 1) * BLOCK]


@functools.cache
def _code() -> str:
    """Fingerprint of the code that draws."""
    here = Path(neuronym_drawings.__file__).parent
    files = sorted(here.rglob("*.py"), key=lambda p: p.relative_to(here).as_posix())
    names = [p.relative_to(here).as_posix() for p in files]
    chunks = [
        part
        for name, p in zip(names, files, strict=True)
        for part in (name.encode(), p.read_bytes())
    ]
    return hashing.of_bytes(*chunks, Path(__file__).read_bytes())


def _about(seed: int) -> dict[str, Any]:
    """What decides the pictures."""
    return {
        "schema": hashing.SCHEMA,
        "kind": "drawings",
        "what": f"pictures of synthetic:seed={seed}" if seed else "pictures of synthetic",
        "seed": seed,
        "code": _code(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "photographs": [crop.id for crop in photographs.crops()],
    }


def _folder(cache: Path, seed: int) -> Path:
    return cache / "drawings" / hashing.of_data(_about(seed))


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.safetensors"


def _keep(folder: Path, seed: int, number: int) -> None:
    """Draw a block and write it, whole or not at all."""
    drawn = [_one(picture, seed) for picture in _pictures(seed, number)]
    sizes = [[len(one.jpeg), len(one.owner)] for one in drawn]
    data = np.frombuffer(b"".join(one.jpeg + one.owner for one in drawn), np.uint8)
    ends = np.cumsum(sizes).reshape(-1, 2)
    notes = json.dumps([one.notes for one in drawn])
    storage.write_arrays(_file(folder, number), {"data": data, "ends": ends}, {"notes": notes})


def _in_processes(folder: Path, seed: int, numbers: Sequence[int], workers: int) -> Iterator[int]:
    """Keep blocks in processes of their own; yields the number of each block that is done.

    They are plain processes, not multiprocessing's, which would run the user's script again.
    """
    path = os.pathsep.join(entry for entry in sys.path if entry)
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    read, write = os.pipe()
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryFile() as said, os.fdopen(read) as finished:
        try:
            with os.fdopen(write, "wb") as out:
                for worker in range(min(max(1, workers), len(numbers))):
                    own = [str(number) for number in numbers[worker :: max(1, workers)]]
                    line = [sys.executable, "-P", "-m", __name__, str(folder), str(seed), *own]
                    running.append(subprocess.Popen(line, stdout=out, stderr=said, env=env))
            for done in finished:
                yield int(done)
            codes = [process.wait() for process in running]
            if any(codes):
                said.seek(0)
                reason = said.read().decode(errors="replace").strip().rpartition("\n")[2]
                _cannot_keep(reason or "a process failed")
        except OSError as error:
            _cannot_keep(f"{sys.executable} cannot be run: {error.strerror}")
        finally:
            for process in running:
                process.kill()
                process.wait()


def _cannot_keep(reason: str) -> None:
    _log.warning("Pictures are drawn when they are read, as they cannot be kept: %s", reason)


@PROBES.register(
    "synthetic",
    syntax="synthetic[:images=N,seed=N]",
    example="synthetic:images=300",
)
def open_synthetic(name: Name) -> Probe:
    """Embedded: over 4,000 drawn images and photographs with exact masks; needs no files.

    Args:
        name: the parsed name; parameters `images` (the first so many) and `seed` (another draw).

    Raises:
        UsageError: an unknown parameter, a value out of range, or a detail.
    """
    if name.detail:
        raise misuse(
            "probe",
            "the name synthetic without a detail",
            f"synthetic:{name.detail}",
            "Parameters are written synthetic:images=300,seed=1.",
        )
    for key in name.params:
        if key not in ("images", "seed"):
            near = checks.nearest(key, ("images", "seed"))
            remedy = f"Nearest: {', '.join(near)}." if near else ""
            raise misuse(f"synthetic:{key}", "one of the parameters images, seed", key, remedy)
    images = name.params.get("images")
    seed = checks.integer("seed", name.params.get("seed", "0"), 0)
    return SyntheticProbe(None if images is None else checks.integer("images", images, 1), seed)


if __name__ == "__main__":
    for block in sys.argv[3:]:
        _keep(Path(sys.argv[1]), int(sys.argv[2]), int(block))
        print(block, flush=True)
