"""The WPMI family in compiled loops, for the CPU.

Every thread takes spans of texts. It multiplies their embeddings with those of the images in use,
turns the cosines into probabilities, and lays these out in tiles of 16 texts; then evidence,
priors and best texts of one tile are made before the next tile is begun.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator

import numba
import numpy as np
import torch
from jaxtyping import Float, Float64
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from neuronym._core.devices import product
from neuronym._core.numerics.compiled import compiled
from neuronym._core.progress import Progress
from neuronym._core.types import Rows
from neuronym.similarity import blocks
from neuronym.similarity.blocks import (
    Best,
    Form,
    Job,
    block_of,
    centre_of,
    embedding_blocks,
    on_threads,
)

#: Texts in a tile.
LANES = 16
#: Factors that are multiplied before their exponent is set aside: they must stay within float32.
FACTORS = 8
#: Independent products: one multiplication need not wait for the one before.
_CHAINS = 4

_float, _double, _int, _long = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
_floats, _ints = ir.VectorType(_float, LANES), ir.VectorType(_int, LANES)
_doubles = ir.VectorType(_double, LANES)
# Contraction only: reassociating its terms would break the reduction of the exponential.
_compiled, _reduced = compiled(), compiled("reassoc", "nsz")
_f = np.float32
_LOG2E, _LN2_HIGH, _LN2_LOW = _f(1.4426950408889634), _f(0.693359375), _f(-2.12194440e-4)
_P0, _P1, _P2 = _f(1.9875691500e-4), _f(1.3981999507e-3), _f(8.3334519073e-3)
_P3, _P4, _P5 = _f(4.1665795894e-2), _f(1.6666665459e-1), _f(5.0000001201e-1)
_LOWEST, _HIGHEST = _f(-87.0), _f(80.0)
_ZERO, _HALF, _ONE, _BIAS, _SHIFT = _f(0), _f(0.5), _f(1), np.int32(127), np.int32(23)
#: Numbers added up in float32 before they enter a sum in float64.
_RUN = 512
#: Takes (texts, evidence `[set, LANES]` without its constant, form); lanes past the texts are void.
Finish = Callable[[slice, np.ndarray, Form], None]


def _const(value: float) -> ir.Constant:
    return ir.Constant(_floats, [float(np.float32(value))] * LANES)


def _whole(value: int) -> ir.Constant:
    return ir.Constant(_ints, [value] * LANES)


def _spread(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """One float in all lanes."""
    empty = ir.Constant(_floats, ir.Undefined)
    return b.shuffle_vector(b.insert_element(empty, value, _int(0)), empty, _whole(0))


class _Loop:
    """The state of the product over one set, and the instructions that change it."""

    def __init__(
        self, b: ir.IRBuilder, tile: ir.Value, places: ir.Value, weights: ir.Value, base: ir.Value
    ) -> None:
        self.b, self.tile, self.base = b, tile, _spread(b, base)
        self.places = b.inttoptr(places, _int.as_pointer())
        self.weights = b.inttoptr(weights, _float.as_pointer())
        kind = ir.FunctionType(_floats, [_floats] * 3)
        self.fma = cgutils.get_or_insert_function(b.module, kind, f"llvm.fmuladd.v{LANES}f32")
        self.products = [cgutils.alloca_once(b, _floats) for _ in range(_CHAINS)]
        self.exponent = cgutils.alloca_once(b, _ints)
        for factor in self.products:
            b.store(_const(1), factor)
        b.store(_whole(0), self.exponent)

    def multiply(self, chain: int, r: ir.Value) -> None:
        """Take factor `r` into one of the products."""
        b = self.b
        place = b.sext(b.load(b.gep(self.places, [r])), _long)
        address = b.add(self.tile, b.mul(place, _long(4 * LANES)))
        values = b.load(b.inttoptr(address, _floats.as_pointer()), align=4)
        weight = _spread(b, b.load(b.gep(self.weights, [r])))
        factor = b.call(self.fma, [values, weight, self.base])
        product = self.products[chain]
        b.store(b.fmul(b.load(product), factor), product)

    def fold(self) -> None:
        """Set the exponent of the product aside, so that the product never leaves float32."""
        b = self.b
        values = [b.load(product) for product in self.products]
        while len(values) > 1:
            values = [b.fmul(*values[i : i + 2]) for i in range(0, len(values), 2)]
        bits = b.bitcast(values[0], _ints)
        step = b.sub(b.ashr(bits, _whole(23)), _whole(127))
        b.store(b.add(b.load(self.exponent), step), self.exponent)
        mantissa = b.or_(b.and_(bits, _whole(0x7FFFFF)), _whole(0x3F800000))
        b.store(b.bitcast(mantissa, _floats), self.products[0])
        for factor in self.products[1:]:
            b.store(_const(1), factor)

    def log(self) -> ir.Value:
        """log of mantissa·2^exponent: log √2 + 2 artanh((m − √2)/(m + √2)), error below 2e-7."""
        b, m = self.b, self.b.load(self.products[0])
        s = b.fdiv(b.fsub(m, _const(math.sqrt(2))), b.fadd(m, _const(math.sqrt(2))))
        z, y = b.fmul(s, s), _const(2 / 9)
        for coefficient in (2 / 7, 2 / 5, 2 / 3, 2):
            y = b.call(self.fma, [y, z, _const(coefficient)])
        y = b.fpext(b.call(self.fma, [y, s, _const(math.log(2) / 2)]), _doubles)
        # The sum may be in the hundreds: only a double keeps its digits.
        large = b.sitofp(b.load(self.exponent), _doubles)
        return b.fadd(b.fmul(large, ir.Constant(_doubles, [math.log(2)] * LANES)), y)


def _log_product(factors: int, chains: int) -> Callable:
    """The loop over a set that sets the exponent aside after so many factors."""

    @intrinsic
    def log_product(typing_context, tile, places, weights, count, base, out):
        signature = types.void(
            types.uintp, types.uintp, types.uintp, types.intp, types.float32, types.uintp
        )

        def generate(context, b, _, args):
            tile, places, weights, count, base, out = args
            loop = _Loop(b, tile, places, weights, base)
            blocks = b.sdiv(count, _long(factors))
            with cgutils.for_range(b, blocks) as block:
                low = b.mul(block.index, _long(factors))
                for j in range(factors):
                    loop.multiply(j % chains, b.add(low, _long(j)))
                loop.fold()
            with cgutils.for_range_slice(b, b.mul(blocks, _long(factors)), count, _long(1)) as (
                r,
                _,
            ):
                loop.multiply(0, r)
            loop.fold()
            b.store(loop.log(), b.inttoptr(out, _doubles.as_pointer()), align=8)
            return context.get_dummy_value()

        return signature, generate

    return log_product


_fast, _careful = _log_product(FACTORS, _CHAINS), _log_product(1, 1)


@compiled()
def log_products(tile, sets, weights, base, careful, out):
    """out[s, l] = Σ_r log(base + weights[r]·tile[sets[s, r], l]).

    Args:
        tile: float32 `[image, LANES]`, contiguous.
        sets: int32 `[set, k]`, contiguous.
        weights: float32 `[k]`.
        base: float32, 1 or 0.
        careful: whether products of FACTORS factors may leave the range of float32; single factors
            must stay within 1e±38.
        out: float64 `[set, LANES]`, contiguous.
    """
    start, places, end = tile.ctypes.data, sets.ctypes.data, out.ctypes.data
    count, factors = sets.shape[1], weights.ctypes.data
    for s in range(sets.shape[0]):
        own, line = places + s * 4 * count, end + s * 8 * LANES
        if careful:
            _careful(start, own, factors, count, base, line)
        else:
            _fast(start, own, factors, count, base, line)


@numba.njit(inline="always")
def _exp(x):
    """e^x in float32, relative error below 2e-7; x is kept within −87…80."""
    x = min(max(x, _LOWEST), _HIGHEST)
    n = np.floor(x * _LOG2E + _HALF)
    r = x - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    y = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5
    y = y * (r * r) + r + _ONE
    return y * np.int32((np.int32(n) + _BIAS) << _SHIFT).view(np.float32)


@_reduced
def _sum(row):
    total = _ZERO
    for t in range(len(row)):
        total += row[t]
    return total


@_compiled
def normalise(cosines, a, tops, weights, logs, means):
    """log Σ_t weights[t]·exp(a·cosines[i, t]) of every image, and what p(t | x) adds up to.

    Args:
        cosines: float32 `[image, text]`, overwritten.
        a: float32.
        tops: float32 `[image]`, the highest cosine of each.
        weights: float32 `[text]`, how often a text counts.
        logs: float64 `[image]`, set.
        means: float64 `[text]`, to which weights[t]·p(t | x) is added; empty: not wanted.
    """
    for i in range(cosines.shape[0]):
        row, shift, total = cosines[i], a * tops[i], 0.0
        for low in range(0, len(row), _RUN):
            part, often = row[low : low + _RUN], weights[low : low + _RUN]
            for t in range(len(part)):
                part[t] = often[t] * _exp(a * part[t] - shift)
            total += _sum(part)
        logs[i] = shift + math.log(total)
        if len(means):
            share = _f(1 / total)
            for t in range(len(row)):
                means[t] += share * row[t]


@_compiled
def fill_tiles(cosines, a, logs, first, tiles, added):
    """tiles[p, first + i, l] = exp(a·cosines[i, LANES p + l] − logs[i]) + added; 1 past the end.

    Args:
        cosines: float32 `[image, text]`.
        a, added: float32.
        logs: float32 `[image]`, log-normalisers.
        tiles: float32 `[tile, image, LANES]`.

    Returns:
        The highest exponential.
    """
    whole, highest = cosines.shape[1] // LANES, np.zeros(LANES, np.float32)
    for i in range(cosines.shape[0]):
        minus = logs[i]
        for p in range(whole):
            source, line = cosines[i, p * LANES : (p + 1) * LANES], tiles[p, first + i]
            for lane in range(LANES):
                value = _exp(a * source[lane] - minus)
                highest[lane] = max(highest[lane], value)
                line[lane] = value + added
        if whole * LANES < cosines.shape[1]:
            line = tiles[whole, first + i]
            line[:] = _ONE
            for t in range(whole * LANES, cosines.shape[1]):
                value = _exp(a * cosines[i, t] - minus)
                highest[0] = max(highest[0], value)
                line[t - whole * LANES] = value + added
    return highest.max()


@_compiled
def log_mean_exp(values, bounds, out):
    """out[i, l] = log of the mean of exp(values[·, l]) over layer i's sets.

    Args:
        values: float64 `[set, LANES]`.
        bounds: int64 `[layer + 1]`; layer i has the sets bounds[i] … bounds[i + 1] − 1.
        out: float64 `[layer, LANES]`.
    """
    part = np.empty(LANES, np.float32)
    for i in range(len(bounds) - 1):
        own = values[bounds[i] : bounds[i + 1]]
        highest, total = own[0].copy(), np.zeros(LANES)
        for s in range(len(own)):
            for lane in range(LANES):
                highest[lane] = max(highest[lane], own[s, lane])
        for start in range(0, len(own), 64):
            part[:] = _ZERO
            for s in range(start, min(start + 64, len(own))):
                for lane in range(LANES):
                    part[lane] += _exp(_f(own[s, lane] - highest[lane]))
            for lane in range(LANES):
                total[lane] += part[lane]
        for lane in range(LANES):
            out[i, lane] = highest[lane] + math.log(total[lane] / len(own))


@_compiled
def keep_best(values, bounds, shift, first, texts, scores, numbers):
    """Insert values[s, l] + shift[layer of s, l], the score of text `first + l`, into the best.

    Args:
        values: float64 `[set, LANES]`, of which `texts` lanes count; texts come in ascending order.
        bounds: int64 `[layer + 1]`, as in `log_mean_exp`.
        shift: float64 `[layer, LANES]`.
        scores: float32 `[set, n]`, descending; of equal scores the earlier text stays in front.
        numbers: int64 `[set, n]`, the texts.
    """
    n, line = scores.shape[1], np.empty(LANES, np.float32)
    for i in range(len(bounds) - 1):
        for s in range(bounds[i], bounds[i + 1]):
            least, some = scores[s, n - 1], False
            for lane in range(LANES):
                line[lane] = _f(values[s, lane] + shift[i, lane])
                some |= line[lane] > least
            if not some:
                continue
            for lane in range(texts):
                value = line[lane]
                if not value > scores[s, n - 1]:
                    continue
                place = n - 1
                while place > 0 and value > scores[s, place - 1]:
                    scores[s, place] = scores[s, place - 1]
                    numbers[s, place] = numbers[s, place - 1]
                    place -= 1
                scores[s, place], numbers[s, place] = value, first + lane


@_compiled
def number_images(sets, numbers, union, places):
    """The distinct images of some sets, and the sets in terms of them.

    Args:
        sets: whole numbers `[set, k]`.
        numbers: int32 `[image]`, −1 everywhere before and after.
        union: int32 `[set · k]`, filled from the front in order of first occurrence.
        places: int32 `[set, k]`, set so that union[places] = sets.

    Returns:
        How many there are.
    """
    count = 0
    for s in range(sets.shape[0]):
        for r in range(sets.shape[1]):
            image = sets[s, r]
            if numbers[image] < 0:
                numbers[image] = count
                union[count] = image
                count += 1
            places[s, r] = numbers[image]
    for i in range(count):
        numbers[union[i]] = -1
    return count


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
    centre = centre_of(texts)
    found, columns = np.empty(images.shape[0]), torch.from_numpy(texts - centre)
    step = block_of(max(texts.shape), max(1, blocks.LIMITS.rows // 8))
    total, pending, expected, guard = np.zeros(len(texts)), {}, 0, threading.Lock()

    def add(low: int, sums: np.ndarray) -> None:
        """In the order of the blocks, whichever is finished first: the same bits every time."""
        nonlocal expected
        with guard:
            pending[low] = sums
            while expected in pending:
                np.add(total, pending.pop(expected), out=total)
                expected += step

    def work(parts: Iterator[tuple[int, torch.Tensor]]) -> None:
        for low, block in parts:
            cosines, logs = product(block, columns), found[low : low + len(block)]
            sums = np.zeros(len(texts) if means else 0)
            normalise(cosines.numpy(), np.float32(a), cosines.amax(1).numpy(), weights, logs, sums)
            logs += a * blocks.along([(0, block)], centre, len(block))
            if means:
                add(low, sums)

    with progress("reading images", images.shape[0]) as tick:
        on_threads(work, embedding_blocks(images, step), lambda item: tick.advance(len(item[1])))
    return found, total / weights / images.shape[0] if means else None


def best(job: Job, n: int, progress: Progress) -> Best:
    """The n best texts of every set."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    priors = np.empty((len(job.bounds) - 1, len(job.texts)))

    def begin() -> Finish:
        scores = np.full((len(job.sets), n), -np.inf, np.float32)
        numbers = np.full((len(job.sets), n), -1)
        parts.append((scores, numbers))

        def finish(texts: slice, values: np.ndarray, form: Form) -> None:
            width = texts.stop - texts.start
            prior = _priors(job, texts, values, form)
            priors[:, texts] = prior[:, :width]
            shift = form.constant - job.lam * prior
            keep_best(values, job.bounds, shift, texts.start, width, scores, numbers)

        return finish

    with progress("scoring concepts", len(job.texts)) as tick:
        _Tiles(job).run(range(len(job.texts)), begin, tick.advance)
    scores = np.concatenate([part[0] for part in parts], axis=1)
    numbers = np.concatenate([part[1] for part in parts], axis=1)
    order = np.lexsort((numbers, -scores), axis=1)[:, :n]
    return Best(np.take_along_axis(scores, order, 1), np.take_along_axis(numbers, order, 1), priors)


