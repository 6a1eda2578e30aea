"""From the labels of an atlas to files of a published format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.storage import atomic_write
from neuronym.atlas import schema
from neuronym.atlas.reader import Atlas
from neuronym.interchange.base import Format, Published
from neuronym.labelling.base import LayerLabels


@dataclass(frozen=True, eq=False)
class Exported:
    """What an export did.

    Attributes:
        files: written.
        method: whose labels.
        units: how many units, of which so many abstain.
        abstained: units with empty labels.
        lost: what the atlas has and the format has no place for.
        notes: what else there is to say, in sentences.
    """

    files: list[Path]
    method: str
    units: int
    abstained: int
    lost: tuple[str, ...]
    notes: tuple[str, ...]


def export_labels(
    atlas: Atlas,
    kind: Format,
    path: str | Path,
    *,
    method: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the labels of one method as files of a format.

    Units that abstain, also those whose labels do not beat chance, have empty cells.

    Args:
        atlas: whose labels.
        kind: the format.
        path: the file, or the folder for formats with a file per layer.
        method: a method-id or another name of a method. None: the first one.
        overwrite: replace files that are there.

    Raises:
        UsageError: something is there already, or the format cannot hold these labels.
        NeuronymError: the files cannot be written.
    """
    path, method = Path(path), atlas.method(method)
    published = published_of(atlas, method, images=kind.listed > 0)
    texts = kind.write(published)
    files = {path / name if name else path: text for name, text in texts.items()}
    _check_free(path, list(files), "" in texts, overwrite)
    for file, text in files.items():
        with atomic_write(file) as out:
            out.write(text.encode())
    reasons = [reason for labels in published.layers.values() for reason in labels.reasons]
    return Exported(
        list(files),
        method,
        len(reasons),
        sum(reason is not None for reason in reasons),
        tuple(_lost(atlas, method, kind, published)),
        tuple(_formulas(published)),
    )


def published_of(atlas: Atlas, method: str, images: bool = True) -> Published:
    """The labels of a method, and the images of each unit's highest activations if asked for."""
    frame = atlas.labels(method=method, trust=False)
    frame["abstained"] = atlas.labels(method=method)["abstained"].to_numpy()
    layers = atlas.labelled_layers(method)
    return Published(
        {n: _labels(frame[frame["layer"] == n], atlas.layers[n]["units"]) for n in layers},
        {n: _images(atlas, n) for n in layers} if images else {},
        {k: v for k, v in atlas.manifest.methods[method].more.items() if k == "categories"},
    )


def _labels(frame: pd.DataFrame, units: int) -> LayerLabels:
    """One layer's rows of the labels table as arrays."""
    reasons: list[str | None] = [None] * units
    silent = frame[frame["abstained"]]
    for unit, reason in zip(silent["unit"], silent["reason"], strict=True):
        reasons[unit] = str(reason)
    frame = frame[~frame["abstained"].astype(bool)]
    place = (frame["unit"].to_numpy(), frame["rank"].to_numpy() - 1)
    shape = (units, int(frame["rank"].max()) if len(frame) else 0)

    def column(name: str, empty: object, kind: type) -> np.ndarray:
        array: np.ndarray = np.full(shape, empty, kind)
        array[place] = frame[name].to_numpy()
        return array

    details = [name for name in frame.columns if name not in schema.tables()["labels"].names]
    return LayerLabels(
        column("concept", None, object),
        column("score", np.nan, np.float32),
        tuple(reasons),
        {name: column(name, None, object) for name in details},
    )


def _images(atlas: Atlas, layer: str) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in range(atlas.layers[layer]["units"])]
    frame = atlas.exemplars(layer).sort_values(["unit", "rank"], kind="stable")
    for unit, image in zip(frame["unit"], frame["image_id"], strict=True):
        found[unit].append(image)
    return found


def _check_free(path: Path, files: Sequence[Path], single: bool, overwrite: bool) -> None:
    """Refuse to replace what is there unasked, and to mix with files of other layers."""
    taken = [file for file in files if file.exists()]
    if taken and not overwrite:
        raise misuse(
            "out",
            "a new path",
            Verbatim(f"{taken[0]}, which exists"),
            "Choose another one, or replace it with --overwrite.",
        )
    if not single and path.is_dir():
        others = [p for p in path.iterdir() if p.suffix.lower() == ".csv" and p not in files]
        if others:
            got = Verbatim(f"{path} with {others[0].name}")
            remedy = "They would be taken for further layers."
            raise misuse("out", "a folder without other .csv files", got, remedy)


def _lost(atlas: Atlas, method: str, kind: Format, published: Published) -> list[str]:
    """What the format has no place for, in the words of the atlas's tables."""
    layers, lost = published.layers.values(), []
    if (most := max((labels.concepts.shape[1] for labels in layers), default=0)) > kind.labels:
        lost.append(f"labels behind rank {kind.labels} (there are up to {most})")
    if not kind.scores and any(np.isfinite(labels.scores).any() for labels in layers):
        lost.append("scores")
    details = dict.fromkeys(n for labels in layers for n in labels.details if n not in kind.details)
    if details:
        lost.append(f"columns of the labels: {', '.join(details)}")
    if any(reason for labels in layers for reason in labels.reasons):
        lost.append("why units abstain")
    for name in ("trust", "evidence"):
        if (atlas.folder / f"{name}/{schema.file_name(method)}.parquet").exists():
            lost.append(f"{name}/{method}.parquet")
    if analyses := atlas.analyses(method):
        lost.append(f"analyses: {', '.join(analyses)}")
    if kind.listed:
        longest = max(
            (len(unit) for units in published.images.values() for unit in units), default=0
        )
        if longest > kind.listed:
            lost.append(f"images behind the first {kind.listed} (there are up to {longest})")
        if not atlas.imported:
            lost.append("activations of the images, and where they peak")
    elif len(atlas.images):
        lost.append("the highest activating images")
    if not atlas.imported:
        lost.append("statistics of the units, embeddings, and what the atlas was made from")
    return lost


def _formulas(published: Published) -> list[str]:
    """A warning about labels that spreadsheets would run: cells are exported as they are."""
    words = {str(w) for v in published.layers.values() for w in v.concepts.flat if w is not None}
    found = sorted(word for word in words if word.startswith(("=", "+", "-", "@", "\t", "\r")))
    if not found:
        return []
    return [
        f"{len(found):,} labels, such as {found[0]!r}, look like formulas to a spreadsheet: open "
        "the file there only with all columns as text."
    ]
