"""What an atlas consists of: the names and columns of its tables, and `atlas.json`."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import quote

from neuronym._core import storage
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.terminal import counted
from neuronym.atlas.facts import RENAMED, Facts
from neuronym.inputs.settings import first_images, of_first_images

if TYPE_CHECKING:
    import pyarrow as pa


#: Version of the directory layout and of the tables' columns.
VERSION = 2
#: The manifest's file.
MANIFEST = "atlas.json"
#: What each analysis contributes to the table of labels.
JOINED = {
    "significance": ["p", "q", "significant", "reason"],
    "bootstrap": ["stability"],
    "confidence": ["confidence"],
    "faithfulness": ["effect", "held_out_q", "agreement"],
}
#: Those of its columns that are numbers about the unit, not about one of its labels.
_NO_NUMBERS = ("significant", "reason")
TRUST = [name for names in JOINED.values() for name in names if name not in _NO_NUMBERS]


@functools.cache
def tables() -> dict[str, pa.Schema]:
    """Arrow schema of every table, by name."""
    import pyarrow as pa

    annotation = pa.struct(
        [("category", pa.string()), ("name", pa.string()), ("area", pa.float32())]
    )
    unit = [("layer", pa.string()), ("unit", pa.int32())]
    image = [
        ("image_id", pa.string()),
        ("source", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("content_hash", pa.string()),
        ("annotations", pa.list_(annotation)),
    ]
    return {
        "images": pa.schema([*image, ("copies", pa.int32())]),
        "copies": pa.schema([*image, ("of", pa.string()), ("equal", pa.bool_())]),
        "units": pa.schema(
            [
                *unit,
                ("min", pa.float32()),
                ("mean", pa.float32()),
                ("max", pa.float32()),
                ("std", pa.float32()),
                ("positive", pa.float32()),
                ("nonfinite", pa.int64()),
                ("dead", pa.bool_()),
            ]
        ),
        "concepts": pa.schema(
            [
                ("concept", pa.string()),
                ("row", pa.int32()),
                ("same_as", pa.string()),
                ("cut", pa.bool_()),
                ("unknown", pa.bool_()),
            ]
        ),
        "families": pa.schema([("concept", pa.string()), ("family", pa.string())]),
        "exemplars": pa.schema(
            [
                *unit,
                ("rank", pa.int32()),
                ("image_id", pa.string()),
                ("activation", pa.float32()),
                ("y", pa.float32()),
                ("x", pa.float32()),
            ]
        ),
        "labels": pa.schema(
            [
                *unit,
                ("rank", pa.int32()),
                ("concept", pa.string()),
                ("score", pa.float32()),
                ("abstained", pa.bool_()),
                ("reason", pa.string()),
            ]
        ),
        "links": pa.schema(
            [
                ("from_layer", pa.string()),
                ("from_unit", pa.int32()),
                ("to_layer", pa.string()),
                ("to_unit", pa.int32()),
                ("rank", pa.int32()),
                ("strength", pa.float32()),
                ("correlation", pa.float32()),
                ("correlation_q", pa.float32()),
                ("weight", pa.float32()),
                ("gain", pa.float32()),
                ("checked", pa.bool_()),
                ("effect", pa.float32()),
                ("effect_low", pa.float32()),
                ("effect_high", pa.float32()),
                ("effect_p", pa.float32()),
                ("effect_q", pa.float32()),
                ("slope", pa.float32()),
                ("confirmed", pa.bool_()),
            ]
        ),
    }


def file_name(layer: str) -> str:
    """A layer's name as part of a file name."""
    return quote(layer, safe="-_.") or "%00"


def activations_file(layer: str) -> str:
    """Where an atlas keeps the activations of a layer, relative to its folder."""
    return f"arrays/activations-{file_name(layer)}.safetensors"


def maps_file(layer: str) -> str:
    """Where an atlas keeps the activation maps of a layer, relative to its folder."""
    return f"maps/{file_name(layer)}.safetensors"


def part_file(layer: str | None = None) -> str:
    """Where a part of a probe keeps what merging needs of its images, or of a layer."""
    return f"arrays/part{'' if layer is None else f'-{file_name(layer)}'}.safetensors"


