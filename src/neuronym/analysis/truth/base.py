"""What people say a unit responds to: one answer, and the truth made of answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from neuronym._core.checks import choice, integer, misuse

if TYPE_CHECKING:
    import pandas as pd


#: `label`: one of the labels that were shown fits. `own`: the annotator's own word. Neither is
#: derivable: `non-interpretable`. The annotator cannot decide: `unsure`.
STATUSES = ("label", "own", "non-interpretable", "unsure")
#: Of a ground-truth file.
COLUMNS = ("layer", "unit", "label", "status", "annotator", "time")


@dataclass(frozen=True)
class Answer:
    """What one person says of one unit.

    Attributes:
        layer, unit: which one.
        status: one of `STATUSES`.
        label: a word or phrase for `label` and `own`, else empty. Any text is a word: `null`,
            `nan` and `none` too.
        annotator: who; any name.
        time: when, in UTC: `2026-03-01T12:00:00.000Z`. Empty: now. Other ISO 8601 times are
            brought into this form; without a zone they are in UTC.

    Raises:
        UsageError: a status that there is not, or a label that does not go with it.
    """

    layer: str
    unit: int
    status: str
    label: str = ""
    annotator: str = "anonymous"
    time: str = ""

    def __post_init__(self) -> None:
        filled = {
            "unit": integer("unit", self.unit, 0),
            "status": choice("status", self.status, STATUSES),
            "label": " ".join(self.label.split()),
            "annotator": self.annotator.strip() or "anonymous",
            "time": utc(self.time),
        }
        for name, value in filled.items():
            object.__setattr__(self, name, value)
        if self.named != bool(self.label):
            wanted = "a word" if self.named else "empty"
            raise misuse("label", f"{wanted} where the status is {self.status}", self.label)

    @property
    def named(self) -> bool:
        """Whether it gives a word."""
        return self.status in ("label", "own")


def utc(time: str = "") -> str:
    """A time in the form of `Answer`; now if there is none."""
    try:
        moment = datetime.fromisoformat(time.strip()) if time.strip() else datetime.now(UTC)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the first and last hours there are have no UTC
        raise misuse("time", "ISO 8601, such as 2026-03-01T12:00:00Z", time) from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, eq=False)
class Truth:
    """What units respond to, as far as it is known: one row per unit.

    Attributes:
        source: where it comes from, for people: `classes`, `annotations`, or a file's name.
        frame: layer, unit; `labels`, a tuple of words each of which is right, empty unless the
            status is `label` or `own`; `status`, one of `STATUSES`.
        notes: sentences on how it was made.
    """

    source: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

    def of(self, layer: str) -> pd.DataFrame:
        """The rows of one layer by unit: labels, status."""
        rows = self.frame[self.frame["layer"] == layer]
        return rows.set_index("unit")[["labels", "status"]].sort_index()
