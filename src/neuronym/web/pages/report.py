"""The report of an atlas: tables and figures of its evaluation, as `neuronym report` has them."""

from __future__ import annotations

import functools
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from neuronym._core.errors import NeuronymError
from neuronym._core.tables import Table, as_data
from neuronym.analysis.truth.open import open_truth
from neuronym.atlas.unit import unit_name
from neuronym.report.document.blocks import Block, Bullets, Code, Commands, Neurons, Picture, Text
from neuronym.report.document.compose import build
from neuronym.report.figures import as_bytes, style
from neuronym.report.plots.base import select as seen
from neuronym.web.addresses import segment
from neuronym.web.pages.base import NotFoundError, Page, Query, page
from neuronym.web.view import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_LARGEST_SVG = 400_000  # larger drawings become pictures of pixels
_DRAWING = threading.Lock()  # matplotlib has one style for the whole process


@dataclass(frozen=True)
class ReportPage(Page):
    """The report: sections of blocks, each a dictionary with its `kind`."""

    template: ClassVar[str] = "report.html"
    steady: ClassVar[bool] = True
    heading: str
    lead: tuple[str, ...]
    sections: tuple[dict[str, Any], ...]
    left_out: tuple[str, ...]


@page("report")
def report(view: View, parts: tuple[str, ...], query: Query) -> ReportPage:
    """The page of the report; made when it is first asked for, which takes seconds."""
    if parts:
        raise NotFoundError("There is no such page.")
    return made(view)[0]


def made(view: View) -> tuple[ReportPage, dict[str, bytes]]:
    """The report and the files of its figures, by name."""
    return view.once("report", lambda: _make(view))


def _make(view: View) -> tuple[ReportPage, dict[str, bytes]]:
    files: dict[str, bytes] = {}
    with _DRAWING, style():
        document = build(seen(view.atlas, truth=_truth(view)))
        sections = tuple(
            {
                "name": part.name,
                "title": part.title,
                "blocks": [as_block(block, view, files) for block in part.blocks],
            }
            for part in document.sections
        )
    found = ReportPage(
        f"Report · {view.title}",
        " ".join(document.lead)[:300],
        ("a", view.name, "report"),
        document.title,
        document.lead,
        sections,
        document.left_out,
    )
    return found, files


def _truth(view: View) -> str | None:
    """`classes` where the network's output layer tells what its units stand for."""
    try:
        open_truth(view.atlas, "classes")
    except NeuronymError:
        return None
    return "classes"


@functools.singledispatch
def as_block(block: Block, view: View, files: dict[str, bytes]) -> dict[str, Any]:
    """One part of a section as plain data; figures go into `files`."""
    raise TypeError(block)


@as_block.register(Text)
@as_block.register(Bullets)
@as_block.register(Commands)
@as_block.register(Code)
def _(block: Any, view: View, files: dict[str, bytes]) -> dict[str, Any]:
    return {"kind": type(block).__name__.lower(), **asdict(block)}


@as_block.register
def _(block: Table, view: View, files: dict[str, bytes]) -> dict[str, Any]:
    return {"kind": "table", **as_data(block), "texts": block.texts}


@as_block.register
def _(block: Picture, view: View, files: dict[str, bytes]) -> dict[str, Any]:
    name, content = _file(block.figure, block.name)
    files[name] = content
    width, height = block.figure.get_size_inches()
    return {
        "kind": "picture",
        "title": block.title,
        "file": f"a/{segment(view.name)}/report/{name}",
        "width": round(96 * width),
        "height": round(96 * height),
    }


def _file(figure: Figure, name: str) -> tuple[str, bytes]:
    drawing = as_bytes(figure, "svg")
    if len(drawing) <= _LARGEST_SVG:
        return f"{name}.svg", drawing
    return f"{name}.png", as_bytes(figure, "png")


@as_block.register
def _(block: Neurons, view: View, files: dict[str, bytes]) -> dict[str, Any]:
    cards = []
    for one in block.items:
        layer, unit = unit_name(one.name)
        cards.append(view.card(view.units.starts[layer] + unit, details=one.details))
    return {"kind": "neurons", "cards": cards}
