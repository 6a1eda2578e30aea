"""A folder of images, with the names of its sub-folders as labels and, where present, masks."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuronym._core.checks import Verbatim, choice, misuse
from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.registry import Name, known_params, write
from neuronym._core.texts import Texts
from neuronym.inputs.probes import images
from neuronym.inputs.probes.base import (
    PROBES,
    Annotation,
    Mask,
    Probe,
    RawImage,
    unique,
    valid_text,
)
from neuronym.inputs.probes.deep import ARRAYS, EIGHT_BIT, lacking
from neuronym.inputs.probes.masks import MaskFolder, read_names

#: Files with these endings, in any case, are images.
SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
        ".avif",
        ".ico",
        ".heic",
        ".heif",
        ".hif",
        ".jxl",
    }
)
#: Some of which need packages.
_PACKAGES = frozenset({".avif", ".heic", ".heif", ".hif", ".jxl"})
#: What systems and programs leave in folders, in any case; also what begins with a dot.
_SKIPPED = frozenset(
    {"__macosx", "@eadir", "@tmp", "#recycle", "@recycle", "$recycle.bin", "#snapshot"}
    | {"@recently-snapshot", "system volume information", "lost+found", "thumbs.db", "ehthumbs.db"}
    | {"desktop.ini", "icon\r", "__pycache__"}
)
_FORMATS_READ = "Images are files named " + ", ".join(
    f"*{suffix}" for suffix in (".jpg", ".png", ".webp", ".gif", ".bmp", ".tif", ".ppm", ".avif")
)


@PROBES.register(
    "folder",
    syntax="folder:PATH[,labels=no|CATEGORY][,masks=PATH|no][,names=a|b|…|FILE][,arrays=yes|no]",
    example="folder:photos",
)
def open_folder(name: Name) -> Probe:
    """A folder of images, searched recursively; sub-folder names become labels.

    Raises:
        UsageError: no such folder, no images in it, or masks without names.
    """
    known_params(name, "labels", "masks", "names", "arrays")
    arrays = name.params.get("arrays")
    if arrays is not None:
        choice("arrays", arrays, ("yes", "no"))
    if not name.detail:
        got = Verbatim(f"{write(name)} without a path")
        raise misuse("probe", "folder:PATH, the path of a folder of images", got)
    root = Path(name.detail).expanduser()
    _check_folder(root)
    masks_at = name.params.get("masks")
    inner = root
    if (root / "images").is_dir() and (root / "masks").is_dir():
        inner, masks_at = root / "images", masks_at or str(root / "masks")
    elif masks_at is None and "names" in name.params:
        raise misuse("names", "left out where there are no masks", name.params["names"])
    masks = None
    if masks_at not in (None, "no"):
        folder = Path(masks_at).expanduser()
        _check_folder(folder)
        masks = MaskFolder(folder, read_names(name.params.get("names"), [root, folder.parent]))
    category = valid_text(name.params.get("labels", "folder"))
    return FolderProbe(
        inner, valid_text(write(name)), None if category == "no" else category, masks, arrays
    )


class PathsProbe(Probe):
    """Images with paths, whose folders are their labels: on the disk, behind a URL, in archives.

    The id of an image is its path, with `/` between names.

    Args:
        paths: in order, all different.
        name: the name that opens it again.
        category: of the labels that the names of folders give, or None for no labels.
        others: numbers of files that are left out, by kind.
    """

    def __init__(self, paths: Texts, name: str, category: str | None, others: Counter[str]) -> None:
        self._paths, self.name, self._category = paths, name, category
        self._left_out = dict(sorted(others.items(), key=lambda kind: (-kind[1], kind[0])))
        # Most ids are the paths; names that are not UTF-8 are shown otherwise.
        self._renamed: dict[int, str] = {}
        if not paths.ascii and any(valid_text(path) != path for path in paths):
            pairs = sorted((valid_text(path), path) for path in paths)
            self._paths = Texts(path for _, path in pairs)
            ids = unique([text for text, _ in pairs])
            self._renamed = {i: ids[i] for i, (_, path) in enumerate(pairs) if ids[i] != path}

    def __len__(self) -> int:
        return len(self._paths)

    def image_id(self, index: int) -> str:
        return self._renamed.get(index) or self._paths[index]

    def labels(self, index: int) -> Sequence[Annotation]:
        if self._category is None:
            return ()
        # Not from the id: in a file name, `~2` is ours.
        parents = valid_text(self._paths[index]).split("/")[:-1]
        return tuple(Annotation(self._category, part) for part in dict.fromkeys(parents))

    def vocabulary(self) -> Sequence[Annotation]:
        if self._category is None:
            return ()
        parents = {path.rpartition("/")[0] for path in self._paths} - {""}
        names = {name for path in parents for name in valid_text(path).split("/")}
        return sorted(Annotation(self._category, name) for name in names)

    def group(self, index: int) -> str:
        return valid_text(self._paths[index].rpartition("/")[0])

    def eight_bit(self, index: int) -> bool:
        return _suffix(self._paths[index]) in EIGHT_BIT

    def facts(self) -> dict[str, Any]:
        return {"left_out": self._left_out} if self._left_out else {}


class FolderProbe(PathsProbe):
    """The images below a folder, in the order of their paths.

    Args:
        root: the folder.
        name: the name that opens it again.
        category: of the labels that the names of sub-folders give, or None for no labels.
        masks: where the pixel masks are, or None.
        arrays: `yes`: files .npy and .npz are images; `no`: they are not; None: where there are no
            other images.

    Raises:
        UsageError: there are no images in the folder.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        category: str | None = "folder",
        masks: MaskFolder | None = None,
        arrays: str | None = None,
    ) -> None:
        self._root, self._masks = root, masks
        paths, others = _walk(root, arrays)
        if not paths:
            raise UsageError(none_there(f"The folder {root}", others))
        super().__init__(paths, name, category, others)

    def source(self, index: int) -> str | None:
        return valid_text(str(self._root / self._paths[index]))

    def read(self, index: int) -> RawImage:
        return RawImage(images.read_file(self._root / self._paths[index]))

    def masks(self, index: int) -> Sequence[Mask]:
        if self._masks is None:
            return ()
        try:
            raw = self.read(index)
            return self._masks.read(self._paths[index], raw)
        except CorruptImageError as error:
            raise CorruptImageError(f"{self.image_id(index)}: {error}") from error

    def vocabulary(self) -> Sequence[Annotation]:
        masks = self._masks.vocabulary() if self._masks else ()
        return sorted({*super().vocabulary(), *masks})


