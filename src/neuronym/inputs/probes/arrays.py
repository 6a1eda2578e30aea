"""Many images in one array: files .npy, which stay on the disk, and .npz."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from neuronym._core.checks import Verbatim, choice, misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.registry import Name, known_params, write
from neuronym.inputs.probes.base import CLASS, PROBES, Annotation, Probe, RawImage, valid_text
from neuronym.inputs.probes.masks import read_names


@PROBES.register(
    "arrays",
    syntax="arrays:PATH[,key=NAME][,labels=NAME|PATH][,names=a|b|…|FILE]",
    example="arrays:photos.npy",
)
def open_arrays(name: Name) -> Probe:
    """Images in one .npy or .npz file, one after the other along the first axis.

    Raises:
        UsageError: no such file or array, or one that holds no images.
        NeuronymError: it cannot be read.
    """
    known_params(name, "key", "labels", "names")
    path = Path(name.detail).expanduser()
    if not path.is_file():
        got = Verbatim(f"{path}, which is no file" if name.detail else f"{write(name)} without one")
        raise misuse("probe", "arrays:PATH, the path of a .npy or .npz file", got)
    images = _load(path, name.params.get("key"), "key")
    labels, given = None, name.params.get("labels")
    if given is not None:
        other = Path(given).expanduser()
        labels = _load(other, None, "labels") if other.is_file() else _load(path, given, "labels")
    names = {}
    if "names" in name.params:
        names = read_names(name.params["names"], [path.parent])
    return ArraysProbe(
        images, valid_text(write(name)), labels, {k: v.name for k, v in names.items()}
    )


class ArraysProbe(Probe):
    """Images along the first axis of an array; ids are `000000`, `000001`, …

    Args:
        images: `[image, y, x]`, `[image, y, x, band]` or `[image, band, y, x]`.
        name: the name that opens it again.
        labels: `[image]` or `[image, 1]`, numbers or texts; None: there are none.
        names: what numbers among the labels stand for.

    Raises:
        UsageError: the shapes are others.
    """

    def __init__(
        self,
        images: np.ndarray,
        name: str,
        labels: np.ndarray | None = None,
        names: dict[int, str] | None = None,
    ) -> None:
        self.name = name
        if images.ndim not in (3, 4) or not len(images) or images.dtype.kind not in "buif":
            shape = " × ".join(map(str, images.shape)) or "one value"
            raise misuse(
                "probe",
                "images [image, y, x], [image, y, x, band] or [image, band, y, x]",
                Verbatim(f"an array of {shape} of {images.dtype}"),
            )
        self._images, self._names = images, names or {}
        self._labels = None if labels is None else labels.reshape(len(labels), -1)
        if self._labels is not None and self._labels.shape != (len(images), 1):
            shape = " × ".join(map(str, labels.shape)) if labels is not None else ""
            raise misuse("labels", f"one for each of {len(images):,} images", Verbatim(shape))

    def __len__(self) -> int:
        return len(self._images)

    def image_id(self, index: int) -> str:
        if not 0 <= index < len(self._images):
            raise IndexError(index)
        return f"{index:06d}"

    def read(self, index: int) -> RawImage:
        return RawImage(np.array(self._images[index]))

    def eight_bit(self, index: int) -> bool:
        # Whether there are bands to be named is found out with the first.
        return bool(self._images.dtype == np.uint8) and index > 0

    def group(self, index: int) -> str:
        return "".join(label.name for label in self.labels(index))

    def labels(self, index: int) -> Sequence[Annotation]:
        if self._labels is None:
            return ()
        return (Annotation(CLASS, self._called(self._labels[index, 0].item())),)

    def vocabulary(self) -> Sequence[Annotation]:
        return self._vocabulary

    @cached_property
    def _vocabulary(self) -> list[Annotation]:
        there = set() if self._labels is None else set(np.unique(self._labels).tolist())
        return sorted({Annotation(CLASS, self._called(label)) for label in there})

    def _called(self, label: object) -> str:
        known = self._names.get(label) if isinstance(label, int) else None
        return valid_text(known or str(label))


def _load(path: Path, key: str | None, argument: str) -> np.ndarray:
    try:
        with open(path, "rb") as file:
            if file.read(6) == b"\x93NUMPY":
                if key is not None:
                    raise misuse(argument, "left out: a .npy file holds one array", key)
                return np.load(path, mmap_mode="r", allow_pickle=False)
            file.seek(0)
            found = np.load(file, allow_pickle=False)
            names = found.files
            if key is None and len(names) != 1:
                raise misuse(
                    argument, f"given: {path.name} holds {', '.join(names[:8])}", Verbatim("none")
                )
            return found[names[0] if key is None else choice(argument, key, names)]
    except NeuronymError:
        raise
    except Exception as error:
        raise NeuronymError(f"{path} cannot be read as an array: {error}.") from error
