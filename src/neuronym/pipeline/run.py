"""The one place that chains the stages: from names to an atlas."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuronym._core.checks import misuse, nearest
from neuronym._core.errors import UsageError
from neuronym._core.progress import Progress, automatic, silent
from neuronym.analysis.trust.run import analyse
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.atlas.writer import AtlasWriter, check_free
from neuronym.extraction.cache import Cache, limit_gb
from neuronym.extraction.duplicates import LEVELS, SmallCopies, find_groups
from neuronym.extraction.passes import (
    EncoderPass,
    TargetPass,
)
from neuronym.extraction.run import Extraction, extract
from neuronym.extraction.sight import sights_of
from neuronym.extraction.texts import concept_embeddings
from neuronym.extraction.word_groups import find_word_groups
from neuronym.inputs.preprocess.given import settings_of, text_of
from neuronym.inputs.settings import DissectSettings
from neuronym.inputs.targets.base import in_its_mode
from neuronym.labelling import run as labelling
from neuronym.labelling.methods.clip_dissect import ClipDissect
from neuronym.pipeline.maps import write_maps
from neuronym.pipeline.plan import Plan, plan
from neuronym.pipeline.stages import (
    write_activations,
    write_concepts,
    write_images,
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
    return _examined(plan, progress) if plan.settings.trust else open_atlas(plan.out)


def _examined(plan: Plan, progress: Progress) -> Atlas:
    """The atlas with all that can be said of how far its labels can be trusted."""
    return analyse(
        plan.out,
        target=plan.target,
        probe=plan.probe,
        encoder=plan.encoder,
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
    done = done.grouped(stands, once=s.duplicates == "once", **LEVELS)
    _check_enough(plan, done)
    write_images(writer, done)
    write_concepts(writer, plan, done, groups, texts)
    places = writer.has("units") and writer.has("maps")
    sights = {} if places else sights_of(plan.target, plan.layers)
    write_units(writer, plan, done, sights, progress)
    _label(writer, plan, done, progress)
    write_activations(writer, plan, done, progress)
    write_maps(writer, plan, target, done, sights, progress)
    write_thumbs(writer, plan, done, progress)
    writer.complete()
    cache.fit(limit_gb(s.cache_size))


def _check_enough(plan: Plan, done: Extraction) -> None:
    """Refuse a top_k over the number of images that count, before anything is written."""
    try:
        plan.similarity.with_defaults(len(done.images), 1.0)
    except UsageError as error:
        if not done.copies:
            raise
        raise UsageError(
            f"{error} Copies of other images ({len(done.copies):,} of {len(plan.probe):,}) do not "
            "count; --duplicates all counts them."
        ) from error


def _label(writer: AtlasWriter, plan: Plan, done: Extraction, progress: Progress) -> None:
    """The first labels: those of CLIP-Dissect with the chosen similarity."""
    labeller = ClipDissect(plan.similarity)
    if writer.has(f"labels {labeller.method_id}"):
        return
    layers = {layer.info.name: done.rows(layer.info.name) for layer in plan.layers}
    context = LabelContext(
        open_atlas(plan.out),
        target=plan.target,
        probe=plan.probe,
        encoder=plan.encoder,
        activations=layers,
        device=plan.device.type,
        workers=plan.settings.workers,
        cache=plan.settings.cache,
        progress=progress,
    )
    labelling.write(writer, context, labeller, list(layers), plan.settings.labels)


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
