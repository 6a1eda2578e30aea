"""One concept: the neurons that are labelled with it, layer by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuronym._core.errors import NeuronymError
from neuronym._core.terminal import counted
from neuronym._core.words import fold
from neuronym.atlas.reader import first_of
from neuronym.web.addresses import segment
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.view import Card, View, by_layer, number

_MOST = 60  # neurons shown
RANKS = 20  # labels of each neuron that are looked at


@dataclass(frozen=True)
class Labelled:
    """The neurons that one method labels with a concept.

    Attributes:
        first: of each layer how many neurons have it as their first label, as the pages of the
            network and of the layer say.
        spellings: the same over all layers, by spelling; empty where there is one only.
        found, layers, units: those that have it among their first `RANKS` labels.
        hidden: how many chance explains.
    """

    method: str
    first: tuple[tuple[str, int], ...]
    spellings: tuple[tuple[str, int], ...]
    found: int
    layers: tuple[tuple[str, int, float | None], ...]
    units: tuple[Card, ...]
    hidden: int


@dataclass(frozen=True)
class ConceptPage(Page):
    """One concept."""

    template: ClassVar[str] = "concept.html"
    concept: str
    methods: tuple[Labelled, ...]
    images: tuple[str, ...]
    related: tuple[tuple[str, float], ...]
    ranks: int = RANKS


def every(view: View) -> Iterator[tuple[str, ...]]:
    """All words that units are labelled with."""
    yield from ((word,) for word in sorted(view.listed))


@page("concept", every)
def concept(view: View, parts: tuple[str, ...], query: Query) -> ConceptPage:
    """The page of one concept."""
    asked = parts[0] if len(parts) == 1 else ""
    word = view.words.get(asked) or view.words.get(segment(fold(asked)))
    if word is None:
        raise NotFoundError(f"No neuron has the label {'/'.join(parts)[:80]!r}.")
    made = [_labelled(view, method, word) for method in view.methods]
    methods = tuple(one for one in made if one.found or one.hidden) or tuple(made[:1])
    try:
        related = tuple((w, round(c, 3)) for w, c in view.searcher().related(word))
    except (NeuronymError, KeyError):  # no text embeddings, or no encoder to make them with
        related = ()
    thumbs = dict.fromkeys(thumb for card in methods[0].units[:8] for thumb in card.thumbs)
    target = view.title
    return ConceptPage(
        f"{word} · {target}",
        f"{counted(methods[0].found, 'neuron')} of {target} with {word} among the first {RANKS} "
        "labels.",
        ("a", view.name, "concept", word),
        word,
        methods,
        tuple(thumbs)[:16],
        related,
    )


def _labelled(view: View, method: str, word: str) -> Labelled:
    hits = view.searcher(method).find(word, match="exact", places=["labels"], top=RANKS)
    paged = np.isin(view.units.numbers(hits.units), [*view.places])
    shown = hits.units[paged].head(_MOST)
    cards = tuple(
        view.card(int(place), method, rank=int(row.rank), match=number(row.score))
        for place, row in zip(view.units.numbers(shown), shown.itertuples(), strict=True)
    )
    own = first_of(hits.units)
    of_layer, spelled = Counter(own["layer"]), Counter(own["concept"])
    return Labelled(
        method,
        tuple((layer, of_layer[layer]) for layer in view.layers if layer in of_layer),
        tuple(spelled.most_common()) if len(spelled) > 1 else (),
        len(hits.units),
        by_layer(hits),
        cards,
        hits.hidden,
    )
