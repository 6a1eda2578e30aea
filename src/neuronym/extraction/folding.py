"""Batch norms folded into the convolutions before them, while a network runs.

A convolution and its batch norm compute  γ (w∗x + b − μ) / √(σ² + ε) + β,  which is a convolution
w'∗x + b'  with  w' = s w,  b' = s (b − μ) + β,  s = γ / √(σ² + ε).

The network itself stays as it is: convolutions get other weights at the moment they are called, and
batch norms give back what they are given. Hence every output is right but that of the convolution
itself, so one whose output is recorded, or used by anything beside its batch norm, is not folded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from neuronym.extraction.precision import replaced

#: Outputs may change by this share of their largest value; rounding changes them by about 1e-6.
TOLERANCE = 1e-4

Run = Callable[[Tensor], Iterable[Tensor]]


class Folding:
    """Convolutions that get folded weights inside `applied()`.

    Attributes:
        places: which ones, by their place in the order in which convolutions are called.
    """

    def __init__(self, pairs: Sequence[_Pair] = ()) -> None:
        self.places = tuple(pair.place for pair in pairs)
        # The weight is kept beside its number, so that no other tensor can get the same number.
        self._folded = {id(pair.weight): (pair.weight, *_folded(pair)) for pair in pairs}
        self._waiting: dict[int, Tensor] = {}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Networks that run inside this context are folded."""
        if not self._folded:
            yield
            return
        try:
            with _watching(self._convolve, self._normalise):
                yield
        finally:
            self._waiting.clear()

    @property
    def skipped(self) -> bool:
        """Whether a convolution has run, but not the batch norm that belongs to it."""
        return bool(self._waiting)

    def stop(self) -> None:
        """Fold nothing any more."""
        self._folded.clear()

    def _convolve(
        self,
        plain: Callable[..., Tensor],
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        if id(weight) not in self._folded:
            return plain(input, weight, bias, *args, **kwargs)
        _, weight, bias = self._folded[id(weight)]
        output = plain(input, weight, bias, *args, **kwargs)
        self._waiting[id(output)] = output
        return output

    def _normalise(
        self, plain: Callable[..., Tensor], input: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        if self._waiting.pop(id(input), None) is None:
            return plain(input, *args, **kwargs)
        return input


def find(run: Run, size: tuple[int, int], device: torch.device, dtype: str) -> Folding:
    """What can be folded in a network without changing its outputs.

    Nothing in half precision, where rounding the folded weights and biases changes almost twice as
    many labels, for a sixth more speed (docs/precision.md). Else the network runs three times on
    one image of noise: to see which operation follows which, with and without folding. Where the
    outputs differ, or it fails, nothing is folded.

    Args:
        run: from a batch to the outputs that must stay what they are.
        size: height and width of an image.
        device: where the batch goes.
        dtype: float32, bfloat16 or float16.
    """
    if dtype != "float32":
        return Folding()
    noise = torch.randn((1, 3, *size), generator=torch.Generator().manual_seed(0)).to(device)
    try:
        watch = _Watch()
        with _watching(watch.convolve, watch.normalise), watch:
            _outputs(run, noise)
        folding = Folding(watch.pairs())
        if not folding.places:
            return folding
        del watch  # and with it the outputs of all convolutions
        before = _outputs(run, noise)
        with folding.applied():
            after = _outputs(run, noise)
    except Exception:  # the pass will meet it too, and say whose it is
        return Folding()
    same = len(before) == len(after) and all(map(_close, before, after))
    return folding if same else Folding()


def _outputs(run: Run, noise: Tensor) -> list[Tensor]:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # some networks draw numbers of their own
        return list(run(noise.clone()))


@dataclass(eq=False)
class _Pair:
    """A convolution, and what is done with its output."""

    place: int
    output: Tensor
    weight: Tensor
    bias: Tensor | None
    norm: tuple[Tensor, Tensor, Tensor | None, Tensor | None, float] | None = None
    uses: int = 0  # of the output, beside that by its batch norm


class _Watch(TorchDispatchMode):
    """Sees convolutions, the batch norms behind them, and every other use of their outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[_Pair] = []
        self._by_output: dict[int, _Pair] = {}
        self._normalising = False

    def convolve(
        self,
        plain: Callable[..., Tensor],
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        output = plain(input, weight, bias, *args, **kwargs)
        pair = _Pair(len(self.seen), output, weight, bias)
        self.seen.append(pair)
        self._by_output[id(output)] = pair
        return output

    def normalise(
        self,
        plain: Callable[..., Tensor],
        input: Tensor,
        mean: Tensor | None,
        variance: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        pair = self._by_output.get(id(input))
        folds = pair is not None and pair.norm is None and not training
        if pair is None or not folds or mean is None or variance is None:
            return plain(input, mean, variance, weight, bias, training, momentum, eps)
        pair.norm = (mean, variance, weight, bias, eps)
        self._normalising = True
        try:
            return plain(input, mean, variance, weight, bias, training, momentum, eps)
        finally:
            self._normalising = False

    def pairs(self) -> list[_Pair]:
        """Convolutions that run once and whose outputs go to one batch norm and nowhere else."""
        calls = Counter(id(pair.weight) for pair in self.seen)
        return [p for p in self.seen if p.norm and not p.uses and calls[id(p.weight)] == 1]

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if not self._normalising:
            for argument in (*args, *(kwargs or {}).values()):
                for one in argument if isinstance(argument, list | tuple) else (argument,):
                    if id(one) in self._by_output:
                        self._by_output[id(one)].uses += 1
        return function(*args, **(kwargs or {}))


def _watching(convolve: Callable[..., Tensor], normalise: Callable[..., Tensor]) -> Any:
    return replaced(conv1d=convolve, conv2d=convolve, conv3d=convolve, batch_norm=normalise)


def _folded(pair: _Pair) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that computes both, rounded once."""
    assert pair.norm is not None
    mean, variance, gain, shift, eps = pair.norm
    scale = (_exact(variance) + eps).rsqrt()
    scale = scale if gain is None else scale * _exact(gain)
    offset = -_exact(mean) if pair.bias is None else _exact(pair.bias) - _exact(mean)
    bias = offset * scale + (0 if shift is None else _exact(shift))
    weight = _exact(pair.weight) * scale.view(-1, *[1] * (pair.weight.ndim - 1))
    layout = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
    # Parameters that require gradients: autocast keeps the half-precision form of no others.
    return (
        torch.nn.Parameter(weight.to(pair.weight).contiguous(memory_format=layout)),
        torch.nn.Parameter(bias.to(pair.weight)),
    )


def _exact(tensor: Tensor) -> Tensor:
    # On the CPU, because Apple's GPUs have no float64.
    return tensor.detach().cpu().double()


def _close(a: Tensor, b: Tensor) -> bool:
    # False where there is a NaN or an infinity.
    return a.shape == b.shape and bool((a - b).abs().max() <= TOLERANCE * a.abs().max())
