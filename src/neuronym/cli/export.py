"""`neuronym export`: an atlas as files that other tools read."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronym._core import progress
from neuronym._core.checks import misuse
from neuronym._core.terminal import counted
from neuronym.cli.import_ import refuse
from neuronym.cli.options import JsonOption, MethodOption, QuietOption, SignificantOption, listed
from neuronym.cli.output import print_json, print_lines

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas
    from neuronym.interchange.base import Format
    from neuronym.interchange.exporting import Exported


_TO = "clip-search, clip-dissect, netdissect, milan, annotations, or site (plain web pages)."


def export(
    atlas: Annotated[
        list[str],
        typer.Argument(
            metavar="ATLAS…", help="The folder of an atlas; of several, for one site of them all."
        ),
    ],
    kind: Annotated[
        str, typer.Option("--format", "-f", metavar="FORMAT", help=_TO, show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="The file, or the folder for a file per layer.",
            show_default=False,
        ),
    ],
    method: MethodOption = None,
    significant: SignificantOption = False,
    layers: Annotated[
        str | None,
        typer.Option(metavar="L,…", help="For site: only these layers, by name or pattern."),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="For site: only the N neurons to rely on most."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write an atlas as files that other tools read, or as a web site of plain files.

    What the format has no place for is said.

    Examples:

      neuronym export demo-atlas --format clip-search --out demo-clip-search

      neuronym export demo-atlas --format clip-dissect --out labels.csv --method clip-avg

      neuronym export demo-atlas --format annotations --out truth.csv

      neuronym export before-atlas after-atlas --format site --out site

      neuronym export demo-atlas --format site --layers _fc --top 50 --out best
    """
    from neuronym.atlas.reader import open_atlas
    from neuronym.interchange.annotations import AnnotationsFile
    from neuronym.interchange.open import open_format

    if kind == "site":
        refuse("site", method=method)
        _export_site(atlas, out, listed(layers), top, overwrite, json, quiet)
        return
    refuse(kind, layers=layers, top=top)
    chosen = open_format(kind)
    if len(atlas) > 1:
        raise misuse("atlas", f"one for the format {kind}; only site takes several", len(atlas))
    opened = open_atlas(atlas[0], significant=significant)
    if isinstance(chosen, AnnotationsFile):
        refuse("annotations", method=method)
        written = chosen.write(opened, out, overwrite)
        if json:
            print_json({"files": [str(out)], "answers": written})
        else:
            done = f"{counted(written, 'answer')} written to {out}."
            print_lines([str(out) if quiet else done])
        return
    _export_labels(opened, chosen, out, method, overwrite, json, quiet)


def _export_site(
    atlases: list[str],
    out: Path,
    layers: list[str] | None,
    top: int | None,
    overwrite: bool,
    json: bool,
    quiet: bool,
) -> None:
    from neuronym.atlas.reader import open_atlas
    from neuronym.web.export import export_site

    shown = progress.automatic(quiet)
    pages = export_site(
        list(map(open_atlas, atlases)),
        out,
        layers=layers,
        top=top,
        overwrite=overwrite,
        progress=shown,
    )
    if json:
        print_json({"site": str(out), "pages": pages})
    elif quiet:
        print_lines([str(out)])
    else:
        look = f"Look at them with: python -m http.server -d {shlex.quote(str(out))}"
        print_lines([f"{counted(pages, 'page')} written to {out}.", look])


def _export_labels(
    atlas: Atlas,
    kind: Format,
    out: Path,
    method: str | None,
    overwrite: bool,
    json: bool,
    quiet: bool,
) -> None:
    from neuronym.interchange.exporting import export_labels

    done = export_labels(atlas, kind, out, method=method, overwrite=overwrite)
    files = [str(file) for file in done.files]
    if json:
        print_json({**vars(done), "files": files})
    elif quiet:
        print_lines(files)
    else:
        _print_export(done, out)


def _print_export(done: Exported, out: Path) -> None:
    empty = f", {done.abstained:,} of them without a label" if done.abstained else ""
    what = f"{len(done.files)} files in {out}" if len(done.files) > 1 else str(done.files[0])
    lines = [
        f"Labels of {counted(done.units, 'neuron')} by {done.method}{empty} written to {what}."
    ]
    if done.lost:
        lines += ["Not in the files:", *(f"  {what}" for what in done.lost)]
    print_lines([*lines, *done.notes])
