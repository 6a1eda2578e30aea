"""The names of a probe's own annotations as concepts."""

from __future__ import annotations

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.registry import Name, known_params
from neuronym.inputs.concepts.base import CONCEPTS, Annotated


@CONCEPTS.register("probe")
def from_probe(name: Name, probe: Annotated | None) -> list[str]:
    """The names of the probe's own labels and masks, underscores written as spaces.

    Raises:
        UsageError: there is no probe, or it has no annotations.
    """
    known_params(name)
    if probe is None:
        raise misuse("concepts", "given together with a probe", "probe")
    words = [entry.name.replace("_", " ") for entry in probe.vocabulary()]
    if not words:
        raise misuse(
            "concepts",
            "a set of words",
            Verbatim(f"probe, but {probe.name} has no annotations"),
            "Use english-3k, imagenet or file:PATH.",
        )
    # One word in two categories is one concept, not a duplicate to report.
    return list(dict.fromkeys(words))
