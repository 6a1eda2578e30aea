"""The way from the channels of one layer to those of a later one, through the weights between them.

The network between the two layers is followed with torch.fx and taken for linear: every operation
that works on single numbers (ReLU, GELU, …) counts as if it let its input pass, dropout too, and
max pooling as the mean of its window. What is left, convolutions (grouped and depth-wise ones
too), linear layers, batch norms in evaluation mode, sums (over all ways), concatenations and
averages, is a linear map. Its derivative at the middle position of a target unit is the *effective
kernel* `[channel, y, x]` of that unit: what one more unit of activation of a source channel,
somewhere around, adds to it.
"""

from __future__ import annotations

import inspect
import operator
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, fx, nn
from torch.nn import functional

from neuronym._core.errors import NeuronymError
from neuronym._core.progress import Progress, silent
from neuronym.extraction.axes import Axes
from neuronym.extraction.names import Layers, split_call
from neuronym.extraction.passes import LayerPlan
from neuronym.extraction.recording import in_precision_of
from neuronym.inputs.targets.base import Target, unwrapped

#: Numbers that the derivatives of several target units at once may have in one layer.
_AT_ONCE = 1 << 25
#: Target units at once, at most.
_MOST = 64

_POINTWISE = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Hardsigmoid,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softplus,
    nn.Softsign,
    nn.Threshold,
    nn.modules.dropout._DropoutNd,
    nn.Identity,
)
_POINTWISE_NAMES = frozenset(
    [
        "relu",
        "relu_",
        "relu6",
        "leaky_relu",
        "leaky_relu_",
        "prelu",
        "elu",
        "elu_",
        "selu",
        "celu",
        "gelu",
        "silu",
        "mish",
        "hardswish",
        "hardtanh",
        "hardtanh_",
        "hardsigmoid",
        "sigmoid",
        "sigmoid_",
        "tanh",
        "tanh_",
        "softplus",
        "softsign",
        "threshold",
        "clamp",
        "clamp_",
        "clip",
        "dropout",
        "dropout1d",
        "dropout2d",
        "dropout3d",
        "alpha_dropout",
        "feature_dropout",
    ]
)
_LINEAR = (
    nn.modules.conv._ConvNd,
    nn.Linear,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.padding._ConstantPadNd,
    nn.modules.padding._ReflectionPadNd,
    nn.modules.padding._ReplicationPadNd,
    nn.Flatten,
    nn.Unflatten,
    nn.Upsample,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.ChannelShuffle,
)
_LINEAR_NAMES = frozenset(
    [
        "add",
        "sub",
        "neg",
        "cat",
        "concat",
        "stack",
        "flatten",
        "unflatten",
        "reshape",
        "view",
        "permute",
        "transpose",
        "contiguous",
        "mean",
        "sum",
        "squeeze",
        "unsqueeze",
        "chunk",
        "split",
        "getitem",
        "size",
        "getattr",
        "dim",
        "shape",
        "pad",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose2d",
        "linear",
        "batch_norm",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "interpolate",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
        "expand",
        "clone",
        "float",
        "to",
        "narrow",
        "roll",
        "t",
        "movedim",
        "swapaxes",
        "swapdims",
    ]
)
#: Linear in one factor, if the other does not depend on the image.
_SCALING = frozenset(("mul", "truediv", "div", "multiply", "divide", "matmul", "bmm"))
_MAX_POOL = ("max_pool1d", "max_pool2d", "max_pool3d")
_WINDOW = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_NOT_IN_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


class NoPathError(NeuronymError):
    """Weights cannot be followed from one layer to another; says why, as a verb phrase."""


@dataclass(frozen=True, eq=False)
class Paths:
    """The effective kernels between two layers.

    Attributes:
        norm: √ of the sum of squares of a kernel: how strong the way is.
        gain: the sum of a kernel: what a rise of the source by one everywhere adds to the target;
            its sign is that of the link.
    """

    norm: Float32[np.ndarray, "source target"]
    gain: Float32[np.ndarray, "source target"]


