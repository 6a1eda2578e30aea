"""Which neurons a report shows, and what is on their cards."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from neuronym.analysis.effect.table import sayings
from neuronym.atlas.schema import TRUST
from neuronym.report.document.blocks import Neuron, Neurons
from neuronym.report.plots.base import Selection
from neuronym.report.plots.neurons import Example
from neuronym.report.statement import leads
from neuronym.report.summary import score_text, top_scoring, trust_text

IMAGES = 6
_NEXT = 3  # labels after the first
#: What neurons are sorted by to find the least sure ones, and what the numbers are.
_DOUBTS = {
    "confidence": "the lowest probability that the label is right",
    "stability": "the label that changes most when the images are drawn anew",
    "score": "the lowest scores",
}


def best(seen: Selection, count: int = 12) -> tuple[Neurons, str]:
    """The surest labels, or the highest scores, spread over the layers; and which of the two."""
    labels = pd.concat(seen.best.values())
    by = leads(labels)
    rows = top_scoring(labels, count, by)
    found = cards(seen, rows[["layer", "unit"]].itertuples(index=False, name=None))
    return found, {"confidence": "The surest labels", "score": "The highest scores"}[by]


def doubtful(seen: Selection, count: int = 8) -> tuple[Neurons, str]:
    """The labelled neurons that one can rely on least, and by what they were found."""
    rows = pd.concat(seen.best.values())
    rows = rows[~rows["abstained"]]
    by = next((key for key in _DOUBTS if key in rows and rows[key].notna().any()), None)
    if by is None:
        return Neurons(()), ""
    least = rows.sort_values([by, "score"], kind="stable").head(count)
    units = least[["layer", "unit"]].itertuples(index=False, name=None)
    return cards(seen, units), _DOUBTS[by]


def examples(seen: Selection, found: Iterable[Example]) -> Neurons:
    """Neurons that are an example of something."""
    return Neurons(
        tuple(
            card(
                seen,
                one.layer,
                one.unit,
                f"{one.heading}{f' (truth: {one.truth})' if one.truth else ''}",
            )
            for one in found
        )
    )


def cards(seen: Selection, units: Iterable[tuple[str, int]]) -> Neurons:
    """Neurons by layer and number."""
    return Neurons(tuple(card(seen, layer, int(unit)) for layer, unit in units))


def card(seen: Selection, layer: str, unit: int, about: str = "") -> Neuron:
    """One neuron.

    Args:
        seen: whose labels.
        layer, unit: which.
        about: what it is an example of.
    """
    one = seen.atlas[layer, unit]
    labels = seen.labels[(seen.labels["layer"] == layer) & (seen.labels["unit"] == unit)]
    first = labels.iloc[0]
    silent = bool(first["abstained"])
    words = [word for word in labels["concept"].head(1 + _NEXT) if isinstance(word, str)]
    details = [about] if about else []
    details += [f"abstains: {first['reason']}"] if silent else []
    details += [f"score {score_text(first['score'])}"] if first["score"] == first["score"] else []
    trust = {name: first[name] for name in TRUST if name in labels and first[name] == first[name]}
    details += [trust_text(trust)] if trust else []
    details += [f"class {one.class_name}"] if one.class_name else []
    following = words if silent else words[1:]
    details += [f"{'would be' if silent else 'then'} {', '.join(following)}"] if following else []
    details += sayings(seen.atlas, layer, unit)
    images = tuple(
        (image, seen.atlas.thumb(image)) for image in one.exemplars()["image_id"].head(IMAGES)
    )
    return Neuron(one.name, "" if silent or not words else words[0], tuple(details), images)
