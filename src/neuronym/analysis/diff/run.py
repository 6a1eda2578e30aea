"""What changed between two atlases: neuron by neuron where they are of one network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuronym._core.checks import choice, misuse, real
from neuronym._core.errors import NeuronymError
from neuronym._core.progress import Progress, silent
from neuronym._core.terminal import counted
from neuronym.analysis.diff import concepts as by_concept
from neuronym.analysis.diff.correlation import LEAST, change, rounding
from neuronym.analysis.diff.exemplars import (
    COUNT,
    Exemplars,
    correspond_by_images,
    exemplars,
)
from neuronym.analysis.diff.partners import partners
from neuronym.analysis.diff.shared import (
    Activations,
    SharedImages,
    common_layers,
    correspond,
    labelled,
    settings,
    shared_images,
)
from neuronym.analysis.trust.held_out import discoveries
from neuronym.atlas.reader import Atlas, opened

BY = ("auto", "units", "concepts")
#: What is said of a unit: its responses changed, it fell silent, it began to respond; they are the
#: same within what the images can tell; it never responded; nothing is known.
STATES = ("changed", "died", "woke", "same", "silent", "unknown")
NEWS = ("changed", "died", "woke")
UNITS = [
    "layer",
    "unit",
    "state",
    "correlation",
    "low",
    "high",
    "p",
    "q",
    "gain",
    "kept",
    "a_label",
    "b_label",
    "same_label",
    "a_score",
    "b_score",
    "a_confidence",
    "b_confidence",
    "left",
    "came",
]
LAYERS = ["layer", "units", "compared", *NEWS, "correlation", "relabelled", "relabelled_same"]


@dataclass(frozen=True, eq=False, repr=False)
class Diff:
    """What changed from one atlas to another.

    Attributes:
        a, b: the atlases.
        methods: whose labels; None where there are none.
        by: "activations" or "exemplars" (what units were compared by), or "concepts": equal
            numbers are not equal units.
        same, fdr: the correlation from which on a unit counts as unchanged, and the share of false
            ones among the changed ones that is allowed.
        images: how many are shared, only in a, only in b.
        units: a row for each unit that both have, the most changed first: layer, unit, state (see
            `STATES`), correlation with its interval (low, high), p, q, gain, kept (share of the
            highest images that are the same), the labels, scores and confidence of both, left and
            came (image ids, one a line, of units that changed). Empty where `by` is "concepts".
        layers: by layer units, compared ones, numbers by state, median correlation, and how many of
            the units that changed (relabelled) and that did not (relabelled_same) have another
            first label.
        moved: image_id, came, left: to and from how many changed units' highest images.
        concepts: see `concepts.concepts`.
        partners: see `partners.partners`, with labels; only where `by` is "concepts".
        notes: what a reader has to know, in sentences.
    """

    a: Atlas
    b: Atlas
    methods: tuple[str | None, str | None]
    by: str
    same: float
    fdr: float
    images: tuple[int, int, int]
    units: pd.DataFrame
    layers: pd.DataFrame
    moved: pd.DataFrame
    concepts: pd.DataFrame
    partners: pd.DataFrame
    notes: tuple[str, ...]
    _exemplars: dict[str, Exemplars]
    _shared: SharedImages

    def __repr__(self) -> str:
        found = f"{len(self.changed):,} of {len(self.units):,} units changed"
        if self.by == "concepts":
            changes = int((self.concepts["change"] != "").sum())
            found = f"{changes:,} concepts changed, {len(self.partners):,} pairs of units"
        return f"<Diff {self.a.folder} → {self.b.folder}: {found}>"

    @property
    def changed(self) -> pd.DataFrame:
        """The rows of units that changed, fell silent or began to respond."""
        return self.units[self.units["state"].isin(NEWS)]

    def exemplars(self, layer: str, unit: int) -> tuple[list[str], list[str]]:
        """Image ids of the highest images that left (as in a) and that came (as in b)."""
        found = self._exemplars[layer]
        return (
            _ids(self.a, self._shared.a, found.left(unit)),
            _ids(self.b, self._shared.b, found.came(unit)),
        )


def _ids(atlas: Atlas, rows: np.ndarray, images: list[int]) -> list[str]:
    return list(atlas.images["image_id"].to_numpy()[rows[images]]) if images else []


def diff(
    a: Atlas | str | Path,
    b: Atlas | str | Path,
    *,
    by: str = "auto",
    method: str | None = None,
    layers: Sequence[str] | None = None,
    same: float = 0.99,
    fdr: float = 0.05,
    passes: bool = True,
    device: str = "auto",
    workers: int = 0,
    cache: str | None = None,
    progress: Progress = silent,
) -> Diff:
    """Find what changed from one atlas to another.

    Two atlases with layers of the same names and numbers of units are compared unit by unit, if
    the units correspond: two checkpoints of one network. Others are compared concept by concept,
    and their units are matched by their responses to the images that both have.

    A unit *changed* if the correlation of its responses is below `same`, beyond what the choice of
    images explains; of the units said to have changed, a share `fdr` is false at most, on average.

    Args:
        a, b: atlases, or their folders: before and after.
        by: units, concepts, or auto.
        method: whose labels. None: the first method's of each.
        layers: only these; of both.
        same: the correlation from which on a unit counts as unchanged.
        fdr: the allowed share of false ones among what is reported.
        passes: whether networks may be run where neither the atlas nor the cache has the
            activations. False: units are then compared by their highest images alone.
        device, workers, cache, progress: as in `dissect`.

    Raises:
        UsageError: an unknown layer or method; or units are asked for, and no layer has as many in
            both atlases.
    """
    choice("by", by, BY)
    same, fdr = real("same", same, 0, 0.999999), real("fdr", fdr, 0, 1)
    atlases = opened(a), opened(b)
    for atlas in atlases:
        atlas.check_complete()
    methods = labelled(atlases[0], method), labelled(atlases[1], method)
    common = _checked(atlases, layers)
    if by == "units" and not common:
        raise misuse("by", "concepts: no layer has one name and as many units in both", by)
    images = shared_images(*atlases)
    how: dict[str, Any] = {
        "passes": passes,
        "device": device,
        "workers": workers,
        "cache": cache,
    }
    sides = tuple(Activations(atlas, progress=progress, **how) for atlas in atlases)
    notes = settings(*atlases, common)
    wanted = set(layers or ())
    every = [[x for x in atlas.layers if not wanted or x in wanted] for atlas in atlases]
    why = _why_not(sides, every, len(images))
    units = bool(common) and by != "concepts" and len(images) > 0
    kept = {layer: exemplars(*atlases, layer, images) for layer in common} if units else {}
    if units and by == "auto" and not _one_network(sides, kept, images, why):
        units = False
        notes.insert(
            0,
            "The layers have the same names and sizes, but equal numbers are not equal neurons: "
            "they correlate no more with their own number than with another. These are two "
            "trainings, and are compared by concepts; --by units compares by number all the same.",
        )
    table = _empty(UNITS)
    if units:
        table = _units(atlases, sides, methods, kept, images, same, fdr, why)
        left_out = [x for x in every[0] if x not in common]
        if left_out and not layers:
            notes.append(
                f"Not compared, for want of a counterpart: {', '.join(left_out[:5])}"
                f"{' …' if len(left_out) > 5 else ''}."
            )
    pairs = _empty(["a_layer", "a_unit", "b_layer", "b_unit", "correlation"])
    if not units and why is None:
        pairs = partners(sides[0], sides[1], (every[0], every[1]), images, fdr)
    if why is not None:
        notes.insert(0, why + (_INSTEAD if units else " Units were not matched."))
    words = _empty(by_concept.COLUMNS)
    if methods[0] and methods[1]:
        words = by_concept.concepts(*atlases, (methods[0], methods[1]), fdr)
        if methods[0] != methods[1]:
            notes.append(f"Labels of {methods[0]} in A and of {methods[1]} in B.")
    made = Diff(
        *atlases,
        methods,
        "concepts" if not units else "exemplars" if why else "activations",
        same,
        fdr,
        (len(images), images.only_a, images.only_b),
        table,
        _by_layer(table, atlases[0]),
        _empty(["image_id", "came", "left"]),
        words,
        _with_labels(pairs, atlases, methods),
        tuple(notes),
        kept,
        images,
    )
    return _with_images(made) if units else made


_INSTEAD = (
    " Neurons were compared by their highest images alone, so nothing says how sure a change is: "
    f"listed are those of whose {COUNT} highest images half or more are not even among those that "
    "the other atlas keeps."
)


def _empty(columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})


def _checked(atlases: tuple[Atlas, Atlas], layers: Sequence[str] | None) -> list[str]:
    """The layers that both have, or those of them that are asked for."""
    common = common_layers(*atlases)
    if layers is None:
        return common
    if not layers:
        raise misuse("layers", "at least one layer", list(layers))
    for layer in layers:
        atlases[0 if layer in atlases[0].layers else 1].check_unit(layer)
    return [layer for layer in common if layer in set(layers)]


def _why_not(sides: tuple[Activations, ...], layers: list[list[str]], images: int) -> str | None:
    """Why activations cannot be compared, in a sentence; None: they can."""
    if images < LEAST:
        return (
            f"The atlases share {counted(images, 'image')}, and to compare activations takes "
            f"{LEAST}."
        )
    for name, side, some in zip("AB", sides, layers, strict=True):
        try:
            for layer in some:
                side[layer]
        except NeuronymError as error:
            return f"The activations of {name} are not at hand: {error}"
    return None


def _one_network(
    sides: tuple[Activations, ...],
    kept: dict[str, Exemplars],
    images: SharedImages,
    why: str | None,
) -> bool:
    """Whether equal numbers are equal units, as far as that can be told."""
    prints = [side.atlas.manifest.target.fingerprint for side in sides]
    if prints[0] is not None and prints[0] == prints[1]:
        return True
    if why is not None:
        return correspond_by_images(kept.values())
    return correspond(sides[0], sides[1], list(kept), images)


def _units(
    atlases: tuple[Atlas, Atlas],
    sides: tuple[Activations, ...],
    methods: tuple[str | None, str | None],
    kept: dict[str, Exemplars],
    images: SharedImages,
    same: float,
    fdr: float,
    why: str | None,
) -> pd.DataFrame:
    """The table of units, the most changed first."""
    parts = []
    noise = rounding(atlases[0].manifest.dtype), rounding(atlases[1].manifest.dtype)
    for layer, found in kept.items():
        frame = pd.DataFrame({"layer": layer, "unit": np.arange(len(found.kept))})
        frame["kept"], frame["clear"] = found.kept, found.clear
        names = ("correlation", "low", "high", "p", "gain", "silent_a", "silent_b")
        if why is None:
            known = change(
                sides[0][layer], sides[1][layer], images.a, images.b, same=same, noise=noise
            )
            frame = frame.assign(**{name: getattr(known, name) for name in names})
        else:
            dead = [_dead(atlas, layer) for atlas in atlases]
            frame = frame.assign(**dict.fromkeys(names[:-2], np.nan))
            frame["silent_a"], frame["silent_b"] = dead
            frame.loc[dead[0] != dead[1], "clear"] = 1
        parts.append(frame)
    table = pd.concat(parts, ignore_index=True)
    table["q"] = discoveries(table["p"].to_numpy(np.float64))
    news = (table["q"] <= fdr) if why is None else table["clear"] >= 0.5
    dead_a, dead_b = table["silent_a"].to_numpy(bool), table["silent_b"].to_numpy(bool)
    table["state"] = np.select(
        [
            news & dead_b & ~dead_a,
            news & dead_a & ~dead_b,
            news,
            dead_a & dead_b,
            (table["p"] if why is None else table["kept"]).isna(),
        ],
        ["died", "woke", "changed", "silent", "unknown"],
        "same",
    )
    for name, atlas, method in zip("ab", atlases, methods, strict=True):
        table = table.merge(_labels(atlas, method, name), "left", ["layer", "unit"])
    ours, theirs = (
        [by_concept.key(word) if isinstance(word, str) else None for word in table[f"{x}_label"]]
        for x in "ab"
    )
    table["same_label"] = [one == other for one, other in zip(ours, theirs, strict=True)]
    # First what changed, by what is sure of it: the upper end of the correlation's interval.
    last = {"changed": 0, "died": 1, "woke": 1}
    order = table["high"].fillna(0) if why is None else table["kept"].fillna(1)
    table = table.assign(_state=table["state"].map(lambda x: last.get(x, 2)), _order=order)
    table["_layer"] = table["layer"].map({x: n for n, x in enumerate(kept)})
    table = table.sort_values(["_state", "_order", "correlation", "_layer", "unit"], kind="stable")
    return table.assign(left="", came="")[UNITS].reset_index(drop=True)


def _dead(atlas: Atlas, layer: str) -> np.ndarray:
    """Which units respond alike to all images of an atlas."""
    facts = atlas.units[atlas.units["layer"] == layer]
    return facts.sort_values("unit")["dead"].to_numpy(bool)


def _labels(atlas: Atlas, method: str | None, name: str) -> pd.DataFrame:
    """layer, unit, and the first label, its score and confidence, with the atlas's name before."""
    columns = [f"{name}_{what}" for what in ("label", "score", "confidence")]
    if method is None:
        return _empty(["layer", "unit", *columns]).astype({"unit": int})
    first = atlas.first_labels(method=method)
    confidence = first.get("confidence", np.nan)
    label = first["concept"].where(~first["abstained"].astype(bool))
    values = [label, first["score"].astype(float), confidence]
    return first[["layer", "unit"]].assign(**dict(zip(columns, values, strict=True)))


