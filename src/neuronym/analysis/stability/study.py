"""The stability study: the published protocol, and real stability beside it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuronym._core import hashing, storage
from neuronym._core.checks import integer, misuse, real
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.progress import Progress, Ticker, silent
from neuronym.analysis.stability import parts as measure
from neuronym.analysis.stability.configurations import Configuration, configurations, pairs
from neuronym.analysis.stability.measures import mean_interval
from neuronym.analysis.stability.parts import Scorer
from neuronym.atlas.reader import Atlas, open_atlas

#: What can be measured beside the protocol, in the order of reports.
PARTS = ("images", "bootstrap", "halves", "order", "words", "prompts", "pairs")
IMAGES = (5, 10, 16, 28, 50, 100)
TEMPLATES = ("a photo of a {}",)
#: Entered in the folder of a study, which is thereby known as one.
HEAD = "stability.json"
#: Columns that are no shares.
_COUNTS = ("bootstrap_size",)
_CODE = 1  # raise it when a part changes its meaning: parts of older studies are made again
#: The k of the protocol, which compares the first k labels of one score vector with each other.
COUNTS = (5, 10, 16)


@dataclass(frozen=True)
class Settings:
    """How a study is made.

    Attributes:
        parts: what is measured beside the protocol, of `PARTS`.
        images: numbers of images.
        resamples: bootstrap resamples of the probe.
        splits: random splits of the probe into halves.
        subsets: random parts of the concept set.
        share: of the concepts in each of them.
        templates: prompt templates with one {}.
        synonyms: the cosine from which on words are synonyms; None: see `matching.vocabulary`.
        seed: of everything random.
    """

    parts: tuple[str, ...] = PARTS
    images: tuple[int, ...] = IMAGES
    resamples: int = 100
    splits: int = 5
    subsets: int = 5
    share: float = 0.5
    templates: tuple[str, ...] = TEMPLATES
    synonyms: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.parts:
            if name not in PARTS:
                raise misuse("parts", f"some of {', '.join(PARTS)}", name)
        counts = tuple(integer("images", k, 1) for k in self.images)
        object.__setattr__(self, "images", tuple(sorted(set(counts))))
        object.__setattr__(self, "resamples", integer("resamples", self.resamples, 2))
        for name in ("splits", "subsets"):
            object.__setattr__(self, name, integer(name, getattr(self, name), 1))
        object.__setattr__(self, "share", real("share", self.share, 0, 1))
        for template in self.templates:
            if template.count("{}") != 1:
                raise misuse("templates", "hold {} once each", template)


@dataclass(frozen=True, eq=False)
class Study:
    """What a study found. All frames are pandas; shares and scores are within 0…1.

    Attributes:
        target: the network's name and fingerprint.
        settings: see `Settings`.
        configurations: configuration, atlas, method, probe, images, concepts, words, templates,
            encoder, similarity, the same with its defaults, fingerprints.
        results: one row per configuration and unit: label, score, abstained, reason, `labels_5`,
            `labels_10`, `labels_16`, `stability_5_10`, `stability_5_16`, and a column for
            everything that was measured per unit.
        scores: configuration, layer, units, abstained, `score_5_10`, `score_5_16`.
        measures: configuration, layer, part, measure, mean, low, high, units: means of the columns
            of `results` over the units of a layer, with 95 % intervals.
        pairs: means per layer of pairs of configurations that differ in one aspect.
        pair_units: the same unit by unit.
        notes: what was left out, and why.
        folder: where finished parts are kept; None: nowhere.
    """

    target: tuple[str, str]
    settings: Settings
    configurations: pd.DataFrame
    results: pd.DataFrame
    scores: pd.DataFrame
    measures: pd.DataFrame
    pairs: pd.DataFrame
    pair_units: pd.DataFrame
    notes: tuple[str, ...]
    folder: str | None = None


def study(
    atlases: Sequence[Atlas | str | Path] | Atlas | str | Path,
    *,
    method: str | None = None,
    layers: Sequence[str] | None = None,
    settings: Settings | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
    **sources: Any,
) -> Study:
    """Measure how stable the labels of one or several atlases of one target are.

    The atlases are only read. With `out`, every finished part is kept there, and a study that was
    interrupted goes on from them.

    Args:
        atlases: atlases or their folders.
        method: only this method of each; None: all of clip-dissect.
        layers: only these, by exact name; None: all.
        settings: what is measured, and how often.
        out: the folder of a study, or a new one.
        progress: display for long work.
        **sources: see `LabelContext`: target, probe, encoder, device, workers, cache.

    Raises:
        UsageError: atlases of other targets, a wrong name, an `out` that holds something else.

    >>> found = study("demo-atlas")  # doctest: +SKIP
    >>> found.scores, found.measures  # doctest: +SKIP
    """
    chosen = settings or Settings()
    given = [atlases] if isinstance(atlases, Atlas | str | Path) else list(atlases)
    opened = [open_atlas(a) if isinstance(a, str | Path) else a for a in given]
    for atlas in opened:
        if not atlas.manifest.complete:
            raise UsageError(
                f"Expected complete atlases, got {atlas.folder}, whose run was interrupted. "
                "Run its `neuronym dissect` command again first."
            )
    found = configurations(opened, method, layers)
    store = _Store(Path(out), found) if out is not None else None
    notes: list[str] = []
    results = pd.concat(
        [_examine(c, chosen, store, progress, sources, notes) for c in found], ignore_index=True
    )
    between, averages, left = (
        pairs(found, chosen.synonyms) if "pairs" in chosen.parts else pairs([])
    )
    target = opened[0].manifest.target
    return Study(
        (target.name, str(target.fingerprint)),
        chosen,
        pd.DataFrame([c.row for c in found]),
        results,
        scores(results),
        _measures(results),
        averages,
        between,
        (*notes, *left),
        None if out is None else str(out),
    )


def labels_at(scores: np.ndarray, words: list[str], counts: tuple[int, ...] = COUNTS) -> list[list]:
    """The labels at each k: `torch.topk` of one row of scores, once per k.

    >>> labels_at(np.array([0.1, 0.9, 0.5]), ["sky", "dog", "cat"], (1, 2))
    [['dog'], ['dog', 'cat']]
    """
    import torch

    row = torch.from_numpy(np.array(scores))
    found = [torch.topk(row, min(k, len(words))).indices.tolist() for k in counts]
    return [[words[place] for place in places] for places in found]


def stable(few: list[str], many: list[str]) -> bool:
    """Whether the few labels are, as a set, the first ones of the many.

    >>> stable(["dog", "cat"], ["cat", "dog", "sky"])
    True
    """
    return set(few) == set(many[: len(few)])


def protocol(configuration: Configuration, scorer: Callable[[], Scorer]) -> pd.DataFrame:
    """Labels at k = 5, 10, 16 of every unit, `stability_5_10` and `stability_5_16`.

    The kept labels serve where they reach to 16 or to the end of the concept set; else the units
    are scored again. Units that abstain have neither labels nor stability.

    Args:
        configuration: which labels.
        scorer: makes what scores them again.

    Raises:
        NeuronymError: too few labels were kept, and they cannot be scored again.
    """
    atlas, deepest = configuration.atlas, max(COUNTS)
    frame = atlas.labels(method=configuration.method, trust=False)
    frame = frame[frame["layer"].isin(configuration.layers)].sort_values(["unit", "rank"])
    kept = frame[~frame["abstained"]].groupby(["layer", "unit"]).size()
    enough = kept.empty or kept.min() >= min(deepest, len(atlas.concepts))
    rows = _kept(frame) if enough else _again(scorer())
    columns = ["layer", "unit", "label", "score", "abstained", "reason"]
    columns += [f"labels_{k}" for k in COUNTS] + ["stability_5_10", "stability_5_16"]
    made = []
    for layer, unit, words, scores, reason in rows:
        if reason is not None:
            row = (layer, unit, None, np.nan, True, reason, None, None, None, None, None)
        else:
            at = labels_at(np.asarray(scores, np.float32), list(words))
            pair = stable(at[0], at[1]), stable(at[0], at[2])
            row = (layer, unit, words[0], float(scores[0]), False, None, *at, *pair)
        made.append(row)
    order = {layer: place for place, layer in enumerate(configuration.layers)}
    made.sort(key=lambda row: (order[row[0]], row[1]))
    found = pd.DataFrame(made, columns=columns)
    kinds = {"unit": "int32", "abstained": bool}
    return found.astype(kinds | {"stability_5_10": "boolean", "stability_5_16": "boolean"})


def scores(results: pd.DataFrame) -> pd.DataFrame:
    """Share of True per configuration and layer, of the units that have labels."""
    groups = results.groupby(["configuration", "layer"], sort=False)
    found = groups["abstained"].agg(units="size", abstained="sum").reset_index()
    for column in ("stability_5_10", "stability_5_16"):
        found[column.replace("stability", "score")] = groups[column].mean().astype(float).to_numpy()
    return found


def _examine(
    configuration: Configuration,
    settings: Settings,
    store: _Store | None,
    progress: Progress,
    sources: dict[str, Any],
    notes: list[str],
) -> pd.DataFrame:
    """The protocol and all parts for one configuration, one row per unit."""
    scorer = functools.cache(lambda: Scorer(configuration, progress=progress, **sources))
    found = protocol(configuration, scorer)
    found.insert(0, "configuration", configuration.name)
    for name, work in _work(configuration, settings, notes).items():
        try:
            frame = store.read(configuration, name, work.key) if store else None
            if frame is None:
                frame = _frame(configuration, _carry_out(work, scorer(), progress))
                if store:
                    store.write(configuration, name, work.key, frame)
        except NeuronymError as error:
            notes.append(f"{configuration.name}: {work.title} left out. {error}")
            continue
        found = found.merge(frame, "left", ["layer", "unit"], validate="1:1")
    return found


@dataclass(frozen=True, eq=False)
class _Work:
    """A part to be done.

    Attributes:
        title: what to call it.
        steps: for the display; 0: it has a display of its own.
        key: what decides its result, beside the configuration.
        run: does it.
    """

    title: str
    steps: int
    key: Any
    run: Callable[[Scorer, Ticker], measure.Columns]


def _carry_out(work: _Work, scorer: Scorer, progress: Progress) -> measure.Columns:
    _ = scorer.activations  # those that were not kept come through a pass with its own display
    if not work.steps:
        return work.run(scorer, silent("", 0))
    with progress(f"{scorer.configuration.name}: {work.title}", work.steps) as tick:
        return work.run(scorer, tick)


def _work(configuration: Configuration, s: Settings, notes: list[str]) -> dict[str, _Work]:
    """The parts that can be done for a configuration, by name."""
    images = len(configuration.atlas.images)
    words = len(configuration.atlas.concepts)
    counts = measure.image_counts(s.images, images)
    known = tuple(configuration.atlas.manifest.concepts.templates)
    templates = [template for template in s.templates if (template,) != known]
    layers = len(configuration.layers)
    able = {
        "images": (
            len(counts) > 1,
            f"the probe has {images:,} images, and k = {_listed(s.images)} leaves no two numbers "
            "to compare",
        ),
        "halves": (images >= 4, f"the probe has {images} image{'s' * (images != 1)}"),
        "words": (
            0 < round(s.share * words) < words,
            f"{s.share:.0%} of {words:,} concept{'s' * (words != 1)} would be all or none",
        ),
        "prompts": (bool(templates), "the words are embedded in this template already"),
    }
    every = {
        "images": _Work(
            "number of images",
            len(counts),
            counts,
            functools.partial(measure.number_of_images, counts=counts),
        ),
        "bootstrap": _Work(
            "bootstrap",
            0,
            [s.resamples, s.seed],
            functools.partial(measure.bootstrap, resamples=s.resamples, seed=s.seed),
        ),
        "halves": _Work(
            "split halves",
            s.splits,
            [s.splits, s.seed],
            functools.partial(measure.split_halves, splits=s.splits, seed=s.seed),
        ),
        "order": _Work(
            "order of images", layers, s.seed, functools.partial(measure.image_order, seed=s.seed)
        ),
        "words": _Work(
            "subsets of the concepts",
            s.subsets,
            [s.subsets, s.share, s.seed, s.synonyms],
            functools.partial(
                measure.concept_subsets,
                subsets=s.subsets,
                share=s.share,
                seed=s.seed,
                synonyms=s.synonyms,
            ),
        ),
        "prompts": _Work(
            "other prompts",
            0,
            [templates, s.synonyms],
            functools.partial(measure.other_prompts, templates=templates, synonyms=s.synonyms),
        ),
    }
    chosen = {}
    for name, work in every.items():
        possible, why = able.get(name, (True, ""))
        if name in s.parts and possible:
            chosen[name] = work
        elif name in s.parts:
            notes.append(f"{configuration.name}: {work.title} left out: {why}.")
    return chosen


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _frame(configuration: Configuration, columns: measure.Columns) -> pd.DataFrame:
    """Columns per layer as one frame, one row per unit."""
    made = []
    for layer, own in zip(configuration.layers, columns, strict=True):
        units = np.arange(configuration.atlas.layers[layer]["units"], dtype=np.int32)
        made.append(pd.DataFrame({"layer": layer, "unit": units, **own}))
    return pd.concat(made, ignore_index=True)


def _measures(results: pd.DataFrame) -> pd.DataFrame:
    """Means over the units of each layer."""
    rows = []
    columns = [c for c in results if str(c).partition("_")[0] in PARTS and c not in _COUNTS]
    for (name, layer), own in results.groupby(["configuration", "layer"], sort=False):
        for column in columns:
            mean, low, high, units = mean_interval(own[column].to_numpy(float))
            if units:
                part = column.partition("_")[0]
                rows.append((name, layer, part, column, mean, low, high, units))
    heads = ["configuration", "layer", "part", "measure", "mean", "low", "high", "units"]
    return pd.DataFrame(rows, columns=heads)


class _Store:
    """The folder of a study: finished parts by what decided them.

    Raises:
        UsageError: the folder holds something else.
        NeuronymError: it cannot be written to.
    """

    def __init__(self, folder: Path, found: Sequence[Configuration]) -> None:
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise misuse("out", "the folder of a study or a new one", str(folder), "It is a file.")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / HEAD).exists():
            raise misuse(
                "out",
                "the folder of a study or a new one",
                str(folder),
                f"It holds other things, and no {HEAD}.",
            )
        head = {"atlases": sorted({str(c.atlas.folder) for c in found})}
        with storage.atomic_write(folder / HEAD) as file:
            file.write((json.dumps(head, indent=2) + "\n").encode())

    def _path(self, configuration: Configuration, part: str, key: Any) -> Path:
        about = configuration.atlas.manifest
        fingerprint = hashing.of_data(
            [
                _CODE,
                part,
                key,
                about.target.to_data(),
                about.created,
                configuration.facts.to_data(),
                list(configuration.layers),
                dict(configuration.aspects),
            ]
        )
        return self.folder / "parts" / f"{part}-{fingerprint}.parquet"

    def read(self, configuration: Configuration, part: str, key: Any) -> pd.DataFrame | None:
        """A finished part, or None."""
        path = self._path(configuration, part, key)
        try:
            return storage.read_table(path).to_pandas(use_threads=False)
        except (OSError, ValueError):  # absent, or damaged: made again
            return None

    def write(self, configuration: Configuration, part: str, key: Any, frame: pd.DataFrame) -> None:
        """Keep a finished part."""
        with storage.atomic_write(self._path(configuration, part, key)) as file:
            frame.to_parquet(file, index=False)


def _kept(frame: pd.DataFrame) -> list[tuple]:
    """layer, unit, words, scores, reason of every unit, from the table of labels."""
    rows = []
    for (layer, unit), own in frame.groupby(["layer", "unit"], sort=False):
        reason = own["reason"].iloc[0] if own["abstained"].iloc[0] else None
        rows.append((layer, int(unit), list(own["concept"]), own["score"].to_numpy(), reason))
    return rows


def _again(scorer: Scorer) -> list[tuple]:
    """The same, scored again."""
    words, rows = np.array(scorer.context.words, object), []
    for layer, top in zip(scorer.layers, scorer.top(n=max(COUNTS)), strict=True):
        for unit, reason in enumerate(top.reasons):
            rows.append((layer, unit, list(words[top.concepts[unit]]), top.scores[unit], reason))
    return rows
