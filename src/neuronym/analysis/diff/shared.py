"""What two atlases have in common: images by content, layers, settings; and their activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from neuronym._core.errors import NeuronymError
from neuronym._core.progress import Progress, silent
from neuronym._core.types import Rows
from neuronym.analysis.diff.correlation import take
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas

#: Images and units by which `correspond` judges.
_IMAGES, _UNITS = 512, 2048


@dataclass(frozen=True, eq=False)
class SharedImages:
    """Images that two atlases have in common, each content once, in the order of content hashes.

    Attributes:
        a, b: their rows in the two atlases.
        only_a, only_b: how many contents the other one lacks.
    """

    a: Int64[np.ndarray, " image"]
    b: Int64[np.ndarray, " image"]
    only_a: int
    only_b: int

    def __len__(self) -> int:
        return len(self.a)


def shared_images(a: Atlas, b: Atlas) -> SharedImages:
    """The images that both atlases have, whatever they are called there."""
    first, second = _rows(a), _rows(b)
    both = sorted(first.keys() & second.keys())
    of_a, of_b = (np.array([rows[digest] for digest in both], np.int64) for rows in (first, second))
    return SharedImages(of_a, of_b, len(first) - len(both), len(second) - len(both))


def _rows(atlas: Atlas) -> dict[str, int]:
    """Content hash → the first row that has it."""
    found: dict[str, int] = {}
    for row, digest in enumerate(atlas.images["content_hash"]):
        if isinstance(digest, str) and digest:
            found.setdefault(digest, row)
    return found


def common_layers(a: Atlas, b: Atlas) -> list[str]:
    """Layers of one name and number of units, in the order of the first atlas."""
    return [
        layer
        for layer, facts in a.layers.items()
        if layer in b.layers and b.layers[layer]["units"] == facts["units"]
    ]


class Activations:
    """The activations of an atlas: those it keeps, else those of the cache or of another pass.

    Args:
        atlas: any.
        passes: whether its network may be run. False: only what is kept is read.
        device, workers, cache, progress: as in `dissect`.
    """

    def __init__(
        self,
        atlas: Atlas,
        *,
        passes: bool = True,
        device: str = "auto",
        workers: int = 0,
        cache: str | None = None,
        progress: Progress = silent,
    ) -> None:
        self.atlas, self._passes = atlas, passes
        self._context = LabelContext(
            atlas, device=device, workers=workers, cache=cache, progress=progress
        )

    def __getitem__(self, layer: str) -> Rows:
        """Of one layer, `[image, unit]`.

        Raises:
            NeuronymError: they are not to be had; says why.
        """
        if self._passes:
            return self._context.activations(layer)
        return self.atlas.activations(layer)


def correspond(
    a: Mapping[str, Rows] | Activations,
    b: Mapping[str, Rows] | Activations,
    layers: list[str],
    images: SharedImages,
) -> bool:
    """Whether equal numbers are equal units: two copies of one network, not two trainings.

    A unit correlates more with its own number in the other atlas than with the next one in half
    of all cases by chance. It must be in more than that by two standard errors.
    """
    more = total = 0
    rows = [np.unique(np.linspace(0, len(images) - 1, min(len(images), _IMAGES)).astype(int))] * 2
    rows = [images.a[rows[0]], images.b[rows[1]]]
    for layer in layers:
        x, y = (standard(take(side[layer], some)) for side, some in zip((a, b), rows, strict=True))
        fine = np.flatnonzero((x != 0).any(0) & (y != 0).any(0))[:_UNITS]
        if len(fine) < 2:
            continue
        x, y = x[:, fine], y[:, fine]
        own, other = (x * y).sum(0), (x * np.roll(y, -1, axis=1)).sum(0)
        more, total = more + int((own > other).sum()), total + len(fine)
    return total == 0 or more / total > 0.5 + 1 / np.sqrt(total)


def standard(values: Float[np.ndarray, "image unit"]) -> Float[np.ndarray, "image unit"]:
    """Centred columns of length 1, float32; zeros for those that are constant or not finite."""
    wide = values.astype(np.float64)
    fine = np.isfinite(wide).all(0)
    wide = np.where(fine, wide, 0)
    top = np.abs(wide).max(0, initial=0)
    wide -= wide.mean(0)
    length = np.sqrt((wide * wide).sum(0))
    live = length > 1e-5 * top * np.sqrt(len(wide))
    return np.divide(wide, length, out=np.zeros_like(wide), where=live).astype(np.float32)


def settings(a: Atlas, b: Atlas, layers: list[str]) -> list[str]:
    """Whether the network is one, and in which settings two atlases differ, in sentences."""
    found = []
    one, other = a.manifest, b.manifest
    if one.target.fingerprint is not None and one.target.fingerprint == other.target.fingerprint:
        found.append("Both atlases are of one network, with the same weights.")
    if _apart(one.target.preprocess, other.target.preprocess):
        found.append("The two networks see the images preprocessed differently.")
    if _apart(one.dtype, other.dtype):
        found.append(f"The networks ran in {one.dtype} for A, in {other.dtype} for B.")
    pooled = [x for x in layers if _apart(a.layers[x]["pool"], b.layers[x]["pool"])]
    if pooled:
        first = pooled[0]
        found.append(
            f"The activations of {first} are pooled by {a.layers[first]['pool']} in A, by "
            f"{b.layers[first]['pool']} in B."
        )
    if one.encoder.fingerprint != other.encoder.fingerprint:
        found.append(
            f"The encoders differ: {one.encoder.name} in A, {other.encoder.name} in B. Labels and "
            "scores may differ for that alone."
        )
    if one.concepts.fingerprint != other.concepts.fingerprint:
        found.append(
            f"The words differ: {one.concepts.name} in A, {other.concepts.name} in B. Words that "
            "only one of them has are neither gained nor lost."
        )
    return found


def _apart(one: object, other: object) -> bool:
    """Whether two settings differ, as far as both are known: an imported atlas knows few."""
    return one is not None and other is not None and one != other


def labelled(atlas: Atlas, method: str | None) -> str | None:
    """The method whose labels are compared; None where there are none."""
    try:
        return atlas.method(method)
    except NeuronymError:
        if method is not None:
            raise
        return None
