"""The one place that chains the stages: from names to an atlas."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuronym import labelling, stages
from neuronym._compat import prepare_torchvision
from neuronym._errors import CorruptImageError, NeuronymError, UsageError
from neuronym._names import parse
from neuronym._types import Progress, silent
from neuronym.activations import LayerPlan, TargetPass
from neuronym.atlas import Atlas, open_atlas
from neuronym.atlas_writer import AtlasWriter
from neuronym.cache import Cache
from neuronym.concepts import open_concepts
from neuronym.concepts.base import ConceptSet
from neuronym.devices import resolve_device, resolve_dtype
from neuronym.embeddings import EncoderPass, concept_embeddings
from neuronym.encoders import open_encoder
from neuronym.encoders.base import Encoder
from neuronym.extraction import extract
from neuronym.labellers.clip_dissect import ClipDissect
from neuronym.layers import choose_layers
from neuronym.material import Material
from neuronym.probes import open_probe
from neuronym.probes.base import Probe
from neuronym.settings import DissectSettings
from neuronym.similarity import open_similarity
from neuronym.similarity.base import Similarity
from neuronym.targets import open_target
from neuronym.targets.base import Target


@dataclass(frozen=True, eq=False)
class Plan:
    """A run with every name resolved, ready to go."""

    settings: DissectSettings
    target: Target
    layers: list[LayerPlan]
    probe: Probe
    concepts: ConceptSet
    encoder: Encoder
    similarity: Similarity
    device: Any
    dtype: str

    @property
    def out(self) -> Path:
        """Where the atlas goes."""
        if self.settings.out:
            return Path(self.settings.out)
        try:
            name = parse(self.target.name)
            text = name.detail or name.kind
        except UsageError:  # a module's own name
            text = self.target.name
        tail = "".join(c if c.isalnum() or c in "-_." else "-" for c in text)
        return Path(f"{tail.strip('-.')}-atlas")

    @property
    def units(self) -> int:
        """Units of all chosen layers."""
        return sum(plan.info.units for plan in self.layers)

    def identity(self) -> dict[str, Any]:
        """What must agree for a run to go on where another stopped."""
        s = self.settings
        return {
            "target": self.target.fingerprint,
            "layers": [plan.to_dict() for plan in self.layers],
            "preprocess": self.target.preprocess.to_dict(),
            "probe": [self.probe.name, len(self.probe)],
            "concepts": self.concepts.fingerprint,
            "encoder": self.encoder.fingerprint,
            "similarity": self.similarity.spec,
            "dtype": self.dtype,
            "batch_size": s.batch_size,
            "labels": s.labels,
            "exemplars": s.exemplars,
            "keep": s.keep,
        }

    def manifest(self) -> dict[str, Any]:
        """The head of atlas.json."""
        from neuronym import __version__

        target, concepts, encoder = self.target, self.concepts, self.encoder
        return {
            "neuronym": __version__,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "config": self.settings.to_dict(),
            "identity": self.identity(),
            "target": {
                "name": target.name,
                "fingerprint": target.fingerprint,
                "pretrained": target.pretrained,
                "preprocess": target.preprocess.to_dict(),
                "class_names": list(target.class_names) if target.class_names else None,
                "layers": [plan.to_dict() for plan in self.layers],
            },
            "probe": {"name": self.probe.name, "given": len(self.probe)},
            "concepts": {
                "name": concepts.name,
                "count": len(concepts),
                "templates": list(concepts.templates),
                "fingerprint": concepts.fingerprint,
                "cleaning": asdict(concepts.cleaning),
            },
            "encoder": {
                "name": encoder.name,
                "fingerprint": encoder.fingerprint,
                "dim": encoder.dim,
                "sharpness": encoder.sharpness,
                "preprocess": encoder.preprocess.to_dict(),
                "note": encoder.note,
            },
            "device": self.device.type,
            "dtype": self.dtype,
        }


def plan(
    settings: DissectSettings,
    *,
    target: Target | Any = None,
    probe: Probe | Any = None,
    concepts: Any = None,
    encoder: Encoder | None = None,
    similarity: Similarity | None = None,
) -> Plan:
    """Resolve every name; whatever is wrong is said before anything expensive starts.

    Objects take the place of the names in `settings`.
    """
    prepare_torchvision()
    device, dtype = resolve_device(settings.device), resolve_dtype(settings.dtype)
    # The cheap names first: a typo in the last argument should not cost a model download.
    similar = open_similarity(similarity if similarity is not None else settings.similarity)
    images = open_probe(probe if probe is not None else settings.probe, limit=settings.limit)
    words = open_concepts(
        concepts if concepts is not None else settings.concepts,
        probe=images,
        templates=tuple(settings.template),
        exclude=settings.exclude,
    )
    similar.settle(len(images), 1.0)  # refuses a top_k over the number of images
    network = open_target(
        target if target is not None else settings.target, weights=settings.weights
    )
    layers = choose_layers(network, settings.layers, settings.pool, settings.layout)
    model = open_encoder(encoder if encoder is not None else settings.encoder)
    return Plan(settings, network, layers, images, words, model, similar, device, dtype)


def run(
    plan: Plan, *, resume: bool = False, overwrite: bool = False, progress: Progress = silent
) -> Atlas:
    """Carry a plan out, or go on with one that was interrupted.

    Raises:
        UsageError: something else lies at the output path.
        NeuronymError: no image or no activation is usable, or the disk is full.
    """
    writer = AtlasWriter.begin(plan.out, plan.manifest(), resume=resume, overwrite=overwrite)
    try:
        _run(plan, writer, progress)
    finally:
        writer.close()
    return open_atlas(plan.out)


def _feeds(plan: Plan, cache: Cache) -> tuple[TargetPass, EncoderPass]:
    """The two networks that the pass feeds."""
    where = {"device": plan.device, "dtype": plan.dtype, "batch_size": plan.settings.batch_size}
    return (
        TargetPass(plan.target, plan.layers, cache, **where),
        EncoderPass(plan.encoder, cache, **where),
    )


def _run(plan: Plan, writer: AtlasWriter, progress: Progress) -> None:
    s = plan.settings
    cache = Cache(s.cache)
    feeds = _feeds(plan, cache)
    target, encoder = feeds
    writer.manifest["arithmetic"] = {"target": target.arithmetic, "encoder": encoder.arithmetic}
    texts = concept_embeddings(plan.encoder, plan.concepts, cache, progress)
    extraction = extract(
        plan.probe, feeds, cache, batch_size=s.batch_size, workers=s.threads, progress=progress
    )
    done = stages.Run(
        writer, plan.layers, plan.target.preprocess, extraction, texts, plan.encoder.dim
    )
    stages.write_images(done)
    stages.write_concepts(done, plan.concepts)
    stages.write_units(done, s.exemplars, progress)
    _label(plan, done, progress)
    stages.write_activations(done, s.keep, s.exemplars, progress)
    stages.write_thumbs(done, plan.probe, s.threads, progress)
    writer.complete()


def _label(plan: Plan, done: stages.Run, progress: Progress) -> None:
    """The first labels: those of CLIP-Dissect with the chosen similarity."""
    labeller = ClipDissect(plan.similarity.spec)
    if done.writer.has(f"labels {labeller.method_id}"):
        return
    layers = {layer.info.name: done.activations(layer) for layer in done.plans}
    material = Material(
        open_atlas(plan.out),
        target=plan.target,
        probe=plan.probe,
        encoder=plan.encoder,
        activations=layers,
        device=plan.device.type,
        workers=plan.settings.workers,
        cache=plan.settings.cache,
        progress=progress,
    )
    labelling.write(done.writer, material, labeller, list(layers), plan.settings.labels)


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
        feeds = _feeds(plan, Cache(folder))
        for feed in feeds:  # the first forward pays for set-up
            feed(np.stack([feed.preprocess.pixels(raws[0])]), list(feed.shelves))
        clock = [time.perf_counter()]
        for feed in feeds:
            feed(np.stack([feed.preprocess.pixels(raw) for raw in raws]), list(feed.shelves))
            clock.append(time.perf_counter())
    images, dim = len(plan.probe), plan.encoder.dim
    each = [images * float(seconds) / len(raws) for seconds in np.diff(clock)]
    arrays = [images * plan.units * 6, images * dim * 4]
    kept = images * plan.units * 4
    if s.keep in ("none", "topk") or (s.keep == "auto" and kept > stages.KEEP_BYTES):
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
