"""Which layers are recorded and how; the two networks of the pass, target and encoder."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch

from neuronym._core.errors import NeuronymError, UsageError
from neuronym.extraction import pooling
from neuronym.extraction.axes import FEW, Axes
from neuronym.extraction.cache import Cache, CacheEntry
from neuronym.extraction.maps import Chosen, ShardMaps, beside
from neuronym.extraction.names import Layers, resolve_layers, split_call
from neuronym.extraction.pooling import pool
from neuronym.extraction.precision import (
    PRODUCTS,
    VECTORS,
    arithmetic,
    at_once,
    find_folding,
    on_device,
    outputs,
    precision,
)
from neuronym.extraction.recording import (
    Enough,
    LayerInfo,
    Recording,
    describe_layers,
    run_target,
)
from neuronym.inputs.encoders.base import Encoder
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target

#: The one output of an `EncoderPass`. No layer can have this name: none starts with a dot.
IMAGES = ".image embeddings"
T = TypeVar("T")
#: How many layers are recorded when none are named, beside the output layer.
_STAGES = 4
#: Convolutions are about twice as fast with it.
_CHANNELS_LAST = "channels last in memory"


class _Pass:
    """What both networks have in common: how they are set up, named in the cache, and run.

    Args:
        name: of the network, for messages.
        weights: its fingerprint.
        preprocess: from an image to its input.
        run: a forward of the network, for finding the batch norms that can be folded.
        without: what is done for speed and fails with this network.
    """

    def __init__(
        self,
        name: str,
        weights: str,
        preprocess: Preprocess,
        run: Callable[[torch.Tensor], list[torch.Tensor]],
        *,
        device: torch.device,
        dtype: str,
        batch_size: int,
        without: Sequence[str] = (),
    ) -> None:
        self.preprocess, self.device, self.dtype = preprocess, device, dtype
        self.at_once = at_once(batch_size, device)
        self._folding = find_folding(run, preprocess.size, device, dtype, preprocess.count)
        failing = [*without, *(["batch norms folded"] if self._folding.error else [])]
        if failing:
            warnings.warn(
                f"{name} does not run with {' and '.join(failing)}, so it runs without, which may "
                "be slower.",
                stacklevel=3,
            )
        self.arithmetic = arithmetic(device, dtype, len(self._folding.places), without)
        #: What decides the values that it computes, for the cache.
        self._about = {
            "weights": weights,
            "preprocess": preprocess.to_dict(),
            "device": device.type,
            "dtype": dtype,
            "batch_size": batch_size,
            "at_once": self.at_once,
            "arithmetic": self.arithmetic,
            "folded": self._folding.places,
        }

    def shard_ends(self) -> dict[str, dict[str, np.ndarray]]:
        """Of each of `beside` what the shard that ends here leaves; the next one begins anew."""
        return {}

    def _parts(self, pixels: np.ndarray) -> list[np.ndarray]:
        """A batch in parts of as many images as the network sees at once."""
        return np.split(pixels, range(self.at_once, len(pixels), self.at_once))

    def _input(self, pixels: np.ndarray) -> torch.Tensor:
        return self.preprocess.normalise(on_device(pixels, self.device))

    def _folded(self, run: Callable[[], T], ahead: frozenset[int] = frozenset()) -> T:
        """What `run` gives with batch norms folded; without, where it passes some of them over.

        Args:
            ahead: places of convolutions whose batch norms come after the end of `run`.
        """
        with self._folding.applied():
            found = run()
            skipped = self._folding.waiting - ahead
        if skipped:  # it takes other ways for some images than for noise
            self._folding.stop()
            return self._folded(run)
        return found


class TargetPass(_Pass):
    """Feeds batches to a target and pools what the chosen layers put out.

    Outputs are the layers' names; each yields `values` (float32 `[image, unit]`) and, where the
    layer has positions, `peaks` (the flat position of each maximum, uint16 or int32).

    Args:
        maps: of how many images per unit and shard the small maps are kept beside these.
    """

    def __init__(
        self,
        target: Target,
        plans: Sequence[LayerPlan],
        cache: Cache,
        *,
        device: torch.device,
        dtype: str,
        batch_size: int,
        maps: int = 0,
    ) -> None:
        self.target, self.plans = target, {plan.info.name: plan for plan in plans}
        self.arrays = {plan.info.name: plan.arrays for plan in plans}
        self.device, self.dtype = device, dtype
        self._without: tuple[str, ...] = ()
        #: By what is wanted how a pass for it can end early; None: not at all.
        self._ends: dict[tuple[str, ...], frozenset[int] | None] = {}
        with self._named():
            target.model.to(device)
            without = self._settle()
        how: dict[str, Any] = {"device": device, "dtype": dtype, "batch_size": batch_size}
        args = (target.name, target.fingerprint, target.preprocess, self._recorded)
        super().__init__(*args, **how, without=without)
        common = {"target": target.name, **self._about}
        spelled = {name: text for text, name in Layers(target.model).spelled.items()}
        self.entries: dict[str, CacheEntry] = {}
        self.beside: dict[str, CacheEntry] = {}
        self.maps, self._kept = maps, ShardMaps(maps)
        for plan in plans:
            # The checksum is not part of the plan: other machines round otherwise.
            about = {**common, **plan.to_dict(), "grid": plan.grid, "checksum": plan.info.checksum}
            # Earlier versions named the layers of wrapped networks as torch does.
            former = {**about, "layer": spelled.get(plan.info.name, plan.info.name)}
            self.entries[plan.info.name] = cache.entry("activations", about, former)
            if self._kept.has(plan.info):
                kept = cache.entry("maps", about | self._kept.about)
                self.beside[beside(plan.info.name)] = kept

    def _settle(self) -> list[str]:
        """Set up what is done for speed; returns what of it the network does not run with."""
        linear = PRODUCTS if self.dtype == "float32" else VECTORS
        for without in ((), (_CHANNELS_LAST,), (linear,), (_CHANNELS_LAST, linear)):
            if self._runs(without):
                return list(without)
        self._runs(())  # the fault is the network's own: the pass will meet it
        return []

    def _runs(self, without: tuple[str, ...]) -> bool:
        """Whether it runs set up like this, in which it is left."""
        self._without = without
        _order(self.target.model, self._memory)
        generator = torch.Generator().manual_seed(0)
        shape = (FEW, self.target.preprocess.count, *self.target.preprocess.size)
        noise = torch.rand(shape, generator=generator)
        try:
            with self.running():
                outputs(self._recorded, noise.to(self.device, memory_format=self._memory))
        except Exception:
            return False
        return True

    @property
    def _memory(self) -> torch.memory_format:
        plain = _CHANNELS_LAST in self._without
        return torch.contiguous_format if plain else torch.channels_last

    @contextmanager
    def running(self) -> Iterator[None]:
        """What batches have in common: the precision, and weights converted to it."""
        frozen = [p for p in self.target.model.parameters() if _could_learn(p)]
        frozen = [] if self.dtype == "float32" else frozen
        try:
            for parameter in frozen:
                parameter.requires_grad_(True)  # see `precision`
            plain = bool({PRODUCTS, VECTORS} & set(self._without))
            with precision(self.device, self.dtype, plain=plain):
                yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> dict[str, dict[str, np.ndarray]]:
        """uint8 `[image, height, width, 3]` → per layer its pooled values and peaks."""
        with self.running():
            found = [self._part(part, wanted) for part in self._parts(pixels)]
        return {
            layer: {name: np.concatenate([f[layer][name] for f in found]) for name in arrays}
            for layer, arrays in found[0].items()
        }

    def _part(self, pixels: np.ndarray, wanted: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
        batch = self._input(pixels)
        if self._without:
            batch = batch.contiguous(memory_format=self._memory)
        key = tuple(wanted)
        early = self._ends.get(key)
        ahead: list[frozenset[int]] = []
        found: dict[str, dict[str, np.ndarray]] = {}
        maps: dict[str, Chosen] = {}
        got: dict[str, tuple[int, tuple[int, int] | None, tuple[int, ...]]] = {}
        calls: Counter[str] = Counter()

        def reduce(layer: str, output: torch.Tensor) -> None:
            plan = self.plans[layer]
            calls[layer] += 1
            try:
                output = plan.info.axes.arrange(output)
                pooled = pool(
                    output,
                    plan.mode,
                    plan.info.layout,
                    plan.info.prefix_tokens,
                    layer=layer,
                    images=len(pixels),
                    grid=plan.grid,
                )
            except (UsageError, RuntimeError, IndexError):
                if calls[layer] < plan.info.calls:
                    return  # not the last call, which may well give something else
                raise
            arrays = {"values": pooled.values.float().cpu().numpy()}
            if pooled.peak is not None:
                _, kind = plan.arrays.get("peaks", (0, np.int32))
                arrays["peaks"] = pooled.peak.cpu().numpy().astype(kind)
            found[layer] = arrays
            if self._kept.has(plan.info):
                maps[layer] = self._kept.choose(plan.info, output, arrays["values"])
            got[layer] = (pooled.values.shape[1], pooled.grid, tuple(output.shape[1:]))

        def whole() -> None:
            if early is not None:
                raise Enough
            ahead.append(self._folding.waiting)

        def run() -> Recording:
            calls.clear()
            with self._full_vectors(wanted), self._named():
                return run_target(self.target, batch, wanted, reduce, whole)

        ran = self._folded(run, early or frozenset())
        if key not in self._ends:  # it ran as a whole, and showed where it could have ended
            self._ends[key] = ahead[-1] if ran.repeats_nothing else None
        for layer in wanted:
            info = self.plans[layer].info
            units, grid, shape = got.get(layer, (None, None, None))  # of the last call
            if (units, grid) != (info.units, info.grid):
                raise NeuronymError(
                    f"The layer {layer} of {self.target.name} gives other numbers of units or "
                    f"positions for some images than for others: {shape} in place of "
                    f"{info.shape}. Leave it out of `layers`."
                )
        for layer, chosen in maps.items():
            self._kept.add(layer, found[layer]["values"], chosen)
        return found

    def shard_ends(self) -> dict[str, dict[str, np.ndarray]]:
        """Of each of `beside` what the shard that ends here leaves; the next one begins anew."""
        return self._kept.end()

    @contextmanager
    def _full_vectors(self, wanted: Sequence[str]) -> Iterator[None]:
        """Recorded operations that give one number per image and unit compute in float32."""
        handles = []
        layers = Layers(self.target.model)
        for layer in wanted if self.dtype != "float32" else ():
            info, module = self.plans[layer].info, layers.module(layer)
            if info.grid not in (None, (1, 1)) or any(module.children()):
                continue
            if not info.params:
                handles.append(module.register_forward_pre_hook(_from_full))
            elif all(p.dtype == torch.float32 for p in module.parameters()):
                handles.append(module.register_forward_hook(_again_in_full))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _recorded(self, batch: torch.Tensor) -> list[torch.Tensor]:
        return list(run_target(self.target, batch, self.plans).values())

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say which network failed."""
        try:
            yield
        except NeuronymError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            cause = f"{type(error).__name__}: {lines[0]}".rstrip(". :")
            full = isinstance(error, torch.OutOfMemoryError | MemoryError)
            full = full or "out of memory" in str(error) or "can't allocate" in str(error)
            remedy = " Try a smaller --batch-size." if full else ""
            raise NeuronymError(
                f"{self.target.name} failed on a batch of images: {cause}.{remedy}"
            ) from error


