"""`neuronym label` and `neuronym compare`: other methods' labels, and methods side by side."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronym._core.terminal import command, duration, printable
from neuronym.cli.inspecting import AtlasArgument
from neuronym.cli.output import JsonOption, QuietOption, print_json

if TYPE_CHECKING:
    import numpy as np


_METHOD = (
    "The method, with parameters: clip-avg:k=10, clip-dissect:cos, … See `neuronym list methods`."
)
_LAYERS = "Only these layers, by exact name. Default: all of the atlas."


def label(
    atlas: AtlasArgument,
    method: Annotated[str, typer.Option("--method", "-m", metavar="METHOD", help=_METHOD)],
    layers: Annotated[str | None, typer.Option(metavar="L,…", help=_LAYERS)] = None,
    labels: Annotated[
        int, typer.Option(metavar="N", help="Labels kept per unit.", min=1, show_default=True)
    ] = 20,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Label again what the method has labelled.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:N, mps; where networks run.")
    ] = "auto",
    workers: Annotated[
        int, typer.Option(metavar="N", help="Threads that decode images. 0: one per core.", min=0)
    ] = 0,
    cache: Annotated[
        str | None, typer.Option(metavar="DIR", help="Cache directory.", show_default=False)
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Add another method's labels to an atlas.

    Examples:

      neuronym label demo-atlas --method clip-avg

      neuronym label demo-atlas --method clip-dissect:rank-reorder

      neuronym label demo-atlas --method netdissect:quantile=0.01 --layers _blocks.15
    """
    from neuronym._core import progress
    from neuronym.atlas.reader import open_atlas
    from neuronym.labelling import run as labelling
    from neuronym.labelling.base import open_labeller
    from neuronym.labelling.estimate import estimate

    opened, labeller = open_atlas(atlas), open_labeller(method)
    chosen = [name.strip() for name in layers.split(",")] if layers else None
    given = {"device": device, "workers": workers, "cache": cache}
    if dry_run:
        with contextlib.redirect_stdout(sys.stderr):
            found = estimate(opened, labeller, layers=chosen, overwrite=overwrite, **given)
        if json:
            print_json({"method": found.method, "layers": found.layers, "cost": found.cost})
            return
        print(
            printable(
                f"Would label {found.units:,} units of {', '.join(found.layers)} as "
                f"{found.method}. {found.cost or 'This takes seconds to minutes.'} "
                "Nothing was written."
            )
        )
        return
    shown = progress.automatic(quiet)
    with contextlib.redirect_stdout(sys.stderr):  # what user code prints is no result of ours
        made = labelling.label(
            opened,
            labeller,
            layers=chosen,
            labels=labels,
            overwrite=overwrite,
            progress=shown,
            **given,
        )
    facts = made.manifest["methods"][labeller.method_id]
    if json:
        print_json({"atlas": str(made.folder), "method": labeller.method_id, **facts})
    elif quiet:
        print(labeller.method_id)
    else:
        from neuronym.report.summary import print_method

        print_method(made, labeller.method_id)
        print(f"\nLabelling took {duration(facts['seconds'])}. Next:")
        print(printable(f"  {command()} compare {shlex.quote(str(made.folder))}"))


def compare(
    atlas: AtlasArgument,
    methods: Annotated[
        str | None, typer.Option(metavar="M,…", help="Only these method-ids. Default: all.")
    ] = None,
    synonyms: Annotated[
        float | None,
        typer.Option(
            metavar="COSINE",
            min=-1,
            max=1,
            help="Labels count as synonyms from this cosine of their text embeddings on. Default: "
            "what 1 in 10,000 pairs of concepts reach.",
        ),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw it: .png, .svg or .pdf.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the pairs as .csv.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show labelling methods side by side: agreement, abstentions, disagreements.

    Examples:

      neuronym compare demo-atlas

      neuronym compare demo-atlas --synonyms 0.7 --figure agreement.png
    """
    from neuronym._core import progress
    from neuronym._core.errors import NeuronymError
    from neuronym.analysis.comparison import compare as compare_methods
    from neuronym.atlas.context import Material
    from neuronym.atlas.reader import open_atlas
    from neuronym.report import comparison_sheet

    opened = open_atlas(atlas)
    chosen = [name.strip() for name in methods.split(",")] if methods else None

    def embed(words: Sequence[str]) -> np.ndarray:
        with contextlib.redirect_stdout(sys.stderr):
            return Material(opened, progress=progress.automatic()).embed_words(words)

    try:  # labels that are no concepts of the atlas have no embedding in it
        found = compare_methods(opened, chosen, synonyms=synonyms, embed=embed)
    except NeuronymError:  # without the encoder they are compared exactly, and the output says so
        found = compare_methods(opened, chosen, synonyms=synonyms)
    if figure is not None:
        from neuronym.report.figures import save

        save(comparison_sheet.draw(found), figure)
    if out is not None:
        comparison_sheet.write_csv(found, out)
    if json:
        print_json(comparison_sheet.to_json(found))
        return
    comparison_sheet.print_comparison(found)
    for what, path in (("Figure", figure), ("Pairs", out)):
        if path is not None:
            print(printable(f"{what}: {path}"))
