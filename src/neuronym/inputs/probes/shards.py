"""Images in tar files, with the files that label them beside (WebDataset), read where they lie."""

from __future__ import annotations

import itertools
import json
import re
import tarfile
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.registry import Name, known_params, write
from neuronym._core.texts import Texts, first_repeated
from neuronym.inputs.probes import remote
from neuronym.inputs.probes.base import CLASS, PROBES, Annotation, Probe, RawImage, valid_text
from neuronym.inputs.probes.deep import EIGHT_BIT
from neuronym.inputs.probes.folder import none_there, sort_out
from neuronym.inputs.probes.masks import read_names

#: Files beside an image that label it, by their endings, the one that counts first.
_LABELS = (".cls", ".json", ".txt")
#: Where a .json file says what is on the image.
_KEYS = ("label", "labels", "class", "class_name", "classes", "category")
#: Files of labels above this many bytes are not read.
_MOST = 1 << 16
#: What is read of a shard that is not on this machine, at once, to find where its files are.
_AHEAD = 8 << 20
_CAPTION = "caption"


@PROBES.register(
    "wds",
    syntax="wds:SHARDS[,labels=no|CATEGORY][,names=a|b|…|FILE]",
    example="wds:photos-{000..011}.tar",
)
def open_shards(name: Name) -> Probe:
    """Tar files of images, paths or URLs, with .cls, .json or .txt files beside them as labels.

    Raises:
        UsageError: there are no such files, or no images in them.
        NeuronymError: they cannot be read as tar files.
    """
    known_params(name, "labels", "names")
    if not name.detail:
        got = Verbatim(f"{write(name)} without a path")
        raise misuse("probe", "wds:SHARDS, such as photos-{000..011}.tar or photos-*.tar", got)
    files, paths = _expand(name.detail)
    category = valid_text(name.params.get("labels", CLASS))
    names = {}
    if "names" in name.params:
        names = {k: v.name for k, v in read_names(name.params["names"], [Path(".")]).items()}
    return ShardsProbe(
        files, paths, valid_text(write(name)), None if category == "no" else category, names
    )


class ShardsProbe(Probe):
    """The images in tar files that are not compressed, in the order of files and members.

    Opening reads the headers of all members and the small files that label images; reading an
    image reads its bytes alone. Ids are the shard's name and the path in it: `photos-000/7.jpg`.

    Args:
        files: the file system of fsspec that they are in.
        paths: of the tar files in it.
        name: the name that opens it again.
        category: of the labels, or None for no labels.
        names: what numbers among the labels stand for.
    """

    def __init__(
        self,
        files: Any,
        paths: Sequence[str],
        name: str,
        category: str | None = CLASS,
        names: Mapping[int, str] | None = None,
    ) -> None:
        self.name, self._category, self._names = name, category, dict(names or {})
        self._files, self._shards = files, list(paths)
        self._members, self._labels, self._ends = Texts(), Texts(), array("q")
        self._at, self._size = array("q"), array("q")
        others: Counter[str] = Counter()
        for shard in self._shards:
            self._index(shard, others)
            self._ends.append(len(self._members))
        if not self._members:
            raise UsageError(none_there(name, others))
        self._left_out = dict(sorted(others.items(), key=lambda kind: (-kind[1], kind[0])))
        stems = [path.rpartition("/")[2].removesuffix(".tar") for path in self._shards]
        self._stems = stems if len({*stems}) == len(stems) else self._shards
        if (repeated := first_repeated(self.ids)) is not None:
            raise UsageError(
                f"Expected images with different names in {name}, got {repeated!r} twice."
            )

    def __len__(self) -> int:
        return len(self._members)

    def image_id(self, index: int) -> str:
        return f"{valid_text(self._stems[self._shard(index)])}/{valid_text(self._members[index])}"

    def source(self, index: int) -> str | None:
        return f"{valid_text(self._shards[self._shard(index)])}/{valid_text(self._members[index])}"

    def read(self, index: int) -> RawImage:
        shard = self._shards[self._shard(index)]
        return RawImage(remote.fetch(self._files, shard, self._at[index], self._size[index]))

    def labels(self, index: int) -> Sequence[Annotation]:
        return tuple(self._annotations(self._labels[index]))

    def vocabulary(self) -> Sequence[Annotation]:
        return self._vocabulary

    @cached_property
    def _vocabulary(self) -> list[Annotation]:
        every = {Annotation(self._category or CLASS, name) for name in self._names.values()}
        return sorted(every | {a for text in {*self._labels} for a in self._annotations(text)})

    def group(self, index: int) -> str:
        """Its labels; of images with captions, or none, the shard."""
        text = self._labels[index]
        return self._stems[self._shard(index)] if not text or text[0] == "t" else text

    def eight_bit(self, index: int) -> bool:
        return Path(self._members[index]).suffix.lower() in EIGHT_BIT

    def facts(self) -> dict[str, Any]:
        return {"left_out": self._left_out} if self._left_out else {}

    def _shard(self, index: int) -> int:
        if not 0 <= index < len(self._members):
            raise IndexError(index)
        return int(np.searchsorted(np.frombuffer(self._ends, np.int64), index, side="right"))

    def _annotations(self, text: str) -> Iterator[Annotation]:
        """Of what `_label` made of the file beside an image."""
        if not text or self._category is None:
            return
        category = _CAPTION if text[0] == "t" else self._category
        for label in text[1:].split("\0"):
            known = self._names.get(int(label)) if label.isdecimal() else None
            yield Annotation(category, known or label)

    def _index(self, shard: str, others: Counter[str]) -> None:
        """Note where the images of a shard are, and what labels them."""
        key, label = None, (len(_LABELS), "")
        waiting: list[tuple[str, int, int]] = []

        def enter() -> None:
            for path, start, size in waiting:
                self._members.append(path)
                self._at.append(start)
                self._size.append(size)
                self._labels.append(label[1])

        for path, start, size, data in _members(self._files, shard, others):
            folder, slash, file = path.rpartition("/")
            own = folder + slash + file.partition(".")[0]
            if own != key:  # members of one sample lie side by side
                enter()
                key, waiting, label = own, [], (len(_LABELS), "")
            if data is not None:
                rank = _LABELS.index(Path(path).suffix)
                label = min(label, (rank, _label(Path(path).suffix, data)))
            elif sort_out(file, others):
                waiting.append((path, start, size))
        enter()


