"""What a probe is: an ordered set of images, opened from a name, a list or a data set."""

from __future__ import annotations

import abc
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL.Image import DecompressionBombError

from neuronym._core.checks import Verbatim, integer, misuse
from neuronym._core.errors import CorruptImageError, UsageError
from neuronym._core.progress import Progress, silent
from neuronym._core.registry import Name, Registry, escape, parse, split
from neuronym._core.terminal import counted
from neuronym.inputs.probes import images
from neuronym.inputs.probes.deep import EIGHT_BIT
from neuronym.inputs.probes.values import BandsError, Values

if TYPE_CHECKING:
    from PIL.Image import Image

    from neuronym.inputs.preprocess.base import Preprocess


PROBES = Registry("probe", "probes", "neuronym.inputs.probes")
#: The category of a data set's class names.
CLASS = "class"


@dataclass(frozen=True, order=True)
class Annotation:
    """An image-wide label, for example `Annotation("texture", "striped")`."""

    category: str
    name: str


@dataclass(frozen=True, eq=False)
class Mask:
    """The pixels of one concept in one image: `pixels` is boolean, `[height, width]`."""

    category: str
    name: str
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class RawImage:
    """One image before decoding: the encoded bytes of a file, or decoded pixels.

    `values` say what becomes of numbers that are not 8 bit.
    """

    data: bytes | Image | np.ndarray | Any
    values: Values = images.ALONE

    @cached_property
    def content_hash(self) -> str:
        """Hash of the encoded bytes, or of shape and pixels where there are no such bytes.

        Where the bytes are not 8 bit, the range that becomes black to white is part of it.
        """
        return images.content_hash(self.data, self.values)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the upright image, for files from the header alone.

        This is the size that masks have. `decode` may return a huge image reduced.

        Raises:
            CorruptImageError: the bytes are not a readable image.
        """
        if isinstance(self.data, bytes):
            return images.size(self.data, self.values)
        return images.size_of(self.data, self.values)

    def seen(self, *steps: Preprocess) -> tuple[np.ndarray, ...]:
        """What networks see of it, each `[height, width, channel]`, before normalisation.

        It is decoded once. Networks of bands see all of them, brought to 0…255 as `values` say.

        Raises:
            CorruptImageError: it is not readable.
            BandsError: it has other bands than a network sees.
        """
        if all(step.channels != "bands" for step in steps):
            image = self.decode()
            return tuple(step.pixels(image) for step in steps)
        image, bands = images.with_bands(self.data, self.values)
        try:
            return tuple(s.pixels(bands if s.channels == "bands" else image) for s in steps)
        except UsageError as error:
            sees = next(step.count for step in steps if step.channels == "bands")
            has = counted(bands.shape[2], "band")
            raise BandsError(f"has {has}, and the network sees {sees}") from error

    def decode(self) -> Image:
        """The image in RGB, turned upright.

        Raises:
            CorruptImageError: the bytes are not a readable image.
        """
        if isinstance(self.data, bytes):
            return images.decode(self.data, self.values)
        return images.to_rgb(self.data, self.values)


class Probe(abc.ABC):
    """An ordered set of images. Subclasses say how many, their ids, and how to read one."""

    #: The full name that opens this probe again, or a description if it was made in Python.
    name: str

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def image_id(self, index: int) -> str:
        """The stable, unique id of an image: for files, the path below the probe's root.

        Text of any kind; it is only shown and compared, never opened as a path.
        """

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all images, each made when it is asked for."""
        return _Ids(self)

    @abc.abstractmethod
    def read(self, index: int) -> RawImage:
        """The image, not yet decoded.

        Raises:
            CorruptImageError: nothing can be read there.
        """

    def prepare(
        self, count: int, cache: Path, workers: int = 2, progress: Progress = silent
    ) -> None:
        """Do what makes reading the first `count` images fast, and keep it below `cache`.

        A pass calls it before it reads. Most probes have nothing to do.
        """
        return None

    def source(self, index: int) -> str | None:
        """The path of the image's file, if it has one."""
        return None

    def labels(self, index: int) -> Sequence[Annotation]:
        """Image-wide labels."""
        return ()

    def masks(self, index: int) -> Sequence[Mask]:
        """Pixel masks, each of the image's own height and width."""
        return ()

    def vocabulary(self) -> Sequence[Annotation]:
        """All annotations (labels and masks) that can occur here, sorted, without repeats.

        What the probe declares: no image is read to find out.
        """
        return ()

    def group(self, index: int) -> str:
        """What a sample spreads over, known without reading: a sub-folder, a class; "": nothing."""
        return ""

    def eight_bit(self, index: int) -> bool:
        """Whether the image's name alone tells that its values have 8 bits."""
        source = self.source(index)
        return source is not None and os.path.splitext(source)[1].lower() in EIGHT_BIT

    @property
    def values(self) -> Values:
        """What becomes of values that are not 8 bit."""
        return images.ALONE

    def shown(self, values: Values) -> Probe:
        """The same images with other values."""
        from neuronym.inputs.probes.subsets import Shown

        return Shown(self, values)

    def facts(self) -> dict[str, Any]:
        """What the run says of it and `atlas.json` keeps.

        `sample`: how images were chosen; `values`: what becomes of those that are not 8 bit;
        `left_out`: numbers of files that are not read, by kind.
        """
        return {}


