"""The site as plain files, which any file server shows, search included."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from neuronym._core import storage
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.json import clean
from neuronym._core.progress import Progress, silent
from neuronym._core.words import fold
from neuronym.atlas.reader import Atlas
from neuronym.web.addresses import FileAddresses, file_part, segment
from neuronym.web.pages import report
from neuronym.web.pages.base import kinds
from neuronym.web.server import static_files
from neuronym.web.site import Site
from neuronym.web.view import LISTED, View

#: By which an earlier export is recognised: whether it is complete, and the files that it wrote.
MARK = "neuronym-site.json"
PART = ".neuronym-site.part"  # the folder in which an export is made before it takes its place


def export_site(
    atlases: Sequence[Atlas],
    out: Path,
    *,
    layers: Sequence[str] | None = None,
    top: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> int:
    """Write the site of some atlases as files.

    Args:
        atlases: opened.
        out: a new or empty folder, or one that holds an earlier export; one that was stopped is
            begun anew.
        layers: pages of the units of these layers only, by name or pattern (`layer4*`).
        top: pages of so many units of each atlas only, those to rely on most; see `Atlas.top`.
        overwrite: replace an earlier export.
        progress: display.

    Returns:
        The number of pages.

    Raises:
        UsageError: the folder holds something else, or an earlier export without `overwrite`; a
            layer that an atlas does not have.
        NeuronymError: a page cannot be made of what the atlas holds, or a file cannot be written.
    """
    chosen = [_chosen(atlas, layers, top) for atlas in atlases]
    earlier = _claim(out, overwrite)
    if not (out / MARK).exists():
        storage.write_json(out / MARK, {"complete": False, "files": []})
    part = out / PART
    try:
        pages = _make(Site(atlases, chosen=chosen), part, progress)
        files = {path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file()}
        # First, so that the next export knows them all should this one be stopped.
        told = {"complete": False, "files": sorted(files | earlier)}
        storage.write_json(out / MARK, told)
        _move(files, part, out)
        _remove(earlier - files, out)
        storage.write_json(out / MARK, {"complete": True, "pages": pages, "files": sorted(files)})
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return pages


def _chosen(
    atlas: Atlas, layers: Sequence[str] | None, top: int | None
) -> dict[str, list[int]] | None:
    """Of each layer the units that get pages, as `View` takes them."""
    if layers is None and top is None:
        return None
    found = atlas.searcher().layers_like(layers) if layers is not None else None
    for layer in found or ():
        atlas.check_unit(layer)
    wanted = [layer for layer in atlas.layers if found is None or layer in found]
    if top is None:
        return {layer: list(range(atlas.layers[layer]["units"])) for layer in wanted}
    best = atlas.top(top, layers=wanted)
    units = {layer: sorted(best["unit"][best["layer"] == layer].tolist()) for layer in wanted}
    return {layer: chosen for layer, chosen in units.items() if chosen}


def _claim(out: Path, overwrite: bool) -> set[str]:
    """The files of an earlier export that may be replaced; what it left unfinished is removed."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"Expected `out` to be a folder, got the file {out}.")
    if not out.is_dir() or not any(out.iterdir()):
        return set()
    if not (out / MARK).exists():
        raise UsageError(
            f"Expected `out` to be a new or empty folder, got {out}, which holds other things. "
            "Choose another path with --out."
        )
    complete, files = _read(out / MARK)
    if complete and not overwrite:
        raise UsageError(
            f"Expected `out` to be free, got {out}, which holds an exported site. Replace it "
            "with --overwrite."
        )
    if (out / PART).is_symlink():
        (out / PART).unlink()
    shutil.rmtree(out / PART, ignore_errors=True)
    return files


def _read(mark: Path) -> tuple[bool, set[str]]:
    """Whether an earlier export was finished, and its files."""
    try:
        told = json.loads(mark.read_text("utf-8"))
        return bool(told["complete"]), {n for n in told.get("files", ()) if isinstance(n, str)}
    except (OSError, ValueError, KeyError, TypeError):
        return False, set()


def _move(files: set[str], part: Path, out: Path) -> None:
    """Files to their place; a link that stands there is replaced, never followed."""
    for folder in sorted({folder for name in files for folder in PurePosixPath(name).parents}):
        place = out / folder
        try:
            if place != out and place.is_symlink():
                place.unlink()
            place.mkdir(exist_ok=True)
        except OSError as error:
            raise storage.cannot_write(place, error) from error
    for name in sorted(files):
        try:
            (part / name).replace(out / name)
        except OSError as error:
            raise storage.cannot_write(out / name, error) from error


