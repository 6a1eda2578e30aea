"""How networks run: their precision, batch norms folded meanwhile, torch functions replaced."""

from __future__ import annotations

import functools
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.backends import mha
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode

from neuronym._core import devices

_lock = threading.Lock()
_users: Counter[str] = Counter()
_changes: dict[str, AbstractContextManager[Any]] = {}
#: Images that a network sees at once on a CPU. Measured with ResNet-50 on 2 cores with 32 MB of
#: cache: 42 images/s with 8, 33 with 32, whose maps go through memory between any two layers.
AT_ONCE_ON_CPU = 8
#: The same on one thread, where torch computes 1×1 convolutions of fewer images the slow way.
AT_ONCE_ON_ONE_THREAD = 16
#: Outputs may change by this share of their largest value; rounding changes them by about 1e-6.
TOLERANCE = 1e-4
#: What is done with linear layers in float32 and in half precision, in words.
PRODUCTS, VECTORS = "linear layers by oneDNN", "linear layers on vectors in float32"
Run = Callable[[Tensor], Iterable[Tensor]]


class _Local(threading.local):
    def __init__(self) -> None:
        self.replacements: defaultdict[str, list[Callable[..., Any]]] = defaultdict(list)


_local = _Local()


@contextmanager
def replaced(**functions: Callable[..., Any]) -> Iterator[None]:
    """Put functions in the places of those of the same names.

    Args:
        functions: by name; each is called with the function in whose place it stands, then with
            the arguments. Compiled networks (`torch.compile`) never meet them.
    """
    with ExitStack() as stack:
        for name, function in functions.items():
            stack.enter_context(shared(name, functools.partial(_open, name)))
            _local.replacements[name].append(function)
            stack.callback(_local.replacements[name].pop)
        yield


@contextmanager
def no_fused_attention() -> Iterator[None]:
    """Attention step by step, in all threads: torch's fused one calls no function of Python."""
    with shared("attention", _stepwise):
        yield


@contextmanager
def _stepwise() -> Iterator[None]:
    before = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        mha.set_fastpath_enabled(before)


@contextmanager
def _open(name: str) -> Iterator[None]:
    """Let replacements take the place of a function."""
    plain = getattr(functional, name)
    setattr(functional, name, _replaceable(name, plain))
    try:
        yield
    finally:
        setattr(functional, name, plain)


