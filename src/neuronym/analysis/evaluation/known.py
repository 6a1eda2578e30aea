"""Neurons whose class is known: how well their labels name it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from neuronym._core.errors import MissingExtraError, NeuronymError
from neuronym._core.progress import Ticker
from neuronym._core.tables import Column, Table
from neuronym._core.words import fold
from neuronym.analysis.evaluation.base import TABLES, EvaluationContext, StudyTable, heading
from neuronym.analysis.evaluation.curves import auc
from neuronym.analysis.rescoring import Scorer, scorer
from neuronym.atlas.context import LabelContext
from neuronym.inputs.encoders.sentences import minilm

if TYPE_CHECKING:
    import pandas as pd

    from neuronym.inputs.encoders.sentences import Sentences


_WORDS = 1000  # scored at once
_NOTES = (
    "Top-1, top-5: the class's own name, but for case and underscores, among the first labels. "
    "Top-1 of concepts, and the rank of the class among all concepts, are over the units whose "
    "class is a concept. AUC: the chance "
    "that a unit whose first label is right has a higher score than one whose is wrong, ties half.",
    "Cosine of the first label with the class's name: under the atlas's encoder, and under the "
    "sentence model all-MiniLM-L6-v2.",
)


@TABLES.register("known")
@dataclass(frozen=True)
class Known(StudyTable):
    """Output neurons: top-1, top-5, rank of the right class, AUC, closeness of label and class.

    The rank counts the concepts that score higher than the right one, by scoring all of them
    again. AUC is that of the papers on CLIP-Dissect: over neurons, of the first label's score
    against its being right.

    Reference: Oikarinen and Weng, CLIP-Dissect, ICLR 2023, arXiv 2204.10965.
    """

    name: ClassVar[str] = "known"
    needs: ClassVar[tuple[str, ...]] = ("truth",)

    def make(self, evaluation: EvaluationContext) -> Table:
        """Score the right classes again."""
        truth = evaluation.known.frame
        truth = truth[truth["labels"].map(bool).astype(bool)]
        context = LabelContext(evaluation.atlas, **evaluation.context)
        rows, notes = [], [*evaluation.known.notes, *_NOTES]
        closeness = Closeness(context, truth)
        for method in evaluation.methods:
            for layer in evaluation.layers(method):
                units = truth[truth["layer"] == layer]
                if len(units):
                    row, note = _row(context, method, layer, units, closeness)
                    rows.append({"layer": layer, "method": method} | row)
                    notes += [note] if note and note not in notes else []
        if not rows:
            raise NeuronymError(f"{evaluation.known.source} names no unit of the labelled layers.")
        columns = (
            Column("layer"),
            Column("method"),
            Column("units", "", "count"),
            Column("named", "class is a concept", "count"),
            Column("top1", "top-1", "percent"),
            Column("top5", "top-5", "percent"),
            Column("top1_named", "top-1 of concepts", "percent"),
            Column("mean_rank", "mean rank", "number", 1),
            Column("median_rank", "median rank", "number", 1),
            Column("auc", "AUC", "number", 3),
            Column("cosine", "cosine (encoder)", "number", 3),
            Column("cosine_sentences", "cosine (sentences)", "number", 3),
        )
        notes += closeness.notes
        title = heading(evaluation.atlas, "Known neurons")
        return Table(self.name, title, columns, tuple(rows), tuple(notes))


class Closeness:
    """Cosines of labels with the names of their units' classes.

    Args:
        context: of the atlas.
        truth: all known units: layer, unit, labels.

    Attributes:
        notes: what could not be had, in sentences.
    """

    def __init__(self, context: LabelContext, truth: pd.DataFrame) -> None:
        self._context, self.notes = context, list[str]()
        self._names = {
            (row.layer, row.unit): row.labels[0] for row in truth.itertuples()
        }  # the first is the class's whole name

    def of(self, first: pd.DataFrame) -> dict[str, float | None]:
        """Mean cosines of first labels (layer, unit, concept) with the classes' names.

        Returns:
            `cosine` and `cosine_sentences`; None where a model is not at hand.
        """
        labels = list(first["concept"])
        names = [self._names[key] for key in zip(first["layer"], first["unit"], strict=True)]
        found: dict[str, float | None] = {}
        for key, embed in (("cosine", self._encoded), ("cosine_sentences", self._sentences)):
            words = list(dict.fromkeys([*labels, *names]))
            vectors = embed(tuple(words)) if words else None
            row = {word: place for place, word in enumerate(words)}
            found[key] = (
                None
                if vectors is None
                else float(
                    np.mean(
                        [
                            vectors[row[a]] @ vectors[row[b]]
                            for a, b in zip(labels, names, strict=True)
                        ]
                    )
                )
            )
        return found

    def _encoded(self, words: tuple[str, ...]) -> np.ndarray | None:
        """By the atlas's encoder: concepts as they were embedded, others by opening it."""
        rows = self._context.row_of_word
        strange = [word for word in words if word not in rows]
        try:
            vectors = np.asarray(self._context.text_embeddings)
            new = self._context.sources.embed_words(strange) if strange else vectors[:0]
        except NeuronymError as error:
            self._note(f"No cosine under the encoder: {error}")
            return None
        places = {word: len(vectors) + place for place, word in enumerate(strange)}
        return np.concatenate([vectors, new])[[(rows | places)[word] for word in words]]

    def _sentences(self, words: tuple[str, ...]) -> np.ndarray | None:
        try:
            model = _sentence_model()
        except MissingExtraError as error:
            self._note(f"No cosine under a sentence model: {error}")
            return None
        vectors = model.encode(words).numpy()
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _row(
    context: LabelContext, method: str, layer: str, truth: pd.DataFrame, closeness: Closeness
) -> tuple[dict[str, Any], str]:
    labels = context.atlas.labels(layer, method=method, trust=False)
    labels = labels[~labels["abstained"]]
    names = {u: {fold(n) for n in t} for u, t in zip(truth["unit"], truth["labels"], strict=True)}
    given = zip(labels["unit"], labels["concept"], strict=True)
    right = np.array([fold(concept) in names.get(unit, ()) for unit, concept in given], bool)
    kept, depth = labels[right].groupby("unit")["rank"].min(), labels["rank"].max()
    # Where all units abstain there is no deepest label.
    ranks, note = _ranks(context, method, layer, names, kept, int(depth) if len(labels) else 0)
    first = labels[(labels["rank"] == 1) & labels["unit"].isin(names)]
    places = np.array([kept.get(unit, np.inf) for unit in truth["unit"]])
    hits = np.array([kept.get(unit, 0) == 1 for unit in first["unit"]], bool)
    known = np.array([r for r in ranks.values() if r is not None])
    named = np.array([unit in ranks for unit in truth["unit"]])
    return {
        "units": len(truth),
        "named": len(ranks),
        "top1": float((places <= 1).mean()),
        "top5": float((places <= 5).mean()),
        "top1_named": float((places[named] <= 1).mean()) if named.any() else None,
        "mean_rank": float(known.mean()) if len(known) else None,
        "median_rank": float(np.median(known)) if len(known) else None,
        "auc": auc(first["score"].to_numpy(float), hits),
        **closeness.of(first),
    }, note


