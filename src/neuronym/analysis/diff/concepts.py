"""Concepts that two atlases have different numbers of neurons for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from neuronym._core.intervals import wilson
from neuronym._core.words import fold, lemma
from neuronym.analysis.trust.held_out import discoveries
from neuronym.atlas.reader import Atlas

COLUMNS = [
    "concept",
    "a",
    "a_low",
    "a_high",
    "b",
    "b_low",
    "b_high",
    "p",
    "q",
    "change",
    "a_depth",
    "b_depth",
    "a_sure",
    "b_sure",
]


def depths(atlas: Atlas) -> dict[str, float]:
    """Layer → how deep it lies among the atlas's layers, 0 (the first) to 1 (the last)."""
    last = max(1, len(atlas.layers) - 1)
    return {layer: place / last for place, layer in enumerate(atlas.layers)}


def key(word: str) -> str:
    """What is the same for words that are one: case, spaces, singular and plural do not count."""
    return lemma(fold(word))


def concepts(a: Atlas, b: Atlas, methods: tuple[str, str], fdr: float = 0.05) -> pd.DataFrame:
    """Compare for how many units each concept is the first label.

    That b of the n units of a concept are those of the second atlas has, if nothing changed, the
    binomial distribution of n draws with the share of labelled units that are the second atlas's:
    the p-value is twice the smaller tail, and q by Benjamini and Hochberg over all concepts that
    both atlases could give.

    Returns:
        concept (as it is written most often), a and b (numbers of units) with the ends of 95 %
        intervals (Wilson's, of the shares of the labelled units), p, q, change (gained, lost, more,
        fewer, or empty), a_depth and b_depth (mean relative depth), a_sure and b_sure (sums of
        confidence: how many of the labels one expects to be right; NaN where it is unknown). The
        surest changes come first. A concept that one of the atlases has not in its list has no p.
    """
    from scipy import stats

    sides = [_counts(atlas, method) for atlas, method in zip((a, b), methods, strict=True)]
    names = {**sides[1][1], **sides[0][1]}
    counts = [side[0].reindex(list(names)) for side in sides]
    known = [_known(atlas, method) for atlas, method in zip((a, b), methods, strict=True)]
    found = pd.DataFrame({"key": list(names), "concept": list(names.values())})
    totals = [int(side["units"].sum()) for side in counts]
    for name, side, total in zip("ab", counts, totals, strict=True):
        units = side["units"].fillna(0).to_numpy(np.int64)
        ends = {n: wilson(n, total) for n in set(units.tolist())}
        found[name] = units
        found[f"{name}_low"] = [total * ends[n][0] for n in units.tolist()]
        found[f"{name}_high"] = [total * ends[n][1] for n in units.tolist()]
        found[f"{name}_depth"] = side["depth"].to_numpy()
        found[f"{name}_sure"] = side["sure"].to_numpy()
    both = found["key"].isin(known[0] & known[1]).to_numpy()
    n, hits = (found["a"] + found["b"]).to_numpy(), found["b"].to_numpy()
    share = totals[1] / max(1, sum(totals))
    p = 2 * np.minimum(stats.binom.cdf(hits, n, share), stats.binom.sf(hits - 1, n, share))
    found["p"] = np.where(both & (min(totals) > 0), np.minimum(1, p), np.nan)
    found["q"] = discoveries(found["p"].to_numpy())
    rise = hits > n * share
    what = np.where(
        rise,
        np.where(found["a"] == 0, "gained", "more"),
        np.where(found["b"] == 0, "lost", "fewer"),
    )
    found["change"] = np.where(found["q"] <= fdr, what, "")
    found = found.assign(_apart=-np.abs(hits - n * share)).sort_values(
        ["p", "_apart", "key"], kind="stable"
    )
    return found[COLUMNS].reset_index(drop=True)


def _counts(atlas: Atlas, method: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Per key: units, mean depth, sum of confidence; and how the key is written most often."""
    labels = atlas.first_labels(method=method, abstaining=False)
    labels = labels[labels["concept"].notna()]
    confidence = labels.get("confidence", np.nan)
    frame = pd.DataFrame(
        {
            "key": [key(word) for word in labels["concept"]],
            "word": labels["concept"].to_numpy(),
            "depth": labels["layer"].map(depths(atlas)).to_numpy(np.float64),
            "sure": confidence,
        }
    )
    grouped = frame.groupby("key")
    counts = pd.DataFrame(
        {
            "units": grouped.size(),
            "depth": grouped["depth"].mean(),
            "sure": grouped["sure"].sum(min_count=1),
        }
    )
    words = frame.groupby(["key", "word"]).size().reset_index(name="n")
    words = words.sort_values(["n", "word"], ascending=[False, True]).drop_duplicates("key")
    return counts, dict(zip(words["key"], words["word"], strict=True))


def _known(atlas: Atlas, method: str) -> set[str]:
    """The keys of the words that a method could have given."""
    words = set(atlas.concepts["concept"]) if not atlas.imported else set()
    words |= set(atlas.labels(method=method, trust=False)["concept"].dropna())
    return {key(word) for word in words}
