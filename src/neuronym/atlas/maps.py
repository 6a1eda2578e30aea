"""Activation maps of a unit's highest images, as numbers and as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuronym._core import storage
from neuronym._core.errors import NeuronymError
from neuronym.atlas import schema
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.preprocess.geometry import Box, Window

if TYPE_CHECKING:
    from PIL.Image import Image

    from neuronym.atlas.reader import Atlas
    from neuronym.atlas.unit import Unit

#: Shares of a unit's highest value at which areas of a drawn map begin; the last has an outline.
LEVELS = (0.2, 0.5, 0.8)
OUTLINE = 1  # of them
#: A crop is at least this many cells high and wide, and this part of what the network sees:
#: less than that of a small picture shows nobody anything.
_CELLS, _LEAST = 3, 0.2
_WARM = np.array([217, 72, 15], np.float32)


class LayerMaps:
    """The kept maps of one layer: memory-mapped, a unit's read when they are asked for.

    Attributes:
        facts: see `schema.MapFacts`.
    """

    def __init__(self, atlas: Atlas, layer: str) -> None:
        self.facts = atlas.manifest.maps[layer]
        file = atlas.folder / schema.maps_file(layer)
        arrays, _ = storage.read_arrays(file)
        try:
            self._unit, self._low, self._high = (arrays[k] for k in ("unit", "low", "high"))
            self._cells, self._rank = arrays["maps"], arrays["rank"]
        except KeyError as error:
            raise NeuronymError(
                f"{file} is damaged: it lacks {error}. Make it again: run the atlas's `neuronym "
                "dissect` command with --resume."
            ) from error

    def of(self, unit: int) -> np.ndarray:
        """float32 `[exemplar, y, x]` in the order of ranks, in the unit's own activation units."""
        part = self._part(unit)
        low, high = (a[part].astype(np.float64) for a in (self._low, self._high))
        span = (high - low)[:, None, None] / 255
        return (low[:, None, None] + self._cells[part] * span).astype(np.float32)

    def scale(self, units: int, usual: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Between which values each unit's maps are seen, as `scaled` does it; NaN without maps.

        Args:
            units: how many the layer has.
            usual: `[unit]`, as for `scaled`.
        """
        known = np.isfinite(self._high)
        unit, low, high = self._unit[known], self._low[known], self._high[known]
        most = np.full(units, -np.inf)
        np.maximum.at(most, unit, high)
        if usual is None:
            means = low + self._cells[known].mean((1, 2)) / 255 * (high.astype(float) - low)
            count = np.maximum(np.bincount(unit, minlength=units), 1)
            usual = np.bincount(unit, means, minlength=units) / count
        return np.asarray(usual, float), np.where(np.isfinite(most), most, np.nan)

    def _part(self, unit: int) -> slice:
        return slice(*np.searchsorted(self._unit, [unit, unit + 1]).tolist())


@dataclass(frozen=True)
class Place:
    """Where a map lies on its picture, all as fractions of the picture (0…1, down and across).

    Attributes:
        window: what of the picture the map's cells cover.
        peak: down and across, of the highest response.
        crop: left, top, right, bottom of what the cell at the peak sees.
    """

    window: Window
    peak: tuple[float, float]
    crop: Box


def window_of(atlas: Atlas, layer: str, width: int, height: int) -> Window:
    """What the cells of a layer's maps cover of a picture of this size in pixels.

    Raises:
        NeuronymError: the atlas does not say what the target saw.
    """
    return _window(_preprocess(atlas), atlas.manifest.maps[layer].shift, width, height)


def _window(seen: Preprocess, shift: list[float], width: int, height: int) -> Window:
    return seen.window(width, height).moved(*shift)


def _preprocess(atlas: Atlas) -> Preprocess:
    kept = atlas.manifest.target.preprocess
    if kept is None:
        raise atlas.lacks("preprocessing")
    return Preprocess.from_dict(kept)


def place_of(atlas: Atlas, layer: str, image_id: str, y: float, x: float) -> Place:
    """Where the map of an exemplar lies: `y` and `x` as in the table of exemplars."""
    width, height = atlas.sizes[image_id]
    window = window_of(atlas, layer, width, height)
    return Place(window, (y, x), crop_of(atlas.manifest.maps[layer], window, y, x))


def crop_of(facts: schema.MapFacts, window: Window, y: float, x: float) -> Box:
    """What the cell at a point of the picture sees: left, top, right, bottom, all within 0…1.

    As high and wide as the layer's cells were measured to see, at least three cells and a fifth of
    what the network sees; never beyond the picture, so that near its edges the point is not in the
    middle.
    """
    edges = []
    for axis, (at, low, high) in enumerate(
        ((x, window.left, window.right), (y, window.top, window.bottom))
    ):
        side = 1 - axis
        least = max(_CELLS / facts.of[side], _LEAST)
        size = min((max(facts.sees[side], least) if facts.sees else least) * (high - low), 1.0)
        start = min(max(at - size / 2, 0.0), 1.0 - size)
        edges.append((start, start + size))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def shares(unit: Unit) -> np.ndarray:
    """A unit's maps on the scale of their own, `[exemplar, y, x]`; see `scaled`."""
    pooled = unit.atlas.layers[unit.layer]["pool"]
    return scaled(unit.maps(), float(unit.facts["mean"]) if pooled == "mean" else None)


def scaled(maps: np.ndarray, usual: float | None = None) -> np.ndarray:
    """A unit's maps on the scale of their own: 1 the highest value in any of them, 0 what is usual.

    Args:
        maps: `[exemplar, y, x]`.
        usual: the unit's mean over all positions of all images, which its mean-pooled activations
            tell. None: the mean of these maps.
    """
    known = maps[np.isfinite(maps)]
    high = float(known.max()) if known.size else 0.0
    low = float(known.mean()) if usual is None and known.size else usual or 0.0
    if high <= low:
        return np.where(np.isfinite(maps), np.float32(0), np.nan)
    return np.clip((maps - low) / (high - low), 0, 1)


def areas(share: np.ndarray, window: Window, level: float) -> list[np.ndarray]:
    """The outlines of where a map is at least `level`, as closed rings.

    Args:
        share: `[y, x]`, 0…1; between the middles of cells it is interpolated, and beyond those of
            the outermost cells it stays what it is.
        window: what of the picture the cells cover.

    Returns:
        Each ring as `[point, (x, y)]` in fractions of the picture.
    """
    import contourpy

    if not np.isfinite(share).all():
        return []
    high, wide = share.shape
    y = np.array([0, 0, *(np.arange(high) + 0.5), high, high], float) / high
    x = np.array([0, 0, *(np.arange(wide) + 0.5), wide, wide], float) / wide
    z = np.pad(np.pad(share.astype(float), 1, mode="edge"), 1, constant_values=-1e9)
    x, y = (
        window.left + x * (window.right - window.left),
        window.top + y * (window.bottom - window.top),
    )
    lines: Any = contourpy.contour_generator(x, y, z).lines(level - 1e-9)
    return [np.clip(line, 0, 1) for line in lines if len(line) > 2]


def images(unit: Unit, count: int, heat: bool, crop: bool) -> list[Image]:
    """The unit's highest images as pictures, in the order of ranks; those without one are left out.

    See `Unit.images`.
    """
    from PIL import Image as Pillow

    rows = unit.exemplars().head(count)
    maps = shares(unit) if heat else None
    if crop:
        unit.atlas.maps(unit.layer)  # says why there are none
    found = []
    for row in rows.itertuples():
        path = unit.atlas.thumb(row.image_id)
        if path is None or (maps is not None and row.rank > len(maps)):
            continue
        with Pillow.open(path) as opened:
            picture = opened.convert("RGB")
        if heat or crop:
            place = place_of(unit.atlas, unit.layer, row.image_id, row.y, row.x)
            if maps is not None:
                picture = warmed(picture, maps[row.rank - 1], place.window)
            if crop:
                picture = picture.crop(in_pixels(place.crop, picture.size))
        found.append(picture)
    return found


def in_pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box of a picture, which is so wide and high, in whole pixels; never empty."""
    wide, high = size
    left, top = int(box[0] * wide), int(box[1] * high)
    right, bottom = round(box[2] * wide), round(box[3] * high)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def warmed(picture: Image, share: np.ndarray, window: Window) -> Image:
    """A picture with a map over it: grey and dark where the unit is silent or the network sees
    nothing, warm where it responds, with an outline at the middle of `LEVELS`."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    pixels = np.asarray(picture, np.float32)
    strength = spread(share, window, picture.size)
    seen = np.isfinite(strength)
    strength = np.where(seen, strength, 0)[..., None]
    grey = pixels.mean(2, keepdims=True) * np.where(seen, 0.8, 0.35)[..., None]
    shown = grey + (pixels - grey) * np.minimum(1, 0.35 + strength)
    shown = np.where(seen[..., None], shown + (_WARM - shown) * 0.55 * strength, grey)
    made = Pillow.fromarray(np.clip(shown, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(made)
    for ring in areas(share, window, LEVELS[OUTLINE]):
        points = [(x * made.width, y * made.height) for x, y in ring.tolist()]
        draw.line(points, fill="white", width=2, joint="curve")
    return made


def spread(share: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """A map at the resolution of a picture, `[height, width]`: interpolated between the middles of
    cells, NaN where the network sees nothing.

    Args:
        share: `[y, x]`.
        size: width and height of the picture.
    """
    high, wide = share.shape
    across = (np.arange(size[0]) + 0.5) / size[0]
    down = (np.arange(size[1]) + 0.5) / size[1]
    x = (across - window.left) / (window.right - window.left)
    y = (down - window.top) / (window.bottom - window.top)
    rows, columns = _weights(y, high), _weights(x, wide)
    seen = ((y >= 0) & (y <= 1))[:, None] & ((x >= 0) & (x <= 1))
    return np.where(seen, rows @ share.astype(float) @ columns.T, np.nan)


def _weights(at: np.ndarray, count: int) -> np.ndarray:
    """`[place, cell]`: with which weights a place lies between the middles of cells."""
    place = np.clip(at * count - 0.5, 0, count - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(count)))


def open_maps(atlas: Atlas, layer: str) -> LayerMaps:
    """See `Atlas.maps`."""
    atlas.check_unit(layer)
    if atlas.imported:
        raise atlas.lacks("activation maps")
    if layer in atlas.manifest.maps and atlas.manifest.stages.get("maps"):
        return LayerMaps(atlas, layer)
    raise NeuronymError(why_none(atlas, layer))


def why_none(atlas: Atlas, layer: str) -> str:
    """Why an atlas holds no maps of a layer, and what to do, in a sentence."""
    facts: Any = atlas.layers[layer]
    if facts["layout"] == "vector":
        return f"The layer {layer} has no positions, so it has no maps. Layers before it may have."
    if "maps" in atlas.manifest.stages or atlas.manifest.config.get("maps") == 0:
        return (
            f"{atlas.folder} keeps no activation maps of {layer}: it was made with --maps 0, or "
            "the layer has one position only. Make it again with --maps 9 --overwrite; what is in "
            "the cache is not computed again."
        )
    return (
        f"{atlas.folder} holds no activation maps yet. Add them: run its `neuronym dissect` "
        "command again with --resume."
    )