def _remove(files: set[str], out: Path) -> None:
    """Files that an earlier export wrote, and folders that are empty without them."""
    root = out.resolve()
    for name in files:
        path = root / name
        # None that is elsewhere, and none behind a link.
        with contextlib.suppress(OSError, ValueError):
            if root in path.parents and path.parent.resolve() == path.parent:
                path.unlink(missing_ok=True)
                for folder in path.relative_to(root).parents[:-1]:
                    (root / folder).rmdir()


def _make(site: Site, out: Path, progress: Progress) -> int:
    """Write all files into a new folder; gives the number of pages."""
    with _told("the list of pages"):
        pages = list(_pages(site))
    there, used = {FileAddresses.name(*parts) for parts in pages}, set()
    with progress("pages", len(pages)) as tick:
        for parts in pages:
            at = FileAddresses(*parts, there=there)
            with _told(f"the page {at.name(*parts)}"):
                # Words stand in addresses as the site reads them: by their part of the address.
                page = site.page([segment(part) for part in parts])
                _put(out / at.name(*parts), site.html(page, at))
                _put(out / at.name(*parts, ending="json"), site.json(page))
            used |= at.used
            tick.advance()
    for name, content in static_files().items():
        _put(out / "static" / name, content)
    for view in site.views.values():
        folder = out / "a" / file_part(view.name)
        with _told(f"the images and the search of {view.name}"):
            for file in sorted(view.thumb_files):
                if view.chosen is not None and f"a/{segment(view.name)}/thumbs/{file}" not in used:
                    continue
                _put(folder / "thumbs" / file, (view.atlas.folder / "thumbs" / file).read_bytes())
            for name, content in report.made(view)[1].items():
                _put(folder / "report" / name, content)
            for name, data in search_files(view):
                text = json.dumps(clean(data), ensure_ascii=False, separators=(",", ":"))
                _put(folder / name, text)
    _put(out / ".nojekyll", b"")  # GitHub Pages would leave out files that begin with an underscore
    return len(pages)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Whatever goes wrong inside is said in a sentence that names what was made."""
    try:
        yield
    except NeuronymError:
        raise
    except Exception as error:
        raise NeuronymError(
            f"Cannot make {what}: something in the atlas is not as it should be "
            f"({type(error).__name__}: {error}). Make the atlas anew with "
            "`neuronym dissect --overwrite`."
        ) from error


def _pages(site: Site) -> Iterator[tuple[str, ...]]:
    yield ()
    for name, view in site.views.items():
        for kind in kinds().values():
            for more in kind.every(view) if kind.every else ():
                yield ("a", name, *([kind.name] if kind.name else []), *more)


def _put(path: Path, content: str | bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            content.encode("utf-8", "replace") if isinstance(content, str) else content
        )
    except OSError as error:
        raise storage.cannot_write(path, error) from error


def search_files(view: View) -> Iterator[tuple[str, Any]]:
    """What the exported search reads: words with their units, and the units of each layer."""
    frame = view.labels().frame
    frame = frame[frame["concept"].notna() & (frame["rank"] <= LISTED)]
    silent = frame["abstained"].astype(bool)
    hidden = Counter(map(fold, frame.loc[silent, "concept"]))  # a unit has each word once
    frame = frame[~silent]
    frame = frame[np.isin(view.units.numbers(frame), [*view.places])]
    words: dict[str, list[Any]] = {}
    numbers = view.units.numbers(frame)
    for number, rank, word, score in zip(
        numbers.tolist(), frame["rank"].tolist(), frame["concept"], frame["score"], strict=True
    ):
        words.setdefault(fold(word), []).extend((number, rank, round(float(score), 4)))
    concepts = sorted({fold(word) for word in view.atlas.concepts["concept"]} - words.keys())
    yield (
        "search.json",
        {
            "layers": [[n, facts["units"], file_part(n)] for n, facts in view.layers.items()],
            "words": words,
            "hidden": hidden,
            "unused": concepts,
            "paged": None if view.chosen is None else sorted(view.places),
        },
    )
    for place, layer in enumerate(view.layers):
        start, count = view.units.starts[layer], view.layers[layer]["units"]
        paged = set(view.paged.get(layer, ()))
        cards = (view.card(start + unit) if unit in paged else None for unit in range(count))
        yield (
            f"cards-{place}.json",
            [
                [c.concept, c.score, int(c.abstained), [t.rpartition("/")[2] for t in c.thumbs]]
                if c
                else None
                for c in cards
            ],
        )
