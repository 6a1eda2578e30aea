"""Which labels are most frequent in a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neuronym._core.registry import whole
from neuronym._core.tables import Column, Table
from neuronym.analysis.evaluation.base import TABLES, EvaluationContext, StudyTable, groups, heading

_NOTE = (
    "Units whose first label it is, whether or not they beat chance; of these, those that do, by "
    "the analysis significance of the method; – where it was not run."
)


@TABLES.register("concepts", syntax="concepts[:top=…]", example="concepts:top=10")
@dataclass(frozen=True)
class Frequency(StudyTable):
    """The most frequent first labels of each layer, and how many units have them.

    Args:
        top: labels per layer; the study has 26.
    """

    name: ClassVar[str] = "concepts"

    top: int = whole(26, low=1)

    def make(self, evaluation: EvaluationContext) -> Table:
        """Count; labels of equal frequency stand in alphabetical order."""
        frames = [evaluation.first(method) for method in evaluation.methods]
        rows = []
        for key, every in groups(evaluation, frames):
            frame = every[every["labelled"]]
            counts, beyond = frame["concept"].value_counts(), None
            if frame["significant"].notna().any():
                beyond = frame["concept"][frame["significant"]].value_counts()
            order = sorted(counts.index, key=lambda word: (-counts[word], word))
            for place, word in enumerate(order[: self.top], 1):
                share = counts[word] / len(frame)
                rows.append(
                    key
                    | {
                        "place": place,
                        "concept": word,
                        "units": int(counts[word]),
                        "significant": None if beyond is None else int(beyond.get(word, 0)),
                        "share": float(share),
                        "different": len(counts),
                        "different_significant": None if beyond is None else len(beyond),
                    }
                )
        columns = (
            Column("layer"),
            Column("method"),
            Column("place", "", "count"),
            Column("concept"),
            Column("units", "", "count"),
            Column("significant", "beat chance", "count"),
            Column("share", "of the labelled", "percent"),
            Column("different", "different labels", "count"),
            Column("different_significant", "different that beat chance", "count"),
        )
        title = heading(evaluation.atlas, f"The {self.top} most frequent first labels")
        return Table(self.name, title, columns, tuple(rows), (_NOTE,))
