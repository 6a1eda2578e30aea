"""A stability study in sentences and tables: on the terminal, and as files in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from neuronym._core.folders import without_folders
from neuronym._core.storage import atomic_write
from neuronym._core.tables import Column, Table, print_table, to_csv, to_markdown
from neuronym._core.terminal import console, printable
from neuronym.analysis.stability.configurations import short
from neuronym.analysis.stability.study import HEAD, Study
from neuronym.atlas.reader import open_atlas
from neuronym.report import stability_figures
from neuronym.report.figures import save

WARNING = (
    "This published score compares a vector's top 5 with itself: the labels at k = 5, 10 and 16 "
    "all come from one vector of scores, so their first five are the same by construction, and "
    "only ties among the scores can break it. Near 100 % says nothing about how stable labels are."
)
INTERVALS = (
    "In brackets: 95 % intervals over the neurons of a layer. They do not cover the choice of the "
    "images, which all neurons share."
)
#: Part → (title, columns of the measures with their headings, what a reader has to know).
_PARTS: dict[str, tuple[str, dict[str, str], str]] = {
    "bootstrap": (
        "The images drawn again (bootstrap)",
        {
            "bootstrap_same": "same first label",
            "bootstrap_jaccard": "overlap of the first five",
            "bootstrap_covered": "covered by its set",
        },
        "Same first label: the share of resamples of the probe in which a neuron keeps its first "
        "label. Its set: the fewest labels that come first in 90 % of the resamples.",
    ),
    "halves": (
        "One half of the images against the other",
        {
            "halves_same": "same first label",
            "halves_jaccard": "overlap of the first five",
            "halves_rbo": "rank-biased overlap",
        },
        "The probe is split at random, both halves label every neuron, and the labels are "
        "compared: means over the splits. What is in one image only cannot be found in both.",
    ),
    "order": (
        "The images in another order",
        {"order_same": "same first label"},
        "The order of the images must not matter: everything but 100 % would be a fault.",
    ),
    "words": (
        "Random parts of the concept set",
        {
            "words_kept": "label there: kept",
            "words_next": "label gone: next label",
            "words_synonyms": "label gone: synonym",
        },
        "Kept: of the parts that hold a neuron's label, the share in which it comes first again. "
        "Of those without it: the share in which the best of its other labels moves up, and in "
        "which a synonym takes its place.",
    ),
    "prompts": (
        "Other prompt templates",
        {
            "prompts_same": "same first label",
            "prompts_synonyms": "same or synonym",
            "prompts_jaccard": "overlap of the first five",
            "prompts_rbo": "rank-biased overlap",
        },
        "The words are embedded in other templates than the atlas's.",
    ),
}
_MANY = 12  # rows of pairs from which on their means come first
_PUBLISHED = (
    Column("units", "neurons", "count"),
    Column("abstained", kind="count"),
    Column("score_5_10", "stability 5/10", "percent"),
    Column("score_5_16", "stability 5/16", "percent"),
)
_IMAGES = {
    "same": "Same first label from k images as from the most",
    "jaccard": "Overlap (Jaccard) of the first five",
    "rbo": "Rank-biased overlap (p = 0.9)",
}


def tables(study: Study) -> list[Table]:
    """Every table of the report: the published score first, real stability after it."""
    return [published(study), *_images(study), *_parts(study), *_pairs(study)]


def published(study: Study) -> Table:
    """The published-like table: configuration × layer × scores."""
    columns, rows = (*_place(study), *_PUBLISHED), tuple(study.scores.to_dict("records"))
    return Table("stability", "The published stability score", columns, rows, (WARNING,))


def _place(study: Study) -> tuple[Column, ...]:
    """The columns that say what a row is about."""
    several = len(study.configurations) > 1
    return (*([Column("configuration")] if several else []), Column("layer"))


def _images(study: Study) -> list[Table]:
    rows = study.measures[study.measures["part"] == "images"]
    if rows.empty:
        return []
    split = rows["measure"].str.extract(r"images_(\d+)_(\w+)")
    rows = rows.assign(k=split[0].astype(int), kind=split[1])
    counts, found = sorted(rows["k"].unique()), []
    for kind, title in _IMAGES.items():
        own = rows[rows["kind"] == kind]
        columns = [_share(f"images_{k}_{kind}", f"k = {k}") for k in counts]
        note = (
            "The similarity itself sees only each neuron's k highest images; compared with the "
            f"largest k, {_largest(study)}. Neurons that abstain at either k are left out."
        )
        notes = (note, INTERVALS) if kind == "same" else ()
        columns = [*_place(study), *columns]
        found.append(Table(f"images-{kind}", title, tuple(columns), _wide(own), notes))
    return found


def _largest(study: Study) -> str:
    """The largest numbers of images that the probes have."""
    images = study.configurations["images"].fillna(0)
    largest = sorted({max((k for k in study.settings.images if k <= n), default=0) for n in images})
    return " or ".join(str(k) for k in largest if k)


def _parts(study: Study) -> list[Table]:
    found = []
    for part, (title, headings, note) in _PARTS.items():
        rows = study.measures[study.measures["part"] == part]
        there = [name for name in headings if name in set(rows["measure"])]
        if there:
            columns = [*_place(study), *(_share(name, headings[name]) for name in there)]
            if part == "bootstrap" and "bootstrap_size" in study.results:
                columns.append(Column("size", "labels in its set", "number", 1))
                groups = study.results.groupby(["configuration", "layer"], sort=False)
                sizes = groups["bootstrap_size"].mean().to_dict()
                wide: tuple[Mapping[str, Any], ...] = tuple(
                    {**row, "size": sizes[row["configuration"], row["layer"]]}
                    for row in _wide(rows)
                )
            else:
                wide = _wide(rows)
            found.append(Table(part, title, tuple(columns), wide, (note,)))
    return found


def _pairs(study: Study) -> list[Table]:
    if study.pairs.empty:
        return []
    columns = (
        Column("differs"),
        Column("a"),
        Column("b"),
        Column("layer"),
        Column("units", "neurons", "count"),
        _share("same", "same first label"),
        _share("synonyms", "same or synonym"),
        _share("jaccard", "overlap of the first five"),
        _share("rbo", "rank-biased overlap"),
        Column("possible", "label in both lists", "percent"),
    )
    note = (
        "Pairs of configurations that differ in one thing only, over the neurons that both label. "
        "Label in both lists: the share of neurons whose first labels are concepts of both."
    )
    rows = tuple(study.pairs.to_dict("records"))
    every = Table("pairs", "What one change does", columns, rows, (note,))
    return [every] if len(rows) <= _MANY else [_pairs_in_short(study, note), every]


def _pairs_in_short(study: Study, note: str) -> Table:
    """Means over all pairs that differ in the same thing."""
    names = ["same", "synonyms", "jaccard", "rbo", "possible"]
    groups = study.pairs.groupby(["differs", "layer"], sort=False)
    means = groups[names].mean().reset_index()
    means["pairs"] = groups.size().to_numpy()
    means["least"], means["most"] = groups["same"].min().values, groups["same"].max().values
    columns = (
        Column("differs"),
        Column("layer"),
        Column("pairs", kind="count"),
        Column("same", "same first label", "percent"),
        Column("least", kind="percent"),
        Column("most", kind="percent"),
        Column("synonyms", "same or synonym", "percent"),
        Column("jaccard", "overlap of the first five", "percent"),
        Column("rbo", "rank-biased overlap", "percent"),
        Column("possible", "label in both lists", "percent"),
    )
    title = "What one change does: means over pairs of configurations"
    return Table(
        "pairs-short",
        title,
        columns,
        tuple(means.to_dict("records")),
        (f"{note} Least and most: of the shares with the same first label.",),
    )


def _share(name: str, heading: str) -> Column:
    return Column(name, heading, "percent", interval=(f"{name}_low", f"{name}_high"))


def _wide(rows: pd.DataFrame) -> tuple[Mapping[str, Any], ...]:
    """One row per configuration and layer, a value and two ends for every measure."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows.itertuples():
        key = (row.configuration, row.layer)
        own = found.setdefault(key, {"configuration": row.configuration, "layer": row.layer})
        own |= {
            row.measure: row.mean,
            f"{row.measure}_low": row.low,
            f"{row.measure}_high": row.high,
        }
    return tuple(found.values())


