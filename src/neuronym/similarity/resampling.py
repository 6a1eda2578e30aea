"""Scores of every unit's own candidates under many resampled image sets.

Unit by unit: one small product over the images that its sets hold together, then the sets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Float32, Integer

from neuronym._core.checks import misuse
from neuronym._core.devices import product
from neuronym._core.numerics import compiled
from neuronym._core.numerics.topk import as_array
from neuronym._core.types import Rows
from neuronym.similarity import blocks
from neuronym.similarity.blocks import HIGHEST_LOG, Form, centre_of, on_threads

#: Takes (a unit's sets, centred texts, what to add to each score); returns scores `[set, text]`.
Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def resample(
    sets: Integer[np.ndarray, "unit resample top_k"],
    candidates: Integer[np.ndarray, "unit candidate"],
    images: Rows,
    texts: Rows,
    log_normalisers: Float[np.ndarray, " image"],
    log_prior: Float[np.ndarray, " concept"],
    a: float,
    lam: float,
    form: Callable[[float], Form],
) -> Float32[np.ndarray, "unit resample candidate"]:
    """See `MutualInformation.resample`."""
    count = blocks.check_embeddings(images, texts)
    _check("log_normalisers", len(log_normalisers), count)
    _check("log_prior", len(log_prior), texts.shape[0])
    _check("candidates", len(candidates), len(sets))
    _check_numbers("sets", sets, count)
    _check_numbers("candidates", candidates, texts.shape[0])
    if ((sets < 0).any(2) != (sets[:, :, 0] < 0)).any():
        raise misuse("sets", "hold −1 in the first place where they hold it at all", sets.shape)
    prior = np.asarray(log_prior, np.float64)
    words = as_array(texts[0 : texts.shape[0]])
    centre = centre_of(words)
    used = np.zeros(count, bool)
    for own in sets:
        used[own[own[:, 0] >= 0]] = True
    make = _compiled_score if compiled.available() else _torch_score
    rows = blocks.gather(images, np.flatnonzero(used))
    along = blocks.along(blocks.embedding_blocks(rows, blocks.LIMITS.rows), centre, len(rows))
    logs = (np.asarray(log_normalisers, np.float64)[used] - a * along).astype(np.float32)
    place = np.full(count, -1, np.int32)
    place[used] = np.arange(len(rows))
    begin = make(rows, logs, a, form)
    found = np.full((*sets.shape[:2], candidates.shape[1]), np.nan, np.float32)

    def work(units: Iterator[int]) -> None:
        score = begin()
        for unit in units:
            some, there = sets[unit, :, 0] >= 0, candidates[unit] >= 0
            chosen = candidates[unit][there]
            if some.any() and there.any():
                own = place[sets[unit][some]]
                values = score(own, words[chosen] - centre, -lam * prior[chosen])
                found[unit][np.ix_(some, there)] = values

    on_threads(work, range(len(sets)))
    return found


def _check(argument: str, got: int, expected: int) -> None:
    if got != expected:
        raise misuse(argument, f"have {expected} entries", got)


def _check_numbers(argument: str, numbers: np.ndarray, count: int) -> None:
    if numbers.size and (numbers.max() >= count or numbers.min() < -1):
        wrong = numbers[(numbers >= count) | (numbers < -1)][0]
        raise misuse(argument, f"hold numbers 0…{count - 1}, or −1", int(wrong))


def _compiled_score(
    rows: Float32[np.ndarray, "used dim"],
    logs: Float32[np.ndarray, " used"],
    a: float,
    form: Callable[[float], Form],
) -> Callable[[], Score]:
    """Makes the function that scores one unit, with the working array of one thread."""
    from neuronym.similarity.kernels import wpmi_compiled
    from neuronym.similarity.kernels.wpmi_compiled import LANES, log_products

    added = np.float32(form(0.0).added)

    def begin() -> Score:
        numbers = np.full(len(rows), -1, np.int32)

        def score(sets: np.ndarray, texts: np.ndarray, shift: np.ndarray) -> np.ndarray:
            union, local = np.empty(sets.size, np.int32), np.empty(sets.shape, np.int32)
            here = union[: wpmi_compiled.number_images(sets, numbers, union, local)]
            cosines = product(torch.from_numpy(rows[here]), torch.from_numpy(texts)).numpy()
            tiles = wpmi_compiled.aligned((-(-len(texts) // LANES), len(here), LANES))
            p = wpmi_compiled.fill_tiles(cosines, np.float32(a), logs[here], 0, tiles, added)
            highest = math.log(p)
            evidence = form(highest)
            factors = evidence.weights.astype(np.float32), np.float32(evidence.base)
            careful = wpmi_compiled.is_careful(evidence, highest)
            values = np.empty((len(tiles), len(sets), LANES))
            for tile, out in zip(tiles, values, strict=True):
                log_products(tile, local, *factors, careful, out)
            flat = values.transpose(1, 0, 2).reshape(len(sets), -1)[:, : len(texts)]
            return flat + (shift + evidence.constant)

        return score

    return begin


def _torch_score(
    rows: Float32[np.ndarray, "used dim"],
    logs: Float32[np.ndarray, " used"],
    a: float,
    form: Callable[[float], Form],
) -> Callable[[], Score]:
    """The same without compiled loops."""
    from neuronym.similarity.kernels import wpmi_torch

    def score(sets: np.ndarray, texts: np.ndarray, shift: np.ndarray) -> np.ndarray:
        here, local = np.unique(sets, return_inverse=True)
        p = product(torch.from_numpy(rows[here]), torch.from_numpy(texts))
        p.mul_(a).sub_(torch.from_numpy(logs[here])[:, None])
        highest = float(p.max())
        evidence = form(highest)
        p.clamp_(max=HIGHEST_LOG).exp_()
        where = torch.from_numpy(local.reshape(sets.shape))
        values = wpmi_torch.log_products(p, where, evidence, highest).numpy()
        return values + (shift + evidence.constant)

    return lambda: score
