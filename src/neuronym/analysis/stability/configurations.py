"""What is studied: each atlas with each clip-dissect method in it, and how two of them differ."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from neuronym._core import hashing
from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import UsageError
from neuronym._core.registry import parse
from neuronym.atlas.reader import Atlas

#: What two configurations can differ in, as tables name it.
ASPECTS = ("probe", "concepts", "templates", "encoder", "similarity", "pooling", "dtype")


@dataclass(frozen=True, eq=False)
class Configuration:
    """The labels of one method in one atlas.

    Attributes:
        name: probe, concepts, similarity, and what else tells it from the others.
        atlas: where the labels are.
        method: a method-id of it.
        layers: studied here, in network order.
    """

    name: str
    atlas: Atlas
    method: str
    layers: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest says of the method."""
        return self.atlas.manifest.get("methods", {}).get(self.method, {})

    @property
    def similarity(self) -> str:
        """As it was asked for, such as `soft-wpmi`."""
        return self.facts["similarity"]

    @functools.cached_property
    def aspects(self) -> dict[str, Any]:
        """A value for each of `ASPECTS` that is equal where two configurations agree in it."""
        manifest = self.atlas.manifest
        pooling = {e["layer"]: e.get("pool") for e in manifest["target"]["layers"]}
        return {
            "probe": manifest["probe"].get("fingerprint"),
            "concepts": hashing.of_texts(self.atlas.concepts["concept"]),
            "templates": tuple(manifest["concepts"].get("templates", ())),
            "encoder": manifest["encoder"].get("fingerprint"),
            "similarity": self.facts.get("settled", self.similarity),
            "pooling": tuple(pooling.get(layer) for layer in self.layers),
            "dtype": manifest.get("dtype"),
        }

    @property
    def row(self) -> dict[str, Any]:
        """For the table of configurations."""
        manifest = self.atlas.manifest
        return {
            "configuration": self.name,
            "atlas": str(self.atlas.folder),
            "method": self.method,
            "probe": manifest["probe"]["name"],
            "images": manifest["probe"].get("images"),
            "concepts": manifest["concepts"]["name"],
            "words": len(self.atlas.concepts),
            "templates": list(manifest["concepts"].get("templates", ())),
            "encoder": manifest["encoder"]["name"],
            "similarity": self.similarity,
            "settled": self.facts.get("settled"),
            "probe_fingerprint": manifest["probe"].get("fingerprint"),
            "concepts_fingerprint": manifest["concepts"].get("fingerprint"),
            "encoder_fingerprint": manifest["encoder"].get("fingerprint"),
        }


def configurations(
    atlases: Sequence[Atlas], method: str | None = None, layers: Sequence[str] | None = None
) -> list[Configuration]:
    """Every clip-dissect method of every atlas, if the atlases are of one target.

    Args:
        atlases: at least one.
        method: only this method (its id, the name it was asked for, or its similarity).
        layers: only these, by exact name.

    Raises:
        UsageError: other targets, an atlas without such labels, an unknown layer.
    """
    atlases = list({atlas.folder.resolve(): atlas for atlas in atlases}.values())
    if not atlases:
        raise misuse("atlases", "at least one", Verbatim("none"))
    _check_targets(atlases)
    found = []
    for atlas in atlases:
        ids = _methods(atlas, method)
        for name in ids:
            known = atlas.labelled_layers(name)
            if layers is not None:
                for layer in layers:
                    atlas.check_unit(layer)
                known = [layer for layer in known if layer in set(layers)]
            if known:
                found.append(Configuration("", atlas, name, tuple(known)))
    if not found:
        raise misuse("layers", "some that the methods have labelled", list(layers or ()))
    return _named(found)


def _check_targets(atlases: Sequence[Atlas]) -> None:
    first = atlases[0].manifest["target"]
    for atlas in atlases[1:]:
        other = atlas.manifest["target"]
        if other.get("fingerprint") == first.get("fingerprint"):
            continue
        what = (
            f"{other['name']} with other weights or code"
            if other["name"] == first["name"]
            else f"{first['name']} and {other['name']}"
        )
        raise UsageError(
            f"Expected `atlases` to be of one target, got {what}: {atlases[0].folder} "
            f"(fingerprint {str(first.get('fingerprint'))[:8]}) and {atlas.folder} "
            f"({str(other.get('fingerprint'))[:8]}). Study each target on its own."
        )


def _methods(atlas: Atlas, method: str | None) -> list[str]:
    facts = atlas.manifest.get("methods", {})
    there = [m for m in atlas.methods if "similarity" in facts.get(m, {})]
    if method is None:
        if not there:
            raise UsageError(
                f"Expected labels of clip-dissect in {atlas.folder}, got "
                f"{', '.join(atlas.methods) or 'no labels'}. Add them with `neuronym label "
                f"{atlas.folder} --method clip-dissect:soft-wpmi`."
            )
        return there
    by_similarity = [m for m in there if facts[m]["similarity"] == method]
    chosen = by_similarity or [atlas.method(method)]
    if chosen[0] not in there:
        raise misuse(
            "method",
            "one of clip-dissect, whose similarity can be computed again",
            chosen[0],
            f"There are: {', '.join(there) or 'none'}.",
        )
    return chosen


def _named(found: list[Configuration]) -> list[Configuration]:
    """The configurations with names that tell them apart."""
    parts = [_name_parts(configuration) for configuration in found]
    # Probe, concepts and similarity always, the rest only where it is needed.
    chosen = [0, 1, 2]
    for column in range(3, len(parts[0])):
        if len({tuple(p[c] for c in chosen) for p in parts}) == len(parts):
            break
        if len({p[column] for p in parts}) > 1:
            chosen.append(column)
    names = [" · ".join(p[c] for c in chosen) for p in parts]
    return [
        Configuration(name, c.atlas, c.method, c.layers)
        for name, c in zip(names, found, strict=True)
    ]


def _name_parts(configuration: Configuration) -> tuple[str, ...]:
    manifest = configuration.atlas.manifest
    templates = " | ".join(manifest["concepts"].get("templates", ()))
    return (
        short(manifest["probe"]["name"]),
        short(manifest["concepts"]["name"]),
        configuration.similarity,
        short(manifest["encoder"]["name"]),
        templates,
        str(manifest.get("dtype")),
        str(configuration.atlas.folder),
    )


def short(name: str) -> str:
    """A name without folders.

    >>> short("folder:/data/photos"), short("conse:efficientnet-lite2"), short("english-10k")
    ('photos', 'conse:efficientnet-lite2', 'english-10k')
    """
    try:
        parsed = parse(name)
    except UsageError:  # a union, or a Python object
        return name
    detail = PurePath(parsed.detail).name if parsed.detail else ""
    return detail if detail and detail != parsed.detail else name


def differences(a: Configuration, b: Configuration) -> list[str]:
    """The aspects in which two configurations differ."""
    found = [aspect for aspect in ASPECTS[:-2] if a.aspects[aspect] != b.aspects[aspect]]
    if "similarity" in found and a.similarity == b.similarity:
        found.remove("similarity")  # what was settled follows from the probe and the encoder
    common = [layer for layer in a.layers if layer in b.layers]
    pooled = [dict(zip(c.layers, c.aspects["pooling"], strict=True)) for c in (a, b)]
    if any(pooled[0][layer] != pooled[1][layer] for layer in common):
        found.append("pooling")
    return found + (["dtype"] if a.aspects["dtype"] != b.aspects["dtype"] else [])