def print_study(study: Study) -> None:
    """The report in short."""
    out = console()
    out.print(printable(f"Stability of the labels of {study.target[0]}"), style="bold")
    out.print()
    found = {table.name: table for table in tables(study)}
    longer = {"images-jaccard", "images-rbo"} | ({"pairs"} if "pairs-short" in found else set())
    shown = [table for name, table in found.items() if name not in longer]
    for table in shown:
        print_table(table, out)
        out.print()
    for note in study.notes:
        out.print(printable(note), style="dim")


def write(study: Study, folder: Path) -> list[Path]:
    """Write frames, figures and `report.md`; returns what was written, the report first.

    Raises:
        NeuronymError: a file cannot be written.
    """
    frames = {
        "results": study.results,
        "scores": study.scores,
        "measures": study.measures,
        "pairs": study.pairs,
        "pair_units": study.pair_units,
    }
    made = [_frame(frame, folder / f"{name}.csv") for name, frame in frames.items()]
    made += [_frame(frames[name], folder / f"{name}.parquet") for name in ("results", "pair_units")]
    atlases = {
        row.configuration: open_atlas(row.atlas) for row in study.configurations.itertuples()
    }
    figures = stability_figures.draw_all(study, atlases)
    for name, figure in figures.items():
        for ending in (".png", ".svg"):
            made.append(folder / f"{name}{ending}")
            save(figure, made[-1])
    with atomic_write(folder / HEAD) as file:
        file.write((json.dumps(to_json(study), indent=2, default=str) + "\n").encode())
    with atomic_write(folder / "report.md") as file:
        file.write(report(study, list(figures)).encode())
    return [folder / "report.md", folder / HEAD, *made]


