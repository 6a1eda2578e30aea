"""What can be said of a neuron's label, in sentences that do not contradict each other.

One statement leads, the confidence; the others say what was measured, each what it means.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from neuronym.analysis.families import STAGE, families_of
from neuronym.atlas import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from neuronym.analysis.families import Families
    from neuronym.atlas.reader import Atlas
    from neuronym.atlas.unit import Unit

#: Labels of this confidence count as sure.
SURE = 0.5
#: Labels of a unit among which words of one family are looked for.
_LOOKED_AT = 10


def kin(families: Families | None, words: Iterable[Any]) -> list[str]:
    """Of a unit's first ten labels up to two others of the first one's family: dog · puppy · hound.

    Args:
        families: see `word_families`; None: none.
        words: the unit's labels, best first.
    """
    chosen = [word for word in words if isinstance(word, str)][:_LOOKED_AT]
    return families.together(chosen)[1:] if families and chosen else []


def word_families(atlas: Atlas) -> Families | None:
    """The families of an atlas's words; None where nothing has word_families them by meaning."""
    return families_of(atlas) if STAGE in atlas.shown.stages else None


def why_unknown(atlas: Atlas, method: str, place: str | None = None) -> str | None:
    """Why confidence is not known, and what to do; None: it is known.

    Args:
        atlas: where the labels are from.
        method: their method-id.
        place: what the command that helps calls the atlas. None: its name, without folders.
    """
    if "confidence" in atlas.analyses(method):
        return None
    said = atlas.shown.refused.get(schema.analysis_id("confidence", method))
    if said:
        return f"Confidence unknown. {said}"
    if atlas.imported:
        return "Confidence unknown: published labels come without what it is calibrated on."
    return (
        f"Confidence unknown: {method} was not examined. "
        f"`neuronym trust {place or shlex.quote(atlas.name)} --method {method}` does."
    )


def sure(labels: pd.DataFrame) -> int:
    """How many rank-1 labels are sure."""
    return int((labels["confidence"] >= SURE).sum())


def leads(labels: pd.DataFrame) -> str:
    """What labels are sorted by: the confidence where it is known, else the score."""
    known = "confidence" in labels and labels["confidence"].notna().any()
    return "confidence" if known else "score"


def surest(atlas: Atlas, count: int, method: str | None = None) -> list[dict[str, Any]]:
    """The units of the highest confidence, best first; none where no confidence is known."""
    labels = atlas.first_labels(method=method)
    if "confidence" not in labels or labels["confidence"].isna().all():
        return []
    return atlas.top(count, by="confidence", method=method).to_dict("records")


def evidence(atlas: Atlas, method: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What analyses found about the label of a unit, a sentence each.

    Args:
        atlas: where the label is from.
        method: its method-id.
        rows: by analysis what it found about the unit; see `findings`.
    """
    found: list[str] = []
    for name, tell in _TELL.items():
        if name in rows:
            about = atlas.shown.analyses[schema.analysis_id(name, method)]
            found += filter(None, tell(rows[name], about))
    return found


def findings(unit: Unit, method: str) -> dict[str, dict[str, Any]]:
    """By analysis the row about a unit."""
    atlas, rows = unit.atlas, {}
    for name in _TELL:
        if name in atlas.analyses(method):
            frame = atlas.trust(name, unit.layer, unit.index, method=method)
            if len(frame):
                rows[name] = frame.iloc[0].to_dict()
    return rows


def _known(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    return isinstance(value, int | float) and value == value


def _held_out(row: Mapping[str, Any], about: Any) -> list[str]:
    if not _known(row, "held_out_q"):
        return []
    halves = int(row["halves"])
    again = about.get("labelled_again", True)
    holds = "hold" if row["held_out_q"] <= 0.05 else "do not hold"
    text = (
        f"Words chosen on half of the images {holds} on the other half: an image on which the "
        f"neuron is high has a higher score than another one in {row['effect']:.0%} of cases "
        f"(95 % interval {row['effect_low']:.0%} to {row['effect_high']:.0%}; none would be 50 %)."
    )
    if not again:
        return [text, str(about.get("note", ""))]
    chose, family = round(halves * row["word_agreement"]), round(halves * row["agreement"])
    more = f", {family} one of its family" if family > chose else ""
    return [f"{text} {chose} of {halves} halves chose this word{more}."]


def _stability(row: Mapping[str, Any], about: Any) -> list[str]:
    if not _known(row, "stability"):
        return []
    text = f"Drawn again from the same images, the label stays in {row['stability']:.0%} of draws"
    if _known(row, "family_stability") and row["family_stability"] > row["stability"]:
        text += f", its family in {row['family_stability']:.0%}"
    sets = row.get("concept_set")
    if sets is not None and len(sets):
        covered = f"{row['coverage']:.0%} of independent halves are covered by {', '.join(sets)}."
        return [f"{text}.", covered]
    return [f"{text}."]


def _chance(row: Mapping[str, Any], about: Any) -> list[str]:
    if not _known(row, "q"):
        return []
    if row["significant"]:
        chance = "The score is higher than a search over all words gives by chance"
    else:
        chance = "A search over all words gives so high a score by chance, too"
    return [f"{chance} (q = {row['q']:.2g})."]


_TELL = {"faithfulness": _held_out, "bootstrap": _stability, "significance": _chance}
ANALYSES = tuple(_TELL)
