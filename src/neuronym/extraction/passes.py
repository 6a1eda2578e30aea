"""Which layers are recorded and how; the two networks of the pass, target and encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.progress import Progress, silent
from neuronym.extraction import pooling
from neuronym.extraction.cache import Cache, CacheEntry
from neuronym.extraction.pooling import pool
from neuronym.extraction.precision import arithmetic, at_once, find_folding, on_device, precision
from neuronym.extraction.recording import (
    LayerInfo,
    describe_layers,
    resolve_layers,
    run_target,
)
from neuronym.inputs.concepts.base import ConceptSet
from neuronym.inputs.encoders.base import Encoder, embed_concepts
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target

#: The one output of an `EncoderPass`. No layer can have this name: none starts with a dot.
IMAGES = ".image embeddings"
T = TypeVar("T")
#: How many layers are recorded when none are named, beside the output layer.
_STAGES = 4


class _Pass:
    """What both networks have in common: how they are set up, named in the cache, and run.

    Args:
        weights: the fingerprint of the network.
        preprocess: from an image to its input.
        run: a forward of the network, for finding the batch norms that can be folded.
    """

    def __init__(
        self,
        weights: str,
        preprocess: Preprocess,
        run: Callable[[torch.Tensor], list[torch.Tensor]],
        *,
        device: torch.device,
        dtype: str,
        batch_size: int,
    ) -> None:
        self.preprocess, self.device, self.dtype = preprocess, device, dtype
        self._at_once = at_once(batch_size, device)
        self._folding = find_folding(run, preprocess.size, device, dtype)
        self.arithmetic = arithmetic(device, dtype, len(self._folding.places))
        #: What decides the values that it computes, for the cache.
        self._about = {
            "weights": weights,
            "preprocess": preprocess.to_dict(),
            "device": device.type,
            "dtype": dtype,
            "batch_size": batch_size,
            "at_once": self._at_once,
            "arithmetic": self.arithmetic,
            "folded": self._folding.places,
        }

    def _parts(self, pixels: np.ndarray) -> list[np.ndarray]:
        """A batch in parts of as many images as the network sees at once."""
        return np.split(pixels, range(self._at_once, len(pixels), self._at_once))

    def _input(self, pixels: np.ndarray) -> torch.Tensor:
        return self.preprocess.normalise(on_device(pixels, self.device))

    def _folded(self, run: Callable[[], T]) -> T:
        """What `run` gives with batch norms folded; without, where it passes some of them over."""
        with self._folding.applied():
            found = run()
            skipped = self._folding.skipped
        if skipped:  # it takes other ways for some images than for noise
            self._folding.stop()
            return self._folded(run)
        return found


class TargetPass(_Pass):
    """Feeds batches to a target and pools what the chosen layers put out.

    Outputs are the layers' names; each yields `values` (float32 `[image, unit]`) and, where the
    layer has positions, `peaks` (the flat position of each maximum, uint16 or int32).
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
    ) -> None:
        self.target, self.plans = target, {plan.info.name: plan for plan in plans}
        self.arrays = {plan.info.name: plan.arrays for plan in plans}
        with self._named():
            # Convolutions are about twice as fast with the channels last in memory.
            target.model.to(device, memory_format=torch.channels_last)
        how = {"device": device, "dtype": dtype, "batch_size": batch_size}
        super().__init__(target.fingerprint, target.preprocess, self._recorded, **how)
        common = {"target": target.name, **self._about}
        self.entries: Mapping[str, CacheEntry] = {
            plan.info.name: cache.entry(
                "activations",
                # The checksum is not part of the plan: other machines round otherwise.
                {**common, **plan.to_dict(), "grid": plan.grid, "checksum": plan.info.checksum},
            )
            for plan in plans
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """What batches have in common: the precision, and weights converted to it."""
        frozen = [p for p in self.target.model.parameters() if _could_learn(p)]
        frozen = [] if self.dtype == "float32" else frozen
        try:
            for parameter in frozen:
                parameter.requires_grad_(True)  # see `precision`
            with precision(self.device, self.dtype):
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
        found: dict[str, dict[str, np.ndarray]] = {}
        got: dict[str, tuple[int, tuple[int, int] | None, tuple[int, ...]]] = {}

        def reduce(layer: str, output: torch.Tensor) -> None:
            plan = self.plans[layer]
            pooled = pool(
                output,
                plan.mode,
                plan.info.layout,
                plan.info.prefix_tokens,
                layer=layer,
                images=len(pixels),
                grid=plan.grid,
            )
            arrays = {"values": pooled.values.float().cpu().numpy()}
            if pooled.peak is not None:
                _, kind = plan.arrays.get("peaks", (0, np.int32))
                arrays["peaks"] = pooled.peak.cpu().numpy().astype(kind)
            found[layer] = arrays
            got[layer] = (pooled.values.shape[1], pooled.grid, tuple(output.shape[1:]))

        def run() -> None:
            with self._full_vectors(wanted), self._named():
                run_target(self.target, batch, wanted, reduce)

        self._folded(run)
        for layer, (units, grid, shape) in got.items():  # of the last call, like the values
            info = self.plans[layer].info
            if (units, grid) != (info.units, info.grid):
                raise NeuronymError(
                    f"The layer {layer} of {self.target.name} gives other numbers of units or "
                    f"positions for some images than for others: {shape} in place of "
                    f"{info.shape}. Leave it out of `layers`."
                )
        return found

    @contextmanager
    def _full_vectors(self, wanted: Sequence[str]) -> Iterator[None]:
        """Recorded operations that give one number per image and unit compute in float32."""
        handles = []
        for layer in wanted if self.dtype != "float32" else ():
            info, module = self.plans[layer].info, self.target.model.get_submodule(layer)
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


def _could_learn(parameter: torch.Tensor) -> bool:
    frozen = parameter.is_leaf and not parameter.requires_grad and not parameter.is_inference()
    return frozen and parameter.is_floating_point()


def _in_full(values: tuple) -> tuple:
    return tuple(v.float() if isinstance(v, torch.Tensor) else v for v in values)


def _from_full(module: torch.nn.Module, inputs: tuple) -> tuple:
    return _in_full(inputs)


def _again_in_full(module: torch.nn.Module, inputs: tuple, output: Any) -> Any:
    if not isinstance(output, torch.Tensor) or output.dtype == torch.float32:
        return output
    with torch.autocast(output.device.type, enabled=False):
        return module.forward(*_in_full(inputs))


class EncoderPass(_Pass):
    """Feeds batches to an encoder; yields `values`, float32 unit vectors `[image, dim]`."""

    def __init__(
        self, encoder: Encoder, cache: Cache, *, device: torch.device, dtype: str, batch_size: int
    ) -> None:
        self.encoder = encoder.to(device)
        how = {"device": device, "dtype": dtype, "batch_size": batch_size}
        super().__init__(encoder.fingerprint, encoder.preprocess, self._embedded, **how)
        about = {"encoder": encoder.name, **self._about}
        # 0.1.0 did not say which norms were folded: what it computed is taken all the same.
        former = {name: value for name, value in about.items() if name != "folded"}
        self.entries: Mapping[str, CacheEntry] = {IMAGES: cache.entry("embeddings", about, former)}
        self.arrays = {IMAGES: {"values": (encoder.dim, np.float32)}}

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


def concept_embeddings(
    encoder: Encoder,
    concepts: ConceptSet,
    cache: Cache,
    progress: Progress = silent,
    *,
    keep: bool = True,
) -> np.ndarray:
    """Unit vectors float32 `[concept, dim]`, from the cache where they are known.

    Args:
        keep: write new ones to the cache, if it can be written to.
    """
    cpu = torch.device("cpu")  # on another device `precision` changes nothing in float32
    about = {
        "encoder": encoder.name,
        "weights": encoder.fingerprint,
        "concepts": concepts.name,
        "arithmetic": arithmetic(cpu, "float32", 0),
    }
    entry = cache.entry("texts", about)
    known = entry.read(concepts.fingerprint)
    if known is None:
        with precision(cpu, "float32"):
            vectors = embed_concepts(encoder, concepts.words, concepts.templates, progress=progress)
        with suppress(NeuronymError):  # they are there, and soon made again
            if keep:
                entry.write(concepts.fingerprint, {"values": vectors}, {})
        return vectors
    return np.array(known[0]["values"])


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
    def arrays(self) -> dict[str, tuple[int, Any]]:
        """What is kept: pooled values, and where there are positions those of the maxima."""
        found: dict[str, tuple[int, Any]] = {"values": (self.info.units, np.float32)}
        if self.grid is not None:
            small = self.grid[0] * self.grid[1] <= 65536
            found["peaks"] = (self.info.units, np.uint16 if small else np.int32)
        return found

    def to_dict(self) -> dict[str, Any]:
        """What decides the values, as JSON-able data."""
        return {
            "layer": self.info.name,
            "units": self.info.units,
            "shape": list(self.info.shape),
            "layout": self.info.layout,
            "pool": self.mode,
            "prefix_tokens": self.info.prefix_tokens,
        }


def choose_layers(
    target: Target, patterns: Sequence[str], pool: str = "auto", layout: str = "auto"
) -> list[LayerPlan]:
    """The layers that names and patterns stand for, in network order, each with its pooling.

    Layers that a pattern matches but that cannot be pooled are left out; named ones are refused.

    Raises:
        UsageError: an unknown layer, one without units, or a pooling that does not fit.
    """
    infos = describe_layers(target, None if layout == "auto" else layout)
    if patterns:
        named = {part.strip() for pattern in patterns for part in pattern.split(",")}
        named |= set(patterns)  # a name may hold a comma
        # A module with several names is described under the first.
        modules = target.model.named_modules(remove_duplicate=False)
        first = {id(module): name for name, module in target.model.named_modules()}
        names = {name: first[id(module)] for name, module in modules}
        wanted = {names[name] for name in resolve_layers(target, patterns)}
        named = {names.get(name, name) for name in named}
        chosen = [info for info in infos if info.name in wanted]
        for info in chosen:
            if info.layout == "other" and info.name in named:
                raise UsageError(
                    f"Expected `layers` to name layers with units, got {info.name!r}, which "
                    f"{info.note or f'puts out the shape {info.shape}'}. "
                    f"See `neuronym layers {target.name}`."
                )
        chosen = [info for info in chosen if info.layout != "other"]
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
    last: dict[tuple, LayerInfo] = {}
    for info in whole if len({i.grid for i in whole}) > 1 else stages:
        before = last.pop(info.grid, None)  # type: ignore[arg-type]
        inner = before is not None and info.name.startswith(f"{before.name}.")
        last[info.grid] = before if inner and before is not None else info  # type: ignore[index]
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
