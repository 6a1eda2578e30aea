"""One unit of an atlas, as `atlas["layer4", 1802]` gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuronym._core.checks import integer, misuse
from neuronym.atlas.bands import bands, density, level_of
from neuronym.atlas.maps import images
from neuronym.atlas.notebook import unit_html
from neuronym.atlas.schema import TRUST

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from neuronym.atlas.reader import Atlas


def unit_name(text: str) -> tuple[str, int]:
    """Parse `layer4:1802`."""
    layer, colon, unit = text.rpartition(":")
    if not colon or not layer or not unit.isdecimal():
        raise misuse("unit", "layer:number, such as layer4:1802", text)
    return layer, int(unit)


@dataclass(frozen=True)
class Unit:
    """One unit of an atlas."""

    atlas: Atlas
    layer: str
    index: int

    def _repr_html_(self) -> str | None:
        return unit_html(self)

    @property
    def name(self) -> str:
        """`layer4:1802`."""
        return f"{self.layer}:{self.index}"

    @property
    def class_name(self) -> str | None:
        """The class it stands for, if it belongs to the output layer of a known classifier."""
        return self.atlas.class_names(self.layer).get(self.index)

    @property
    def facts(self) -> dict[str, Any]:
        """Its row of the units table."""
        frame = self.atlas.units
        row = frame[(frame["layer"] == self.layer) & (frame["unit"] == self.index)]
        return row.iloc[0].to_dict()

    def labels(self, method: str | None = None) -> pd.DataFrame:
        """rank, concept, score, abstained, reason, and what else the method tells of its labels."""
        frame = self.atlas.labels(self.layer, self.index, method=method)
        return frame.drop(
            columns=["layer", "unit", *TRUST, "significant"], errors="ignore"
        ).reset_index(drop=True)

    def trust(self, method: str | None = None) -> dict[str, float]:
        """`p`, `q`, `stability`, `confidence` of its labels, as far as they are known."""
        rows = self.atlas.labels(self.layer, self.index, method=method)
        known = rows.filter(TRUST).head(1).dropna(axis=1)
        return {name: float(known[name].iloc[0]) for name in known}

    def exemplars(self) -> pd.DataFrame:
        """rank, image_id, activation, y, x."""
        frame = self.atlas.exemplars(self.layer, self.index)
        return frame.drop(columns=["layer", "unit"]).reset_index(drop=True)

    def effect(self, **how: Any) -> Any:
        """What it does to the output of the network; see `Atlas.effect`."""
        return self.atlas.effect(self.name, **how)

    def bands(self, count: int = 4) -> pd.DataFrame:
        """band, image_id, activation: images from the whole range of its activation.

        The highest 1 %, the 90th to the 99th percentile, around the median, the lowest 5 %; of
        each a few, chosen by content hash among those that the atlas has small copies of.

        Args:
            count: how many per band at most.

        Raises:
            NeuronymError: the layer's activations were not kept.
        """
        return bands(self, integer("count", count, 1))

    def density(self, level: float | None = None) -> float:
        """The share of the images whose activation is above a level.

        Args:
            level: None: half way from the unit's mean to its highest activation.

        Raises:
            NeuronymError: the layer's activations were not kept.
        """
        values = self.atlas.activations(self.layer)[:, self.index]
        return density(values, level_of(values) if level is None else level)

    def maps(self) -> np.ndarray:
        """Its activation maps, float32 `[exemplar, y, x]`: those of its highest images.

        In the order of `exemplars`, of which the first have maps; values are the unit's own
        activations, rounded to 255 steps per map, means over areas where the layer's map has more
        cells than 14 × 14.

        Raises:
            NeuronymError: the layer has no positions, or no maps were kept; says what to do.
        """
        return self.atlas.maps(self.layer).of(self.index)

    def images(self, count: int = 9, *, heat: bool = False, crop: bool = False) -> list[Image]:
        """Its highest images as Pillow pictures, the longer side up to 224 pixels.

        Images of which the atlas has no small copy, and with `heat` no map, are left out.

        Args:
            count: how many at most.
            heat: with the activation map over each: warm where the unit responds, with an outline
                at half of its highest value in any of its maps; dark where the network sees
                nothing.
            crop: only what the cell with the highest response sees (`docs/maps.md`).

        Raises:
            NeuronymError: `heat` or `crop`, and there are no maps; says what to do.
        """
        return images(self, integer("count", count, 1), heat, crop)

    def fed_by(self, method: str | None = None) -> pd.DataFrame:
        """What feeds it, the first the most: layer, unit, concept, confidence, and the link.

        Raises:
            UsageError: no links were found so far (`neuronym links`).
        """
        return self._links("to", "from", method)

    def feeds(self, method: str | None = None) -> pd.DataFrame:
        """What it feeds; see `fed_by`."""
        return self._links("from", "to", method)

    def _links(self, own: str, other: str, method: str | None) -> pd.DataFrame:
        frame = self.atlas.links(**{f"{own}_layer": self.layer})
        frame = frame[frame[f"{own}_unit"] == self.index].drop(
            columns=[f"{own}_layer", f"{own}_unit"]
        )
        frame = frame.rename(columns={f"{other}_layer": "layer", f"{other}_unit": "unit"})
        known = self.atlas.first_labels(method=method).reindex(
            columns=["layer", "unit", "concept", "confidence", "abstained"]
        )
        known["concept"] = known["concept"].mask(known["abstained"].astype(bool))
        frame = known.drop(columns="abstained").merge(frame, "right", ["layer", "unit"])
        frame["_size"] = (
            frame["effect"].abs().where(frame["confirmed"].fillna(False).astype(bool), 0)
        )
        frame = frame.sort_values(["_size", "strength"], ascending=False, kind="stable")
        return frame.drop(columns="_size").reset_index(drop=True)

    def figure(
        self,
        images: int = 16,
        at: Sequence[int] = (5, 10, 16),
        method: str | None = None,
        *,
        heat: bool = False,
    ) -> Figure:
        """Its highest activating images with labels and scores, and what fewer images predict.

        With `heat`, activation maps lie over the images that have one.
        """
        from neuronym.report.unit_sheet import draw

        return draw(self, images, at, method, heat=heat)