class _Ids(Sequence[str]):
    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def __len__(self) -> int:
        return len(self._probe)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # there are no slices
        if not 0 <= index < len(self._probe):
            raise IndexError(index)
        return self._probe.image_id(int(index))


def valid_text(name: str | bytes) -> str:
    r"""A file name as text that every file format can hold.

    Names on disk are bytes; those that are not UTF-8 are shown with backslash escapes, and so are
    lone surrogates in text from elsewhere.

    >>> valid_text(b"caf\xe9.png")
    'caf\\xe9.png'
    """
    if isinstance(name, bytes):
        return name.decode("utf-8", "backslashreplace")
    try:
        data = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = name.encode("utf-8", "backslashreplace")
    return data.decode("utf-8", "backslashreplace")


def unique(ids: Sequence[str]) -> list[str]:
    """The same ids, with `~2`, `~3`… behind repeated ones.

    >>> unique(["a", "b", "a"])
    ['a', 'b', 'a~2']
    """
    taken, result = set(ids), []
    seen: set[str] = set()
    for name in ids:
        fresh, count = name, 1
        while fresh in seen or (count > 1 and fresh in taken):
            count += 1
            fresh = f"{name}~{count}"
        seen.add(fresh)
        result.append(fresh)
    return result


def raw_image(item: Any) -> RawImage:
    """Encoded bytes for a path or bytes, anything else as it is."""
    if isinstance(item, str | os.PathLike):
        return RawImage(images.read_file(Path(item)))
    if isinstance(item, bytes | bytearray | memoryview):
        return RawImage(bytes(item))
    return RawImage(item)


class ListProbe(Probe):
    """Images given as a list of PIL images, arrays, tensors, paths or encoded bytes.

    Paths are their own ids; other images are numbered: `000000`, `000001`, …

    Raises:
        UsageError: the list is empty or holds something that is not an image.
    """

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = list(items)
        if not self._items:
            raise misuse("probe", "at least one image", Verbatim("an empty list"))
        ids = []
        for number, item in enumerate(self._items):
            if isinstance(item, str | os.PathLike):
                ids.append(valid_text(Path(item).as_posix()))
            elif _is_image(item):
                ids.append(f"{number:06d}")
            else:
                raise misuse(
                    "probe",
                    "a list of PIL images, arrays, tensors, paths or bytes",
                    Verbatim(f"{type(item).__name__} at position {number}"),
                )
        self._ids = unique(ids)
        self.name = f"{len(self._items)} images given in Python"

    def __len__(self) -> int:
        return len(self._items)

    def image_id(self, index: int) -> str:
        return self._ids[index]

    def source(self, index: int) -> str | None:
        item = self._items[index]
        return valid_text(os.fspath(item)) if isinstance(item, str | os.PathLike) else None

    def read(self, index: int) -> RawImage:
        return raw_image(self._items[index])


