"""One concept: the neurons that are labelled with it, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from neuronym._errors import NeuronymError
from neuronym.terminal import counted
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.view import Card, View, number

_MOST = 60  # neurons shown


@dataclass(frozen=True)
class ConceptPage(Page):
    """One concept."""

    template: ClassVar[str] = "concept.html"
    concept: str
    found: int
    layers: tuple[tuple[str, int, float | None], ...]
    units: tuple[Card, ...]
    images: tuple[str, ...]
    related: tuple[tuple[str, float], ...]
    note: str


def every(view: View) -> Iterator[tuple[str, ...]]:
    """All words that units are labelled with."""
    yield from ((word,) for word in sorted(view.listed))


@page("concept", every)
def concept(view: View, parts: tuple[str, ...], query: Query) -> ConceptPage:
    """The page of one concept."""
    word = view.words.get(parts[0]) if len(parts) == 1 else None
    if word is None:
        raise NotFoundError(f"No neuron has the label {'/'.join(parts)[:80]!r}.")
    searcher = view.searcher()
    hits = searcher.find(word, match="exact", places=["labels"], top=20)
    cards = tuple(
        view.card(int(place), rank=int(row.rank), match=number(row.score))
        for place, row in zip(
            view.units.numbers(hits.units)[:_MOST], hits.units.itertuples(), strict=False
        )
    ) if len(hits.units) else ()  # fmt: skip
    try:
        related = tuple((w, round(c, 3)) for w, c in searcher.related(word))
    except (NeuronymError, KeyError):  # no text embeddings, or no encoder to make them with
        related = ()
    counts = tuple(
        (row.layer, int(row.units), number(row.best)) for row in hits.layers.itertuples()
    )
    images = tuple(dict.fromkeys(thumb for card in cards[:8] for thumb in card.thumbs))[:16]
    target = view.atlas.manifest["target"]["name"]
    return ConceptPage(
        f"{word} · {target}",
        f"{counted(len(hits.units), 'neuron')} of {target} labelled with {word}.",
        ("a", view.name, "concept", word),
        word, len(hits.units), counts, cards, images, related, hits.note,
    )  # fmt: skip
