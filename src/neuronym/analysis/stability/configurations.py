"""What is studied, each atlas with each clip-dissect method, and what a difference decides."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64

from neuronym._core import hashing
from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.registry import parse
from neuronym._core.words import fold
from neuronym.analysis.matching import Vocabulary, vocabulary
from neuronym.analysis.stability.measures import jaccard, mean_interval, rbo, same_first
from neuronym.atlas.reader import Atlas
from neuronym.atlas.schema import MethodFacts

#: What two configurations can differ in, as tables name it.
ASPECTS = ("probe", "concepts", "templates", "encoder", "similarity", "pooling", "dtype")
#: How alike the labels of a pair of configurations are, as tables name it.
COLUMNS = ("same", "synonyms", "jaccard", "rbo")
_UNIT = ["differs", "a", "b", "layer", "unit", "label_a", "label_b", *COLUMNS, "possible"]
_LAYER = [
    "differs",
    "a",
    "b",
    "layer",
    "units",
    "possible",
    *(f"{name}{end}" for name in COLUMNS for end in ("", "_low", "_high")),
]


@dataclass(frozen=True, eq=False)
class Configuration:
    """The labels of one method in one atlas.

    Attributes:
        name: probe, concepts, similarity, and what else tells it from the others.
        atlas: where the labels are.
        method: a method-id of it.
        layers: studied here, in network order.
    """

    name: str
    atlas: Atlas
    method: str
    layers: tuple[str, ...]

    @property
    def facts(self) -> MethodFacts:
        """What the manifest says of the method."""
        return self.atlas.manifest.methods[self.method]

    @property
    def similarity(self) -> str:
        """As it was asked for, such as `soft-wpmi`."""
        return self.facts["similarity"]

    @functools.cached_property
    def aspects(self) -> dict[str, Any]:
        """A value for each of `ASPECTS` that is equal where two configurations agree in it."""
        manifest = self.atlas.manifest
        pooling = {e["layer"]: e.get("pool") for e in manifest.target.layers}
        return {
            "probe": manifest.probe.fingerprint,
            "concepts": hashing.of_texts(self.atlas.concepts["concept"]),
            "templates": tuple(manifest.concepts.templates),
            "encoder": manifest.encoder.fingerprint,
            "similarity": self.facts.get("with_defaults", self.similarity),
            "pooling": tuple(pooling.get(layer) for layer in self.layers),
            "dtype": manifest.dtype,
        }

    @property
    def row(self) -> dict[str, Any]:
        """For the table of configurations."""
        manifest = self.atlas.manifest
        return {
            "configuration": self.name,
            "atlas": str(self.atlas.folder),
            "method": self.method,
            "probe": manifest.probe.name,
            "images": manifest.probe.images,
            "concepts": manifest.concepts.name,
            "words": len(self.atlas.concepts),
            "templates": list(manifest.concepts.templates),
            "encoder": manifest.encoder.name,
            "similarity": self.similarity,
            "with_defaults": self.facts.get("with_defaults"),
            "probe_fingerprint": manifest.probe.fingerprint,
            "concepts_fingerprint": manifest.concepts.fingerprint,
            "encoder_fingerprint": manifest.encoder.fingerprint,
        }


def configurations(
    atlases: Sequence[Atlas], method: str | None = None, layers: Sequence[str] | None = None
) -> list[Configuration]:
    """Every clip-dissect method of every atlas, if the atlases are of one target.

    Args:
        atlases: at least one.
        method: only this method (its id, the name it was asked for, or its similarity).
        layers: only these, by exact name.

    Raises:
        UsageError: other targets, an atlas without such labels, an unknown layer.
    """
    atlases = list({atlas.folder.resolve(): atlas for atlas in atlases}.values())
    if not atlases:
        raise misuse("atlases", "at least one", Verbatim("none"))
    _check_targets(atlases)
    found = []
    for atlas in atlases:
        ids = _methods(atlas, method)
        for name in ids:
            known = atlas.labelled_layers(name)
            if layers is not None:
                for layer in layers:
                    atlas.check_unit(layer)
                known = [layer for layer in known if layer in set(layers)]
            if known:
                found.append(Configuration("", atlas, name, tuple(known)))
    if not found:
        raise misuse("layers", "some that the methods have labelled", list(layers or ()))
    return _named(found)


def short(name: str) -> str:
    """A name without folders.

    >>> short("folder:/data/photos"), short("conse:efficientnet-lite2"), short("english-10k")
    ('photos', 'conse:efficientnet-lite2', 'english-10k')
    """
    try:
        parsed = parse(name)
    except UsageError:  # a union, or a Python object
        return name
    detail = PurePath(parsed.detail).name if parsed.detail else ""
    return detail if detail and detail != parsed.detail else name


def differences(a: Configuration, b: Configuration) -> list[str]:
    """The aspects in which two configurations differ."""
    found = [aspect for aspect in ASPECTS[:-2] if a.aspects[aspect] != b.aspects[aspect]]
    if "similarity" in found and a.similarity == b.similarity:
        found.remove("similarity")  # what the defaults are follows from the probe and the encoder
    common = [layer for layer in a.layers if layer in b.layers]
    pooled = [dict(zip(c.layers, c.aspects["pooling"], strict=True)) for c in (a, b)]
    if any(pooled[0][layer] != pooled[1][layer] for layer in common):
        found.append("pooling")
    return found + (["dtype"] if a.aspects["dtype"] != b.aspects["dtype"] else [])


def pairs(
    found: Sequence[Configuration], synonyms: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Compare all pairs that differ in exactly one aspect.

    Args:
        found: configurations of one target.
        synonyms: see `matching.vocabulary`.

    Returns:
        Per unit: differs, a, b, layer, unit, label_a, label_b, `same`, `synonyms`, `jaccard`,
        `rbo`, `possible` (whether both labels are concepts of both). Per layer: their means with
        intervals. And sentences about the pairs that were not compared.
    """
    units, mixed = [], []
    for a, b in combinations(found, 2):
        differ = differences(a, b)
        if len(differ) == 1:
            units.append(_pair(a, b, differ[0], synonyms))
        else:
            mixed.append((a, b, differ))
    frame = pd.concat(units, ignore_index=True) if units else pd.DataFrame(columns=_UNIT)
    return frame, _layers(frame), _notes(mixed)


