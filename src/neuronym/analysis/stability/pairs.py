"""Configurations that differ in one thing only, unit by unit: what that thing decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Int64

from neuronym._core.errors import NeuronymError
from neuronym._core.words import fold
from neuronym.analysis.matching import Vocabulary, vocabulary
from neuronym.analysis.stability.configurations import Configuration, differences
from neuronym.analysis.stability.measures import jaccard, mean_interval, rbo, same_first

COLUMNS = ("same", "synonyms", "jaccard", "rbo")


def pairs(
    found: Sequence[Configuration], synonyms: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Compare all pairs that differ in exactly one aspect.

    Args:
        found: configurations of one target.
        synonyms: see `matching.vocabulary`.

    Returns:
        Per unit: differs, a, b, layer, unit, label_a, label_b, `same`, `synonyms`, `jaccard`,
        `rbo`, `possible` (whether both labels are concepts of both). Per layer: their means with
        intervals. And sentences about the pairs that were not compared.
    """
    units, mixed = [], []
    for a, b in combinations(found, 2):
        differ = differences(a, b)
        if len(differ) == 1:
            units.append(_pair(a, b, differ[0], synonyms))
        else:
            mixed.append((a, b, differ))
    frame = pd.concat(units, ignore_index=True) if units else pd.DataFrame(columns=_UNIT)
    return frame, _layers(frame), _notes(mixed)


_UNIT = ["differs", "a", "b", "layer", "unit", "label_a", "label_b", *COLUMNS, "possible"]
_LAYER = [
    "differs",
    "a",
    "b",
    "layer",
    "units",
    "possible",
    *(f"{name}{end}" for name in COLUMNS for end in ("", "_low", "_high")),
]


def _pair(a: Configuration, b: Configuration, differs: str, synonyms: float | None) -> pd.DataFrame:
    tables = [c.atlas.labels(method=c.method, trust=False) for c in (a, b)]
    tables = [table[~table["abstained"]] for table in tables]
    words = list(dict.fromkeys([*tables[0]["concept"], *tables[1]["concept"]]))
    same = _vocabulary(a, b, words, synonyms)
    folded: dict[str, int] = {}
    number = {word: folded.setdefault(fold(word), len(folded)) for word in words}
    lists = [{fold(word) for word in c.atlas.concepts["concept"]} for c in (a, b)]
    shared = lists[0] & lists[1]
    made = []
    for layer in a.layers:
        if layer not in b.layers:
            continue
        units = a.atlas.layers[layer]["units"]
        left, right = (_ranking(table, layer, units, number) for table in tables)
        firsts = [_firsts(table, layer, units) for table in tables]
        both = (left[:, 0] >= 0) & (right[:, 0] >= 0)
        alike = same.pairs(*(same.numbers(own)[:, None] for own in firsts), "synonyms")[:, 0, 0]
        possible = [
            x is not None and y is not None and fold(x) in shared and fold(y) in shared
            for x, y in zip(*firsts, strict=True)
        ]
        columns = {
            "layer": layer,
            "unit": np.arange(units, dtype=np.int32),
            "label_a": firsts[0],
            "label_b": firsts[1],
            "same": same_first(left, right),
            "synonyms": np.where(both, alike, np.nan),
            "jaccard": jaccard(left, right),
            "rbo": rbo(left, right),
            "possible": np.where(both, possible, np.nan),
        }
        made.append(pd.DataFrame({"differs": differs, "a": a.name, "b": b.name} | columns))
    return pd.concat(made, ignore_index=True) if made else pd.DataFrame(columns=_UNIT)


def _vocabulary(
    a: Configuration, b: Configuration, words: Sequence[str], synonyms: float | None
) -> Vocabulary:
    """Which words are the same; words of b alone have embeddings if b was embedded like a."""

    def embed(strange: Sequence[str]) -> np.ndarray:
        rows = {word: row for row, word in enumerate(b.atlas.concepts["concept"])}
        return np.asarray(b.atlas.embeddings()["concepts"])[[rows[word] for word in strange]]

    alike = all(a.aspects[aspect] == b.aspects[aspect] for aspect in ("encoder", "templates"))
    try:
        return vocabulary(a.atlas, words, synonyms, embed if alike else None)
    except (NeuronymError, KeyError):  # b has no embeddings
        return vocabulary(a.atlas, words, synonyms)


def _ranking(
    table: pd.DataFrame, layer: str, units: int, number: dict[str, int]
) -> Int64[np.ndarray, "unit depth"]:
    """The numbers of a layer's labels, −1 for none; words that fold to the same count once."""
    own = table[table["layer"] == layer].sort_values(["unit", "rank"])
    own = own.assign(word=own["concept"].map(number)).drop_duplicates(["unit", "word"])
    place = own.groupby("unit").cumcount()
    found = np.full((units, int(place.max() + 1) if len(own) else 1), -1, np.int64)
    found[own["unit"], place] = own["word"]
    return found


def _firsts(table: pd.DataFrame, layer: str, units: int) -> list[str | None]:
    own = table[(table["layer"] == layer) & (table["rank"] == 1)]
    known = dict(zip(own["unit"], own["concept"], strict=True))
    return [known.get(unit) for unit in range(units)]


def _layers(frame: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for key, own in frame.groupby(["differs", "a", "b", "layer"], sort=False):
        row = dict(zip(_LAYER[:4], key, strict=True))
        for name in COLUMNS:
            values = own[name].to_numpy(float)
            mean, row[f"{name}_low"], row[f"{name}_high"], row["units"] = mean_interval(values)
            row[name] = mean
        row["possible"] = mean_interval(own["possible"].to_numpy(float))[0]
        rows.append(row)
    return pd.DataFrame(rows, columns=_LAYER)


def _notes(mixed: list[tuple[Configuration, Configuration, list[str]]]) -> list[str]:
    """What was not compared: pairs that differ in several things, and in none."""
    same = [(a.name, b.name) for a, b, differ in mixed if not differ]
    kinds = Counter(_listed(differ) for _, _, differ in mixed if differ)
    notes = [f"{a} and {b} differ in nothing and were not compared." for a, b in same]
    if kinds:
        listed = "; ".join(f"{count:,} in {what}" for what, count in kinds.items())
        notes.append(
            f"Pairs of configurations that differ in several things were not compared: {listed}."
        )
    return notes


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
