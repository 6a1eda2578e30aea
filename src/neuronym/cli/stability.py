"""`neuronym stability`: how stable labels are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuronym._core import progress
from neuronym.cli.options import (
    PARTS,
    CacheOption,
    JsonOption,
    LayersOption,
    QuietOption,
    SynonymsOption,
    named,
    parts_of,
)
from neuronym.cli.output import aside, print_files, print_json


def stability(
    atlases: Annotated[
        list[str], typer.Argument(metavar="ATLAS…", help="Folders of atlases of one target.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where report, tables and figures go; finished parts are kept there, too. "
            "Default: nothing is written.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD", help="Only these labels of each atlas. Default: all of clip-dissect."
        ),
    ] = None,
    layers: LayersOption = None,
    parts: Annotated[str | None, typer.Option(metavar="P,…", help=f"{PARTS} Default: all.")] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="K,…", help="Numbers of images. Default: 5,10,16,28,50,100."),
    ] = None,
    resamples: Annotated[
        int, typer.Option(metavar="N", min=2, help="Bootstrap resamples of the images.")
    ] = 100,
    splits: Annotated[
        int, typer.Option(metavar="N", min=1, help="Random splits of the images into halves.")
    ] = 5,
    subsets: Annotated[
        int, typer.Option(metavar="N", min=1, help="Random parts of the concept set.")
    ] = 5,
    template: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Another prompt template with one {}; repeat for more. Default: a photo of a {}.",
        ),
    ] = None,
    synonyms: SynonymsOption = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of everything random.")] = 0,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:N, mps; where scores are computed.")
    ] = "auto",
    cache: CacheOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show how stable labels are: the published score, and real stability beside it.

    The atlases are only read. Pairs of them that differ in one thing (probe, concepts, templates,
    encoder, similarity) are compared, too.

    Examples:

      neuronym stability demo-atlas --out stability

      neuronym stability photos-atlas synthetic-atlas --parts halves,pairs

      neuronym stability demo-atlas --parts prompts --template "a photo of a {}" --template "{}."
    """
    from neuronym.analysis.stability.study import Settings, study
    from neuronym.report import stability_report

    more: dict[str, Any] = {"images": named(images)} if images else {}
    if template:
        more["templates"] = tuple(template)
    settings = Settings(
        resamples=resamples,
        splits=splits,
        subsets=subsets,
        synonyms=synonyms,
        seed=seed,
        **parts_of(parts),
        **more,
    )
    with aside():
        found = study(
            list(atlases),
            method=method,
            layers=list(named(layers)) if layers else None,
            settings=settings,
            out=out,
            progress=progress.automatic(quiet),
            device=device,
            cache=cache,
        )
    if out is not None:
        stability_report.write(found, out)
    if json:
        print_json(stability_report.to_json(found))
        return
    if not quiet:
        stability_report.print_study(found)
    print_files({"Report, tables and figures": out and out / "report.md"}, quiet)