def _check_targets(atlases: Sequence[Atlas]) -> None:
    first = atlases[0].manifest.target
    for atlas in atlases[1:]:
        other = atlas.manifest.target
        if other.fingerprint == first.fingerprint:
            continue
        what = (
            f"{other.name} with other weights or code"
            if other.name == first.name
            else f"{first.name} and {other.name}"
        )
        raise UsageError(
            f"Expected `atlases` to be of one target, got {what}: {atlases[0].folder} "
            f"(fingerprint {str(first.get('fingerprint'))[:8]}) and {atlas.folder} "
            f"({str(other.get('fingerprint'))[:8]}). Study each target on its own."
        )


def _methods(atlas: Atlas, method: str | None) -> list[str]:
    facts = atlas.manifest.methods
    there = [m for m in atlas.methods if "similarity" in facts.get(m, {})]
    if method is None:
        if not there:
            raise UsageError(
                f"Expected labels of clip-dissect in {atlas.folder}, got "
                f"{', '.join(atlas.methods) or 'no labels'}. Add them with `neuronym label "
                f"{atlas.folder} --method clip-dissect:soft-wpmi`."
            )
        return there
    by_similarity = [m for m in there if facts[m]["similarity"] == method]
    chosen = by_similarity or [atlas.method(method)]
    if chosen[0] not in there:
        raise misuse(
            "method",
            "one of clip-dissect, whose similarity can be computed again",
            chosen[0],
            f"There are: {', '.join(there) or 'none'}.",
        )
    return chosen


def _named(found: list[Configuration]) -> list[Configuration]:
    """The configurations with names that tell them apart."""
    parts = [_name_parts(configuration) for configuration in found]
    # Probe, concepts and similarity always, the rest only where it is needed.
    chosen = [0, 1, 2]
    for column in range(3, len(parts[0])):
        if len({tuple(p[c] for c in chosen) for p in parts}) == len(parts):
            break
        if len({p[column] for p in parts}) > 1:
            chosen.append(column)
    names = [" · ".join(p[c] for c in chosen) for p in parts]
    return [
        Configuration(name, c.atlas, c.method, c.layers)
        for name, c in zip(names, found, strict=True)
    ]


def _name_parts(configuration: Configuration) -> tuple[str, ...]:
    manifest = configuration.atlas.manifest
    templates = " | ".join(manifest.concepts.templates)
    return (
        short(manifest.probe.name),
        short(manifest.concepts.name),
        configuration.similarity,
        short(manifest.encoder.name),
        templates,
        str(manifest.dtype),
        str(configuration.atlas.folder),
    )