def labels_file(method: str) -> str:
    """Where an atlas keeps the labels of a method, relative to its folder."""
    return f"labels/{file_name(method)}.parquet"


def method_file(method: str) -> str:
    """Where an atlas keeps the arrays with which a method scores new words."""
    return f"arrays/{file_name(method)}.safetensors"


def analysis_id(analysis: str, method: str) -> str:
    """What an analysis of a method's labels is called in the manifest: `significance of …`."""
    return f"{analysis} of {method}"


def trust_file(analysis: str, method: str) -> str:
    """Where an atlas keeps what an analysis found about a method's labels."""
    return f"trust/{file_name(analysis)}.{file_name(method)}.parquet"


def effect_key(layer: str, how: str) -> str:
    """What effects of a layer, measured in some way, are called in the manifest."""
    return f"{layer} by {how}"


def effect_files(layer: str, how: str) -> tuple[str, str]:
    """Where an atlas keeps what units do to single outputs, and to the output as a whole."""
    name = f"effect/{file_name(layer)}.{file_name(how)}"
    return f"{name}.parquet", f"{name}.units.parquet"


def links_id(source: str, target: str) -> str:
    """What the links between two layers are called in the manifest: `layer3 to layer4`."""
    return f"{source} to {target}"


def links_file(source: str, target: str) -> str:
    """Where an atlas keeps the links from one layer's units to another's."""
    return f"links/{file_name(source)}+{file_name(target)}.parquet"


def thumb_file(content_hash: str) -> str:
    """Where an atlas keeps the small copy of an image, relative to its folder."""
    return f"thumbs/{content_hash}.jpg"


class LayerFacts(TypedDict):
    """One layer: its name, number of units, output shape, layout and pooling (null: not known)."""

    layer: str
    units: int
    shape: list[int] | None
    layout: str | None
    pool: str | None
    prefix_tokens: int | None


@dataclass(kw_only=True)
class TargetFacts(Facts):
    """The network under study; an imported atlas knows its name and layers only.

    `preprocess_origin` says in words who states the preprocessing, `preprocess_assumed` what of it
    is assumed (None: not recorded, before 0.2), `note` what that means for the labels.
    `calibration_layer` is the output layer where it is not among `layers` and was recorded to
    calibrate confidence on: no table or list has it. `order`
    has for each layer the place of its module in the network, by which merging orders layers.
    """

    name: str
    fingerprint: str | None
    pretrained: bool
    preprocess: dict[str, Any] | None
    class_names: list[str] | None
    layers: list[LayerFacts]
    preprocess_origin: str | None = None
    preprocess_assumed: list[str] | None = None
    note: str | None = None
    calibration_layer: dict[str, Any] | None = None
    order: list[int] | None = None


@dataclass(kw_only=True)
class ProbeFacts(Facts):
    """The images: how many were given, which were not readable, and how they were chosen.

    `sample`: of limits, `values`: what became of those that are not 8 bit, `left_out`: files.
    `duplicates`: groups of images that are one picture: `counted` "once" or "all"; how many
    `groups` there are, how many `images` they hold, and how many of these are `equal` to the one
    that stands for their group; from which `cosine` and `likeness` on images are nearly equal.
    """

    name: str
    given: int | None = None
    images: int | None = None
    skipped: list[list[str]] = field(default_factory=list)
    unannotated: list[list[str]] = field(default_factory=list)
    fingerprint: str | None = None
    sample: list[dict[str, Any]] = field(default_factory=list)
    values: dict[str, Any] | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    duplicates: dict[str, Any] | None = None

    def about_copies(self) -> str | None:
        """What whoever reads the atlas should know of equal and nearly equal images."""
        if not self.duplicates or not self.duplicates["groups"]:
            return None
        groups, images = self.duplicates["groups"], self.duplicates["images"]
        once, rows = self.duplicates["counted"] == "once", self.images or 0
        readable = rows + images - groups if once else rows
        what = (
            f"{images:,} of the {readable:,} images are copies or near-copies of one another, in "
            f"{counted(groups, 'group')}"
        )
        if once:
            return (
                f"{what}. Each group counts as one image, so {rows:,} count; copies.parquet lists "
                "those left out, and --duplicates all counts every image."
            )
        return f"{what}, and each counts as evidence; --duplicates once counts a group as one."


