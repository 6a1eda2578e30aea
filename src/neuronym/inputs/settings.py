"""Settings as data: one dataclass that the library, the command line and atlas.json share."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from neuronym._core.checks import choice, integer, misuse, nearest
from neuronym._core.errors import UsageError

KEEP = ("auto", "none", "topk", "all")
#: Settings that change where and how fast a run goes, not what comes out beyond rounding.
EXECUTION = ("out", "device", "workers", "cache", "batch_size")


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
        "Images: synthetic, folder:PATH, broden:PATH, torchvision:NAME, hf:NAME; unions with +.",
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
    layout: str = _setting("auto", "Axes of 4-D outputs: auto, NCHW, NHWC.", "How")
    limit: int | None = _setting(None, "Use only the first N images of the probe.", "How", "N")
    labels: int = _setting(20, "Labels kept per unit.", "How", "N")
    exemplars: int = _setting(20, "Highest activating images kept per unit.", "How", "N")
    keep: str = _setting(
        "auto",
        "Activations kept in the atlas: all, topk (those of the images the "
        "similarity used), none; auto: all up to 2 GB, else topk.",
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
    cache: str | None = _setting(
        None,
        "Cache directory. Default: $NEURONYM_CACHE or the user's cache directory.",
        "Where",
        "DIR",
    )

    def __post_init__(self) -> None:
        for name in ("layers", "template"):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, [value])
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
        for name in ("exemplars", "workers"):
            object.__setattr__(self, name, integer(name, getattr(self, name), 0))
        if self.limit is not None:
            object.__setattr__(self, "limit", integer("limit", self.limit, 1))
        choice("keep", self.keep, KEEP)
        choice("layout", self.layout, ("auto", "NCHW", "NHWC"))

    @property
    def threads(self) -> int:
        """Decoding threads to start."""
        return self.workers or min(16, os.cpu_count() or 1)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-able data, in the order of declaration."""
        return dataclasses.asdict(self)


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
        data = data["config"]
    known = {f.name for f in fields(DissectSettings)}
    data = {key.replace("-", "_"): value for key, value in data.items()}
    for key in data:
        if key not in known:
            near = ", ".join(nearest(key, known)) or ", ".join(sorted(known))
            raise UsageError(
                f"Expected settings of dissect in {path}, got {key!r}. Nearest: {near}."
            )
    return data
