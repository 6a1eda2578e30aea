"""Ground truth by hand: a neuron's images and labels, and one answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.folders import without_folders
from neuronym._core.words import fold
from neuronym.analysis.truth.base import Answer
from neuronym.analysis.truth.store import Annotations
from neuronym.web.addresses import received
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.pages.unit import read
from neuronym.web.view import Exemplar, Label, View, number

_IMAGES = 10
_LABELS = 3
ORDERS = ("random", "sequential")


@dataclass(frozen=True)
class Session:
    """Who annotates what, and how; it stands in the address."""

    annotator: str
    order: str
    blind: bool
    layers: tuple[str, ...]
    chosen: tuple[str, ...]  # the same; empty where it is all layers

    @classmethod
    def of(cls, view: View, query: Query) -> Session:
        """What an address or form says."""
        wanted = set(query.every("layers"))
        chosen = tuple(layer for layer in view.layers if layer in wanted)
        if len(chosen) == len(view.layers):
            chosen = ()
        order = query.get("order", "")
        return cls(
            query.get("annotator", "").strip()[:80],
            order if order in ORDERS else ORDERS[0],
            query.get("blind") == "1",
            chosen or tuple(view.layers),
            chosen,
        )

    @property
    def query(self) -> list[tuple[str, str]]:
        """The same as part of an address."""
        return [
            ("annotator", self.annotator),
            ("order", self.order),
            ("blind", "1" if self.blind else ""),
            *(("layers", layer) for layer in self.chosen),
        ]


@dataclass(frozen=True)
class AnnotatePage(Page):
    """One neuron to answer; `layer` None: the start."""

    template: ClassVar[str] = "annotate.html"
    session: Session
    layer: str | None
    unit: int | None
    labels: tuple[Label, ...]
    exemplars: tuple[Exemplar, ...]
    answered: int
    total: int
    earlier: Answer | None
    back: tuple[str, int] | None
    refused: str = ""  # why no answer could be saved


@page("annotate", every=None)
def annotate(view: View, parts: tuple[str, ...], query: Query) -> AnnotatePage:
    """The page of one neuron to answer, or the start."""
    session, store = Session.of(view, query), Annotations(view.atlas)
    target = view.title
    mine = store.latest(session.annotator) if session.annotator else []
    inside = [answer for answer in mine if answer.layer in session.layers]
    total = sum(view.layers[layer]["units"] for layer in session.layers)
    if not parts:
        return AnnotatePage(
            f"Annotate · {target}",
            "Say what neurons respond to.",
            ("a", view.name, "annotate"),
            session,
            None,
            None,
            (),
            (),
            len(inside),
            total,
            None,
            None,
            _refused(store),
        )
    if not session.annotator:
        raise NotFoundError("Say who you are first.")
    layer, index = read(view, parts)
    place = view.units.starts[layer] + index
    labels = tuple(
        Label(int(row["rank"]), row["concept"], number(row["score"]))
        for row in view.labels().of(place)[:_LABELS]
        if isinstance(row["concept"], str)
    )
    exemplars = tuple(
        Exemplar(
            int(row["rank"]),
            row["image_id"],
            number(row["activation"]),
            number(row["y"]),
            number(row["x"]),
            view.thumb(row["image_id"]),
        )
        for row in view.exemplars.of(place)[:_IMAGES]
    )
    earlier = next((a for a in mine if (a.layer, a.unit) == (layer, index)), None)
    others = [a for a in inside if (a.layer, a.unit) != (layer, index)]
    last = max(others, key=lambda a: a.time, default=None)
    return AnnotatePage(
        f"{layer}:{index} · annotate · {target}",
        f"What does neuron {layer}:{index} respond to?",
        ("a", view.name, "annotate", layer, str(index)),
        session,
        layer,
        index,
        labels,
        exemplars,
        len(inside),
        total,
        earlier,
        (last.layer, last.unit) if last else None,
    )


def _refused(store: Annotations) -> str:
    """Why no answer could be saved; empty: it could."""
    try:
        store.check_writable()
    except NeuronymError as error:
        return without_folders(str(error))
    return ""


def following(
    view: View, session: Session, after: tuple[str, int] | None
) -> tuple[str, int] | None:
    """The next unit that the annotator has not answered; None: all are.

    In random order, which follows from the annotator's name, so that it goes on where it was.
    """
    done = {(a.layer, a.unit) for a in Annotations(view.atlas).latest(session.annotator)}
    units = [(n, unit) for n in session.layers for unit in range(view.layers[n]["units"])]
    if session.order == "random":
        seed = hashlib.blake2b(session.annotator.encode(), digest_size=8).digest()
        order = np.random.default_rng(int.from_bytes(seed)).permutation(len(units))
        units = [units[place] for place in order]
    start = units.index(after) + 1 if after in units else 0
    rest = (unit for unit in [*units[start:], *units[:start]] if unit not in done)
    return next(rest, None)


def answer(view: View, form: Query) -> tuple[Session, tuple[str, int]]:
    """Save what a form says, at once.

    Raises:
        UsageError: it says nothing, or a word that is not in the concept set.
        NotFoundError: there is no such unit.
    """
    session = Session.of(view, form)
    if not session.annotator:
        raise UsageError("Say who you are first.")
    layer, unit = read(view, (received(form.get("layer", "")), form.get("unit", "")))
    status, word = form.get("status", ""), form.get("label", "")
    if status == "own":
        word = _known(view, form.get("own", ""), form.get("new") == "1")
    given = Answer(
        layer, unit, status, word if status in ("label", "own") else "", session.annotator
    )
    Annotations(view.atlas).add(given)
    return session, (layer, unit)


def undo(view: View, form: Query) -> tuple[Session, tuple[str, int] | None]:
    """Take back the annotator's last answer; its unit, or None if there is none left."""
    session = Session.of(view, form)
    taken = Annotations(view.atlas).undo(session.annotator) if session.annotator else None
    there = taken is not None and taken.layer in view.layers
    return session, (taken.layer, taken.unit) if taken and there else None


def _known(view: View, word: str, new: bool) -> str:
    """A word as it stands in the concept set."""
    if not word.strip():
        raise UsageError("Type the word that fits, then press Enter.")
    known = {fold(concept): concept for concept in view.atlas.concepts["concept"]}
    if fold(word) not in known and not new:
        near = ", ".join(view.searcher().suggest(word))
        raise UsageError(
            f"“{word}” is not in the concept set. "
            + (f"Near: {near}. " if near else "")
            + "Tick “a new word” to use it all the same."
        )
    return known.get(fold(word), word.strip())


def complete(view: View, start: str, count: int = 12) -> list[str]:
    """Concepts that begin with some letters, then those that hold them."""
    wanted = fold(start)
    words = [str(word) for word in view.atlas.concepts["concept"]]
    if not wanted:
        return []
    first = [word for word in words if fold(word).startswith(wanted)]
    return (first + [w for w in words if wanted in fold(w) and w not in first])[:count]
