"""Adds a method's labels to an atlas."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuronym._core import storage
from neuronym._core.checks import integer
from neuronym._core.errors import UsageError
from neuronym._core.progress import Progress, automatic
from neuronym.atlas import schema
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas, opened
from neuronym.atlas.writer import AtlasWriter
from neuronym.labelling.base import Labeller, Labels, LayerLabels, open_labeller


def label(
    atlas: Atlas | str | Path,
    method: str | Labeller,
    *,
    layers: str | Sequence[str] | None = None,
    labels: int = 20,
    overwrite: bool = False,
    progress: Progress | None = None,
    **context: Any,
) -> Atlas:
    """Add another method's labels to an atlas.

    Args:
        atlas: a complete one, or its folder.
        method: a name such as `clip-avg:k=10` or `clip-dissect:cos`, or a `Labeller`.
        layers: only these, by exact name; default: all. Layers labelled before stay.
        labels: kept per unit at most.
        overwrite: label again what the method has labelled.
        progress: display for long work; default: a bar on a terminal, lines elsewhere.
        **context: target, probe, encoder: objects, where the atlas was made from objects rather
            than names; device, workers, cache.

    Returns:
        The atlas, opened again, with the new labels: `atlas.labels(method=atlas.methods[-1])`.

    Raises:
        UsageError: a wrong name, labels that are there already, or an atlas that is not complete.
        NeuronymError: something the method needs is missing.
    """
    count = integer("labels", labels, 1)
    shown = automatic() if progress is None else progress
    labeller, given = open_labeller(method), LabelContext(opened(atlas), progress=shown, **context)
    chosen = [layers] if isinstance(layers, str) else layers
    with AtlasWriter.extend(given.atlas.folder) as writer:
        wanted = to_label(writer, given, labeller, chosen, overwrite)
        write(writer, given, labeller, wanted, count)
    return open_atlas(given.atlas.folder)


def to_label(
    writer: AtlasWriter,
    context: LabelContext,
    labeller: Labeller,
    layers: Sequence[str] | None,
    overwrite: bool,
) -> list[str]:
    """The layers that there is something to do for, if the method can label them."""
    atlas = context.atlas
    atlas.check_complete()
    chosen = context.check_layers(layers)
    done = labelled_layers(writer, labeller.method_id)
    whole = writer.has(f"labels {labeller.method_id}")
    if not overwrite and whole and set(chosen) <= set(done):
        raise UsageError(
            f"{atlas.folder} has labels of {labeller.method_id} for {', '.join(chosen)} already. "
            "Look at them with `neuronym show --method`, or make them again with --overwrite."
        )
    new = [layer for layer in chosen if overwrite or not whole or layer not in done]
    labeller.check(context, new)
    return new


def labelled_layers(writer: AtlasWriter, method: str) -> list[str]:
    """The layers that a method has labelled, whether or not their files are whole."""
    facts = writer.manifest.methods.get(method)
    if facts is None or f"labels {method}" not in writer.manifest.stages:
        return []
    return facts.layers or [entry["layer"] for entry in writer.manifest.target.layers]


def write(
    writer: AtlasWriter,
    context: LabelContext,
    labeller: Labeller,
    layers: Sequence[str],
    count: int,
) -> None:
    """Run a labeller and write its files, together with those of other layers it has labelled."""
    started, method = time.monotonic(), labeller.method_id
    found = labeller.label(context, layers, count)
    seconds = time.monotonic() - started
    old = [layer for layer in labelled_layers(writer, method) if layer not in found.layers]
    before = writer.manifest.methods[method] if old else None
    order = [layer for layer in context.atlas.layers if layer in {*old, *found.layers}]
    tables = {
        "labels": {layer: _label_columns(layer, found.layers[layer]) for layer in found.layers},
        "trust": {n: _with_layer(n, _measures(v)) for n, v in found.layers.items() if v.measures},
        "evidence": {n: _with_layer(n, v.evidence) for n, v in found.layers.items() if v.evidence},
    }
    writer.drop_analyses(method)
    files = []
    for kind, parts in tables.items():
        file = f"{kind}/{schema.file_name(method)}.parquet"
        if parts or (old and (writer.folder / file).exists()):
            files.append(writer.join(file, kind, order, parts, old))
    arrays = _arrays(writer, method, found, old)
    if arrays:
        files.append(schema.method_file(method))
        storage.write_arrays(writer.folder / files[-1], arrays, {})
    abstained = {k: sum(r is not None for r in v.reasons) for k, v in found.layers.items()}
    earlier = before.abstained_by_layer if before else {}
    counts = {layer: earlier.get(layer, 0) for layer in old} | abstained
    more = dict(found.facts)
    facts = schema.MethodFacts(
        labeller=labeller.name,
        method=labeller.spec,
        layers=order,
        abstained=sum(counts.values()),
        abstained_by_layer=counts,
        seconds=round((before.seconds if before else 0) + seconds, 3),
        note=more.pop("note", None),
        more=more,
    )
    methods = writer.manifest.methods | {method: facts}
    writer.finish(f"labels {method}", files, methods=methods)


def _label_columns(layer: str, found: LayerLabels) -> dict[str, list[Any]]:
    """One layer's rows of the labels table: an abstaining unit has one, with the reason."""
    columns: dict[str, list[Any]] = {
        n: [] for n in (*schema.tables()["labels"].names, *found.details)
    }
    for unit, reason in enumerate(found.reasons):
        if reason is not None:
            rows: list[tuple] = [
                (layer, unit, 1, None, None, True, reason, *[None] * len(found.details))
            ]
        else:
            here = [place for place, word in enumerate(found.concepts[unit]) if word is not None]
            assert here, f"{layer}:{unit} has neither a label nor a reason for abstaining"
            rows = [
                (
                    layer,
                    unit,
                    place + 1,
                    found.concepts[unit][place],
                    _number(found.scores[unit, place]),
                    False,
                    None,
                    *(_plain(d[unit, place]) for d in found.details.values()),
                )
                for place in here
            ]
        for row in rows:
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    return columns | {n: _typed(columns[n], array.dtype) for n, array in found.details.items()}


def _number(score: np.floating) -> float | None:
    """A method that ranks without scores has NaN for them; in the table they are missing."""
    return None if np.isnan(score) else float(score)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _typed(values: list[Any], kind: np.dtype) -> Any:
    """A column of numbers keeps the type it was computed in, also where some are missing."""
    import pyarrow as pa

    return pa.array(values, pa.from_numpy_dtype(kind) if kind.kind in "biuf" else None)


def _measures(found: LayerLabels) -> dict[str, Any]:
    return {"unit": range(len(found.reasons)), **found.measures}


def _with_layer(layer: str, columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    typed = {
        name: _typed([_plain(v) for v in column], np.asarray(column).dtype)
        for name, column in columns.items()
    }
    return {"layer": [layer] * len(typed["unit"]), **typed}


def _arrays(
    writer: AtlasWriter, method: str, found: Labels, old: Sequence[str]
) -> dict[str, np.ndarray]:
    """The arrays to keep: shared ones by their name, those of a layer as `<layer>/<name>`."""
    path = writer.folder / schema.method_file(method)
    kept = storage.read_arrays(path)[0] if old and path.exists() else {}
    arrays = {k: np.array(v) for k, v in kept.items() if k.rpartition("/")[0] in old}
    arrays |= found.shared
    for layer, labels in found.layers.items():
        arrays |= {f"{layer}/{name}": array for name, array in labels.arrays.items()}
    return arrays
