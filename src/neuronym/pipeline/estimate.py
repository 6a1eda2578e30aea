"""What a run would cost, from a few images through both networks."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuronym._core.errors import CorruptImageError, NeuronymError
from neuronym.extraction.cache import Cache
from neuronym.extraction.duplicates import SIDE
from neuronym.inputs.probes.base import Probe
from neuronym.pipeline import run as pipeline
from neuronym.pipeline.run import Plan, make_feeds


def _some_images(probe: Probe, count: int) -> list[Any]:
    """The first readable images, at most `count`."""
    found, reason = [], ""
    for index in range(len(probe)):
        try:
            found.append(probe.read(index).decode())
        except CorruptImageError as error:
            reason = str(error)
        if len(found) == count:
            break
    if not found:
        raise NeuronymError(f"None of the images of {probe.name} could be read: {reason}")
    return found


@dataclass(frozen=True)
class Estimate:
    """What a run would cost; of seconds and cache also the shares of each network."""

    images: int
    units: int
    seconds: float
    images_per_second: float
    cache_bytes: int
    atlas_bytes: int
    free_bytes: int
    target_seconds: float
    encoder_seconds: float
    target_bytes: int
    encoder_bytes: int


def estimate(plan: Plan) -> Estimate:
    """Time a few images through both networks and extrapolate time and disk."""
    s = plan.settings
    count = min(len(plan.probe), s.batch_size)
    raws = _some_images(plan.probe, count)
    with tempfile.TemporaryDirectory() as folder:
        feeds = make_feeds(plan, Cache(folder))
        for feed in feeds:  # the first forward pays for set-up
            feed(np.stack([feed.preprocess.pixels(raws[0])]), list(feed.entries))
        clock = [time.perf_counter()]
        for feed in feeds:
            feed(np.stack([feed.preprocess.pixels(raw) for raw in raws]), list(feed.entries))
            clock.append(time.perf_counter())
    images, dim = len(plan.probe), plan.encoder.dim
    each = [images * float(seconds) / len(raws) for seconds in np.diff(clock)]
    arrays = [images * plan.units * 6, images * (dim * 4 + SIDE * SIDE * 3)]
    kept = images * plan.units * 4
    if s.keep in ("none", "topk") or (s.keep == "auto" and kept > pipeline.KEEP_BYTES):
        kept = 0
    texts = len(plan.concepts) * dim * 4
    thumbs = min(images, plan.units * s.exemplars) * 9_000
    rows = plan.units * (s.labels + s.exemplars) * 16
    place = Path(cache_root) if (cache_root := s.cache) else Cache().root
    while not place.exists():
        place = place.parent
    return Estimate(
        images,
        plan.units,
        sum(each),
        images / sum(each),
        sum(arrays) + texts,
        kept + images * dim * 4 + texts + thumbs + rows,
        shutil.disk_usage(place).free,
        *each,
        *arrays,
    )