class _Tracer(fx.Tracer):
    """Follows a network, and notes which step puts out what each of its modules puts out."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[int, list[fx.Node]] = defaultdict(list)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        found = super().call_module(m, forward, args, kwargs)
        if isinstance(found, fx.Proxy):
            self.ends[id(m)].append(found.node)
        return found


class Followed:
    """A network followed with torch.fx, and what its steps put out for one image of noise.

    Raises:
        NoPathError: it cannot be followed.
    """

    def __init__(self, target: Target) -> None:
        model, self.target = unwrapped(target.model), target
        self.model = model
        tracer = _Tracer()
        signature = inspect.signature(model.forward).parameters.values()
        fixed = {p.name: p.default for p in signature if p.default is not p.empty}
        try:
            graph = tracer.trace(model, concrete_args=fixed)
        except Exception as error:  # whatever a network's own code raises for what is no tensor
            lines = str(error).strip().splitlines() or [""]
            raise NoPathError(
                f"torch.fx cannot follow {target.name} ({type(error).__name__}: "
                f"{lines[0][:120].rstrip('. ')})"
            ) from error
        self.ends = tracer.ends
        self.module = fx.GraphModule(tracer.root, graph)

    def between(self, source: LayerPlan, target: LayerPlan, progress: Progress = silent) -> Paths:
        """The effective kernels from the units of one layer to those of a later one.

        Raises:
            NoPathError: something between them is not linear in the source, even where activations
                count as if they let their input pass.
        """
        first, last = self._step(source), self._step(target)
        with _frozen(self.model), torch.inference_mode(False), torch.enable_grad():
            run = _Linear(self.module, first)
            put_out = self._run(run, last)
            if not put_out.requires_grad:  # no way leads there
                zero = np.zeros((source.info.width, target.info.width), np.float32)
                return Paths(zero, zero)
            return self._kernels(run, put_out, source, target, progress)

    def _run(self, run: _Linear, last: fx.Node) -> Tensor:
        noise = torch.randn(
            (1, self.target.preprocess.count, *self.target.preprocess.size),
            generator=torch.Generator().manual_seed(0),
        )
        own = next(self.model.parameters(), noise)
        try:
            found = run.until(last, in_precision_of(self.model, noise.to(own.device)))
        except NoPathError:
            raise
        except Exception as error:  # it takes other inputs, or sizes that depend on the batch
            first = (str(error).strip().splitlines() or [""])[0]
            raise NoPathError(
                f"{self.target.name} does not run step by step ({type(error).__name__}: "
                f"{first[:120].rstrip('. ')})"
            ) from error
        if not (isinstance(found, Tensor) and isinstance(run.start, Tensor | None)):
            raise NoPathError("one of them puts out more than one tensor")
        return found

    def _step(self, plan: LayerPlan) -> fx.Node:
        """The step that puts out what a layer puts out."""
        name, call = split_call(plan.info.name)
        layers = Layers(self.target.model)
        found = layers.find(plan.info.name)
        module = layers[found[0] if found else name]
        steps = self.ends.get(id(module), [])
        place = -1 if call is None else call - 1
        if plan.info.axes != Axes() or plan.info.layout not in _CHANNELS:
            raise NoPathError(f"the output of {plan.info.name} has no channels of its own")
        if not -len(steps) <= place < len(steps):
            raise NoPathError(f"torch.fx does not see where {plan.info.name} ends")
        return steps[place]

    def _kernels(
        self,
        run: _Linear,
        put_out: Tensor,
        source: LayerPlan,
        target: LayerPlan,
        progress: Progress,
    ) -> Paths:
        units = target.info.width
        axis = _CHANNELS[target.info.layout]
        middle = [size // 2 for size in put_out.shape]
        middle[0] = 0
        many = max(1, min(_MOST, _AT_ONCE // max(1, run.largest)))
        norms, gains = [], []
        with progress("weights between the layers", units) as tick:
            for low in range(0, units, many):
                here = list(range(low, min(low + many, units)))
                asked = put_out.new_zeros((len(here), *put_out.shape))
                for row, unit in enumerate(here):
                    place = list(middle)
                    place[axis % put_out.ndim] = unit
                    asked[(row, *place)] = 1
                with warnings.catch_warnings():  # some operations go one by one
                    warnings.filterwarnings("ignore", message="There is a performance drop")
                    (kernels,) = torch.autograd.grad(
                        put_out, run.start, asked, retain_graph=True, is_grads_batched=True
                    )
                kernels = kernels[:, 0].movedim(_CHANNELS[source.info.layout] % run.start.ndim, 1)
                kernels = kernels.flatten(2) if kernels.ndim > 2 else kernels[..., None]
                norms.append(kernels.double().square().sum(2).sqrt().float().cpu().numpy())
                gains.append(kernels.double().sum(2).float().cpu().numpy())
                tick.advance(len(here))
        return Paths(np.concatenate(norms).T, np.concatenate(gains).T)


#: Where a layout has its units.
_CHANNELS = {"NCHW": 1, "NHWC": 3, "tokens": 2, "vector": 1}


class _Linear(fx.Interpreter):
    """Runs a network up to a step; what depends on the source is taken for linear.

    Attributes:
        start: the source's output, whose derivatives are asked for; None: not needed.
        largest: how many numbers the largest of their outputs has.
    """

    def __init__(self, module: fx.GraphModule, first: fx.Node) -> None:
        super().__init__(module, garbage_collect_values=False)
        self._first, self.largest = first, 1
        self.start: Any = None

    def until(self, last: fx.Node, batch: Tensor) -> Tensor:
        """What the step `last` puts out."""
        needed, open_ = {last}, [last]
        while open_:
            for node in open_.pop().all_input_nodes:
                if node not in needed:
                    needed.add(node)
                    open_.append(node)
        self.args_iter = iter([batch])
        for node in cast(fx.Graph, self.module.graph).nodes:
            if node.op == "placeholder":
                given = next(self.args_iter, None)
                self.env[node] = node.args[0] if given is None and node.args else given
            elif node in needed:
                self.env[node] = self.run_node(node)
        return self.env[last]

    def run_node(self, n: fx.Node) -> Any:
        """One step."""
        if n is self._first:
            self.start = super().run_node(n)
            if isinstance(self.start, Tensor):
                self.start = self.start.detach().clone().requires_grad_()
            found: Any = self.start
        elif any(_asks(self.env[node]) for node in n.all_input_nodes):
            found = self._linear(n)
        else:
            found = super().run_node(n)
        if isinstance(found, Tensor):
            self.largest = max(self.largest, found.numel())
        return found

    def _linear(self, n: fx.Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.op == "call_module":
            module = self.fetch_attr(str(n.target))
            if isinstance(module, _POINTWISE):
                return args[0]
            if isinstance(module, nn.modules.pooling._MaxPoolNd):
                return _mean_pool(args[0], {name: getattr(module, name) for name in _WINDOW})
            if isinstance(module, nn.modules.pooling._AdaptiveMaxPoolNd):
                return _adaptive(args[0], module.output_size)
            if isinstance(module, _LINEAR):
                return module(*args, **kwargs)
            raise _not_linear(type(module).__name__)
        if n.op == "output":
            return args[0]
        name = n.target if isinstance(n.target, str) else getattr(n.target, "__name__", "")
        name = name.removeprefix("_")
        if name in _POINTWISE_NAMES:
            return args[0]
        if name in _MAX_POOL:
            given = dict(zip(_WINDOW, args[1:], strict=False)) | kwargs
            return _mean_pool(args[0], given)
        if name.startswith("adaptive_max_pool"):
            return _adaptive(args[0], args[1] if len(args) > 1 else kwargs["output_size"])
        function = _NOT_IN_PLACE.get(cast(Any, n.target))
        name = (function.__name__ if function else name).rstrip("_")
        if name in _SCALING:
            if len(args) > 1 and args[0] is args[1]:
                return args[0]  # x · sigmoid(x), and other products of a number with itself
            self._check_scaling(n, divided="div" in name)
        elif name not in _LINEAR_NAMES:
            raise _not_linear(name or str(n.target))
        if n.op == "call_method":
            return getattr(args[0], name)(*args[1:], **kwargs)
        return cast(Callable[..., Any], function or n.target)(*args, **kwargs)

    def _check_scaling(self, n: fx.Node, divided: bool) -> None:
        """Refuse a product or quotient of things that both depend on the image."""
        linear = [node for node in n.all_input_nodes if _asks(self.env[node])]
        others = [node for node in n.all_input_nodes if node not in linear]
        wrong = divided and linear[0] is not n.args[0]
        if len(linear) > 1 or wrong or any(map(_of_image, others)):
            raise _not_linear("a product of activations")


def _asks(value: Any) -> bool:
    """Whether a value depends on the source."""
    if isinstance(value, tuple | list):
        return any(map(_asks, value))
    return isinstance(value, Tensor) and value.requires_grad


def _of_image(node: fx.Node) -> bool:
    """Whether the image decides what a step puts out."""
    return node.op == "placeholder" or any(map(_of_image, node.all_input_nodes))


def _not_linear(what: str) -> NoPathError:
    return NoPathError(f"there is {what} between them, which is not linear")


def _mean_pool(x: Tensor, given: dict[str, Any]) -> Tensor:
    """The mean over the windows of a max pooling."""
    means: dict[int, Callable[..., Tensor]] = {
        3: functional.avg_pool1d,
        4: functional.avg_pool2d,
        5: functional.avg_pool3d,
    }
    if x.ndim not in means or given.get("dilation", 1) not in (1, (1, 1)):
        raise _not_linear("max pooling with gaps or over other dimensions than positions")
    return means[x.ndim](
        x,
        given["kernel_size"],
        given.get("stride") or None,
        given.get("padding", 0),
        ceil_mode=given.get("ceil_mode", False),
    )


def _adaptive(x: Tensor, size: Any) -> Tensor:
    function = {3: functional.adaptive_avg_pool1d, 4: functional.adaptive_avg_pool2d}
    if x.ndim not in function:
        raise _not_linear("max pooling over other dimensions than positions")
    return function[x.ndim](x, size)


@contextmanager
def _frozen(model: nn.Module):
    """No weight asks for derivatives."""
    asking = [p for p in model.parameters() if p.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def explained(error: NoPathError, source: str, target: str) -> str:
    """Why a pair of layers has no weights, as a sentence."""
    return (
        f"Weights from {source} to {target} are not available: {error}. Their links are found by "
        "correlation, and checked, as those of other layers are."
    )


def strength(paths: Paths, spread: Collection[float]) -> np.ndarray:
    """How much of a target's changes can come over each way: norm × spread of the source.

    A large kernel on a channel that never changes moves nothing.
    """
    wide = np.nan_to_num(np.asarray(spread, np.float64))
    return paths.norm.astype(np.float64) * wide[:, None]
