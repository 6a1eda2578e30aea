"""What a target is: the network under study, ready to run, with its preprocessing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from neuronym._core import module_fingerprint
from neuronym._core.checks import Verbatim, misuse
from neuronym._core.registry import Registry, parse
from neuronym._core.terminal import counted
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.preprocess.given import order_of, over, settings_of, with_channels
from neuronym.inputs.preprocess.published import from_timm
from neuronym.inputs.targets._options import without_downloads
from neuronym.inputs.targets.weights import load_weights

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
TARGETS = Registry("target", "targets", "neuronym.inputs.targets")


def _call(model: torch.nn.Module, batch: torch.Tensor) -> Any:
    return model(batch)


#: What a target's preprocessing consists of, for people.
PARTS = ("size", "channels", "normalisation")


@dataclass(frozen=True)
class Origin:
    """Where a target's preprocessing comes from.

    Attributes:
        source: who states the parts that are known, in words.
        assumed: those of `PARTS` that nobody states.
        basis: what the assumed ones are taken from.
    """

    source: str = "as given"
    assumed: tuple[str, ...] = ()
    basis: str = "as usual for ImageNet"

    @property
    def words(self) -> str:
        """What is known and from where, and what is assumed.

        >>> Origin("timm's configuration of the network").words
        "known: timm's configuration of the network"
        >>> Origin("", PARTS).words
        'assumed, as usual for ImageNet: size, channels, normalisation'
        """
        parts = [f"known: {self.source}"] if self.source else []
        if self.assumed:
            parts.append(f"assumed, {self.basis}: {', '.join(self.assumed)}")
        return "; ".join(parts)

    def but(self, said: Mapping[str, Any]) -> Origin:
        """The same once the user has said these settings of a `Preprocess`."""
        normalised = {"mean", "std"} <= said.keys()
        settled = {"size"} if "size" in said else set()
        settled |= {"normalisation", "channels"} if normalised else set()
        settled |= {"channels"} if "channels" in said else set()
        left = tuple(part for part in self.assumed if part not in settled)
        named = ", ".join(said) if len(said) < 5 else "all"
        rest = f"; else {self.source}" if self.source and named != "all" else ""
        return replace(self, source=f"{named} as given{rest}", assumed=left)


#: Of a network about which nothing is stated.
UNKNOWN = Origin("", PARTS)
#: Of a preprocessing that came with a target or module made in Python.
GIVEN = Origin("given with the network")


@dataclass(frozen=True, eq=False)
class Target:
    """The network under study.

    Attributes:
        name: the full name that opens it again, or a description.
        model: set to evaluation mode; on the CPU until a pass moves it.
        preprocess: from a decoded image to its input.
        class_names: what the units of the output layer stand for, if known.
        forward: runs the model on a float batch `[image, channel, height, width]`: the place for
            what a network takes beside one, or in place of it.
        pretrained: False when the weights are random.
        maker: the user's function that made it: its files count in the fingerprint.
        origin: who states the preprocessing, and what of it is assumed.
    """

    name: str
    model: torch.nn.Module
    preprocess: Preprocess
    class_names: tuple[str, ...] | None = None
    forward: Callable[[torch.nn.Module, torch.Tensor], Any] = _call
    pretrained: bool = True
    maker: Callable[..., Any] | None = None
    origin: Origin = GIVEN

    def __post_init__(self) -> None:
        try:
            self.model.eval()
        except NotImplementedError:  # the module of an exported program
            raise _exported(self.model) from None

    @cached_property
    def fingerprint(self) -> str:
        """Of structure, source code, `forward` and the bytes of all weights; not of the name."""
        return module_fingerprint.of_module(self.model, self.forward, self._makers_file())

    def _makers_file(self) -> Any:
        # The module, and not the function: two functions may make the same network.
        return None if self.maker is None else sys.modules.get(self.maker.__module__)


def wrapping(module: nn.Module) -> str | None:
    """The name under which a wrapper keeps what it wraps; None: it is no wrapper."""
    if isinstance(module, _WRAPPERS):
        return "module"
    # By its name, because importing its class takes a second.
    return "_orig_mod" if type(module).__name__ == "OptimizedModule" else None


def unwrapped(model: nn.Module) -> nn.Module:
    """The network without the wrappers around it."""
    while (part := wrapping(model)) is not None:
        model = model.get_submodule(part)
    return model


def _exported(program: Any) -> Exception:
    return misuse(
        "target",
        "a network made of modules",
        Verbatim(f"{type(program).__name__} from torch.export, which has no layers"),
        "Give the Python module that it was exported from, or torch.export.unflatten(program) if "
        "it was exported with dynamic_shapes for the batch.",
    )


def of_module(model: nn.Module, preprocess: Any = None, name: str = "") -> Target:
    """A torch module as a target, set to evaluation mode.

    Args:
        model: sees `[image, channel, height, width]`.
        preprocess: from a decoded image to its input: a `Preprocess`, or what else `open_target`
            takes. None: that of timm's configuration if the module carries one, else ImageNet's
            (resize to 256, centre crop of 224) is assumed.
        name: what to call it; default: its class.
    """
    names = None
    config = getattr(model, "config", None)
    if hasattr(config, "id2label"):
        from neuronym.inputs.targets.hf_models import class_names, vision_side

        model = vision_side(model)
        names = class_names(config, model)
    stated, origin = _stated(model)
    shown = name or type(model).__name__
    if isinstance(preprocess, Preprocess):
        return Target(shown, model, preprocess, names)
    target = own_channels(Target(shown, model, stated, names, origin=origin))
    return target if preprocess is None else preprocessed(target, preprocess)


def _stated(model: Any) -> tuple[Preprocess, Origin]:
    if getattr(model, "pretrained_cfg", None):
        return from_timm(model), Origin("timm's configuration of the network")
    size = getattr(getattr(model, "config", None), "image_size", None)
    if isinstance(size, int):
        origin = Origin("size from the network's config.image_size", PARTS[1:])
        return Preprocess((size, size), round(size / 0.875)), origin
    return Preprocess(), UNKNOWN


def preprocessed(target: Target, given: Any) -> Target:
    """A target with the settings that the user gives in place of its own.

    Raises:
        UsageError: a setting is unknown or impossible, or the network takes other channels.
    """
    said = settings_of(given)
    new = replace(target, preprocess=over(target.preprocess, said), origin=target.origin.but(said))
    takes, count = own_channels(new).preprocess.count, new.preprocess.count
    named = isinstance(given, str | Mapping) and "channels" in said
    if takes != count and (named or count != 3):  # red, green and blue become grey by themselves
        raise misuse(
            "preprocess",
            f"have {counted(takes, 'channel')}, as the first convolution of {new.name} takes",
            Verbatim(counted(count, "channel")),
            "Give as many numbers in mean and std, or one. What makes other channels of an image "
            "goes into the `forward` of a Target (docs/targets.md).",
        )
    return new


def own_channels(target: Target) -> Target:
    """A target whose input has as many channels as its first convolution takes.

    Networks of one channel get grey images, networks of n channels images of n bands: they run on
    nothing else. A target with a `forward` of its own is left as it is.
    """
    before = target.preprocess
    count = None if target.forward is not _call else first_channels(target.model, before)
    if count is None or count == before.count:
        return target
    order = order_of(count)
    origin, same = target.origin, len(set(before.mean)) == len(set(before.std)) == 1
    lost = {"normalisation"} - ({"normalisation"} if same and order == "grey" else set())
    assumed = (set(origin.assumed) | lost) - {"channels"}
    found = f"{counted(count, 'channel')} from its first convolution"
    origin = replace(
        origin,
        source="; ".join(filter(None, (found, origin.source))),
        assumed=tuple(part for part in PARTS if part in assumed),
    )
    return replace(target, preprocess=with_channels(before, order, count), origin=origin)


class _StopError(Exception):
    """Ends a forward pass."""


def first_channels(model: nn.Module, preprocess: Preprocess) -> int | None:
    """How many channels the first convolution takes, where it would get another number.

    None: as many as `preprocess` gives, or no convolution sees the input first.
    """
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    if not convolutions or convolutions[0].in_channels == preprocess.count:
        return None  # nearly always, and then nothing has to run
    found: list[int] = []

    def look(module: Any, inputs: tuple) -> None:
        if inputs[0].shape[-3] == preprocess.count:
            found.append(module.in_channels)
        raise _StopError

    handles = [m.register_forward_pre_hook(look) for m in convolutions]
    try:
        forward_once(lambda batch: model(batch), model, preprocess.count, preprocess.size)
    except Exception:  # _StopError, or it does not run: who runs it next says so
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found and found[0] != preprocess.count else None


@contextmanager
def in_its_mode(target: Any) -> Iterator[None]:
    """Afterwards each module of a network given in Python is in training mode again if it was."""
    model = target.model if isinstance(target, Target) else target
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        yield
    finally:
        for module, training in zip(modules, modes, strict=True):
            module.training = training


def forward_once(
    run: Callable[[torch.Tensor], Any], model: nn.Module, count: int, size: tuple[int, int]
) -> None:
    """Run a network on two black images, whatever it is on and of what precision."""
    first = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        run(torch.zeros((2, count, *size), dtype=first.dtype, device=first.device))


def open_target(
    spec: str | nn.Module | Target,
    *,
    weights: str | Path | None = None,
    preprocess: Any = None,
    download: bool = True,
) -> Target:
    """Open the network under study.

    Args:
        spec: a name such as `resnet50`, `timm:vit_tiny_patch16_224` or `python:mynets:small_cnn`,
            a torch module or a target (both set to evaluation mode).
        weights: a file of weights: safetensors, or a state dict or checkpoint of PyTorch.
        preprocess: in place of the preprocessing that comes with the network, whole or in part:
            `size=32,mean=0.5,std=0.25`, the same as a dictionary, a `Preprocess`, a transform of
            torchvision, an image processor of transformers (see `settings_of`).
        download: False: draw weights at random that would be downloaded; the layers are the same.

    Returns:
        The network in evaluation mode, on the CPU if it was opened by name.

    Raises:
        UsageError: there is no such network, parameter or file.
        NeuronymError: weights that cannot be downloaded, read or fitted.

    >>> open_target("squeezenet1_1:weights=random").preprocess.size
    (224, 224)
    """
    file = None if weights is None else Path(weights)
    if isinstance(spec, Target | nn.Module):
        target = spec if isinstance(spec, Target) else of_module(spec)
        target.model.eval()  # also where it was trained further since
        if file is not None:
            load_weights(unwrapped(target.model), file, name=target.name)
            target = replace(target)  # a fingerprint taken before is that of other weights
    elif isinstance(spec, str):
        name = parse(TARGETS.expand(spec.strip()), "target")
        with nullcontext() if download else without_downloads():
            target = TARGETS[name.kind].make(name, file)
    elif isinstance(spec, torch.export.ExportedProgram):
        raise _exported(spec)
    else:
        raise misuse("target", "a name, a torch module or a Target", spec)
    target = own_channels(target)
    return target if preprocess is None else own_channels(preprocessed(target, preprocess))
