"""`neuronym dissect`: from a network's name to an atlas."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuronym._core import progress
from neuronym._core.terminal import command, counted, duration, printable, size
from neuronym.cli.options import JsonOption, QuietOption, from_settings
from neuronym.cli.output import aside, print_json
from neuronym.inputs.settings import DissectSettings, from_file

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas
    from neuronym.pipeline.plan import Plan


_CONFIG = "Settings from a TOML or JSON file or an atlas; options given here go first."
_RESUME = "Go on with the atlas at --out, also when it is complete."
_OVERWRITE = "Replace the atlas at --out."
_DRY_RUN = "Say what would be done, how long it would take and how much disk, and stop."

_COPIES = {
    "once": "Equal and nearly equal images will count as one (--duplicates once).",
    "all": "Every image will count, copies of others too (--duplicates all).",
}


@from_settings(DissectSettings, positional="target")
def dissect(
    given: dict[str, Any],
    config: Annotated[str | None, typer.Option(metavar="FILE", help=_CONFIG)] = None,
    resume: Annotated[bool, typer.Option("--resume", help=_RESUME)] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help=_OVERWRITE)] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_DRY_RUN)] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Label every neuron of a network: TARGET + images + words → an atlas.

    Examples:

      neuronym dissect efficientnet-lite0 --encoder sketch --concepts english-10k

      neuronym dissect resnet50 --layers layer3,layer4 --probe folder:photos --out my-atlas

      neuronym dissect resnet50 --weights mine.pth --layers 'layer4.*' --similarity wpmi:top_k=9

      neuronym dissect --config my-atlas --out again   (the settings of an earlier run)
    """
    settings = DissectSettings(**{**(from_file(config) if config else {}), **given})
    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other.")
    run(settings, resume=resume, overwrite=overwrite, dry_run=dry_run, json=json, quiet=quiet)