class DatasetProbe(Probe):
    """Any data set with a length and numbered items, such as a torch `Dataset`.

    An item is an image, `(image, label, …)`, or a dictionary with `image` and perhaps `label`.
    Integer labels are named by the data set's `classes`. Items must not change between two
    readings: give the data set without random augmentation, and without normalisation. They are
    read one at a time, because a data set need not be safe to read from several threads.

    Args:
        dataset: the data set.
        name: the name that opens it again, if there is one.
        category: the category of its labels.
        parallel: items may be read from several threads at once.
    """

    def __init__(
        self,
        dataset: Any,
        name: str | None = None,
        *,
        category: str = CLASS,
        parallel: bool = False,
        rename: Callable[[str], str] = str,
    ) -> None:
        self._dataset = dataset
        self._category = category
        self._lock = None if parallel else threading.Lock()
        self._last: tuple[int, Any] | None = None
        try:
            self._length = len(dataset)
        except (TypeError, NotImplementedError):
            raise misuse(
                "probe",
                "a data set with a length and numbered items",
                Verbatim(f"{type(dataset).__name__}, which has no length"),
                "Take a list of its first images instead.",
            ) from None
        if self._length < 1:
            raise misuse("probe", "at least one image", Verbatim("an empty data set"))
        self._classes = [rename(name) for name in _class_names(dataset)]
        self.name = name or f"{type(dataset).__name__} of {self._length} images given in Python"

    def __len__(self) -> int:
        return self._length

    def image_id(self, index: int) -> str:
        if not 0 <= index < self._length:
            raise IndexError(index)
        return f"{index:06d}"

    def source(self, index: int) -> str | None:
        samples = getattr(self._dataset, "samples", None)
        if isinstance(samples, list) and len(samples) == self._length:
            path = samples[index][0] if isinstance(samples[index], tuple) else None
            return valid_text(os.fspath(path)) if isinstance(path, str | os.PathLike) else None
        return None

    def read(self, index: int) -> RawImage:
        item = self._item(index)
        if isinstance(item, Mapping):
            if "image" not in item:
                raise misuse(
                    "probe", "a data set whose items have the key 'image'", sorted(map(str, item))
                )
            item = item["image"]
        elif isinstance(item, tuple | list):
            item = item[0] if item else None
        return raw_image(item)

    def labels(self, index: int) -> Sequence[Annotation]:
        targets: Any = getattr(self._dataset, "targets", None)
        if hasattr(targets, "__getitem__") and len(targets) == self._length:
            label = targets[index]
        else:
            item = self._item(index)
            if isinstance(item, Mapping):
                label = item.get("label")
            else:
                label = item[1] if isinstance(item, tuple | list) and len(item) > 1 else None
        name = self._label_name(label)
        return (Annotation(self._category, name),) if name else ()

    def group(self, index: int) -> str:
        if self._targets is None:
            return ""
        label = self._targets[index]
        return str(label.item() if hasattr(label, "item") else label)

    @cached_property
    def _targets(self) -> Any:
        """The labels of all items, where they are known without reading any."""
        inner: Any = self._dataset
        rows = None
        if hasattr(inner, "dataset") and hasattr(inner, "indices"):  # a torch Subset
            inner, rows = inner.dataset, inner.indices
        for name in ("targets", "_labels", "labels"):
            found: Any = getattr(inner, name, None)
            if hasattr(found, "__getitem__") and len(found) == len(inner):
                return found if rows is None else [found[row] for row in rows]
        return None

    def vocabulary(self) -> Sequence[Annotation]:
        names = set(self._classes)
        targets = getattr(self._dataset, "targets", None)
        if not names and isinstance(targets, list | tuple):
            names = {valid_text(label) for label in targets if isinstance(label, str)}
        return sorted(Annotation(self._category, name) for name in names)

    def _label_name(self, label: Any) -> str | None:
        if isinstance(label, str):
            return valid_text(label)
        if getattr(label, "ndim", None) == 0 and hasattr(label, "item"):
            label = label.item()
        if isinstance(label, int) and 0 <= label < len(self._classes):
            return self._classes[label]
        return None

    def _item(self, index: int) -> Any:
        if not 0 <= index < self._length:
            raise IndexError(index)
        if self._lock is None:
            return self._fetch(index)
        with self._lock:
            # The label is often asked for right after the image: do not decode twice.
            if self._last is None or self._last[0] != index:
                self._last = (index, self._fetch(index))
            return self._last[1]

    def _fetch(self, index: int) -> Any:
        try:
            return self._dataset[index]
        except (OSError, SyntaxError, DecompressionBombError) as error:  # Pillow's, of a bad file
            raise CorruptImageError(valid_text(f"cannot be read: {error}")) from error


