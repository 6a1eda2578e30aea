"""The published protocol: labels at k = 5, 10 and 16 of one score vector, compared with itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from neuronym.analysis.stability.configurations import Configuration
from neuronym.analysis.stability.scoring import Scorer

COUNTS = (5, 10, 16)


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


def _kept(frame: pd.DataFrame) -> list[tuple]:
    """layer, unit, words, scores, reason of every unit, from the table of labels."""
    rows = []
    for (layer, unit), own in frame.groupby(["layer", "unit"], sort=False):
        reason = own["reason"].iloc[0] if own["abstained"].iloc[0] else None
        rows.append((layer, int(unit), list(own["concept"]), own["score"].to_numpy(), reason))
    return rows


def _again(scorer: Scorer) -> list[tuple]:
    """The same, scored again."""
    words, rows = np.array(scorer.material.words, object), []
    for layer, top in zip(scorer.layers, scorer.top(n=max(COUNTS)), strict=True):
        for unit, reason in enumerate(top.reasons):
            rows.append((layer, unit, list(words[top.concepts[unit]]), top.scores[unit], reason))
    return rows


def scores(results: pd.DataFrame) -> pd.DataFrame:
    """Share of True per configuration and layer, of the units that have labels."""
    groups = results.groupby(["configuration", "layer"], sort=False)
    found = groups["abstained"].agg(units="size", abstained="sum").reset_index()
    for column in ("stability_5_10", "stability_5_16"):
        found[column.replace("stability", "score")] = groups[column].mean().astype(float).to_numpy()
    return found
