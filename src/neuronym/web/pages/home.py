"""What network, what words, which layers, where to begin."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from neuronym._core.terminal import counted
from neuronym.analysis.evaluation.bins import BINS
from neuronym.report.statement import surest, why_unknown
from neuronym.report.summary import facts, notes
from neuronym.web.pages.base import Page, Query, page
from neuronym.web.view import Card, View

_WORDS = 12  # most frequent concepts shown per layer


@dataclass(frozen=True)
class Layer:
    """One layer in the drawing of the network."""

    name: str
    units: int
    labelled: int
    median: float | None
    distinct: int
    shape: str
    frequent: tuple[tuple[str, int], ...]
    bins: dict[str, int] | None

    @property
    def interpretable(self) -> int:
        """Units that are interpretable; where nothing says which are, those that are labelled."""
        return sum(self.parts)

    @property
    def parts(self) -> tuple[int, ...]:
        """Units of high, medium and low interpretability, or those that are labelled."""
        names = BINS[:3]
        return tuple(self.bins[n] for n in names) if self.bins else (self.labelled,)


@dataclass(frozen=True)
class Home(Page):
    """The first page of an atlas."""

    template: ClassVar[str] = "home.html"
    steady: ClassVar[bool] = True
    facts: dict[str, Any]
    layers: tuple[Layer, ...]
    top_scoring: tuple[Card, ...]
    surest: bool  # they are those of the highest confidence
    unknown: str | None  # why confidence is not known
    units: int
    bins: str


@page("")
def home(view: View, parts: tuple[str, ...], query: Query) -> Home:
    """The first page of an atlas."""
    found, manifest = facts(view.atlas), view.atlas.shown
    first = view.first_labels
    (bins, how), layers = view.bins, []
    for layer in found["layers"]:
        if layer["layer"] not in view.paged:
            continue
        words = Counter(first.loc[first["layer"] == layer["layer"], "concept"])
        about = view.layers[layer["layer"]]
        layers.append(
            Layer(
                layer["layer"],
                layer["units"],
                layer["labelled"],
                layer["median_score"],
                layer["distinct_labels"],
                " × ".join(map(str, about.get("shape") or ())),
                tuple(words.most_common(_WORDS)),
                {n: bins[layer["layer"]][n] for n in BINS} if layer["layer"] in bins else None,
            )
        )
    known = surest(view.atlas, 12)
    if view.chosen is not None:
        known = known and view.best(12, by="confidence").to_dict("records")
        found["top_scoring"] = view.best(12).to_dict("records")
    cards = tuple(
        view.card(view.units.starts[row["layer"]] + row["unit"])
        for row in known or found["top_scoring"]
    )
    units = len(view.units)
    target = found["target"]
    told = {key: found[key] for key in ("target", "probe", "images", "concepts", "encoder")} | {
        "words": manifest.concepts.count,
        "method": view.methods[0],
        "methods": view.methods,
        "created": manifest.created,
        "imported": view.atlas.imported,
        "pretrained": manifest.target.pretrained,
        "input": found["input"],
        "pooling": found["pooling"],
        "notes": notes(view.atlas, manifest.methods[view.methods[0]], found),
    }
    return Home(
        f"{target} · names for its neurons",
        f"{counted(units, 'neuron')} of {target} and what they respond to. Search them by concept.",
        ("a", view.name),
        told,
        tuple(layers),
        cards,
        bool(known),
        why_unknown(view.atlas, view.methods[0]),
        units,
        how,
    )
