"""One neuron: its images, its labels by every method, how sure they are, its relatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from neuronym._core.errors import NeuronymError
from neuronym._core.folders import without_folders
from neuronym.analysis.effect.kept import kept
from neuronym.analysis.effect.table import in_words
from neuronym.atlas import bands, maps
from neuronym.atlas.schema import TRUST
from neuronym.inputs.preprocess.geometry import Box
from neuronym.report.links import WIDTH, check_of, sign_of, way_back
from neuronym.report.statement import evidence, kin, why_unknown, word_families
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.view import Card, Exemplar, Grouped, Heat, Label, View, number

_BINS = 40
_LIKE = 6
_EACH = 3  # images of each band
_SIDE = 200  # the longer side of what maps are drawn in
PICTURES = ("picture", "heat", "crop")
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
class Range:
    """Images from the whole range of the activation, by band; see `atlas.bands`.

    `density`: the share of the images above `level`, half way from the mean to the highest.
    """

    bands: dict[str, tuple[Exemplar, ...]]
    level: float
    density: float


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
    no_maps: str | None  # why there are none
    pictures: str  # how the images are shown at first: one of PICTURES
    histogram: Histogram | None
    range: Range | None
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
    """All units that have pages."""
    for layer, units in view.paged.items():
        for unit in units:
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
    exemplars, maps_note = _exemplars(view, layer, index, rows)
    statistics = {k: v for k, v in view.facts.of(place)[0].items() if k not in ("layer", "unit")}
    target, values = view.title, view.activations(layer, index)
    own = view.atlas.class_names(layer).get(index)
    first = next((m.labels[0] for m in methods[:1] if m.labels and not m.abstained), None)
    said = f"“{first.concept}”" if first else "no label"
    paged = view.paged.get(layer, [])
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
        maps_note,
        query["pictures"] if query.get("pictures") in PICTURES[1:] else PICTURES[0],
        _histogram(values),
        _range(view, values),
        _equation(view, layer, index),
        {way: _links(view, place, way) for way in ("fed by", "feeds")},
        _like(view, layer, index, ways),
        ways != WAYS and values is not None,
        max((unit for unit in paged if unit < index), default=None),
        min((unit for unit in paged if unit > index), default=None),
        _citation(view, layer, index, methods),
    )


def _exemplars(
    view: View, layer: str, index: int, rows: list[dict[str, Any]]
) -> tuple[tuple[Exemplar, ...], str | None]:
    """The highest images, and why none of them has a map, if none has."""
    found = [
        Exemplar(
            int(row["rank"]),
            row["image_id"],
            number(row["activation"]),
            number(row["y"]),
            number(row["x"]),
            view.thumb(row["image_id"]),
        )
        for row in rows
    ]
    try:
        share: Any = maps.shares(view.atlas[layer, index])
        note = None
    except NeuronymError as error:
        share, note = (), without_folders(str(error))
    for place, (exemplar, one) in enumerate(zip(found, share, strict=False)):
        if exemplar.thumb and exemplar.y is not None and exemplar.x is not None:
            peak = (exemplar.y, exemplar.x)
            found[place] = replace(exemplar, heat=_heat(view, layer, exemplar.image_id, peak, one))
    return tuple(found), note


def _heat(
    view: View, layer: str, image_id: str, peak: tuple[float, float], share: np.ndarray
) -> Heat:
    """A map as paths: no picture has to be made, sent or kept for it."""
    place = maps.place_of(view.atlas, layer, image_id, *peak)
    width, height = view.atlas.sizes[image_id]
    size = tuple(max(1, round(_SIDE * side / max(width, height))) for side in (width, height))

    def box(edges: Box) -> tuple[int, int, int, int]:
        left, top, right, bottom = (min(max(edge, 0.0), 1.0) for edge in edges)
        x, y = round(left * size[0]), round(top * size[1])
        return x, y, max(1, round(right * size[0]) - x), max(1, round(bottom * size[1]) - y)

    window = place.window
    paths = (
        "".join(_path(ring * size) for ring in maps.areas(share, window, level))
        for level in maps.LEVELS
    )
    edges = (window.left, window.top, window.right, window.bottom)
    return Heat(size[0], size[1], box(edges), tuple(paths), maps.OUTLINE, box(place.crop))


def _path(ring: np.ndarray) -> str:
    """A closed ring `[point, (x, y)]` as a path in whole numbers, each relative to the last."""
    points = np.rint(ring).astype(int)
    steps = np.diff(points, axis=0)[:-1]
    moved = steps[np.any(steps != 0, axis=1)].tolist()
    line = "l" + " ".join(f"{x} {y}" for x, y in moved) if moved else ""
    return f"M{points[0, 0]} {points[0, 1]}{line}z"


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
        return (without_folders(str(error)),)
    return tuple(said for found in there if (said := in_words(found, layer, unit)) is not None)


def _histogram(values: np.ndarray | None) -> Histogram | None:
    if values is None:
        return None
    values = values[np.isfinite(values)]
    if not len(values) or values.min() == values.max():
        return None
    counts, edges = np.histogram(values.astype(np.float64), _BINS)
    return Histogram(float(edges[0]), float(edges[-1]), tuple(map(int, counts)))


def _range(view: View, values: np.ndarray | None) -> Range | None:
    if values is None or not np.isfinite(values).any() or np.nanmin(values) == np.nanmax(values):
        return None
    images = view.image_ids
    tie, shown = (
        view.once("tie", lambda: view.atlas.tie),
        view.once(
            "shown", lambda: np.array([view.thumb(image_id) is not None for image_id in images])
        ),
    )
    found = {
        band.name: tuple(
            Exemplar(0, images[row], float(values[row]), None, None, view.thumb(images[row]))
            for row in rows.tolist()
        )
        for band, rows in zip(bands.BANDS, bands.examples(values, tie, shown, _EACH), strict=True)
    }
    level = bands.level_of(values)
    return Range(found, level, bands.density(values, level))


def _equation(view: View, layer: str, unit: int) -> str | None:
    """`wheel + window → car`: what feeds it, in labels; None: not known."""
    if not any(facts.to_layer == layer for facts in view.atlas.shown.links.values()):
        return None
    return way_back(view.atlas, layer, unit, 1).equation


def _links(view: View, place: int, way: str) -> tuple[Link, ...]:
    """The surest links to a unit, or from it; none where they were not looked for."""
    if not view.atlas.shown.links:
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
        numbers: Any = view.units.numbers(frame) if len(frame) else []
        cards = (
            view.card(int(n), likeness=round(float(value), 3))
            for n, value in zip(numbers, frame["likeness"], strict=True)
        )
        found[way] = tuple(cards)
    return found


def _citation(view: View, layer: str, unit: int, methods: tuple[Method, ...]) -> str:
    """One line to copy."""
    manifest = view.atlas.shown
    said = [
        f"{m.name}: {m.labels[0].concept if m.labels and not m.abstained else 'no label'}"
        for m in methods[:1]
    ]
    return (
        f"{layer}:{unit} of {manifest.target.name} ({'; '.join(said) or 'no label'}), "
        f"{manifest.probe.name}, {manifest.concepts.name}, "
        f"{manifest.encoder.name}, neuronym {manifest.neuronym}".rstrip()
    )
