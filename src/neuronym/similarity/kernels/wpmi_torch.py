"""The WPMI family in torch: for CUDA, and for the CPU where loops cannot be compiled.

A sum of logarithms is the logarithm of a product, and a float32 holds a product of many factors, so
one logarithm serves all factors that fit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from neuronym._core.devices import full_precision, product
from neuronym._core.progress import Progress
from neuronym._core.types import Rows
from neuronym.similarity import blocks
from neuronym.similarity.blocks import (
    HIGHEST_LOG,
    Best,
    Form,
    Job,
    block_of,
    centre_of,
    embedding_blocks,
)

_EMPTY = np.iinfo(np.int64).min


def log_normalisers(
    images: Rows,
    texts: Float[np.ndarray, "distinct dim"],
    weights: Float[np.ndarray, " distinct"],
    a: float,
    means: bool,
    device: str,
    progress: Progress,
) -> tuple[Float64[np.ndarray, " image"], Float64[np.ndarray, " distinct"] | None]:
    """log Z of every image, and the mean probability of every text, in one pass over the images."""
    found = np.empty(images.shape[0])
    centre = centre_of(texts)
    columns = torch.from_numpy(texts - centre).to(device)
    count = torch.from_numpy(weights).to(device)
    total = torch.zeros(len(texts), dtype=torch.float64, device=device)
    with progress("reading images", images.shape[0]) as tick, full_precision():
        for low, block in embedding_blocks(images, block_of(max(texts.shape))):
            logits = product(block.to(device), columns).mul_(a)
            highest = logits.amax(1, keepdim=True)
            logits.sub_(highest).exp_()
            sums = logits @ count
            logs = highest[:, 0].double() + sums.double().log()
            shift = a * blocks.along([(0, block)], centre, len(block))
            found[low : low + len(block)] = logs.cpu().numpy() + shift
            if means:
                total += logits.div_(sums[:, None]).sum(0, dtype=torch.float64)
            tick.advance(len(block))
    return found, (total / images.shape[0]).cpu().numpy() if means else None


def best(job: Job, n: int, progress: Progress) -> Best:
    """The n best texts of every set."""
    priors = np.empty((len(job.bounds) - 1, len(job.texts)))
    kept = torch.full((len(job.sets), n), _EMPTY, device=job.device)
    with progress("scoring concepts", len(job.texts)) as tick:
        for low, values, form in _tiles(job):
            texts = slice(low, low + values.shape[1])
            priors[:, texts] = _subtract_priors(job, texts, values, form)
            kept = torch.cat([kept, _pack(values.float(), low)], 1).topk(n, dim=1).values
            tick.advance(values.shape[1])
    values, numbers = _unpack(kept)
    return Best(values.cpu().numpy(), numbers.cpu().numpy(), priors)


def scores(job: Job) -> Float[np.ndarray, "set text"]:
    """All scores, float32."""
    found = np.empty((len(job.sets), len(job.texts)), np.float32)
    for low, values, form in _tiles(job):
        texts = slice(low, low + values.shape[1])
        _subtract_priors(job, texts, values, form)
        found[:, texts] = values.float().cpu().numpy()
    return found


def evidence(job: Job) -> Iterator[tuple[int, Tensor, float]]:
    """See `MutualInformation.evidence`."""
    constant = job.form(0.0).constant
    for low, values, form in _tiles(job):
        yield low, values.add_(form.constant - constant).float().cpu(), constant


def _tiles(job: Job) -> Iterator[tuple[int, Tensor, Form]]:
    """Tile by tile: the first text, evidence float64 `[set, text]` without its constant, form."""
    used, places = np.unique(job.sets, return_inverse=True)
    where = torch.from_numpy(places.reshape(job.sets.shape)).to(job.device)
    wide = block_of(max(len(used), len(job.sets)), blocks.LIMITS.concepts)
    step = block_of(max(job.images.shape[1], min(wide, len(job.texts))))
    read = blocks.reader(job.images, used, step, job.device)
    minus = torch.from_numpy(job.logs(used, read())).to(job.device)[:, None]
    for low in range(0, len(job.texts), wide):
        tile = torch.from_numpy(job.span(low, low + wide)).to(job.device)
        rows = torch.empty((len(used), len(tile)), device=job.device)
        with full_precision():
            for start, block in read():
                rows[start : start + len(block)] = product(block, tile)
        rows.mul_(job.a).sub_(minus)
        highest = float(rows.max())
        form = job.form(highest)
        yield low, log_products(rows.clamp_(max=HIGHEST_LOG).exp_(), where, form, highest), form


def log_products(
    rows: Float[Tensor, "image text"], sets: Int64[Tensor, "set k"], form: Form, highest: float
) -> Float64[Tensor, "set text"]:
    """Evidence of the sets without its constant, float64.

    Args:
        rows: probabilities, overwritten.
        sets: row numbers.
        form: of the evidence.
        highest: at least the logarithm of every probability.
    """
    total = torch.zeros((len(sets), rows.shape[1]), dtype=torch.float64, device=rows.device)
    if not form.base:
        rows.add_(form.added).mul_(float(form.weights[0]))
    factors, by_place = form.factors(highest), sets.T.contiguous()

    def multiply(low: int, high: int) -> None:
        out = total[low:high]
        running = torch.empty((high - low, rows.shape[1]), device=rows.device)
        factor = torch.empty_like(running)
        for first in range(0, len(by_place), factors):
            running.fill_(1)
            for place in range(first, min(first + factors, len(by_place))):
                torch.index_select(rows, 0, by_place[place, low:high], out=factor)
                if form.base:
                    running.addcmul_(running, factor, value=float(form.weights[place]))
                else:
                    running.mul_(factor)
            out.add_(running.log_())

    if rows.device.type == "cpu":
        blocks.spread(multiply, len(sets), max(1, blocks.LIMITS.chunk // rows.shape[1]))
    else:
        multiply(0, len(sets))
    return total


def _subtract_priors(
    job: Job, texts: slice, values: Tensor, form: Form
) -> Float64[np.ndarray, "layer text"]:
    """From evidence to scores, in place; returns log p(t) of every layer."""
    priors = np.empty((len(job.bounds) - 1, values.shape[1]))
    for layer, own in enumerate(values.split(np.diff(job.bounds).tolist())):
        if job.prior is None:
            mean = own.logsumexp(0).cpu().numpy() - np.log(len(own))
            priors[layer] = mean + form.constant
        else:
            priors[layer] = job.prior[texts]
        own += torch.from_numpy(form.constant - job.lam * priors[layer]).to(own.device)
    return priors


def _pack(scores: Float[Tensor, "set text"], low: int) -> Int64[Tensor, "set text"]:
    """One whole number per score, in the order of (score, then smaller text); see `topk._pack`."""
    bits = (scores + 0.0).view(torch.int32).long()
    numbers = torch.arange(low, low + scores.shape[1], device=scores.device)
    return (torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits) << 32) | (0xFFFFFFFF - numbers)


def _unpack(
    keys: Int64[Tensor, "set n"],
) -> tuple[Float[Tensor, "set n"], Int64[Tensor, "set n"]]:
    """The scores and the texts inside packed numbers."""
    bits = keys >> 32
    scores = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).int().view(torch.float32)
    return scores, 0xFFFFFFFF - (keys & 0xFFFFFFFF)