def run(
    settings: DissectSettings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> Atlas | None:
    """Plan, announce, carry out, summarise."""
    from neuronym.atlas.writer import check_free
    from neuronym.pipeline import run as pipeline

    started = time.monotonic()
    if settings.out and not dry_run:
        check_free(Path(settings.out), settings.to_dict(), resume=resume, overwrite=overwrite)
    with aside():
        plan = pipeline.plan(settings)
    if not (quiet or json):
        _announce(plan)
    if dry_run:
        _dry_run(plan, json)
        return None
    shown = progress.automatic(quiet)
    atlas = pipeline.run(plan, resume=resume, overwrite=overwrite, progress=shown)
    _tell_losses(atlas)
    if (engine := atlas.manifest.engine) and (died := engine.about_deaths()):
        print(printable(f"note: {died}"), file=sys.stderr)
    for note in filter(None, (plan.note, *plan.unsteady) if quiet or json else ()):
        print(printable(f"note: {note}"), file=sys.stderr)  # else the summary says it
    if (quiet or json) and (copies := atlas.manifest.probe.about_copies()):
        print(f"note: {copies}", file=sys.stderr)  # the summary has it, too
    if json:
        from neuronym.report.summary import facts

        print_json(facts(atlas))
    elif plan.part is not None and not quiet:
        _tell_part(atlas)
    elif not quiet:
        from neuronym.report.summary import print_summary

        print_summary(atlas, seconds=time.monotonic() - started)
    else:
        print(atlas.folder)
    return atlas


def _tell_part(atlas: Atlas) -> None:
    """What a part of a probe is for."""
    part = atlas.manifest.part
    assert part is not None
    what = "all activations" if part.depth is None else f"the {part.depth:,} highest of each unit"
    print(
        printable(
            f"{atlas.folder} records {part.words} of {atlas.manifest.probe.name}: "
            f"{part.images:,} of {counted(part.whole, 'image')}, {what}. Its labels come with the "
            f"merged atlas. When all {part.of:,} parts are there:"
        )
    )
    print(f"  {command()} merge PART-1 PART-2 … --out ATLAS")


def _tell_losses(atlas: Atlas) -> None:
    """Count the images that were skipped by the reason, and name a few; atlas.json has them all."""
    probe = atlas.manifest.probe
    for what, losses in (("skipped", probe.skipped), ("no annotations", probe.unannotated)):
        reasons: dict[str, list[str]] = {}
        for image_id, reason in losses:
            reasons.setdefault(reason, []).append(image_id)
        ordered = sorted(reasons.items(), key=lambda entry: -len(entry[1]))
        for reason, ids in ordered[:5]:
            some = ", ".join([*ids[:3], *["…"] * (len(ids) > 3)])
            of = ids[0] if len(ids) == 1 else f"{len(ids):,} images ({some})"
            print(printable(f"{what} {of}: {reason}"), file=sys.stderr)
        rest = sum(len(ids) for _, ids in ordered[5:])
        if rest:
            more = f"… and {rest:,} more, listed in {atlas.folder}/atlas.json"
            print(f"{what} {more}", file=sys.stderr)


def _announce(plan: Plan) -> None:
    from neuronym.extraction.pooling import grouped
    from neuronym.inputs.preprocess.given import describe
    from neuronym.inputs.probes.subsets import sentences

    def line(name: str, text: str) -> None:
        print(printable(f"{name:<11} {text}"), file=sys.stderr)

    shown = ", ".join(f"{p.info.name} ({p.info.units})" for p in plan.layers[:8])
    more = f" and {len(plan.layers) - 8} more" if len(plan.layers) > 8 else ""
    random = "" if plan.target.pretrained else ", random weights"
    line("target", f"{plan.target.name}{random}")
    line("input", f"{describe(plan.target.preprocess)} ({plan.target.origin.words})")
    line("layers", f"{shown}{more}: {counted(plan.units, 'unit')}")
    if plan.classes:
        line("", f"{plan.classes.info.name} is recorded too, to calibrate confidence on and for")
        line("", "nothing else (--no-trust leaves it out)")
    line("pooling", grouped({layer.info.name: layer.pooling for layer in plan.layers}))
    line("probe", f"{plan.probe.name}: {counted(len(plan.probe), 'image')}")
    for sentence in sentences(plan.probe.facts()):
        line("", sentence)
    if plan.part is not None:
        line(
            "part", f"{plan.part.number} of {plan.part.of}, of {counted(plan.part.whole, 'image')}"
        )
    line("copies", f"{_COPIES[plan.settings.duplicates]}")
    line("concepts", plan.concepts.summary)
    line("encoder", plan.encoder.name)
    line("similarity", plan.similarity.spec)
    line("running on", f"{plan.device}, {plan.dtype}, {plan.settings.threads} decoding threads")
    if plan.settings.engine != "local":
        line("engine", plan.engine.spec)
    for note in filter(None, (plan.note, *plan.unsteady, plan.encoder.note)):
        line("note", note)


def _dry_run(plan: Plan, json: bool) -> None:
    from neuronym.pipeline.estimate import estimate

    cost = estimate(plan)
    if json:
        print_json({**asdict(cost), "out": str(plan.out), "config": plan.settings.to_dict()})
        return
    images = cost.seconds - cost.text_seconds
    texts = counted(cost.texts, "text") if cost.texts else "the words, which are cached"
    does = "label" if plan.part is None else "record"
    print(
        f"Would {does} {cost.units:,} units from {cost.images:,} images into {plan.out}: about "
        f"{duration(cost.seconds)}, of which {duration(images)} for the images at "
        f"{cost.images_per_second:,.1f} a second (less for what is cached) and "
        f"{duration(cost.text_seconds)} for {texts}; labelling comes on top. It takes "
        f"{size(cost.cache_bytes)} in the cache and {size(cost.atlas_bytes)} in the atlas; "
        f"{size(cost.free_bytes)} are free. Nothing was written."
    )
