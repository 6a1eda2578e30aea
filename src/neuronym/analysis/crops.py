"""Parts of pictures, and pictures without these parts, as an encoder sees them; kept in the cache.

A part is a box of one image. Parts are embedded in blocks in the order of the images' content, and
a finished block is kept, so a run that was stopped goes on, and labels of another method that look
at the same parts cost nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from neuronym._core import hashing
from neuronym._core.errors import NeuronymError
from neuronym.atlas.context import Sources
from neuronym.atlas.maps import in_pixels
from neuronym.extraction.passes import IMAGES
from neuronym.inputs.encoders.base import Encoder
from neuronym.inputs.preprocess.geometry import Box

_BLOCK = 256


class Part(NamedTuple):
    """One box of one image.

    Attributes:
        row: of the image.
        box: left, top, right, bottom as fractions of the picture.
        without: the picture without the box, which is filled with the picture's mean colour, in
            place of the box alone.
    """

    row: int
    box: Box
    without: bool = False


def embed(
    sources: Sources, encoder: Encoder, parts: Sequence[Part], what: str
) -> Float32[np.ndarray, "part dim"]:
    """Unit vectors of parts, in their order.

    Args:
        sources: where the pictures come from, and the cache.
        encoder: gives the embeddings.
        parts: each once.
        what: name of the display of progress.

    Raises:
        NeuronymError: an image cannot be read, or is another one than it was.
    """
    feed = sources.encoder_pass(encoder)
    about = {k: v for k, v in feed.entries[IMAGES].about.items() if k not in ("schema", "kind")}
    entry = sources.cache.entry("embeddings", {**about, "parts": "of pictures, 1"})
    hashes = sources.images["content_hash"].to_numpy()
    names = [json.dumps([hashes[p.row], [round(e, 6) for e in p.box], p.without]) for p in parts]
    order = sorted(range(len(parts)), key=names.__getitem__)
    found = np.empty((len(parts), encoder.dim), np.float32)
    size = sources.settings.batch_size
    with sources.progress(what, max(1, len(parts))) as tick:
        for low in range(0, len(order), _BLOCK):
            block = order[low : low + _BLOCK]
            key = hashing.of_bytes(*(names[place].encode() for place in block))
            there = entry.read(key) if entry.has(key, len(block)) else None
            if there is not None:
                found[block] = there[0]["values"]
                tick.advance(len(block), instant=True)
                continue
            some = [parts[place] for place in block]
            for start in range(0, len(some), size):
                pixels = _seen(sources, encoder, some[start : start + size])
                values = feed(pixels, [IMAGES])[IMAGES]["values"]
                found[block[start : start + len(pixels)]] = values
                tick.advance(len(pixels))
            with suppress(NeuronymError):  # a cache that cannot be written to
                entry.write(key, {"values": found[block]}, {})
    return found


def _seen(sources: Sources, encoder: Encoder, parts: Sequence[Part]) -> np.ndarray:
    """What the encoder sees of parts, `[part, height, width, channel]`; those of one image come
    one after the other."""
    found, row = [], -1
    for part in parts:
        if part.row != row:
            row, picture = part.row, sources.picture(part.row)
            mean = tuple(np.asarray(picture).mean((0, 1)).round().astype(int).tolist())
        box = in_pixels(part.box, picture.size)
        if part.without:
            shown = picture.copy()
            shown.paste(mean, box)
        else:
            shown = picture.crop(box)
        found.append(encoder.preprocess.pixels(shown))
    return np.stack(found)
