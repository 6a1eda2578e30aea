"""All registries by their plural names, for listings, tests and documentation."""

from __future__ import annotations

from neuronym._registry import Registry


def registries() -> dict[str, Registry]:
    """targets, probes, concepts, encoders, similarities, methods, analyses, formats and so on."""
    from neuronym.concepts import CONCEPTS
    from neuronym.encoders import ENCODERS
    from neuronym.evaluation import TABLES
    from neuronym.interchange import FORMATS
    from neuronym.labellers import LABELLERS
    from neuronym.probes import PROBES
    from neuronym.report.plots import FIGURES
    from neuronym.similarity import SIMILARITIES
    from neuronym.targets import TARGETS
    from neuronym.trust import ANALYSES

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
    )
    return {registry.plural: registry for registry in found}
