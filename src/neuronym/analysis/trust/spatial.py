"""spatial: does the label name what is where the unit responds, or what else is in the image?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64

from neuronym._core.errors import NeuronymError
from neuronym._core.registry import number, whole
from neuronym._core.words import fold
from neuronym.analysis.crops import Part, embed
from neuronym.analysis.rescoring import first_words
from neuronym.analysis.trust import held_out
from neuronym.analysis.trust.base import ANALYSES, Analysis, Findings
from neuronym.analysis.trust.features import logit_scale
from neuronym.atlas.context import LabelContext
from neuronym.atlas.maps import crop_of, scaled, spread, why_none, window_of
from neuronym.inputs.preprocess.geometry import Box, Window

#: Log-probabilities are known to this: cosines in float32, times the scale.
_KNOWN = 1e-4
#: Values of a block of work: parts × words.
_BLOCK = 1 << 22
#: The share of its maximum at which a map becomes an area, as its outline is drawn.
_HALF = 0.5
#: Shares of a map that differ by less differ by rounding.
_ALIKE = 1e-6

PerUnit = Float64[np.ndarray, " unit"]


@ANALYSES.register(
    "spatial", syntax="spatial[:images=…,random=…,most=…,seed=…]", example="spatial:images=5"
)
@dataclass(frozen=True)
class Spatial(Analysis):
    """Whether a label names what is where the unit responds: re-scored on crops around its peaks.

    Of every exemplar with a map the encoder embeds the crop around the peak, as large as what the
    peak's cell sees; random crops of the same size from the same picture; and the picture with the
    crop filled with the picture's mean colour. The gain is the mean difference of the label's log
    p(t | x) between the crop and the random crops, and between the crop and the rest. With masks of
    the label in the probe: the overlap of map and mask. It is run by name only, since it runs the
    encoder on some 20 parts of pictures per unit.

    Args:
        images: exemplars per unit at most; more than have maps are not used.
        random: crops per picture.
        most: how high and wide a crop is at most, as a share of what the network sees.
        seed: of the draw of random crops.
    """

    name: ClassVar[str] = "spatial"
    default: ClassVar[bool] = False
    images: int = whole(9, low=2)
    random: int = whole(4, low=1)
    most: float = number(0.5, low=0.05, high=1.0)
    seed: int = whole(0, low=0)

    def check(self, context: LabelContext, method: str) -> None:
        """There are maps of a layer that the method has labelled, and embeddings."""
        atlas = context.atlas
        if atlas.imported:
            raise atlas.lacks("embeddings")
        layers = atlas.labelled_layers(method)
        if layers and not any(layer in atlas.manifest.maps for layer in layers):
            raise NeuronymError(why_none(atlas, layers[0]))

    def run(self, context: LabelContext, method: str, layers: Sequence[str]) -> Findings:
        """Gains with 95 % intervals, p and q against random crops, and overlaps with masks."""
        atlas = context.atlas
        able = [layer for layer in layers if layer in atlas.manifest.maps]
        score = Scores(context, method)
        columns, sizes, parts = {}, {}, 0
        for layer in layers:
            labels = first_words(context, method, layer)
            if layer not in able:
                columns[layer] = _empty(len(labels))
                continue
            cropped = Cropped(context, layer, self, np.flatnonzero(labels.astype(bool)))
            parts += len(cropped.parts)
            sizes[layer] = cropped.size
            crop, rest, random = cropped.scores(score, labels)
            found = gains(crop, rest, random)
            columns[layer] = found | overlaps(context, layer, labels, self.images)
        facts: dict[str, Any] = {
            "layers_with_maps": able,
            "parts": parts,
            "crops": sizes,
            "logit_scale": score.scale,
            "means": {layer: _means(columns[layer]) for layer in able},
        }
        if score.encoder.note:
            facts["caveat"] = (
                "Whether a label is where its neuron responds is told by an encoder that has to "
                f"know things in small crops. {score.encoder.name} is a stand-in for CLIP: that it "
                "finds no gain says little (docs/maps.md)."
            )
        return Findings(columns, facts)


def gains(
    crop: Float64[np.ndarray, "unit image"],
    rest: Float64[np.ndarray, "unit image"],
    random: Float64[np.ndarray, "unit image"],
) -> dict[str, PerUnit]:
    """Mean differences paired over exemplars, with 95 % intervals of Student's t.

    Args:
        crop: log p of the unit's label on the crop around the peak; NaN where there is no exemplar.
        rest: on the picture without the crop.
        random: on random crops of the same picture, the mean of the logs.

    Returns:
        gain, gain_low, gain_high, p (one-sided: no gain), q (Benjamini and Hochberg over the
        units) against the random crops; rest_gain, rest_low, rest_high; exemplars. NaN without an
        exemplar, and all but the gains with a single one.
    """
    from scipy.stats import t

    count = np.isfinite(crop).sum(1)
    found: dict[str, PerUnit] = {}
    for name, other in (("gain", random), ("rest", rest)):
        difference = np.where(np.isfinite(crop), crop - other, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = difference.sum(1) / count
            squares = np.where(np.isfinite(crop), (difference - mean[:, None]) ** 2, 0.0).sum(1)
            spread_ = np.where(count > 1, np.sqrt(squares / (count - 1)), np.nan)
            error = np.maximum(spread_, _KNOWN) / np.sqrt(count)
            freedom = np.maximum(count - 1, 1)
            reach = t.ppf(0.975, freedom) * error
        full = "gain" if name == "gain" else "rest_gain"
        found |= {full: mean, f"{name}_low": mean - reach, f"{name}_high": mean + reach}
        if name == "gain":
            found["p"] = t.sf(mean / error, freedom)
            found["q"] = held_out.discoveries(found["p"])
    return found | {"exemplars": count.astype(np.float64)}


def overlaps(
    context: LabelContext, layer: str, labels: np.ndarray, images: int
) -> dict[str, PerUnit]:
    """iou, iou_all, iou_images: of maps, thresholded at half of their maximum, with masks.

    Over the exemplars in which the label has a mask: the pixels in both map and mask, over those
    in either, of all these pictures together. `iou_all`: the same of a map that is high wherever
    the network looks. What the network does not see does not count. NaN without such an exemplar.
    """
    atlas = context.atlas
    names = [{fold(e["name"]) for e in entries} for entries in context.images["annotations"]]
    found = {name: np.full(len(labels), np.nan) for name in ("iou", "iou_all")}
    found["iou_images"] = np.zeros(len(labels))
    if not any(names):
        return found
    rows = context.highest(layer, images).indices
    pooled = atlas.layers[layer]["pool"] == "mean"
    usual = context.statistics(layer)["mean"].to_numpy()
    for unit in np.flatnonzero(labels.astype(bool)):  # None is False
        word = fold(labels[unit])
        maps = None
        sums = np.zeros(4)  # both, either, mask, seen
        for place, row in enumerate(rows[unit]):
            if row < 0 or word not in names[row]:
                continue
            own = [m.pixels for m in context.sources.masks(int(row)) if fold(m.name) == word]
            if not own:
                continue
            if maps is None:
                kept = atlas.maps(layer).of(int(unit))
                maps = scaled(kept, float(usual[unit]) if pooled else None)
            if place >= len(maps):
                break
            mask = np.any(own, axis=0)
            image = context.images["image_id"].iloc[row]
            window = window_of(atlas, layer, *atlas.sizes[image])
            sums += _overlap(maps[place], window, mask)
            found["iou_images"][unit] += 1
        if found["iou_images"][unit]:
            found["iou"][unit] = sums[0] / sums[1] if sums[1] else 0.0
            found["iou_all"][unit] = sums[2] / sums[3] if sums[3] else 0.0
    return found


def _overlap(share: np.ndarray, window: Window, mask: np.ndarray) -> np.ndarray:
    """Pixels in both, in either, in the mask, and in all that the network sees."""
    heat = spread(share, window, (mask.shape[1], mask.shape[0]))
    seen = np.isfinite(heat)
    high = np.where(seen, heat, -1) >= max(_HALF * float(np.max(share)) - _ALIKE, _ALIKE)
    inside = mask & seen
    return np.array([(high & inside).sum(), (high | inside).sum(), inside.sum(), seen.sum()])


class Cropped:
    """The parts of pictures that the units of one layer are judged by.

    Attributes:
        parts: each once.
        size: height and width of a crop, as shares of what the network sees.
    """

    def __init__(self, context: LabelContext, layer: str, how: Spatial, units: np.ndarray) -> None:
        atlas = context.atlas
        facts = atlas.manifest.maps[layer]
        sees = None if facts.sees is None else [min(side, how.most) for side in facts.sees]
        facts = replace(facts, sees=sees)
        left, top, right, bottom = crop_of(facts, Window(0, 0, 1, 1), 0.5, 0.5)
        self.size = [round(bottom - top, 4), round(right - left, 4)]
        self._context, self._layer = context, layer
        self._numbers: dict[Part, int] = {}
        count = min(how.images, facts.exemplars)
        shape = (context.units(layer), count)
        self._crop, self._rest = (np.full(shape, -1, np.int64) for _ in range(2))
        self._random = np.full((context.count, how.random), -1, np.int64)
        wanted = set(units.tolist())
        frame = atlas.exemplars(layer)
        frame = frame[(frame["rank"] <= count) & frame["unit"].isin(wanted)]
        hashes = context.images["content_hash"].to_numpy()
        windows: dict[int, Window] = {}
        for unit, rank, image, y, x in frame[["unit", "rank", "image_id", "y", "x"]].itertuples(
            index=False
        ):
            row = context.row_of[image]
            if row not in windows:
                windows[row] = window_of(atlas, layer, *atlas.sizes[image])
                seed = [how.seed, int(hashes[row][:12], 16)]
                for place, at in enumerate(_places(windows[row], facts.of, how.random, seed)):
                    self._random[row, place] = self._number(row, crop_of(facts, windows[row], *at))
            if np.isfinite(y) and np.isfinite(x):
                box = crop_of(facts, windows[row], y, x)
                self._crop[unit, rank - 1] = self._number(row, box)
                self._rest[unit, rank - 1] = self._number(row, box, without=True)
        self._rows = np.full(shape, -1, np.int64)
        self._rows[frame["unit"], frame["rank"] - 1] = frame["image_id"].map(context.row_of)

    @property
    def parts(self) -> list[Part]:
        """The parts, in the order of their numbers."""
        return list(self._numbers)

    def _number(self, row: int, box: Box, *, without: bool = False) -> int:
        left, top, right, bottom = (round(float(edge), 6) for edge in box)
        part = Part(row, (left, top, right, bottom), without)
        return self._numbers.setdefault(part, len(self._numbers))

    def scores(self, score: Scores, labels: np.ndarray) -> tuple[np.ndarray, ...]:
        """log p of each unit's label, `[unit, exemplar]`: on its crops, the rest, random crops."""
        what = f"crops for {self._layer}"
        vectors = embed(self._context.sources, score.encoder, self.parts, what)
        logs = score.log_normalisers(vectors)
        words = score.of(labels)
        crop, rest, random = (np.full(self._crop.shape, np.nan) for _ in range(3))
        for unit in np.flatnonzero(labels.astype(bool)):  # None is False
            there = self._crop[unit] >= 0
            if not there.any():
                continue

            def log_p(numbers: np.ndarray, text: np.ndarray = words[unit]) -> np.ndarray:
                cosines = vectors[numbers].astype(np.float64) @ text
                return score.scale * cosines - logs[numbers]

            crop[unit, there] = log_p(self._crop[unit, there])
            rest[unit, there] = log_p(self._rest[unit, there])
            random[unit, there] = log_p(self._random[self._rows[unit, there]]).mean(-1)
        return crop, rest, random


