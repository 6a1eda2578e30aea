"""Settings as data: one dataclass that the library, the command line and atlas.json share."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from neuronym._core.checks import choice, integer, misuse, nearest, real
from neuronym._core.errors import UsageError

KEEP = ("auto", "none", "topk", "all")
DUPLICATES = ("once", "all")
#: Settings that change where and how fast a run goes, not what comes out beyond rounding.
EXECUTION = ("out", "device", "workers", "cache", "cache_size", "batch_size", "trust", "engine")


def _setting(default: Any, help: str, group: str = "What", metavar: str | None = None) -> Any:
    metadata = {"help": help, "group": group, "metavar": metavar}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class DissectSettings:
    """Everything that decides what `dissect` makes. Names are explained in `docs/`."""

    target: str = _setting(
        "",
        "The network under study, e.g. resnet50, timm:vit_tiny_patch16_224, "
        "hf:PATH, efficientnet-lite0, python:module:function.",
        metavar="TARGET",
    )
    layers: list[str] = _setting(
        [],
        "Layers by exact name or glob (* within a dot, ** across), "
        "comma-separated. Default: the last layer at each resolution and "
        "the output layer.",
        metavar="L,…",
    )
    probe: str = _setting(
        "synthetic",
        "Images: synthetic, folder:PATH, s3://…, wds:SHARDS, broden:PATH, torchvision:NAME, "
        "hf:NAME; unions with +.",
        metavar="NAME",
    )
    concepts: str = _setting(
        "english-20k",
        "Words: english-3k|10k|20k, imagenet, probe, file:PATH; unions with +.",
        metavar="NAME",
    )
    encoder: str = _setting(
        "clip",
        "Image–text model: clip, open-clip:ARCH/PRETRAINED, hf:PATH, "
        "sketch, conse (embedded, work offline).",
        metavar="NAME",
    )
    similarity: str = _setting(
        "soft-wpmi",
        "What matches words with activations: `neuronym list similarities`; with parameters: "
        "soft-wpmi:top_k=5,a=10.",
        metavar="NAME",
    )
    out: str | None = _setting(
        None, "Where the atlas is written. Default: TARGET-atlas.", metavar="ATLAS"
    )
    weights: str | None = _setting(
        None, "Local weights of the target: .safetensors or a state-dict .pth.", "How", "PATH"
    )
    preprocess: str | None = _setting(
        None,
        "What the target sees, where the header of the run says otherwise: "
        "size=32,mean=0.5,std=0.25 and further settings (docs/targets.md).",
        "How",
        "S=V,…",
    )
    template: list[str] = _setting(
        ["{}"], "Prompt template with one {}; give several to average them.", "How", "TEXT"
    )
    exclude: str | None = _setting(
        None, "File with words to leave out of the concepts.", "How", "FILE"
    )
    pool: str = _setting(
        "auto",
        "How a map or token sequence becomes one number per unit: auto, "
        "mean, max, cls. auto: mean for maps, cls for tokens with a class token.",
        "How",
    )
    layout: str = _setting(
        "auto",
        "Axes of outputs where shapes do not tell: auto, NCHW, NHWC, tokens, tokens-first, NCL.",
        "How",
    )
    limit: str | int | None = _setting(
        None,
        "Use a sample of N images, evenly over sub-folders or classes; first:N: the first N.",
        "How",
        "N",
    )
    seed: int = _setting(0, "Seed of the sample that --limit takes.", "How", "N")
    part: str | None = _setting(
        None,
        "Record only one of so many parts of the probe, e.g. 3/8: `neuronym merge` makes one atlas "
        "of all parts.",
        "How",
        "I/N",
    )
    value_range: str | None = _setting(
        None,
        "What becomes black and white in images that are not 8 bit: LOW,HIGH; percentile (0.1 and "
        "99.9 of the probe); dtype (all that the type holds). Default: for integers the "
        "percentiles rounded out to 2^n - 1, for floats 0…1 or 0…255 where they lie there.",
        "How",
        "RANGE",
    )
    bands: str | None = _setting(
        None,
        "Bands that are red, green and blue, from 1, e.g. 3,2,1; one is grey, a last one is alpha.",
        "How",
        "B,…",
    )
    duplicates: str = _setting(
        "once",
        "Equal and nearly equal images: once: a group of them counts as one image; all: every "
        "image counts.",
        "How",
    )
    labels: int = _setting(20, "Labels kept per unit.", "How", "N")
    exemplars: int = _setting(20, "Highest activating images kept per unit.", "How", "N")
    maps: int = _setting(
        9,
        "Activation maps kept per unit, those of its highest images; 0: none (docs/maps.md).",
        "How",
        "N",
    )
    keep: str = _setting(
        "auto",
        "Activations kept in the atlas: all, topk (those of the images the "
        "similarity used), none; auto: all up to 2 GB, else topk.",
        "How",
    )
    trust: bool = _setting(
        True,
        "Examine how far the labels can be trusted: confidence, fit on images that did not choose "
        "them, stability, chance.",
        "How",
    )
    device: str = _setting("auto", "auto, cpu, cuda, cuda:N, mps.", "Where")
    dtype: str = _setting(
        "float32", "float32, bfloat16 or float16 inside the networks (docs/precision.md).", "Where"
    )
    batch_size: int = _setting(
        32, "Images per batch; on a CPU a network sees 8 of them at once.", "Where", "N"
    )
    workers: int = _setting(
        0, "Threads that decode images. 0: one per core, at most 16.", "Where", "N"
    )
    engine: str = _setting(
        "local",
        "Where the pass over the images runs: local; ray: processes on this machine; "
        "ray://ADDRESS: on a cluster (docs/scaling.md).",
        "Where",
        "NAME",
    )
    cache: str | None = _setting(
        None,
        "Cache directory. Default: $NEURONYM_CACHE or the user's cache directory.",
        "Where",
        "DIR",
    )
    cache_size: str | None = _setting(
        None,
        "GB that the cache may take; after a run, what was not used for longest goes. 0: no limit. "
        "Default: $NEURONYM_CACHE_SIZE or 20.",
        "Where",
        "GB",
    )

    def __post_init__(self) -> None:
        for name in ("layers", "template"):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, [value])
        for name in ("value_range", "bands"):
            value = getattr(self, name)
            if isinstance(value, list | tuple):
                object.__setattr__(self, name, ",".join(map(str, value)))
        if isinstance(self.part, list | tuple):
            object.__setattr__(self, "part", "/".join(map(str, self.part)))
        for entry in fields(self):
            value = getattr(self, entry.name)
            kind = str(entry.type)
            texts = isinstance(value, list) and all(isinstance(v, str) for v in value)
            right = {
                "str": isinstance(value, str),
                "str | None": value is None or isinstance(value, str),
                "list[str]": texts,
            }.get(kind, True)
            if not right:
                raise misuse(entry.name, "a list of texts" if "list" in kind else "a text", value)
        if not self.target:
            raise misuse(
                "target",
                "the name of a network",
                self.target,
                "For a first try: neuronym dissect efficientnet-lite0 --encoder sketch",
            )
        for name in ("labels", "batch_size"):
            object.__setattr__(self, name, integer(name, getattr(self, name), 1))
        for name in ("exemplars", "maps", "workers", "seed"):
            object.__setattr__(self, name, integer(name, getattr(self, name), 0))
        if self.limit is not None:
            first = "first:" if str(self.limit).startswith("first:") else ""
            count = str(self.limit).removeprefix(first)
            if not count.isdecimal() or not int(count):
                raise misuse("limit", "a whole number of at least 1, or first:N", self.limit)
            object.__setattr__(self, "limit", f"{first}{int(count)}" if first else int(count))
        if self.part is not None and self.number_of_part is None:
            raise misuse("part", "I/N with 1 ≤ I ≤ N, such as 3/8", self.part)
        if self.cache_size is not None:
            real("cache_size", self.cache_size, 0)
        choice("keep", self.keep, KEEP)
        choice("duplicates", self.duplicates, DUPLICATES)
        choice("layout", self.layout, ("auto", "NCHW", "NHWC", "tokens", "tokens-first", "NCL"))

    @property
    def number_of_part(self) -> tuple[int, int] | None:
        """Which part of the probe of how many; None: the whole, or no such part."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", self.part or "")
        number, of = map(int, found.groups()) if found else (0, 0)
        return (number, of) if 1 <= number <= of else None

    @property
    def threads(self) -> int:
        """Decoding threads to start."""
        return self.workers or min(16, os.cpu_count() or 1)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-able data, in the order of declaration."""
        return dataclasses.asdict(self)


def of_first_images(config: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run before there were samples: every limit meant the first images."""
    if "seed" in config:
        return config
    config = dict(config)
    if config.get("limit") is not None:
        config["limit"] = f"first:{config['limit']}"
    if isinstance(config.get("probe"), str):
        config["probe"] = first_images(config["probe"])
    return config


