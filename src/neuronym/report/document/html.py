"""A report as one HTML file that needs nothing else: no script, no request, no other file."""

from __future__ import annotations

import base64
import functools
import io
import re
from html import escape
from importlib.resources import files
from pathlib import Path

from neuronym._core.tables import Table, to_html
from neuronym._core.terminal import printable
from neuronym.report.document.blocks import (
    Block,
    Bullets,
    Code,
    Commands,
    Document,
    Neuron,
    Neurons,
    Picture,
    Text,
)
from neuronym.report.figures import as_bytes, inline_svg

#: Larger drawings become pictures of pixels.
_LARGEST_SVG = 400_000
_THUMB = 112  # pixels a side; shown at half of it
#: Even if something slipped through, a browser would run and fetch nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def to_page(document: Document) -> str:
    """The whole page."""
    style = files(__package__).joinpath("page.css").read_text("utf-8")
    contents = "".join(f'<a href="#{s.name}">{_text(s.title)}</a>' for s in document.sections)
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_plain(document.title)}</title>",
        f"<style>\n{style}</style>",
        "</head>",
        "<body>",
        f"<h1>{_text(document.title)}</h1>",
        f'<div class="lead">{"".join(f"<p>{_text(t)}</p>" for t in document.lead)}</div>',
        f"<nav>{contents}</nav>",
        "<main>",
    ]
    for section in document.sections:
        lines += [f'<section id="{section.name}">', f"<h2>{_text(section.title)}</h2>"]
        lines += [block(part) for part in section.blocks]
        lines.append("</section>")
    return "\n".join([*lines, "</main>", "</body>", "</html>"]) + "\n"


@functools.singledispatch
def block(part: Block) -> str:
    """One part of a section as HTML."""
    raise TypeError(part)


@block.register
def _(part: Text) -> str:
    return f"<p>{_text(part.text)}</p>"


@block.register
def _(part: Bullets) -> str:
    return f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in part.items)}</ul>"


@block.register
def _(part: Commands) -> str:
    rows = (
        f"<dt>{_text(what)}</dt><dd><pre><code>{_text(command)}</code></pre></dd>"
        for what, command in part.items
    )
    return f"<dl>{''.join(rows)}</dl>"


@block.register
def _(part: Code) -> str:
    code = escape(printable(part.text, lines=True))
    return f"<details><summary>{_text(part.title)}</summary><pre>{code}</pre></details>"


@block.register
def _(part: Table) -> str:
    table, end, notes = to_html(part).partition("</table>")
    return f'<div class="wide">{table}{end}</div>{notes}'


@block.register
def _(part: Picture) -> str:
    drawing, title = inline_svg(part.figure, part.name), _plain(part.title)
    width = f"{part.figure.get_figwidth():.3g}in"  # so that all print is of one size
    if len(drawing) > _LARGEST_SVG:
        data = base64.b64encode(as_bytes(part.figure, "png")).decode()
        drawing = f'<img src="data:image/png;base64,{data}" alt="{title}" style="width: {width}">'
    else:
        drawing = drawing.replace(
            "<svg", f'<svg role="img" aria-label="{title}" style="width: {width}"', 1
        )
    return f"<figure>{drawing}</figure>"


@block.register
def _(part: Neurons) -> str:
    return f'<div class="neurons">{"".join(map(_card, part.items))}</div>'


def _card(one: Neuron) -> str:
    thumbs = ((name, _thumb(path)) for name, path in one.images if path is not None)
    images = "".join(
        f'<img src="data:image/jpeg;base64,{data}" alt="{_plain(name)}" title="{_plain(name)}">'
        for name, data in thumbs
        if data
    )
    images = f'<div class="images">{images}</div>' if images else ""
    details = "".join(f"<p>{_text(line)}</p>" for line in one.details)
    heading = f"{_text(one.label or 'no label')} <span>{_text(one.name)}</span>"
    return f'<article class="neuron"><h3>{heading}</h3>{details}{images}</article>'


def _thumb(path: Path) -> str:
    """A small JPEG copy, base64; empty if the file is no image any more."""
    from PIL import Image

    out = io.BytesIO()
    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except OSError:
        return ""
    small.thumbnail((_THUMB, _THUMB))
    small.save(out, "JPEG", quality=78, optimize=True)
    return base64.b64encode(out.getvalue()).decode()


def _text(text: str) -> str:
    """Text from anywhere as HTML: one line, printable, escaped; what is in backticks as code."""
    line = re.sub(r"(\d) %", "\\1\u00a0%", _plain(text))
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", line)


def _plain(text: str) -> str:
    """The same without any tags, also for inside of quotes."""
    return escape(printable(" ".join(text.split())))
