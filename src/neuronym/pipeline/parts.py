"""One part of a probe: which images it is, and what is recorded of it for merging.

A part has no labels. It holds its images one by one, copies included, with their embeddings and
small copies, so that merging finds the groups of copies that one run over everything would find. Of
the activations it holds all, or of every unit the highest: twice as many as labels and exemplars of
the whole probe look at, because some go when parts turn out to hold copies of each other's images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neuronym._core import storage
from neuronym._core.checks import misuse
from neuronym._core.progress import Progress
from neuronym._core.terminal import counted
from neuronym.atlas import schema
from neuronym.atlas.writer import AtlasWriter
from neuronym.extraction.duplicates import small_copies
from neuronym.extraction.passes import LayerPlan
from neuronym.extraction.run import Extraction
from neuronym.extraction.shards import shard_length
from neuronym.extraction.sight import sights_of
from neuronym.inputs.probes.base import Probe
from neuronym.inputs.probes.subsets import Subset
from neuronym.inputs.settings import DissectSettings
from neuronym.pipeline.stages import KEEP_BYTES, blocks_of
from neuronym.similarity.base import Similarity

if TYPE_CHECKING:
    from neuronym.pipeline.plan import Plan

#: How many times as many images are listed as are needed where parts hold no copies.
_SPARE = 2


@dataclass(frozen=True)
class Part:
    """Which of so many parts, and which images of the whole probe; see `schema.PartFacts`."""

    number: int
    of: int
    first: int
    images: int
    whole: int
    depth: int | None

    @classmethod
    def of_probe(
        cls, whole: int, settings: DissectSettings, similarity: Similarity, units: int
    ) -> Part:
        """The part that the settings ask for.

        Parts follow each other in the probe's order. They consist of whole shards, or where there
        are fewer shards than parts of whole batches, or of single images.

        Args:
            whole: images of the probe.
            settings: with a `part`.
            similarity: of the labels that merging will make.
            units: of all layers.

        Raises:
            UsageError: there are fewer images than parts, or what is to be kept does not suffice.
        """
        assert settings.number_of_part is not None
        number, of = settings.number_of_part
        if of > whole:
            raise misuse("part", f"one of at most {counted(whole, 'part')}", settings.part)
        sizes = (shard_length(settings.batch_size), settings.batch_size, 1)
        size = next(s for s in sizes if -(-whole // s) >= of)
        blocks = -(-whole // size)
        first, end = (min(whole, blocks * n // of * size) for n in (number - 1, number))
        return cls(
            number, of, first, end - first, whole, _depth(whole, settings, similarity, units)
        )

    def cut(self, probe: Probe) -> Probe:
        """The images of this part, of the whole probe."""
        return Subset(probe, range(self.first, self.first + self.images), probe.name)

    def facts(self, layers: Sequence[LayerPlan]) -> schema.PartFacts:
        """As atlas.json has it."""
        grids = {plan.info.name: plan.grid and list(plan.grid) for plan in layers}
        return schema.PartFacts(
            number=self.number,
            of=self.of,
            first=self.first,
            images=self.images,
            whole=self.whole,
            depth=self.depth,
            grids=grids,
        )


def _depth(whole: int, settings: DissectSettings, similarity: Similarity, units: int) -> int | None:
    """How many of a unit's highest images are listed; None: all activations are kept."""
    needed = similarity.depth(whole)
    small = whole * units * 4 <= KEEP_BYTES
    if settings.keep == "all" or (settings.keep == "auto" and (small or needed is None)):
        return None
    if needed is None:
        raise misuse(
            "keep",
            f"all for a part of a probe with {similarity.spec}, which scores by every activation",
            settings.keep,
        )
    return _SPARE * max(needed, settings.exemplars)


def write_part(
    writer: AtlasWriter, plan: Plan, done: Extraction, stands: np.ndarray, progress: Progress
) -> None:
    """arrays/part.safetensors and arrays/part-<layer>.safetensors.

    Args:
        writer: of the part's atlas.
        plan: with a `part`.
        done: all images, copies included.
        stands: for every image the row of the one that stands for its group in this part.
        progress: display.
    """
    if writer.has("part"):
        return
    assert plan.part is not None
    if plan.settings.duplicates == "all":
        stands = np.arange(len(stands))
    how = {"batch_size": plan.settings.batch_size, "workers": plan.settings.threads}
    with small_copies(plan.probe, done, progress=progress, **how) as small:
        arrays = {
            "stands": (np.int64, stands.shape, [stands]),
            "small": (np.uint8, small.shape, blocks_of(small)),
        }
        storage.write_array_blocks(writer.folder / schema.part_file(), arrays, {})
    files = [schema.part_file()]
    with progress("recording activations", len(plan.recorded)) as tick:
        for layer in plan.recorded:
            files.append(schema.part_file(layer.info.name))
            kept = (
                _all(done, layer)
                if plan.part.depth is None
                else _lists(done, layer, stands, plan.part.depth)
            )
            storage.write_array_blocks(writer.folder / files[-1], kept, {})
            tick.advance()
    target, extra = writer.manifest.target, plan.classes
    target = replace(target, calibration_layer=None if extra is None else extra.to_dict())
    held = "all" if plan.part.depth is None else "topk"
    sights = sights_of(plan.target, plan.layers)
    shifts = {name: list(sight.shift) for name, sight in sights.items()}
    assert writer.manifest.part is not None
    part = replace(writer.manifest.part, shifts=shifts)
    writer.finish("part", files, kept=held, target=target, part=part)


def _all(done: Extraction, layer: LayerPlan) -> dict[str, Any]:
    """Every activation, and where its maximum is."""
    found = {}
    for array, (_, kind) in layer.arrays.items():
        rows = done.rows(layer.info.name, array)
        found[array] = (kind, rows.shape, blocks_of(rows))
    return found


def _lists(done: Extraction, layer: LayerPlan, stands: np.ndarray, depth: int) -> dict[str, Any]:
    """Of each unit the highest images, those that stand for copies and the others apart.

    What is no finite number is listed by itself: `nonfinite/images` and `nonfinite/units`.
    """
    name, found = layer.info.name, {}
    leads = stands == np.arange(len(stands))
    for kind, rows in (("leading", np.flatnonzero(leads)), ("copies", np.flatnonzero(~leads))):
        if kind == "copies" and not len(rows):
            continue
        some = done.only(rows)
        best, stats = some.highest(name, min(depth, len(rows)))
        found[f"{kind}/values"] = best.values
        found[f"{kind}/indices"] = np.where(best.indices < 0, -1, rows[best.indices]).astype(
            np.int32
        )
        if layer.grid is not None:
            found[f"{kind}/peaks"] = some.peaks(name, best.indices, best.indices >= 0).astype(
                np.int32
            )
        if kind == "leading":
            found["statistics"] = stats.to_array()
    found |= _nonfinite(done.rows(name))
    return {key: (array.dtype, array.shape, [array]) for key, array in found.items()}


def _nonfinite(rows: Any) -> dict[str, np.ndarray]:
    """Images and units of what no list can hold: NaN and −∞."""
    images, units = [], []
    for low in range(0, rows.shape[0], step := max(1, (1 << 22) // max(1, rows.shape[1]))):
        block = rows[low : low + step]
        image, unit = np.nonzero(~np.isfinite(block) & ~np.isposinf(block))
        images.append(image + low)
        units.append(unit)
    found = {"images": images, "units": units}
    return {f"nonfinite/{k}": np.concatenate(v).astype(np.int32) for k, v in found.items()}