def _members(
    files: Any, shard: str, others: Counter[str]
) -> Iterator[tuple[str, int, int, bytes | None]]:
    """Path, place and size of every file in a tar file, and the bytes of those that label."""
    some = False
    try:
        with files.open(shard, "rb", block_size=_AHEAD) as opened:
            with tarfile.open(fileobj=opened, mode="r:") as archive:
                while (member := archive.next()) is not None:
                    some = True
                    archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                    if not member.isreg():
                        continue
                    data = None
                    if Path(member.name).suffix in _LABELS and member.size <= _MOST:
                        inner = archive.extractfile(member)
                        data = inner.read() if inner is not None else None
                    name = member.name.removeprefix("./")
                    yield name, member.offset_data, member.size, data
    except tarfile.ReadError as error:
        if some:  # a download that stopped: what is whole is read
            others["rest of a shard that is cut off"] += 1
            return
        raise NeuronymError(
            f"{shard} cannot be read as a tar file: {error}. Files that are compressed (.tar.gz) "
            "have to be unpacked first, with gunzip: images in them cannot be found one by one."
        ) from error
    except Exception as error:
        raise NeuronymError(f"Cannot read {shard}: {remote.reason(error)}.") from error


def _label(suffix: str, data: bytes) -> str:
    """What labels an image: `l` for labels or `t` for a caption, then one or several, with NUL."""
    text = data.decode("utf-8", "replace").strip().replace("\0", " ")
    if suffix != ".json":
        return f"{'t' if suffix == '.txt' else 'l'}{text}" if text else ""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if isinstance(found, dict):
        found = next((found[key] for key in _KEYS if key in found), None)
    values = found if isinstance(found, list) else [found]
    values = [valid_text(str(value)) for value in values if isinstance(value, str | int)]
    return "l" + "\0".join(values) if values else ""


def _expand(pattern: str) -> tuple[Any, list[str]]:
    """The file system and the paths of shards written with {000..011}, {a,b}, * and ?."""
    found: list[str] = []
    for text in _braces(pattern):
        files, path = remote.filesystem(text if "://" in text else str(Path(text).expanduser()))
        if re.search(r"[*?\[]", path):
            some = sorted(remote.request(partial(files.glob, path), f"Cannot list {text}"))
            if not some:
                raise misuse("probe", "wds:SHARDS, tar files that are there", text)
            found += some
        elif not remote.request(partial(files.exists, path), f"Cannot look for {text}"):
            raise misuse("probe", "wds:SHARDS, tar files that are there", text)
        else:
            found.append(path)
    return files, found


def _braces(pattern: str) -> list[str]:
    """All texts that braces stand for.

    >>> _braces("a-{08..10}.{x,y}")
    ['a-08.x', 'a-08.y', 'a-09.x', 'a-09.y', 'a-10.x', 'a-10.y']
    """
    parts = []
    for text in re.split(r"(\{[^{}]*\})", pattern):
        ranged = re.fullmatch(r"\{(\d+)\.\.(\d+)\}", text)
        if ranged:
            low, high = ranged.groups()
            numbers = range(int(low), int(high) + 1)
            parts.append([f"{n:0{len(low)}d}" for n in numbers])
        else:
            parts.append(text[1:-1].split(",") if text[:1] == "{" else [text])
    return ["".join(chosen) for chosen in itertools.product(*parts)]
