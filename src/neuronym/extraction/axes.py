"""Which dimension of a layer's output is the images: found by running with two and with three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

#: How many images a network is shown, one time and the other.
FEW, MORE = 2, 3
#: How `--layout` names the axes of outputs, by their number of dimensions.
LAYOUTS = {4: ("NCHW", "NHWC"), 3: ("tokens", "tokens-first", "NCL")}
_SAMPLES = 64
#: Why an output cannot be recorded that holds something else in the place of the images.
FOLDED = "takes windows or heads for images: choose the layer around it"
#: What is wrong with a layer that gives an image no output of its own.
RANDOM = "gives another output for the same image each time"
MIXED = "gives another output for the same image beside other images"


@dataclass(frozen=True)
class Axes:
    """Where an output holds the images and the units.

    Attributes:
        images: the dimension that is the images.
        rows: how many rows along it belong to one image: windows, or tokens of flat sequences.
        interleaved: these rows lie one image apart; else one behind the other.
        units_first: units stand before positions, as 1-D convolutions put them.
    """

    images: int = 0
    rows: int = 1
    interleaved: bool = False
    units_first: bool = False

    def arrange(self, output: Tensor) -> Tensor:
        """The output with images first, then positions if it is `[image, token, unit]`."""
        if self.rows > 1:
            shape = (self.rows, -1) if self.interleaved else (-1, self.rows)
            output = output.unflatten(0, shape)
            output = output.transpose(0, 1) if self.interleaved else output
            return output.flatten(1, -2) if output.ndim > 3 else output
        output = output.movedim(self.images, 0)
        return output.transpose(1, 2) if self.units_first else output

    def restore(self, arranged: Tensor, shape: Sequence[int]) -> Tensor:
        """The output of this shape whose `arrange` is `arranged`."""
        if self.rows > 1:
            output = arranged.unflatten(1, (self.rows, -1)) if len(shape) > 2 else arranged
            output = output.transpose(0, 1) if self.interleaved else output
            return output.reshape(shape)
        output = arranged.transpose(1, 2) if self.units_first else arranged
        return output.movedim(0, self.images)

    def shape_of(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape for one image, arranged, of an output of this shape."""
        return tuple(self.arrange(torch.empty(shape, device="meta")).shape[1:])

    def spell(self, layout: str) -> str:
        """The layout as `--layout` names it."""
        if self.rows > 1:
            return f"{layout}, {self.rows} rows an image"
        if layout == "tokens":
            return "NCL" if self.units_first else "tokens-first" if self.images else layout
        return f"{layout}, images along dimension {self.images}" if self.images else layout


@dataclass(frozen=True, eq=False)
class Seen:
    """A layer's output for noise.

    Attributes:
        shape: with the images.
        statistics: mean, spread and mean size; None: it has none.
        rows: some values of every row, to tell whose they are; None: too few rows.
        first: some values of the first two images, by the dimension that may be the images.
        exact: they have more than 16 bits.
        odd: what is unusual about it, as a verb phrase, or "".
    """

    shape: tuple[int, ...]
    statistics: Tensor | None = None
    rows: Tensor | None = None
    odd: str = ""
    first: Mapping[int, Tensor] = field(default_factory=dict)
    exact: bool = True

    def agrees(self, other: Seen, images: int) -> bool:
        """Whether another output has the same values for the same images, but for rounding.

        Args:
            images: the dimension that is the images.
        """
        a, b = self.first.get(images), other.first.get(images)
        if a is None or b is None or a.shape != b.shape:
            return True
        return not bool((a - b).norm() > (2e-3 if self.exact else 0.05) * a.norm())


def look(output: Tensor) -> Seen:
    """What there is to remember of an output."""
    if output.is_nested:
        return Seen((), odd="gives a nested tensor, whose rows have different lengths")
    shape = tuple(output.shape)
    if output.is_complex():
        return Seen(shape, odd="gives complex numbers")
    if output.layout != torch.strided:
        return Seen(shape, odd="gives a sparse tensor")
    if not output.numel():
        return Seen(shape, odd="gives an empty tensor")
    if output.is_meta:
        return Seen(shape)
    values = output.detach().float()
    found = [values.mean(), values.std(correction=0), values.abs().mean()]
    rows = None
    if len(shape) in (2, 3) and shape[0] > MORE:
        flat = values.flatten(1)
        rows = _some(flat)
    first = {
        dim: _some(values.movedim(dim, 0)[:FEW].flatten(1))
        for dim, length in enumerate(shape)
        if length in (FEW, MORE) and len(shape) > 1
    }
    return Seen(shape, torch.stack(found), rows, "", first, output.dtype.itemsize > 2)


def _some(rows: Tensor) -> Tensor:
    """Some of the values `[row, value]` of each row."""
    return rows[:, :: max(1, rows.shape[1] // _SAMPLES)][:, :_SAMPLES].cpu().clone()


def find_axes(few: Seen, more: Seen | None, layout: str | None = None) -> Axes | str:
    """Where the images are in a layer's output, or why that cannot be told, as a verb phrase.

    Args:
        few, more: its output for two images, and for these and a third; None: it does not run.
        layout: how the user names its axes, for outputs whose sizes do not tell.
    """
    stated = _stated(few.shape, layout)
    if more is None:  # the network runs on two images only
        if few.shape[:1] == (FEW,):
            return Axes()
        return stated or "does not begin with the images"
    if len(few.shape) != len(more.shape):
        return "gives outputs of other dimensions for two images than for three"
    grown = [i for i, (a, b) in enumerate(zip(few.shape, more.shape, strict=True)) if a != b]
    if len(grown) == 1 and not grown[0] and few.shape[0] > FEW:
        return _regrouped(few, more)
    if len(grown) == 1 and (few.shape[grown[0]], more.shape[grown[0]]) == (FEW, MORE):
        return Axes(grown[0])
    if stated is not None:
        return stated
    if not grown:
        why = "does not grow with the number of images"
    elif len(grown) == 1:
        why = f"holds the images among other things in dimension {grown[0]}"
    else:
        why = "grows with the number of images in more than one dimension"
    names = LAYOUTS.get(len(few.shape))
    return f"{why} (if one is the images, say --layout {'|'.join(names)})" if names else why


def layout_named(text: str | None) -> str | None:
    """A layout as the user names it, in the usual spelling; None: auto."""
    names = {name.lower(): name for options in LAYOUTS.values() for name in options}
    return None if text is None or text == "auto" else names.get(text.lower(), text)


def _stated(shape: Sequence[int], layout: str | None) -> Axes | None:
    if layout not in LAYOUTS.get(len(shape), ()):
        return None
    axes = Axes(1 if layout == "tokens-first" else 0, units_first=layout == "NCL")
    return axes if shape[axes.images] == FEW else None


def _regrouped(few: Seen, more: Seen) -> Axes | str:
    """Whose rows are whose: those of the first two images stay the same beside a third."""
    rows, rest = divmod(few.shape[0], FEW)
    if rest or more.shape[0] != MORE * rows or few.rows is None or more.rows is None:
        return FOLDED
    behind = _same(few.rows.unflatten(0, (FEW, rows)), more.rows.unflatten(0, (MORE, rows))[:FEW])
    apart = _same(few.rows.unflatten(0, (rows, FEW)), more.rows.unflatten(0, (rows, MORE))[:, :FEW])
    return FOLDED if behind == apart else Axes(0, rows, interleaved=apart)


def _same(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-3 * a.abs().max())
