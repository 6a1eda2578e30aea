"""Each unit's labels held against what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neuronym._core.errors import NeuronymError
from neuronym._core.words import fold
from neuronym.analysis.evaluation.base import EvaluationContext
from neuronym.analysis.matching import Vocabulary, threshold_text, vocabulary

if TYPE_CHECKING:
    import pandas as pd


#: Labels per unit that are looked at.
DEPTH = 5


def judge(evaluation: EvaluationContext) -> tuple[list[pd.DataFrame], list[str]]:
    """One row for each unit whose truth is known, by method; and what to say about it.

    All labels are judged, whether or not their units beat chance.

    Args:
        evaluation: with a truth.

    Returns:
        Per method a frame with `layer`; `unit`; `interpretable`: whether the truth is a word;
        `rank`: of the first right label among the first five, 0 if there is none; `score`: of the
        first label, NaN if there is none; `labelled`, `abstained`, `significant`: see
        `EvaluationContext.first`.

    Raises:
        NeuronymError: no unit of the labelled layers has a known truth.
    """
    truth = evaluation.known.frame
    sure = truth[truth["status"] != "unsure"]
    labels = {}
    for method in evaluation.methods:
        frame = evaluation.atlas.labels(method=method, trust=False)
        labels[method] = frame[(frame["rank"] <= DEPTH) & ~frame["abstained"]]
    words = _vocabulary(evaluation, sure, labels)
    frames = []
    for method in evaluation.methods:
        here = sure[sure["layer"].isin(evaluation.layers(method))]
        frame = here[["layer", "unit"]].reset_index(drop=True)
        frame["interpretable"] = (here["status"] != "non-interpretable").to_numpy()
        frame["rank"] = _ranks(here, labels[method], words, evaluation.match)
        first = evaluation.first(method).drop(columns="concept")
        frames.append(frame.merge(first, "left", ["layer", "unit"]))
    if not any(map(len, frames)):
        raise NeuronymError(
            f"{evaluation.known.source} says nothing about the labelled layers of "
            f"{evaluation.atlas.folder}."
        )
    notes = [*evaluation.known.notes, _match_note(evaluation, words)]
    notes += _unnamed_note(evaluation, sure)
    unsure = len(truth) - len(sure)
    if unsure:
        notes.append(f"Left out: {unsure:,} units of which the truth is unsure.")
    return frames, notes


def _vocabulary(evaluation: EvaluationContext, truth: pd.DataFrame, labels: dict) -> Vocabulary:
    words = dict.fromkeys(word for names in truth["labels"] for word in names)
    words |= dict.fromkeys(word for frame in labels.values() for word in frame["concept"].unique())
    if evaluation.match != "synonyms":
        return Vocabulary(words)
    return vocabulary(evaluation.atlas, words, evaluation.synonyms, evaluation.embed)


def _ranks(truth: pd.DataFrame, labels: pd.DataFrame, words: Vocabulary, match: str) -> np.ndarray:
    """The rank of the first right label of each row of `truth`; 0 for none."""
    place = {key: row for row, key in enumerate(zip(truth["layer"], truth["unit"], strict=True))}
    rows = [place.get(key, -1) for key in zip(labels["layer"], labels["unit"], strict=True)]
    known = np.array(rows, np.int64) >= 0
    given = np.full((len(truth), DEPTH), -1)
    given[np.array(rows, np.int64)[known], labels["rank"].to_numpy()[known] - 1] = words.numbers(
        labels["concept"].to_numpy()[known]
    )
    right = np.full((len(truth), max(map(len, truth["labels"]), default=0)), -1)
    for row, names in enumerate(truth["labels"]):
        right[row, : len(names)] = words.numbers(names)
    hits = np.any(words.pairs(given, right, match), axis=2)
    return np.where(hits.any(1), hits.argmax(1) + 1, 0) if len(truth) else np.zeros(0, np.int64)


def _match_note(evaluation: EvaluationContext, words: Vocabulary) -> str:
    if evaluation.match == "synonyms":
        how = threshold_text(words, evaluation.synonyms is None)
        return f"A label is right if it is a synonym. {how}"
    same = "A label is right if it is the same word but for case and underscores"
    return same + (", or its singular or plural." if evaluation.match == "lemma" else ".")


def _unnamed_note(evaluation: EvaluationContext, truth: pd.DataFrame) -> list[str]:
    """How many units no method that chooses among the concepts can name."""
    concepts = {fold(word) for word in evaluation.atlas.concepts["concept"]}
    words = [names for names in truth["labels"] if names]
    out = sum(concepts.isdisjoint(map(fold, names)) for names in words)
    return [
        f"The truth of {out:,} of {len(words):,} units is no concept of the atlas: a method that "
        "chooses among the concepts cannot name it exactly."
    ] * bool(out)
