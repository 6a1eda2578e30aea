"""All registries by their plural names, for listings, tests and documentation."""

from __future__ import annotations

from neuronym._core.registry import Registry


def registries() -> dict[str, Registry]:
    """targets, probes, concepts, encoders, similarities, methods, engines and so on."""
    from neuronym.analysis.evaluation.base import TABLES
    from neuronym.analysis.trust.base import ANALYSES
    from neuronym.inputs.concepts.base import CONCEPTS
    from neuronym.inputs.encoders.base import ENCODERS
    from neuronym.inputs.probes.base import PROBES
    from neuronym.inputs.targets.base import TARGETS
    from neuronym.interchange.base import FORMATS
    from neuronym.labelling.base import LABELLERS
    from neuronym.pipeline.engines.base import ENGINES
    from neuronym.report.plots.base import FIGURES
    from neuronym.similarity.base import SIMILARITIES

    found = (
        TARGETS,
        PROBES,
        CONCEPTS,
        ENCODERS,
        SIMILARITIES,
        LABELLERS,
        ANALYSES,
        FORMATS,
        TABLES,
        FIGURES,
        ENGINES,
    )
    return {registry.plural: registry for registry in found}
