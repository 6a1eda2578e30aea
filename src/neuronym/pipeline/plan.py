"""A run with every name resolved: whatever is wrong is said before anything expensive."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.devices import resolve_device, resolve_dtype
from neuronym._core.errors import CorruptImageError, UsageError
from neuronym._core.registry import opened, parse
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.analysis.trust.own import FEWEST
from neuronym.atlas import schema
from neuronym.extraction.axes import MIXED, RANDOM
from neuronym.extraction.passes import (
    LayerPlan,
    choose_layers,
    class_layer,
)
from neuronym.extraction.recording import describe_layers
from neuronym.inputs.concepts.base import ConceptSet, open_concepts
from neuronym.inputs.encoders.base import Encoder, open_encoder
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Probe, open_probe
from neuronym.inputs.probes.values import Values
from neuronym.inputs.settings import DissectSettings
from neuronym.inputs.targets.base import Target, open_target
from neuronym.inputs.targets.guess import guess
from neuronym.pipeline.engines.base import ENGINES, Engine
from neuronym.pipeline.parts import Part
from neuronym.similarity.base import Similarity, name_of, open_similarity

_UNSTEADY = (
    (
        RANDOM,
        "Something in the network is random in evaluation mode, too: F.dropout without "
        "training=self.training, say, or the masks of a masked autoencoder.",
        "Their labels are a matter of chance in part.",
    ),
    (
        MIXED,
        "Something in the network looks across the batch: batch normalisation without running "
        "statistics, say, or attention that takes images for tokens (batch_first).",
        "Their labels depend on which images stand together in a batch.",
    ),
)


@dataclass(frozen=True, eq=False)
class Plan:
    """A run with every name resolved, ready to go.

    Attributes:
        classes: the output layer, where it is not among `layers`: it is recorded to calibrate
            confidence on, and for nothing else.
    """

    settings: DissectSettings
    target: Target
    layers: list[LayerPlan]
    probe: Probe
    concepts: ConceptSet
    encoder: Encoder
    similarity: Similarity
    device: Any
    dtype: str
    engine: Engine
    classes: LayerPlan | None = None
    part: Part | None = None

    @property
    def recorded(self) -> list[LayerPlan]:
        """The chosen layers, and the output layer where confidence is calibrated on it alone."""
        return [*self.layers, *filter(None, [self.classes])]

    @property
    def maps(self) -> int:
        """Of how many exemplars of each unit activation maps are kept."""
        return min(self.settings.maps, self.settings.exemplars)

    @property
    def out(self) -> Path:
        """Where the atlas goes."""
        if self.settings.out:
            return Path(self.settings.out)
        try:
            name = parse(self.target.name)
            text = name.detail or name.kind
        except UsageError:  # a module's own name
            text = self.target.name
        tail = "".join(c if c.isalnum() or c in "-_." else "-" for c in text)
        part = f"-part-{self.part.number}-of-{self.part.of}" if self.part else ""
        return Path(f"{tail.strip('-.')}-atlas{part}")

    @property
    def preprocess(self) -> Preprocess:
        """What the target sees of an image."""
        return self.target.preprocess

    @property
    def sources(self) -> dict[str, Any]:
        """What labelling may read, beside the atlas itself."""
        return {"target": self.target, "probe": self.probe, "encoder": self.encoder}

    @property
    def units(self) -> int:
        """Units of all chosen layers."""
        return sum(plan.info.width for plan in self.layers)

    @functools.cached_property
    def note(self) -> str | None:
        """What is assumed of the target's input, and a guess at what it is; None: nothing is."""
        assumed = self.target.origin.assumed
        if not assumed:
            return None
        parts = f"{', '.join(assumed[:-1])} and {assumed[-1]}" if assumed[1:] else assumed[0]
        are, them = ("are", "them") if assumed[1:] else ("is", "it")
        offer = guess(self.target)
        return (
            f"The {parts} of what {self.target.name} sees {are} assumed, "
            f"{self.target.origin.basis}: nothing states {them}. If it was trained on other input, "
            "its labels are wrong. "
            + (offer.words if offer else "Then give --preprocess size=…,mean=…,std=….")
        )

    @property
    def unsteady(self) -> list[str]:
        """What the user has to know of layers that give the same image different outputs."""
        told = []
        for what, why, result in _UNSTEADY:
            layers = [plan.info.name for plan in self.layers if what in plan.info.note]
            if layers:
                more = f" and {len(layers) - 3:,} more" if len(layers) > 3 else ""
                named = f"{', '.join(layers[:3])}{more}"
                told.append(f"Of {self.target.name}, {named}: each {what}. {why} {result}")
        return told

    def identity(self) -> dict[str, Any]:
        """What must agree for a run to go on where another stopped."""
        s = self.settings
        return {
            "target": self.target.fingerprint,
            "layers": [plan.to_dict() for plan in self.layers],
            "preprocess": self.target.preprocess.to_dict(),
            "probe": [self.probe.name, self._whole, *self._values()],
            "concepts": self.concepts.fingerprint,
            "encoder": self.encoder.fingerprint,
            "similarity": name_of(self.similarity),
            "dtype": self.dtype,
            "batch_size": s.batch_size,
            "labels": s.labels,
            "exemplars": s.exemplars,
            "keep": s.keep,
            **({"part": [self.part.number, self.part.of]} if self.part else {}),
        }

    @property
    def _whole(self) -> int:
        """Images of the probe, of which a part may be all that is recorded."""
        return len(self.probe) if self.part is None else self.part.whole

    def _order(self) -> list[int]:
        """For each layer the place of its module in the network."""
        places = {name: place for place, (name, _) in enumerate(self.target.model.named_modules())}
        return [places.get(layer.info.name.partition("#")[0], -1) for layer in self.layers]

    def _values(self) -> list[dict[str, Any]]:
        """What becomes of values that are not 8 bit, if there are any."""
        return [self.probe.values.to_data()] if self.probe.values.matter else []

    def manifest(self) -> schema.Manifest:
        """The head of atlas.json."""
        from neuronym import __version__

        target, concepts, encoder = self.target, self.concepts, self.encoder
        return schema.Manifest(
            neuronym=__version__,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            config=self.settings.to_dict(),
            identity=self.identity(),
            target=schema.TargetFacts(
                name=target.name,
                fingerprint=target.fingerprint,
                pretrained=target.pretrained,
                preprocess=target.preprocess.to_dict(),
                class_names=list(target.class_names) if target.class_names else None,
                layers=[cast(schema.LayerFacts, plan.to_dict()) for plan in self.layers],
                preprocess_origin=target.origin.words,
                preprocess_assumed=list(target.origin.assumed),
                note=self.note,
                order=self._order(),
            ),
            probe=schema.ProbeFacts(
                name=self.probe.name, given=len(self.probe), **self.probe.facts()
            ),
            concepts=schema.ConceptFacts(
                name=concepts.name,
                count=len(concepts),
                templates=list(concepts.templates),
                fingerprint=concepts.fingerprint,
                cleaning=asdict(concepts.cleaning),
            ),
            encoder=schema.EncoderFacts(
                name=encoder.name,
                fingerprint=encoder.fingerprint,
                dim=encoder.dim,
                logit_scale=encoder.logit_scale,
                preprocess=encoder.preprocess.to_dict(),
                note=encoder.note,
            ),
            device=self.device.type,
            dtype=self.dtype,
            part=None if self.part is None else self.part.facts(self.recorded),
            stages={},
        )