def _check_folder(root: Path) -> None:
    if root.is_dir():
        return
    got = Verbatim(f"{root}, which {'is a file' if root.exists() else 'does not exist'}")
    remedy = f"Its folder is {root.absolute().parent}." if root.is_file() else ""
    raise misuse("folder", "an existing folder", got, remedy)


def none_there(place: str, others: Counter[str]) -> str:
    """What is said of a place that holds no images, but perhaps other files."""
    total = sum(others.values())
    if not total:
        return f"{place} is empty: it holds no files. {_FORMATS_READ}"
    most = sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))[:4]
    kinds = ", ".join(f"{count} {kind}" for kind, count in most)
    more = ", …" if len(others) > 4 else ""
    return f"{place} holds no images, but {total} other files ({kinds}{more}). {_FORMATS_READ}"


def sort_out(name: str, others: Counter[str]) -> bool:
    """Whether a file is an image by its name; others are counted by kind, but for hidden ones."""
    if is_hidden(name):
        return False
    suffix = _suffix(name)
    if suffix in EIGHT_BIT and suffix not in _PACKAGES:
        return True
    if suffix not in SUFFIXES:
        others[suffix or "without ending"] += 1
        return False
    if package := lacking(suffix):
        others[f"{suffix}, which needs {package}"] += 1
    return not package


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over without a word."""
    return name.startswith(".") or name.lower() in _SKIPPED


def _walk(root: Path, arrays: str | None) -> tuple[Texts, Counter[str]]:
    """Paths of the images below `root` (posix, relative, in order), and how many files are left
    out, by kind.

    Every physical folder is read once, however many symbolic links lead to it, so that loops end;
    a folder's own place goes before a link to it. For `arrays` see `FolderProbe`.
    """
    found, inodes, is_array = Texts(), array("Q"), bytearray()  # inode 0: a symbolic link
    others: Counter[str] = Counter()
    visited = {_identity(root)}
    folders, links = [""], list[str]()
    while folders or links:
        if folders:
            folder = folders.pop()
        else:
            links.sort(reverse=True)
            folder = links.pop()
            identity = _identity(root / folder)
            if identity in visited:
                continue
            visited.add(identity)
        inner = []
        for entry in _entries(root / folder):
            name = entry.name
            if is_hidden(name):
                continue
            kind = _kind(entry)
            path = f"{folder}/{name}" if folder else name
            if kind == "folder":
                inner.append((path, entry))
            elif kind == "file":
                array_file = _suffix(name) in ARRAYS
                if array_file or sort_out(name, others):
                    found.append(path)
                    inodes.append(0 if entry.is_symlink() else entry.inode())
                    is_array.append(array_file)
        for path, entry in sorted(inner, key=lambda pair: pair[0]):
            if entry.is_symlink():
                links.append(path)
            elif (identity := _identity(Path(entry.path))) not in visited:
                visited.add(identity)
                folders.append(path)
    order = found.order()
    paths, files = found.take(order), np.frombuffer(inodes, np.uint64)[order]
    del found
    again = _again(root, paths, files)
    if again.any():
        others["linked to a file that is there"] = int(again.sum())
    pictures = ~np.frombuffer(is_array, bool)[order] & ~again
    if arrays == "yes" or (arrays is None and not pictures.any()):
        pictures = ~again
    elif left := int((~again & ~pictures).sum()):
        others[".npy or .npz, which arrays=yes takes"] = left
    return paths if pictures.all() else paths.take(np.flatnonzero(pictures)), others


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise NeuronymError(
            f"Cannot read the folder {folder}: {error.strerror or error}."
        ) from error


def _again(root: Path, paths: Texts, inodes: np.ndarray) -> np.ndarray:
    """bool `[path]`: those that lead to a file which is there already.

    Each physical file counts in a place of its own before symbolic links (inode 0), then in the
    first path.
    """
    again, linked = np.zeros(len(paths), bool), inodes == 0
    files, counts = np.unique(inodes[~linked], return_counts=True)
    repeated = files[counts > 1]
    if not linked.any() and not len(repeated):
        return again
    leads = {row: _file(root, paths[row]) for row in np.flatnonzero(linked).tolist()}
    # Most files are told apart by their inodes alone, which are known without asking for them.
    there = [identity[1] for identity in leads.values() if identity]
    unsure = np.isin(inodes, np.concatenate([repeated, np.array(there, np.uint64)])) & ~linked
    seen: set[tuple[int, int]] = set()
    for row in [*np.flatnonzero(unsure).tolist(), *leads]:
        identity = leads[row] if row in leads else _file(root, paths[row])
        again[row] = identity in seen
        seen |= {identity} if identity else set()
    return again


def _file(root: Path, path: str) -> tuple[int, int] | None:
    """What tells a file from others; None for one that is not there."""
    try:
        return _identity(root / path)
    except OSError:
        return None


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _kind(entry: os.DirEntry[str]) -> str:
    """`folder`, `file`, or `other` for pipes, sockets and devices, which reading would wait for.

    A link that leads nowhere, or round in circles, is a file: one that cannot be read.
    """
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() or not os.path.exists(entry.path) else "other"
    except OSError:
        return "file"


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino
