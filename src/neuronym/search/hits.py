"""What a search found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class Hits:
    """What a search found.

    Attributes:
        query: what was looked for.
        units: one row per unit, best first. Of a word: layer, unit, rank (missing where a score
            is below those of all kept labels), concept, score, found (`label`, `image` or `score`),
            matched (the label, annotation or part of a path), images (how many of the unit's
            exemplars match). Of a picture or unit: see `by_picture`.
        known: whether the word is in the concept set.
        suggestions: concepts spelled like it, where it is not.
        related: concepts that mean nearly the same (nearest text embeddings), where the word is not
            in the concept set or no label matches it.
        note: what a reader has to know, or "".
        hidden: how many units were left out because their labels do no better than chance.
    """

    query: str
    units: pd.DataFrame
    known: bool = True
    suggestions: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    note: str = ""
    hidden: int = 0
    top: int = 20

    @property
    def layers(self) -> pd.DataFrame:
        """layer, units (how many were found), best (of what units are sorted by).

        Of the units that were scored anew those count for which the word would be one of the first
        `top` labels. Those that only their images match have no score of the word.
        """
        counted = self.units
        by = next(name for name in ("likeness", "deviation", "score") if name in counted)
        values = counted[by].to_numpy(np.float64)
        if "found" in counted:
            values = np.where(counted["found"] == "image", np.nan, values)
            there = (counted["found"] != "score") | counted["rank"].le(self.top).fillna(False)
            counted, values = counted[there], values[there.to_numpy(bool)]
        codes, names = pd.factorize(counted["layer"])
        best = np.full(len(names), np.nan)
        np.fmax.at(best, codes, values)
        units = np.bincount(codes, minlength=len(names))
        return pd.DataFrame({"layer": names, "units": units, "best": best})
