"""The report of an atlas: which parts apply, and what is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.folders import without_folders
from neuronym._core.progress import Progress, silent
from neuronym._core.tables import Column, Table
from neuronym.analysis.comparison import compare
from neuronym.analysis.evaluation.base import open_context, table
from neuronym.atlas.schema import analysis_id
from neuronym.report import summary
from neuronym.report.comparison_sheet import synonyms
from neuronym.report.document import missing, neurons, sentences
from neuronym.report.document.blocks import (
    Block,
    Bullets,
    Code,
    Commands,
    Document,
    Picture,
    Section,
    Text,
)
from neuronym.report.plots.base import FIGURES, Selection, draw
from neuronym.report.plots.neurons import chosen

_OF_LAYERS = ("scores",)
_OF_LABELS = ("concepts", "ranks", "categories")
_OF_TRUTH = ("accuracy", "correctness")
_PAIRS = 24  # rows of agreement that are shown


class Builder:
    """Puts a report together, and remembers what could not be made.

    Args:
        seen: what the report is about.
        progress: display for long work.
    """

    def __init__(self, seen: Selection, progress: Progress = silent) -> None:
        self.seen, self.progress = seen, progress
        self.drawn: set[str] = set()
        self.left_out: list[str] = []
        self.lead = list(sentences.lead(seen))

    def build(self) -> Document:
        """The document.

        Raises:
            UsageError: a truth that there is not.
        """
        if self.seen.truth is not None:
            self.seen.evaluation()  # refuses a wrong truth before anything is drawn
        parts = (
            ("made", "How it was made", self._made),
            ("layers", "Layer by layer", self._layers),
            ("labels", "What the labels are", self._labels),
            ("truth", "Held against the truth", self._truth),
            ("neurons", "Neurons", self._neurons),
            ("methods", "Methods side by side", self._methods),
            ("caveats", "Before relying on it", self._caveats),
            ("more", "What was not run", self._more),
        )
        found = []
        with self.progress("report", len(parts)) as tick:
            for name, title, blocks in parts:
                made = tuple(blocks())
                found += [Section(name, title, made)] if made else []
                tick.advance(1)
        target = self.seen.atlas.shown.target.name
        title = f"What the neurons of {target} respond to"
        return Document(
            title, tuple(self.lead), tuple(found), tuple(map(without_folders, self.left_out))
        )

    def _made(self) -> Iterator[Block]:
        yield configuration(self.seen)
        given = self.seen.atlas.shown.config or {}
        if given:
            text = json.dumps(given, indent=2, ensure_ascii=False)
            yield Code(
                "The configuration; neuronym dissect --config reads it. Paths are without their "
                "folders, which stand in atlas.json",
                text,
            )

    def _layers(self) -> Iterator[Block]:
        yield layers(self.seen)
        yield from self._figures(_OF_LAYERS)
        yield from self._table("bins")

    def _labels(self) -> Iterator[Block]:
        yield from self._figures(_OF_LABELS)

    def _truth(self) -> Iterator[Block]:
        if self.seen.truth is None:
            return
        accuracy = table("accuracy", self.seen.evaluation(every=True))
        found = list(sentences.right(accuracy, self.seen))
        self.lead += found[:1]
        yield from map(Text, found[1:])
        yield self._of_layers(accuracy)
        yield from self._figures(_OF_TRUTH)
        further = table("correctness", self.seen.evaluation(every=True))
        notes = tuple(note for note in further.notes if note not in accuracy.notes)
        yield replace(self._of_layers(further), notes=notes)

    def _neurons(self) -> Iterator[Block]:
        best, which = neurons.best(self.seen)
        if best.items:
            yield Text(f"{which}, spread over the layers; no label twice in a layer.")
            yield best
        doubtful, why = neurons.doubtful(self.seen)
        if doubtful.items:
            yield Text(f"The labelled neurons to rely on least: {why}.")
            yield doubtful
        found = list(chosen(self.seen))
        if self.seen.truth is not None and found:
            yield Text("Right, wrong, and without a label.")
            yield neurons.examples(self.seen, found)
        items = best.items
        if items and not any(image for one in items for _id, image in one.images):
            self.left_out.append(
                "The images of the neurons: the atlas has no small copies of them."
            )

    def _methods(self) -> Iterator[Block]:
        if len(self.seen.atlas.methods) < 2:
            return
        try:
            yield agreement(self.seen)
        except NeuronymError as error:
            self.left_out.append(f"Agreement of methods: {error}")

    def _caveats(self) -> Iterator[Block]:
        yield Bullets(tuple(sentences.caveats(self.seen, self.drawn)))

    def _more(self) -> Iterator[Block]:
        if self.left_out:
            yield Text("Left out, because the atlas has nothing to show it from:")
            yield Bullets(tuple(map(without_folders, self.left_out)))
        found = tuple(missing.commands(self.seen))
        if found:
            yield Text("These commands would add to the report:")
            yield Commands(found)

    def _figures(self, names: tuple[str, ...]) -> Iterator[Block]:
        for name in names:
            try:
                figure = draw(name, self.seen)
            except NeuronymError as error:
                self.left_out.append(f"{FIGURES[name].summary} {error}")
                continue
            self.drawn.add(name)
            yield Picture(name, " ".join(figure.get_suptitle().split()), figure)

    def _of_layers(self, made: Table) -> Table:
        """A table without the rows of layers that the report leaves out."""
        if set(self.seen.layers) == set(self.seen.atlas.labelled_layers(self.seen.method)):
            return made
        rows = tuple(row for row in made.rows if row["layer"] in self.seen.layers)
        return replace(made, rows=rows, totals=0)

    def _table(self, name: str) -> Iterator[Block]:
        evaluation = open_context(self.seen.atlas, [self.seen.method], context=self.seen.sources)
        try:
            made = self._of_layers(table(name, evaluation))
            yield replace(made, columns=tuple(c for c in made.columns if c.name != "method"))
        except (NeuronymError, UsageError) as error:
            self.left_out.append(f"The table {name}: {error}")


def configuration(seen: Selection) -> Table:
    """What went in, with fingerprints."""
    manifest = seen.atlas.shown
    target, probe = manifest.target, manifest.probe
    words, encoder = manifest.concepts, manifest.encoder
    facts: Any = manifest.methods.get(seen.method, {})
    weights = "" if target["pretrained"] else ", random weights"
    rows: list[tuple[str, str, Any]] = [
        ("network", f"{target['name']}{weights}", target["fingerprint"]),
        *(("input", words, None) for words in [summary.network_input(seen.atlas)] if words),
        *(("pooling", words, None) for words in [summary.pooling(seen.atlas)] if words),
        ("images", f"{probe['name']}, {probe['images']:,} images", probe["fingerprint"]),
        (
            "words",
            f"{words['name']}, {words['count']:,} words, as {', '.join(words['templates'])}",
            words["fingerprint"],
        ),
        ("image–text model", encoder["name"], encoder["fingerprint"]),
    ]
    if not summary.embeds(seen.atlas, seen.method):
        del rows[2:]  # the method has not read them
    rows += [
        ("labels", f"{seen.method}: {facts.get('with_defaults') or facts.get('method', '')}", None),
    ]
    keys = [analysis_id(name, seen.method) for name in seen.atlas.analyses(seen.method)]
    if keys:
        specs = [str(manifest.analyses[key]["spec"]) for key in keys]
        rows.append(("analyses", ", ".join(specs), None))
    if seen.truth is not None:
        rows.append(("truth", without_folders(seen.truth), None))
    rows.append(("made", f"{manifest.created} by neuronym {manifest.neuronym}", None))
    columns = (Column("what"), Column("which"), Column("fingerprint"))
    records = tuple(
        {"what": what, "which": which, "fingerprint": mark} for what, which, mark in rows
    )
    note = "A fingerprint is a hash of content: of weights, images, words."
    return Table("configuration", "What went in", columns, records, (note,))


def layers(seen: Selection) -> Table:
    """One row per layer: counts and medians."""
    found = [
        row
        for row in summary.facts(seen.atlas, seen.method)["layers"]
        if row["layer"] in seen.layers
    ]
    columns = [
        Column("layer"),
        Column("units", "neurons", "count"),
        Column("labelled", kind="count"),
        Column("abstained", kind="count"),
        Column("confident", "confidence ≥ 50 %", "count"),
        Column("by_chance", "score no higher than by chance", "count"),
        Column("median_score", kind="number", digits=3),
        Column("distinct_labels", "different labels", "count"),
        Column("median_stability", kind="percent"),
        Column("median_confidence", kind="percent"),
    ]
    there = [column for column in columns if any(column.name in row for row in found)]
    notes = ["Median score: of the labelled neurons."]
    medians = [c.name.partition("_")[2] for c in there if c.kind == "percent"]
    notes += [f"Median {' and '.join(medians)}: of all neurons examined."] if medians else []
    title = "Neurons and labels per layer"
    return Table("layers", title, tuple(there), tuple(found), tuple(notes))


def agreement(seen: Selection) -> Table:
    """How often two methods give the same first label.

    Raises:
        NeuronymError: the methods have no layer in common.
    """
    found = compare(seen.atlas)
    rows = found.agreement[found.agreement["layer"].isin(seen.layers)]
    if rows.empty:
        raise NeuronymError("The methods have labelled no layer in common.")
    columns = (
        Column("layer"),
        Column("a", "one method"),
        Column("b", "another"),
        Column("units", "neurons that both label", "count"),
        Column("same", "same first label", "percent"),
        Column("same_synonyms", "same or synonym", "percent"),
    )
    notes = [synonyms(found)]
    if len(rows) > _PAIRS:
        notes.append(f"{_PAIRS} of {len(rows)} pairs; `neuronym compare` shows all.")
    records = tuple(rows.head(_PAIRS).to_dict("records"))
    return Table("agreement", "Where methods agree", columns, records, tuple(notes))
