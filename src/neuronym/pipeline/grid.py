"""Several atlases in one go: every combination of some settings, and the table over all of them."""

from __future__ import annotations

import functools
import itertools
import json
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from neuronym._core import hashing, storage
from neuronym._core.checks import Verbatim, misuse, nearest
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.progress import Progress, silent
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.analysis.stability.configurations import short
from neuronym.analysis.stability.study import Settings, Study, study
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.atlas.schema import Manifest, read_manifest
from neuronym.inputs.encoders.base import Encoder, open_encoder
from neuronym.inputs.settings import EXECUTION, DissectSettings
from neuronym.labelling import run as labelling
from neuronym.labelling.methods.clip_dissect import ClipDissect
from neuronym.pipeline import run as pipeline
from neuronym.pipeline.estimate import estimate
from neuronym.similarity.base import open_similarity

#: Entered in the folder of a grid, which is thereby known as one.
HEAD = "grid.json"
_LISTS = [entry.name for entry in fields(DissectSettings) if "list" in str(entry.type)]


@dataclass(frozen=True)
class Cell:
    """One atlas of a grid.

    Attributes:
        name: of its folder.
        settings: all but `out`; `similarity` is the first one.
        similarities: all of them: each becomes a method of the one atlas.
        values: the cell's value on every axis but the similarities.
    """

    name: str
    settings: DissectSettings
    similarities: tuple[str, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """What became of a cell: `made`, `there` (it was finished before), or `failed`, and why."""

    cell: Cell
    folder: Path
    state: str
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid that was run: its cells, and one study for each target."""

    cells: tuple[Made, ...]
    studies: tuple[Study, ...]

    @property
    def failed(self) -> list[Made]:
        """The cells that failed."""
        return [made for made in self.cells if made.state == "failed"]


def read(path: str | Path) -> list[Cell]:
    """The cells that a TOML file describes.

    At the top stand settings of dissect that all cells share; in the table `[grid]` a list of
    values for each setting that varies. Cells are all combinations.

    Raises:
        UsageError: no such file, not TOML, or something in it that is no setting of dissect.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise misuse("grid", "a TOML file", str(path), "No such file.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"Expected `grid` to be a TOML file, got {path}: {error}.") from error
    axes = data.pop("grid", None)
    if not isinstance(axes, dict) or not axes:
        raise misuse(
            "grid",
            "hold a table [grid] with lists of values",
            Verbatim(str(path)),
            'Write for example [grid] and below it probe = ["synthetic"].',
        )
    return expand(data, axes)


def expand(fixed: Mapping[str, Any], axes: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """All combinations of the values on the axes, as cells.

    >>> cells = expand({"target": "resnet50"}, {"concepts": ["imagenet", "english-10k"],
    ...                                         "similarity": ["soft-wpmi", "wpmi"]})
    >>> [(cell.name, cell.similarities) for cell in cells]
    [('imagenet', ('soft-wpmi', 'wpmi')), ('english-10k', ('soft-wpmi', 'wpmi'))]
    """
    fixed, axes = _checked(fixed), _checked(axes)
    twice = sorted(set(fixed) & set(axes))
    if twice:
        raise misuse("grid", "name a setting once, at the top or in [grid]", twice[0])
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            raise misuse(f"grid.{name}", "a list of values", values)
    # A value that stands there twice is one atlas.
    axes = {k: [v for i, v in enumerate(own) if v not in own[:i]] for k, own in axes.items()}
    given = axes.get("similarity", [fixed.get("similarity", "soft-wpmi")])
    similarities = tuple(dict.fromkeys(open_similarity(spec).spec for spec in given))
    varied = {name: values for name, values in axes.items() if name != "similarity"}
    found = []
    for combination in itertools.product(*varied.values()):
        values = dict(zip(varied, combination, strict=True))
        chosen = DissectSettings(**{**fixed, **values, "similarity": similarities[0]})
        found.append(Cell(_slug(values) or _safe(chosen.target), chosen, similarities, values))
    names = [cell.name for cell in found]
    return [
        replace(cell, name=f"{cell.name}.{hashing.of_data(cell.settings.to_dict())[:6]}")
        if names.count(cell.name) > 1
        else cell
        for cell in found
    ]


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same with underscores, if all keys are settings that a grid may set."""
    known = [name for name in DissectSettings.__dataclass_fields__ if name not in ("out", "part")]
    data = {key.replace("-", "_"): value for key, value in given.items()}
    for key in data:
        if key not in known:
            near = ", ".join(nearest(key, known)) or ", ".join(known)
            what = "Each atlas gets its own folder." if key == "out" else f"Nearest: {near}."
            raise misuse("grid", "hold settings of dissect", key, what)
    return data


def _slug(values: Mapping[str, Any]) -> str:
    """The values on the axes as the name of a folder."""
    texts = [
        "-".join(map(str, v)) if isinstance(v, list) else short(str(v)) for v in values.values()
    ]
    return ".".join(map(_safe, texts))


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_+=" else "-" for c in text).strip("-") or "-"


def state(cell: Cell, out: Path) -> str:
    """`there` if the cell's atlas has everything, `begun` if it has some, else `missing`.

    Raises:
        UsageError: an atlas of other settings lies there.
    """
    folder = out / "atlases" / cell.name
    manifest = read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        return "missing"
    wanted, found = cell.settings.to_dict(), manifest.config
    ignored = (*EXECUTION, "similarity")
    other = [k for k in wanted if k not in ignored and found.get(k) != wanted[k]]
    if other or _base(cell, manifest) is None:
        raise misuse(
            "out",
            f"hold atlases of this grid in {folder}",
            Verbatim(f"one of other settings ({', '.join(other) or 'similarity'})"),
            "Choose another --out, or remove that folder.",
        )
    atlas = Atlas(folder, manifest)
    whole = manifest.complete and not _lacking(cell, atlas)
    return "there" if whole else "begun"


def _base(cell: Cell, manifest: Manifest) -> str | None:
    """The similarity an atlas was begun with, if it is one of the cell's."""
    begun = open_similarity(manifest.config["similarity"]).spec
    return begun if begun in cell.similarities else None


def _lacking(cell: Cell, atlas: Atlas) -> list[ClipDissect]:
    """The methods that the atlas has no labels of yet."""
    wanted = [ClipDissect(spec) for spec in cell.similarities]
    return [labeller for labeller in wanted if labeller.method_id not in atlas.methods]


def run(
    cells: Sequence[Cell],
    out: str | Path,
    *,
    settings: Settings | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> Grid:
    """Make the atlases of a grid, then the stability table over all of them.

    Finished atlases are skipped, interrupted ones go on. A cell that fails does not stop the
    others.

    Args:
        cells: see `read` and `expand`.
        out: the folder of the grid: `atlases/<cell>`, `stability/`, `grid.json`.
        settings: of the study; default: the published score and pairs.
        progress: display for long work.
        say: receives a line about each cell.

    Raises:
        UsageError: `out` holds something else.
    """
    out, done = Path(out), []
    check_folder(out)
    for place, cell in enumerate(cells, 1):
        say(f"{place} of {len(cells)}: {cell.name}")
        done.append(_make(cell, out, progress))
        if done[-1].state == "failed":
            say(f"failed: {done[-1].error}")
        _write_head(out, done)
    chosen = settings or Settings(parts=("pairs",))
    by_target: dict[str, list[Atlas]] = {}
    for made in done:
        if made.state != "failed":
            atlas = open_atlas(made.folder)
            by_target.setdefault(str(atlas.manifest.target.fingerprint), []).append(atlas)
    studies = []
    for fingerprint, atlases in by_target.items():
        folder = study_folder(out, atlases[0], fingerprint, len(by_target))
        settings_of = cells[0].settings
        studies.append(
            study(
                atlases,
                settings=chosen,
                out=folder,
                progress=progress,
                cache=settings_of.cache,
                device=settings_of.device,
            )
        )
    return Grid(tuple(done), tuple(studies))


def study_folder(out: Path, atlas: Atlas, fingerprint: str, targets: int) -> Path:
    """Where the study of one target goes."""
    if targets == 1:
        return out / "stability"
    return out / "stability" / f"{_safe(short(atlas.manifest.target.name))}.{fingerprint[:6]}"


def check_folder(out: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        UsageError: it does.
    """
    if out.exists() and not out.is_dir():
        raise misuse("out", "the folder of a grid or a new one", str(out), "It is a file.")
    if out.is_dir() and any(out.iterdir()) and not (out / HEAD).exists():
        raise misuse(
            "out",
            "the folder of a grid or a new one",
            str(out),
            f"It holds other things, and no {HEAD}.",
        )


def _make(cell: Cell, out: Path, progress: Progress) -> Made:
    """One atlas with the labels of all similarities."""
    folder, started = out / "atlases" / cell.name, time.monotonic()
    try:
        if state(cell, out) == "there":
            return Made(cell, folder, "there")
        _dissect(cell, folder, progress)
    except NeuronymError as error:
        return Made(cell, folder, "failed", str(error), time.monotonic() - started)
    except Exception as error:  # other cells may be fine: out of memory, a network's own fault
        text = f"{type(error).__name__}: {error}"
        return Made(cell, folder, "failed", text, time.monotonic() - started)
    return Made(cell, folder, "made", "", time.monotonic() - started)


@functools.lru_cache(maxsize=2)
def _encoder(name: str) -> Encoder:
    """An encoder, kept open for the next cells: opening one can take longer than a small pass."""
    prepare_torchvision()
    return open_encoder(name)


def _plan(settings: DissectSettings) -> pipeline.Plan:
    return pipeline.plan(settings, encoder=_encoder(settings.encoder))


def _dissect(cell: Cell, folder: Path, progress: Progress) -> None:
    manifest = read_manifest(folder) if folder.is_dir() else None
    first = (None if manifest is None else _base(cell, manifest)) or cell.similarities[0]
    chosen = replace(cell.settings, similarity=first, out=str(folder), trust=False)
    if manifest is None or not manifest.complete:
        pipeline.run(_plan(chosen), resume=True, progress=progress)
    for labeller in _lacking(cell, open_atlas(folder)):
        labelling.label(
            open_atlas(folder),
            labeller,
            labels=chosen.labels,
            device=chosen.device,
            workers=chosen.workers,
            cache=chosen.cache,
            progress=progress,
        )


def _write_head(out: Path, done: Sequence[Made]) -> None:
    data = {"cells": [as_data(made) for made in done]}
    with storage.atomic_write(out / HEAD) as file:
        file.write((json.dumps(data, indent=2) + "\n").encode())


def as_data(made: Made) -> dict[str, Any]:
    """A cell and what became of it, as plain data."""
    return {
        "cell": made.cell.name,
        "atlas": str(made.folder),
        "state": made.state,
        "error": made.error,
        "seconds": round(made.seconds, 1),
        **made.cell.values,
        "similarities": list(made.cell.similarities),
    }


@dataclass(frozen=True)
class Cost:
    """What a grid would cost: see `pipeline.Estimate`.

    Attributes:
        states: of every cell: `there`, `begun`, `missing`, or why it would fail.
        seconds: of the passes and the words; what several cells share is done once.
        cache_bytes, atlas_bytes, free_bytes: of disk.
    """

    states: Mapping[str, str]
    seconds: float
    cache_bytes: int
    atlas_bytes: int
    free_bytes: int


def cost(cells: Sequence[Cell], out: str | Path) -> Cost:
    """Time a few images through the networks of every cell that is to be made; writes nothing."""
    out = Path(out)
    check_folder(out)
    states, seen = {}, set()
    seconds, cached, kept, free = 0.0, 0, 0, 0
    for cell in cells:
        try:
            states[cell.name] = state(cell, out)
            if states[cell.name] == "there":
                continue
            found = estimate(plan := _plan(cell.settings))
        except NeuronymError as error:
            states[cell.name] = f"would fail: {error}"
            continue
        images = [plan.probe.name, len(plan.probe), plan.dtype]
        layers = [p.to_dict() for p in plan.layers]
        encoder = plan.encoder.fingerprint
        # Texts need little room beside the images.
        for who, own, size in (
            ([plan.target.fingerprint, layers, *images], found.target_seconds, found.target_bytes),
            ([encoder, *images], found.encoder_seconds, found.encoder_bytes),
            (images, found.decoding_seconds, 0),
            ([encoder, plan.concepts.fingerprint], found.text_seconds, 0),
        ):
            key = hashing.of_data(who)
            if key not in seen:
                seen.add(key)
                seconds, cached = seconds + own, cached + size
        kept, free = kept + found.atlas_bytes, found.free_bytes
    return Cost(states, seconds, cached, kept, free)
