"""Grounded SAM (the "SAM label"): objects of a class list, found and outlined by two networks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from neuronym._core import registry
from neuronym._core.checks import Verbatim, misuse
from neuronym._core.terminal import duration
from neuronym.atlas.context import LabelContext
from neuronym.extraction.cache import CacheEntry
from neuronym.inputs.concepts.base import clean, read_lines
from neuronym.labelling.base import LABELLERS, Labeller, Labels, LayerLabels
from neuronym.labelling.methods import _masks
from neuronym.labelling.methods._grounding import Detections, Networks, decode

if TYPE_CHECKING:
    import pandas as pd
#: Longer class lists must be asked for: every hundred names or so cost another forward pass.
MOST_CLASSES = 500


def inside(maps: torch.Tensor, masks: torch.Tensor) -> np.ndarray:
    """The share of each unit's positive activation in each mask, float32 `[unit, object]`.

    Args:
        maps: float32 `[unit, y, x]`.
        masks: float32 `[object, y, x]` of zeros and ones, of any size; see `_masks.inside`.
    """
    grid = (masks.shape[1], masks.shape[2])
    return _masks.inside(maps, masks.flatten(1), grid).float().numpy()


class Sightings:
    """What was found on the highest images of a layer's units, gathered image by image."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = {
            name: []
            for name in (
                "unit",
                "rank",
                "row",
                "object",
                "class",
                "score",
                "area",
                "weight",
                "y0",
                "x0",
                "y1",
                "x1",
                "mask",
            )
        }

    def add(
        self, row: int, units: np.ndarray, ranks: np.ndarray, found: Detections, share: np.ndarray
    ) -> None:
        """Take in one image.

        Args:
            row: of the image.
            units: that have it among their highest, `[n]`.
            ranks: at which place, counted from 1, `[n]`.
            found: the objects on it.
            share: of the units' activation in each mask, `[n, object]`.
        """
        every = np.tile(np.arange(len(found)), len(units))
        values: dict[str, np.ndarray] = {
            "unit": np.repeat(units, len(found)),
            "rank": np.repeat(ranks, len(found)),
            "row": np.full(len(every), row),
            "object": every,
            "class": found.classes[every],
            "score": found.scores[every],
            "area": found.areas[every],
            "weight": (share * found.scores.astype(np.float64)).ravel(),
            **dict(zip(("y0", "x0", "y1", "x1"), found.boxes[every].T, strict=True)),
            "mask": np.array(found.masks, dtype=object)[every],
        }
        for name, column in values.items():
            self._parts[name].append(column)

    def frame(self) -> pd.DataFrame:
        """One line per unit, image and object: by unit, rank of the image, falling score."""
        import pandas as pd

        empty = np.zeros(0, np.int64)
        columns = {n: np.concatenate(parts or [empty]) for n, parts in self._parts.items()}
        frame = pd.DataFrame(columns).sort_values(["unit", "rank", "object"], kind="stable")
        return frame.reset_index(drop=True)


def ranked(
    frame: pd.DataFrame,
    images: np.ndarray,
    reasons: Sequence[str | None],
    classes: Sequence[str],
    count: int,
) -> LayerLabels:
    """Classes by the mean of their weights over a unit's images; of equal ones the first.

    Args:
        frame: of `Sightings`.
        images: how many images each unit has, `[unit]`.
        reasons: why units can get no label, or None.
        classes: the class list.
        count: labels per unit at most.

    Returns:
        The labels, with on how many images each was found; no evidence yet.
    """
    groups = frame.groupby(["unit", "class"], sort=True)
    found = groups.agg(weight=("weight", "sum"), images=("rank", "nunique")).reset_index()
    # Compared as they are stored, so that rounding breaks no ties.
    found["score"] = (found["weight"] / images[found["unit"]]).astype(np.float32)
    found = found[found["score"] > 0]
    found = found.sort_values(["unit", "score", "class"], ascending=[True, False, True])
    place = found.groupby("unit").cumcount().to_numpy()
    found, place = found[place < count], place[place < count]

    shape = (len(images), min(count, len(classes)))
    words, scores = np.full(shape, None, object), np.full(shape, np.nan, np.float32)
    shown, at = np.zeros(shape, np.int64), (found["unit"].to_numpy(), place)
    words[at] = np.array(classes, dtype=object)[found["class"]]
    scores[at], shown[at] = found["score"], found["images"]
    there = np.isin(np.arange(len(images)), frame["unit"])
    why = tuple(
        reason or (None if label is not None else _why_not(int(n), len(classes), bool(some)))
        for reason, label, n, some in zip(reasons, words[:, 0], images, there, strict=True)
    )
    return LayerLabels(words, scores, why, details={"images": shown})