def plan(
    settings: DissectSettings,
    *,
    target: Target | Any = None,
    probe: Probe | Any = None,
    concepts: Any = None,
    encoder: Encoder | None = None,
    similarity: Similarity | None = None,
) -> Plan:
    """Resolve every name; whatever is wrong is said before anything expensive starts.

    Objects take the place of the names in `settings`.
    """
    prepare_torchvision()
    device, dtype = resolve_device(settings.device), resolve_dtype(settings.dtype)
    # The cheap names first: a typo in the last argument should not cost a model download.
    engine = opened(ENGINES, Engine, settings.engine)
    similar = open_similarity(similarity if similarity is not None else settings.similarity)
    values = Values.asked(settings.value_range, settings.bands)
    images = open_probe(
        probe if probe is not None else settings.probe,
        limit=settings.limit,
        seed=settings.seed,
        values=values,
    )
    words = open_concepts(
        concepts if concepts is not None else settings.concepts,
        probe=images,
        templates=tuple(settings.template),
        exclude=settings.exclude,
    )
    similar.with_defaults(len(images), 1.0)  # refuses a top_k over the number of images
    network = open_target(
        target if target is not None else settings.target,
        weights=settings.weights,
        preprocess=settings.preprocess,
    )
    if network.preprocess.channels == "bands":
        images = _with_bands(images, values, network.preprocess)
    _check_fixed(images)
    known = describe_layers(network, settings.layout, calls=bool(settings.layers))
    layers = choose_layers(network, settings.layers, settings.pool, settings.layout, known=known)
    calibrated = settings.trust and len(network.class_names or ()) >= FEWEST
    classes = class_layer(network, known, layers, settings.pool) if calibrated else None
    model = open_encoder(encoder if encoder is not None else settings.encoder)
    part = None
    if settings.number_of_part:
        part = Part.of_probe(len(images), settings, similar, sum(p.info.width for p in layers))
        images = part.cut(images)
    how = (device, dtype, engine, classes, part)
    return Plan(settings, network, layers, images, words, model, similar, *how)


def _check_fixed(probe: Probe) -> None:
    """Refuse a data set that gives another image each time, before anything else runs.

    What its neurons respond to would be other images than those that are shown for them.
    """
    if " given in Python" not in probe.name:
        return
    places = sorted({round(i * (len(probe) - 1) / 7) for i in range(8)})
    for place, one, other in zip(places, *(_hashes(probe, places) for _ in range(2)), strict=True):
        if one != other:
            raise misuse(
                "probe",
                "hold images that stay the same",
                Verbatim(
                    f"{probe.name}, whose image {probe.image_id(place)} is another one each time "
                    "that it is read"
                ),
                "Give the data set without random augmentation: without its transform, say.",
            )


def _hashes(probe: Probe, places: Sequence[int]) -> list[str | None]:
    """Of the images at some places; None: not readable."""
    found: list[str | None] = []
    for place in places:
        try:
            found.append(probe.read(place).content_hash)
        except CorruptImageError:
            found.append(None)
    return found


def _with_bands(probe: Probe, values: Values, preprocess: Preprocess) -> Probe:
    """The probe of a target that sees all bands; refused if none of its first images has them."""
    probe, refused = probe.shown(replace(values, seen=preprocess.count)), None
    for index in range(min(len(probe), 16)):
        try:
            probe.read(index).seen(preprocess)
            return probe
        except CorruptImageError as error:
            refused = refused or error.__cause__
    if isinstance(refused, UsageError):
        raise refused
    return probe