def _ranks(
    context: LabelContext,
    method: str,
    layer: str,
    names: dict[int, set[str]],
    kept: pd.Series,
    depth: int,
) -> tuple[dict[int, float | None], str]:
    """unit → the rank of its class, for classes that are concepts; and what to say of it.

    Args:
        kept: unit → rank of its class among the labels that were kept, where it is there.
        depth: labels that were kept per unit.
    """
    rows: dict[str, list[int]] = {}
    for word, row in context.row_of_word.items():
        rows.setdefault(fold(word), []).append(row)
    right = {u: [r for name in sorted(ns) for r in rows.get(name, [])] for u, ns in names.items()}
    right = {unit: found for unit, found in right.items() if found}
    if not right:
        return {}, "No class is a concept of the atlas: there are no ranks."
    score = scorer(context, method, layer)
    if score is None:
        if set(right) <= set(kept.index):
            return {unit: float(kept[unit]) for unit in right}, ""
        return dict.fromkeys(right), (
            f"{method} does not score all concepts: ranks are given only where every class is "
            "among the labels that were kept."
        )
    with context.progress(f"ranks of the classes in {layer}", 2 * len(context.words)) as tick:
        above = _count_above(score, right, len(context.words), tick)
    # What was kept was ranked when it was made; scoring again differs in the last digits.
    return {
        unit: float(kept[unit]) if unit in kept.index else max(count + 1.0, depth + 1.0)
        for unit, count in above.items()
    }, ""


def _count_above(
    score: Scorer, right: dict[int, list[int]], words: int, tick: Ticker
) -> dict[int, int]:
    """Per active unit how many concepts come before the best of its right ones.

    Of equal scores the earlier concept comes first, as among the labels.
    """
    units = np.array(sorted(right))
    best, first = np.full(len(units), -np.inf), np.zeros(len(units), np.int64)
    above = np.zeros(len(units), np.int64)
    for counting in (False, True):  # first what the right ones score, then what lies above
        for low in range(0, words, _WORDS):
            block = np.arange(low, min(low + _WORDS, words))
            own = [[r - low for r in right[unit] if low <= r <= block[-1]] for unit in units]
            tick.advance(len(block), instant=not counting and not any(own))
            if not counting and not any(own):
                continue
            scores = score(block)[units]
            for place, mine in enumerate(own):
                for row in mine:
                    if not counting and scores[place, row] > best[place]:
                        best[place], first[place] = scores[place, row], low + row
                scores[place, mine] = -np.inf  # no right concept is above another
            if counting:
                tied = (scores == best[:, None]) & (block < first[:, None])
                above += ((scores > best[:, None]) | tied).sum(1)
    active = np.isfinite(best)
    return {int(u): int(n) for u, n, alive in zip(units, above, active, strict=True) if alive}


@functools.cache
def _sentence_model() -> Sentences:
    return minilm()
