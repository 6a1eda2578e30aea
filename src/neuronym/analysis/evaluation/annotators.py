"""How far several people agree about the same units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from neuronym._core.checks import misuse
from neuronym._core.tables import Column, Table
from neuronym.analysis.evaluation.base import TABLES, EvaluationContext, StudyTable, heading
from neuronym.analysis.families import Families, families_of
from neuronym.analysis.truth.agreement import RULE, agreeing, alpha, by_chance, value
from neuronym.analysis.truth.base import Answer
from neuronym.analysis.truth.open import known_answers


@TABLES.register("agreement")
@dataclass(frozen=True)
class Agreement(StudyTable):
    """Krippendorff's alpha and percent agreement of annotators, per layer.

    Reference: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability.
    """

    name: ClassVar[str] = "agreement"
    needs: ClassVar[tuple[str, ...]] = ("truth",)

    def make(self, evaluation: EvaluationContext) -> Table:
        """Compare all answers to the same units."""
        if evaluation.known.source == "classes":
            raise misuse(
                "truth",
                "annotations or a ground-truth file",
                "classes",
                "Classes have no annotators.",
            )
        answers = known_answers(evaluation.atlas, evaluation.known.source)
        layers = [n for n in evaluation.atlas.layers if any(a.layer == n for a in answers)]
        families = families_of(evaluation.atlas)
        rows = [
            {"layer": layer} | _row([a for a in answers if a.layer == layer], families)
            for layer in layers
        ]
        if len(layers) > 1:
            rows.append({"layer": "all"} | _row(answers, families))
        columns = (
            Column("layer"),
            Column("annotators", "", "count"),
            Column("units", "", "count"),
            Column("several", "with several answers", "count"),
            Column("unsure", "unsure answers", "count"),
            Column("agree", "same answer", "percent"),
            Column("chance", "by chance", "percent"),
            Column("agree_family", "same family", "percent"),
            Column("chance_family", "by chance", "percent"),
            Column("alpha", "alpha", "number", 3),
            Column("alpha_interpretable", "alpha of interpretable or not", "number", 3),
        )
        notes = (
            "Same answer: of the pairs of answers to one unit, those with the same word (but for "
            "case and underscores) or both non-interpretable. Same family: likewise, with words of "
            "one meaning the same (docs/faithfulness.md). By chance: on average, if the answers "
            "were permuted over the units. Alpha: Krippendorff's, nominal; 1 is perfect, 0 what "
            "chance gives; – where nothing could differ.",
            RULE,
        )
        title = heading(evaluation.atlas, "Agreement of annotators")
        return Table(self.name, title, columns, tuple(rows), notes, int(len(layers) > 1))


def _row(answers: list[Answer], families: Families) -> dict[str, Any]:
    units: dict[tuple[str, int], list[str]] = {}
    for answer in answers:
        given = value(answer)
        units.setdefault((answer.layer, answer.unit), []).extend([] if given is None else [given])
    values = list(units.values())
    meant = [[given and families.of(given) for given in some] for some in values]
    return {
        "annotators": len({answer.annotator for answer in answers}),
        "units": len(units),
        "several": sum(len(given) > 1 for given in values),
        "unsure": sum(answer.status == "unsure" for answer in answers),
        "agree": agreeing(values),
        "chance": by_chance(values),
        "agree_family": agreeing(meant),
        "chance_family": by_chance(meant),
        "alpha": alpha(values),
        "alpha_interpretable": alpha([[bool(v) for v in given] for given in values]),
    }
