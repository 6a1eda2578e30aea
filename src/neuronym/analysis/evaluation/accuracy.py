"""How many units get the right label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from neuronym._core.intervals import wilson
from neuronym._core.tables import Column, Table
from neuronym.analysis.evaluation.base import TABLES, EvaluationContext, StudyTable, groups, heading
from neuronym.analysis.evaluation.judging import judge

if TYPE_CHECKING:
    import pandas as pd


_COUNTS = (
    ("top1", "top-1"),
    ("top3", "top-3"),
    ("top5", "top-5"),
    ("incorrect", ""),
    ("non_interpretable", "non-interpretable"),
    ("total", ""),
    ("abstained", ""),
    ("significant", "beat chance"),
    ("top1_significant", "top-1 that beat chance"),
)
_SHARES = (
    ("top1_share", "top-1"),
    ("top5_share", "top-5"),
    ("top5_labelled", "top-5 of those with a label"),
    ("top1_of_significant", "top-1 of those that beat chance"),
)
_NOTES = (
    "top-n: units with a right label among the first n, whether or not the unit beats chance; "
    "incorrect: interpretable units without one among the first five, which includes those that "
    "the method gives no label; non-interpretable: by the truth; abstained: units that stand "
    "without a label in summaries and on pages. Shares are of the interpretable units, with 95 % "
    "Wilson intervals; the last two of those that have a label, and of those that beat chance.",
)
_CHANCE = "Beat chance: by the analysis significance of the method; – where it was not run."


@TABLES.register("accuracy")
@dataclass(frozen=True)
class Accuracy(StudyTable):
    """Top-1, top-3 and top-5 accuracy per layer and method, against a truth.

    Of the units whose truth is known: `top1`, `top3`, `top5` have a right label among the first
    1, 3, 5; `incorrect` are interpretable and have none among the first five; so top5 + incorrect
    + non_interpretable = total. All labels count. Those of units that beat chance are counted
    once more, in columns of their own: `significant` of the units beat chance, and
    `top1_significant` of these have a right first label.
    """

    name: ClassVar[str] = "accuracy"
    needs: ClassVar[tuple[str, ...]] = ("truth",)

    def make(self, evaluation: EvaluationContext) -> Table:
        """Count."""
        frames, notes = judge(evaluation)
        rows = [key | _row(frame) for key, frame in groups(evaluation, frames)]
        columns = (
            Column("layer"),
            Column("method"),
            *(Column(name, text, "count") for name, text in _COUNTS),
            *(
                Column(name, text, "percent", interval=(f"{name}_low", f"{name}_high"))
                for name, text in _SHARES
            ),
        )
        totals = sum(row["layer"] == "all" for row in rows)
        title = heading(evaluation.atlas, "Accuracy")
        return Table(self.name, title, columns, tuple(rows), (*notes, *_NOTES, _CHANCE), totals)


def _row(units: pd.DataFrame) -> dict[str, Any]:
    some = units[units["interpretable"]]
    top = {n: int(some["rank"].between(1, n).sum()) for n in (1, 3, 5)}
    labelled = int(some["labelled"].sum())
    row: dict[str, Any] = {f"top{n}": count for n, count in top.items()} | {
        "incorrect": len(some) - top[5],
        "non_interpretable": len(units) - len(some),
        "total": len(units),
        "abstained": int(units["abstained"].sum()),
        "significant": None,
        "top1_significant": None,
    }
    shares = [(top[1], len(some)), (top[5], len(some)), (top[5], labelled), (0, 0)]
    if units["significant"].notna().any():
        beyond = some[some["significant"]]
        hits = int((beyond["rank"] == 1).sum())
        row |= {"significant": int(units["significant"].sum()), "top1_significant": hits}
        shares[-1] = (hits, len(beyond))
    for (name, _), (count, total) in zip(_SHARES, shares, strict=True):
        row[name] = count / total if total else None
        row[f"{name}_low"], row[f"{name}_high"] = wilson(count, total) if total else (None, None)
    return row
