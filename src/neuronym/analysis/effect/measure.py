"""The network with units changed, on their exemplars and on random images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from neuronym._core.errors import UsageError
from neuronym._core.progress import Ticker
from neuronym.analysis.effect.settings import FEWEST, How
from neuronym.analysis.effect.statistics import Seen
from neuronym.atlas.context import LabelContext
from neuronym.extraction.interventions import Change, levelled, steered, zeroed

#: Bytes of outputs that are held at once.
_BLOCK_BYTES = 1 << 26
#: Units that are measured before what was found is written.
_BLOCK_UNITS = 512
#: Rows of outputs that are asked for at once.
_ROWS = 4096
_IMAGES = 16
#: Differences below so many times what rounding makes are none.
_ROUNDING = 4


class Experiment:
    """One layer of an atlas, whose units can be changed.

    Attributes:
        names: of the outputs, where they are classes; else None.
        outputs: how many there are.
        what: the numbers that the network puts out: logits, probabilities or values.
        pooled: whether the output has positions, over which it is averaged.

    Args:
        context: of the atlas.
        layer: its name.
        how: what is done to units.

    Raises:
        UsageError: the layer is the output, or the target or the probe is another one.
        NeuronymError: the network puts out nothing with a row per image.
    """

    def __init__(self, context: LabelContext, layer: str, how: How) -> None:
        self.context, self.layer, self.how = context, layer, how
        sources = context.sources
        self._pass = sources.changed_pass([layer])
        self._plan = self._pass.plans[layer]
        draw = np.random.default_rng(how.seed).permutation(context.count)
        self._drawn = self._different(context.by_content[draw])
        self._pixels = np.stack([sources.seen(row) for row in self._drawn[: how.images]])
        first = self._pass.under(self._pixels[:4], wanted=[layer], raw=True)
        assert first.output is not None
        names = sources.target.class_names
        self._axis = _output_axis(first.output.shape, len(names or ()))
        self.pooled = first.output.ndim > 2
        plain = self._flat(first.output)
        self.outputs = plain.shape[1]
        self.names = names if names is not None and len(names) == self.outputs else None
        shares = plain.min() >= 0 and np.allclose(plain.sum(1), 1, atol=1e-3) and self.outputs > 1
        self.what = "probabilities" if shares else "logits" if self.names else "values"
        own = first.values[layer]
        if own.shape == first.output.shape and np.array_equal(own, first.output):
            raise UsageError(
                f"Expected a layer whose units do something to the output, got {layer}, which is "
                "the output: nothing comes after it. Choose a layer before it."
            )
        self._levels: np.ndarray | None = None
        if how.mode == "mean":
            self._levels = self._pass.levels(layer, self._pixels)
        self._floor = self._rounding(plain)

    def _different(self, rows: Sequence[int] | np.ndarray) -> list[int]:
        """The rows without images whose content equals that of an earlier one."""
        hashes = self.context.images["content_hash"]
        first: dict[Any, int] = {}
        for row in rows:
            first.setdefault(hashes.iloc[row], int(row))
        return list(first.values())

    def _flat(self, output: np.ndarray) -> np.ndarray:
        """A network's output as `[image, output]`: means over positions, where it has some."""
        moved = np.moveaxis(output, self._axis, -1)
        return moved.reshape(len(moved), -1, moved.shape[-1]).mean(1)

    def _rounding(self, plain: np.ndarray) -> float:
        """Below which size a difference may be rounding: it depends on what runs together."""
        rows = np.repeat(np.arange(len(plain)), 2)
        again = self._run(self._pixels[: len(plain)], rows, np.full(len(rows), -1))
        there = np.isfinite(plain[rows]) & np.isfinite(again)
        spread = np.abs(again - plain[rows])[there].max(initial=0.0)
        return _ROUNDING * float(max(spread, 1e-6 * np.abs(plain[rows])[there].max(initial=0.0)))

    def _run(self, pixels: np.ndarray, rows: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Outputs `[row, output]`, each row an image with its own unit changed; −1: none."""
        out = self._pass.under(pixels, [self._change(units[:, None])], rows=rows).output
        assert out is not None
        return self._flat(out)

    def _change(self, units: np.ndarray) -> Change:
        if self.how.mode == "zero":
            return zeroed(self._plan, units)
        if self.how.mode == "mean":
            return levelled(self._plan, units, self._levels)
        spread = self.context.statistics(self.layer)["std"].to_numpy(np.float64)
        return steered(self._plan, units, np.nan_to_num(spread) * self.how.amount)

    def images(self, units: Sequence[int]) -> dict[int, tuple[list[int], list[int]] | str]:
        """By unit its exemplars, the highest first, and random images that are none of them.

        In place of them why there are too few.
        """
        steer = self.how.mode == "steer"
        reasons = self.context.reasons(self.layer)
        ranked = None if steer else self.context.highest(self.layer, self.how.images).indices
        found: dict[int, tuple[list[int], list[int]] | str] = {}
        for unit in units:
            reason = reasons[unit]
            own = [] if ranked is None else self._different(ranked[unit][ranked[unit] >= 0])
            high = set(own)
            others = [row for row in self._drawn if row not in high][: self.how.images]
            if reason is None and not steer and len(own) < FEWEST:
                reason = f"it has {len(own)} exemplars, and {FEWEST} are needed"
            if reason is None and len(others) < FEWEST:
                reason = f"there are {len(others)} images beside its exemplars, of {FEWEST} needed"
            found[unit] = reason if reason is not None else (own, others)
        return found

    def blocks(self, units: Sequence[int]) -> Iterator[list[int]]:
        """Units that are measured together."""
        each = 8 * self.how.images * self.outputs
        size = max(1, min(_BLOCK_UNITS, _BLOCK_BYTES // each))
        for low in range(0, len(units), size):
            yield list(units[low : low + size])

    def measured(
        self, images: dict[int, tuple[list[int], list[int]]], tick: Ticker
    ) -> Iterator[tuple[int, Seen | None, Seen]]:
        """By unit what the network puts out for its exemplars (None: none) and random images.

        Args:
            images: as `images` gives them.
            tick: counts pairs of a unit and an image.
        """
        places: dict[int, list[tuple[int, int]]] = {}
        for unit, (own, others) in images.items():
            for place, row in enumerate([*own, *others]):
                places.setdefault(row, []).append((unit, place))
        plain: dict[int, np.ndarray] = {}
        changed = {
            unit: np.empty((len(own) + len(others), self.outputs), np.float32)
            for unit, (own, others) in images.items()
        }
        for some in self._chunks(places):
            pixels = np.stack([self.context.sources.seen(row) for row in some])
            counts = [1 + len(places[row]) for row in some]
            # Of each image the first row is without a change: what runs together rounds alike.
            units = [unit for row in some for unit in (-1, *(u for u, _ in places[row]))]
            out = self._run(pixels, np.repeat(np.arange(len(some)), counts), np.array(units))
            at = 0
            for row, count in zip(some, counts, strict=True):
                plain[row] = out[at]
                for (unit, place), one in zip(places[row], out[at + 1 : at + count], strict=True):
                    with np.errstate(invalid="ignore"):  # of infinities
                        alike = np.abs(one - out[at]) < self._floor
                    changed[unit][place] = np.where(alike, out[at], one)
                at += count
            tick.advance(sum(counts) - len(some))
        for unit, (own, others) in images.items():
            before = np.stack([plain[row] for row in [*own, *others]])
            seen, cut = Seen(before, changed[unit]), len(own)
            yield unit, seen.part(slice(cut)) if own else None, seen.part(slice(cut, None))

    def _chunks(self, places: dict[int, list[tuple[int, int]]]) -> Iterator[list[int]]:
        """Rows of images, so many that their outputs fit in memory."""
        some: list[int] = []
        rows = 0
        for row in sorted(places):
            if some and (rows + len(places[row]) > _ROWS or len(some) == _IMAGES):
                yield some
                some, rows = [], 0
            some.append(row)
            rows += 1 + len(places[row])
        if some:
            yield some


def _output_axis(shape: tuple[int, ...], classes: int) -> int:
    """Which dimension of a network's output holds what it says, beside images and positions.

    The one as long as there are classes; else of maps the second, of tokens the last.
    """
    fitting = [axis for axis in range(1, len(shape)) if shape[axis] == classes]
    if fitting:
        return fitting[0]
    return 1 if len(shape) == 4 else len(shape) - 1
