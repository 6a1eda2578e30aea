"""What a run writes, stage by stage: the tables and arrays of an atlas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from neuronym._core import hashing, storage
from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.numerics import sparse
from neuronym._core.numerics.topk import Ranked, UnitStats
from neuronym._core.progress import Progress
from neuronym._core.terminal import counted
from neuronym._core.types import Rows
from neuronym.atlas import schema
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import open_atlas
from neuronym.atlas.writer import AtlasWriter, save_thumb
from neuronym.extraction.image_table import Chosen, ImageTable
from neuronym.extraction.passes import IMAGES, LayerPlan
from neuronym.extraction.run import Extraction
from neuronym.extraction.sight import Sight
from neuronym.extraction.word_groups import FEW_IMAGES, FEW_WORDS, WordGroups
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Probe
from neuronym.inputs.settings import DissectSettings
from neuronym.labelling import run as labelling
from neuronym.labelling.methods.clip_dissect import ClipDissect
from neuronym.similarity.base import Similarity

if TYPE_CHECKING:
    from neuronym.pipeline.plan import Plan


#: With `keep="auto"`, activations are kept up to this size.
KEEP_BYTES = 2 << 30
_BLOCK = 4096


class Making(Protocol):
    """What the stages need to know of what is made: of a run its plan, of a merge as much."""

    @property
    def settings(self) -> DissectSettings: ...

    @property
    def layers(self) -> Sequence[LayerPlan]: ...

    @property
    def classes(self) -> LayerPlan | None: ...

    @property
    def similarity(self) -> Similarity: ...

    @property
    def device(self) -> Any: ...

    @property
    def out(self) -> Path: ...

    @property
    def units(self) -> int: ...

    @property
    def preprocess(self) -> Preprocess: ...

    @property
    def sources(self) -> dict[str, Any]: ...


def check_enough(plan: Making, done: Extraction) -> None:
    """Refuse a top_k over the number of images that count, before anything is written."""
    try:
        plan.similarity.with_defaults(len(done.images), 1.0)
    except UsageError as error:
        if not done.copies:
            raise
        images = len(done.images) + len(done.copies)
        raise UsageError(
            f"{error} Copies of other images ({len(done.copies):,} of {images:,}) do not "
            "count; --duplicates all counts them."
        ) from error


def write_images(writer: AtlasWriter, done: Extraction) -> None:
    """images.parquet and copies.parquet; on a resumed run, checks that the probe is the same."""
    rows, copies = done.images, done.copies
    ids, hashes = (_texts(rows, name) for name in ("image_id", "content_hash"))
    fingerprint = hashing.of_texts(f"{i}\0{h}" for i, h in zip(ids, hashes, strict=True))
    if writer.has("images"):
        if writer.manifest.probe.fingerprint != fingerprint:
            raise NeuronymError(
                f"The images of {writer.manifest.probe.name}, or which of them count as copies "
                f"(--duplicates), have changed since {writer.folder} was begun. Make it anew with "
                "--overwrite."
            )
        return
    count: np.ndarray = np.zeros(len(rows), np.int32)
    if copies is not None:  # counted by the rows of the whole pass, of which `kept` remain
        count = np.bincount(copies.of, minlength=len(copies.images.whole))[done.kept]
    files = [
        writer.table("images.parquet", "images", rows.blocks(), copies=count),
        writer.table("copies.parquet", "copies", copies.blocks() if copies is not None else ()),
    ]
    skipped = [[s.image_id, s.reason] for s in done.skipped]
    unannotated = [[s.image_id, s.reason] for s in done.unannotated]
    probe = replace(
        writer.manifest.probe,
        images=len(rows),
        skipped=skipped,
        unannotated=unannotated,
        fingerprint=fingerprint,
        duplicates=done.duplicates,
    )
    writer.finish("images", files, probe=probe)


def _texts(rows: ImageTable | Chosen, name: str) -> Iterator[str]:
    for block in rows.blocks():
        yield from block[name].to_pylist()


def write_concepts(
    writer: AtlasWriter, plan: Plan, done: Extraction, groups: WordGroups, texts: np.ndarray
) -> None:
    """concepts.parquet and arrays/embeddings.safetensors."""
    if writer.has("concepts"):
        return
    words = list(plan.concepts.words)
    table = {
        "concept": words,
        "row": np.arange(len(words), dtype=np.int32),
        "same_as": groups.same_as,
        "cut": groups.cut,
        "unknown": groups.unknown,
    }
    notes = [*writer.manifest.notes, *groups.notes(words, plan.encoder)]
    if plan.part is None:  # how many images there are all in all is seen when parts are merged
        notes += too_few(len(words), len(done.images))
    enter_concepts(writer, table, done.rows(IMAGES), texts, [*notes, *plan.unsteady])


def enter_concepts(
    writer: AtlasWriter,
    table: Mapping[str, Any],
    images: Rows,
    texts: np.ndarray,
    notes: Sequence[str],
) -> None:
    """Write the table of concepts and the embeddings of images and texts."""
    file = writer.table("concepts.parquet", "concepts", table)
    arrays = "arrays/embeddings.safetensors"
    storage.write_array_blocks(
        writer.folder / arrays,
        {
            "images": (np.float32, images.shape, blocks_of(images)),
            "concepts": (np.float32, texts.shape, [texts]),
        },
        {},
    )
    writer.finish("concepts", [file, arrays], notes=list(notes))


def too_few(words: int, images: int) -> Iterator[str]:
    """What to know of labels out of few words, or by few images."""
    if words < FEW_WORDS:
        yield (
            f"Only {words} words: a label is the best of these, and may be the best of a bad lot. "
            f"Take {FEW_WORDS} or more."
        )
    if images < FEW_IMAGES:
        yield (
            f"Only {counted(images, 'image')}: few of them can show what a neuron responds to. "
            f"Take {FEW_IMAGES} or more."
        )


def blocks_of(rows: Rows) -> Iterator[np.ndarray]:
    for start in range(0, rows.shape[0], _BLOCK):
        yield rows[start : start + _BLOCK]


def write_units(
    writer: AtlasWriter,
    plan: Making,
    done: Extraction,
    sights: Mapping[str, Sight],
    progress: Progress,
) -> None:
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
            best, stats = done.highest(layer.info.name, max(exemplars, 1))
            units["layer"] += [layer.info.name] * layer.info.width
            units["unit"] += range(layer.info.width)
            for column, values in _statistics(stats).items():
                units[column] += values.tolist()
            broken += int(np.count_nonzero(stats.nonfinite))
            if exemplars:
                seen = (plan.preprocess, sights[layer.info.name].shift)
                _exemplar_rows(done, layer, seen, stats, best, rows)
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
    seen: tuple[Preprocess, tuple[float, float]],
    stats: UnitStats,
    best: Ranked,
    rows: dict[str, list[Any]],
) -> None:
    """Append the exemplars of one layer; `seen`: how, and by how much cells look elsewhere."""
    preprocess, shift = seen
    shown = np.isfinite(best.values) & (best.values > stats.minimum[:, None])
    grid = layer.grid
    where = None if grid is None else done.peaks(layer.info.name, best.indices, shown)
    images = best.indices[shown]
    ids, widths, heights = (
        done.images.pick(name, images) for name in ("image_id", "width", "height")
    )
    for place, (unit, rank) in enumerate(np.argwhere(shown).tolist()):
        y = x = None
        if grid is not None and where is not None and where[unit, rank] >= 0:
            down, across = divmod(int(where[unit, rank]), grid[1])
            y, x = preprocess.on_image(
                (down + 0.5) / grid[0] + shift[0],
                (across + 0.5) / grid[1] + shift[1],
                widths[place],
                heights[place],
            )
        value = float(best.values[unit, rank])
        row = (layer.info.name, unit, rank + 1, ids[place], value, y, x)
        for column, entry in zip(rows.values(), row, strict=True):
            column.append(entry)


def write_labels(writer: AtlasWriter, plan: Making, done: Extraction, progress: Progress) -> None:
    """The first labels: those of CLIP-Dissect with the chosen similarity."""
    labeller = ClipDissect(plan.similarity)
    if writer.has(f"labels {labeller.method_id}"):
        return
    layers = {layer.info.name: done.rows(layer.info.name) for layer in plan.layers}
    context = LabelContext(
        open_atlas(plan.out),
        **plan.sources,
        activations=layers,
        device=plan.device.type,
        workers=plan.settings.workers,
        cache=plan.settings.cache,
        progress=progress,
    )
    labelling.write(writer, context, labeller, list(layers), plan.settings.labels)


def write_activations(
    writer: AtlasWriter, plan: Making, done: Extraction, progress: Progress
) -> None:
    """arrays/activations-<layer>.safetensors: all, those of the highest images, or none.

    Of an output layer that confidence is calibrated on the highest ones say nothing: all or none.
    """
    if writer.has("activations"):
        return
    keep, exemplars = plan.settings.keep, plan.settings.exemplars
    minima = storage.read_table(writer.folder / "units.parquet", ["layer", "min"]).to_pandas()
    fills = {name: low.to_numpy(np.float32) for name, low in minima.groupby("layer")["min"]}
    if keep == "auto":
        keep = "all" if len(done.images) * plan.units * 4 <= KEEP_BYTES else "topk"
    files = []
    with progress("keeping activations", len(plan.layers)) as tick:
        for layer in plan.layers if keep != "none" else []:
            rows, fill = done.rows(layer.info.name), fills[layer.info.name]
            files.append(schema.activations_file(layer.info.name))
            path = writer.folder / files[-1]
            if keep == "all":
                _write_whole(path, rows, fill)
            else:
                best, _ = done.highest(layer.info.name, _highest(writer, layer, exemplars))
                indices = best.indices.astype(np.int32)
                storage.write_arrays(path, {"values": best.values, "indices": indices}, {})
            tick.advance()
    target, extra = writer.manifest.target, plan.classes
    if extra is not None:
        target = replace(target, calibration_layer=extra.to_dict())
        if keep == "all":
            files.append(schema.activations_file(extra.info.name))
            _write_whole(writer.folder / files[-1], done.rows(extra.info.name), None)
    writer.finish("activations", files, kept=keep, target=target)


def _write_whole(path: Path, rows: Rows, fill: np.ndarray | None) -> None:
    """All activations, sparse where it is worth it; `fill`: the units' minima, if known."""
    ends = None if fill is None else sparse.offsets(rows, fill)
    whole = {"activations": (np.float32, rows.shape, blocks_of(rows))}
    kept = whole if fill is None or ends is None else sparse.blocks(rows, fill, ends)
    storage.write_array_blocks(path, kept, {})


