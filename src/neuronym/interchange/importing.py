"""From published files to an atlas, or to further labels of one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from neuronym._core import hashing
from neuronym._core.checks import Verbatim, misuse
from neuronym._core.progress import Progress, silent
from neuronym.atlas import schema
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.atlas.schema import read_manifest
from neuronym.atlas.writer import AtlasWriter
from neuronym.interchange import images
from neuronym.interchange._head import NOTE, in_order, manifest_of, words_of
from neuronym.interchange.base import Format, Published
from neuronym.labelling import run as labelling
from neuronym.labelling.base import LABELLERS, Labeller, Labels
from neuronym.similarity.base import SIMILARITIES

#: Where images are looked for (None: nowhere), threads that decode them, display for long work.
_How = tuple[Path | None, int, Progress]


@dataclass(frozen=True, eq=False)
class Imported:
    """What an import did.

    Attributes:
        atlas: opened.
        method: the method-id of the labels.
        new: whether the atlas was made by this import.
        units: by layer the units whose labels were read.
        left_out: by layer the units in the files of layers that the atlas does not have.
        images: what became of the images that the files list.
        notes: what else there is to say, in sentences.
    """

    atlas: Atlas
    method: str
    new: bool
    units: dict[str, int]
    left_out: dict[str, int]
    images: images.Gathered
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Reader(Labeller):
    """A labeller whose labels come from files."""

    name: ClassVar[str] = "imported"
    needs: ClassVar[tuple[str, ...]] = ()
    published: Published = field(metadata={"read": lambda _, value: value})
    id: str = field(metadata={"read": lambda _, value: value})
    facts: dict[str, Any] = field(metadata={"read": lambda _, value: value})

    @property
    def spec(self) -> str:
        return self.id

    @property
    def method_id(self) -> str:
        return self.id

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """The labels of these layers, all of them."""
        return Labels({n: self.published.layers[n] for n in layers}, facts=self.facts)


def import_labels(
    kind: Format,
    path: str | Path,
    out: str | Path,
    *,
    images_root: str | Path | None = None,
    method: str | None = None,
    target: str | None = None,
    overwrite: bool = False,
    workers: int = 0,
    progress: Progress = silent,
) -> Imported:
    """Read published labels into a new atlas, or add them to one that is there.

    Everything is read and checked before anything is written.

    Args:
        kind: the format.
        path: a file or folder, as the format has it.
        out: the atlas. One that is there gets the labels of the layers that it has, which must
            have as many units in the files.
        images_root: a folder below which the listed images are looked for (`images.locate`).
        method: the method-id of the labels. None: `imported.FORMAT`.
        target: the network's name, for a new atlas. None: resnet50 where layers and units are
            those of ResNet-50, else unknown.
        overwrite: replace the labels of this method-id where there are some.
        workers: threads that decode images. 0: one per core, at most 16.
        progress: display for long work.

    Raises:
        UsageError: something malformed, layers that do not fit, or labels that are there already.
        NeuronymError: something cannot be read or written.
    """
    path, out = Path(path), Path(out)
    method_id = _method_id(f"imported.{kind.name}" if method is None else method)
    root = None if images_root is None else images.root_folder(images_root)
    if root is not None and not kind.listed:
        raise misuse("images", f"left out: {kind.name} lists no images", str(images_root))
    files = kind.files(path)
    published = kind.read(path)
    facts = {
        "format": kind.name,
        "files": [{"path": str(f), "hash": hashing.of_bytes(f.read_bytes())} for f in files],
        **published.facts,
        "note": NOTE,
    }
    reader = _Reader(published, method_id, facts)
    there = read_manifest(out) if out.is_dir() else None
    how = (root, workers or min(16, os.cpu_count() or 1), progress)
    if there is None or (there.get("imported") and not there.get("complete")):
        return _begin(reader, out, target, there, how)
    if target is not None and target != there["target"]["name"]:
        raise misuse("target", f"{there['target']['name']}, as in {out}", target)
    return _extend(reader, open_atlas(out), overwrite, how)


def _method_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,99}", text, re.ASCII):
        raise misuse("method", "letters, digits and . _ + - only", text)
    first = text.split(".")[0]
    if first in LABELLERS or first in SIMILARITIES:
        own = f"{first} is the name of one of neuronym's own methods."
        raise misuse("method", "a name of its own", text, f"{own} Such as published.{text}.")
    return text


def _begin(
    reader: _Reader, out: Path, target: str | None, there: schema.Manifest | None, how: _How
) -> Imported:
    """Make an atlas of the labels, or go on with one whose import was interrupted."""
    published = reader.published
    layers = in_order(_counts(published))
    words = words_of(published)
    manifest = manifest_of(
        reader.facts | {"method": reader.id}, published, layers, target, len(words)
    )
    other = there is not None and there.identity != manifest.identity
    with AtlasWriter.begin(out, manifest, resume=False, overwrite=other) as writer:
        rows = {"concept": words} | dict.fromkeys(
            ("row", "same_as", "cut", "unknown"), [None] * len(words)
        )
        writer.finish("concepts", [writer.table("concepts.parquet", "concepts", rows)])
        units: dict[str, list[Any]] = {name: [] for name in schema.tables()["units"].names}
        for layer, count in layers.items():
            units["layer"] += [layer] * count
            units["unit"] += range(count)
        nothing = [None] * len(units["unit"])
        table = {name: column or nothing for name, column in units.items()}
        file = writer.table("units.parquet", "units", table)
        writer.finish("units", [file], units=len(nothing))
        gathered = images.write(writer, published, list(layers), *how)
        context = LabelContext(Atlas(out, writer.manifest))
        labelling.write(writer, context, reader, list(layers), 0)
        writer.complete()
    return Imported(open_atlas(out), reader.id, True, layers, {}, gathered, ())


def _extend(reader: _Reader, atlas: Atlas, overwrite: bool, how: _How) -> Imported:
    """Add the labels to an atlas: of the layers that both have."""
    published, counts = reader.published, _counts(reader.published)
    layers = {layer: counts[layer] for layer in atlas.layers if layer in counts}
    if not layers:
        raise misuse(
            "out",
            f"an atlas with a layer of the files ({', '.join(counts)})",
            Verbatim(f"{atlas.folder} with {', '.join(atlas.layers)}"),
        )
    for layer, count in layers.items():
        if count != (units := atlas.layers[layer]["units"]):
            raise misuse(
                "out",
                f"an atlas whose {layer} has {count:,} units, as in the files",
                Verbatim(f"{atlas.folder}, where it has {units:,}"),
            )
    again = reader.id in atlas.methods and set(layers) == set(atlas.labelled_layers(reader.id))
    own = again and (atlas.manifest.imported or {}).get("method") == reader.id
    # Files that list images give them to an imported atlas that has none, or has them from this
    # very method; an atlas that was dissected has its own.
    take = bool(published.images and atlas.imported and (own or atlas.images.empty))
    if how[0] is not None and not take:
        raise misuse("images", f"left out: {atlas.folder} has images of its own", str(how[0]))
    atlas = labelling.label(
        atlas, reader, layers=list(layers), overwrite=overwrite, progress=silent
    )
    gathered = images.Gathered()
    if take:
        with AtlasWriter.extend(atlas.folder) as writer:
            gathered = images.write(writer, published, list(layers), *how)
    notes = (
        ()
        if take or not published.images
        else ("The images that the files list were not taken: the atlas has images of its own.",)
    )
    left_out = {layer: count for layer, count in counts.items() if layer not in layers}
    return Imported(open_atlas(atlas.folder), reader.id, False, layers, left_out, gathered, notes)


def _counts(published: Published) -> dict[str, int]:
    """layer → units."""
    return {layer: len(labels.reasons) for layer, labels in published.layers.items()}
