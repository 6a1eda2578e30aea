"""The neurons that one can rely on most, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neuronym._core.tables import Column, Table
from neuronym.report.statement import kin, why_unknown, word_families

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas

#: What each rule means, for people.
MEANING = {
    "confidence": "the calibrated probability that the label is right",
    "effect": "how often an image on which the neuron is high scores above another one for a word "
    "that the other half of the images chose",
    "stability": "the share of resampled probes that give the same label",
    "score": "the score of the label; nothing is known of how far scores can be trusted here",
    "q": "the chance, controlled for the layer, of so high a score",
}
_SHARES = ("confidence", "effect", "agreement", "stability")


def top_table(
    atlas: Atlas,
    n: int = 50,
    *,
    layers: Sequence[str] | None = None,
    by: str | None = None,
    method: str | None = None,
) -> Table:
    """See `Atlas.top`."""
    found = atlas.top(n, layers=layers, by=by, method=method)
    rule, chosen = found.attrs["by"], atlas.method(method)
    known = [name for name in (rule, "confidence", "score", *_SHARES) if name in found]
    columns = [
        Column("neuron"),
        Column("concept", "label"),
        Column("family", "and of its family"),
        *(
            Column(name, kind="percent", digits=0)
            if name in _SHARES
            else Column(name, kind="number")
            for name in dict.fromkeys(known)
        ),
    ]
    labels = atlas.labels(method=chosen, trust=False).sort_values("rank", kind="stable")
    words = dict(iter(labels.groupby(["layer", "unit"])["concept"]))
    families = word_families(atlas)
    rows = [
        row
        | {
            "neuron": f"{row['layer']}:{row['unit']}",
            "family": " · ".join(kin(families, words[row["layer"], row["unit"]])) or None,
        }
        for row in found.to_dict("records")
    ]
    notes = [f"Ranked by {rule}: {MEANING[rule]}. Labels of {chosen}."]
    if (why := why_unknown(atlas, chosen)) is not None:
        notes.append(why)
    notes += atlas.caveats(method) if rule == "confidence" else []
    return Table(
        "top", f"The {len(rows)} neurons to rely on most", tuple(columns), tuple(rows), tuple(notes)
    )
