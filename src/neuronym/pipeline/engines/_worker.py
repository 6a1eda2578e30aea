"""One worker of a pool: a process with its own copy of both networks."""

from __future__ import annotations

import functools
import io
import os
import pickle
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neuronym._core.errors import CorruptImageError, NeuronymError
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.extraction.shards import Collected, Decoded, Header, Loader, Shard, compute
from neuronym.inputs.probes.base import Probe


@dataclass(frozen=True, eq=False)
class Load:
    """What a worker needs of a plan; it travels pickled.

    Attributes:
        maps: of how many images per unit and shard the small maps are kept.
        threads: of torch, and as many that decode.
        sample: by place the content hashes of some images, which every worker has to find.
    """

    target: Any
    layers: list[Any]
    encoder: Any
    probe: Any
    device: str
    dtype: str
    batch_size: int
    threads: int
    maps: int
    sample: dict[int, str]

    def packed(self, cloudpickle: Any) -> bytes:
        """It pickled, by the module of that name: with functions made in Python, and with locks and
        small caches, which begin anew."""
        kinds = {type(threading.Lock()): threading.Lock, type(threading.RLock()): threading.RLock}

        class Pickler(cloudpickle.CloudPickler):
            def reducer_override(self, thing: Any) -> Any:
                if type(thing) in kinds:
                    return kinds[type(thing)], ()
                if isinstance(thing, _Lru) and thing.__wrapped__.__qualname__.count("."):
                    size = thing.cache_parameters()["maxsize"]
                    return _cached, (thing.__wrapped__, size)
                return super().reducer_override(thing)

        file = io.BytesIO()
        Pickler(file).dump(self)
        return file.getvalue()


def sample(probe: Probe) -> dict[int, str]:
    """Content hashes of some of its images, from the first to the last one, by their places."""
    found = {}
    for place in np.linspace(0, len(probe) - 1, 5).astype(int).tolist():
        with suppress(CorruptImageError):
            found[place] = probe.read(place).content_hash
    return found


_Lru = type(functools.lru_cache(len))


def _cached(function: Any, size: int | None) -> Any:
    return functools.lru_cache(size)(function)


def same() -> dict[str, str]:
    """What must be the same on all machines of a run, beside how networks compute."""
    import PIL
    import torch

    from neuronym import __version__

    return {"neuronym": __version__, "torch": torch.__version__, "Pillow": PIL.__version__}


def _find(probe: Probe, known: dict[int, str]) -> None:
    """Refuse a machine that has no images, or others, where the run has its own."""
    for place, content in known.items():
        try:
            if probe.read(place).content_hash == content:
                continue
            why = "another image lies there"
        except CorruptImageError as error:
            why = str(error)
        raise NeuronymError(
            f"Expected every machine of the engine ray to find the images of {probe.name}, got "
            f"one, {socket.gethostname()}, that does not find {probe.image_id(place)}: {why}. Put "
            "them where all machines see them under the same path."
        )


class Worker:
    """Reads shards, and computes what is wanted of them. Three of its methods run side by side."""

    def __init__(self) -> None:
        self._held: dict[int, list[Header]] = {}
        self._done: dict[int, int] = {}
        self._networks = threading.Lock()

    def set_up(self, load: bytes, paths: Sequence[str]) -> dict[str, str]:
        """Open what it was sent; gives what must be the same everywhere, and who it is."""
        import torch

        sys.path += [path for path in paths if path not in sys.path]
        prepare_torchvision()
        given: Load = pickle.loads(load)  # from the run itself, which started this process
        _find(given.probe, given.sample)
        torch.set_num_threads(given.threads)
        from neuronym.extraction.cache import Cache
        from neuronym.extraction.duplicates import SmallCopies
        from neuronym.extraction.passes import EncoderPass, TargetPass

        cache = Cache(os.devnull)  # nothing is written here: the run itself does
        how: dict[str, Any] = {"device": torch.device(given.device), "dtype": given.dtype}
        how["batch_size"] = self._batch_size = given.batch_size
        target = TargetPass(given.target, given.layers, cache, maps=given.maps, **how)
        encoder = EncoderPass(given.encoder, cache, **how)
        self._consumers: list[Any] = [target, encoder, SmallCopies(cache)]
        self._loader = Loader(given.probe, given.threads)
        arithmetic = {"target": target.arithmetic, "encoder": encoder.arithmetic}
        return {**same(), **arithmetic, "who": f"process {os.getpid()} on {socket.gethostname()}"}

    def read(self, number: int, places: range, forget: Sequence[int]) -> list[Header]:
        """Read and hash the images of a shard; those of shards to forget are let go."""
        for past in forget:
            self._held.pop(past, None)
            self._done.pop(past, None)
        headers = [future.result() for future in self._loader.header(places)]
        self._held[number] = headers
        return [replace(header, raw=None) for header in headers]

    def compute(self, number: int, wanted: list[list[str]]) -> tuple[list[Decoded], Collected]:
        """Decode the shard read under this number, and compute what is wanted of it."""
        headers, nothing = self._held[number], np.zeros(0, np.int32)
        shard = Shard(headers, False, nothing, nothing, {}, wanted)
        self._done[number] = 0
        decoded, collected = compute(
            self._consumers,
            shard,
            self._loader,
            self._batch_size,
            gate=self._networks,
            tick=lambda images: self._count(number, images),
        )
        self._held[number] = [replace(header, raw=None) for header in headers]
        whole: Collected = {
            name: [{key: np.concatenate([b[key] for b in batches]) for key in batches[0]}]
            for name, batches in collected.items()
        }
        return decoded, whole

    def done(self) -> dict[int, int]:
        """By shard how many of its images have been computed."""
        return dict(self._done)

    def _count(self, number: int, images: int) -> None:
        self._done[number] += images
