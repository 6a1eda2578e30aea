"""Ranks of images for texts, and the error of reordering by them: the work of rank-reorder."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64, Integer

from neuronym import _compiled
from neuronym._types import Rows
from neuronym.similarity import _problem
from neuronym.similarity._problem import block_of, digest, embedding_blocks


def distinct_images(
    images: Rows, used: Int64[np.ndarray, " used"]
) -> tuple[Int64[np.ndarray, " distinct"], Int64[np.ndarray, " used"]]:
    """The used images without repeated embeddings, and for every used image its place in them.

    Cosines of equal embeddings differ in the last bit when the product computes their columns in
    different ways; shared columns tie for certain.
    """
    same, seen = np.empty(len(used), np.int64), {}
    for low, block in embedding_blocks(images, block_of(images.shape[1]), used):
        for place, row in enumerate(block.numpy(), low):
            same[place] = seen.setdefault(digest(row), place)
    places, member = np.unique(same, return_inverse=True)
    return used[places], member


def cosines(
    images: Rows,
    wanted: Int64[np.ndarray, " wanted"],
    texts: Float[np.ndarray, "text dim"],
) -> Float[np.ndarray, "text wanted"]:
    """P of some images, given in ascending order: float64, rounded to float32."""
    import torch

    found = np.empty((len(texts), len(wanted)), np.float32)
    tile = torch.from_numpy(texts).double()
    step = block_of(max(texts.shape))
    for start, block in embedding_blocks(images, step, wanted):
        found[:, start : start + len(block)] = (tile @ block.double().T).float().numpy()
    return found


def ranks(
    cosines: Float[np.ndarray, "text distinct"], member: Int64[np.ndarray, " column"]
) -> Integer[np.ndarray, "text column"]:
    """The rank of every image for every text, from 0 at the smallest; equal: the earlier column.

    Integers that pack a float (in the order of floats) and its column sort faster than floats with
    their indices.
    """
    count = len(member)
    found = np.empty((len(cosines), count), np.uint16 if count <= 1 << 16 else np.uint32)

    def work(low: int, high: int) -> None:
        bits = (cosines[low:high, member] + np.float32(0)).view(np.int32).astype(np.int64)
        keys = (np.where(bits < 0, bits ^ 0x7FFFFFFF, bits) << 32) | np.arange(count)
        keys.sort(axis=1)
        order = np.arange(count, dtype=found.dtype)
        np.put_along_axis(found[low:high], keys & 0xFFFFFFFF, order[None], axis=1)

    _problem.spread(work, len(cosines), block_of(count, 16))
    return found


def errors(
    ranks: Integer[np.ndarray, "text used"],
    places: Int64[np.ndarray, "unit n"],
    heights: Float[np.ndarray, "unit n"],
    p: float,
) -> Float[np.ndarray, "unit text"]:
    """mean |Δ|^p of every unit and text, by sorting (rank, place) packed into one integer.

    Args:
        ranks: of every image that some unit uses, for every text.
        places: each unit's images, the highest activation first, as columns of `ranks`.
        heights: their activations, scaled to 0…1.
        p: the exponent.
    """
    return (_compiled_errors if _compiled.available() else _plain_errors)(ranks, places, heights, p)


def _compiled_errors(
    ranks: Integer[np.ndarray, "text used"],
    places: Int64[np.ndarray, "unit n"],
    heights: Float[np.ndarray, "unit n"],
    p: float,
) -> Float[np.ndarray, "unit text"]:
    import torch

    from neuronym.similarity import _rank_kernels

    texts, n = len(ranks), places.shape[1]
    # In ascending order a place among the images is a place in the ladder of heights.
    places = np.ascontiguousarray(places[:, ::-1], ranks.dtype)
    ladders = np.ascontiguousarray(heights[:, ::-1], np.float32)
    bits = (n - 1).bit_length()
    kind = np.uint32 if (ranks.shape[1] - 1).bit_length() + bits <= 32 else np.uint64
    found = np.empty((len(places), texts))
    # As many pairs are sorted at once as fit the second-level cache: few units, more texts.
    pairs = max(1, 8 * _problem.LIMITS.chunk // n)
    few = min(pairs, 8)

    def work(low: int, high: int) -> None:
        keys = np.empty((few, high - low, n), kind)
        for start in range(0, len(places), few):
            own = slice(start, start + few)
            part = keys[: len(places[own])]
            _rank_kernels.fill_keys(ranks[low:high], places[own], bits, part)
            part.sort(axis=2)
            _rank_kernels.add_errors(part, ladders[own], bits, np.float32(p), found[own, low:high])

    _problem.spread(work, texts, min(pairs // few, -(-texts // torch.get_num_threads())))
    found /= n
    return found


def _plain_errors(
    ranks: Integer[np.ndarray, "text used"],
    places: Int64[np.ndarray, "unit n"],
    heights: Float[np.ndarray, "unit n"],
    p: float,
) -> Float[np.ndarray, "unit text"]:
    """The same without numba, several times as slow."""
    texts, n = len(ranks), places.shape[1]
    found = np.empty((len(places), texts))

    def work(low: int, high: int) -> None:
        part, own = places[low:high], heights[low:high].astype(np.float32)
        bits = (part.size - 1).bit_length()
        kind = np.int32 if ranks.shape[1] << bits < 1 << 31 else np.int64
        keys = ranks[:, part.ravel()].astype(kind)
        keys <<= bits
        keys |= np.arange(part.size, dtype=kind)
        keys = keys.reshape(texts, *part.shape)
        keys.sort(axis=2)
        keys &= (1 << bits) - 1
        gaps = own.ravel()[keys]
        gaps -= own[:, ::-1]  # the heights descend: reversed, the s-th smallest
        found[low:high] = power(gaps, p).mean(2, dtype=np.float64).T

    _problem.spread(work, len(places), max(1, 8 * _problem.LIMITS.chunk // (texts * n)))
    return found


def power(gaps: np.ndarray, p: float) -> np.ndarray:
    """|gaps|^p; products where they do, which are much faster."""
    size = np.abs(gaps)
    if p == 3:
        return size * size * size
    return size if p == 1 else size**p