def scores(job: Job) -> Float[np.ndarray, "set text"]:
    """All scores, float32."""
    found = np.empty((len(job.sets), len(job.texts)), np.float32)

    def finish(texts: slice, values: np.ndarray, form: Form) -> None:
        shift = form.constant - job.lam * _priors(job, texts, values, form)
        every = values + np.repeat(shift, np.diff(job.bounds), axis=0)
        found[:, texts] = every[:, : texts.stop - texts.start]

    _Tiles(job).run(range(len(job.texts)), lambda: finish)
    return found


def evidence(job: Job) -> Iterator[tuple[int, torch.Tensor, float]]:
    """See `MutualInformation.evidence`."""
    tiles, constant = _Tiles(job), job.form(0.0).constant
    span = block_of(len(job.sets), 4 * blocks.LIMITS.span)
    for low in range(0, len(job.texts), span):
        texts = range(low, min(low + span, len(job.texts)))
        yield low, torch.from_numpy(_evidence_of(tiles, texts, constant)), constant


def _evidence_of(tiles: _Tiles, texts: range, constant: float) -> Float[np.ndarray, "set text"]:
    """The evidence of some texts without `constant`, float32."""
    found = np.empty((len(tiles.job.sets), len(texts)), np.float32)

    def finish(here: slice, values: np.ndarray, form: Form) -> None:
        low, high = here.start - texts.start, here.stop - texts.start
        found[:, low:high] = values[:, : high - low] + (form.constant - constant)

    tiles.run(texts, lambda: finish)
    return found


