"""What all figures share: how one is begun, its ink and colours, and how it is written."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuronym._core import storage
from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.storage import cache_root
from neuronym._core.terminal import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Text; text of lesser weight, still dark enough for small print; lines that only guide the eye.
INK, PALE, FAINT = "#1f2430", "#5b6270", "#d5d9e0"
#: Okabe and Ito's colours, told apart with every kind of colour vision; without black and yellow.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
_FORMATS = (".png", ".svg", ".pdf", ".jpg", ".webp")
#: The font of figures; other installed ones step in for writings that it lacks.
_FONT = "DejaVu Sans"
#: Those that are tried first.
_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans Devanagari",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Arial Unicode MS",
    "WenQuanYi Zen Hei",
    "Noto Emoji",
)


def _choose_folder() -> None:
    """Where matplotlib keeps a list of fonts: in our cache, not in the user's home."""
    if "MPLCONFIGDIR" in os.environ:
        return
    folder = cache_root() / "matplotlib"
    os.environ["MPLCONFIGDIR"] = str(folder)
    try:
        storage.check_writable(folder)
    except OSError:  # it takes a temporary folder, and would say so at length
        logging.getLogger("matplotlib").setLevel(logging.ERROR)


@functools.cache
def _kind() -> type[Figure]:
    """A figure that notebooks show by itself, whether or not they have pyplot."""
    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            return as_bytes(self, "png")

    return Shown


def new(**options: Any) -> Figure:
    """An empty figure; `options` are those of matplotlib's `Figure`."""
    _choose_folder()
    return _kind()(**options)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """While a figure is drawn: our fonts and ink, and text from data shown as it is."""
    _choose_folder()
    import matplotlib

    with matplotlib.rc_context(
        {
            "font.family": [_FONT],
            "text.parse_math": False,  # a dollar in a label is a dollar
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": PALE,
            "axes.linewidth": 0.6,
            "axes.labelcolor": INK,
            "axes.labelsize": 9,
            "axes.titlesize": 9.5,
            "axes.titlelocation": "left",
            "axes.titlecolor": INK,
            "xtick.color": PALE,
            "ytick.color": PALE,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "legend.frameon": False,
            "legend.fontsize": 8,
            "text.color": INK,
        }
    ):
        yield


def shown(text: str, most: int = 28) -> str:
    """Text from data, printable, in one line of at most so many characters.

    >>> shown("a  very long name", 9)
    'a very l…'
    """
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the format follows from the file's ending.

    Raises:
        UsageError: the ending is none that can be written.
        NeuronymError: the file cannot be written.
    """
    check_format(path)
    try:
        _write(figure, path, path.suffix.lower()[1:])
    except OSError as error:
        raise NeuronymError(f"Cannot write {path}: {error.strerror or error}.") from error


def check_format(path: Path) -> None:
    """Raise UsageError unless figures can be written in the format of the file's ending."""
    if path.suffix.lower() not in _FORMATS:
        raise misuse("figure", f"a file name ending in {', '.join(_FORMATS)}", str(path))


