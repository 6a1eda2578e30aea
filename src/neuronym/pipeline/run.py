"""The one place that chains the stages: from names to an atlas."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuronym._core.checks import misuse, nearest
from neuronym._core.progress import Progress, automatic, silent
from neuronym.analysis.trust.run import analyse
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.atlas.writer import AtlasWriter, check_free
from neuronym.extraction.cache import Cache, limit_gb
from neuronym.extraction.duplicates import LEVELS, SmallCopies, find_groups
from neuronym.extraction.passes import (
    EncoderPass,
    TargetPass,
)
from neuronym.extraction.run import extract
from neuronym.extraction.sight import sights_of
from neuronym.extraction.texts import concept_embeddings
from neuronym.extraction.word_groups import find_word_groups
from neuronym.inputs.preprocess.given import settings_of, text_of
from neuronym.inputs.settings import DissectSettings
from neuronym.inputs.targets.base import in_its_mode
from neuronym.pipeline.maps import write_maps
from neuronym.pipeline.parts import write_part
from neuronym.pipeline.plan import Plan, plan
from neuronym.pipeline.stages import (
    Making,
    check_enough,
    write_activations,
    write_concepts,
    write_images,
    write_labels,
    write_thumbs,
    write_units,
)


def run(
    plan: Plan, *, resume: bool = False, overwrite: bool = False, progress: Progress = silent
) -> Atlas:
    """Carry a plan out, or go on with one that was interrupted.

    Raises:
        UsageError: something else lies at the output path.
        NeuronymError: no image or no activation is usable, or the disk is full.
    """
    begun = AtlasWriter.begin(plan.out, plan.manifest(), resume=resume, overwrite=overwrite)
    with begun as writer:
        _run(plan, writer, progress)
    if plan.part is not None:  # its labels come with the merged atlas
        return open_atlas(plan.out)
    return _examined(plan, progress) if plan.settings.trust else open_atlas(plan.out)


def _examined(plan: Making, progress: Progress) -> Atlas:
    """The atlas with all that can be said of how far its labels can be trusted."""
    return analyse(
        plan.out,
        **plan.sources,
        device=plan.device.type,
        workers=plan.settings.workers,
        cache=plan.settings.cache,
        progress=progress,
    )


def make_feeds(plan: Plan, cache: Cache) -> tuple[TargetPass, EncoderPass]:
    """The two networks that the pass feeds."""
    where: dict[str, Any] = {
        "device": plan.device,
        "dtype": plan.dtype,
        "batch_size": plan.settings.batch_size,
    }
    return (
        TargetPass(plan.target, plan.recorded, cache, maps=plan.maps, **where),
        EncoderPass(plan.encoder, cache, **where),
    )


def _run(plan: Plan, writer: AtlasWriter, progress: Progress) -> None:
    s = plan.settings
    cache = Cache(s.cache)
    how: dict[str, Any] = {
        "batch_size": s.batch_size,
        "workers": s.threads,
        "progress": progress,
    }
    with plan.engine.start(plan, progress) as engine:
        feeds = make_feeds(plan, cache)
        target, encoder = feeds
        writer.manifest.arithmetic = {"target": target.arithmetic, "encoder": encoder.arithmetic}
        made = concept_embeddings(plan.encoder, plan.concepts, cache, progress)
        groups, texts = find_word_groups(plan.concepts, made, plan.encoder)
        aside = [SmallCopies(cache)]
        done = extract(plan.probe, feeds, cache, aside=aside, shards=engine.shards, **how)
    writer.manifest.engine = engine.facts
    stands = find_groups(plan.probe, done, **how)
    if plan.part is not None:
        write_images(writer, done)
        write_concepts(writer, plan, done, groups, texts)
        write_part(writer, plan, done, stands, progress)
        writer.complete()
        cache.fit(limit_gb(s.cache_size))
        return
    done = done.grouped(stands, once=s.duplicates == "once", **LEVELS)
    check_enough(plan, done)
    write_images(writer, done)
    write_concepts(writer, plan, done, groups, texts)
    places = writer.has("units") and writer.has("maps")
    sights = {} if places else sights_of(plan.target, plan.layers)
    write_units(writer, plan, done, sights, progress)
    write_labels(writer, plan, done, progress)
    write_activations(writer, plan, done, progress)
    write_maps(writer, plan, target, done, sights, progress)
    write_thumbs(writer, plan.probe, done, s.threads, progress)
    writer.complete()
    cache.fit(limit_gb(s.cache_size))


def dissect(
    target: Any,
    *,
    layers: str | Sequence[str] = (),
    probe: Any = "synthetic",
    concepts: Any = "english-20k",
    encoder: Any = "clip",
    similarity: Any = "soft-wpmi",
    preprocess: Any = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Atlas:
    """Label every unit of a network's layers, and write the result as an atlas.

    Args:
        target: the name of a network, a `torch.nn.Module` (with `preprocess`: without it, that of
            ImageNet networks is assumed, with a warning), or a `Target`. It runs in evaluation
            mode, and a module is left in the mode it was in.
        layers: names or globs; empty: the last layer at each resolution and the output layer.
        probe: a name, a folder as `Path`, a torch `Dataset`, or a list of images or paths.
        concepts: a name, or a list of words.
        encoder: a name, or an `Encoder`.
        similarity: a name with parameters, or a `Similarity`.
        preprocess: what the target sees, in place of what comes with it, whole or in part: a
            `Preprocess`, `size=32,mean=0.5,std=0.25`, the same as a dictionary, a transform of
            torchvision, an image processor of transformers.
        out: where the atlas goes; default: TARGET-atlas in the current folder.
        resume: go on with the atlas at `out`, also when it is complete.
        overwrite: replace the atlas at `out`.
        progress: display for long work; default: a bar on a terminal, lines elsewhere.
        **settings: the other fields of `DissectSettings`: weights, template, pool, limit, dtype,
            engine, …

    Returns:
        The finished atlas.

    Raises:
        UsageError: a name, parameter or path that cannot be right.
        NeuronymError: the run failed; what was finished is kept.

    >>> import neuronym as nym
    >>> atlas = nym.dissect("efficientnet-lite0", encoder="sketch", out="atlas")  # doctest: +SKIP
    """
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
    names: dict[str, Any] = {k: v if isinstance(v, str) else _describe(v) for k, v in given.items()}
    objects = {k: v for k, v in given.items() if not isinstance(v, str)}
    chosen = [layers] if isinstance(layers, str) else list(layers)
    made = DissectSettings(
        **names,
        layers=chosen,
        preprocess=None if preprocess is None else text_of(settings_of(preprocess)),
        out=None if out is None else str(out),
        **settings,
    )
    if made.out:
        check_free(Path(made.out), made.to_dict(), resume=resume, overwrite=overwrite)
    with in_its_mode(target):
        planned = plan(made, **objects)
        for note in filter(None, (planned.note, *planned.unsteady)):
            warnings.warn(note, stacklevel=2)
        shown = automatic() if progress is None else progress
        atlas = run(planned, resume=resume, overwrite=overwrite, progress=shown)
    skipped = atlas.manifest.probe.skipped
    if skipped:
        warnings.warn(
            f"{len(skipped):,} of {len(planned.probe):,} images could not be read, the first: "
            f"{skipped[0][0]}: {skipped[0][1]}. All of them: atlas.manifest.probe.skipped.",
            stacklevel=2,
        )
    if (engine := atlas.manifest.engine) and (died := engine.about_deaths()):
        warnings.warn(died, stacklevel=2)
    if planned.note:
        warnings.warn(f"These labels rest on an assumption. {planned.note}", stacklevel=2)
    copies = atlas.manifest.probe.about_copies()
    if copies and made.duplicates == "once":  # else the user has chosen that they count
        warnings.warn(copies, stacklevel=2)
    return atlas


def _describe(thing: Any) -> str:
    """What atlas.json says of an object that was given in place of a name."""
    name = getattr(thing, "name", None) or getattr(thing, "spec", None)
    text = name if isinstance(name, str) else type(thing).__name__
    return "python object: " + re.sub(r"\s+", " ", str(thing if isinstance(thing, Path) else text))
