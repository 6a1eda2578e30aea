"""From objects found on images to ranked classes per unit, weighted by where the unit responds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuronym.labellers import _masks
from neuronym.labellers._detections import Detections
from neuronym.labellers.base import LayerLabels

if TYPE_CHECKING:
    import pandas as pd
    import torch


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
