"""What was found in an image: classes, scores, boxes, masks; and how it is kept as text and arrays.

Masks are kept in COCO's run-length format: the mask is read column by column, the lengths of its
runs of 0 and 1 are counted (0 first), each but the first three as the difference to the length two
runs before, and every number is written in groups of five bits, low bits first, one character each
(48 + group, + 32 if more follow).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects found in one image, best first.

    Attributes:
        classes: int32 `[object]`, places in the class list.
        scores: float32 `[object]`, the detector's, 0 to 1.
        boxes: float32 `[object, 4]`: top, left, bottom, right as fractions of the image.
        masks: JSON text of each object's mask, see `encode`.
        areas: float32 `[object]`, the mask's share of the image.
    """

    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    masks: tuple[str, ...]
    areas: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def none(cls) -> Detections:
        """No object."""
        empty = np.zeros(0, np.float32)
        return cls(np.zeros(0, np.int32), empty, np.zeros((0, 4), np.float32), (), empty)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The same as arrays for the cache; never all empty, so that finding nothing is kept."""
        text = np.frombuffer("\n".join(self.masks).encode(), np.uint8)
        return {
            "count": np.array([len(self)], np.int64),
            "classes": self.classes,
            "scores": self.scores,
            "boxes": self.boxes,
            "areas": self.areas,
            "masks": text,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Detections:
        """What `to_arrays` wrote."""
        got = {name: np.array(arrays[name]) for name in ("classes", "scores", "boxes", "areas")}
        masks = arrays["masks"].tobytes().decode()
        return cls(masks=tuple(masks.split("\n")) if masks else (), **got)


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Of boxes that lie on each other keep the best (greedy non-maximum suppression).

    Args:
        boxes: `[box, 4]`: top, left, bottom, right.
        scores: `[box]`; of equal ones the first wins.
        overlap: a box goes whose intersection over union with a better kept one exceeds this.

    Returns:
        Places of the kept boxes, best first.
    """
    order = np.argsort(-scores, kind="stable")
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        top_left = np.maximum(boxes[order, :2], boxes[best, :2])
        sides = np.clip(np.minimum(boxes[order, 2:], boxes[best, 2:]) - top_left, 0, None)
        both = sides[:, 0] * sides[:, 1]
        order = order[both <= overlap * (area[order] + area[best] - both)]
    return np.array(kept, np.int64)


def encode(mask: np.ndarray) -> str:
    """A boolean mask `[height, width]` as JSON text of a COCO object: size and compressed counts.

    >>> encode(np.array([[0, 1], [0, 1]], bool))
    '{"size":[2,2],"counts":"22"}'
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False)) if flat.size else np.zeros(0, np.int64)
    counts = np.diff(edges, prepend=0, append=flat.size)
    steps = counts.copy()
    steps[3:] -= counts[1:-2]
    letters = []
    for step in steps.tolist():
        more = True
        while more:
            group, step = step & 31, step >> 5
            more = step != (-1 if group & 16 else 0)
            letters.append(chr(48 + group + 32 * more))
    data = {"size": list(mask.shape), "counts": "".join(letters)}
    return json.dumps(data, separators=(",", ":"))


def decode(text: str) -> np.ndarray:
    """The boolean mask `[height, width]` that `encode` wrote."""
    data = json.loads(text)
    counts: list[int] = []
    value = shift = 0
    for letter in data["counts"]:
        group = ord(letter) - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift  # negative numbers are written as two's complement
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(data["size"], order="F")