@dataclass(kw_only=True)
class ConceptFacts(Facts):
    """The words, and what cleaning did to them."""

    name: str
    count: int | None
    templates: list[str]
    fingerprint: str | None
    cleaning: dict[str, Any] | None


@dataclass(kw_only=True)
class EncoderFacts(Facts):
    """The image–text model; `logit_scale` None: measured."""

    name: str
    fingerprint: str | None
    dim: int | None
    logit_scale: float | None
    preprocess: dict[str, Any] | None
    note: str | None


@dataclass(kw_only=True)
class MethodFacts(Facts):
    """What is known of one method's labels; `more` has what is the method's own."""

    labeller: str
    method: str
    layers: list[str] | None = None
    abstained: int = 0
    abstained_by_layer: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    note: str | None = None


@dataclass(kw_only=True)
class AnalysisFacts(Facts):
    """What is known of one analysis of a method's labels; `more` has what is its own."""

    analysis: str
    method: str
    spec: str
    layers: list[str]
    seconds: float = 0.0
    caveat: str | None = None


@dataclass(kw_only=True)
class MapFacts(Facts):
    """What is known of one layer's kept maps.

    `exemplars`: of how many of a unit's highest images; `grid`: height and width as kept, `of`: of
    the layer's own maps; `sees`: height and width of what one cell sees (None: not measured), and
    `shift`: how far below and right of the cell that lies, all as fractions of the input.
    """

    exemplars: int
    grid: list[int]
    of: list[int]
    bytes: int
    sees: list[float] | None = None
    shift: list[float] = field(default_factory=lambda: [0.0, 0.0])


@dataclass(kw_only=True)
class EffectFacts(Facts):
    """What is known of the effects of a layer's units, measured in one way.

    `spec` says how; the network has so many `outputs`, which are `what` (logits, probabilities or
    values), and which were averaged over positions where they are `pooled`.
    """

    layer: str
    spec: str
    outputs: int
    what: str
    pooled: bool
    seconds: float = 0.0


@dataclass(kw_only=True)
class LinkFacts(Facts):
    """What is known of the links between two layers.

    `settings`: what they were made with; `pairs` of units that were compared, over `images`, with
    `permutations` of these; `listed`: rows of the table; `no_weights`: why there are none, or None.
    """

    from_layer: str
    to_layer: str
    settings: dict[str, Any]
    pairs: int
    images: int
    permutations: int
    significant: int
    listed: int
    no_weights: str | None = None
    checked: int = 0
    confirmed: int = 0
    seconds: float = 0.0


@dataclass(kw_only=True)
class EngineFacts(Facts):
    """What spread the pass over the images, where that was not one process."""

    name: str
    workers: int
    threads: int
    gpus: float | None = None
    replaced: int = 0
    again: int = 0

    def about_deaths(self) -> str | None:
        """What a user has to know of workers that died; None: none did.

        >>> EngineFacts(name="ray", workers=2, threads=1, replaced=1, again=2).about_deaths()
        '1 worker of the engine ray died and was replaced; 2 blocks of images were computed again.'
        """
        if not self.replaced:
            return None
        were = "was" if self.replaced == 1 else "were"
        again = f"{self.again} block{'s'[: self.again != 1]} of images"
        return (
            f"{self.replaced} worker{'s'[: self.replaced != 1]} of the engine {self.name} died and "
            f"{were} replaced; {again} {'was' if self.again == 1 else 'were'} computed again."
        )