def _order(model: torch.nn.Module, memory: torch.memory_format) -> None:
    """Order weights of maps in memory, as `Module.to` would do, which refuses those of volumes."""
    for tensor in [*model.parameters(), *model.buffers()]:
        if not torch.nn.parameter.is_lazy(tensor) and tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=memory)


def _could_learn(parameter: torch.Tensor) -> bool:
    frozen = parameter.is_leaf and not parameter.requires_grad and not parameter.is_inference()
    return frozen and parameter.is_floating_point()


def _in_full(values: tuple) -> tuple:
    tensors = [isinstance(v, torch.Tensor) and not v.is_quantized for v in values]
    return tuple(v.float() if t else v for t, v in zip(tensors, values, strict=True))


def _from_full(module: torch.nn.Module, inputs: tuple) -> tuple:
    return _in_full(inputs)


def _again_in_full(module: torch.nn.Module, inputs: tuple, output: Any) -> Any:
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        return output
    if output.dtype == torch.float32:
        return output
    with torch.autocast(output.device.type, enabled=False):
        return module.forward(*_in_full(inputs))


class EncoderPass(_Pass):
    """Feeds batches to an encoder; yields `values`, float32 unit vectors `[image, dim]`."""

    def __init__(
        self, encoder: Encoder, cache: Cache, *, device: torch.device, dtype: str, batch_size: int
    ) -> None:
        self.encoder = encoder.to(device)
        how: dict[str, Any] = {"device": device, "dtype": dtype, "batch_size": batch_size}
        super().__init__(
            encoder.name, encoder.fingerprint, encoder.preprocess, self._embedded, **how
        )
        about = {"encoder": encoder.name, **self._about}
        # 0.1.0 did not say which norms were folded: what it computed is taken all the same.
        former = {name: value for name, value in about.items() if name != "folded"}
        self.entries: Mapping[str, CacheEntry] = {IMAGES: cache.entry("embeddings", about, former)}
        self.arrays = {IMAGES: {"values": (encoder.dim, np.float32)}}
        self.beside: Mapping[str, CacheEntry] = {}

    def running(self) -> AbstractContextManager[None]:
        """What batches have in common: the precision, and weights converted to it."""
        return precision(self.device, self.dtype)

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> dict[str, dict[str, np.ndarray]]:
        """uint8 `[image, height, width, 3]` → embeddings."""
        with self.running():
            found = [self._part(part) for part in self._parts(pixels)]
        return {IMAGES: {"values": np.concatenate(found)}}

    def _part(self, pixels: np.ndarray) -> np.ndarray:
        batch = self._input(pixels)
        return self._folded(lambda: self.encoder.encode_images(batch)).float().cpu().numpy()

    def _embedded(self, batch: torch.Tensor) -> list[torch.Tensor]:
        return [self.encoder.encode_images(batch)]


