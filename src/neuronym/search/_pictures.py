"""Which units respond to a picture: as the encoder sees it, and as the network itself does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from neuronym._core.errors import NeuronymError
from neuronym.extraction.passes import IMAGES, EncoderPass
from neuronym.search.relations import Relations

if TYPE_CHECKING:
    from PIL.Image import Image

    from neuronym.atlas.context import Origins
    from neuronym.inputs.encoders.base import Encoder


def by_encoder(
    origins: Origins, encoder: Encoder, relations: Relations, picture: Image
) -> pd.DataFrame:
    """layer, unit, likeness: cosine of the picture with the mean of each unit's exemplars.

    Both less the probe's mean embedding.
    """
    feed = EncoderPass(encoder, origins.cache, device=origins.device, dtype="float32", batch_size=1)
    pixels = feed.preprocess.pixels(picture)[None]
    vector = feed(pixels, [IMAGES])[IMAGES]["values"][0].astype(np.float64)
    vector -= np.asarray(origins.atlas.embeddings()["images"]).mean(0, dtype=np.float64)
    vector /= max(np.linalg.norm(vector), 1e-12)
    return relations.units.frame(
        np.arange(len(relations.units)), likeness=relations.directions @ vector
    )


def by_target(origins: Origins, picture: Image) -> pd.DataFrame:
    """layer, unit, activation, deviation, share: what the picture does to each unit.

    `deviation`: by how many of its standard deviations over the probe the activation exceeds the
    unit's mean. `share`: of the probe's images that activate the unit less; NaN where the atlas
    keeps no activations.
    """
    atlas, feed = origins.atlas, origins.target_pass
    pixels = feed.preprocess.pixels(picture)[None]
    found = feed(pixels, list(atlas.layers))
    parts = []
    for layer in atlas.layers:
        values = found[layer]["values"][0]
        facts = atlas.units[atlas.units["layer"] == layer]
        with np.errstate(divide="ignore", invalid="ignore"):
            deviation = (values - facts["mean"].to_numpy()) / facts["std"].to_numpy()
        try:
            share = (atlas.activations(layer) < values).mean(0)
        except NeuronymError:
            share = np.full(len(values), np.nan)
        parts.append(
            pd.DataFrame(
                {
                    "layer": layer,
                    "unit": facts["unit"].to_numpy(),
                    "activation": values,
                    "deviation": deviation,
                    "share": share,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
