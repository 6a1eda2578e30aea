"""One unit of an atlas, as `atlas["layer4", 1802]` gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuronym._core.checks import misuse
from neuronym.atlas.schema import TRUST

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

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
        self, images: int = 16, at: Sequence[int] = (5, 10, 16), method: str | None = None
    ) -> Figure:
        """Its highest activating images with labels and scores, and what fewer images predict."""
        from neuronym.report.unit_sheet import draw

        return draw(self, images, at, method)
