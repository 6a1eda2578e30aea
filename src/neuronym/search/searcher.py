"""Concepts, pictures or units → units."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from neuronym._core.cached import cached
from neuronym._core.checks import choice
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.terminal import counted
from neuronym._core.words import fold
from neuronym.atlas.context import Sources
from neuronym.search.places import at_place
from neuronym.search.relations import Relations, products
from neuronym.search.scoring import Scorer, by_encoder, by_target
from neuronym.search.words import ExemplarIndex, Labels

if TYPE_CHECKING:
    from PIL.Image import Image

    from neuronym.atlas.reader import Atlas
    from neuronym.inputs.encoders.base import Encoder


#: Where a word is looked for.
PLACES = ("labels", "images", "scores")
_EXEMPLARS = 20  # of each unit, whose annotations and paths are searched


@dataclass(frozen=True, eq=False)
class Hits:
    """What a search found.

    Attributes:
        query: what was looked for.
        units: one row per unit, best first. Of a word: layer, unit, rank (missing where a score
            is below those of all kept labels), concept, score, found (`label`, `image` or `score`),
            matched (the label, annotation or part of a path), images (how many of the unit's
            exemplars match). Of a picture or unit: see `by_picture`.
        known: whether the word is in the concept set.
        suggestions: concepts spelled like it, where it is not.
        related: concepts that mean nearly the same (nearest text embeddings), where the word is not
            in the concept set or no label matches it.
        note: what a reader has to know, or "".
        hidden: how many units were left out because their labels do no better than chance.
    """

    query: str
    units: pd.DataFrame
    known: bool = True
    suggestions: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    note: str = ""
    hidden: int = 0
    top: int = 20
    of: Searcher | None = field(default=None, repr=False)

    def _repr_html_(self) -> str | None:
        if self.of is None:
            return None
        notes = "".join(f"<p>{escape(note)}</p>" for note in [self.note] if note)
        return notes + self.of.atlas.gallery(self.units, method=self.of.method).html

    @property
    def layers(self) -> pd.DataFrame:
        """layer, units (how many were found), best (of what units are sorted by).

        Of the units that were scored anew those count for which the word would be one of the first
        `top` labels. Those that only their images match have no score of the word.
        """
        counted = self.units
        by = next(name for name in ("likeness", "deviation", "score") if name in counted)
        values = counted[by].to_numpy(np.float64)
        if "found" in counted:
            values = np.where(counted["found"] == "image", np.nan, values)
            there = (counted["found"] != "score") | counted["rank"].le(self.top).fillna(False)
            counted, values = counted[there], values[there.to_numpy(bool)]
        codes, names = pd.factorize(counted["layer"])
        best = np.full(len(names), np.nan)
        np.fmax.at(best, codes, values)
        units = np.bincount(codes, minlength=len(names))
        return pd.DataFrame({"layer": names, "units": units, "best": best})


class Searcher:
    """An atlas held ready for many searches: what one search builds, the next ones use.

    Args:
        atlas: any.
        method: whose labels. None: the first method's.
        sources: to embed pictures, and words that are not concepts. None: those of the atlas.
    """

    def __init__(
        self, atlas: Atlas, method: str | None = None, *, sources: Sources | None = None
    ) -> None:
        self.atlas, self.method, self._given = atlas, atlas.method(method), sources
        self._running = threading.Lock()  # networks answer one request at a time

    def find(
        self,
        text: str,
        *,
        match: str = "substring",
        places: Sequence[str] | None = None,
        layers: Iterable[str] | None = None,
        top: int = 10,
        abstained: bool = False,
    ) -> Hits:
        """Units by a word or phrase; one row per unit, sorted by score.

        Args:
            text: in any case.
            match: `exact`, `substring` or `stem`.
            places: where to look: `labels`, the first `top` labels (the best-ranked match counts);
                `images`, annotations and paths of the 20 highest images (rank is that of the
                first which matches, concept and score are of the unit's first label); `scores`,
                the score of the word for every unit. None: labels and images; and scores, where
                the word is not a concept.
            layers: only these, by exact name.
            top: labels of each unit that are looked at.
            abstained: also units whose labels do not beat chance. Without it they come by their
                images only.

        Raises:
            UsageError: an empty text, an unknown layer, match or place.
            NeuronymError: `scores` was asked for, and something it takes is missing.
        """
        word = fold(text)
        if not word:
            raise UsageError("Expected a word or phrase to search for, got an empty one.")
        for place in places or ():
            choice("in", place, PLACES)
        chosen = ("labels", "images") if places is None else places
        known, parts, notes = word in self._concepts, [], []
        asked = self._concepts.get(word, " ".join(text.split()))
        if asked in self._same:
            notes.append(
                f"{asked!r} is one with {self._same[asked]!r} to the encoder: labels have that."
            )
        if "labels" in chosen:
            parts.append(self._by_labels(text, match, top))
            if asked in self._same:
                parts.append(self._by_labels(self._same[asked], "exact", top))
        if "scores" in chosen or (places is None and not known):
            try:
                parts.append(self._by_scores(asked))
                if not known:
                    notes.append(f"{text!r} is not in the concept set: it was scored anew.")
            except NeuronymError as error:
                if "scores" in chosen:
                    raise
                notes.append(
                    f"{text!r} is not in the concept set, and could not be scored: {error}"
                )
        parts, hidden = (parts, 0) if abstained else self._beyond_chance(parts, layers)
        if hidden:
            do = "does" if hidden == 1 else "do"
            notes.append(f"{counted(hidden, 'more neuron')} {do} no better than chance: left out.")
        if "images" in chosen:
            parts.append(self._by_images(text, match))
        units = self._within(self._merged(parts), layers)
        suggestions = () if known else self.suggest(text)
        found = any(part.found != "image" and len(part) for part in parts)
        related = () if known and found else self._near(asked, known)
        return Hits(text, units, known, suggestions, related, " ".join(notes), hidden, top, self)

    def suggest(self, text: str, count: int = 5) -> tuple[str, ...]:
        """Concepts spelled like the text, best first."""
        from rapidfuzz import process
        from rapidfuzz.distance import OSA  # an exchange of two letters is one mistake

        word = fold(text)
        found = process.extract(
            word,
            list(self._concepts),
            scorer=OSA.distance,
            limit=count,
            score_cutoff=max(1, len(word) // 3),
        )
        return tuple(self._concepts[near] for near, _, _ in found if near != word)

    def related(self, word: str, count: int = 12) -> list[tuple[str, float]]:
        """The concepts whose text embeddings are nearest to a word's, with the cosine."""
        texts, row = self._texts, self._rows.get(fold(word))
        cosines = products(texts, self.scorer.vector(word) if row is None else texts[row])
        near = np.argsort(-cosines, kind="stable")[: count + 1]
        names = self.atlas.concepts["concept"].iloc[near]
        pairs = zip(map(str, names), cosines[near].tolist(), strict=True)
        return [(name, cosine) for name, cosine in pairs if fold(name) != fold(word)][:count]

    def _near(self, word: str, known: bool, count: int = 6) -> tuple[str, ...]:
        """Concepts near in meaning; of a new word only if it was embedded already."""
        try:
            ready = known or self.scorer.embedded(word)
            return tuple(name for name, _ in self.related(word, count)) if ready else ()
        except NeuronymError:  # no text embeddings, or no similarity of words
            return ()

    def by_picture(
        self, picture: Image, *, by: str = "target", layers: Iterable[str] | None = None
    ) -> Hits:
        """Units by a picture, with their first label.

        Args:
            picture: RGB.
            by: `target`: run the network; units whose activation exceeds their mean by most
                standard deviations come first (activation, deviation, share of the probe's images
                that activate the unit less). `encoder`: units whose exemplars look like it
                (likeness).
            layers: only these.

        Raises:
            UsageError, NeuronymError: target or encoder cannot be opened.
        """
        with self._running:
            if choice("by", by, ("target", "encoder")) == "target":
                found, order = by_target(self.sources, picture), "deviation"
            else:
                found = by_encoder(self.sources, self._encoder, self.relations, picture)
                order = "likeness"
        found = found[np.isfinite(found[order])].sort_values(order, ascending=False, kind="stable")
        return Hits("picture", self._within(self._labelled(found), layers), of=self)

    def at(
        self,
        picture: Image,
        point: Sequence[float] | None = None,
        box: Sequence[float] | None = None,
        *,
        layers: Iterable[str] | None = None,
    ) -> Hits:
        """Units by what they say at one place of a picture, with label and confidence.

        See `search.places.at_place` for `here` and `strength`; the strongest come first.

        Args:
            picture: RGB, upright.
            point: x and y in pixels.
            box: left, top, right, bottom in pixels.
            layers: only these.

        Raises:
            UsageError, NeuronymError: no such place, no maps, or the target cannot be opened.
        """
        with self._running:
            found = at_place(self.sources, picture, point, box)
        found = found[np.isfinite(found["strength"])]
        units = self._labelled(found.sort_values("strength", ascending=False, kind="stable"))
        first = self.atlas.first_labels(method=self.method)
        if "confidence" in first:
            units = units.merge(first[["layer", "unit", "confidence"]], "left", ["layer", "unit"])
        return Hits("place", self._within(units, layers), of=self)

    def like(
        self,
        layer: str,
        unit: int,
        *,
        by: str = "exemplars",
        layers: Iterable[str] | None = None,
        count: int = 20,
    ) -> Hits:
        """Units like one, with their first label and `likeness`; see `Relations.like`."""
        found = self.relations.like(layer, unit, by, len(self.relations.units))
        units = self._within(self._labelled(found), layers).head(count)
        return Hits(f"{layer}:{unit}", units, of=self)

    def layers_like(self, patterns: Iterable[str]) -> list[str]:
        """The layers that names or patterns such as `layer4*` stand for, each once.

        What stands for none stays as it is, for the search to refuse.
        """
        found = [fnmatch.filter(self.atlas.layers, name) or [name] for name in patterns]
        return list(dict.fromkeys(layer for layers in found for layer in layers))

    # -- built once ------------------------------------------------------------------------------

    @cached
    def sources(self) -> Sources:
        """What the atlas was made from."""
        return self._given or Sources(self.atlas)

    @cached
    def scorer(self) -> Scorer:
        """Scores words with the method's similarity."""
        return Scorer(self.atlas, self.method, self._embed)

    def _embed(self, words: Sequence[str]) -> np.ndarray:
        with self._running:
            # Not kept on disk: a file per word that anyone types would save a few milliseconds.
            return self.sources.embed_words(words, encoder=self._encoder, keep=False)

    @cached
    def _encoder(self) -> Encoder:
        """Opened once: that takes seconds."""
        return self.sources.encoder()

    @cached
    def relations(self) -> Relations:
        """Unit ↔ unit."""
        return Relations(self.atlas, self.method)

    @cached
    def _labels(self) -> Labels:
        return Labels.of(self.atlas, self.method, self.relations)

    @cached
    def _exemplars(self) -> ExemplarIndex:
        return ExemplarIndex(self.atlas, self.relations.units, _EXEMPLARS)

    @cached
    def _concepts(self) -> dict[str, str]:
        """Folded → as it stands in the concept set."""
        return {fold(word): word for word in reversed(list(self.atlas.concepts["concept"]))}

    @cached
    def _same(self) -> dict[str, str]:
        """Words that are one with another to the encoder → that word."""
        frame = self.atlas.concepts
        if "same_as" not in frame:
            return {}
        same = frame[frame["same_as"].notna()]
        return dict(zip(same["concept"], same["same_as"], strict=True))

    @cached
    def _texts(self) -> np.ndarray:
        return np.asarray(self.atlas.embeddings()["concepts"])

    @cached
    def _rows(self) -> dict[str, int]:
        """Folded concept → row of its text embedding."""
        words = enumerate(self.atlas.concepts["concept"])
        return {fold(word): row for row, word in reversed(list(words))}

    # -- parts -----------------------------------------------------------------------------------

    def _by_labels(self, text: str, match: str, top: int) -> _Part:
        table = self._labels
        rows = table.index.find(text, match)
        rows = rows[table.rank[rows] <= top]
        rows = rows[np.argsort(table.rank[rows], kind="stable")]
        units, first = np.unique(table.unit[rows], return_index=True)
        best = rows[first]
        words = table.words[best]
        return _Part("label", units, table.rank[best], words, table.score[best], words)

    def _by_images(self, text: str, match: str) -> _Part:
        seen = self._exemplars.find(text, match)
        concepts, scores = self._labels.of_first(seen.units)
        return _Part("image", seen.units, seen.ranks, concepts, scores, seen.words, seen.counts)

    def _by_scores(self, word: str) -> _Part:
        units, scores = [], []
        for layer, values in self.scorer.score(word).items():
            there = np.flatnonzero(np.isfinite(values))
            units.append(self.relations.units.starts[layer] + there)
            scores.append(values[there])
        numbers, found = np.concatenate(units), np.concatenate(scores)
        words = np.full(len(numbers), word, object)
        ranks = self._labels.rank_of(word, numbers, found)
        return _Part("score", numbers, ranks, words, found, words)

    def _beyond_chance(
        self, parts: Sequence[_Part], layers: Iterable[str] | None
    ) -> tuple[list[_Part], int]:
        """The parts without units whose labels do not beat chance, and how many those were."""
        left = np.zeros(len(self.relations.units), bool)
        for part in parts:
            left[part.units] = self._labels.abstains[part.units]
        hidden = self._within(self.relations.units.frame(np.flatnonzero(left)), layers)
        return [part.only(~left[part.units]) for part in parts], len(hidden)

    def _merged(self, parts: Sequence[_Part]) -> pd.DataFrame:
        """One row per unit, of the first part that has it; those found by images alone last."""
        source = np.full(len(self.relations.units), -1, np.int64)
        images = np.zeros(len(source), np.int64)
        for number, part in reversed(list(enumerate(parts))):
            source[part.units] = number
            images[part.units] = np.maximum(images[part.units], part.images)
        kept = [part.only(source[part.units] == n) for n, part in enumerate(parts)]
        names = ("units", "ranks", "concepts", "scores", "matched")
        units, ranks, concepts, scores, matched = (
            np.concatenate([getattr(part, name) for part in kept]) for name in names
        )
        found = np.repeat(np.array([part.found for part in kept], object), [len(p) for p in kept])
        alone = found == "image"
        order = np.lexsort(
            (units, -np.nan_to_num(scores, nan=-np.inf), -images[units] * alone, alone)
        )
        ranks = pd.array(ranks[order].astype(float), "Int64")  # whole numbers, some missing
        return self.relations.units.frame(
            units[order],
            rank=ranks,
            concept=concepts[order],
            score=scores[order],
            found=found[order],
            matched=matched[order],
            images=images[units[order]],
        )

    def _labelled(self, found: pd.DataFrame) -> pd.DataFrame:
        """Units with the concept and score of their first label."""
        concept, score = self._labels.of_first(self.relations.units.numbers(found))
        return found.assign(concept=concept, score=score).reset_index(drop=True)

    def _within(self, found: pd.DataFrame, layers: Iterable[str] | None) -> pd.DataFrame:
        if layers is None:
            return found
        wanted = list(layers)
        for layer in wanted:
            self.atlas.check_unit(layer)
        return found[found["layer"].isin(wanted)].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class _Part:
    """Units found in one place, each once; see `Hits.units`."""

    found: str
    units: np.ndarray
    ranks: np.ndarray
    concepts: np.ndarray
    scores: np.ndarray
    matched: np.ndarray
    images: np.ndarray | int = 0

    def __len__(self) -> int:
        return len(self.units)

    def only(self, keep: np.ndarray) -> _Part:
        """Some of the units."""
        arrays = (self.units, self.ranks, self.concepts, self.scores, self.matched)
        return _Part(self.found, *(array[keep] for array in arrays))
