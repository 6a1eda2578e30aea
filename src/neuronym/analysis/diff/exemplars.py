"""Which of a neuron's highest images left, and which came."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from neuronym.analysis.diff.shared import SharedImages
from neuronym.atlas.reader import Atlas

#: Images per neuron that are compared.
COUNT = 10
#: By how many standard deviations an image must lie above the lowest that is kept, for rounding
#: not to have made it leave.
_CLEAR = 0.02


@dataclass(frozen=True, eq=False)
class Exemplars:
    """The highest of the shared images of the units of a layer, in both atlases.

    Attributes:
        a, b: numbers of shared images `[unit, COUNT]`, best first; −1 for none.
        kept: share of a's that are among b's, `[unit]`; NaN where one of them has none.
        clear: share of a's that are not even among all that b keeps, although they lie above the
            lowest that a keeps by more than rounding does (0.02 standard deviations).
    """

    a: Int64[np.ndarray, "unit place"]
    b: Int64[np.ndarray, "unit place"]
    kept: Float[np.ndarray, " unit"]
    clear: Float[np.ndarray, " unit"]

    def left(self, unit: int) -> list[int]:
        """Those of a that are not among b's, best first."""
        return _without(self.a[unit], self.b[unit])

    def came(self, unit: int) -> list[int]:
        """Those of b that are not among a's, best first."""
        return _without(self.b[unit], self.a[unit])


def _without(some: np.ndarray, others: np.ndarray) -> list[int]:
    return [int(image) for image in some if image >= 0 and image not in others]


def correspond_by_images(found: Iterable[Exemplars]) -> bool:
    """Whether units share more of their highest images with their own number than with the next.

    As `shared.correspond`, for atlases whose activations are not at hand.
    """
    more = total = 0
    for layer in found:
        there = (layer.a >= 0)[:, :, None]
        own, other = (
            ((layer.a[:, :, None] == b[:, None]) & there).sum((1, 2))
            for b in (layer.b, np.roll(layer.b, -1, axis=0))
        )
        more, total = more + int((own > other).sum()), total + int((own != other).sum())
    return total == 0 or more / total > 0.5 + 1 / np.sqrt(total)


def exemplars(a: Atlas, b: Atlas, layer: str, images: SharedImages) -> Exemplars:
    """Compare the highest images of the units of a layer that both atlases have.

    Of each atlas only shared images count. Where one has fewer of them, so many are compared; where
    it has none, all of the other's are listed.
    """
    (whole, heights), (others, _) = (
        _highest(atlas, layer, rows) for atlas, rows in ((a, images.a), (b, images.b))
    )
    first, second = whole[:, :COUNT].copy(), others[:, :COUNT].copy()
    count = np.minimum((first >= 0).sum(1), (second >= 0).sum(1))
    beyond = (np.arange(COUNT) >= count[:, None]) & (count > 0)[:, None]
    first[beyond], second[beyond] = -1, -1
    there = first >= 0
    stays = (first[:, :, None] == second[:, None]).any(2) & there
    near = (first[:, :, None] == others[:, None]).any(2)
    there &= (count > 0)[:, None]
    lowest = np.min(np.where(whole >= 0, heights, np.inf), axis=1, initial=np.inf)
    sure = there & ~near & (heights[:, :COUNT] - lowest[:, None] > _CLEAR)
    shares = (
        np.divide(some.sum(1), count, out=np.full(len(count), np.nan), where=count > 0)
        for some in (stays, sure)
    )
    return Exemplars(first, second, *shares)


def _highest(
    atlas: Atlas, layer: str, rows: Int64[np.ndarray, " image"]
) -> tuple[Int64[np.ndarray, "unit place"], Float[np.ndarray, "unit place"]]:
    """All shared images that it keeps, highest first, and their heights above the unit's mean.

    Heights are in standard deviations over all images of the atlas.
    """
    units = atlas.layers[layer]["units"]
    number = np.full(len(atlas.images), -1)
    number[rows] = np.arange(len(rows))
    row_of = {name: row for row, name in enumerate(atlas.images["image_id"])}
    frame = atlas.exemplars(layer).sort_values(["unit", "rank"], kind="stable")
    frame = frame.assign(image=number[frame["image_id"].map(row_of).to_numpy(np.int64)])
    frame = frame[frame["image"] >= 0]
    place = frame.groupby("unit").cumcount().to_numpy()
    width = max(COUNT, int(place.max(initial=-1)) + 1)
    found = np.full((units, width), -1, np.int64)
    heights = np.full((units, width), np.nan)
    facts = atlas.units[atlas.units["layer"] == layer].set_index("unit")
    unit = frame["unit"].to_numpy()
    mean, std = (facts[name].reindex(unit).to_numpy(np.float64) for name in ("mean", "std"))
    found[unit, place] = frame["image"].to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        heights[unit, place] = (frame["activation"].to_numpy(np.float64) - mean) / std
    return found, heights
