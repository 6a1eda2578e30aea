"""One atlas as the site sees it: tables read once and held by unit."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuronym._core.cached import cached
from neuronym._core.errors import NeuronymError
from neuronym._core.words import fold
from neuronym.analysis.evaluation.base import open_context, table
from neuronym.atlas import schema
from neuronym.atlas.reader import Atlas, first_of
from neuronym.atlas.schema import MANIFEST, LayerFacts
from neuronym.report.statement import ANALYSES
from neuronym.search.relations import Units
from neuronym.search.searcher import Hits, Searcher
from neuronym.web.addresses import segment

_QUICK = 3_000_000  # activations that can be compared within a request
LISTED = 10  # labels of each unit that an exported site has pages for
HIGH = 5  # images in a neuron's thumbnail strip


@dataclass(frozen=True)
class Label:
    """One label of a unit."""

    rank: int
    concept: str
    score: float | None


@dataclass(frozen=True)
class Heat:
    """The activation map of an exemplar, ready to be drawn over its small copy.

    Attributes:
        width, height: of the small copy, in its own units.
        seen: left, top, width and height of what the network sees.
        areas: by level, the paths around what is at least that high.
        outline: which of them has a line around it.
        crop: left, top, width and height of what the cell at the peak sees.
    """

    width: int
    height: int
    seen: tuple[int, int, int, int]
    areas: tuple[str, ...]
    outline: int
    crop: tuple[int, int, int, int]


@dataclass(frozen=True)
class Exemplar:
    """One of a unit's highest images. `y`, `x`: where the response peaks, as fractions."""

    rank: int
    image_id: str
    activation: float | None
    y: float | None
    x: float | None
    thumb: str | None
    heat: Heat | None = None


