"""A folder of images, with the names of its sub-folders as labels and, where present, masks."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from neuronym._core.checks import Verbatim, choice, misuse
from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.registry import Name, known_params, write
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


class FolderProbe(Probe):
    """The images below a folder, in the order of their paths.

    The id of an image is its path below the folder, with `/` between names.

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
        self.name = name
        self._root, self._category, self._masks = root, category, masks
        found, others = _walk(root, arrays)
        if not found:
            raise UsageError(f"{_no_images(root, others)} {_FORMATS_READ}")
        self._left_out = dict(sorted(others.items(), key=lambda kind: (-kind[1], kind[0])))
        pairs = sorted((valid_text(path), path) for path in found)
        self._paths = [path for _, path in pairs]
        self._ids = unique([text for text, _ in pairs])

    def __len__(self) -> int:
        return len(self._paths)

    def image_id(self, index: int) -> str:
        return self._ids[index]

    def source(self, index: int) -> str | None:
        return valid_text(str(self._root / self._paths[index]))

    def read(self, index: int) -> RawImage:
        return RawImage(images.read_file(self._root / self._paths[index]))

    def labels(self, index: int) -> Sequence[Annotation]:
        if self._category is None:
            return ()
        # Not from the id: in a file name, `~2` is ours.
        parents = PurePosixPath(valid_text(self._paths[index])).parts[:-1]
        return tuple(Annotation(self._category, part) for part in dict.fromkeys(parents))

    def group(self, index: int) -> str:
        return valid_text(self._paths[index].rpartition("/")[0])

    def eight_bit(self, index: int) -> bool:
        return _suffix(self._paths[index]) in EIGHT_BIT

    def facts(self) -> dict[str, Any]:
        return {"left_out": self._left_out} if self._left_out else {}

    def masks(self, index: int) -> Sequence[Mask]:
        if self._masks is None:
            return ()
        try:
            raw = self.read(index)
            return self._masks.read(self._paths[index], raw)
        except CorruptImageError as error:
            raise CorruptImageError(f"{self._ids[index]}: {error}") from error

    def vocabulary(self) -> Sequence[Annotation]:
        names = {label for index in range(len(self)) for label in self.labels(index)}
        return sorted(names | set(self._masks.vocabulary() if self._masks else ()))


def _check_folder(root: Path) -> None:
    if root.is_dir():
        return
    got = Verbatim(f"{root}, which {'is a file' if root.exists() else 'does not exist'}")
    remedy = f"Its folder is {root.absolute().parent}." if root.is_file() else ""
    raise misuse("folder", "an existing folder", got, remedy)


def _no_images(root: Path, others: Counter[str]) -> str:
    total = sum(others.values())
    if not total:
        return f"The folder {root} is empty: it holds no files."
    kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(4))
    more = ", …" if len(others) > 4 else ""
    return f"The folder {root} holds no images, but {total} other files ({kinds}{more})."


def _walk(root: Path, arrays: str | None) -> tuple[list[str], Counter[str]]:
    """Paths of the images below `root` (posix, relative), and how many files are left out, by kind.

    Every physical folder is read once, however many symbolic links lead to it, so that loops end;
    a folder's own place goes before a link to it. For `arrays` see `FolderProbe`.
    """
    found: list[tuple[str, int]] = []  # with their inodes; 0: a symbolic link
    others: Counter[str] = Counter()
    needed = functools.cache(lacking)
    visited = {_identity(root)}
    folders, links = [""], []
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
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            raise NeuronymError(
                f"Cannot read the folder {root / folder}: {error.strerror or error}."
            ) from error
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _SKIPPED:
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            kind = _kind(entry)
            if kind == "folder":
                if entry.is_symlink():
                    links.append(path)
                elif (identity := _identity(Path(entry.path))) not in visited:
                    visited.add(identity)
                    folders.append(path)
            elif kind == "file":
                suffix = _suffix(entry.name)
                if suffix not in SUFFIXES and suffix not in ARRAYS:
                    others[suffix or "without ending"] += 1
                elif package := needed(suffix):
                    others[f"{suffix}, which needs {package}"] += 1
                else:
                    found.append((path, 0 if entry.is_symlink() else entry.inode()))
    paths = _once(root, found)
    if len(paths) < len(found):
        others["linked to a file that is there"] = len(found) - len(paths)
    pictures = [path for path in paths if _suffix(path) not in ARRAYS]
    if arrays == "yes" or (arrays is None and not pictures):
        return paths, others
    if len(pictures) < len(paths):
        others[".npy or .npz, which arrays=yes takes"] = len(paths) - len(pictures)
    return pictures, others


def _once(root: Path, found: Sequence[tuple[str, int]]) -> list[str]:
    """Each physical file once: in a place of its own before symbolic links, then the first path."""
    files = Counter(inode for _, inode in found if inode)
    if len(files) == len(found):
        return [path for path, _ in found]
    linked = {
        path: identity for path, inode in found if not inode and (identity := _file(root, path))
    }
    # Most files are told apart by their inodes alone, which are known without asking for them.
    unsure = {inode for inode, count in files.items() if count > 1}
    unsure |= {identity[1] for identity in linked.values()}
    seen: set[tuple[int, int]] = set()
    kept = []
    for path, inode in sorted(found, key=lambda entry: (not entry[1], entry[0])):
        identity = linked.get(path) if not inode else inode in unsure and _file(root, path)
        if identity and identity in seen:
            continue
        if identity:
            seen.add(identity)
        kept.append(path)
    return kept


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
