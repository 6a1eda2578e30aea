"""What a probe is: an ordered set of images with stable ids, optionally annotated."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from neuronym import _fingerprint
from neuronym._registry import Registry
from neuronym.probes import images

if TYPE_CHECKING:
    from PIL.Image import Image

PROBES = Registry("probe", "probes")


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
    """One image before decoding: the encoded bytes of a file, or decoded pixels."""

    data: bytes | Image | np.ndarray

    @cached_property
    def content_hash(self) -> str:
        """Hash of the encoded bytes, or of shape and pixels where there are no such bytes."""
        if isinstance(self.data, bytes):
            return _fingerprint.of_bytes(self.data)
        return _fingerprint.of_array(np.asarray(images.to_rgb(self.data)))

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the upright image, for files from the header alone.

        This is the size that masks have. `decode` may return a huge image reduced.

        Raises:
            CorruptImageError: the bytes are not a readable image.
        """
        return (images.size if isinstance(self.data, bytes) else images.size_of)(self.data)

    def decode(self) -> Image:
        """The image in RGB, turned upright.

        Raises:
            CorruptImageError: the bytes are not a readable image.
        """
        return (
            images.decode(self.data) if isinstance(self.data, bytes) else images.to_rgb(self.data)
        )


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

    @abc.abstractmethod
    def read(self, index: int) -> RawImage:
        """The image, not yet decoded.

        Raises:
            CorruptImageError: nothing can be read there.
        """

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
