"""The stages that turn an extraction into the files of an atlas, each skipped when it is there."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuronym import _files, _fingerprint, schema
from neuronym._errors import CorruptImageError, NeuronymError
from neuronym._types import Progress, Rows
from neuronym.activations import LayerPlan
from neuronym.atlas_writer import AtlasWriter
from neuronym.concepts.base import ConceptSet
from neuronym.embeddings import IMAGES
from neuronym.extraction import Extraction
from neuronym.preprocess import Preprocess
from neuronym.probes.base import Probe
from neuronym.shards import ShardedRows
from neuronym.topk import Ranked, topk
from neuronym.unit_stats import UnitStats

if TYPE_CHECKING:
    from PIL.Image import Image

#: With `keep="auto"`, activations are kept up to this size.
KEEP_BYTES = 2 << 30
#: The longer side of the small copies of images, in pixels.
THUMB_PIXELS = 224
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Run:
    """What the stages share."""

    writer: AtlasWriter
    plans: list[LayerPlan]
    preprocess: Preprocess
    extraction: Extraction
    texts: np.ndarray
    dim: int

    @functools.cached_property
    def tie(self) -> np.ndarray:
        """See `Extraction.tie`; sorted once for all layers."""
        return self.extraction.tie

    def activations(self, layer: LayerPlan) -> ShardedRows:
        """float32 `[image, unit]`."""
        return self.extraction.rows(layer.info.name, "values", layer.info.units, np.float32)

    def peaks(self, layer: LayerPlan) -> ShardedRows | None:
        """Flat positions of the maxima `[image, unit]`, or None for vectors."""
        if layer.grid is None:
            return None
        kind = np.uint16 if layer.grid[0] * layer.grid[1] <= 65536 else np.int32
        return self.extraction.rows(layer.info.name, "peaks", layer.info.units, kind)

    @property
    def embeddings(self) -> ShardedRows:
        """Image embeddings, float32 `[image, dim]`."""
        return self.extraction.rows(IMAGES, "values", self.dim, np.float32)


def write_images(run: Run) -> None:
    """images.parquet; on a resumed run, checks that the probe is still the same."""
    writer, rows = run.writer, run.extraction.images
    fingerprint = _fingerprint.of_texts([f"{r.image_id}\0{r.content_hash}" for r in rows])
    if writer.has("images"):
        if writer.manifest["probe"].get("fingerprint") != fingerprint:
            raise NeuronymError(
                f"The images of {writer.manifest['probe']['name']} have changed since "
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
    skipped = [[s.image_id, s.reason] for s in run.extraction.skipped]
    unannotated = [[s.image_id, s.reason] for s in run.extraction.unannotated]
    facts = {
        "images": len(rows),
        "skipped": skipped,
        "unannotated": unannotated,
        "fingerprint": fingerprint,
    }
    writer.finish("images", [file], probe=writer.manifest["probe"] | facts)


def write_concepts(run: Run, concepts: ConceptSet) -> None:
    """concepts.parquet and arrays/embeddings.safetensors."""
    if run.writer.has("concepts"):
        return
    words = list(concepts.words)
    table = {"concept": words, "row": np.arange(len(words), dtype=np.int32)}
    file = run.writer.table("concepts.parquet", "concepts", table)
    arrays = "arrays/embeddings.safetensors"
    images = run.embeddings
    _files.write_array_blocks(
        run.writer.folder / arrays,
        {
            "images": (np.float32, images.shape, _blocks(images)),
            "concepts": (np.float32, run.texts.shape, [run.texts]),
        },
        {},
    )
    run.writer.finish("concepts", [file, arrays])


def _blocks(rows: Rows) -> Iterator[np.ndarray]:
    for start in range(0, rows.shape[0], _BLOCK):
        yield rows[start : start + _BLOCK]


def write_units(run: Run, exemplars: int, progress: Progress) -> None:
    """units.parquet and exemplars.parquet, from one streaming look at the activations.

    Exemplars are images above the unit's minimum: a unit that responds to three images has three.
    """
    if run.writer.has("units"):
        return
    tie, images = run.tie, run.extraction.images
    units: dict[str, list[Any]] = {name: [] for name in schema.tables()["units"].names}
    rows: dict[str, list[Any]] = {name: [] for name in schema.tables()["exemplars"].names}
    broken = 0
    with progress("highest activating images", len(run.plans)) as tick:
        for plan in run.plans:
            stats = UnitStats(plan.info.units)
            best = topk(run.activations(plan), max(exemplars, 1), tie, stats=stats)
            units["layer"] += [plan.info.name] * plan.info.units
            units["unit"] += range(plan.info.units)
            for column, values in _statistics(stats).items():
                units[column] += values.tolist()
            broken += int(np.count_nonzero(stats.nonfinite))
            if exemplars:
                _exemplar_rows(run, plan, stats, best, rows)
            tick.advance()
    total = sum(plan.info.units for plan in run.plans)
    if broken == total:
        raise NeuronymError(
            f"Every unit of {', '.join(p.info.name for p in run.plans)} has NaN or infinite "
            f"activations on {len(images):,} images: check the weights and the preprocessing, or "
            "use --dtype float32."
        )
    files = [
        run.writer.table("units.parquet", "units", units),
        run.writer.table("exemplars.parquet", "exemplars", rows),
    ]
    run.writer.finish("units", files, units=total, nonfinite_units=broken)


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
    run: Run, plan: LayerPlan, stats: UnitStats, best: Ranked, rows: dict[str, list[Any]]
) -> None:
    """Append the exemplars of one layer."""
    images, peaks = run.extraction.images, run.peaks(plan)
    shown = np.isfinite(best.values) & (best.values > stats.minimum[:, None])
    where = None if peaks is None else _gather(peaks, best.indices, shown)
    for unit, rank in np.argwhere(shown).tolist():
        image = images[int(best.indices[unit, rank])]
        y = x = None
        if plan.grid is not None and where is not None:
            down, across = divmod(int(where[unit, rank]), plan.grid[1])
            y, x = run.preprocess.on_image(
                (down + 0.5) / plan.grid[0],
                (across + 0.5) / plan.grid[1],
                image.width,
                image.height,
            )
        value = float(best.values[unit, rank])
        row = (plan.info.name, unit, rank + 1, image.image_id, value, y, x)
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


def write_activations(run: Run, keep: str, exemplars: int, progress: Progress) -> None:
    """arrays/activations-<layer>.safetensors: all, those of the highest images, or none."""
    if run.writer.has("activations"):
        return
    size = sum(run.activations(plan).shape[0] * plan.info.units * 4 for plan in run.plans)
    if keep == "auto":
        keep = "all" if size <= KEEP_BYTES else "topk"
    files = []
    with progress("keeping activations", len(run.plans)) as tick:
        for plan in run.plans if keep != "none" else []:
            rows = run.activations(plan)
            files.append(schema.activations_file(plan.info.name))
            path = run.writer.folder / files[-1]
            if keep == "all":
                whole = {"activations": (np.float32, rows.shape, _blocks(rows))}
                _files.write_array_blocks(path, whole, {})
            else:
                best = topk(rows, _highest(run, plan, exemplars), run.tie)
                indices = best.indices.astype(np.int32)
                _files.write_arrays(path, {"values": best.values, "indices": indices}, {})
            tick.advance()
    run.writer.finish("activations", files, kept=keep)


def _highest(run: Run, plan: LayerPlan, exemplars: int) -> int:
    """How many images per unit the exemplars and the similarities look at."""
    widths = [max(exemplars, 1)]
    for method in run.writer.manifest.get("methods", {}):
        path = run.writer.folder / schema.method_file(method)
        if path.exists():
            arrays = _files.read_arrays(path)[0]
            widths += [a.shape[1] for n, a in arrays.items() if n == f"{plan.info.name}/indices"]
    return max(widths)


def save_thumb(image: Image, path: Path) -> None:
    """Write the small copy of an image, which is changed."""
    image.thumbnail((THUMB_PIXELS, THUMB_PIXELS))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=88)
    with _files.atomic_write(path) as out:
        out.write(data.getvalue())


def write_thumbs(run: Run, probe: Probe, workers: int, progress: Progress) -> None:
    """thumbs/<content hash>.jpg for every image that is some unit's exemplar."""
    if run.writer.has("thumbs"):
        return
    folder = run.writer.folder
    shown = set(_files.read_table(folder / "exemplars.parquet", ["image_id"])[0].to_pylist())
    hashes = {r.image_id: r.content_hash for r in run.extraction.images if r.image_id in shown}
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
    threads = ThreadPoolExecutor(workers)
    try:
        with progress("small copies of images", len(hashes)) as tick:
            for name in threads.map(make, sorted(hashes)):
                files |= {name} if name else set()
                tick.advance()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    # One entry for the folder: the manifest does not list thousands of images.
    run.writer.finish("thumbs", ["thumbs"] if files else [])