@contextmanager
def shared(name: str, change: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """A change of the whole process: the first one in makes it, the last one out undoes it."""
    with _lock:
        _users[name] += 1
        if _users[name] == 1:
            _changes[name] = change()
            _changes[name].__enter__()
    try:
        yield
    finally:
        with _lock:
            _users[name] -= 1
            if not _users[name]:
                _changes.pop(name).__exit__(None, None, None)


def _replaceable(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(plain)
    def call(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return plain(*args, **kwargs)
        function = plain
        for replacement in _local.replacements[name]:
            function = functools.partial(replacement, function)
        return function(*args, **kwargs)

    return call


def at_once(batch_size: int, device: torch.device) -> int:
    """How many images of a batch a network sees at once: on a CPU as many as stay in its cache."""
    if device.type != "cpu":
        return batch_size
    many = AT_ONCE_ON_CPU if torch.get_num_threads() > 1 else AT_ONCE_ON_ONE_THREAD
    return min(batch_size, many)


def on_device(pixels: Any, device: torch.device) -> Tensor:
    """A NumPy array as a tensor on a device; the copy to a GPU does not hold up the CPU."""
    batch = torch.from_numpy(pixels)
    if device.type == "cuda":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)


def arithmetic(device: torch.device, dtype: str, folded: int, without: Sequence[str] = ()) -> str:
    """How a network computes here, in words: for manifests and the keys of caches.

    Args:
        device, dtype: as for `precision`.
        folded: how many of its batch norms are folded into convolutions.
        without: what else is done for speed, and not with this network.
    """
    words = [dtype]
    if dtype != "float32":
        words = [f"{dtype} by autocast", VECTORS]
    elif device.type == "cpu" and devices.onednn():
        words.append(PRODUCTS)
    elif device.type == "cuda" and torch.backends.cudnn.allow_tf32:
        words.append("convolutions in TF32")
    words = [word for word in words if word not in without]
    if folded:
        words.append(f"{folded} batch norms folded")
    return ", ".join([*words, *(f"without {what}" for what in without)])


@contextmanager
def precision(device: torch.device, dtype: str, *, plain: bool = False) -> Iterator[None]:
    """The context in which a network runs, without gradients.

    `plain` leaves torch's functions what they are, for networks that do not run otherwise.

    Half precision is autocast, which keeps normalisations, sums along the network and softmax in
    float32. Linear layers that see one vector per image compute in float32 all the same: their
    outputs are ranked over images, and half precision has too few numbers to tell those apart.

    Weights should require gradients, and the context is `no_grad`, not `inference_mode`: autocast
    keeps its converted weights only then, until the outermost such context ends, and is several
    times slower without.

    In float32 on a CPU, linear layers go through oneDNN where that is faster (`devices.onednn`),
    those of attention too.
    """
    with torch.no_grad():
        if dtype != "float32":
            own = {} if plain else {"linear": _linear_half}
            with torch.autocast(device.type, getattr(torch, dtype)), replaced(**own):
                yield
        elif device.type == "cpu" and not plain and devices.onednn():
            with replaced(linear=_linear_full), no_fused_attention(), devices.full_precision():
                yield
        else:
            yield


def _linear_half(
    plain: Callable[..., Tensor], input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    full = weight.dtype == torch.float32 and (bias is None or bias.dtype == torch.float32)
    if input.ndim == 2 and full and torch.is_autocast_enabled(input.device.type):
        with torch.autocast(input.device.type, enabled=False):
            return plain(input.float(), weight, bias)
    return plain(input, weight, bias)


def _linear_full(
    plain: Callable[..., Tensor], input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    tensors = [input, weight] if bias is None else [input, weight, bias]
    # What the operator is made for, and nothing else.
    usual = all(
        type(t) in (torch.Tensor, torch.nn.Parameter)
        and t.dtype == torch.float32
        and t.device.type == "cpu"
        and t.layout == torch.strided
        and t.numel()
        for t in tensors
    )
    shapes = input.ndim > 1 and weight.ndim == 2 and input.shape[-1] == weight.shape[1]
    shapes = shapes and (bias is None or bias.shape == weight.shape[:1])
    free = not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    if usual and shapes and free:
        return torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")
    return plain(input, weight, bias)


class Folding:
    """Convolutions that get folded weights inside `applied()`.

    Attributes:
        places: which ones, by their place in the order in which convolutions are called.
        error: of a network that fails with it.
    """

    def __init__(self, pairs: Sequence[_Pair] = (), error: Exception | None = None) -> None:
        self.error = error
        self.places = tuple(pair.place for pair in pairs)
        # The weight is kept beside its number, so that no other tensor can get the same number.
        self._folded = {id(p.weight): (p.weight, *_folded(p), p.place) for p in pairs}
        self._waiting: dict[int, tuple[Tensor, int]] = {}

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
    def waiting(self) -> frozenset[int]:
        """Places of convolutions that have run, but not yet the batch norms that belong to them."""
        return frozenset(place for _, place in self._waiting.values())

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
        _, weight, bias, place = self._folded[id(weight)]
        output = plain(input, weight, bias, *args, **kwargs)
        self._waiting[id(output)] = (output, place)
        return output

    def _normalise(
        self, plain: Callable[..., Tensor], input: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        if self._waiting.pop(id(input), None) is None:
            return plain(input, *args, **kwargs)
        return input


def find_folding(
    run: Run, size: tuple[int, int], device: torch.device, dtype: str, channels: int = 3
) -> Folding:
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
        channels: of an image.
    """
    if dtype != "float32":
        return Folding()
    noise = torch.randn((1, channels, *size), generator=torch.Generator().manual_seed(0)).to(device)
    try:
        watch = _Watch()
        with _watching(watch.convolve, watch.normalise), watch:
            outputs(run, noise)
        folding = Folding(watch.pairs())
        if not folding.places:
            return folding
        del watch  # and with it the outputs of all convolutions
        before = outputs(run, noise)
    except Exception:  # the pass will meet it too, and say whose it is
        return Folding()
    try:
        with folding.applied():
            after = outputs(run, noise)
    except Exception as error:
        return Folding(error=error)
    same = len(before) == len(after) and all(map(_close, before, after))
    return folding if same else Folding()


def outputs(run: Run, noise: Tensor) -> list[Tensor]:
    """What a run puts out for noise; the numbers that it draws itself are the same every time."""
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
    tensors = (pair.weight, pair.bias, mean, variance, gain, shift)
    w, b, m, v, g, s = (None if tensor is None else _exact(tensor) for tensor in tensors)
    weight, bias = fuse_conv_bn_weights(*cast(Any, (w, b, m, v, eps, g, s)))
    layout = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
    # Parameters that require gradients: autocast keeps the half-precision form of no others.
    return (
        torch.nn.Parameter(weight.detach().to(pair.weight).contiguous(memory_format=layout)),
        torch.nn.Parameter(bias.detach().to(pair.weight)),
    )


def _exact(tensor: Tensor) -> Tensor:
    # On the CPU, because Apple's GPUs have no float64.
    return tensor.detach().cpu().double()


def _close(a: Tensor, b: Tensor) -> bool:
    # False where there is a NaN or an infinity.
    return a.shape == b.shape and bool((a - b).abs().max() <= TOLERANCE * a.abs().max())
