"""What a reader of a finished run may want to look at first: sure, rare and doubtful labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neuronym.analysis.families import families_of
from neuronym.atlas.statement import leading
from neuronym.report.statement import SURE, evidence, findings, surest

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas


def surest_of_layers(atlas: Atlas, count: int, method: str | None = None) -> list[dict[str, Any]]:
    """The surest labels of every layer, the last layer first; of all together if layers are many.

    Args:
        atlas: which.
        count: about how many rows in all.
        method: whose labels; None: the first method's.
    """
    layers = list(reversed(atlas.layers))
    if len(layers) > count or not surest(atlas, 1, method):
        return surest(atlas, count, method)
    ranked = [
        atlas.top(count // len(layers), layers=[name], by="confidence", method=method)
        for name in layers
        if _known(atlas, name, method)
    ]
    return [row for frame in ranked for row in frame.to_dict("records")]


def rare(atlas: Atlas, method: str | None = None) -> str | None:
    """Of the sure labels one that few neurons share, in a sentence; None: no label is sure.

    Neurons whose class is known come last: what they see is no find.
    """
    labels = atlas.first_labels(method=method)
    sure = [row for row in surest(atlas, len(labels), method) if row["confidence"] >= SURE]
    if not sure:
        return None
    families = families_of(atlas)
    shared = labels["concept"].dropna().map(families.of).value_counts()

    def order(row: dict[str, Any]) -> tuple[bool, int]:
        return row["unit"] in atlas.class_names(row["layer"]), shared[families.of(row["concept"])]

    found = min(sure, key=order)
    count = order(found)[1]
    only = "no other neuron has it" if count == 1 else f"{count} neurons have it"
    name = f"{found['layer']}:{found['unit']}"
    return f"A rare find: {name}, {leading(found['concept'], found['confidence'])}; {only}."


def doubtful(atlas: Atlas, method: str | None = None) -> str | None:
    """A neuron without a label, or the one whose label is least sure, and why, in a sentence."""
    method = atlas.method(method)
    labels = atlas.first_labels(method=method)
    without = labels[labels["abstained"]]
    if len(without):
        row = without.iloc[0]
        return f"Without a label: {row['layer']}:{row['unit']}, {row['reason']}."
    if "confidence" not in labels or labels["confidence"].isna().all():
        return None
    row = labels.loc[labels["confidence"].idxmin()]
    unit = atlas[row["layer"], int(row["unit"])]
    why = evidence(atlas, method, findings(unit, method))
    said = leading(row["concept"], float(row["confidence"]))
    return " ".join([f"The least sure: {unit.name}, {said}.", *why[:1]])


def _known(atlas: Atlas, layer: str, method: str | None) -> bool:
    labels = atlas.first_labels(method=method)
    return bool(labels["confidence"][labels["layer"] == layer].notna().any())
