"""What a run would cost, from a few images through both networks and a few words."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuronym._core.errors import CorruptImageError, NeuronymError
from neuronym.extraction.cache import Cache
from neuronym.extraction.duplicates import SIDE
from neuronym.extraction.shards import shard_length
from neuronym.extraction.texts import cached
from neuronym.inputs.probes.base import Probe, RawImage
from neuronym.pipeline import stages
from neuronym.pipeline.maps import map_bytes
from neuronym.pipeline.plan import Plan
from neuronym.pipeline.run import make_feeds

#: Seconds after which nothing further is timed, for each of: images, either network, texts.
PATIENCE = 0.4


@dataclass(frozen=True)
class Estimate:
    """What a run would cost; of seconds and cache also the shares of each part.

    Attributes:
        seconds: of the images, with decoding, and the words.
        images_per_second: through decoding and both networks.
        texts: how many are to be embedded: words × templates, without those in the cache.
    """

    images: int
    units: int
    texts: int
    seconds: float
    images_per_second: float
    cache_bytes: int
    atlas_bytes: int
    free_bytes: int
    decoding_seconds: float
    target_seconds: float
    encoder_seconds: float
    text_seconds: float
    target_bytes: int
    encoder_bytes: int


def estimate(plan: Plan) -> Estimate:
    """Time a few images and texts, and extrapolate time and disk; nothing is written."""
    s, images, dim = plan.settings, len(plan.probe), plan.encoder.dim
    count, text_seconds = _texts(plan)
    decoding, target, encoder = _images(plan)
    recorded = sum(layer.info.width for layer in plan.recorded)
    maps = map_bytes(plan)
    shards = -(-images // shard_length(s.batch_size))
    arrays = [images * recorded * 6 + shards * maps, images * (dim * 4 + SIDE * SIDE * 3)]
    kept = images * plan.units * 4
    if s.keep in ("none", "topk") or (s.keep == "auto" and kept > stages.KEEP_BYTES):
        kept = 0
    texts = len(plan.concepts) * dim * 4
    thumbs = min(images, plan.units * s.exemplars) * 9_000
    rows = plan.units * (s.labels + s.exemplars) * 16
    place = Path(cache_root) if (cache_root := s.cache) else Cache().root
    while not place.exists():
        place = place.parent
    # On a CPU the threads that decode take the networks' cores; beside a GPU they do not.
    pass_seconds = target + encoder
    cpu = plan.device.type == "cpu"
    pass_seconds = decoding + pass_seconds if cpu else max(decoding, pass_seconds)
    return Estimate(
        images,
        plan.units,
        count,
        pass_seconds + text_seconds,
        images / pass_seconds,
        sum(arrays) + texts,
        kept + maps + images * dim * 4 + texts + thumbs + rows,
        shutil.disk_usage(place).free,
        decoding,
        target,
        encoder,
        text_seconds,
        *arrays,
    )


def _texts(plan: Plan) -> tuple[int, float]:
    """How many texts are to be embedded, and the seconds that takes."""
    encoder, concepts = plan.encoder, plan.concepts
    _, lacking = cached(encoder, concepts, Cache(plan.settings.cache))
    words = sorted((concepts.words[place] for place in lacking), key=len)
    total = len(words) * len(concepts.templates)
    if not total:
        return 0, 0.0

    def embed(count: int) -> None:
        """Of short and long ones, in all templates, as many as there are on average."""
        places = [divmod(int(i), len(words)) for i in np.linspace(0, total - 1, count)]
        encoder.encode_texts([concepts.templates[t].replace("{}", words[w]) for t, w in places])

    encoder.encode_texts(["a"])  # the first forward pays for set-up
    return total, total * _each(embed, min(total, 32), min(total, encoder.texts_at_once))


def _images(plan: Plan) -> tuple[float, float, float]:
    """Seconds of decoding all images on the run's threads, of the target, of the encoder."""
    images, s = len(plan.probe), plan.settings
    some = min(images, s.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        feeds = make_feeds(plan, Cache(folder))
        begun = time.perf_counter()
        raws = _some_images(plan.probe, some)
        seen = [raw.seen(*(feed.preprocess for feed in feeds)) for raw in raws]
        batches = [np.stack(pixels) for pixels in zip(*seen, strict=True)]
        decoding = (time.perf_counter() - begun) / len(raws)
        seconds = []
        for feed, batch in zip(feeds, batches, strict=True):

            def run(count: int, feed: Any = feed, batch: np.ndarray = batch) -> None:
                feed(batch[:count], list(feed.entries))

            run(1)  # the first forward pays for set-up
            seconds.append(images * _each(run, min(len(raws), feed.at_once), len(raws)))
    target, encoder = seconds
    return images * decoding / max(1, s.threads), target, encoder


def _each(work: Callable[[int], object], first: int, most: int) -> float:
    """Seconds per item: of `first` items, and of more as long as that is soon done."""
    count = first
    while True:
        begun = time.perf_counter()
        work(count)
        seconds = time.perf_counter() - begun
        wider = min(most, 4 * count)
        if wider == count or seconds * wider / count > PATIENCE:
            return seconds / count
        count = wider


def _some_images(probe: Probe, count: int) -> list[RawImage]:
    """Readable images from all over the probe, at most `count`, while patience lasts."""
    found, reason, begun = [], "", time.perf_counter()
    order = np.linspace(0, len(probe) - 1, count).astype(int)
    for index in dict.fromkeys([*order.tolist(), *range(len(probe))]):
        try:
            raw = probe.read(index)
            raw.decode()
            found.append(raw)
        except CorruptImageError as error:
            reason = reason or f"the first, {probe.image_id(index)}: {error}"
        if len(found) == count or (found and time.perf_counter() - begun > PATIENCE):
            break
    if not found:
        raise NeuronymError(f"None of the images of {probe.name} could be read; {reason}")
    return found