@dataclass(frozen=True)
class LayerPlan:
    """How one layer is recorded: its module, layout and pooling."""

    info: LayerInfo
    mode: str

    @property
    def grid(self) -> tuple[int, int] | None:
        """Height and width of the map that peaks index into, or None for vectors."""
        return self.info.grid

    @property
    def pooling(self) -> str:
        """How its output becomes one number per image and unit, in words."""
        return pooling.in_words(self.mode, self.info.layout, self.info.prefix_tokens)

    @property
    def arrays(self) -> dict[str, tuple[int, Any]]:
        """What is kept: pooled values, and where there are positions those of the maxima."""
        found: dict[str, tuple[int, Any]] = {"values": (self.info.width, np.float32)}
        if self.grid is not None:
            small = self.grid[0] * self.grid[1] <= 65536
            found["peaks"] = (self.info.width, np.uint16 if small else np.int32)
        return found

    def to_dict(self) -> dict[str, Any]:
        """What decides the values, as JSON-able data."""
        axes = self.info.axes
        return ({"axes": asdict(axes)} if axes != Axes() else {}) | {
            "layer": self.info.name,
            "units": self.info.units,
            "shape": list(self.info.shape or ()),
            "layout": self.info.layout,
            "pool": self.mode,
            "prefix_tokens": self.info.prefix_tokens,
        }