def as_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as the bytes of a file, `kind` being png, svg, …"""
    out = io.BytesIO()
    _write(figure, out, kind)
    return out.getvalue()


def inline_svg(figure: Figure, prefix: str) -> str:
    """A figure as an `<svg>` element for a page, in the page's own ink, on no ground.

    The page defines `--ink`, `--pale`, `--faint` and `--ground`, for light and dark.

    Args:
        figure: which.
        prefix: put before its ids, which otherwise are those of every other figure, too.
    """
    out = io.BytesIO()
    _write(figure, out, "svg", transparent=True)
    text = out.getvalue().decode()
    text = text[text.index("<svg") :]
    for part in ("metadata", "style"):  # its only rule is in the page's own style
        text = re.sub(f"<{part}.*?</{part}>", "", text, flags=re.DOTALL)
    # Its size is the page's business; the ratio stays in the viewBox.
    head, end, body = text.partition(">")
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    # Only in tags: between them stands text from data.
    return head + end + re.sub("<[^>]*>", lambda tag: _of_page(tag[0], prefix), body)


def _of_page(tag: str, prefix: str) -> str:
    """A tag of a drawing with ids of its own, and in the colours and fonts of the page."""
    tag = re.sub(r'( id="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-", tag)
    for colour, name in ((INK, "ink"), (PALE, "pale"), (FAINT, "faint")):
        tag = tag.replace(f": {colour}", f": var(--{name})")
    tag = tag.replace("stroke: #ffffff", "stroke: var(--ground)")  # gaps between bars
    # Verdana's letters are as wide as those of DejaVu Sans, for which the figure was laid out.
    return tag.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")


def _write(figure: Figure, out: Any, kind: str, **options: Any) -> None:
    import warnings

    import matplotlib

    # The same figure gives the same file: no dates, no random ids.
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    rules: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "neuronym"}
    with warnings.catch_warnings(), matplotlib.rc_context(rules):
        # What is missing stands in the figure itself.
        warnings.filterwarnings("ignore", message="Glyph .* missing|Matplotlib currently does not")
        lacking = _choose_fonts(figure)
        if lacking and kind != "svg":  # who shows an SVG has fonts of his own
            text = f"No installed font has {lacking} characters: boxes stand for them."
            figure.text(0.995, 0.005, text, ha="right", va="bottom", fontsize=6, color=PALE)
        _finish(figure)
        figure.savefig(out, format=kind, metadata=dated, **options)


def _choose_fonts(figure: Figure) -> str:
    """Give each text the fonts it needs; returns the names of writings that none has."""
    from matplotlib.text import Text

    usual, lacking = _characters(_FONT), set()
    for text in figure.findobj(Text):
        strange = set(text.get_text()) - usual - {"\n"}
        if not strange:
            continue
        family = [_FONT]
        while strange and (font := _font_for(min(strange))) is not None:
            family.append(font)
            strange -= _characters(font)
        text.set_fontfamily(family)
        lacking |= strange
    return ", ".join(sorted({_writing(character) for character in lacking}))


@functools.cache
def _font_for(character: str) -> str | None:
    """An installed font that can draw a character, those of `_FONTS` before others."""
    from matplotlib.font_manager import fontManager

    names = {font.name for font in fontManager.ttflist}
    order = [name for name in _FONTS if name in names] + sorted(names - set(_FONTS))
    # One font draws a box for whatever there is.
    return next(
        (name for name in order if "Last Resort" not in name and character in _characters(name)),
        None,
    )


@functools.cache
def _characters(font: str) -> frozenset[str]:
    """What a font can draw."""
    from matplotlib.font_manager import fontManager
    from matplotlib.ft2font import FT2Font

    found: set[str] = set()
    for entry in fontManager.ttflist:
        if entry.name == font and entry.style == "normal":
            with contextlib.suppress(OSError, RuntimeError, ValueError):  # a damaged font
                found |= set(map(chr, FT2Font(entry.fname).get_charmap()))
    return frozenset(found)


def _writing(character: str) -> str:
    """The name of the writing that a character belongs to.

    >>> [_writing(character) for character in "狗ねकΩ"]
    ['Chinese', 'Japanese', 'Devanagari', 'Greek']
    """
    first = unicodedata.name(character, "unnamed").split()[0]
    east = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}
    if unicodedata.category(character).startswith("S"):
        return "symbol"
    return east.get(first, first.capitalize())


def _finish(figure: Figure) -> None:
    """Lay the figure out once, and round: the solver's last bits differ from run to run."""
    import numpy as np

    if figure.get_layout_engine() is None:
        return
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    parts = list(figure.subfigs)
    while parts:
        part = parts.pop()
        parts += part.subfigs
        box = part.bbox_relative
        box.p0, box.p1 = np.round(box.p0, 6) + 0.0, np.round(box.p1, 6) + 0.0  # no −0
    for axes in figure.get_axes():
        axes.set_position(np.round(axes.get_position().bounds, 6) + 0.0)
