"""Atlases of one target become one: over parts of a probe, parts of its layers, or both."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neuronym._core.checks import misuse
from neuronym._core.devices import resolve_device
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.progress import Progress, automatic
from neuronym._core.terminal import counted
from neuronym.atlas.context import Sources
from neuronym.atlas.reader import Atlas, open_atlas, opened
from neuronym.atlas.schema import Manifest
from neuronym.atlas.writer import AtlasWriter, check_free
from neuronym.extraction.duplicates import LEVELS, SMALL, groups
from neuronym.extraction.passes import IMAGES, LayerPlan
from neuronym.extraction.recording import LayerInfo
from neuronym.extraction.sight import Sight
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.settings import DissectSettings
from neuronym.pipeline import joining, stages
from neuronym.pipeline import run as pipeline
from neuronym.pipeline.gathered import Gathered, gather
from neuronym.similarity.base import Similarity, open_similarity

#: What must agree, by the keys of `identity`, and how it is called where it does not.
_ALIKE = {
    "target": "other weights or code of the target (checksums {} and {})",
    "preprocess": "another preprocessing of the target",
    "probe": "another probe ({} and {}); parts of one are made with --part",
    "concepts": "other words or templates",
    "encoder": "another encoder (checksums {} and {})",
}


@dataclass(frozen=True, eq=False)
class _Merging:
    """What the stages need to know: see `stages.Making`."""

    settings: DissectSettings
    layers: Sequence[LayerPlan]
    classes: LayerPlan | None
    similarity: Similarity
    device: Any
    out: Path
    preprocess: Preprocess
    sources: dict[str, Any]

    @property
    def units(self) -> int:
        """Units of all layers."""
        return sum(plan.info.units or 0 for plan in self.layers)


@dataclass(frozen=True)
class _Told(LayerPlan):
    """A layer as the parts tell of it."""

    facts: Mapping[str, Any]
    places: tuple[int, int] | None

    @property
    def grid(self) -> tuple[int, int] | None:
        """As recorded."""
        return self.places

    def to_dict(self) -> dict[str, Any]:
        """As recorded."""
        return {**self.facts}


def merge(
    atlases: Sequence[Atlas | str | Path],
    *,
    out: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    trust: bool | None = None,
    device: str = "auto",
    workers: int = 0,
    cache: str | None = None,
    progress: Progress | None = None,
    **sources: Any,
) -> Atlas:
    """One atlas of several of the same target, as one run over everything would have made it.

    Atlases that `dissect` made with `part` are merged over their images: groups of copies are found
    anew, and with them what depends on the probe (statistics, a measured scale, priors, labels).
    Atlases over one probe and different layers are put side by side, with the labels of all
    methods. Both at once works, too. Analyses are made anew.

    Args:
        atlases: in any order; all parts, and of every layer one.
        out: where the new atlas goes.
        resume, overwrite: as for `dissect`.
        trust: make the analyses; None: if the settings of the runs say so.
        device, workers, cache: where and how fast; they change nothing else.
        progress: display for long work; default: a bar on a terminal, lines elsewhere.
        **sources: target, probe, encoder: objects, where names do not open them. The probe is read
            for small copies of images, the others for analyses.

    Returns:
        The merged atlas.

    Raises:
        UsageError: atlases that do not belong together, or something else at `out`.
        NeuronymError: one of them is damaged, or the disk is full.

    >>> nym.merge(["part-1", "part-2"], out="atlas")  # doctest: +SKIP
    """
    for name in sources:
        if name not in ("target", "probe", "encoder"):
            raise misuse("sources", "target, probe and encoder", name)
    shown = automatic() if progress is None else progress
    parts = [opened(atlas) for atlas in atlases]
    whole = arranged(parts)
    manifest, folder = _manifest(whole, Path(out)), Path(out)
    if folder.resolve() in {atlas.folder.resolve() for atlas in parts}:
        raise UsageError(f"Expected `out` to be a new folder, got {out}, one of those to merge.")
    check_free(folder, manifest.config, resume=resume, overwrite=overwrite)
    known = DissectSettings.__dataclass_fields__
    config = {k: v for k, v in manifest.config.items() if k in known}
    settings = DissectSettings(**config | {"workers": workers, "cache": cache})
    plan = _Merging(
        settings,
        [_layer_plan(whole, facts) for facts in manifest.target.layers],
        _classes(whole, manifest),
        open_similarity(manifest.identity["similarity"]),
        resolve_device(device),
        folder,
        Preprocess.from_dict(manifest.target.preprocess or {}),
        {name: sources.get(name) for name in ("target", "probe", "encoder")},
    )
    with AtlasWriter.begin(folder, manifest, resume=resume, overwrite=overwrite) as writer:
        if whole[0][0].manifest.part is None:
            joining.join(writer, [row[0] for row in whole], plan.classes)
        else:
            shifts = {
                name: Sight(shift=(down, across))
                for row in whole
                if (part := row[0].manifest.part) is not None
                for name, (down, across) in part.shifts.items()
            }
            _merge(writer, plan, gather(whole), whole[0][0], shifts, shown)
        writer.complete()
    if settings.trust if trust is None else trust:
        return pipeline._examined(plan, shown)
    return open_atlas(folder)


def _merge(
    writer: AtlasWriter,
    plan: _Merging,
    done: Gathered,
    first: Atlas,
    sights: Mapping[str, Sight],
    progress: Progress,
) -> None:
    """The stages of a run, with what the parts recorded in place of a pass."""
    stands = groups(
        done.images.column("content_hash"),
        done.tie,
        done.rows(IMAGES),
        done.rows(SMALL),
        progress=progress,
    )
    done = done.grouped(stands, once=plan.settings.duplicates == "once", **LEVELS)
    stages.check_enough(plan, done)
    if done.lists and plan.settings.keep == "auto":
        plan = replace(plan, settings=replace(plan.settings, keep="topk"))
    stages.write_images(writer, done)
    if not writer.has("concepts"):
        table = first.concepts
        notes = [*first.manifest.notes, *stages.too_few(len(table), len(done.images))]
        depth = max(plan.settings.exemplars, plan.similarity.depth(len(done.images)) or 0)
        notes += _inexact(done, stands, depth)
        columns = {
            name: table[name].astype(object).where(table[name].notna(), None) for name in table
        }
        texts = first.embeddings()["concepts"]
        stages.enter_concepts(writer, columns, done.rows(IMAGES), texts, notes)
    stages.write_units(writer, plan, done, sights, progress)
    stages.write_labels(writer, plan, done, progress)
    stages.write_activations(writer, plan, done, progress)
    try:
        source = Sources(open_atlas(plan.out), **plan.sources, progress=progress).probe
    except (UsageError, NeuronymError) as error:
        _tell(
            writer, f"No small copies of images were made, because the probe is not there: {error}"
        )
        return
    stages.write_thumbs(writer, source, done, plan.settings.threads, progress)


def _inexact(done: Gathered, stands: np.ndarray, depth: int) -> list[str]:
    """What is not as one run over everything would have it, and how to get that."""
    remedy = "Make the parts again with --keep all, which keeps every activation, and merge those."
    told, short = [], {n: c for n in done.lists if (c := done.short(n, depth))}
    if short:
        which = ", ".join(f"{count:,} of {name}" for name, count in short.items())
        told.append(
            "Copies across parts took more images out of the lists of the parts than there were to "
            "spare. The labels of some units may rest on other images than those of one run: "
            f"{which}. "
            f"{remedy}"
        )
    if done.lists and not np.array_equal(stands, done.stood):
        told.append(
            "Parts hold copies of each other's images. Minimum, mean, standard deviation and the "
            f"share of positive activations (units.parquet) still count these. {remedy}"
        )
    return told


def _tell(writer: AtlasWriter, note: str) -> None:
    warnings.warn(note, stacklevel=4)
    if note not in writer.manifest.notes:
        writer.note(notes=[*writer.manifest.notes, note])


# -- what belongs together -------------------------------------------------------------------------


def arranged(atlases: Sequence[Atlas]) -> list[list[Atlas]]:
    """Atlases by layers and parts: in every row those of the same layers, part by part.

    Raises:
        UsageError: they do not make a whole.
    """
    only = atlases[0].manifest.part if len(atlases) == 1 else None
    if len(atlases) < 2 and (only is None or only.of > 1):
        raise misuse("atlases", "two or more", [str(atlas.folder) for atlas in atlases])
    first = atlases[0]
    for atlas in atlases:
        if atlas.imported:
            raise atlas.lacks("activations")
        if not atlas.manifest.complete:
            raise UsageError(
                f"Expected complete atlases, got {atlas.folder}, whose run was interrupted. "
                "Run its `neuronym dissect` command again first."
            )
        _check_alike(first, atlas)
    rows: dict[tuple[str, ...], list[Atlas]] = {}
    for atlas in atlases:
        rows.setdefault(tuple(atlas.layers), []).append(atlas)
    _check_layers([row[0] for row in rows.values()])
    several = len(rows) > 1
    found = [
        _parts(row, f" for {_some(layers)}" if several else "") for layers, row in rows.items()
    ]
    for row in found[1:]:
        if len(row) != len(found[0]):
            raise UsageError(
                "Expected all layers over the same parts of the probe, got "
                f"{found[0][0].folder} of {len(found[0])} and {row[0].folder} of {len(row)}."
            )
        for one, other in zip(found[0], row, strict=True):
            if one.manifest.probe.fingerprint != other.manifest.probe.fingerprint:
                raise UsageError(
                    f"Expected atlases of the same images, got {one.folder} and {other.folder}, "
                    "between which images were changed, or became unreadable. Make the older one "
                    "again with --overwrite."
                )
    return found


def _check_alike(first: Atlas, atlas: Atlas) -> None:
    one, other = ({**a.manifest.identity} for a in (first, atlas))
    for found, manifest in ((one, first.manifest), (other, atlas.manifest)):
        found["duplicates"] = manifest.config.get("duplicates")
        for key in ("layers", "part"):
            found.pop(key, None)
    for key in [*_ALIKE, *sorted(one.keys() | other.keys())]:
        if one.get(key) == other.get(key):
            continue
        both = [
            str(value[0] if key == "probe" and value else value)[:60]
            for value in (one.get(key), other.get(key))
        ]
        if key == "probe" and both[0] == both[1]:
            both = [f"{value[0]}, {counted(value[1], 'image')}" for value in (one[key], other[key])]
        what = _ALIKE.get(key, f"another {key.replace('_', ' ')} ({{}} and {{}})").format(*both)
        raise UsageError(
            f"Expected atlases of one target, made with the same settings, got {atlas.folder}, "
            f"which has {what}, compared with {first.folder}."
        )


def _check_layers(rows: Sequence[Atlas]) -> None:
    """Refuse layers that are in several rows."""
    seen: dict[str, Atlas] = {}
    for atlas in rows:
        for name, facts in atlas.layers.items():
            if name in seen:
                same = facts == seen[name].layers[name]
                what = "both hold it" if same else "they record it in different ways"
                raise UsageError(
                    f"Expected every layer once, got {name} in {seen[name].folder} and "
                    f"{atlas.folder}: {what}. Leave one of them out, or make it again without "
                    f"{name}."
                )
            seen[name] = atlas


def _parts(row: Sequence[Atlas], where: str) -> list[Atlas]:
    """The atlases of the same layers in the order of their parts, all of which are there."""
    by_number: dict[int, Atlas] = {}
    of = {atlas.manifest.part.of if atlas.manifest.part else 1 for atlas in row}
    if len(of) > 1:
        counts = " and ".join(map(str, sorted(of)))
        raise UsageError(f"Expected parts of one division of the probe, got {counts} parts{where}.")
    for atlas in row:
        number = atlas.manifest.part.number if atlas.manifest.part else 1
        if number in by_number:
            what = f"part {number}" if atlas.manifest.part else "the whole probe"
            raise UsageError(
                f"Expected every part once, got {what}{where} in {by_number[number].folder} and "
                f"{atlas.folder}."
            )
        by_number[number] = atlas
    lacking = [n for n in range(1, of.pop() + 1) if n not in by_number]
    if lacking:
        total = len(lacking) + len(row)
        names = f"part {lacking[0]} of {total} is"
        if len(lacking) > 1:
            names = f"parts {', '.join(map(str, lacking))} of {total} are"
        raise UsageError(
            f"Expected all parts of the probe{where}: {names} missing. Make what is missing with "
            f"`neuronym dissect … --part {lacking[0]}/{total}`."
        )
    return [by_number[number] for number in sorted(by_number)]


def _some(layers: Sequence[str]) -> str:
    more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
    return f"{', '.join(layers[:3])}{more}"


# -- what the merged atlas is ----------------------------------------------------------------------


def _manifest(whole: Sequence[Sequence[Atlas]], out: Path) -> Manifest:
    """The head of the merged atlas: that of one run over everything, and what it was merged of."""
    from neuronym import __version__

    first = whole[0][0].manifest
    facts = [row[0].manifest.target for row in whole]
    entries = [entry for target in facts for entry in target.layers]
    orders = [target.order for target in facts]
    order: list[int] | None = None
    if all(one is not None for one in orders):
        places = [place for one in orders for place in one or ()]
        ranked = sorted(range(len(places)), key=lambda n: (places[n], entries[n]["layer"]))
        entries, order = [entries[n] for n in ranked], [places[n] for n in ranked]
    identities = {
        entry["layer"]: entry for row in whole for entry in row[0].manifest.identity["layers"]
    }
    names = [entry["layer"] for entry in entries]
    layers = first.config.get("layers", []) if len(whole) == 1 else names
    identity = {k: v for k, v in first.identity.items() if k != "part"}
    given = sum(atlas.manifest.probe.given or 0 for atlas in whole[0])
    return Manifest(
        neuronym=__version__,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        config={**first.config, "part": None, "layers": layers, "out": str(out)},
        identity={**identity, "layers": [identities[name] for name in names]},
        target=replace(first.target, layers=entries, order=order, calibration_layer=None),
        probe=replace(
            first.probe, given=given, images=None, skipped=[], unannotated=[], fingerprint=None
        ),
        concepts=first.concepts,
        encoder=first.encoder,
        device=first.device,
        dtype=first.dtype,
        arithmetic=first.arithmetic,
        merged={"parts": len(whole[0]), "layers": len(whole)},
        stages={},
    )


def _classes(whole: Sequence[Sequence[Atlas]], manifest: Manifest) -> LayerPlan | None:
    """The output layer that confidence is calibrated on, where it is not among the layers."""
    extra = whole[0][0].manifest.target.calibration_layer
    if extra is None or extra["layer"] in {entry["layer"] for entry in manifest.target.layers}:
        return None
    return _layer_plan(whole, extra)


def _layer_plan(whole: Sequence[Sequence[Atlas]], facts: Mapping[str, Any]) -> LayerPlan:
    """How a layer was recorded, as far as the stages ask."""
    part = next(row[0].manifest.part for row in whole if facts["layer"] in row[0].recorded)
    grid = part.grids.get(facts["layer"]) if part else None
    info = LayerInfo(
        facts["layer"],
        "",
        shape=tuple(facts["shape"] or ()),
        units=facts["units"],
        layout=facts["layout"] or "",
        calls=1,
        depth=0,
        params=0,
    )
    return _Told(info, facts["pool"] or "", facts, None if grid is None else (grid[0], grid[1]))