def choose_layers(
    target: Target,
    patterns: Sequence[str],
    pool: str = "auto",
    layout: str = "auto",
    *,
    known: Sequence[LayerInfo] | None = None,
) -> list[LayerPlan]:
    """The layers that names and patterns stand for, in network order, each with its pooling.

    Layers that a pattern matches but that cannot be pooled are left out; named ones are refused.

    Args:
        target: the network under study.
        patterns: names and globs; none: see `default_layers`.
        pool, layout: as in `dissect`.
        known: what `describe_layers` says of the target, if it is at hand; with patterns of calls.

    Raises:
        UsageError: an unknown layer, one without units, or a pooling that does not fit.
    """
    infos = known or describe_layers(target, layout, calls=bool(patterns))
    if patterns:
        named = {part.strip() for pattern in patterns for part in pattern.split(",")}
        named |= set(patterns)  # a name may hold a comma
        found = described(target, infos, resolve_layers(target, patterns), named)
        for name, info in found.items():
            if not info.usable and name in named:
                raise UsageError(
                    f"Expected `layers` to name layers with units, got {name!r}, which "
                    f"{info.note}. See `neuronym layers {target.name}`."
                )
        chosen = list({info.name: info for info in found.values() if info.usable}.values())
    else:
        chosen = default_layers(infos)
    if not chosen and not patterns:
        raise UsageError(f"No layer of {target.name} has units that can be recorded.")
    if not chosen:
        raise UsageError(
            f"Expected `layers` to name layers with units, got {', '.join(patterns)!r}, of which "
            f"none has any. See `neuronym layers {target.name}`."
        )
    return [LayerPlan(info, _mode(pool, info)) for info in chosen]


def class_layer(
    target: Target, known: Sequence[LayerInfo], chosen: Sequence[LayerPlan], pool: str = "auto"
) -> LayerPlan | None:
    """The output layer of a classifier of known classes, where the chosen layers lack it.

    It is the last layer of one number per image and unit with as many units as there are classes;
    where there is none, the last layer with so many.
    """
    classes = len(target.class_names or ())
    if chosen[-1].info.units == classes:
        return None
    fitting = [info for info in known if info.usable and info.units == classes]
    vectors = [info for info in fitting if info.layout == "vector"]
    last = (vectors or fitting)[-1:]
    there = {plan.info.name for plan in chosen}
    return next(
        (LayerPlan(info, _mode(pool, info)) for info in last if info.name not in there), None
    )


