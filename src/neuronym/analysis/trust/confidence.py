"""confidence: how probable is it that the rank-1 label is right?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuronym._core.errors import UsageError
from neuronym._core.registry import text
from neuronym.analysis.rescoring import similarity_of
from neuronym.analysis.trust.base import ANALYSES, Analysis, Findings
from neuronym.analysis.trust.calibration import Calibrator, kind_of, open_calibrator
from neuronym.analysis.trust.signs import ANALYSED, signs
from neuronym.atlas.context import Material


@ANALYSES.register(
    "confidence",
    syntax="confidence[:calibrator=NAME_OR_FILE]",
    example="confidence:calibrator=default",
)
@dataclass(frozen=True)
class Confidence(Analysis):
    """The probability that the rank-1 label is right, by a calibrator fitted on known units.

    What is known of each unit without its truth (`signs.SIGNS`) is turned into a probability. A
    calibrator is fitted on units whose truth is known, mostly of output layers: for inner units it
    says how often a label with the same signs was right there (docs/confidence.md).

    Args:
        calibrator: the name of one that comes with neuronym, or a file of `neuronym calibrate`.
    """

    name: ClassVar[str] = "confidence"
    calibrator: str = text("default")

    @property
    def after(self) -> tuple[str, ...]:  # type: ignore[override]
        """The analyses that the calibrator's signs are read from."""
        chosen = open_calibrator(self.calibrator).signs
        return tuple(dict.fromkeys(ANALYSED[sign] for sign in chosen if sign in ANALYSED))

    def check(self, material: Material, method: str) -> None:
        """The calibrator is there, and made for such labels."""
        self._for(material, method)

    def run(self, material: Material, method: str, layers: Sequence[str]) -> Findings:
        """confidence, and the signs that it follows from."""
        chosen = self._for(material, method)
        columns = {}
        for layer in layers:
            found = signs(material, method, layer, chosen.signs)
            columns[layer] = {"confidence": chosen.probability(found), **found}
        missing = sum(int(np.isnan(own["confidence"]).sum()) for own in columns.values())
        facts = {
            "calibrator": chosen.name,
            "caveat": chosen.caveat,
            "fitted_on": list(chosen.fitted_on),
            "measures": dict(chosen.measures),
            "without_confidence": missing,
        }
        return Findings(columns, facts)

    def _for(self, material: Material, method: str) -> Calibrator:
        """The calibrator, if it fits the method."""
        similarity_of(material, method)
        chosen, kind = open_calibrator(self.calibrator), kind_of(method)
        if chosen.kind != kind:
            raise UsageError(
                f"Expected a calibrator for labels of {kind}, got {chosen.name}, which was fitted "
                f"on labels of {chosen.kind}. Fit one on units of known truth with "
                "`neuronym calibrate`."
            )
        return chosen