def first_images(probe: str) -> str:
    """The name of a probe of before there were samples, as it is written now.

    >>> first_images("folder:photos,limit=7")
    'folder:photos,limit=first:7'
    """
    return re.sub(r"(?<=[:,])limit=(?=\d)", "limit=first:", probe)


def from_file(path: str | Path) -> dict[str, Any]:
    """Settings from a TOML or JSON file, or from the `atlas.json` (or folder) of an atlas.

    Raises:
        UsageError: the file is absent, malformed, or names a setting that does not exist.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "atlas.json"
    try:
        text = path.read_text("utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except FileNotFoundError:
        raise misuse(
            "config", "a TOML or JSON file, or an atlas", str(path), "No such file."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"Expected `config` to be TOML or JSON, got {path}: {error}.") from error
    if not isinstance(data, dict):
        raise UsageError(f"Expected `config` to hold a table of settings, got {path}.")
    if data.get("imported"):
        raise misuse(
            "config", "the atlas of a run", str(path), "This one was imported: no settings made it."
        )
    if "neuronym" in data and "config" in data:
        data = of_first_images(data["config"])
    known = {f.name for f in fields(DissectSettings)}
    data = {key.replace("-", "_"): value for key, value in data.items()}
    for key in data:
        if key not in known:
            near = ", ".join(nearest(key, known)) or ", ".join(sorted(known))
            raise UsageError(
                f"Expected settings of dissect in {path}, got {key!r}. Nearest: {near}."
            )
    return data
