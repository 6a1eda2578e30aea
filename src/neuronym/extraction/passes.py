"""The two networks of the pass: pooled activations of the target, embeddings of the encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch

from neuronym._core.errors import NeuronymError
from neuronym._core.progress import Progress, silent
from neuronym.extraction import folding
from neuronym.extraction.cache import Cache, Shelf
from neuronym.extraction.describe import LayerPlan
from neuronym.extraction.hooks import in_precision_of, record
from neuronym.extraction.pooling import pool
from neuronym.extraction.precision import arithmetic, at_once, on_device, precision
from neuronym.inputs.concepts.base import ConceptSet
from neuronym.inputs.encoders.base import Encoder, embed_concepts
from neuronym.inputs.targets.base import Target


class TargetPass:
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
        self.preprocess = target.preprocess
        self.device, self.dtype = device, dtype
        self._at_once = at_once(batch_size, device)
        with self._named():
            # Convolutions are about twice as fast with the channels last in memory.
            target.model.to(device, memory_format=torch.channels_last)
        self._folding = folding.find(self._recorded, self.preprocess.size, device, dtype)
        self.arithmetic = arithmetic(device, dtype, len(self._folding.places))
        common = {
            "target": target.name,
            "weights": target.fingerprint,
            "preprocess": target.preprocess.to_dict(),
            "device": device.type,
            "dtype": dtype,
            "batch_size": batch_size,
            "at_once": self._at_once,
            "arithmetic": self.arithmetic,
            "folded": self._folding.places,
        }
        self.shelves: Mapping[str, Shelf] = {
            plan.info.name: cache.shelf(
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
            cuts = range(self._at_once, len(pixels), self._at_once)
            found = [self._part(part, wanted) for part in np.split(pixels, cuts)]
        return {
            layer: {name: np.concatenate([f[layer][name] for f in found]) for name in arrays}
            for layer, arrays in found[0].items()
        }

    def _part(self, pixels: np.ndarray, wanted: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
        batch = self.preprocess.normalise(on_device(pixels, self.device))
        batch = in_precision_of(self.target.model, batch)
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
                small = plan.grid is not None and plan.grid[0] * plan.grid[1] <= 65536
                arrays["peaks"] = pooled.peak.cpu().numpy().astype(np.uint16 if small else np.int32)
            found[layer] = arrays
            got[layer] = (pooled.values.shape[1], pooled.grid, tuple(output.shape[1:]))

        with self._folding.applied(), self._full_vectors(wanted):
            with record(self.target.model, list(wanted), reduce=reduce), self._named():
                self.target.forward(self.target.model, batch)
            skipped = self._folding.skipped
        if skipped:  # it takes other ways for some images than for noise
            self._folding.stop()
            return self._part(pixels, wanted)
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
        model = self.target.model
        with record(model, list(self.plans)) as found:
            self.target.forward(model, in_precision_of(model, batch))
        return list(found.values())

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


#: The one output of an `EncoderPass`. No layer can have this name: none starts with a dot.
IMAGES = ".image embeddings"


class EncoderPass:
    """Feeds batches to an encoder; yields `values`, float32 unit vectors `[image, dim]`."""

    def __init__(
        self, encoder: Encoder, cache: Cache, *, device: torch.device, dtype: str, batch_size: int
    ) -> None:
        self.encoder, self.preprocess = encoder.to(device), encoder.preprocess
        self.device, self.dtype = device, dtype
        self._at_once = at_once(batch_size, device)
        self._folding = folding.find(self._embedded, self.preprocess.size, device, dtype)
        self.arithmetic = arithmetic(device, dtype, len(self._folding.places))
        about = {
            "encoder": encoder.name,
            "weights": encoder.fingerprint,
            "preprocess": encoder.preprocess.to_dict(),
            "device": device.type,
            "dtype": dtype,
            "batch_size": batch_size,
            "at_once": self._at_once,
            "arithmetic": self.arithmetic,
        }
        self.shelves: Mapping[str, Shelf] = {IMAGES: cache.shelf("embeddings", about)}

    def running(self) -> AbstractContextManager[None]:
        """What batches have in common: the precision, and weights converted to it."""
        return precision(self.device, self.dtype)

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> dict[str, dict[str, np.ndarray]]:
        """uint8 `[image, height, width, 3]` → embeddings."""
        with self.running():
            cuts = range(self._at_once, len(pixels), self._at_once)
            found = [self._part(part) for part in np.split(pixels, cuts)]
        return {IMAGES: {"values": np.concatenate(found)}}

    def _part(self, pixels: np.ndarray) -> np.ndarray:
        batch = self.preprocess.normalise(on_device(pixels, self.device))
        with self._folding.applied():
            vectors = self.encoder.encode_images(batch)
            skipped = self._folding.skipped
        if skipped:  # it takes other ways for some images than for noise
            self._folding.stop()
            return self._part(pixels)
        return vectors.float().cpu().numpy()

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
        keep: write new ones to the cache.
    """
    cpu = torch.device("cpu")  # on another device `precision` changes nothing in float32
    about = {
        "encoder": encoder.name,
        "weights": encoder.fingerprint,
        "concepts": concepts.name,
        "arithmetic": arithmetic(cpu, "float32", 0),
    }
    shelf = cache.shelf("texts", about)
    known = shelf.read(concepts.fingerprint)
    if known is None:
        with precision(cpu, "float32"):
            vectors = embed_concepts(encoder, concepts.words, concepts.templates, progress=progress)
        if keep:
            shelf.write(concepts.fingerprint, {"values": vectors}, {})
        return vectors
    return np.array(known[0]["values"])
