"""`neuronym dissect`: from a network's name to an atlas."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuronym._core import progress
from neuronym._core.terminal import counted, duration, printable, size
from neuronym.cli.options import JsonOption, QuietOption, from_settings
from neuronym.cli.output import aside, print_json
from neuronym.inputs.settings import DissectSettings, from_file

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas
    from neuronym.pipeline.run import Plan


_CONFIG = "Settings from a TOML or JSON file or an atlas; options given here go first."
_RESUME = "Go on with the atlas at --out, also when it is complete."
_OVERWRITE = "Replace the atlas at --out."
_DRY_RUN = "Say what would be done, how long it would take and how much disk, and stop."


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
    if json:
        from neuronym.report.summary import facts

        print_json(facts(atlas))
    elif not quiet:
        from neuronym.report.summary import print_summary

        print_summary(atlas, seconds=time.monotonic() - started)
    else:
        print(atlas.folder)
    return atlas


def _tell_losses(atlas: Atlas) -> None:
    """Name the images that were skipped: a few here, all of them in atlas.json."""
    probe = atlas.manifest.probe
    for what, losses in (("skipped", probe.skipped), ("no annotations", probe.unannotated)):
        for image_id, reason in losses[:5]:
            print(printable(f"{what} {image_id}: {reason}"), file=sys.stderr)
        if len(losses) > 5:
            more = f"… and {len(losses) - 5:,} more, listed in {atlas.folder}/atlas.json"
            print(f"{what} {more}", file=sys.stderr)


def _announce(plan: Plan) -> None:
    def line(name: str, text: str) -> None:
        print(printable(f"{name:<11} {text}"), file=sys.stderr)

    shown = ", ".join(f"{p.info.name} ({p.info.units})" for p in plan.layers[:8])
    more = f" and {len(plan.layers) - 8} more" if len(plan.layers) > 8 else ""
    random = "" if plan.target.pretrained else ", random weights"
    line("target", f"{plan.target.name}{random}")
    line("layers", f"{shown}{more}: {counted(plan.units, 'unit')}")
    line("probe", f"{plan.probe.name}: {counted(len(plan.probe), 'image')}")
    line("concepts", plan.concepts.summary)
    line("encoder", plan.encoder.name)
    line("similarity", plan.similarity.spec)
    line("running on", f"{plan.device}, {plan.dtype}, {plan.settings.threads} decoding threads")
    if plan.encoder.note:
        line("note", plan.encoder.note)


def _dry_run(plan: Plan, json: bool) -> None:
    from neuronym.pipeline.estimate import estimate

    cost = estimate(plan)
    if json:
        print_json({**asdict(cost), "out": str(plan.out), "config": plan.settings.to_dict()})
        return
    print(
        f"Would label {cost.units:,} units from {cost.images:,} images into {plan.out}: about "
        f"{duration(cost.seconds)} for the pass at {cost.images_per_second:,.1f} images/s (less "
        f"for what is cached), {size(cost.cache_bytes)} in the cache and {size(cost.atlas_bytes)} "
        f"in the atlas; {size(cost.free_bytes)} are free. Nothing was written."
    )