def _by_layer(units: pd.DataFrame, atlas: Atlas) -> pd.DataFrame:
    rows = []
    for layer in [x for x in atlas.layers if x in set(units["layer"])]:
        some = units[units["layer"] == layer]
        news, other = some["state"].isin(NEWS), ~some["same_label"].astype(bool)
        rows.append(
            {
                "layer": layer,
                "units": len(some),
                "compared": int((~some["state"].isin(("silent", "unknown"))).sum()),
                **{state: int((some["state"] == state).sum()) for state in NEWS},
                "correlation": float(some["correlation"].median()),
                "relabelled": int((news & other).sum()),
                "relabelled_same": int((~news & other).sum()),
            }
        )
    return pd.DataFrame(rows, columns=LAYERS)


def _with_images(found: Diff) -> Diff:
    """The same with the images that left and came: of each changed unit, and of all of them."""
    news = found.changed
    both = [found.exemplars(row.layer, row.unit) for row in news.itertuples()]
    units = found.units.copy()
    for place, name in enumerate(("left", "came")):
        units.loc[news.index, name] = ["\n".join(some[place]) for some in both]
    rows_a, rows_b = (
        pd.Series(image for some in both for image in some[place]).value_counts()
        for place in (0, 1)
    )
    moved = pd.DataFrame({"came": rows_b, "left": rows_a}).fillna(0).astype(int)
    moved = moved.rename_axis("image_id").reset_index()
    moved = moved.sort_values(["came", "left", "image_id"], ascending=[False, False, True])
    return replace(found, units=units, moved=moved.reset_index(drop=True))


def _with_labels(
    pairs: pd.DataFrame, atlases: tuple[Atlas, Atlas], methods: tuple[str | None, str | None]
) -> pd.DataFrame:
    attrs: dict[str, Any] = pairs.attrs
    for name, atlas, method in zip("ab", atlases, methods, strict=True):
        if len(pairs):
            labels = _labels(atlas, method, name)[["layer", "unit", f"{name}_label"]]
            labels = labels.rename(columns={"layer": f"{name}_layer", "unit": f"{name}_unit"})
            pairs = pairs.merge(labels, "left", [f"{name}_layer", f"{name}_unit"])
            pairs[f"{name}_depth"] = pairs[f"{name}_layer"].map(by_concept.depths(atlas))
    pairs.attrs = attrs
    return pairs
