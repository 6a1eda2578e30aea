"""What a run writes into `maps/`: small activation maps of each unit's highest images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neuronym._core import hashing, storage
from neuronym._core.progress import Progress
from neuronym._core.texts import places
from neuronym.atlas import schema
from neuronym.atlas.context import Sources
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.atlas.schema import MapFacts
from neuronym.atlas.writer import AtlasWriter
from neuronym.extraction.maps import Maps, beside, gathered, has_maps, shrunk, small_grid
from neuronym.extraction.passes import LayerPlan, TargetPass
from neuronym.extraction.run import Extraction
from neuronym.extraction.sight import Sight
from neuronym.pipeline.plan import Plan


def map_bytes(plan: Plan) -> int:
    """What the maps of all units take, once: in the atlas, and beside every shard in the cache."""
    grids = [(p.info.width, small_grid(p.grid)) for p in plan.layers if p.grid and has_maps(p.grid)]
    return plan.maps * sum(units * (high * wide + 16) for units, (high, wide) in grids)


def write_maps(
    writer: AtlasWriter,
    plan: Plan,
    target: TargetPass,
    done: Extraction,
    sights: Mapping[str, Sight],
    progress: Progress,
) -> None:
    """maps/<layer>.safetensors for every layer with positions.

    They come from what the pass kept beside its shards. What lacks there is computed by another
    pass over those images alone: where an image stands in for a copy, or where the activations were
    in a cache from before there were maps.
    """
    layers = [layer for layer in plan.layers if has_maps(layer.grid)]
    if writer.has("maps") or not layers or not plan.maps:
        return
    atlas = open_atlas(plan.out)
    made = {layer.info.name: _Kept(atlas, layer, target, done) for layer in layers}
    lacking = {name: kept for name, kept in made.items() if kept.lacking.any()}
    if lacking:
        _compute(atlas, plan, lacking, progress)
    files, facts = [], {}
    for layer in layers:
        name, kept = layer.info.name, made[layer.info.name]
        files.append(schema.maps_file(name))
        storage.write_arrays(writer.folder / files[-1], kept.arrays(), {})
        assert layer.grid is not None
        facts[name] = MapFacts(
            exemplars=plan.maps,
            grid=list(small_grid(layer.grid)),
            of=list(layer.grid),
            bytes=(writer.folder / files[-1]).stat().st_size,
            sees=None if (field := sights[name].field) is None else list(field),
            shift=list(sights[name].shift),
        )
    writer.finish("maps", files, maps=facts)


class _Kept:
    """The maps of one layer: what the shards kept, and what lacks.

    Attributes:
        rows, units, ranks: of each map its image, unit and rank among the unit's exemplars.
        maps: the maps themselves; those that are `lacking` are yet to be computed.
    """

    def __init__(
        self, atlas: Atlas, layer: LayerPlan, target: TargetPass, done: Extraction
    ) -> None:
        name, count = layer.info.name, target.maps
        assert layer.grid is not None
        frame = atlas.exemplars(name)
        frame = frame[frame["rank"] <= count]
        rows = np.zeros((layer.info.width, count), np.int64)
        wanted = np.zeros(rows.shape, bool)
        at = frame["unit"].to_numpy(), frame["rank"].to_numpy() - 1
        rows[at] = places(frame["image_id"], done.images.column("image_id"))
        wanted[at] = True
        whole = rows if done.kept is None else np.asarray(done.kept)[rows]
        grid = small_grid(layer.grid)
        self.maps, self.units, self.lacking = gathered(
            done.beside[beside(name)], whole, wanted, grid
        )
        self.rows, self.ranks = rows[wanted], np.nonzero(wanted)[1] + 1
        self._entry = target.beside[beside(name)]
        hashes = done.images.pick("content_hash", self.rows[self.lacking])
        units = self.units[self.lacking].tolist()
        self._key = hashing.of_texts(map(str, [*units, *hashes]))

    def find(self) -> bool:
        """Whether what lacks was computed before; it is then taken."""
        found = self._entry.read(self._key)
        if found is not None:
            self._fill(Maps(**{name: np.array(array) for name, array in found[0].items()}))
        return found is not None

    def wants(self, rows: np.ndarray) -> np.ndarray:
        """Which of the lacking maps are of these images, as places among the lacking."""
        return np.flatnonzero(np.isin(self.rows[self.lacking], rows))

    def fill(self, maps: Maps) -> None:
        """Take in what lacked, in the order of the lacking maps, and keep it in the cache."""
        arrays = {"cells": maps.cells, "low": maps.low, "high": maps.high}
        self._entry.write(self._key, arrays, {})
        self._fill(maps)

    def _fill(self, maps: Maps) -> None:
        at = self.lacking
        self.maps.cells[at], self.maps.low[at], self.maps.high[at] = maps.cells, maps.low, maps.high

    def arrays(self) -> dict[str, np.ndarray]:
        """As the atlas keeps them, in the order of units and ranks."""
        return {
            "unit": self.units.astype(np.int32),
            "rank": self.ranks.astype(np.int32),
            "low": self.maps.low,
            "high": self.maps.high,
            "maps": self.maps.cells,
        }


def _compute(atlas: Atlas, plan: Plan, lacking: dict[str, _Kept], progress: Progress) -> None:
    """Fill in what neither the shards nor the cache have, by a pass over those images."""
    lacking = {name: kept for name, kept in lacking.items() if not kept.find()}
    if not lacking:
        return
    sources = Sources(
        atlas,
        target=plan.target,
        probe=plan.probe,
        device=plan.device.type,
        workers=plan.settings.workers,
        cache=plan.settings.cache,
        progress=progress,
    )
    rows = np.unique(np.concatenate([kept.rows[kept.lacking] for kept in lacking.values()]))
    found: dict[str, Maps] = {}
    for name, kept in lacking.items():
        count, shape = int(kept.lacking.sum()), kept.maps.cells.shape[1:]
        empty = np.full(count, np.nan, np.float32)
        found[name] = Maps(np.zeros((count, *shape), np.uint8), empty, empty.copy())
    for some, maps in sources.maps(list(lacking), rows):
        place = {int(row): n for n, row in enumerate(some)}
        for name, kept in lacking.items():
            at = kept.wants(some)
            images = [place[int(row)] for row in kept.rows[kept.lacking][at]]
            chosen = maps[name][images, kept.units[kept.lacking][at]]
            part, into = Maps.of(shrunk(chosen).numpy()), found[name]
            into.cells[at], into.low[at], into.high[at] = part.cells, part.low, part.high
    for name, kept in lacking.items():
        kept.fill(found[name])
