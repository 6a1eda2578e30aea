"""The one place that chains the stages: from names to an atlas."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neuronym._core import hashing, storage
from neuronym._core.checks import misuse, nearest
from neuronym._core.devices import resolve_device, resolve_dtype
from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.numerics.topk import Ranked, UnitStats, topk
from neuronym._core.progress import Progress, automatic, silent
from neuronym._core.registry import parse
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym._core.types import Rows
from neuronym.atlas import schema
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.atlas.writer import AtlasWriter, check_free, save_thumb
from neuronym.extraction.cache import Cache
from neuronym.extraction.passes import (
    IMAGES,
    EncoderPass,
    LayerPlan,
    TargetPass,
    choose_layers,
    concept_embeddings,
)
from neuronym.extraction.run import Extraction, extract
from neuronym.inputs.concepts.base import ConceptSet, open_concepts
from neuronym.inputs.encoders.base import Encoder, open_encoder
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Probe, open_probe
from neuronym.inputs.settings import DissectSettings
from neuronym.inputs.targets.base import Target, open_target
from neuronym.labelling import run as labelling
from neuronym.labelling.methods.clip_dissect import ClipDissect
from neuronym.similarity.base import Similarity, name_of, open_similarity

#: With `keep="auto"`, activations are kept up to this size.
KEEP_BYTES = 2 << 30
_BLOCK = 4096


def write_images(writer: AtlasWriter, done: Extraction) -> None:
    """images.parquet; on a resumed run, checks that the probe is still the same."""
    rows = done.images
    fingerprint = hashing.of_texts([f"{r.image_id}\0{r.content_hash}" for r in rows])
    if writer.has("images"):
        if writer.manifest.probe.fingerprint != fingerprint:
            raise NeuronymError(
                f"The images of {writer.manifest.probe.name} have changed since "
                f"{writer.folder} was begun. Make it anew with --overwrite."
            )
        return
    file = writer.table(
        "images.parquet",
        "images",
        {
            "image_id": [r.image_id for r in rows],
            "source": [r.source for r in rows],
            "width": [r.width for r in rows],
            "height": [r.height for r in rows],
            "content_hash": [r.content_hash for r in rows],
            "annotations": [
                [{"category": c, "name": n, "area": a} for c, n, a in r.annotations] for r in rows
            ],
        },
    )
    skipped = [[s.image_id, s.reason] for s in done.skipped]
    unannotated = [[s.image_id, s.reason] for s in done.unannotated]
    probe = replace(
        writer.manifest.probe,
        images=len(rows),
        skipped=skipped,
        unannotated=unannotated,
        fingerprint=fingerprint,
    )
    writer.finish("images", [file], probe=probe)


def write_concepts(
    writer: AtlasWriter, done: Extraction, concepts: ConceptSet, texts: np.ndarray
) -> None:
    """concepts.parquet and arrays/embeddings.safetensors."""
    if writer.has("concepts"):
        return
    words = list(concepts.words)
    table = {"concept": words, "row": np.arange(len(words), dtype=np.int32)}
    file = writer.table("concepts.parquet", "concepts", table)
    arrays = "arrays/embeddings.safetensors"
    images = done.rows(IMAGES)
    storage.write_array_blocks(
        writer.folder / arrays,
        {
            "images": (np.float32, images.shape, _blocks(images)),
            "concepts": (np.float32, texts.shape, [texts]),
        },
        {},
    )
    writer.finish("concepts", [file, arrays])


def _blocks(rows: Rows) -> Iterator[np.ndarray]:
    for start in range(0, rows.shape[0], _BLOCK):
        yield rows[start : start + _BLOCK]


def write_units(writer: AtlasWriter, plan: Plan, done: Extraction, progress: Progress) -> None:
    """units.parquet and exemplars.parquet, from one streaming look at the activations.

    Exemplars are images above the unit's minimum: a unit that responds to three images has three.
    """
    if writer.has("units"):
        return
    exemplars = plan.settings.exemplars
    units: dict[str, list[Any]] = {name: [] for name in schema.tables()["units"].names}
    rows: dict[str, list[Any]] = {name: [] for name in schema.tables()["exemplars"].names}
    broken = 0
    with progress("highest activating images", len(plan.layers)) as tick:
        for layer in plan.layers:
            stats = UnitStats(layer.info.units)
            best = topk(done.rows(layer.info.name), max(exemplars, 1), done.tie, stats=stats)
            units["layer"] += [layer.info.name] * layer.info.units
            units["unit"] += range(layer.info.units)
            for column, values in _statistics(stats).items():
                units[column] += values.tolist()
            broken += int(np.count_nonzero(stats.nonfinite))
            if exemplars:
                _exemplar_rows(done, layer, plan.target.preprocess, stats, best, rows)
            tick.advance()
    total = plan.units
    if broken == total:
        raise NeuronymError(
            f"Every unit of {', '.join(p.info.name for p in plan.layers)} has NaN or infinite "
            f"activations on {len(done.images):,} images: check the weights and the "
            "preprocessing, or use --dtype float32."
        )
    files = [
        writer.table("units.parquet", "units", units),
        writer.table("exemplars.parquet", "exemplars", rows),
    ]
    writer.finish("units", files, units=total, nonfinite_units=broken)


def _statistics(stats: UnitStats) -> dict[str, np.ndarray]:
    """The columns of units.parquet that describe activations."""
    return {
        "min": stats.minimum,
        "mean": np.where(stats.finite > 0, stats.mean, np.nan),
        "max": stats.maximum,
        "std": np.where(stats.finite > 0, stats.std, np.nan),
        "positive": stats.fraction_positive,
        "nonfinite": stats.nonfinite,
        "dead": stats.dead,
    }


def _exemplar_rows(
    done: Extraction,
    layer: LayerPlan,
    preprocess: Preprocess,
    stats: UnitStats,
    best: Ranked,
    rows: dict[str, list[Any]],
) -> None:
    """Append the exemplars of one layer."""
    shown = np.isfinite(best.values) & (best.values > stats.minimum[:, None])
    where, grid = None, layer.grid
    if grid is not None:
        where = _gather(done.rows(layer.info.name, "peaks"), best.indices, shown)
    for unit, rank in np.argwhere(shown).tolist():
        image = done.images[int(best.indices[unit, rank])]
        y = x = None
        if grid is not None and where is not None:
            down, across = divmod(int(where[unit, rank]), grid[1])
            y, x = preprocess.on_image(
                (down + 0.5) / grid[0],
                (across + 0.5) / grid[1],
                image.width,
                image.height,
            )
        value = float(best.values[unit, rank])
        row = (layer.info.name, unit, rank + 1, image.image_id, value, y, x)
        for column, entry in zip(rows.values(), row, strict=True):
            column.append(entry)


def _gather(rows: Rows, indices: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """rows[indices[unit, place], unit], in one pass over blocks of rows."""
    found = np.zeros(indices.shape, np.int64)
    for start in range(0, rows.shape[0], _BLOCK):
        block = rows[start : start + _BLOCK]
        unit, place = np.nonzero(wanted & (indices >= start) & (indices < start + len(block)))
        found[unit, place] = block[indices[unit, place] - start, unit]
    return found


def write_activations(
    writer: AtlasWriter, plan: Plan, done: Extraction, progress: Progress
) -> None:
    """arrays/activations-<layer>.safetensors: all, those of the highest images, or none."""
    if writer.has("activations"):
        return
    keep, exemplars = plan.settings.keep, plan.settings.exemplars
    size = len(done.images) * plan.units * 4
    if keep == "auto":
        keep = "all" if size <= KEEP_BYTES else "topk"
    files = []
    with progress("keeping activations", len(plan.layers)) as tick:
        for layer in plan.layers if keep != "none" else []:
            rows = done.rows(layer.info.name)
            files.append(schema.activations_file(layer.info.name))
            path = writer.folder / files[-1]
            if keep == "all":
                whole = {"activations": (np.float32, rows.shape, _blocks(rows))}
                storage.write_array_blocks(path, whole, {})
            else:
                best = topk(rows, _highest(writer, layer, exemplars), done.tie)
                indices = best.indices.astype(np.int32)
                storage.write_arrays(path, {"values": best.values, "indices": indices}, {})
            tick.advance()
    writer.finish("activations", files, kept=keep)


def _highest(writer: AtlasWriter, layer: LayerPlan, exemplars: int) -> int:
    """How many images per unit the exemplars and the similarities look at."""
    widths = [max(exemplars, 1)]
    for method in writer.manifest.methods:
        path = writer.folder / schema.method_file(method)
        if path.exists():
            arrays = storage.read_arrays(path)[0]
            widths += [a.shape[1] for n, a in arrays.items() if n == f"{layer.info.name}/indices"]
    return max(widths)


def write_thumbs(writer: AtlasWriter, plan: Plan, done: Extraction, progress: Progress) -> None:
    """thumbs/<content hash>.jpg for every image that is some unit's exemplar."""
    if writer.has("thumbs"):
        return
    folder, probe = writer.folder, plan.probe
    shown = set(storage.read_table(folder / "exemplars.parquet", ["image_id"])[0].to_pylist())
    hashes = {r.image_id: r.content_hash for r in done.images if r.image_id in shown}
    places = {probe.image_id(i): i for i in range(len(probe)) if probe.image_id(i) in hashes}

    def make(image_id: str) -> str | None:
        name = schema.thumb_file(hashes[image_id])
        if not (folder / name).exists() or not (folder / name).stat().st_size:
            try:
                image = probe.read(places[image_id]).decode()
            except CorruptImageError:
                return None  # it was readable in the pass and is not any more
            save_thumb(image, folder / name)
        return name

    files = set()
    threads = ThreadPoolExecutor(plan.settings.threads)
    try:
        with progress("small copies of images", len(hashes)) as tick:
            for name in threads.map(make, sorted(hashes)):
                files |= {name} if name else set()
                tick.advance()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    # One entry for the folder: the manifest does not list thousands of images.
    writer.finish("thumbs", ["thumbs"] if files else [])


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
            "similarity": name_of(self.similarity),
            "dtype": self.dtype,
            "batch_size": s.batch_size,
            "labels": s.labels,
            "exemplars": s.exemplars,
            "keep": s.keep,
        }

    def manifest(self) -> schema.Manifest:
        """The head of atlas.json."""
        from neuronym import __version__

        target, concepts, encoder = self.target, self.concepts, self.encoder
        return schema.Manifest(
            neuronym=__version__,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            config=self.settings.to_dict(),
            identity=self.identity(),
            target=schema.TargetFacts(
                name=target.name,
                fingerprint=target.fingerprint,
                pretrained=target.pretrained,
                preprocess=target.preprocess.to_dict(),
                class_names=list(target.class_names) if target.class_names else None,
                layers=[plan.to_dict() for plan in self.layers],
            ),
            probe=schema.ProbeFacts(name=self.probe.name, given=len(self.probe)),
            concepts=schema.ConceptFacts(
                name=concepts.name,
                count=len(concepts),
                templates=list(concepts.templates),
                fingerprint=concepts.fingerprint,
                cleaning=asdict(concepts.cleaning),
            ),
            encoder=schema.EncoderFacts(
                name=encoder.name,
                fingerprint=encoder.fingerprint,
                dim=encoder.dim,
                logit_scale=encoder.logit_scale,
                preprocess=encoder.preprocess.to_dict(),
                note=encoder.note,
            ),
            device=self.device.type,
            dtype=self.dtype,
            stages={},
        )


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
    similar.with_defaults(len(images), 1.0)  # refuses a top_k over the number of images
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
    begun = AtlasWriter.begin(plan.out, plan.manifest(), resume=resume, overwrite=overwrite)
    with begun as writer:
        _run(plan, writer, progress)
    return open_atlas(plan.out)


