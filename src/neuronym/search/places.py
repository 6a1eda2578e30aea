"""Which units respond at one place of a picture: their maps there, on scales of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError
from neuronym.atlas.maps import why_none, window_of
from neuronym.extraction.maps import shrunk

if TYPE_CHECKING:
    from PIL.Image import Image

    from neuronym.atlas.context import Sources


def box_of(
    picture: Image, point: Sequence[float] | None, box: Sequence[float] | None
) -> tuple[float, float, float, float]:
    """A place of a picture as fractions: left, top, right, bottom.

    Args:
        point: x and y, in pixels from the left and from the top.
        box: left, top, right, bottom, likewise.

    Raises:
        UsageError: not one of both, not so many numbers, or not within the picture.
    """
    if (point is None) == (box is None):
        raise misuse("point", "given, or a box in its place", point if box is None else box)
    name, place, count = ("point", point, 2) if box is None else ("box", box, 4)
    wide, high = picture.size
    edges = [float(edge) for edge in cast(Sequence[float], place)]
    whole = edges * 2 if len(edges) == 2 else edges
    left, top, right, bottom = whole if len(whole) == 4 else [-1.0] * 4
    inside = 0 <= left <= right <= wide and 0 <= top <= bottom <= high
    if len(edges) != count or not inside or (count == 4 and (left == right or top == bottom)):
        what = "x,y" if count == 2 else "left,top,right,bottom"
        within = f"{what} in pixels, within the picture of {wide} × {high} pixels"
        raise misuse(name, within, edges)
    return left / wide, top / high, right / wide, bottom / high


def at_place(
    sources: Sources,
    picture: Image,
    point: Sequence[float] | None = None,
    box: Sequence[float] | None = None,
) -> pd.DataFrame:
    """layer, unit, here, strength: what every unit says at a place of a picture.

    `here`: the highest value of the unit's map in the cells that the place touches. `strength`:
    the same on the unit's own scale, 0 what is usual for it and 1 the highest value in the maps of
    its exemplars (above 1: higher than in any of these).

    Raises:
        UsageError: the place is none of the picture.
        NeuronymError: no layer has maps, or the network sees nothing of the place.
    """
    atlas = sources.atlas
    place = box_of(picture, point, box)
    layers = [layer for layer in atlas.layers if layer in atlas.manifest.maps]
    if not layers:
        raise NeuronymError(why_none(atlas, next(iter(atlas.layers))))
    pixels = sources.target.preprocess.pixels(picture)[None]
    parts = []
    for layer, maps in sources.maps_of(pixels, layers).items():
        small = shrunk(maps[0]).numpy()
        cells = window_of(atlas, layer, *picture.size).cells(place, small.shape[1:])
        if cells is None:
            continue
        here = small[:, cells[0], cells[1]].max((1, 2))
        facts = atlas.units[atlas.units["layer"] == layer]
        kept, usual = atlas.maps(layer), None
        if atlas.layers[layer]["pool"] == "mean":
            usual = facts["mean"].to_numpy()
        low, high = kept.scale(len(here), usual)
        with np.errstate(divide="ignore", invalid="ignore"):
            strength = np.where(high > low, (here - low) / (high - low), np.nan)
        unit = facts["unit"].to_numpy()
        columns = {"layer": layer, "unit": unit, "here": here, "strength": strength}
        parts.append(pd.DataFrame(columns))
    if not parts:
        raise NeuronymError(
            f"{atlas.manifest.target.name} sees nothing of this place: it cuts the edges of the "
            "picture off. Choose a place nearer to the middle."
        )
    return pd.concat(parts, ignore_index=True)
