"""The head of an atlas that is made from files: what they do not say is null or unknown."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from neuronym._core.registry import Name
from neuronym.atlas import schema
from neuronym.inputs.concepts.imagenet import imagenet
from neuronym.interchange import _labels, images
from neuronym.interchange.base import Published

UNKNOWN = "unknown"
NOTE = (
    "Read from files. That the network, the images and the image–text model are those their "
    "authors used is not checked."
)
#: The layers of ResNet-50 whose results are published, in network order, and their units.
_RESNET50 = {"conv1": 64, "layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048, "fc": 1000}


def in_order(layers: dict[str, int]) -> dict[str, int]:
    """ResNet-50's layers in network order; others as they come in the files."""
    known = list(_RESNET50)
    order = sorted(layers, key=known.index) if layers.keys() <= _RESNET50.keys() else layers
    return {layer: layers[layer] for layer in order}


def words_of(published: Published) -> list[str]:
    """The different labels, as they come."""
    found: dict[str, None] = {}
    for labels in published.layers.values():
        for unit in _labels.rows(labels):
            found |= dict.fromkeys(label[0] for label in unit)
    return list(found)


def manifest_of(
    facts: Mapping[str, Any],
    published: Published,
    layers: Mapping[str, int],
    target: str | None,
    words: int,
) -> schema.Manifest:
    """The head of atlas.json.

    Args:
        facts: of the import: format, files, method.
        published: what the files hold.
        layers: layer → units, in order.
        target: the network's name. None: resnet50 if the layers are its layers, else unknown.
        words: how many different labels there are.
    """
    from neuronym import __version__

    name = target or ("resnet50" if layers.items() <= _RESNET50.items() else UNKNOWN)
    imported = {name: facts[name] for name in ("format", "method", "files")} | {"note": NOTE}
    return schema.Manifest(
        neuronym=__version__,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        imported=imported,
        config={},
        identity={"imported": imported, "target": name},
        target=schema.TargetFacts(
            name=name,
            fingerprint=None,
            pretrained=True,
            preprocess=None,
            class_names=_classes() if name == "resnet50" and layers.get("fc") == 1000 else None,
            layers=[
                {
                    "layer": layer,
                    "units": units,
                    "shape": None,
                    "layout": None,
                    "pool": None,
                    "prefix_tokens": None,
                }
                for layer, units in layers.items()
            ],
        ),
        probe=schema.ProbeFacts(name=_folder(images.names(published, list(layers))) or UNKNOWN),
        concepts=schema.ConceptFacts(
            name=f"labels of {facts['method']}",
            count=words,
            templates=["{}"],
            fingerprint=None,
            cleaning=None,
        ),
        encoder=schema.EncoderFacts(
            name=UNKNOWN,
            fingerprint=None,
            dim=None,
            logit_scale=None,
            preprocess=None,
            note=None,
        ),
        kept="none",
        stages={},
    )


def _folder(listed: Sequence[str]) -> str:
    """The folder that all listed paths have in common."""
    common: list[str] = []
    for parts in zip(*(PurePosixPath(name).parent.parts for name in listed), strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "/".join(common)


def _classes() -> list[str] | None:
    """ImageNet's class names, which are those of ResNet-50's output layer."""
    try:
        return imagenet(Name("imagenet"), None)
    except ImportError:
        return None