def _priors(
    job: Job, texts: slice, values: Float64[np.ndarray, "set lanes"], form: Form
) -> Float64[np.ndarray, "layer lanes"]:
    """log p(t) of the texts in a tile."""
    found = np.zeros((len(job.bounds) - 1, LANES))
    if job.prior is None:
        log_mean_exp(values, job.bounds, found)
        return found + form.constant
    found[:, : texts.stop - texts.start] = job.prior[texts]
    return found


class _Tiles:
    """The images in use of one job, and the loop over its texts."""

    def __init__(self, job: Job) -> None:
        used, places = np.unique(job.sets, return_inverse=True)
        self.job, self.count = job, len(used)
        self.places = places.reshape(job.sets.shape).astype(np.int32)
        self.blocks = blocks.reader(job.images, used, blocks.LIMITS.rows)
        self.logs = job.logs(used, self.blocks())
        fitting = blocks.LIMITS.values // 2 // self.count // LANES * LANES
        self.wide = max(LANES, min(blocks.LIMITS.span // LANES * LANES, fitting))

    def run(
        self,
        texts: range,
        begin: Callable[[], Finish],
        done: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Call what `begin` gives each thread for every tile; `done` counts texts."""
        job = self.job

        def work(starts: Iterable[int]) -> None:
            finish, values = begin(), np.empty((len(job.sets), LANES))
            tiles = aligned((self.wide // LANES, self.count, LANES))
            for low in starts:
                high = min(low + self.wide, texts.stop)
                highest = self._fill(tiles, low, high)
                form = job.form(highest)
                factors = form.weights.astype(np.float32), np.float32(form.base)
                careful = is_careful(form, highest)
                for tile, first in zip(tiles, range(low, high, LANES), strict=False):
                    log_products(tile, self.places, *factors, careful, values)
                    finish(slice(first, min(first + LANES, high)), values, form)

        starts = range(texts.start, texts.stop, self.wide)
        on_threads(work, starts, lambda low: done(min(self.wide, texts.stop - low)))

    def _fill(self, tiles: np.ndarray, low: int, high: int) -> float:
        """The probabilities of some texts for the images in use; returns the highest log p."""
        job = self.job
        span, added = torch.from_numpy(job.span(low, high)), np.float32(job.form(0.0).added)
        highest = 0.0
        for start, block in self.blocks():
            cosines, logs = product(block, span).numpy(), self.logs[start : start + len(block)]
            found = fill_tiles(cosines, np.float32(job.a), logs, start, tiles, added)
            highest = max(highest, found)
        return math.log(highest)


def is_careful(form: Form, highest: float) -> bool:
    """Whether the compiled product must set the exponent aside after every factor."""
    return form.factors(highest) < FACTORS


def aligned(shape: tuple[int, ...]) -> Float[np.ndarray, "tile image lanes"]:
    """An empty float32 array that begins with a cache line, as its rows then do."""
    size = 4 * math.prod(shape)
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(np.float32).reshape(shape)
