"""confidence: how probable is it that the rank-1 label is right?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuronym._core.errors import UsageError
from neuronym._core.registry import text
from neuronym.analysis.trust.base import ANALYSES, Analysis, Findings
from neuronym.analysis.trust.calibration import OWN, Calibrator, kind_of, open_calibrator
from neuronym.analysis.trust.features import ANALYSED, features
from neuronym.analysis.trust.own import UNKNOWN, class_layer, own_calibrator
from neuronym.atlas.context import LabelContext
from neuronym.atlas.writer import ANNOTATIONS


@ANALYSES.register(
    "confidence",
    syntax="confidence[:calibrator=own|NAME_OR_FILE]",
    example="confidence:calibrator=own",
)
@dataclass(frozen=True)
class Confidence(Analysis):
    """The probability that the rank-1 label is right, by a calibrator fitted on known units.

    What is known of each unit without its truth (`FEATURES`) is turned into a probability. A
    calibrator is fitted on units whose truth is known, mostly of output layers: for inner units it
    says how often a label with the same features was right there (docs/confidence.md).

    Args:
        calibrator: own: fitted on the class neurons of the network itself, or on people's answers.
            Or the name of one that comes with neuronym, or a file of `neuronym calibrate`.
    """

    name: ClassVar[str] = "confidence"
    calibrator: str = text(OWN)

    @property
    def after(self) -> tuple[str, ...]:  # type: ignore[override]  # it depends on the calibrator
        """The analyses that the calibrator's features are read from."""
        if self.calibrator == OWN:
            return ()
        chosen = open_calibrator(self.calibrator).features
        return tuple(dict.fromkeys(ANALYSED[feature] for feature in chosen if feature in ANALYSED))

    def check(self, context: LabelContext, method: str) -> None:
        """There are units of known truth, or a calibrator made for such labels."""
        if context.atlas.imported:
            raise context.atlas.lacks("embeddings")
        if self.calibrator == OWN:
            if not _has_truth(context):
                raise UsageError(UNKNOWN)
        else:
            self._named(method)

    def run(self, context: LabelContext, method: str, layers: Sequence[str]) -> Findings:
        """confidence, and the features that it follows from."""
        own = self.calibrator == OWN
        chosen = own_calibrator(context, method) if own else self._named(method)
        columns = {}
        for layer in layers:
            found = features(context, method, layer, chosen.features)
            columns[layer] = {"confidence": chosen.probability(found), **found}
        missing = sum(int(np.isnan(own["confidence"]).sum()) for own in columns.values())
        facts = {
            "calibrator": chosen.name,
            "caveat": _caveat(chosen, context.atlas.manifest.encoder.name),
            "fitted_on": list(chosen.fitted_on),
            "measures": dict(chosen.measures),
            "without_confidence": missing,
        }
        return Findings(columns, facts)

    def _named(self, method: str) -> Calibrator:
        """The calibrator of this name, if it is for such labels."""
        chosen, kind = open_calibrator(self.calibrator), kind_of(method)
        if chosen.kind != kind:
            raise UsageError(
                f"Expected a calibrator for labels of {kind}, got {chosen.name}, which was fitted "
                f"on labels of {chosen.kind}. Fit one on units of known truth with "
                "`neuronym calibrate`."
            )
        return chosen


def _has_truth(context: LabelContext) -> bool:
    """Whether there are class neurons, or people's answers, in the atlas."""
    answers = context.atlas.folder / ANNOTATIONS
    return class_layer(context) is not None or answers.exists()


def _caveat(chosen: Calibrator, encoder: str) -> str:
    """The calibrator's own, and that it was fitted with another kind of encoder, if it was."""
    fitted = {str(entry.get("encoder", "")).partition(":")[0] for entry in chosen.fitted_on} - {""}
    if not fitted or encoder.partition(":")[0] in fitted:
        return chosen.caveat
    return (
        f"{chosen.caveat} It was fitted with the encoder {' and '.join(sorted(fitted))}, and these "
        f"labels were made with {encoder}: the order of the numbers is worth more than their size."
    )
