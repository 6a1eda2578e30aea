"""Whether higher scores mean righter labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from neuronym._core.registry import number, whole
from neuronym._core.tables import Column, Table
from neuronym.analysis.evaluation.base import TABLES, EvaluationContext, StudyTable, groups, heading
from neuronym.analysis.evaluation.curves import auc, auprc, precision_at, threshold
from neuronym.analysis.evaluation.judging import DEPTH, judge

if TYPE_CHECKING:
    import pandas as pd


_MEANS = (
    ("top1", "top-1"),
    ("top3", "top-3"),
    ("top5", "top-5"),
    ("wrong", "wrong or non-int."),
    ("all", ""),
)


@TABLES.register(
    "correctness", syntax="correctness[:precision=…,top=…]", example="correctness:precision=0.9"
)
@dataclass(frozen=True)
class Correctness(StudyTable):
    """Mean score of right and wrong labels, and how well the score tells them apart.

    Means of the first label's score over the units with a right label among the first 1, 3, 5;
    over the wrong or non-interpretable ones; over all. AUC: the chance that a right unit scores
    higher than a wrong one, ties half. AUPRC: Σ (R_t − R_{t−1})·P_t. Both, and the threshold,
    count a unit as right if a right label is among its first `top`; units without a score are
    left out. Labels count whether or not their units
    beat chance: how far the score tells them apart is what is asked here.

    Args:
        precision: what share of the units above the threshold shall be right.
        top: labels among which the right one must be, 1 to 5.
    """

    name: ClassVar[str] = "correctness"
    needs: ClassVar[tuple[str, ...]] = ("truth",)

    precision: float = number(0.9, low=0, high=1)
    top: int = whole(1, low=1, high=DEPTH)

    def make(self, evaluation: EvaluationContext) -> Table:
        """Average."""
        frames, notes = judge(evaluation)
        rows = [key | self._row(frame) for key, frame in groups(evaluation, frames)]
        wished = f"{self.precision:.0%}".replace("%", " %")
        columns = (
            Column("layer"),
            Column("method"),
            *(Column(f"mean_{name}", text or name, "number", 3) for name, text in _MEANS),
            Column("right", "right", "percent"),
            Column("auc", "AUC", "number", 3),
            Column("auprc", "AUPRC", "number", 3),
            Column("threshold", f"score for {wished}", "number", 3),
            Column("above", "units above it", "count"),
        )
        among = "first label is" if self.top == 1 else f"first {self.top} labels hold a"
        about = (
            "Means of the first label's score: over units with a right label among the first n, "
            "over those with none among the first five or non-interpretable, over all. "
            f"For the other columns a unit is right if its {among} right; AUC is the chance that a "
            "right one scores higher than a wrong one (ties half); the score is the lowest with "
            f"{wished} right among the units that reach it.",
        )
        totals = sum(row["layer"] == "all" for row in rows)
        title = heading(evaluation.atlas, "Score and correctness")
        return Table(self.name, title, columns, tuple(rows), (*notes, *about), totals)

    def _row(self, units: pd.DataFrame) -> dict[str, Any]:
        scores, ranks = units["score"].to_numpy(float), units["rank"].to_numpy()
        right = {n: (ranks >= 1) & (ranks <= n) for n in (1, 3, 5)}
        parts = {f"top{n}": hits for n, hits in right.items()} | {
            "wrong": ~right[5],
            "all": np.ones(len(ranks), bool),
        }
        row: dict[str, Any] = {f"mean_{name}": _mean(scores[hits]) for name, hits in parts.items()}
        there = np.isfinite(scores)
        hits, scores = ((ranks >= 1) & (ranks <= self.top))[there], scores[there]
        limit, above = threshold(scores, hits, self.precision)
        return row | {
            "right": float(hits.mean()) if len(hits) else None,
            "auc": auc(scores, hits),
            "auprc": auprc(scores, hits),
            "threshold": limit,
            "above": above,
        }


def _mean(scores: np.ndarray) -> float | None:
    scores = scores[np.isfinite(scores)]
    return float(scores.mean()) if len(scores) else None


@TABLES.register("curve", syntax="curve[:steps=…,top=…]", example="curve:steps=10")
@dataclass(frozen=True)
class Curve(StudyTable):
    """Accuracy against score: of the units with the highest scores, how many are right.

    Args:
        steps: points, at equal shares of the units.
        top: labels among which the right one must be, 1 to 5.
    """

    name: ClassVar[str] = "curve"
    needs: ClassVar[tuple[str, ...]] = ("truth",)

    steps: int = whole(10, low=1)
    top: int = whole(1, low=1, high=DEPTH)

    def make(self, evaluation: EvaluationContext) -> Table:
        """Sort by score and count."""
        frames, notes = judge(evaluation)
        rows = []
        for key, frame in groups(evaluation, frames):
            frame = frame[np.isfinite(frame["score"])]
            right = frame["rank"].between(1, self.top).to_numpy()
            found, count, precise = precision_at(frame["score"].to_numpy(float), right)
            # Units of equal score come together: the first threshold that so many reach.
            wanted = np.arange(1, self.steps + 1) * len(frame) / self.steps
            for at in np.unique(np.searchsorted(count, wanted - 1e-9)) if len(found) else ():
                rows.append(
                    key
                    | {
                        "score": float(found[at]),
                        "units": int(count[at]),
                        "share": count[at] / len(frame),
                        "accuracy": float(precise[at]),
                    }
                )
        columns = (
            Column("layer"),
            Column("method"),
            Column("score", "score ≥", "number", 3),
            Column("units", "", "count"),
            Column("share", "of all", "percent"),
            Column("accuracy", "right", "percent"),
        )
        title = heading(evaluation.atlas, f"Accuracy (top-{self.top}) of the highest scores")
        return Table(self.name, title, columns, tuple(rows), tuple(notes))