def make_feeds(plan: Plan, cache: Cache) -> tuple[TargetPass, EncoderPass]:
    """The two networks that the pass feeds."""
    where = {"device": plan.device, "dtype": plan.dtype, "batch_size": plan.settings.batch_size}
    return (
        TargetPass(plan.target, plan.layers, cache, **where),
        EncoderPass(plan.encoder, cache, **where),
    )


def _run(plan: Plan, writer: AtlasWriter, progress: Progress) -> None:
    s = plan.settings
    cache = Cache(s.cache)
    feeds = make_feeds(plan, cache)
    target, encoder = feeds
    writer.manifest.arithmetic = {"target": target.arithmetic, "encoder": encoder.arithmetic}
    texts = concept_embeddings(plan.encoder, plan.concepts, cache, progress)
    done = extract(
        plan.probe, feeds, cache, batch_size=s.batch_size, workers=s.threads, progress=progress
    )
    write_images(writer, done)
    write_concepts(writer, done, plan.concepts, texts)
    write_units(writer, plan, done, progress)
    _label(writer, plan, done, progress)
    write_activations(writer, plan, done, progress)
    write_thumbs(writer, plan, done, progress)
    writer.complete()


def _label(writer: AtlasWriter, plan: Plan, done: Extraction, progress: Progress) -> None:
    """The first labels: those of CLIP-Dissect with the chosen similarity."""
    labeller = ClipDissect(plan.similarity)
    if writer.has(f"labels {labeller.method_id}"):
        return
    layers = {layer.info.name: done.rows(layer.info.name) for layer in plan.layers}
    context = LabelContext(
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
    labelling.write(writer, context, labeller, list(layers), plan.settings.labels)


def dissect(
    target: Any,
    *,
    layers: str | Sequence[str] = (),
    probe: Any = "synthetic",
    concepts: Any = "english-20k",
    encoder: Any = "clip",
    similarity: Any = "soft-wpmi",
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Atlas:
    """Label every unit of a network's layers, and write the result as an atlas.

    Args:
        target: the name of a network, a `torch.nn.Module`, or a `Target` (which also says how
            images are preprocessed).
        layers: names or globs; empty: the last layer at each resolution and the output layer.
        probe: a name, a folder as `Path`, a torch `Dataset`, or a list of images or paths.
        concepts: a name, or a list of words.
        encoder: a name, or an `Encoder`.
        similarity: a name with parameters, or a `Similarity`.
        out: where the atlas goes; default: TARGET-atlas in the current folder.
        resume: go on with the atlas at `out`, also when it is complete.
        overwrite: replace the atlas at `out`.
        progress: display for long work; default: a bar on a terminal, lines elsewhere.
        **settings: the other fields of `DissectSettings`: weights, template, pool, limit, dtype, …

    Returns:
        The finished atlas.

    Raises:
        UsageError: a name, parameter or path that cannot be right.
        NeuronymError: the run failed; what was finished is kept.

    >>> import neuronym as nym
    >>> atlas = nym.dissect("efficientnet-lite0", encoder="sketch", out="atlas")  # doctest: +SKIP
    """
    known = DissectSettings.__dataclass_fields__
    for name in settings:
        if name not in known:
            near = ", ".join(nearest(name, known)) or ", ".join(known)
            raise misuse("settings", "fields of DissectSettings", name, f"Nearest: {near}.")
    given = {
        "target": target,
        "probe": probe,
        "concepts": concepts,
        "encoder": encoder,
        "similarity": similarity,
    }
    names = {k: v if isinstance(v, str) else _describe(v) for k, v in given.items()}
    objects = {k: v for k, v in given.items() if not isinstance(v, str)}
    chosen = [layers] if isinstance(layers, str) else list(layers)
    made = DissectSettings(
        **names, layers=chosen, out=None if out is None else str(out), **settings
    )
    if made.out:
        check_free(Path(made.out), made.to_dict(), resume=resume, overwrite=overwrite)
    planned = plan(made, **objects)
    shown = automatic() if progress is None else progress
    atlas = run(planned, resume=resume, overwrite=overwrite, progress=shown)
    skipped = atlas.manifest.probe.skipped
    if skipped:
        warnings.warn(
            f"{len(skipped):,} of {len(planned.probe):,} images could not be read, the first: "
            f"{skipped[0][0]}: {skipped[0][1]}. All of them: atlas.manifest.probe.skipped.",
            stacklevel=2,
        )
    return atlas


def _describe(thing: Any) -> str:
    """What atlas.json says of an object that was given in place of a name."""
    name = getattr(thing, "name", None) or getattr(thing, "spec", None)
    text = name if isinstance(name, str) else type(thing).__name__
    return "python object: " + re.sub(r"\s+", " ", str(thing if isinstance(thing, Path) else text))