def _places(
    window: Window, grid: Sequence[int], count: int, seed: Sequence[int]
) -> list[tuple[float, float]]:
    """Random cells of a map, with repeats: the middles of them, down and across the picture.

    Cells that lie on a filled border are not drawn.
    """
    middles = [
        window.on_image((y + 0.5) / grid[0], (x + 0.5) / grid[1])
        for y in range(grid[0])
        for x in range(grid[1])
    ]
    inside = [at for at in middles if 0 <= at[0] <= 1 and 0 <= at[1] <= 1] or [(0.5, 0.5)]
    drawn = np.random.default_rng(seed).integers(0, len(inside), count)
    return [inside[place] for place in drawn]


class Scores:
    """log p(t | x) of words on parts of pictures, as the method's labels were scored."""

    def __init__(self, context: LabelContext, method: str) -> None:
        self._context = context
        self.encoder = context.sources.encoder()
        self.scale = logit_scale(context, method)
        self._texts = np.asarray(context.text_embeddings, np.float32)

    def of(self, labels: np.ndarray) -> np.ndarray:
        """Text embeddings `[unit, dim]` of labels, float64; NaN for None."""
        rows = self._context.row_of_word
        new = sorted({word for word in labels if word is not None and word not in rows})
        vectors = dict(zip(new, self._context.sources.embed_words(new), strict=True)) if new else {}
        found = np.full((len(labels), self._texts.shape[1]), np.nan)
        for unit, word in enumerate(labels):
            if word is not None:
                found[unit] = vectors[word] if word in vectors else self._texts[rows[word]]
        return found

    def log_normalisers(self, vectors: np.ndarray) -> Float64[np.ndarray, " part"]:
        """The log of the sum over all concepts, of each part."""
        from scipy.special import logsumexp

        step = max(1, _BLOCK // len(self._texts))
        blocks = (vectors[low : low + step] for low in range(0, len(vectors), step))
        found = [logsumexp(self.scale * (b @ self._texts.T).astype(float), axis=1) for b in blocks]
        return np.concatenate([np.empty(0), *found])


def _empty(units: int) -> dict[str, PerUnit]:
    """The columns of a layer without maps."""
    none = np.full((units, 1), np.nan)
    found = gains(none, none, none)
    return found | {"iou": none[:, 0], "iou_all": none[:, 0], "iou_images": np.zeros(units)}


def _means(columns: Mapping[str, PerUnit]) -> dict[str, Any]:
    """Over the units of a layer that were measured, and how many gain."""
    known = np.isfinite(columns["gain"])
    with np.errstate(invalid="ignore"):
        found: dict[str, Any] = {
            "units": int(known.sum()),
            "positive": int((columns["gain_low"] > 0).sum()),
        }
    for name in ("gain", "rest_gain", "iou", "iou_all"):
        values = columns[name][np.isfinite(columns[name])]
        found[name] = float(values.mean()) if len(values) else None
    return found
