"""One neuron: its images, its labels by every method, how sure they are, its relatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from neuronym._core.errors import NeuronymError
from neuronym.analysis.effect.kept import kept
from neuronym.analysis.effect.table import in_words
from neuronym.atlas.schema import TRUST
from neuronym.report.links import WIDTH, check_of, sign_of, way_back
from neuronym.report.statement import evidence, kin, why_unknown, word_families
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.view import Card, Exemplar, Grouped, Label, View, number

_BINS = 40
_LIKE = 6
WAYS = ("exemplars", "labels", "activations")


@dataclass(frozen=True)
class Method:
    """What one labelling method says about the unit."""

    name: str
    labels: tuple[Label, ...]
    abstained: bool
    reason: str | None
    trust: dict[str, float | None]
    caveats: tuple[str, ...]
    evidence: tuple[str, ...]
    unknown: str | None  # why its confidence is not known
    family: tuple[str, ...]  # of the next labels those of the first one's family

    @property
    def span(self) -> tuple[float, float]:
        """The smallest and largest score, and 0: the ends of the bars."""
        scores = [0.0, *(label.score for label in self.labels if label.score is not None)]
        return min(scores), max(scores)


@dataclass(frozen=True)
class Histogram:
    """How often the unit has which activation: `counts` between `low` and `high`."""

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Link:
    """A unit that feeds this one, or is fed by it.

    Attributes:
        other: that unit.
        sign: + or −: which way the source drives the target.
        check: what ablation said, in words.
        effect, low, high: of the ablation, with the ends of its interval.
        correlation, weight: of the two; None: not known.
    """

    other: Card
    sign: str
    check: str
    effect: float | None
    low: float | None
    high: float | None
    correlation: float | None
    weight: float | None


@dataclass(frozen=True)
class UnitPage(Page):
    """One neuron."""

    template: ClassVar[str] = "unit.html"
    layer: str
    unit: int
    target: str
    class_name: str | None
    facts: dict[str, Any]
    methods: tuple[Method, ...]
    effects: tuple[str, ...]  # what it does to the output, by each way it was measured in
    exemplars: tuple[Exemplar, ...]
    histogram: Histogram | None
    equation: str | None
    links: dict[str, tuple[Link, ...]]
    like: dict[str, tuple[Card, ...]]
    more: bool  # likeness by activations takes long here and has to be asked for
    previous: int | None
    next: int | None
    citation: str

    @property
    def name(self) -> str:
        """`layer4:1802`."""
        return f"{self.layer}:{self.unit}"


def every(view: View) -> Iterator[tuple[str, ...]]:
    """All units."""
    for layer, facts in view.layers.items():
        for unit in range(facts["units"]):
            yield layer, str(unit)


@page("unit", every)
def unit(view: View, parts: tuple[str, ...], query: Query) -> UnitPage:
    """The page of one unit."""
    layer, index = read(view, parts)
    place = view.units.starts[layer] + index
    methods = tuple(
        _method(view, name, place, rows)
        for name in view.methods
        if (rows := view.labels(name).of(place))
    )
    rows = view.exemplars.of(place)
    ways = WAYS if view.quick or query.get("like") == "activations" else WAYS[:2]
    exemplars = tuple(
        Exemplar(
            int(row["rank"]),
            row["image_id"],
            number(row["activation"]),
            number(row["y"]),
            number(row["x"]),
            view.thumb(row["image_id"]),
        )
        for row in rows
    )
    statistics = {k: v for k, v in view.facts.of(place)[0].items() if k not in ("layer", "unit")}
    target = view.title
    own = view.atlas.class_names(layer).get(index)
    first = next((m.labels[0] for m in methods[:1] if m.labels and not m.abstained), None)
    said = f"“{first.concept}”" if first else "no label"
    units = view.layers[layer]["units"]
    return UnitPage(
        f"{layer}:{index} · {first.concept if first else 'no label'} · {target}",
        f"Neuron {layer}:{index} of {target}: {said}. Its highest activating images and labels.",
        ("a", view.name, "unit", layer, str(index)),
        layer,
        index,
        target,
        own,
        statistics,
        methods,
        _effects(view, layer, index),
        exemplars,
        _histogram(view.activations(layer, index)),
        _equation(view, layer, index),
        {way: _links(view, place, way) for way in ("fed by", "feeds")},
        _like(view, layer, index, ways),
        ways != WAYS and view.activations(layer, index) is not None,
        index - 1 if index else None,
        index + 1 if index + 1 < units else None,
        _citation(view, layer, index, methods),
    )


def read(view: View, parts: tuple[str, ...]) -> tuple[str, int]:
    """Layer and unit of an address."""
    layer = view.layer_of(parts[0]) if len(parts) == 2 else None
    if layer is None or not (parts[1].isdecimal() and parts[1].isascii() and len(parts[1]) < 9):
        raise NotFoundError(f"{view.name} has no neuron {':'.join(parts)[:80]}.")
    if int(parts[1]) >= view.layers[layer]["units"]:
        count = view.layers[layer]["units"]
        raise NotFoundError(f"{layer} has the neurons 0…{count - 1}, not {parts[1]}.")
    return layer, int(parts[1])


def _method(view: View, name: str, place: int, rows: list[dict[str, Any]]) -> Method:
    first = rows[0]
    labels = tuple(
        Label(int(row["rank"]), row["concept"], number(row["score"]))
        for row in rows
        if isinstance(row["concept"], str)
    )
    trust = {key: number(first[key]) for key in TRUST if key in first}
    reason = first["reason"] if isinstance(first["reason"], str) else None
    known = any(value is not None for value in trust.values())
    caveats = tuple(view.atlas.caveats(name)) if known else ()
    told = tuple(evidence(view.atlas, name, view.findings(name, place))) if labels else ()
    unknown = why_unknown(view.atlas, name)
    silent = bool(first["abstained"])
    families = view.once("families", lambda: word_families(view.atlas))
    family = tuple(kin(families, (label.concept for label in labels)))
    return Method(name, labels, silent, reason, trust, caveats, told, unknown, family)


def _effects(view: View, layer: str, unit: int) -> tuple[str, ...]:
    try:
        there = view.once(("effects", layer), lambda: kept(view.atlas, layer))
    except NeuronymError as error:
        return (str(error),)
    return tuple(said for found in there if (said := in_words(found, layer, unit)) is not None)


def _histogram(values: np.ndarray | None) -> Histogram | None:
    if values is None:
        return None
    values = values[np.isfinite(values)]
    if not len(values) or values.min() == values.max():
        return None
    counts, edges = np.histogram(values.astype(np.float64), _BINS)
    return Histogram(float(edges[0]), float(edges[-1]), tuple(map(int, counts)))


def _equation(view: View, layer: str, unit: int) -> str | None:
    """`wheel + window → car`: what feeds it, in labels; None: not known."""
    if not any(facts.to_layer == layer for facts in view.atlas.manifest.links.values()):
        return None
    return way_back(view.atlas, layer, unit, 1).equation


def _links(view: View, place: int, way: str) -> tuple[Link, ...]:
    """The surest links to a unit, or from it; none where they were not looked for."""
    if not view.atlas.manifest.links:
        return ()
    own, other = ("to", "from") if way == "fed by" else ("from", "to")

    def grouped() -> Grouped:
        frame = view.atlas.links().rename(columns={f"{own}_layer": "layer", f"{own}_unit": "unit"})
        sure = frame["effect"].abs().where(frame["confirmed"] == True, 0).fillna(0)  # noqa: E712
        frame = frame.assign(_sure=sure - (frame["confirmed"] == False))  # noqa: E712
        ordered = frame.sort_values(["_sure", "strength"], ascending=False, kind="stable")
        return Grouped(ordered.drop(columns="_sure"), view.units)

    found = []
    for row in view.once(("links", way), grouped).of(place, 2 * WIDTH):
        number_of = view.units.starts[row[f"{other}_layer"]] + int(row[f"{other}_unit"])
        names = ("effect", "effect_low", "effect_high", "correlation", "weight")
        values = (number(row[name]) for name in names)
        found.append(Link(view.card(number_of), sign_of(row), check_of(row), *values))
    return tuple(found)


def _like(view: View, layer: str, unit: int, ways: tuple[str, ...]) -> dict[str, tuple[Card, ...]]:
    relations, found = view.searcher().relations, {}
    for way in ways:
        try:
            frame = relations.like(layer, unit, way, _LIKE)
        except (NeuronymError, KeyError):  # the atlas does not hold what it takes
            continue
        numbers = view.units.numbers(frame) if len(frame) else []
        cards = (
            view.card(int(n), likeness=round(float(value), 3))
            for n, value in zip(numbers, frame["likeness"], strict=True)
        )
        found[way] = tuple(cards)
    return found


def _citation(view: View, layer: str, unit: int, methods: tuple[Method, ...]) -> str:
    """One line to copy."""
    manifest = view.atlas.manifest
    said = [
        f"{m.name}: {m.labels[0].concept if m.labels and not m.abstained else 'no label'}"
        for m in methods[:1]
    ]
    return (
        f"{layer}:{unit} of {manifest.target.name} ({'; '.join(said) or 'no label'}), "
        f"{manifest.probe.name}, {manifest.concepts.name}, "
        f"{manifest.encoder.name}, neuronym {manifest.neuronym}".rstrip()
    )
