"""Names for neurons: label every neuron of a vision network, and see how far to trust the labels.

>>> import neuronym as nym
>>> atlas = nym.dissect("efficientnet-lite0", encoder="conse", out="atlas")  # doctest: +SKIP
>>> atlas.labels("_fc")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from neuronym._errors import NeuronymError, UsageError
    from neuronym.api import analyse, dissect, label
    from neuronym.atlas import Atlas
    from neuronym.atlas import open_atlas as open
    from neuronym.concepts.base import ConceptSet
    from neuronym.encoders.base import Encoder
    from neuronym.labellers.base import Labeller, Labels, LayerLabels
    from neuronym.preprocess import Preprocess
    from neuronym.probes.base import Annotation, Mask, Probe, RawImage
    from neuronym.recording import record
    from neuronym.report.compare import compare
    from neuronym.similarity.base import Similarity
    from neuronym.targets.base import Target
    from neuronym.unit import Unit

# Public name → where it lives. Nothing is imported before it is asked for, so that
# `import neuronym` and `neuronym --help` stay fast and free of torch.
_HOMES = {
    "NeuronymError": "neuronym._errors",
    "UsageError": "neuronym._errors",
    "dissect": "neuronym.api",
    "label": "neuronym.api",
    "analyse": "neuronym.api",
    "compare": "neuronym.report.compare",
    "Labeller": "neuronym.labellers.base",
    "Labels": "neuronym.labellers.base",
    "LayerLabels": "neuronym.labellers.base",
    "Atlas": "neuronym.atlas",
    "Unit": "neuronym.unit",
    "open": "neuronym.atlas:open_atlas",
    "ConceptSet": "neuronym.concepts.base",
    "Encoder": "neuronym.encoders.base",
    "Preprocess": "neuronym.preprocess",
    "Annotation": "neuronym.probes.base",
    "Mask": "neuronym.probes.base",
    "Probe": "neuronym.probes.base",
    "RawImage": "neuronym.probes.base",
    "record": "neuronym.recording",
    "Similarity": "neuronym.similarity.base",
    "Target": "neuronym.targets.base",
}

__all__ = [
    "Annotation",
    "Atlas",
    "ConceptSet",
    "Encoder",
    "Labeller",
    "Labels",
    "LayerLabels",
    "Mask",
    "NeuronymError",
    "Preprocess",
    "Probe",
    "RawImage",
    "Similarity",
    "Target",
    "Unit",
    "UsageError",
    "analyse",
    "compare",
    "dissect",
    "label",
    "open",
    "record",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'neuronym' has no attribute {name!r}")
    module, _, original = home.partition(":")
    return getattr(importlib.import_module(module), original or name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