@dataclass(frozen=True)
class Card:
    """A unit in a list: its name, first label, and thumbnails."""

    layer: str
    unit: int
    concept: str | None
    score: float | None
    abstained: bool
    reason: str | None
    class_name: str | None
    thumbs: tuple[str, ...]
    confidence: float | None = None
    stability: float | None = None
    q: float | None = None
    also: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`layer4:1802`."""
        return f"{self.layer}:{self.unit}"


class View:
    """An atlas, held ready to be shown.

    Args:
        name: by which the site calls it.
        atlas: any.
        views: the atlases of the site, by name.
        chosen: of some layers the units that have pages, in order; None: all have.
    """

    def __init__(
        self,
        name: str,
        atlas: Atlas,
        views: dict[str, View] | None = None,
        chosen: dict[str, list[int]] | None = None,
    ) -> None:
        self.name, self.atlas, self.chosen = name, atlas, chosen
        self.stamp = stamp(atlas.folder)
        _check(atlas)
        self.units = Units(atlas)
        self._views = {} if views is None else views
        self._made: dict[Any, Any] = {}
        self._locks: dict[Any, threading.RLock] = {}
        self._cards: dict[tuple[int, str], Card] = {}

    @property
    def beside(self) -> dict[str, View]:
        """The other atlases of the site, by name."""
        return {name: view for name, view in self._views.items() if name != self.name}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives; made by the first who asks, while the others wait."""
        with self._locks.setdefault(key, threading.RLock()):
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    @property
    def layers(self) -> dict[str, LayerFacts]:
        """Layer name → its facts."""
        return self.atlas.layers

    @cached
    def paged(self) -> dict[str, list[int]]:
        """Layer → its units that have pages; only layers that have any."""
        if self.chosen is not None:
            return self.chosen
        return {layer: list(range(facts["units"])) for layer, facts in self.layers.items()}

    @cached
    def places(self) -> frozenset[int]:
        """The numbers of the units that have pages."""
        starts = self.units.starts
        return frozenset(starts[layer] + u for layer, units in self.paged.items() for u in units)

    @property
    def methods(self) -> list[str]:
        """The method-ids that have labels."""
        return self.atlas.methods

    def searcher(self, method: str | None = None) -> Searcher:
        """Searches the labels of a method; kept."""
        method = self.atlas.method(method)
        return self.once(("searcher", method), lambda: Searcher(self.atlas, method))

    def labels(self, method: str | None = None) -> Grouped:
        """The labels of a method with their trust, by unit."""
        method = self.atlas.method(method)
        return self.once(
            ("labels", method), lambda: Grouped(self.atlas.labels(method=method), self.units)
        )

    def findings(self, method: str, place: int) -> dict[str, dict[str, Any]]:
        """By analysis what it found about a unit's label."""
        return {
            name: rows[0]
            for name in ANALYSES
            if name in self.atlas.analyses(method)
            and (rows := self._found(name, method).of(place, 1))
        }

    def _found(self, analysis: str, method: str) -> Grouped:
        return self.once(
            ("trust", analysis, method),
            lambda: Grouped(self.atlas.trust(analysis, method=method), self.units),
        )

    @cached
    def bins(self) -> tuple[dict[str, dict[str, Any]], str]:
        """Layer → counts by interpretability (see `evaluation.bins`), and how they were made.

        Empty where nothing says from which score on a unit is interpretable.
        """
        with contextlib.suppress(NeuronymError):
            found = table("bins", open_context(self.atlas, self.methods[:1]))
            return {row["layer"]: row for row in found.records}, " ".join(found.notes)
        return {}, ""

    @cached
    def exemplars(self) -> Grouped:
        """The highest images, by unit."""
        return Grouped(self.atlas.exemplars(), self.units)

    @cached
    def facts(self) -> Grouped:
        """Statistics, by unit."""
        return Grouped(self.atlas.units, self.units)

    @property
    def title(self) -> str:
        """What the site calls it."""
        return str(self.atlas.shown.target.name)

    @cached
    def quick(self) -> bool:
        """Whether all kept activations can be compared with a neuron's within a request."""
        return len(self.units) * int(self.atlas.shown.probe.images or 0) <= _QUICK

    @cached
    def first_labels(self) -> pd.DataFrame:
        """The rank-1 rows of the first method, without units that abstain."""
        return first_of(self.labels().frame, abstaining=False)

    @cached
    def example(self) -> str:
        """A word that a search finds."""
        counts = self.first_labels["concept"].value_counts()
        return str(counts.index[0]) if len(counts) else "wheel"

    @cached
    def thumb_files(self) -> frozenset[str]:
        """The names of the thumbnails that the atlas has: plain files, no links out of it."""
        folder = self.atlas.folder / "thumbs"
        if folder.is_symlink() or not folder.is_dir():
            return frozenset()
        with contextlib.suppress(PermissionError), os.scandir(folder) as entries:
            return frozenset(
                entry.name
                for entry in entries
                if entry.name.endswith(".jpg") and entry.is_file(follow_symlinks=False)
            )
        return frozenset()

    @cached
    def image_ids(self) -> list[str]:
        """The ids of the images that count, in probe order."""
        return self.atlas.images["image_id"].tolist()

    @cached
    def thumbs(self) -> dict[str, str]:
        """image_id → file of its thumbnail, for the images that have one."""
        there = self.thumb_files
        images = self.atlas.images
        names = zip(images["image_id"], images["content_hash"], strict=True)
        files = {image_id: Path(schema.thumb_file(digest or "")).name for image_id, digest in names}
        return {image_id: file for image_id, file in files.items() if file in there}

    def thumb(self, image_id: str) -> str | None:
        """The address of an image's thumbnail below the site's root, or None."""
        file = self.thumbs.get(image_id)
        return f"a/{segment(self.name)}/thumbs/{file}" if file else None

    @cached
    def _layer_of(self) -> dict[str, str]:
        return {segment(layer): layer for layer in self.layers}

    def layer_of(self, part: str) -> str | None:
        """The layer that a part of an address stands for."""
        return self._layer_of.get(segment(part))

    @cached
    def labelled(self) -> frozenset[str]:
        """The folded words that the first method's labels have."""
        return frozenset(fold(word) for word in self.labels().words)

    @cached
    def known(self) -> frozenset[str]:
        """The folded words of the concept set."""
        return frozenset(fold(word) for word in self.atlas.concepts["concept"])

    @cached
    def words(self) -> dict[str, str]:
        """Part of an address → folded word, for all labels and concepts."""
        found = {fold(word) for method in self.methods for word in self.labels(method).words}
        found |= self.known
        return {segment(word): word for word in found}

    @cached
    def listed(self) -> frozenset[str]:
        """The folded words that have a page in an exported site: all first ten labels."""
        found = set[str]()
        for method in self.methods:
            labels = self.labels(method)
            wanted = (labels.frame["rank"] <= LISTED) & np.isin(labels.numbers, [*self.places])
            words = labels.frame["concept"][wanted].unique()
            found.update(fold(word) for word in words if isinstance(word, str))
        return frozenset(found)

    def best(self, count: int, **how: Any) -> pd.DataFrame:
        """Of the units that have pages those to rely on most; see `Atlas.top`."""
        if self.chosen is None:
            return self.atlas.top(count, **how)
        found = self.atlas.top(len(self.units), **how)
        shown = found[np.isin(self.units.numbers(found), [*self.places])].head(count)
        shown.attrs = found.attrs
        return shown

    # -- pieces of pages -------------------------------------------------------------------------

    def card(self, place: int, method: str | None = None, **also: Any) -> Card:
        """One unit for a list, with whatever else there is to say about it."""
        method = self.atlas.method(method)
        if (place, method) not in self._cards:
            self._cards[place, method] = self._card(place, method)
        made = self._cards[place, method]
        return dataclasses.replace(made, also=also) if also else made

    def _card(self, place: int, method: str) -> Card:
        layer, unit = self.units.layers[self.units.layer[place]], int(self.units.unit[place])
        labels = self.labels(method).of(place, 1)
        first = labels[0] if labels else {}
        thumbs = [self.thumb(row["image_id"]) for row in self.exemplars.of(place, HIGH)]
        return Card(
            layer,
            unit,
            first.get("concept"),
            number(first.get("score")),
            bool(first.get("abstained", True)),
            first.get("reason"),
            self.atlas.class_names(layer).get(unit),
            tuple(t for t in thumbs if t),
            number(first.get("confidence")),
            number(first.get("stability")),
            number(first.get("q")),
        )

    def activations(self, layer: str, unit: int) -> np.ndarray | None:
        """What a unit said about every image, or None where that was not kept."""
        try:
            return np.asarray(self.atlas.activations(layer)[:, unit])
        except NeuronymError:
            return None