def _highest(writer: AtlasWriter, layer: LayerPlan, exemplars: int) -> int:
    """How many images per unit the exemplars and the similarities look at."""
    widths = [max(exemplars, 1)]
    for method in writer.manifest.methods:
        path = writer.folder / schema.method_file(method)
        if path.exists():
            arrays = storage.read_arrays(path)[0]
            widths += [a.shape[1] for n, a in arrays.items() if n == f"{layer.info.name}/indices"]
    return max(widths)


def write_thumbs(
    writer: AtlasWriter, probe: Probe, done: Extraction, threads: int, progress: Progress
) -> None:
    """thumbs/<content hash>.jpg for every image that is some unit's exemplar."""
    if writer.has("thumbs"):
        return
    folder = writer.folder
    shown = set(storage.read_table(folder / "exemplars.parquet", ["image_id"])[0].to_pylist())
    pairs = zip(*(_texts(done.images, name) for name in ("image_id", "content_hash")), strict=True)
    hashes = {image_id: content for image_id, content in pairs if image_id in shown}
    places = {name: place for place, name in enumerate(probe.ids) if name in hashes}

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
    pool = ThreadPoolExecutor(threads)
    try:
        with progress("small copies of images", len(hashes)) as tick:
            for name in pool.map(make, sorted(hashes)):
                files |= {name} if name else set()
                tick.advance()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    # One entry for the folder: the manifest does not list thousands of images.
    writer.finish("thumbs", ["thumbs"] if files else [])
