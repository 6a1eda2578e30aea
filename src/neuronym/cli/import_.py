"""`neuronym import`: published results into an atlas."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuronym._core import progress
from neuronym._core.checks import misuse
from neuronym._core.terminal import command, counted
from neuronym.cli.options import JsonOption, QuietOption, WorkersOption
from neuronym.cli.output import print_json, print_lines

if TYPE_CHECKING:
    from neuronym.interchange.importing import Imported


_FORMAT = "clip-search, clip-dissect, netdissect, milan or annotations."


def import_(
    kind: Annotated[str, typer.Argument(metavar="FORMAT", help=_FORMAT)],
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The file, or the folder with a file per layer.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="ATLAS",
            help="A new atlas, or one to which the labels are added.",
            show_default=False,
        ),
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="ROOT",
            help="Folder below which the listed images are found by the ends of their paths. Only "
            "clip-search lists images.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="What the method is called in the atlas. Default: imported.FORMAT."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The network's name, for a new atlas. Default: resnet50 if the layers are its.",
        ),
    ] = None,
    workers: WorkersOption = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the labels of this method in the atlas.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make an atlas of published results, or add them to one.

    Everything is read and checked before anything is written.

    Examples:

      neuronym import clip-search published/clip-search --out resnet50-published

      neuronym import clip-search published/clip-search --out with-images --images broden1_224

      neuronym import milan m_base_resnet50_imagenet.csv --out resnet50-published

      neuronym import annotations truth.csv --out demo-atlas
    """
    from neuronym.atlas.reader import open_atlas
    from neuronym.interchange.annotations import AnnotationsFile
    from neuronym.interchange.importing import import_labels
    from neuronym.interchange.open import open_format

    chosen = open_format(kind)
    if isinstance(chosen, AnnotationsFile):
        refuse("annotations", images=images, method=method, target=target)
        added = chosen.read(open_atlas(out), path)
        if json:
            print_json({"atlas": str(out), "format": chosen.name, "added": added})
        else:
            print_lines([f"{counted(added, 'answer')} of {path} added to {out}."])
        return
    done = import_labels(
        chosen,
        path,
        out,
        images_root=images,
        method=method,
        target=target,
        overwrite=overwrite,
        workers=workers,
        progress=progress.automatic(quiet),
    )
    if json:
        print_json(_facts(done))
    elif quiet:
        print(done.method)
    else:
        _print_import(done, path)


def refuse(kind: str, **given: object) -> None:
    """Raise UsageError for options that are given, and that a format has no use for."""
    for name, value in given.items():
        if value is not None:
            raise misuse(name, f"left out: {kind} has no use for it", str(value))


def _facts(done: Imported) -> dict[str, Any]:
    return {
        "atlas": str(done.atlas.folder),
        "method": done.method,
        "new": done.new,
        "target": done.atlas.manifest.target.name,
        "layers": done.units,
        "left_out": done.left_out,
        "images": {
            "listed": done.images.listed,
            "found": done.images.found,
            "damaged": done.images.damaged,
        },
        "notes": done.notes,
    }


def _print_import(done: Imported, path: Path) -> None:
    name, folder = done.atlas.manifest.target.name, done.atlas.folder
    units, layers = sum(done.units.values()), ", ".join(done.units)
    lines = [f"{counted(units, 'neuron')} of {name} ({layers}) read from {path} as {done.method}."]
    if done.left_out:
        others = ", ".join(f"{layer} ({units:,})" for layer, units in done.left_out.items())
        lines.append(f"Left out, since the atlas does not have these layers: {others}.")
    if done.images.listed:
        lines.append(_images(done))
    lines += [f"{name}: {why}" for name, why in done.images.damaged[:5]]
    lines += done.notes
    verb = "made" if done.new else "has the labels now"
    lines.append(f"The atlas {folder}/ is {verb}." if done.new else f"{folder}/ {verb}.")
    place = shlex.quote(str(folder))
    lines += ["Next:", f"  {command()} show {place}"]
    if len(done.atlas.methods) > 1:
        lines.append(f"  {command()} compare {place}")
    print_lines(lines)


def _images(done: Imported) -> str:
    listed, found = done.images.listed, done.images.found
    if not done.atlas.manifest.probe.get("root"):
        return (
            f"The files list {counted(listed, 'image')}, not looked for so far. Give their folder: "
            "--images ROOT --overwrite."
        )
    damaged = f", {len(done.images.damaged):,} cannot be read" if done.images.damaged else ""
    return f"{found:,} of the {listed:,} listed images found{damaged}."