@dataclass(kw_only=True)
class PartFacts(Facts):
    """Which part of a probe an atlas records, for merging.

    Images `first` … `first + images − 1` of the `whole` probe's. `depth`: how many of the highest
    images of a unit are listed; None: all activations are kept. `grids`: height and width of the
    maps of each layer, None where it has none; `shifts`: by how much its cells look elsewhere.
    """

    number: int
    of: int
    first: int
    images: int
    whole: int
    depth: int | None = None
    grids: dict[str, list[int] | None] = field(default_factory=dict)
    shifts: dict[str, list[float]] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """`part 3 of 8`."""
        return f"part {self.number} of {self.of}"

    def refused(self, folder: Path) -> UsageError:
        """The error where labels are asked for."""
        return UsageError(
            f"Expected an atlas with labels, got {folder}, which records {self.words} of a probe. "
            "Merge all parts first: neuronym merge PART-1 PART-2 … --out ATLAS."
        )


@dataclass(kw_only=True)
class Manifest(Facts):
    """`atlas.json`: what an atlas is made of, from what, and which stages are complete."""

    schema: int = VERSION
    neuronym: str = ""
    created: str | None = None
    imported: dict[str, Any] | None = None
    config: dict[str, Any]
    identity: dict[str, Any]
    target: TargetFacts
    probe: ProbeFacts
    concepts: ConceptFacts
    encoder: EncoderFacts
    device: str | None = None
    dtype: str | None = None
    arithmetic: dict[str, str] | None = None
    engine: EngineFacts | None = None
    units: int | None = None
    nonfinite_units: int | None = None
    kept: str | None = None
    maps: dict[str, MapFacts] = field(default_factory=dict)
    part: PartFacts | None = None
    merged: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    methods: dict[str, MethodFacts] = field(default_factory=dict)
    analyses: dict[str, AnalysisFacts] = field(default_factory=dict)
    links: dict[str, LinkFacts] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    effects: dict[str, EffectFacts] = field(default_factory=dict)
    stages: dict[str, dict[str, int]]
    complete: bool = False


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of an atlas, or None if there is none. Older schemas are upgraded.

    Raises:
        NeuronymError: the manifest is damaged, of a later version, or may not be read.
    """
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise storage.cannot_read(path, error) from error
    except (OSError, ValueError, RecursionError) as error:
        raise NeuronymError(f"{path} is not a readable atlas manifest: {error}.") from error
    version = data.get("schema") if isinstance(data, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise NeuronymError(
            f"{folder} has atlas format {version}, this neuronym reads up to {VERSION}: "
            "upgrade neuronym."
        )
    try:
        return Manifest.read(_upgraded(data))
    except ValueError as error:
        raise NeuronymError(
            f"{path} is not a readable atlas manifest: {str(error) or 'everything'} missing or of "
            "the wrong type. Make the atlas anew with --overwrite."
        ) from error


def _upgraded(data: Any) -> Any:
    """A manifest of an older schema with the keys of this one."""
    data = _of_first_images(data)
    if not isinstance(data, dict) or data.get("schema") != 1:
        return data
    if not isinstance(data.get("stages"), dict):
        raise ValueError("stages")
    entries = data.get("methods")
    methods = entries if isinstance(entries, dict) else {}
    renamed = {}
    for name, facts in methods.items():  # at first there was one labeller, and no need to name it
        own = {"labeller": name.partition(".")[0], "method": name}
        renamed[name] = own | _rename(facts) if isinstance(facts, dict) else facts
    return data | {
        "schema": VERSION,
        "encoder": _rename(data.get("encoder")),
        "methods": renamed,
        "analyses": data.get("analyses") or {},
    }


def _of_first_images(data: Any) -> Any:
    """A manifest of before there were samples, with its limits as they are written now."""
    config = data.get("config") if isinstance(data, dict) else None
    if not isinstance(config, dict) or not config or "seed" in config:
        return data
    data = data | {"config": of_first_images(config)}
    for part, probe in (("probe", data.get("probe")), ("identity", data.get("identity"))):
        if not isinstance(probe, dict):
            continue
        if part == "probe" and isinstance(probe.get("name"), str):
            data[part] = probe | {"name": first_images(probe["name"])}
        elif part == "identity" and isinstance(probe.get("probe"), list):
            name, *rest = probe["probe"]
            data[part] = probe | {"probe": [first_images(str(name)), *rest]}
    return data


def _rename(facts: Any) -> Any:
    if not isinstance(facts, dict):
        return facts
    return {RENAMED.get(name, name): value for name, value in facts.items()}