def _class_names(dataset: Any) -> list[str]:
    classes = getattr(dataset, "classes", None)
    if not isinstance(classes, list | tuple):
        return []
    # Some data sets give several synonyms per class; the first is the usual one.
    firsts = (name[0] if isinstance(name, tuple | list) and name else name for name in classes)
    return [valid_text(str(name)) for name in firsts]


def _is_image(item: Any) -> bool:
    from PIL.Image import Image

    array = hasattr(item, "shape") and (hasattr(item, "__array__") or hasattr(item, "detach"))
    return array or isinstance(item, Image | bytes | bytearray | memoryview)


def open_probe(
    spec: Any,
    *,
    limit: int | str | None = None,
    seed: int = 0,
    values: Values | None = None,
) -> Probe:
    """A probe from what a user may give for one.

    Args:
        spec: a name (`synthetic`, `folder:PATH`, `broden:PATH`, `torchvision:CIFAR100`, `hf:NAME`,
            `arrays:PATH`, `wds:SHARDS`, `s3://…`, unions `a+b`), each with an optional `limit=N`;
            a `pathlib.Path` of a folder; a list of PIL images, arrays, tensors, paths or encoded
            bytes; a data set with a length and numbered items `image`, `(image, label)` or
            `{"image": …}`; or a probe.
        limit: keep a sample of so many images, evenly over sub-folders or classes; `first:N`: the
            first so many.
        seed: of the samples.
        values: what becomes of values that are not 8 bit, and which bands are shown. None: the
            range is found in up to 200 images.

    Raises:
        UsageError: nothing is known by this name, a parameter is wrong, or there are no images.
        NeuronymError: it cannot be read or downloaded.
    """
    from neuronym.inputs.probes.subsets import Shown, Subset, limited

    images.silence()
    probe = _open(spec, seed)
    if values is not None or not isinstance(spec, Shown | Subset):
        probe = probe.shown(values or images.ALONE)
    return probe if limit is None else limited(probe, limit, seed)


def _open(spec: Any, seed: int) -> Probe:
    if isinstance(spec, Probe):
        return spec
    if isinstance(spec, str):
        parts = [_open_name(text, seed) for text in split(spec, "+")]
        if len(parts) == 1:
            return parts[0]
        from neuronym.inputs.probes.subsets import Union

        return Union(parts)
    if isinstance(spec, Path):
        return _open_name(f"folder:{escape(str(spec))}", seed)
    if isinstance(spec, list | tuple):
        return ListProbe(spec)
    if type(spec).__module__.partition(".")[0] == "datasets":
        return PROBES["hf"].make(spec)
    if hasattr(spec, "__getitem__") and not isinstance(spec, Mapping | bytes):
        return DatasetProbe(spec)
    expected = "a name, a path, a list of images or a data set with a length and numbered items"
    raise misuse("probe", expected, Verbatim(type(spec).__name__), _instead(spec))


def _instead(spec: Any) -> str:
    """What to give in place of something that is no probe."""
    if hasattr(spec, "dataset"):
        return "Give its data set: loader.dataset."
    if isinstance(spec, Mapping) and spec:
        return f"Give one of its entries, such as the one called {str(next(iter(spec)))!r}."
    return ""


def _open_name(text: str, seed: int) -> Probe:
    from neuronym.inputs.probes.subsets import limited, read_limit

    if not text.strip():
        raise misuse("probe", "a name", text, "See `neuronym list probes`.")
    name = parse(PROBES.expand(text.strip()), "probe")
    if name.kind not in PROBES and name.detail.startswith("//"):
        name = Name("url", f"{name.kind}:{name.detail}", name.params)
    if name.kind not in PROBES:
        if Path(text).expanduser().is_dir():
            hint = f"For this folder write folder:{escape(text)}."
            raise misuse("probe", "a name of the form kind:detail", text, hint)
        raise PROBES.unknown(name.kind)
    params = dict(name.params)
    limit, own = params.pop("limit", None), params.pop("limit_seed", None)
    if limit is not None:
        read_limit(limit)  # said before anything is opened
    probe = PROBES[name.kind].make(Name(name.kind, name.detail, params))
    if limit is None:
        return probe
    return limited(probe, limit, seed if own is None else integer("limit_seed", own, 0))
