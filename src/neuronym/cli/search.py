"""`neuronym search`: neurons by concept, new word, picture, or likeness to another neuron."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronym._core.checks import choice, misuse
from neuronym._core.errors import CorruptImageError, UsageError
from neuronym._core.terminal import command, printable
from neuronym.cli.options import AtlasArgument, JsonOption, MethodOption, SignificantOption, listed
from neuronym.cli.output import aside, print_json

if TYPE_CHECKING:
    from PIL.Image import Image

    from neuronym.inputs.probes.values import Values
    from neuronym.search.searcher import Hits, Searcher


_IN = (
    "Where to look: labels, images (annotations and paths of the highest images), scores (of every "
    "neuron, for any word). Default: labels,images; and scores for a word that is no concept."
)


def search(
    atlas: AtlasArgument,
    text: Annotated[
        str | None, typer.Argument(metavar="WORD", help="A word or phrase, such as dog.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="L,…", help="Look only in these layers, such as layer4*.")
    ] = None,
    places: Annotated[str | None, typer.Option("--in", metavar="P,…", help=_IN)] = None,
    match: Annotated[
        str, typer.Option(help="exact, substring, or stem (striped finds stripes).")
    ] = "substring",
    top: Annotated[int, typer.Option(metavar="N", help="Look at the first N labels.", min=1)] = 10,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Search by a picture instead of a word.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y", help="With --image: what responds at this point of it, in pixels."
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,X,Y",
            help="With --image: what responds in this box of it: left, top, right, bottom.",
        ),
    ] = None,
    like: Annotated[
        str | None, typer.Option(metavar="LAYER:UNIT", help="Search for neurons like this one.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="With --image: target (run the network; the default) or encoder. With --like: "
            "exemplars (the default), labels or activations."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="Show at most N neurons.", min=1)] = 20,
    method: MethodOption = None,
    significant: SignificantOption = False,
    abstained: Annotated[
        bool, typer.Option("--abstained", hidden=True)  # all are shown, unless --significant
    ] = False,
    form: Annotated[
        str, typer.Option("--format", help="table, or classic: one sentence per neuron.")
    ] = "table",
    json: JsonOption = False,
) -> None:
    """Find neurons by concept, by any word, by a picture, or by likeness.

    Examples:

      neuronym search demo-atlas dog --layers _fc

      neuronym search demo-atlas "polka dot" --in scores

      neuronym search demo-atlas --image photo.jpg

      neuronym search demo-atlas --image photo.jpg --at 120,80

      neuronym search demo-atlas --like _fc:417 --by activations
    """
    from neuronym.atlas.reader import open_atlas
    from neuronym.inputs.probes.values import Values
    from neuronym.report import search_sheet
    from neuronym.search.searcher import Searcher

    _check(text, image, like, by, form)
    place = _place(image, at, box, by)
    searcher = Searcher(open_atlas(atlas, significant=significant), method)
    named = listed(layers)
    within = searcher.layers_like(named) if named else None
    with aside():
        if image is not None:
            values = Values.from_data(searcher.atlas.manifest.probe.values or {})
            picture = _picture(image, values)
            hits = (
                searcher.at(picture, **place, layers=within)
                if place
                else searcher.by_picture(picture, by=by or "target", layers=within)
            )
        elif like is not None:
            hits = _like(searcher, like, by or "exemplars", within)
        else:
            hits = searcher.find(
                text or "",
                layers=within,
                match=match,
                places=listed(places),
                top=top,
                abstained=abstained,
            )
    if json:
        print_json(search_sheet.to_json(hits, limit))
    elif form == "classic":
        for sentence in search_sheet.sentences(hits, limit):
            print(printable(sentence))
        for note in search_sheet.notes(hits):  # beside the sentences, which programs read
            print(printable(note), file=sys.stderr)
    else:
        search_sheet.print_hits(hits, limit)
        if text:
            _print_neuron(searcher, text)


def _check(
    text: str | None, image: Path | None, like: str | None, by: str | None, form: str
) -> None:
    """Refuse options that contradict each other."""
    choice("format", form, ("table", "classic"))
    given = [
        name for name, value in (("WORD", text), ("--image", image), ("--like", like)) if value
    ]
    if len(given) != 1:
        found = " and ".join(given) or "nothing"
        raise UsageError(f"Expected one of WORD, --image and --like to search for, got {found}.")
    if by and text:
        raise UsageError("Expected --by with --image or --like, got it with a word.")
    if form == "classic" and not text:
        raise UsageError(f"Expected --format classic with a word, got it with {given[0]}.")


def _place(
    image: Path | None, at: str | None, box: str | None, by: str | None
) -> dict[str, list[float]]:
    """The place of the picture that is meant, if any."""
    if at is None and box is None:
        return {}
    given, text = ("--at", at) if at is not None else ("--box", box)
    if image is None or by or (at is not None and box is not None):
        raise UsageError(
            f"Expected {given} with --image FILE and without --by, and not both --at and --box."
        )
    try:
        numbers = [float(part) for part in str(text).split(",")]
    except ValueError:
        what = "numbers such as 120,80" if given == "--at" else "numbers such as 10,20,110,120"
        raise misuse(given.strip("-"), what, text) from None
    return {"point" if given == "--at" else "box": numbers}


def _print_neuron(searcher: Searcher, text: str) -> None:
    """Say how to look at a neuron, where the word is the name of one."""
    from neuronym.atlas.unit import unit_name
    from neuronym.report.summary import option

    atlas = searcher.atlas
    with contextlib.suppress(UsageError):
        layer, unit = unit_name(text)
        atlas.check_unit(layer, unit)
        place = shlex.quote(str(atlas.folder))
        name = shlex.quote(f"{layer}:{unit}")
        named = option(atlas, searcher.method)
        print(printable(f"{text} is also a neuron: {command()} show {place} {name}{named}"))


def _picture(path: Path, values: Values) -> Image:
    from neuronym.inputs.probes import images

    try:
        return images.decode(images.read_file(path), values)
    except CorruptImageError as error:
        raise misuse("image", "a picture", str(path), f"It {error}.") from error


def _like(searcher: Searcher, name: str, by: str, layers: list[str] | None) -> Hits:
    from neuronym.atlas.unit import unit_name

    every = len(searcher.relations.units)
    return searcher.like(*unit_name(name), by=by, layers=layers, count=every)