class Grouped:
    """A table whose rows of any unit are found at once.

    Args:
        frame: with `layer` and `unit`.
        units: of the atlas.
    """

    def __init__(self, frame: pd.DataFrame, units: Units) -> None:
        numbers = units.numbers(frame)
        order = np.argsort(numbers, kind="stable")
        self.frame = frame.iloc[order].reset_index(drop=True)
        self.numbers = numbers[order]
        self._starts = np.searchsorted(self.numbers, np.arange(len(units) + 1))
        self._columns = {c: _plain(self.frame[c]) for c in self.frame.columns}

    @cached
    def words(self) -> list[str]:
        """The distinct concepts."""
        return [word for word in self.frame["concept"].unique() if isinstance(word, str)]

    def of(self, number: int, most: int | None = None) -> list[dict[str, Any]]:
        """The rows of a unit, or the first so many."""
        low, high = self._starts[number], self._starts[number + 1]
        high = high if most is None else min(high, low + most)
        return [{c: v[row] for c, v in self._columns.items()} for row in range(low, high)]


def _plain(column: pd.Series) -> np.ndarray:
    """The values, with None for what is missing: NaN would count as a text that is there."""
    return column.astype(object).where(column.notna(), None).to_numpy(object)


def stamp(folder: Path) -> tuple[int, int] | None:
    """By which one sees that an atlas was added to or replaced; None: it is gone."""
    try:
        found = os.stat(folder / MANIFEST)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _check(atlas: Atlas) -> None:
    """Refuse an atlas whose manifest and tables do not speak of the same neurons.

    Raises:
        NeuronymError: they differ; says in what.
    """
    layers = atlas.shown.target.layers
    total, there = sum(layer["units"] for layer in layers), len(atlas.units)
    if len(atlas.layers) != len(layers) or total != there:
        raise NeuronymError(
            f"The target.layers of {atlas.folder / MANIFEST} name a layer twice, or not those "
            f"of the atlas ({total:,} there, {there:,} in its tables). Make the atlas anew with "
            "`neuronym dissect --overwrite`."
        )


def by_layer(hits: Hits) -> tuple[tuple[str, int, float | None], ...]:
    """Of each layer: name, how many units were found, the best of what they are sorted by."""
    return tuple((row.layer, int(row.units), number(row.best)) for row in hits.layers.itertuples())


def number(value: Any) -> float | None:
    """A plain number; None for what is missing."""
    return None if value is None or value != value else float(value)