def _why_not(images: int, classes: int, found: bool) -> str:
    if not images:
        return "no image above its minimum"
    those = "highest image" if images == 1 else f"{images} highest images"
    if not found:
        names = "the class" if classes == 1 else f"none of the {classes:,} classes"
        return f"{names} was {'not ' * (classes == 1)}found on its {those}"
    return f"nothing was found where it responds on its {those}"


def evidence(frame: pd.DataFrame, ids: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """The columns of the evidence table; none where nothing was found."""
    if frame.empty:
        return {}
    return {
        "unit": frame["unit"].to_numpy(),
        "rank": frame["rank"].to_numpy(np.int32),
        "image_id": np.array(ids, dtype=object)[frame["row"]],
        "concept": np.array(classes, dtype=object)[frame["class"]],
        **{n: frame[n].to_numpy(np.float32) for n in ("score", "area", "weight")},
        **{n: frame[n].to_numpy(np.float32) for n in ("y0", "x0", "y1", "x1")},
        "mask": frame["mask"].to_numpy(),
    }


@LABELLERS.register(
    "grounded-sam",
    syntax="grounded-sam[:k=N,classes=FILE,detector=REPO_OR_PATH,segmenter=REPO_OR_PATH,…]",
    example="grounded-sam:k=10",
    extra="hf",
)
@dataclass(frozen=True)
class GroundedSam(Labeller):
    """Objects that Grounding DINO finds and SAM outlines on a unit's highest images.

    Each of the unit's highest images x_1 … x_n (n ≤ k) is searched for the names of a class list;
    every object o found there has one class, the detector's score s_o, and SAM's mask M_o:

        score(class) = 1/n · Σ_i Σ_{o of the class in x_i} s_o · inside_o
        inside_o     = Σ_{p in M_o} A(p) / Σ_p A(p)

    with A the positive part of the unit's activation map, upsampled bilinearly over what the target
    sees. `inside` is the mask's share of that times the unit's mean activation in the mask over its
    mean everywhere. Where A is nowhere positive it counts as constant; where a layer has no
    positions, `inside` is the mask's share of the image.

    Args:
        k: how many of a unit's highest images are searched.
        classes: a text file with one name per line, or `annotations` (the names of the probe's
            labels and masks), or `concepts` (the atlas's). None: the annotations if there are any,
            else the concepts, where they are no more than 500.
        detector, segmenter: Grounding DINO and SAM, as repositories of the hub or folders written
            by `save_pretrained`.
        threshold: the detector's score from which on an object counts.
        overlap: of two boxes whose intersection over union exceeds this, the better one stays.

    Reference: Liu et al., Grounding DINO, ECCV 2024, arXiv 2303.05499; Kirillov et al., Segment
    Anything, ICCV 2023, arXiv 2304.02643; Ren et al., Grounded SAM, arXiv 2401.14159. The weights
    are ours.
    """

    name: ClassVar[str] = "grounded-sam"
    needs: ClassVar[tuple[str, ...]] = ("activations", "probe", "target")
    k: int = registry.whole(10, 1)
    classes: str | None = registry.text(None)
    detector: str = registry.text("IDEA-Research/grounding-dino-tiny")
    segmenter: str = registry.text("facebook/sam-vit-base")
    threshold: float = registry.number(0.25, 0, 1)
    overlap: float = registry.number(0.8, 0, 1)

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        """Search each image once, whatever the number of units, and count per unit.

        What was found is kept in the cache, image by image.

        Raises:
            UsageError: no such file or folder, or a class list that nobody chose is too long.
            NeuronymError: a network cannot be loaded, or an image has changed.
        """
        # First, because it opens the target, which shall not fail hours later.
        placed = _with_positions(context, layers)
        finder, rows = self._finder(context), self._rows(context, layers)
        wanted = _distinct(rows)
        with context.progress("objects on images", len(wanted)) as tick:
            for row in wanted:
                known = finder.known(row) is not None
                if not known:
                    finder.find(row)
                tick.advance(instant=known)
        sightings = {layer: Sightings() for layer in layers}
        for row, maps in _looks(context, placed, wanted):
            found = finder.known(row)
            found = finder.find(row) if found is None else found
            if not len(found):
                continue
            masks = _seen(context, found) if maps else None
            for layer in layers:
                units, ranks = np.nonzero(rows[layer] == row)
                if not len(units):
                    continue
                if layer in maps and masks is not None:
                    share = inside(maps[layer][units], masks)
                else:
                    share = np.tile(found.areas, (len(units), 1))
                sightings[layer].add(row, units, ranks + 1, found, share)
        ids, made = context.images["image_id"].to_numpy(), {}
        for layer in layers:
            frame, images = sightings[layer].frame(), (rows[layer] >= 0).sum(1)
            labels = ranked(frame, images, context.reasons(layer), finder.classes, count)
            made[layer] = replace(labels, evidence=evidence(frame, ids, finder.classes))
        facts = {
            "classes": len(finder.classes),
            "classes_from": finder.source,
            "prompts": len(finder.networks.prompts),
            "left_out": finder.networks.left_out,
            "images": len(wanted),
        }
        return Labels(made, facts=facts)

    def cost(self, context: LabelContext, layers: Sequence[str]) -> str:
        """Open the networks, search one or two images, and say how long all of them would take."""
        finder = self._finder(context)
        wanted = _distinct(self._rows(context, layers))
        left = [row for row in wanted if finder.known(row) is None]
        prompts = len(finder.networks.prompts)
        what = (
            f"{len(finder.classes):,} classes in {prompts} prompt{'s' * (prompts != 1)}, "
            f"{len(wanted):,} images of which {len(wanted) - len(left):,} are in the cache"
        )
        if not left:
            return f"{what}."
        started = 0.0
        for row in left[:2]:  # a network's first pass takes longer than the others
            started = time.monotonic()
            finder.find(row)
        each = time.monotonic() - started
        return (
            f"{what}: about {duration(each * len(left))} (an image took {each:.2f} s on "
            f"{context.device.type})."
        )

    def _finder(self, context: LabelContext) -> _Finder:
        classes, source = self._classes(context)
        networks = Networks(
            self.detector,
            self.segmenter,
            classes,
            threshold=self.threshold,
            overlap=self.overlap,
            device=context.device,
        )
        entry = context.sources.cache.entry("detections", networks.about)
        return _Finder(context, networks, entry, classes, source)

    def _classes(self, context: LabelContext) -> tuple[tuple[str, ...], str]:
        """The names to look for, and where they come from."""
        declared = context.sources.probe.vocabulary()
        source = self.classes or ("annotations" if declared else "concepts")
        if source == "annotations":
            words: Sequence[str] = [entry.name.replace("_", " ") for entry in declared]
        elif source == "concepts":
            words = context.words
        else:
            words = read_lines(Path(source).expanduser(), "classes")
        words = clean(words)[0]
        if not words:
            raise misuse("classes", "contain at least one name", Verbatim(f"none in {source}"))
        if self.classes is None and len(words) > MOST_CLASSES:
            raise misuse(
                "classes",
                f"given where the {source} are more than {MOST_CLASSES}",
                Verbatim(f"nothing, with {len(words):,} {source}"),
                "Write those that matter to a file, one per line, and give classes=FILE; "
                f"classes={source} takes all of them (docs/grounded-sam.md says at what cost).",
            )
        return words, source

    def _rows(self, context: LabelContext, layers: Sequence[str]) -> dict[str, np.ndarray]:
        """The highest images of the units that can get a label: int64 `[unit, k]`, −1 for none."""
        rows = {}
        for layer in layers:
            rows[layer] = np.array(context.highest(layer, self.k).indices, np.int64)
            rows[layer][[reason is not None for reason in context.reasons(layer)]] = -1
        return rows


@dataclass(frozen=True)
class _Finder:
    """Finds the objects on images, those of equal content once."""

    context: LabelContext
    networks: Networks
    entry: CacheEntry
    classes: tuple[str, ...]
    source: str

    def known(self, row: int) -> Detections | None:
        """What was found before, if the image was searched."""
        stored = self.entry.read(self._key(row))
        return Detections.from_arrays(stored[0]) if stored else None

    def find(self, row: int) -> Detections:
        """Search an image and keep what is found."""
        found = self.networks.find(self.context.sources.picture(row))
        self.entry.write(self._key(row), found.to_arrays(), {})
        return found

    def _key(self, row: int) -> str:
        return str(self.context.images["content_hash"].iloc[row])


def _distinct(rows: dict[str, np.ndarray]) -> np.ndarray:
    every = np.unique(np.concatenate([of_layer.ravel() for of_layer in rows.values()]))
    return every[every >= 0]


def _with_positions(context: LabelContext, layers: Sequence[str]) -> list[str]:
    if all(context.atlas.layers[layer]["layout"] == "vector" for layer in layers):
        return []
    grids = {plan.info.name: plan.grid for plan in context.sources.plans}
    return [layer for layer in layers if grids[layer] is not None]


def _looks(
    context: LabelContext, placed: Sequence[str], rows: np.ndarray
) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
    """Each image with the maps `[unit, y, x]` of the layers that have positions."""
    if not placed:
        yield from ((row, {}) for row in rows)
        return
    for some, maps in context.sources.maps(placed, rows):
        for place, row in enumerate(some):
            yield row, {layer: maps[layer][place] for layer in placed}


def _seen(context: LabelContext, found: Detections) -> torch.Tensor:
    """What the target sees of the masks, float32 `[object, y, x]` of zeros and ones."""
    preprocess = context.sources.target.preprocess
    grid = _masks.grid_of(preprocess.size)
    return torch.from_numpy(
        np.stack([preprocess.mask(decode(text), grid) for text in found.masks])
    ).float()