def described(
    target: Target, infos: Sequence[LayerInfo], names: Sequence[str], named: Collection[str]
) -> dict[str, LayerInfo]:
    """By name as given what is known of each layer.

    A module with several names is described under the first. Names with wrappers in them
    (`module.layer1`), as earlier versions listed them, stay what they are.
    """
    known, layers = {info.name: info for info in infos}, Layers(target.model)
    found = {}
    for name in names:
        plain, call = layers.find(name) or (name, None)
        first = layers.first[id(layers[plain])]
        info = known[first]
        if call is not None and 0 < info.calls < call:
            if name not in named:
                continue  # a pattern found it
            raise UsageError(
                f"Expected `layers` to name a call that happens, got {name!r}, but {plain} runs "
                f"{'once' if info.calls == 1 else f'{info.calls} times'} for a batch of images."
            )
        shown = split_call(name)[0] if name not in layers else name
        shown = shown if shown in layers.spelled and shown not in layers else first
        if call is not None:
            info, shown = known.get(f"{first}#{call}", info), f"{shown}#{call}"
        found[name] = replace(info, name=shown)
    return found


def _mode(pool: str, info: LayerInfo) -> str:
    if info.layout == "vector":
        pooling.mode_of(pool, "vector")  # an unknown name is wrong even where it has no effect
        return "none"
    mode = pooling.mode_of(pool, info.layout, info.prefix_tokens)
    if mode == "cls" and (info.layout != "tokens" or info.prefix_tokens == 0):
        raise UsageError(
            f"Expected `pool` to fit {info.name}, got 'cls', but its output ({info.layout}) has no "
            "class token. Use --pool auto, mean or max."
        )
    return mode


def default_layers(infos: Sequence[LayerInfo]) -> list[LayerInfo]:
    """The last stage at each resolution, four of them at most, and the output layer.

    For a ResNet these are layer1 … layer4 and fc. A network whose tokens keep one resolution gets
    four of its blocks, evenly spaced. Stages are modules made of others, before plain operations;
    modules that run several times per image are passed over, since only their last call could be
    recorded.
    """
    usable = [i for i in infos if i.calls == 1 and i.units and i.units > 1]
    stages = [i for i in usable if i.grid and i.grid[0] * i.grid[1] > 1]
    children: dict[str, list[LayerInfo]] = {}
    for info in infos:
        children.setdefault(info.name.rpartition(".")[0], []).append(info)
    made = [i for i in stages if any(child.params for child in children.get(i.name, ()))]
    # Where one module ends another (layer4 ends layer4.2), the outer one is the stage, unless it
    # spans several resolutions (features ends features.7).
    whole = [i for i in made if all(c.grid in (None, i.grid) for c in children[i.name])]
    last: dict[tuple | None, LayerInfo] = {}
    for info in whole if len({i.grid for i in whole}) > 1 else stages:
        before = last.pop(info.grid, None)
        inner = before is not None and info.name.startswith(f"{before.name}.")
        last[info.grid] = before if inner and before is not None else info
    order = {info.name: place for place, info in enumerate(infos)}
    chosen = sorted(last.values(), key=lambda info: order[info.name])[-_STAGES:]
    blocks = _blocks(stages)
    if len(chosen) < _STAGES and len(blocks) >= _STAGES:
        chosen = [blocks[(n + 1) * len(blocks) // _STAGES - 1] for n in range(_STAGES)]
    outputs = [i for i in usable if i.layout == "vector"] or usable[-1:]
    return sorted(
        {i.name: i for i in [*chosen, *outputs[-1:]]}.values(), key=lambda i: order[i.name]
    )


def _blocks(stages: Sequence[LayerInfo]) -> list[LayerInfo]:
    """The longest run of numbered siblings of one type and one shape: a transformer's blocks."""
    groups: dict[tuple, list[LayerInfo]] = {}
    for info in stages:
        parent, _, own = info.name.rpartition(".")
        if own.isdecimal() or own.rpartition("_")[2].isdecimal():
            groups.setdefault((parent, info.type, info.shape), []).append(info)
    return max(groups.values(), key=len, default=[])
