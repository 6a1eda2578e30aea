"""Images from the whole range of a unit's activation, not just its highest.

The images are ordered by activation (of equal ones the smaller content hash goes first). A band is
a part of that order; its examples are those with the smallest content hashes, which is a sample
that does not depend on the order of the images and is the same for all units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from neuronym.atlas.unit import Unit


@dataclass(frozen=True)
class Band:
    """A part of the images in the order of their activation.

    Attributes:
        name: for people.
        first, last: shares of the images, counted from the highest, between which it lies.
    """

    name: str
    first: float
    last: float


#: `highest` is what exemplars show.
BANDS = (
    Band("highest 1 %", 0.0, 0.01),
    Band("90th to 99th percentile", 0.01, 0.1),
    Band("around the median", 0.45, 0.55),
    Band("lowest 5 %", 0.95, 1.0),
)


def examples(
    values: np.ndarray, tie: np.ndarray, shown: np.ndarray, count: int
) -> list[np.ndarray]:
    """Of each of `BANDS` the rows of a few images, the highest activation first.

    Args:
        values: activations `[image]`; those that are not finite are left out.
        tie: the place of each image in the order of content hashes.
        shown: which images the atlas has small copies of: these go first, so that there is
            something to see.
        count: how many per band.
    """
    rows = np.flatnonzero(np.isfinite(values))
    order = rows[np.lexsort((tie[rows], -values[rows]))]
    found = []
    for band in BANDS:
        low, high = int(band.first * len(order)), -int(-band.last * len(order) // 1)
        within = order[low : max(high, low + 1)]
        chosen = within[np.lexsort((tie[within], ~shown[within]))[:count]]
        found.append(chosen[np.lexsort((tie[chosen], -values[chosen]))])
    return found


def level_of(values: np.ndarray) -> float:
    """Half way from the mean to the highest activation; NaN where there are none."""
    values = values[np.isfinite(values)].astype(float)
    return float((values.mean() + values.max()) / 2) if len(values) else float("nan")


def density(values: np.ndarray, level: float) -> float:
    """The share of the images whose activation is above a level; NaN where there are none."""
    values = values[np.isfinite(values)]
    return float((values > level).mean()) if len(values) else float("nan")


def bands(unit: Unit, count: int) -> pd.DataFrame:
    """See `Unit.bands`."""
    import pandas as pd

    atlas = unit.atlas
    values = np.asarray(atlas.activations(unit.layer)[:, unit.index])
    images = atlas.images["image_id"].to_numpy()
    shown = np.array([atlas.thumb(image_id) is not None for image_id in images])
    found = examples(values, atlas.tie, shown, count)
    return pd.DataFrame(
        [
            (band.name, images[row], float(values[row]))
            for band, rows in zip(BANDS, found, strict=True)
            for row in rows.tolist()
        ],
        columns=["band", "image_id", "activation"],
    )
