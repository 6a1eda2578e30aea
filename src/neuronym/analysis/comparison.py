"""Labelling methods side by side: where they agree, where they abstain, where they contradict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.words import fold
from neuronym.analysis.families import families_of
from neuronym.analysis.matching import Embed, Vocabulary, vocabulary
from neuronym.atlas.reader import Atlas, first_of, opened

DEPTH = 5  # labels per unit that "within the first five" looks at
_SHARES = ("same", "a_in_b", "b_in_a", "jaccard")
_WAYS = {"exact": "", "lemma": "_lemma", "synonyms": "_synonyms"}
_FAMILY = ("same_family", "chance", "chance_family")
_COLUMNS = [*(f"{name}{ending}" for ending in _WAYS.values() for name in _SHARES), *_FAMILY]
_CONTRADICTIONS = [
    "layer",
    "unit",
    "a",
    "b",
    "a_label",
    "b_label",
    "a_score",
    "b_score",
    "confidence",
]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Methods of one atlas, pair by pair. Shares are of the units that both methods label.

    Attributes:
        atlas: its folder.
        target: the network's name.
        words: all labels, and which of them are the same.
        chosen: whether the threshold of synonyms follows from the words, not from the caller.
        agreement: layer, a, b, units; the share of the units with the same first label (`same`),
            with a's first label among b's first five (`a_in_b`), the reverse (`b_in_a`), and the
            mean overlap of the first five (`jaccard`); the four again with singular and plural
            the same (`same_lemma`, …), and up to synonyms (`same_synonyms`, …). The share whose
            first labels are of one family (`same_family`), and what both would be on average if
            one method's labels were permuted over these units (`chance`, `chance_family`).
        methods: method, layers, units, labelled, abstained, seconds.
        abstentions: layer, method, units, labelled, abstained.
        disagreements: layer, unit, a, b, a_label, b_label, a_score, b_score, confidence: units
            whose first labels differ, also up to synonyms. Confidence: the smaller of the two
            scores' places among the first scores of its method in the layer, from 0 to 1.
    """

    atlas: str
    target: str
    words: Vocabulary
    chosen: bool
    agreement: pd.DataFrame
    methods: pd.DataFrame
    abstentions: pd.DataFrame
    disagreements: pd.DataFrame


def compare(
    atlas: Atlas | str | Path,
    methods: Sequence[str] | None = None,
    *,
    synonyms: float | None = None,
    embed: Embed | None = None,
    most: int = 5,
) -> Comparison:
    """Compare the labels of several methods, unit by unit.

    Which labels are the same, and which are synonyms, is said by `matching`.

    Args:
        atlas: with labels of two methods at least, or its folder.
        methods: method-ids. None: all.
        synonyms: the threshold. None: that which 1 in 10,000 pairs of concepts reach, because how
            alike two texts are for an encoder depends on the encoder.
        embed: words → unit vectors `[word, dim]`, for labels that are no concepts of the atlas;
            for example `Sources(atlas).embed_words`. None: such labels have no synonyms.
        most: disagreements listed per layer and pair.

    Raises:
        UsageError: fewer than two methods, an unknown one, another atlas in their place, or a
            threshold that is no cosine.
    """
    if isinstance(methods, Atlas | str | Path):
        raise misuse(
            "methods",
            "a list of method-ids of one atlas",
            Verbatim(methods.folder if isinstance(methods, Atlas) else methods),
            "Two atlases are compared by `neuronym.diff(a, b)`.",
        )
    atlas = opened(atlas)
    names = _checked(atlas, methods)
    labels = {name: _Labels(atlas, name) for name in names}
    same = vocabulary(
        atlas, (word for name in names for word in labels[name].words), synonyms, embed
    )
    families = families_of(atlas)
    heads = np.unique([families.of(word) for word in same.words], return_inverse=True)[1]
    facts: Mapping[str, Any] = atlas.manifest.methods
    baseline = {name: facts.get(name, {}).get("baseline", False) for name in names}
    agreement, disagreements = [], []
    for layer in atlas.layers:
        for a, b in combinations(names, 2):
            if layer in labels[a].layers and layer in labels[b].layers:
                left, right = labels[a].top(layer, same), labels[b].top(layer, same)
                pair = {"layer": layer, "a": a, "b": b}
                shares = _agreement(left.words, right.words, same)
                shares |= _families(left.words[:, 0], right.words[:, 0], same, heads)
                agreement.append(pair | shares)
                if baseline[a] or baseline[b]:
                    continue  # their scores mean nothing
                disagreements += [pair | row for row in _contradictions(left, right, same, most)]
    coverage = pd.concat([labels[name].coverage() for name in names], ignore_index=True)
    order = {layer: place for place, layer in enumerate(atlas.layers)}
    abstentions = coverage.sort_values("layer", key=lambda c: c.map(order), kind="stable")
    sums = coverage.groupby("method", sort=False)
    totals = sums[["units", "labelled", "abstained"]].sum().reset_index()
    totals.insert(1, "layers", sums.size().to_numpy())
    totals["settings"] = [facts.get(name, {}).get("method", name) for name in totals["method"]]
    totals["seconds"] = [
        float(facts.get(name, {}).get("seconds", np.nan)) for name in totals["method"]
    ]
    return Comparison(
        str(atlas.folder),
        atlas.manifest.target.name,
        same,
        synonyms is None,
        pd.DataFrame(agreement, columns=["layer", "a", "b", "units", *_COLUMNS]),
        totals,
        abstentions.reset_index(drop=True),
        pd.DataFrame(disagreements, columns=_CONTRADICTIONS),
    )


