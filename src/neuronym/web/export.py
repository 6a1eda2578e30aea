"""The site as plain files, which any file server shows, search included."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from neuronym import _files
from neuronym._errors import UsageError
from neuronym._json import clean
from neuronym._types import Progress, silent
from neuronym.atlas import Atlas
from neuronym.matching import fold
from neuronym.web.addresses import FileAddresses, file_part, segment
from neuronym.web.pages import KINDS, report
from neuronym.web.server import static_files
from neuronym.web.site import Site
from neuronym.web.view import LISTED, View

MARK = "neuronym-site.json"  # by which an earlier export is recognised


def export_site(
    atlases: Sequence[Atlas], out: Path, *, overwrite: bool = False, progress: Progress = silent
) -> int:
    """Write the site of some atlases as files.

    Args:
        atlases: opened.
        out: a new or empty folder, or one that holds an earlier export; one that was stopped is
            begun anew.
        overwrite: replace an earlier export.
        progress: display.

    Returns:
        The number of pages.

    Raises:
        UsageError: the folder holds something else, or an earlier export without `overwrite`.
        NeuronymError: a file cannot be written.
    """
    _claim(out, overwrite)
    site = Site(atlases)
    # First, so that one can tell what was begun and not finished.
    _put(out / MARK, json.dumps({"complete": False}).encode())
    pages = list(_pages(site))
    with progress("pages", len(pages)) as tick:
        for parts in pages:
            _write(site, out, parts)
            tick.advance()
    for name, content in static_files().items():
        _put(out / "static" / name, content)
    for view in site.views.values():
        folder = out / "a" / file_part(view.name)
        for file in sorted(view.thumb_files):
            _put(folder / "thumbs" / file, (view.atlas.folder / "thumbs" / file).read_bytes())
        for name, content in report.made(view)[1].items():
            _put(folder / "report" / name, content)
        for name, data in search_files(view):
            text = json.dumps(clean(data), ensure_ascii=False, separators=(",", ":"))
            _put(folder / name, text.encode("utf-8", "replace"))
    _put(out / ".nojekyll", b"")  # GitHub Pages would leave out files that begin with an underscore
    _put(out / MARK, json.dumps({"complete": True, "pages": len(pages)}).encode())
    return len(pages)


def _claim(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"Expected `out` to be a folder, got the file {out}.")
    if out.is_dir() and any(out.iterdir()):
        if not (out / MARK).exists():
            raise UsageError(
                f"Expected `out` to be a new or empty folder, got {out}, which holds other things. "
                "Choose another path with --out."
            )
        if not overwrite and _complete(out / MARK):
            raise UsageError(
                f"Expected `out` to be free, got {out}, which holds an exported site. Replace it "
                "with --overwrite."
            )
        for name in ("a", "static"):
            if (out / name).is_symlink():
                (out / name).unlink()
            shutil.rmtree(out / name, ignore_errors=True)


def _complete(mark: Path) -> bool:
    """Whether an earlier export was finished."""
    try:
        return bool(json.loads(mark.read_text("utf-8"))["complete"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _pages(site: Site) -> Iterator[tuple[str, ...]]:
    yield ()
    for name, view in site.views.items():
        for kind in KINDS.values():
            for more in kind.every(view) if kind.every else ():
                yield ("a", name, *([kind.name] if kind.name else []), *more)


def _write(site: Site, out: Path, parts: tuple[str, ...]) -> None:
    at = FileAddresses(*parts)
    # Words stand in addresses as the site reads them: by their part of the address.
    page = site.page([segment(part) for part in parts])
    _put(out / at.name(*parts), site.html(page, at).encode("utf-8", "replace"))
    _put(out / at.name(*parts, ending="json"), site.json(page).encode("utf-8", "replace"))


def _put(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise _files.cannot_write(path, error) from error


def search_files(view: View) -> Iterator[tuple[str, Any]]:
    """What the exported search reads: words with their units, and the units of each layer."""
    frame = view.labels().frame
    frame = frame[~frame["abstained"].astype(bool) & (frame["rank"] <= LISTED)]
    words: dict[str, list[Any]] = {}
    numbers = view.units.numbers(frame)
    for number, rank, word, score in zip(
        numbers.tolist(), frame["rank"].tolist(), frame["concept"], frame["score"], strict=True
    ):
        words.setdefault(fold(word), []).extend((number, rank, round(float(score), 4)))
    concepts = sorted({fold(word) for word in view.atlas.concepts["concept"]} - words.keys())
    yield "search.json", {
        "layers": [[n, facts["units"], file_part(n)] for n, facts in view.layers.items()],
        "words": words, "unused": concepts,
    }  # fmt: skip
    for place, layer in enumerate(view.layers):
        start, count = view.units.starts[layer], view.layers[layer]["units"]
        cards = (view.card(start + unit) for unit in range(count))
        yield (
            f"cards-{place}.json",
            [
                [c.concept, c.score, int(c.abstained), [t.rpartition("/")[2] for t in c.thumbs]]
                for c in cards
            ],
        )