def _pair(a: Configuration, b: Configuration, differs: str, synonyms: float | None) -> pd.DataFrame:
    tables = [c.atlas.labels(method=c.method, trust=False) for c in (a, b)]
    tables = [table[~table["abstained"]] for table in tables]
    words = list(dict.fromkeys([*tables[0]["concept"], *tables[1]["concept"]]))
    same = _vocabulary(a, b, words, synonyms)
    folded: dict[str, int] = {}
    number = {word: folded.setdefault(fold(word), len(folded)) for word in words}
    lists = [{fold(word) for word in c.atlas.concepts["concept"]} for c in (a, b)]
    shared = lists[0] & lists[1]
    made = []
    for layer in a.layers:
        if layer not in b.layers:
            continue
        units = a.atlas.layers[layer]["units"]
        left, right = (_ranking(table, layer, units, number) for table in tables)
        firsts = [_firsts(table, layer, units) for table in tables]
        both = (left[:, 0] >= 0) & (right[:, 0] >= 0)
        one, other = (same.numbers(own)[:, None] for own in firsts)
        alike = same.pairs(one, other, "synonyms")[:, 0, 0]
        possible = [
            x is not None and y is not None and fold(x) in shared and fold(y) in shared
            for x, y in zip(*firsts, strict=True)
        ]
        columns = {
            "layer": layer,
            "unit": np.arange(units, dtype=np.int32),
            "label_a": firsts[0],
            "label_b": firsts[1],
            "same": same_first(left, right),
            "synonyms": np.where(both, alike, np.nan),
            "jaccard": jaccard(left, right),
            "rbo": rbo(left, right),
            "possible": np.where(both, possible, np.nan),
        }
        made.append(pd.DataFrame({"differs": differs, "a": a.name, "b": b.name} | columns))
    return pd.concat(made, ignore_index=True) if made else pd.DataFrame(columns=_UNIT)


def _vocabulary(
    a: Configuration, b: Configuration, words: Sequence[str], synonyms: float | None
) -> Vocabulary:
    """Which words are the same; words of b alone have embeddings if b was embedded like a."""

    def embed(strange: Sequence[str]) -> np.ndarray:
        rows = {word: row for row, word in enumerate(b.atlas.concepts["concept"])}
        return np.asarray(b.atlas.embeddings()["concepts"])[[rows[word] for word in strange]]

    alike = all(a.aspects[aspect] == b.aspects[aspect] for aspect in ("encoder", "templates"))
    try:
        return vocabulary(a.atlas, words, synonyms, embed if alike else None)
    except (NeuronymError, KeyError):  # b has no embeddings
        return vocabulary(a.atlas, words, synonyms)


def _ranking(
    table: pd.DataFrame, layer: str, units: int, number: dict[str, int]
) -> Int64[np.ndarray, "unit depth"]:
    """The numbers of a layer's labels, −1 for none; words that fold to the same count once."""
    own = table[table["layer"] == layer].sort_values(["unit", "rank"])
    own = own.assign(word=own["concept"].map(number)).drop_duplicates(["unit", "word"])
    place = own.groupby("unit").cumcount()
    found = np.full((units, int(place.max() + 1) if len(own) else 1), -1, np.int64)
    found[own["unit"], place] = own["word"]
    return found


def _firsts(table: pd.DataFrame, layer: str, units: int) -> list[str | None]:
    own = table[(table["layer"] == layer) & (table["rank"] == 1)]
    known = dict(zip(own["unit"], own["concept"], strict=True))
    return [known.get(unit) for unit in range(units)]


def _layers(frame: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for key, own in frame.groupby(["differs", "a", "b", "layer"], sort=False):
        row = dict(zip(_LAYER[:4], key, strict=True))
        for name in COLUMNS:
            values = own[name].to_numpy(float)
            mean, row[f"{name}_low"], row[f"{name}_high"], row["units"] = mean_interval(values)
            row[name] = mean
        row["possible"] = mean_interval(own["possible"].to_numpy(float))[0]
        rows.append(row)
    return pd.DataFrame(rows, columns=_LAYER)


def _notes(mixed: list[tuple[Configuration, Configuration, list[str]]]) -> list[str]:
    """What was not compared: pairs that differ in several things, and in none."""
    same = [(a.name, b.name) for a, b, differ in mixed if not differ]
    kinds = Counter(_listed(differ) for _, _, differ in mixed if differ)
    notes = [f"{a} and {b} differ in nothing and were not compared." for a, b in same]
    if kinds:
        listed = "; ".join(f"{count:,} in {what}" for what, count in kinds.items())
        notes.append(
            f"Pairs of configurations that differ in several things were not compared: {listed}."
        )
    return notes


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