def _checked(atlas: Atlas, methods: Sequence[str] | None) -> list[str]:
    names = list(dict.fromkeys(map(atlas.method, atlas.methods if methods is None else methods)))
    if len(names) < 2:
        raise misuse(
            "methods",
            "at least two methods of the atlas",
            Verbatim(", ".join(names)),
            "Add another one with `neuronym label ATLAS --method M`.",
        )
    return names


class _Labels:
    """The first labels of one method."""

    def __init__(self, atlas: Atlas, method: str) -> None:
        frame = atlas.labels(method=method)
        self.method = method
        self._first = first_of(frame)
        self._frame = frame[(frame["rank"] <= DEPTH) & ~frame["abstained"]]
        self._units = {layer: atlas.layers[layer]["units"] for layer in frame["layer"].unique()}
        self.words, self.layers = self._frame["concept"].unique(), set(self._units)

    def top(self, layer: str, same: Vocabulary) -> _Top:
        """The labels of one layer."""
        frame = self._frame[self._frame["layer"] == layer]
        words = np.full((self._units[layer], DEPTH), -1)
        words[frame["unit"], frame["rank"] - 1] = frame["concept"].map(same.number)
        scores = np.full(len(words), np.nan)
        first = first_of(frame)
        scores[first["unit"]] = first["score"]
        return _Top(words, scores)

    def coverage(self) -> pd.DataFrame:
        """Units labelled and abstaining per layer."""
        found = self._first.groupby("layer", sort=False)["abstained"].agg(
            units="size", abstained="sum"
        )
        found = found.reset_index().assign(method=self.method)
        found["labelled"] = found["units"] - found["abstained"]
        return found[["layer", "method", "units", "labelled", "abstained"]]


@dataclass(frozen=True, eq=False)
class _Top:
    """Numbers of words `[unit, DEPTH]`, −1 for none; scores at rank 1 `[unit]`, NaN for none."""

    words: Int64[np.ndarray, "unit depth"]
    scores: Float[np.ndarray, " unit"]

    @property
    def confidence(self) -> Float[np.ndarray, " unit"]:
        """Each score's place among all; NaN where all are equal: they say nothing of confidence."""
        if np.nanmin(self.scores, initial=np.inf) >= np.nanmax(self.scores, initial=-np.inf):
            return np.full(len(self.scores), np.nan)
        return pd.Series(self.scores).rank(pct=True).to_numpy()


def _agreement(a: np.ndarray, b: np.ndarray, same: Vocabulary) -> dict[str, float]:
    both = (a[:, 0] >= 0) & (b[:, 0] >= 0)
    found: dict[str, float] = {"units": int(both.sum())}
    a, b = a[both], b[both]
    for how, ending in _WAYS.items():
        pairs = same.pairs(a, b, how)
        # With synonyms one word may have several partners: the mean of both sides is shared.
        shared = (pairs.any(2).sum(1) + pairs.any(1).sum(1)) / 2
        size = (a >= 0).sum(1) + (b >= 0).sum(1) - shared
        values = (pairs[:, 0, 0], pairs[:, 0].any(1), pairs[:, :, 0].any(1), shared / size)
        found |= {
            f"{name}{ending}": float(value.mean()) if len(a) else np.nan
            for name, value in zip(_SHARES, values, strict=True)
        }
    return found


def _families(
    a: Int64[np.ndarray, " unit"],
    b: Int64[np.ndarray, " unit"],
    same: Vocabulary,
    heads: Int64[np.ndarray, " word"],
) -> dict[str, float]:
    """The same first label by family, and by chance: over all ways to pair the units' labels."""
    both = (a >= 0) & (b >= 0)
    if not both.any():
        return dict.fromkeys(_FAMILY, np.nan)
    a, b = a[both], b[both]
    pairs = same.pairs(a[:, None], b[:, None], "exact")[:, 0, 0]
    found = {"same_family": float((pairs | (heads[a] == heads[b])).mean())}
    keys = {"chance": np.unique([fold(w) for w in same.words], return_inverse=True)[1]}
    keys["chance_family"] = heads
    for name, key in keys.items():
        counts = (np.bincount(key[side], minlength=len(key)) / len(side) for side in (a, b))
        found[name] = float(np.dot(*counts))
    return found


def _contradictions(a: _Top, b: _Top, same: Vocabulary, most: int) -> list[dict[str, object]]:
    """The units on which both methods are most confident, and give different labels."""
    confidence = np.minimum(a.confidence, b.confidence)
    confidence[same.pairs(a.words[:, :1], b.words[:, :1], "synonyms")[:, 0, 0]] = np.nan
    order = np.argsort(-confidence, kind="stable")[:most]
    return [
        {
            "unit": int(unit),
            "a_label": same.words[a.words[unit, 0]],
            "b_label": same.words[b.words[unit, 0]],
            "a_score": float(a.scores[unit]),
            "b_score": float(b.scores[unit]),
            "confidence": float(confidence[unit]),
        }
        for unit in order
        if np.isfinite(confidence[unit])
    ]
