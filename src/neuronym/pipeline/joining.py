"""Atlases over one probe and different layers, put side by side."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuronym._core import storage
from neuronym._core.errors import UsageError
from neuronym.atlas import schema
from neuronym.atlas.reader import Atlas
from neuronym.atlas.schema import MethodFacts
from neuronym.atlas.writer import AtlasWriter
from neuronym.extraction.passes import LayerPlan

if TYPE_CHECKING:
    import pyarrow as pa


def join(writer: AtlasWriter, atlases: Sequence[Atlas], classes: LayerPlan | None) -> None:
    """Write everything that the atlases hold but their analyses.

    Args:
        writer: its manifest names the layers in their order.
        atlases: of the same images, each of other layers.
        classes: the output layer, where it was recorded for calibration only.

    Raises:
        UsageError: a method labelled them with different settings.
    """
    first, out = atlases[0], writer.folder
    facts = first.manifest.probe
    whole = (
        "images.parquet",
        "copies.parquet",
        "concepts.parquet",
        "arrays/embeddings.safetensors",
    )
    there = _copied(first.folder, out, (name for name in whole if (first.folder / name).exists()))
    notes = dict.fromkeys(note for atlas in atlases for note in atlas.manifest.notes)
    writer.finish("images", [n for n in there if n in whole[:2]], probe=facts)
    writer.finish("concepts", [n for n in there if n in whole[2:]], notes=list(notes))
    layers = [entry["layer"] for entry in writer.manifest.target.layers]
    files = []
    for table in ("units.parquet", "exemplars.parquet"):
        _written(out / table, _side_by_side([atlas.folder / table for atlas in atlases], layers))
        files.append(table)
    units = sum(atlas.manifest.units or 0 for atlas in atlases)
    broken = sum(atlas.manifest.nonfinite_units or 0 for atlas in atlases)
    writer.finish("units", files, units=units, nonfinite_units=broken)
    for method in dict.fromkeys(name for atlas in atlases for name in atlas.methods):
        _labels(writer, [atlas for atlas in atlases if method in atlas.methods], method, layers)
    kept = {atlas.manifest.kept for atlas in atlases}
    files = []
    for atlas in atlases:
        names = map(schema.activations_file, atlas.layers)
        files += _copied(atlas.folder, out, (n for n in names if (atlas.folder / n).exists()))
    target = writer.manifest.target
    if classes is not None:
        extra = schema.activations_file(classes.info.name)
        files += _copied(first.folder, out, [extra] if (first.folder / extra).exists() else [])
        target = replace(target, calibration_layer=classes.to_dict())
    kind = kept.pop() if len(kept) == 1 else "topk"
    writer.finish("activations", files, kept=kind, target=target)
    mapped = {name: facts for atlas in atlases for name, facts in atlas.manifest.maps.items()}
    files = []
    for atlas in atlases:
        files += _copied(atlas.folder, out, map(schema.maps_file, atlas.manifest.maps))
    if files:
        writer.finish("maps", files, maps=mapped)
    for atlas in atlases:
        thumbs = sorted((atlas.folder / "thumbs").glob("*.jpg"))
        _copied(atlas.folder, out, (f"thumbs/{path.name}" for path in thumbs))
    writer.finish("thumbs", ["thumbs"] if (out / "thumbs").exists() else [])


def _labels(
    writer: AtlasWriter, atlases: Sequence[Atlas], method: str, layers: Sequence[str]
) -> None:
    """The labels of a method, with its evidence and the arrays that score new words."""
    name, files = schema.file_name(method), []
    for kind in ("labels", "trust", "evidence"):
        file = f"{kind}/{name}.parquet"
        paths = [atlas.folder / file for atlas in atlases if (atlas.folder / file).exists()]
        if paths:
            _written(writer.folder / file, _side_by_side(paths, layers))
            files.append(file)
    arrays: dict[str, np.ndarray] = {}
    for atlas in atlases:
        path = atlas.folder / schema.method_file(method)
        if path.exists():
            arrays |= storage.read_arrays(path)[0]
    if arrays:
        files.append(schema.method_file(method))
        storage.write_arrays(writer.folder / files[-1], arrays, {})
    facts = _facts([atlas.manifest.methods[method] for atlas in atlases], atlases, layers)
    writer.finish(f"labels {method}", files, methods=writer.manifest.methods | {method: facts})


def _facts(
    facts: Sequence[MethodFacts], atlases: Sequence[Atlas], layers: Sequence[str]
) -> MethodFacts:
    for one, atlas in zip(facts, atlases, strict=True):
        if one.method != facts[0].method or one.get("with_defaults") != facts[0].get(
            "with_defaults"
        ):
            raise UsageError(
                f"Expected labels of one method, got those of {facts[0].method} in "
                f"{atlases[0].folder} and {one.method} in {atlas.folder}, made with other settings."
            )
    named = {name for one, a in zip(facts, atlases, strict=True) for name in one.layers or a.layers}
    counts = {name: n for one in facts for name, n in one.abstained_by_layer.items()}
    return replace(
        facts[0],
        layers=[layer for layer in layers if layer in named],
        abstained=sum(one.abstained for one in facts),
        abstained_by_layer={layer: counts[layer] for layer in layers if layer in counts},
        seconds=round(sum(one.seconds for one in facts), 3),
    )


def _side_by_side(paths: Sequence[Path], layers: Sequence[str]) -> pa.Table:
    """The rows of several tables, layer by layer."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pa.concat_tables(map(storage.read_table, paths), promote_options="permissive")
    parts = [whole.filter(pc.equal(whole["layer"], layer)) for layer in layers]
    return pa.concat_tables(parts)


def _written(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    with storage.atomic_write(path) as out:
        pq.write_table(table, out, compression="zstd")


def _copied(folder: Path, out: Path, names: Iterable[str]) -> list[str]:
    """Copy files whose names are given relative to the folder; those names."""
    made = []
    for name in names:
        with open(folder / name, "rb") as source, storage.atomic_write(out / name) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        made.append(name)
    return made
