"""Names for neurons: label every neuron of a vision network, and see how far to trust the labels.

>>> import neuronym as nym
>>> atlas = nym.dissect("efficientnet-lite0", encoder="sketch", out="atlas")  # doctest: +SKIP
>>> atlas.labels("_fc")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from neuronym._core import former

__version__ = "0.1.0"

if TYPE_CHECKING:
    from neuronym._core.errors import NeuronymError, UsageError
    from neuronym.analysis.comparison import compare
    from neuronym.analysis.diff.run import Diff, diff
    from neuronym.analysis.links.run import link
    from neuronym.analysis.trust.run import analyse
    from neuronym.atlas.context import LabelContext
    from neuronym.atlas.reader import Atlas
    from neuronym.atlas.reader import open_atlas as open
    from neuronym.atlas.unit import Unit
    from neuronym.extraction.recording import record
    from neuronym.inputs.concepts.base import CONCEPTS, ConceptSet
    from neuronym.inputs.encoders.base import ENCODERS, Encoder
    from neuronym.inputs.preprocess.base import Preprocess
    from neuronym.inputs.probes.base import PROBES, Annotation, Mask, Probe, RawImage
    from neuronym.inputs.targets.base import TARGETS, Target
    from neuronym.interchange.base import FORMATS, Format
    from neuronym.labelling.base import LABELLERS, Labeller, Labels, LayerLabels
    from neuronym.labelling.run import label
    from neuronym.pipeline.merge import merge
    from neuronym.pipeline.run import dissect
    from neuronym.similarity.base import SIMILARITIES, Similarity

# Public name → where it lives. Nothing is imported before it is asked for, so that
# `import neuronym` and `neuronym --help` stay fast and free of torch.
_HOMES = {
    "NeuronymError": "neuronym._core.errors",
    "UsageError": "neuronym._core.errors",
    "dissect": "neuronym.pipeline.run",
    "label": "neuronym.labelling.run",
    "merge": "neuronym.pipeline.merge",
    "analyse": "neuronym.analysis.trust.run",
    "compare": "neuronym.analysis.comparison",
    "LabelContext": "neuronym.atlas.context",
    "CONCEPTS": "neuronym.inputs.concepts.base",
    "ENCODERS": "neuronym.inputs.encoders.base",
    "FORMATS": "neuronym.interchange.base",
    "Format": "neuronym.interchange.base",
    "LABELLERS": "neuronym.labelling.base",
    "PROBES": "neuronym.inputs.probes.base",
    "SIMILARITIES": "neuronym.similarity.base",
    "TARGETS": "neuronym.inputs.targets.base",
    "link": "neuronym.analysis.links.run",
    "Diff": "neuronym.analysis.diff.run",
    "diff": "neuronym.analysis.diff.run",
    "Labeller": "neuronym.labelling.base",
    "Labels": "neuronym.labelling.base",
    "LayerLabels": "neuronym.labelling.base",
    "Atlas": "neuronym.atlas.reader",
    "Unit": "neuronym.atlas.unit",
    "open": "neuronym.atlas.reader:open_atlas",
    "ConceptSet": "neuronym.inputs.concepts.base",
    "Encoder": "neuronym.inputs.encoders.base",
    "Preprocess": "neuronym.inputs.preprocess.base",
    "Annotation": "neuronym.inputs.probes.base",
    "Mask": "neuronym.inputs.probes.base",
    "Probe": "neuronym.inputs.probes.base",
    "RawImage": "neuronym.inputs.probes.base",
    "record": "neuronym.extraction.recording",
    "Similarity": "neuronym.similarity.base",
    "Target": "neuronym.inputs.targets.base",
}

former.install()

__all__ = [
    "CONCEPTS",
    "ENCODERS",
    "FORMATS",
    "LABELLERS",
    "PROBES",
    "SIMILARITIES",
    "TARGETS",
    "Annotation",
    "Atlas",
    "ConceptSet",
    "Diff",
    "Encoder",
    "Format",
    "LabelContext",
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
    "diff",
    "dissect",
    "label",
    "link",
    "merge",
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