def write_several(studies: Sequence[Study], folder: Path, failures: Sequence[str] = ()) -> Table:
    """Write the reports of several studies, and the published table over all of them.

    Args:
        failures: what could not be studied and why, a sentence each.
    """
    for study in studies:
        write(study, Path(str(study.folder)))
    several, rows = len(studies) > 1, []
    for study in studies:
        rows += [{"target": study.target[0], **row} for row in study.scores.to_dict("records")]
    columns = (
        *([Column("target")] if several else []),
        Column("configuration"),
        Column("layer"),
        *_PUBLISHED,
    )
    notes = [WARNING, *failures]
    table = Table("stability", "The published stability score", columns, tuple(rows), tuple(notes))
    for ending, text in ((".md", to_markdown), (".csv", to_csv)):
        with atomic_write(folder / f"table{ending}") as file:
            file.write(text(table).encode())
    return table


def _frame(frame: pd.DataFrame, path: Path) -> Path:
    """A frame as a file; in CSV lists are JSON."""
    with atomic_write(path) as file:
        if path.suffix == ".parquet":
            frame.to_parquet(file, index=False)
        else:
            plain = frame.copy()
            for column in [c for c in plain if str(c).startswith("labels_")]:
                plain[column] = [
                    json.dumps(words, ensure_ascii=False) if isinstance(words, list) else None
                    for words in plain[column]
                ]
            file.write(plain.to_csv(index=False).encode())
    return path


def to_json(study: Study) -> dict[str, Any]:
    """Everything but the rows of single units, as plain data."""
    return {
        "target": {"name": study.target[0], "fingerprint": study.target[1]},
        "settings": asdict(study.settings),
        "atlases": sorted(set(without_folders(study.configurations["atlas"].tolist()))),
        **{
            name: without_folders(getattr(study, name).to_dict("records"))
            for name in ("configurations", "scores", "measures", "pairs")
        },
        "notes": list(study.notes),
        "warning": WARNING,
    }


def report(study: Study, figures: Sequence[str] = ()) -> str:
    """The report as Markdown."""
    found = {table.name: table for table in tables(study)}
    lines = [f"# Stability of the labels of {study.target[0]}", "", *_head(study), ""]
    lines += ["## The published score", "", WARNING, ""]
    lines += [to_markdown(_without_notes(found.pop("stability"))), *_picture(figures, "scores")]
    lines += ["## Real stability", "", INTERVALS, ""]
    for name, table in found.items():
        lines += [to_markdown(table)]
        lines += _picture(figures, "images") if name == "images-same" else []
    lines += ["## Which neurons", ""]
    if len(study.configurations) > stability_figures.PANELS and figures:
        lines += [f"The figures show the first {stability_figures.PANELS} configurations.", ""]
    for name in ("against-score", "against-depth", "distribution", "neurons"):
        lines += _picture(figures, name)
    lines += _extremes(study)
    if study.notes:
        lines += ["## What was left out", "", *(f"- {note}" for note in study.notes), ""]
    return "\n".join(lines)


def _without_notes(table: Table) -> Table:
    return Table(table.name, table.title, table.columns, table.rows)


def _picture(figures: Sequence[str], name: str) -> list[str]:
    return [f"![{name}]({name}.png)", ""] if name in figures else []


def _head(study: Study) -> list[str]:
    """Configuration and fingerprints."""
    s = study.settings
    lines = [f"Target `{study.target[0]}`, fingerprint `{study.target[1]}`.", ""]
    for row in study.configurations.to_dict("records"):
        images, words = f"{row['images']:,} images", f"{row['words']:,} words"
        lines.append(
            f"- **{row['configuration']}**: {images} of `{short(row['probe'])}` "
            f"(`{row['probe_fingerprint']}`), {words} of `{short(row['concepts'])}` "
            f"(`{row['concepts_fingerprint']}`) in {_listed(row['templates'])}, encoder "
            f"`{row['encoder']}` (`{row['encoder_fingerprint']}`), `{row['with_defaults']}`, "
            f"labels `{row['method']}`."
        )
    lines += [
        "",
        f"Measured: {', '.join(s.parts)}. Seed {s.seed}, {s.resamples} resamples, {s.splits} "
        f"splits, {s.subsets} subsets of {s.share:.0%} of the concepts, templates "
        f"{_listed(s.templates)}.",
    ]
    return lines


def _listed(templates: Sequence[str]) -> str:
    return ", ".join(f"`{template}`" for template in templates)


def _extremes(study: Study) -> list[str]:
    """The most and the least stable neurons in words."""
    key = stability_figures.key_measure(study.results)
    if key is None:
        return []
    columns = (
        Column("neuron"),
        Column("label"),
        Column("score", kind="number", digits=3),
        Column(key, "stability", "percent"),
    )
    lines = []
    for title, rows in zip(("most", "least"), stability_figures.ranked(study, key, 8), strict=True):
        records = tuple(
            row | {"neuron": f"{row['layer']}:{row['unit']}"} for row in rows.to_dict("records")
        )
        lines.append(
            to_markdown(
                Table(
                    title,
                    f"The {title} stable neurons",
                    columns,
                    records,
                    (f"Stability: {stability_figures.KEYS[key]}.",),
                )
            )
        )
    return lines
