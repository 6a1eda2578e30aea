"""A report as Markdown, with its images in a folder beside it."""

from __future__ import annotations

import functools
import re
import shutil
from pathlib import Path
from urllib.parse import quote

from neuronym._core.storage import atomic_write, cannot_write
from neuronym._core.tables import Table, to_markdown
from neuronym._core.terminal import printable
from neuronym.report.document.blocks import (
    Block,
    Bullets,
    Code,
    Commands,
    Document,
    Neurons,
    Picture,
    Text,
)
from neuronym.report.figures import save


def write(document: Document, path: Path) -> list[Path]:
    """Write a report and its images (`report.md`, `report-images/`); returns all files."""
    folder = path.with_name(f"{path.stem}-images")
    images: dict[str, Path | Picture] = {}
    lines = [f"# {_text(document.title)}", "", *_paragraphs(document.lead)]
    for section in document.sections:
        lines += [f"## {_text(section.title)}", ""]
        for part in section.blocks:
            lines += [block(part, folder.name, images), ""]
    try:
        for name, source in images.items():
            folder.mkdir(exist_ok=True)
            if isinstance(source, Picture):
                save(source.figure, folder / name)
            else:
                shutil.copyfile(source, folder / name)
    except OSError as error:
        raise cannot_write(folder, error) from error
    with atomic_write(path) as file:
        file.write(("\n".join(lines).rstrip() + "\n").encode())
    return [path, *(folder / name for name in images)]


def _paragraphs(texts: tuple[str, ...]) -> list[str]:
    return [line for text in texts for line in (_text(text), "")]


@functools.singledispatch
def block(part: Block, folder: str, images: dict[str, Path | Picture]) -> str:
    """One part of a section as Markdown.

    Args:
        part: which.
        folder: name of the folder of images.
        images: file name → what is to be in it; added to.
    """
    raise TypeError(part)


@block.register
def _(part: Text, folder: str, images: dict) -> str:
    return _text(part.text)


@block.register
def _(part: Bullets, folder: str, images: dict) -> str:
    return "\n".join(f"- {_text(item)}" for item in part.items)


@block.register
def _(part: Commands, folder: str, images: dict) -> str:
    return "\n\n".join(f"{_text(what)}\n\n{_code(command)}" for what, command in part.items)


@block.register
def _(part: Code, folder: str, images: dict) -> str:
    return f"{_text(part.title)}:\n\n{_code(part.text)}"


@block.register
def _(part: Table, folder: str, images: dict) -> str:
    return to_markdown(part).rstrip()


@block.register
def _(part: Picture, folder: str, images: dict) -> str:
    name = f"{part.name}.png"
    images[name] = part
    return f"![{_text(part.title)}]({quote(folder)}/{name})"


@block.register
def _(part: Neurons, folder: str, images: dict) -> str:
    lines = []
    for one in part.items:
        about = " · ".join(map(_text, (one.name, *one.details)))
        lines.append(f"**{_text(one.label or 'no label')}** · {about}")
        shown = []
        for name, path in one.images:
            if path is not None:
                images[path.name] = path
                shown.append(
                    f'<img src="{quote(folder)}/{quote(path.name)}" width="96" '
                    f'alt="{_attribute(name)}">'
                )
        lines += ["", " ".join(shown), ""] if shown else [""]
    return "\n".join(lines).rstrip()


def _code(text: str) -> str:
    """Lines of code, indented: no fence that the text itself could close."""
    return "\n".join(f"    {line}" for line in printable(text, lines=True).splitlines())


def _attribute(text: str) -> str:
    from html import escape

    return escape(printable(" ".join(text.split())))


def _text(text: str) -> str:
    """Text from anywhere as Markdown: one line, printable, nothing in it a mark."""
    line = printable(" ".join(text.split()))
    line = re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
