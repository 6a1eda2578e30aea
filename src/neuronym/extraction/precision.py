"""How precisely networks run, and the torch functions that are replaced meanwhile."""

from __future__ import annotations

import functools
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from neuronym._core import devices

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class _Local(threading.local):
    def __init__(self) -> None:
        self.replacements: defaultdict[str, list[Callable[..., Any]]] = defaultdict(list)


_local = _Local()
_lock = threading.Lock()
_users: Counter[str] = Counter()
_before: dict[str, Any] = {}


@contextmanager
def replaced(**functions: Callable[..., Any]) -> Iterator[None]:
    """Put functions in the places of those of the same names.

    Args:
        functions: by name; each is called with the function in whose place it stands, then with
            the arguments. Compiled networks (`torch.compile`) never meet them.
    """
    with ExitStack() as stack:
        for name, function in functions.items():
            stack.enter_context(_open(name))
            _local.replacements[name].append(function)
            stack.callback(_local.replacements[name].pop)
        yield


@contextmanager
def no_fused_attention() -> Iterator[None]:
    """Attention step by step, in all threads: torch's fused one calls no function of Python."""
    from torch.backends import mha

    with _shared("mha", mha.get_fastpath_enabled, mha.set_fastpath_enabled, lambda _: False):
        yield


def _open(name: str) -> Any:
    """Let replacements take the place of a function."""
    from torch.nn import functional

    return _shared(
        name,
        lambda: getattr(functional, name),
        lambda value: setattr(functional, name, value),
        lambda plain: _replaceable(name, plain),
    )


@contextmanager
def _shared(
    name: str, get: Callable[[], Any], put: Callable[[Any], None], change: Callable[[Any], Any]
) -> Iterator[None]:
    """Change something of the whole process: the first one in does, the last one out undoes."""
    with _lock:
        _users[name] += 1
        if _users[name] == 1:
            _before[name] = get()
            put(change(_before[name]))
    try:
        yield
    finally:
        with _lock:
            _users[name] -= 1
            if not _users[name]:
                put(_before.pop(name))


def _replaceable(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    @functools.wraps(plain)
    def call(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return plain(*args, **kwargs)
        function = plain
        for replacement in _local.replacements[name]:
            function = functools.partial(replacement, function)
        return function(*args, **kwargs)

    return call


#: Images that a network sees at once on a CPU. Measured with ResNet-50 on 2 cores with 32 MB of
#: cache: 42 images/s with 8, 33 with 32, whose maps go through memory between any two layers.
AT_ONCE_ON_CPU = 8
#: The same on one thread, where torch computes 1×1 convolutions of fewer images the slow way.
AT_ONCE_ON_ONE_THREAD = 16


def at_once(batch_size: int, device: torch.device) -> int:
    """How many images of a batch a network sees at once: on a CPU as many as stay in its cache."""
    import torch

    if device.type != "cpu":
        return batch_size
    many = AT_ONCE_ON_CPU if torch.get_num_threads() > 1 else AT_ONCE_ON_ONE_THREAD
    return min(batch_size, many)


def on_device(pixels: Any, device: torch.device) -> Tensor:
    """A NumPy array as a tensor on a device; the copy to a GPU does not hold up the CPU."""
    import torch

    batch = torch.from_numpy(pixels)
    if device.type == "cuda":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)


def arithmetic(device: torch.device, dtype: str, folded: int) -> str:
    """How a network computes here, in words: for manifests and the keys of caches.

    Args:
        device, dtype: as for `precision`.
        folded: how many of its batch norms are folded into convolutions.
    """
    import torch

    words = [dtype]
    if dtype != "float32":
        words = [f"{dtype} by autocast", "linear layers on vectors in float32"]
    elif device.type == "cpu" and devices.onednn():
        words.append("linear layers by oneDNN")
    elif device.type == "cuda" and torch.backends.cudnn.allow_tf32:
        words.append("convolutions in TF32")
    if folded:
        words.append(f"{folded} batch norms folded")
    return ", ".join(words)


@contextmanager
def precision(device: torch.device, dtype: str) -> Iterator[None]:
    """The context in which a network runs, without gradients.

    Half precision is autocast, which keeps normalisations, sums along the network and softmax in
    float32. Linear layers that see one vector per image compute in float32 all the same: their
    outputs are ranked over images, and half precision has too few numbers to tell those apart.

    Weights should require gradients, and the context is `no_grad`, not `inference_mode`: autocast
    keeps its converted weights only then, until the outermost such context ends, and is several
    times slower without.

    In float32 on a CPU, linear layers go through oneDNN where that is faster (`_matmul.onednn`),
    those of attention too.
    """
    import torch

    with torch.no_grad():
        if dtype != "float32":
            with torch.autocast(device.type, getattr(torch, dtype)), replaced(linear=_linear_half):
                yield
        elif device.type == "cpu" and devices.onednn():
            with replaced(linear=_linear_full), no_fused_attention(), devices.full_precision():
                yield
        else:
            yield


def _linear_half(
    plain: Callable[..., Tensor], input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    import torch

    full = weight.dtype == torch.float32 and (bias is None or bias.dtype == torch.float32)
    if input.ndim == 2 and full and torch.is_autocast_enabled(input.device.type):
        with torch.autocast(input.device.type, enabled=False):
            return plain(input.float(), weight, bias)
    return plain(input, weight, bias)


def _linear_full(
    plain: Callable[..., Tensor], input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    import torch

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
