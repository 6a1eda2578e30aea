"""What the parts of a probe recorded, read as the pass over the whole probe would be."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neuronym._core import storage
from neuronym._core.errors import UsageError
from neuronym._core.numerics.sparse import SparseRows
from neuronym._core.numerics.topk import Ranked, TopK, UnitStats
from neuronym._core.texts import Texts, first_repeated
from neuronym._core.types import Rows
from neuronym.atlas import schema
from neuronym.atlas.reader import Atlas
from neuronym.extraction.cache import ShardedRows
from neuronym.extraction.duplicates import SMALL
from neuronym.extraction.image_table import ImageRow, ImageTable
from neuronym.extraction.passes import IMAGES
from neuronym.extraction.run import Extraction, Skipped

#: The kinds of images that parts list apart: those that stand for copies in their part, and copies.
_KINDS = ("leading", "copies")


@dataclass
class Gathered(Extraction):
    """An `Extraction` out of parts; of some layers only lists of the highest images are known.

    Attributes:
        lists: by layer the arrays of every part, see `parts.write_part`.
        starts: the row of the first image of every part, and the number of images.
        stood: int64 `[image]`, for every image the row of that which stands for it in its part.
    """

    lists: Mapping[str, list[Mapping[str, np.ndarray]]] = field(default_factory=dict)
    starts: Sequence[int] = ()
    stood: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def rows(self, output: str, array: str = "values") -> Rows:  # type: ignore[override]
        """As a pass has them; of a layer with lists what is not listed is the unit's minimum."""
        if output not in self.lists:
            columns, kind = self.arrays[output][array]
            name = {IMAGES: "images", SMALL: "small"}.get(output, array)
            return ShardedRows(self.parts[output], name, columns, kind, self.kept)
        best, fill = self._ranked(output), self._statistics(output).minimum.astype(np.float32)
        unit, place = np.nonzero(best.indices >= 0)
        image, values = best.indices[unit, place], best.values[unit, place]
        images, units = [image], [unit]
        for part, start in zip(self.lists[output], self.starts, strict=False):
            row = self._row[part["nonfinite/images"].astype(np.int64) + start]
            images.append(row[row >= 0])
            units.append(part["nonfinite/units"][row >= 0])
        image, unit = np.concatenate(images), np.concatenate(units).astype(np.int64)
        nan = np.full(len(image) - len(values), np.nan, np.float32)
        entries = np.concatenate([values, nan])
        return SparseRows.of_entries(image, unit, entries, len(self.images), fill)

    def highest(self, output: str, k: int) -> tuple[Ranked, UnitStats]:
        """Of a layer with lists as far as they reach; see `short`."""
        if output not in self.lists:
            return super().highest(output, k)
        best = self._ranked(output)
        return Ranked(best.values[:, :k], best.indices[:, :k]), self._statistics(output)

    def peaks(self, output: str, indices: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Of images in the lists."""
        if output not in self.lists:
            return super().peaks(output, indices, wanted)
        count, found = len(self.images), np.full(indices.shape, -1, np.int64)
        unit, place = np.nonzero(wanted)
        keys = unit * count + indices[unit, place]
        order = np.argsort(keys)
        keys, unit, place = keys[order], unit[order], place[order]
        for _, rows, peaks in self._entries(output):
            assert peaks is not None
            listed, _ = np.nonzero(rows >= 0)
            here = listed * count + rows[rows >= 0]
            at = np.minimum(np.searchsorted(keys, here), max(len(keys) - 1, 0))
            hit = keys[at] == here if len(keys) else np.zeros(len(here), bool)
            found[unit[at[hit]], place[at[hit]]] = peaks[rows >= 0][hit]
        return found

    def short(self, output: str, k: int) -> int:
        """How many units have lists that do not reach to their k-th highest image for sure.

        A list that was cut may have lacked the next image; that matters only if its last one comes
        before the k-th of all, and has more than the unit's minimum.
        """
        best, tie = self._ranked(output), self.tie
        last = min(k, best.values.shape[1], len(self.images)) - 1
        low, low_row = best.values[:, last], best.indices[:, last]
        low_tie = np.where(low_row < 0, len(tie), tie[low_row])
        minimum = self._statistics(output).minimum
        doubtful = np.zeros(len(low), bool)
        for part, start, stop in self._spans(output):
            leads = self.stood[start:stop] == np.arange(start, stop)
            for kind in _KINDS:
                rows = np.flatnonzero(leads if kind == "leading" else ~leads) + start
                if f"{kind}/values" not in part or not (self._row[rows] >= 0).any():
                    continue  # none of these images counts
                values, indices = part[f"{kind}/values"], part[f"{kind}/indices"]
                if values.shape[1] >= len(rows):
                    continue  # all of them are listed
                # The last image of a list may not count any more: its place is not known then.
                row = self._row[indices[:, -1].astype(np.int64) + start]
                at = np.where(row < 0, -1, tie[row])
                before = (values[:, -1] > low) | ((values[:, -1] == low) & (at < low_tie))
                doubtful |= (indices[:, -1] >= 0) & before & (values[:, -1] > minimum)
        return int(np.count_nonzero(doubtful))

    @functools.cached_property
    def _row(self) -> np.ndarray:
        """int64 `[image + 1]`: of every recorded image its row among those that count, or −1."""
        found = np.full(self.starts[-1] + 1, -1)
        kept = np.arange(self.starts[-1]) if self.kept is None else self.kept
        found[kept] = np.arange(len(kept))
        return found

    def _spans(self, output: str) -> Iterator[tuple[Mapping[str, np.ndarray], int, int]]:
        return zip(self.lists[output], self.starts, self.starts[1:], strict=False)

    def _entries(self, output: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """Of every list: values, rows among the images that count (−1: none), peaks."""
        for part, start, _ in self._spans(output):
            for kind in _KINDS:
                if f"{kind}/values" in part:
                    indices = part[f"{kind}/indices"].astype(np.int64)
                    rows = np.where(indices < 0, -1, self._row[indices + start])
                    yield part[f"{kind}/values"], rows, part.get(f"{kind}/peaks")

    @functools.cached_property
    def _made(self) -> dict[str, Ranked]:
        return {}

    def _ranked(self, output: str) -> Ranked:
        """The highest images of every unit in order, as many as a part lists."""
        if output not in self._made:
            entries = list(self._entries(output))
            best = TopK(len(entries[0][0]), max(values.shape[1] for values, _, _ in entries))
            for values, rows, _ in entries:
                best.take(values, rows, self.tie)
            self._made[output] = best.result()
        return self._made[output]

    def _statistics(self, output: str) -> UnitStats:
        """Of the images that stand for copies in their part, which part by part are known."""
        found = None
        for part, start, stop in self._spans(output):
            leads = self.stood[start:stop] == np.arange(start, stop)
            stats = UnitStats.of_array(part["statistics"], int(np.count_nonzero(leads)))
            found = stats if found is None else found
            if found is not stats:
                found.merge(stats)
        assert found is not None
        return found


def gather(whole: Sequence[Sequence[Atlas]]) -> Gathered:
    """The parts of a probe, of one or more sets of layers.

    Args:
        whole: for every set of layers its parts in order; all with the same images.

    Raises:
        UsageError: two parts have an image of the same name.
    """
    images, starts, stood = ImageTable(), [0], []
    done = Gathered(images=images)
    first = whole[0]
    for atlas in first:
        for image in _images(atlas):
            images.append(image)
        done.skipped += [Skipped(*pair) for pair in atlas.manifest.probe.skipped]
        done.unannotated += [Skipped(*pair) for pair in atlas.manifest.probe.unannotated]
        stood.append(_arrays(atlas)["stands"] + starts[-1])
        starts.append(len(images))
    ids = Texts(one for block in images.blocks() for one in block["image_id"].to_pylist())
    twice = first_repeated(ids)
    if twice is not None:
        raise UsageError(f"Expected parts of one probe, got the image {twice!r} in two of them.")
    counts = np.diff(starts).tolist()
    dim = first[0].embeddings()["images"].shape[1]
    done.arrays |= {
        IMAGES: {"values": (dim, np.float32)},
        SMALL: {"values": (_arrays(first[0])["small"].shape[1], np.uint8)},
    }
    for output, file in ((IMAGES, "arrays/embeddings.safetensors"), (SMALL, schema.part_file())):
        paths = [atlas.folder / file for atlas in first]
        done.parts[output] = list(zip(paths, counts, strict=True))
    lists: dict[str, Any] = {}
    chosen = {layer for row in whole for layer in row[0].layers}
    for row in whole:
        # An output layer that was recorded for calibration only may be among the layers of others.
        for layer in [n for n in row[0].recorded if n in row[0].layers or n not in chosen]:
            paths = [atlas.folder / schema.part_file(layer) for atlas in row]
            held = [storage.read_arrays(path)[0] for path in paths]
            if all("values" in arrays for arrays in held):
                done.parts[layer] = list(zip(paths, counts, strict=True))
                done.arrays[layer] = {k: (v.shape[1], v.dtype) for k, v in held[0].items()}
            else:
                lists[layer] = held
    return replace(done, lists=lists, starts=starts, stood=np.concatenate(stood))


def _arrays(atlas: Atlas) -> dict[str, np.ndarray]:
    return storage.read_arrays(atlas.folder / schema.part_file())[0]


def _images(atlas: Atlas) -> Iterator[ImageRow]:
    for row in atlas.images.itertuples():
        annotations = tuple((a["category"], a["name"], float(a["area"])) for a in row.annotations)
        source = row.source if isinstance(row.source, str) else None
        size = (int(row.width), int(row.height))
        yield ImageRow(row.image_id, source, *size, row.content_hash, annotations)
