"""The report of an atlas: one self-contained HTML file, or Markdown with images beside it."""

from __future__ import annotations

from pathlib import Path

from neuronym._core.checks import choice
from neuronym._core.progress import Progress, silent
from neuronym._core.storage import atomic_write, cannot_write
from neuronym.report.document import html, markdown
from neuronym.report.document.blocks import Document
from neuronym.report.document.sections import Builder
from neuronym.report.figures import style
from neuronym.report.plots.base import Selection

#: Format → the ending of its files.
FORMATS = {"html": ".html", "markdown": ".md"}


def build(seen: Selection, progress: Progress = silent) -> Document:
    """What the report of an atlas says, without a form.

    Args:
        seen: the atlas, the method, the layers, and the truth if there is one.
        progress: display for long work.

    Raises:
        UsageError: a truth that there is not.
    """
    return Builder(seen, progress).build()


def write(document: Document, path: Path, form: str | None = None) -> list[Path]:
    """Write a report.

    Args:
        document: what it says.
        path: of the file; the images of Markdown go into a folder beside it.
        form: `html` or `markdown`. None: by the ending of `path`.

    Returns:
        The files, the report first.

    Raises:
        UsageError: an unknown form.
        NeuronymError: a file cannot be written.
    """
    kind = prepare(path, form)
    with style():  # also while figures are written: parts of them are made only then
        if kind == "markdown":
            return markdown.write(document, path)
        page = html.to_page(document)
    with atomic_write(path) as file:
        file.write(page.encode())
    return [path]


def prepare(path: Path, form: str | None = None) -> str:
    """The form of a report; its folder is made. Refuses at once what could only fail later.

    Raises: as `write`.
    """
    kind = form or ("markdown" if path.suffix.lower() in (".md", ".markdown") else "html")
    choice("format", kind, FORMATS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return kind
