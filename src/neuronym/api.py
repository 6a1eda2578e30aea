"""The Python face of neuronym: what `import neuronym as nym` offers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuronym._types import Progress
from neuronym.atlas import Atlas, opened
from neuronym.settings import DissectSettings

if TYPE_CHECKING:
    from neuronym.trust.base import Analysis

#: What a word-shaped argument may be: objects in place of the names of the command line.
_OBJECTS = ("target", "probe", "concepts", "encoder", "similarity")


def dissect(
    target: Any,
    *,
    layers: str | Sequence[str] = (),
    probe: Any = "synthetic",
    concepts: Any = "english-20k",
    encoder: Any = "clip",
    similarity: Any = "soft-wpmi",
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Atlas:
    """Label every unit of a network's layers, and write the result as an atlas.

    Args:
        target: the name of a network, a `torch.nn.Module`, or a `Target` (which also says how
            images are preprocessed).
        layers: names or globs; empty: the last layer at each resolution and the output layer.
        probe: a name, a folder as `Path`, a torch `Dataset`, or a list of images or paths.
        concepts: a name, or a list of words.
        encoder: a name, or an `Encoder`.
        similarity: a name with parameters, or a `Similarity`.
        out: where the atlas goes; default: TARGET-atlas in the current folder.
        resume: go on with the atlas at `out`, also when it is complete.
        overwrite: replace the atlas at `out`.
        progress: display for long work; default: a bar on a terminal, lines elsewhere.
        **settings: the other fields of `DissectSettings`: weights, template, pool, limit, dtype, …

    Returns:
        The finished atlas.

    Raises:
        UsageError: a name, parameter or path that cannot be right.
        NeuronymError: the run failed; what was finished is kept.

    >>> import neuronym as nym
    >>> atlas = nym.dissect("efficientnet-lite0", encoder="conse", out="atlas")  # doctest: +SKIP
    """
    from neuronym import pipeline
    from neuronym._checks import misuse, nearest
    from neuronym.atlas_writer import check_free
    from neuronym.progress import automatic

    known = DissectSettings.__dataclass_fields__
    for name in settings:
        if name not in known:
            near = ", ".join(nearest(name, known)) or ", ".join(known)
            raise misuse("settings", "fields of DissectSettings", name, f"Nearest: {near}.")
    given = {
        "target": target,
        "probe": probe,
        "concepts": concepts,
        "encoder": encoder,
        "similarity": similarity,
    }
    names = {k: v if isinstance(v, str) else _describe(v) for k, v in given.items()}
    objects = {k: v for k, v in given.items() if not isinstance(v, str)}
    chosen = [layers] if isinstance(layers, str) else list(layers)
    made = DissectSettings(
        **names, layers=chosen, out=None if out is None else str(out), **settings
    )
    if made.out:
        check_free(Path(made.out), made.to_dict(), resume=resume, overwrite=overwrite)
    plan = pipeline.plan(made, **objects)
    shown = automatic() if progress is None else progress
    atlas = pipeline.run(plan, resume=resume, overwrite=overwrite, progress=shown)
    skipped = atlas.manifest["probe"]["skipped"]
    if skipped:
        warnings.warn(
            f"{len(skipped):,} of {len(plan.probe):,} images could not be read, the first: "
            f"{skipped[0][0]}: {skipped[0][1]}. All of them: atlas.manifest['probe']['skipped'].",
            stacklevel=2,
        )
    return atlas


def label(
    atlas: Atlas | str | Path,
    method: Any,
    *,
    layers: str | Sequence[str] | None = None,
    labels: int = 20,
    overwrite: bool = False,
    progress: Progress | None = None,
    **origins: Any,
) -> Atlas:
    """Add another method's labels to an atlas.

    Args:
        atlas: a complete one, or its folder.
        method: a name such as `clip-avg:k=10` or `clip-dissect:cos`, or a `Labeller`.
        layers: only these, by exact name; default: all.
        labels: kept per unit.
        overwrite: label again what the method has labelled.
        progress: display for long work; default: a bar on a terminal, lines elsewhere.
        **origins: target, probe, encoder: objects, where the atlas was made from objects rather
            than names; device, workers, cache.

    Returns:
        The atlas with the new labels: `atlas.labels(method=atlas.methods[-1])`.

    Raises:
        UsageError: a wrong name, or labels that are there already.
        NeuronymError: something the method needs is missing.
    """
    from neuronym import labelling
    from neuronym._checks import integer
    from neuronym.progress import automatic

    return labelling.label(
        opened(atlas),
        method,
        layers=[layers] if isinstance(layers, str) else layers,
        count=integer("labels", labels, 1),
        overwrite=overwrite,
        progress=automatic() if progress is None else progress,
        **origins,
    )


def analyse(
    atlas: Atlas | str | Path,
    analyses: str | Sequence[str | Analysis] | None = None,
    *,
    method: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **origins: Any,
) -> Atlas:
    """Examine how far the labels of a method can be trusted; what is found goes into the atlas.

    Args:
        atlas: a complete one, or its folder.
        analyses: names such as `significance:sets=2000`, or objects. None: all that can examine
            the method's labels.
        method: a method-id or another name of a method. None: the first one.
        overwrite: make them again.
        progress: display for long work; default: a bar on a terminal, lines elsewhere.
        **origins: target, probe, encoder: objects, where the atlas was made from objects rather
            than names; device, workers, cache.

    Returns:
        The atlas with what was found: `atlas.trust("bootstrap")`, columns of `atlas.labels()`.

    Raises:
        UsageError: a wrong name, or an atlas that is not complete.
        NeuronymError: something an analysis needs is missing. What was finished before stays.
    """
    from neuronym import analysing
    from neuronym.progress import automatic

    return analysing.analyse(
        opened(atlas),
        [analyses] if isinstance(analyses, str) else analyses,
        method=method,
        overwrite=overwrite,
        progress=automatic() if progress is None else progress,
        **origins,
    )


def _describe(thing: Any) -> str:
    """What atlas.json says of an object that was given in place of a name."""
    name = getattr(thing, "name", None) or getattr(thing, "spec", None)
    text = name if isinstance(name, str) else type(thing).__name__
    return "python object: " + re.sub(r"\s+", " ", str(thing if isinstance(thing, Path) else text))
