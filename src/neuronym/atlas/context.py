"""What labelling and analyses read: the arrays of an atlas, and what it was made from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from neuronym._core.checks import misuse
from neuronym._core.devices import resolve_device
from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.former import told
from neuronym._core.numerics.topk import Ranked, topk, why_silent
from neuronym._core.progress import Progress, silent
from neuronym._core.texts import places
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym._core.types import Rows
from neuronym.atlas.reader import Atlas
from neuronym.extraction.cache import Cache, CacheEntry
from neuronym.extraction.interventions import ChangedPass
from neuronym.extraction.passes import (
    IMAGES,
    EncoderPass,
    LayerPlan,
    TargetPass,
    choose_layers,
)
from neuronym.extraction.precision import precision
from neuronym.extraction.recording import run_target
from neuronym.extraction.run import Extraction, extract
from neuronym.extraction.texts import concept_embeddings
from neuronym.inputs.concepts.base import ConceptSet
from neuronym.inputs.encoders.base import Encoder, open_encoder
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Annotation, Mask, Probe, RawImage, open_probe
from neuronym.inputs.probes.values import Values
from neuronym.inputs.settings import DissectSettings
from neuronym.inputs.targets.base import Target, open_target

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


_OBJECT = "python object: "
#: What `LabelContext` itself had in 0.1.0.
_FROM_SOURCES = {
    "probe",
    "places",
    "picture",
    "labels",
    "masks",
    "target",
    "plans",
    "grid",
    "check_maps",
    "entry",
    "target_pass",
    "encoder",
    "embed_words",
    "embed_images",
    "cache",
    "settings",
    "maps",
}


class Sources:
    """The probe, target and encoder of one atlas.

    Rows of images are numbered as in `atlas.images`.

    Args:
        atlas: images and units must be there; labels need not.
        target, probe, encoder: objects in place of the names that the atlas has.
        device, workers, cache: as in `dissect`.
        progress: display for long work.
    """

    def __init__(
        self,
        atlas: Atlas,
        *,
        target: Any = None,
        probe: Any = None,
        encoder: Encoder | None = None,
        device: str = "auto",
        workers: int = 0,
        cache: str | None = None,
        progress: Progress = silent,
    ) -> None:
        self.atlas, self.progress = atlas, progress
        self._given = {"target": target, "probe": probe, "encoder": encoder}
        self._device, self._cache_root = device, cache
        known = DissectSettings.__dataclass_fields__
        config = {k: v for k, v in atlas.manifest.config.items() if k in known}
        if atlas.imported:  # no settings made it; those that remain are never used unasked
            config = {"target": atlas.manifest.target.name}
        self.settings = DissectSettings(**config | {"workers": workers})

    @functools.cached_property
    def images(self) -> pd.DataFrame:
        """image_id, source, width, height, content_hash, annotations, copies."""
        return self.atlas.images

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.images)

    @functools.cached_property
    def cache(self) -> Cache:
        """Of expensive arrays."""
        return Cache(self._cache_root or self.settings.cache)

    @functools.cached_property
    def device(self) -> torch.device:
        """Where networks run."""
        return resolve_device(self._device)

    @property
    def _how(self) -> dict[str, Any]:
        dtype = self.atlas.manifest.dtype
        return {"device": self.device, "dtype": dtype, "batch_size": self.settings.batch_size}

    @functools.cached_property
    def probe(self) -> Probe:
        """The images themselves, with labels and masks.

        Raises:
            UsageError, NeuronymError: they are not where they were, or others.
        """
        s, values = self.settings, self.atlas.manifest.probe.values
        probe = open_probe(
            self._source("probe"),
            limit=s.limit,
            seed=s.seed,
            values=Values.from_data(values) if values else Values.asked(s.value_range, s.bands),
        )
        lost = np.flatnonzero(places(self.images["image_id"], probe.ids) < 0)
        if len(lost):
            raise UsageError(
                f"Expected the probe of {self.atlas.folder} to hold its {self.count:,} images, got "
                f"{probe.name} without {len(lost):,} of them, such as "
                f"{self.images['image_id'].iloc[lost[0]]!r}. "
                "The images were moved or changed since the atlas was made."
            )
        return probe

    @functools.cached_property
    def places(self) -> np.ndarray:
        """int64 `[image]`: where in the probe each row of images lies."""
        return places(self.images["image_id"], self.probe.ids)

    def picture(self, row: int) -> Image:
        """One image in RGB, upright.

        Raises:
            NeuronymError: it is not the one that the atlas was made with.
        """
        return self._read(row, RawImage.decode)

    def seen(self, row: int) -> np.ndarray:
        """What the target sees of one image, `[height, width, channel]`, before normalisation."""
        return self._read(row, lambda raw: raw.seen(self.target.preprocess)[0])

    def _read(self, row: int, decode: Callable[[RawImage], Any]) -> Any:
        try:
            raw = self.probe.read(int(self.places[row]))
            same = raw.content_hash == self.images["content_hash"].iloc[row]
            image = decode(raw) if same else None
        except CorruptImageError as error:
            raise NeuronymError(f"{self.images['image_id'].iloc[row]}: {error}") from error
        if image is None:
            raise NeuronymError(
                f"{self.images['image_id'].iloc[row]} has changed since {self.atlas.folder} was "
                "made. Make the atlas anew with --overwrite."
            )
        return image

    def labels(self, row: int) -> Sequence[Annotation]:
        """The image-wide labels of one image."""
        return self.probe.labels(int(self.places[row]))

    def masks(self, row: int) -> Sequence[Mask]:
        """The pixel masks of one image, each of its upright height and width."""
        return self.probe.masks(int(self.places[row]))

    @functools.cached_property
    def target(self) -> Target:
        """The network under study.

        Raises:
            UsageError: it is another one than the atlas was made with.
        """
        prepare_torchvision()
        kept = self.atlas.manifest.target.preprocess
        target = open_target(
            self._source("target"),
            weights=self.settings.weights,
            preprocess=None if kept is None else Preprocess.from_dict(kept),
        )
        if target.fingerprint != self.atlas.manifest.target.fingerprint:
            raise UsageError(
                f"Expected the target to be the one {self.atlas.folder} was made with, got "
                f"{target.name} with other weights or code. Make the atlas anew with --overwrite."
            )
        return target

    @functools.cached_property
    def plans(self) -> list[LayerPlan]:
        """How the layers of the atlas are recorded."""
        s = self.settings
        return choose_layers(self.target, list(self.atlas.recorded), s.pool, s.layout)

    def grid(self, layer: str) -> tuple[int, int]:
        """Height and width of a layer's activation maps.

        Raises:
            NeuronymError: the layer has no positions.
        """
        grid = next(plan.grid for plan in self.plans if plan.info.name == layer)
        if grid is None:
            raise self._no_maps(layer)
        return grid

    def check_maps(self, layers: Sequence[str]) -> None:
        """Refuse layers of which the atlas itself says that they have no maps; see `grid`."""
        for layer in layers:
            if self.atlas.layers[layer]["layout"] == "vector":
                raise self._no_maps(layer)

    def _no_maps(self, layer: str) -> NeuronymError:
        facts = self.atlas.layers
        others = [name for name in facts if facts[name]["layout"] != "vector"]
        remedy = f"Leave it out with --layers {','.join(others)}." if others else ""
        return NeuronymError(
            f"The layer {layer} has no positions, so it has no maps. {remedy}".rstrip()
        )

    def entry(self, layer: str) -> CacheEntry:
        """Where arrays that follow from this layer and the images are cached."""
        return self.target_pass.entries[layer]

    @functools.cached_property
    def target_pass(self) -> TargetPass:
        """The target's side of the pass that made the atlas. Setting it up takes forwards."""
        return TargetPass(self.target, self.plans, self.cache, **self._how)

    def changed_pass(self, layers: Sequence[str]) -> ChangedPass:
        """The target with units of these layers changed as it runs, or read, in float32."""
        plans = [plan for plan in self.plans if plan.info.name in set(layers)]
        return ChangedPass(self.target, plans, self.cache, **self._how | {"dtype": "float32"})

    def encoder(self, name: str | None = None) -> Encoder:
        """An encoder by name; None: the one the atlas was made with."""
        prepare_torchvision()
        if name is not None:
            return open_encoder(name, device=str(self.device))
        encoder = open_encoder(self._source("encoder"), device=str(self.device))
        if encoder.fingerprint != self.atlas.manifest.encoder.fingerprint:
            raise UsageError(
                f"Expected the encoder to be the one {self.atlas.folder} was made with, got "
                f"{encoder.name} with other weights. Make the atlas anew with --overwrite."
            )
        return encoder

    def embed_words(
        self,
        words: Sequence[str],
        templates: Sequence[str] | None = None,
        encoder: Encoder | None = None,
        *,
        keep: bool = True,
    ) -> np.ndarray:
        """Unit vectors float32 `[word, dim]`, cached. Templates: None: those of the atlas.

        An imported atlas has no encoder: the embedded one of sentences takes its place.
        """
        used = tuple(self.atlas.manifest.concepts.templates if templates is None else templates)
        chosen = ConceptSet("words", tuple(words), used)
        if encoder is None:
            encoder = self.encoder("conse" if self.atlas.imported else None)
        return concept_embeddings(encoder, chosen, self.cache, self.progress, keep=keep)

    def activations(self) -> dict[str, Rows]:
        """By layer the activations `[image, unit]`, through the pass that made the atlas."""
        done = self._extract(self.target_pass)
        return {plan.info.name: done.rows(plan.info.name) for plan in self.plans}

    def encoder_pass(self, encoder: Encoder) -> EncoderPass:
        """An encoder as it embeds the images of the atlas: on its device, in its precision."""
        return EncoderPass(encoder, self.cache, **self._how)

    def embed_images(self, encoder: Encoder) -> Rows:
        """All images through another encoder, float32 unit vectors `[image, dim]`, cached."""
        done = self._extract(self.encoder_pass(encoder))
        return done.rows(IMAGES)

    def _extract(self, feed: TargetPass | EncoderPass) -> Extraction:
        s = self.settings
        done = extract(
            self.probe,
            [feed],
            self.cache,
            batch_size=s.batch_size,
            workers=s.threads,
            progress=self.progress,
        )
        import pandas as pd

        known = pd.concat([self.images, self.atlas.copies])[["image_id", "content_hash"]]
        ids, hashes = done.images.column("image_id"), done.images.column("content_hash")
        at = places(ids, known["image_id"])
        same = len(at) == len(known) and bool((at >= 0).all())
        same = same and bool((known["content_hash"].to_numpy()[at] == hashes.to_numpy()).all())
        rows = np.flatnonzero((at >= 0) & (at < self.count))
        if not same or not np.array_equal(at[rows], np.arange(self.count)):
            raise NeuronymError(
                f"The images of {self.probe.name} have changed since {self.atlas.folder} was made. "
                "Make the atlas anew with --overwrite."
            )
        return done.only(rows)

    def maps(
        self,
        layers: Sequence[str],
        rows: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> Iterator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
        """The target's activation maps, batch by batch, in the order of `rows`.

        Args:
            layers: names of layers that have positions.
            rows: of images; None: all.
            batch_size: None: that of the atlas.

        Yields:
            Rows `[n]`, and per layer the maps, float32 `[n, unit, y, x]`, on the CPU.

        Raises:
            NeuronymError: a layer has no positions.
        """
        for layer in layers:
            self.grid(layer)
        wanted = np.arange(self.count) if rows is None else np.asarray(rows, np.int64)
        size = batch_size or self.settings.batch_size
        with self.progress("activation maps", len(wanted)) as tick:
            for low in range(0, len(wanted), size):
                some = wanted[low : low + size]
                pixels = np.stack([self.seen(row) for row in some])
                maps = self.maps_of(pixels, layers)
                yield some, maps
                tick.advance(len(some))

    def maps_of(self, pixels: np.ndarray, layers: Sequence[str]) -> dict[str, torch.Tensor]:
        """By layer the maps of some images, float32 `[n, unit, y, x]`, on the CPU.

        Args:
            pixels: `[n, height, width, channel]`, as the target's preprocessing makes them.
            layers: names of layers that have positions.
        """
        plans = {p.info.name: p for p in self.plans}
        self.target.model.to(self.device)
        batch = self.target.preprocess.normalise(torch.from_numpy(pixels).to(self.device))
        with torch.no_grad(), precision(self.device, str(self.atlas.manifest.dtype)):
            try:
                found = run_target(self.target, batch, layers)
            except RuntimeError:  # some networks want their images in the usual order
                found = run_target(self.target, batch.contiguous(), layers)
        return {layer: _map(found[layer], plans[layer]).cpu() for layer in layers}

    def _source(self, what: str) -> Any:
        given = self._given[what]
        if given is not None:
            return given
        if self.atlas.imported:
            raise self.atlas.lacks(what)
        name = getattr(self.settings, what)
        if name.startswith(_OBJECT):
            raise UsageError(
                f"The {what} of {self.atlas.folder} was a Python object "
                f"({name.removeprefix(_OBJECT)}): label it from Python, with {what}=…"
            )
        return name


def _map(output: torch.Tensor, plan: LayerPlan) -> torch.Tensor:
    """A layer's output as float32 `[image, unit, y, x]`."""
    output = plan.info.axes.arrange(output.float())
    if plan.info.layout == "NHWC":
        return output.permute(0, 3, 1, 2)
    if plan.info.layout == "tokens":
        patches = output[:, plan.info.prefix_tokens or 0 :].transpose(1, 2)
        return patches.unflatten(2, plan.grid)
    return output


class LabelContext:
    """What labelling and analyses read of one atlas; it has the sources of the atlas.

    Attributes:
        atlas: images, units and exemplars are there; labels need not be.
        sources: the probe, the target and the encoder, opened when they are asked for.
        progress: display for long work.

    Args:
        activations: by layer name, in place of those the atlas keeps.
        **sources: see `Sources`: target, probe, encoder, device, workers, cache, progress.
    """

    def __init__(
        self, atlas: Atlas, *, activations: Mapping[str, Rows] | None = None, **sources: Any
    ) -> None:
        self.atlas, self.sources = atlas, Sources(atlas, **sources)
        self.progress = self.sources.progress
        self._activations = dict(activations or {})

    def __getattr__(self, name: str) -> Any:
        """What a `Material` of 0.1.0 had of its sources itself, until 0.3."""
        if name not in _FROM_SOURCES:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        told("LabelContext.", name, f"sources.{name}")
        return getattr(self.sources, name)

    @functools.cached_property
    def images(self) -> pd.DataFrame:
        """image_id, source, width, height, content_hash, annotations, copies."""
        return self.atlas.images

    @property
    def count(self) -> int:
        """Number of images that count: of a group of copies one."""
        return len(self.images)

    @property
    def device(self) -> torch.device:
        """Where networks and similarities run."""
        return self.sources.device

    @functools.cached_property
    def tie(self) -> np.ndarray:
        """int64 `[image]`: of equal activations the image with the smaller one comes first."""
        return self.atlas.tie

    @functools.cached_property
    def by_content(self) -> np.ndarray:
        """int64 `[image]`: the rows in the order of content hashes.

        What is drawn at random is drawn from this, so that the order of the images changes nothing.
        """
        return np.argsort(self.tie)

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """The concepts that are ranked: of words that are one to the encoder the first."""
        return tuple(self.atlas.concepts["concept"].iloc[self.atlas.ranked_concepts])

    @functools.cached_property
    def row_of_word(self) -> dict[str, int]:
        """Concept → its place in `words`, or that of the word that it is one with."""
        row = {word: place for place, word in enumerate(self.words)}
        frame = self.atlas.concepts
        if len(row) < len(frame):
            same = frame[frame["same_as"].notna()]
            row |= {w: row[s] for w, s in zip(same["concept"], same["same_as"], strict=True)}
        return row

    @functools.cached_property
    def _embeddings(self) -> dict[str, np.ndarray]:
        return self.atlas.embeddings()

    @property
    def image_embeddings(self) -> np.ndarray:
        """Unit vectors of the atlas's encoder, float32 `[image, dim]`, memory-mapped."""
        return self._embeddings["images"]

    @functools.cached_property
    def text_embeddings(self) -> np.ndarray:
        """Unit vectors of `words`, float32 `[concept, dim]`."""
        found, rows = self._embeddings["concepts"], self.atlas.ranked_concepts
        return found if len(rows) == len(found) else found[rows]

    @property
    def logit_scale(self) -> float | None:
        """The encoder's scale of the softmax over concepts, if it has a fixed one."""
        return self.atlas.manifest.encoder.logit_scale

    def units(self, layer: str) -> int:
        """How many units a layer has."""
        return int(self.atlas.recorded[layer]["units"])

    def statistics(self, layer: str) -> pd.DataFrame:
        """The rows of units.parquet of a layer, in the order of its units."""
        frame = self.atlas.units
        return frame[frame["layer"] == layer].reset_index(drop=True)

    def reasons(self, layer: str) -> tuple[str | None, ...]:
        """Why units can get no label from any method: dead, or not finite; else None."""
        if self.atlas.imported:  # no activations were seen
            return (None,) * self.units(layer)
        rows = self.statistics(layer).itertuples()
        return tuple(why_silent(row.nonfinite, row.dead) for row in rows)

    @functools.cached_property
    def annotations(self) -> list[list[tuple[str, str, float]]]:
        """Per image: category, name, and share of the image (1 for image-wide labels).

        Raises:
            NeuronymError: no image of the probe is annotated.
        """
        found = [
            [(a["category"], a["name"], float(a["area"])) for a in entries]
            for entries in self.images["annotations"]
        ]
        if not any(found):
            raise self._missing(
                "annotations",
                "Use a probe with image-wide labels or masks: synthetic, broden:PATH, or a folder "
                "with masks (docs/probes.md).",
            )
        return found

    def highest(self, layer: str, k: int) -> Ranked:
        """The k highest images above the unit's minimum, best first: values and rows `[unit, k]`.

        Empty places hold −∞ and −1. Read from the exemplars where they suffice.
        """
        kept = self.atlas.manifest.config.get("exemplars", 0)
        if k <= kept:
            return self._from_exemplars(layer, k)
        return self._from_activations(layer, k)

    def _from_activations(self, layer: str, k: int) -> Ranked:
        rows = self.activations(layer)
        best = topk(rows, min(k, self.count), self.tie, self.progress)
        low = self.statistics(layer)["min"].to_numpy()[:, None]
        out = ~(np.isfinite(best.values) & (best.values > low))
        return Ranked(np.where(out, -np.inf, best.values), np.where(out, -1, best.indices))

    def _from_exemplars(self, layer: str, k: int) -> Ranked:
        frame = self.atlas.exemplars(layer)
        frame = frame[frame["rank"] <= k]
        shape = (self.units(layer), min(k, self.count))
        values, rows = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
        place = (frame["unit"].to_numpy(), frame["rank"].to_numpy() - 1)
        values[place] = frame["activation"].to_numpy()
        rows[place] = frame["image_id"].map(self.row_of).to_numpy()
        return Ranked(values, rows)

    @functools.cached_property
    def row_of(self) -> dict[str, int]:
        """image_id → row."""
        return {image_id: row for row, image_id in enumerate(self.images["image_id"])}

    def activations(self, layer: str) -> Rows:
        """float32 `[image, unit]`: those kept in the atlas, else from the cache or another pass."""
        if layer not in self._activations:
            if self.atlas.manifest.kept == "all" or self.atlas.imported:
                self._activations[layer] = self.atlas.activations(layer)
            else:
                # What is in the cache is not run again.
                self._activations |= self.sources.activations()
        return self._activations[layer]

    def _missing(self, what: str, remedy: str) -> NeuronymError:
        return NeuronymError(f"{self.atlas.folder} has no {what}. {remedy}")

    def check_layers(self, layers: Sequence[str] | None) -> list[str]:
        """Layers by exact name, in the atlas's order; None: all."""
        if layers is None:
            return list(self.atlas.layers)
        for layer in layers:
            self.atlas.check_unit(layer)
        if not layers:
            raise misuse("layers", "at least one layer", list(layers))
        return [layer for layer in self.atlas.layers if layer in set(layers)]
