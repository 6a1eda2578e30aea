"""How many units are interpretable, by the score of their first label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float, Int64

from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.registry import number
from neuronym._core.tables import Column, Table
from neuronym.analysis.evaluation.base import TABLES, EvaluationContext, StudyTable, groups, heading
from neuronym.analysis.rescoring import own_similarity
from neuronym.atlas import schema
from neuronym.atlas.schema import Facts
from neuronym.similarity.wpmi import SoftWpmi

if TYPE_CHECKING:
    import pandas as pd

    from neuronym.atlas.reader import Atlas


BINS = ("high", "medium", "low", "none", "unlabelled")
#: Of the study that this table is known from: the lowest scores of high, medium and low.
STUDY = (0.3, 0.2, 0.1)
#: Elsewhere: the highest p-values of high, medium and low, that is, the quantiles 99.9 %, 99 % and
#: 95 % of what the same search finds for random sets of images.
CHANCE = (0.001, 0.01, 0.05)
_ENCODERS = ("open-clip:ViT-B-16/openai", "hf:openai/clip-vit-base-patch16")
_WORDS = (15_000, 25_000)  # the study's 20,000, cleaned by whatever rule


def binned(
    scores: Float[np.ndarray, " unit"], edges: Sequence[float]
) -> Int64[np.ndarray, " unit"]:
    """The place in `BINS` of each score: at an edge the higher bin; NaN is unlabelled.

    Args:
        scores: float32 as labels have them: edges are rounded in the same way, so that a score
            written as 0.7 is not below the edge 0.7.
        edges: the lowest scores of high, medium and low, descending.

    >>> binned(np.float32([0.3, 0.29, 0.2, 0.1, 0.09, -1, np.nan]), STUDY).tolist()
    [0, 1, 1, 2, 3, 3, 4]
    """
    ascending = np.asarray(edges[::-1], np.float32)
    found = len(edges) - np.searchsorted(ascending, np.asarray(scores, np.float32), side="right")
    return np.where(np.isnan(scores), len(edges) + 1, found)


@TABLES.register(
    "bins", syntax="bins[:high=…,medium=…,low=…]", example="bins:high=0.5,medium=0.4,low=0.3"
)
@dataclass(frozen=True)
class Bins(StudyTable):
    """Units of high, medium, low and no interpretability per layer, by the first label's score.

    Scores of different encoders and similarities are on different scales. Without edges the bins
    are those of the study (0.3, 0.2, 0.1) where labels were made as there: CLIP ViT-B/16,
    soft-wpmi with a = 10, 20,000 words. Elsewhere they follow from chance: p-values of at most
    0.001, 0.01 and 0.05 of the analysis `significance`.

    Args:
        high, medium, low: the lowest scores of these bins; all three or none.
    """

    name: ClassVar[str] = "bins"

    high: float | None = number(None, low=-1e6)
    medium: float | None = number(None, low=-1e6)
    low: float | None = number(None, low=-1e6)

    def __post_init__(self) -> None:
        super().__post_init__()
        edges = [self.high, self.medium, self.low]
        given = [edge for edge in edges if edge is not None]
        if given and (len(given) < 3 or not given[0] > given[1] > given[2]):
            raise misuse(
                "bins",
                "have three edges, high > medium > low",
                edges,
                "Write bins:high=0.5,medium=0.4,low=0.3.",
            )

    def make(self, evaluation: EvaluationContext) -> Table:
        """Count."""
        frames, lacking, kinds = [], [], dict[str, str]()
        for method in evaluation.methods:
            how, frame = self._binned(evaluation.atlas, method)
            lacking += [] if how else [method]
            kinds |= {method: how} if how else {}
            frames.append(frame)
        if not kinds:
            facts = evaluation.atlas.manifest.methods
            able = [m for m in lacking if facts[m].get("labeller") == "clip-dissect"]
            remedy = "Give edges: bins:high=0.5,medium=0.4,low=0.3."
            if able:
                run = f"neuronym trust {evaluation.atlas.name} significance --method {able[0]}"
                remedy = f"Run `{run}`, or give{remedy.removeprefix('Give')}"
            raise NeuronymError(
                f"The study's bins do not fit the scores of {', '.join(lacking)}, and no analysis "
                f"says what chance gives. {remedy}"
            )
        rows = [
            key | _row(frame) | self._edges(evaluation.atlas, kinds[key["method"]], **key)
            for key, frame in groups(evaluation, frames)
        ]
        columns = (
            Column("layer"),
            Column("method"),
            *(Column(name, "", "count") for name in BINS),
            Column("total", "", "count"),
            Column("high_share", "high", "percent"),
            Column("beats_chance", "beats chance", "percent"),
            *(Column(f"{name}_from", f"{name} from", "number", 2) for name in BINS[:3]),
        )
        notes = [
            self._note(kind) for kind in ("edges", "study", "chance") if kind in kinds.values()
        ]
        notes += [f"Left out, since nothing says what chance gives: {', '.join(lacking)}."] * bool(
            lacking
        )
        totals = sum(row["layer"] == "all" for row in rows)
        title = heading(evaluation.atlas, "Interpretability")
        return Table(self.name, title, columns, tuple(rows), tuple(notes), totals)

    def _binned(self, atlas: Atlas, method: str) -> tuple[str, pd.DataFrame]:
        """What the bins follow from (empty: nothing), and layer, unit, bin, beats per unit."""
        first = atlas.first_labels(method=method, trust=False)
        frame = first[["layer", "unit", "score"]].copy()
        scores = frame["score"].to_numpy(np.float32)
        frame["beats"] = np.nan
        p = np.full(len(frame), np.nan)
        if "significance" in atlas.analyses(method):
            found = atlas.trust("significance", method=method)
            frame = frame.merge(found[["layer", "unit", "p", "reason"]], "left", ["layer", "unit"])
            p = frame["p"].to_numpy(float)
            frame["beats"] = np.where(np.isnan(scores), 0.0, frame["reason"].isna())
        if self.high is not None and self.medium is not None and self.low is not None:
            frame["bin"] = binned(scores, (self.high, self.medium, self.low))
            return "edges", frame
        if as_in_the_study(atlas, method):
            frame["bin"] = binned(scores, STUDY)
            return "study", frame
        if "significance" in atlas.analyses(method):
            frame["bin"] = np.where(np.isnan(scores), 4, np.searchsorted(CHANCE, p, side="left"))
            return "chance", frame
        return "", frame.iloc[:0].assign(bin=0)

    def _edges(self, atlas: Atlas, kind: str, layer: str, method: str) -> dict[str, Any]:
        """From which scores on the bins of a row begin; by chance each layer has its own."""
        edges: Sequence[float | None] = (self.high, self.medium, self.low)
        if kind == "study":
            edges = STUDY
        elif kind == "chance":
            facts = atlas.manifest.analyses[schema.analysis_id("significance", method)]
            of_layer = facts.get("chance", {}).get(layer, {}).get("quantiles", {})
            edges = [of_layer.get(f"{100 * (1 - p):g}") for p in CHANCE]
        return {f"{name}_from": edge for name, edge in zip(BINS, edges, strict=False)}

    def _note(self, kind: str) -> str:
        end = " Unlabelled: units without a score. A unit is in exactly one bin."
        if kind == "chance":
            return (
                "Bins by chance: high, medium and low are units whose best score is reached by at "
                "most 0.1 %, 1 % and 5 % of what the same search finds for random images "
                "(p-values of the analysis significance; from: the quantiles); none: the others."
                + end
            )
        edges = STUDY if kind == "study" else (self.high, self.medium, self.low)
        high, medium, low = (f"{edge:g}" for edge in edges)
        why = " (the study's: CLIP ViT-B/16, soft-wpmi, a = 10, 20,000 words)"
        return (
            f"Bins by the first label's score{why if kind == 'study' else ''}: high ≥ {high}, "
            f"medium ≥ {medium}, low ≥ {low}, none below." + end
        )


def _row(units: pd.DataFrame) -> dict[str, Any]:
    counts = np.bincount(units["bin"], minlength=len(BINS))
    row: dict[str, Any] = dict(zip(BINS, counts.tolist(), strict=True)) | {"total": len(units)}
    row["high_share"] = row["high"] / len(units)
    known = units["beats"].dropna()
    return row | {"beats_chance": float(known.mean()) if len(known) else None}


def as_in_the_study(atlas: Atlas, method: str) -> bool:
    """Whether scores are on the scale for which the study's bins were chosen.

    Imported `clip-search` files, which are the study's own form, are taken to be.
    """
    facts: Facts | dict[str, Any] = atlas.manifest.methods.get(method, {})
    if facts.get("format") == "clip-search":
        return True
    similarity = own_similarity(atlas, method)
    return (
        isinstance(similarity, SoftWpmi)
        and (similarity.a, similarity.lam, similarity.prior) == (10, 1, "layer")
        and atlas.manifest.encoder.name in _ENCODERS
        and _WORDS[0] <= (atlas.manifest.concepts.count or 0) <= _WORDS[1]
    )
