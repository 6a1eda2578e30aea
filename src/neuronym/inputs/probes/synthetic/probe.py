"""The probe `synthetic`: needs no files and no network."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

from neuronym._core import checks
from neuronym._core.checks import misuse
from neuronym._core.registry import Name
from neuronym.inputs.probes.base import PROBES, Annotation, Mask, Probe, RawImage
from neuronym.inputs.probes.synthetic import photographs
from neuronym.inputs.probes.synthetic.canvas import Canvas
from neuronym.inputs.probes.synthetic.catalogue import Picture, catalogue, draw

_log = logging.getLogger(__name__)


class SyntheticProbe(Probe):
    """Colours, textures, materials, objects, scenes and photographs of 224 × 224 pixels.

    Every image is drawn when it is read, from random numbers that follow from its id and the
    seed, so nothing is stored and any thread may read any image at any time.

    Args:
        images: keep the first so many (≥ 1); None keeps all. The kinds are mixed, so a first part
            is a fair sample of the whole.
        seed: 0 for the standard pictures, any other whole number for another draw of the same ids
            (the photographs stay as they are).

    Attributes:
        remark: one sentence if the photographs are missing, else "".

    Raises:
        UsageError: `images` or `seed` is out of range.
    """

    def __init__(self, images: int | None = None, seed: int = 0) -> None:
        self.seed = checks.integer("seed", seed, 0)
        whole = catalogue(self.seed)
        count = len(whole) if images is None else checks.integer("images", images, 1, len(whole))
        self._pictures = whole[:count]
        self._limit = images
        given = {} if images is None else {"images": count}
        if self.seed:
            given["seed"] = self.seed
        written = ",".join(f"{key}={value}" for key, value in given.items())
        self.name = f"synthetic:{written}" if written else "synthetic"
        self.remark = ""
        if photographs.photograph_folder() is None:
            self.remark = (
                "scikit-image is not installed: the probe `synthetic` has no photographs, "
                "only its drawn images."
            )
            _log.warning(self.remark)
        self._drawn = functools.lru_cache(maxsize=8)(self._draw)

    def __len__(self) -> int:
        return len(self._pictures)

    def __reduce__(self) -> tuple[type[SyntheticProbe], tuple[int | None, int]]:
        # Workers of a data loader get the recipe, not the pictures.
        return type(self), (self._limit, self.seed)

    def image_id(self, index: int) -> str:
        return self._pictures[index].id

    def read(self, index: int) -> RawImage:
        pixels = self._drawn(index).pixels()
        pixels.flags.writeable = False
        return RawImage(pixels)

    def labels(self, index: int) -> Sequence[Annotation]:
        return self._pictures[index].labels

    def masks(self, index: int) -> Sequence[Mask]:
        return self._drawn(index).masks()

    def eight_bit(self, index: int) -> bool:
        return True

    def group(self, index: int) -> str:
        return self.image_id(index).rpartition("/")[0]

    def vocabulary(self) -> Sequence[Annotation]:
        # Known from the plan of the pictures: nothing is drawn.
        return sorted({note for picture in self._pictures for note in _all_notes(picture)})

    def _draw(self, index: int) -> Canvas:
        return draw(self._pictures[index], self.seed)


def _all_notes(picture: Picture) -> tuple[Annotation, ...]:
    return picture.labels + picture.masked


@PROBES.register(
    "synthetic",
    syntax="synthetic[:images=N,seed=N]",
    example="synthetic:images=300",
)
def open_synthetic(name: Name) -> Probe:
    """Embedded: over 1,400 drawn images and photographs with exact masks; needs no files.

    Args:
        name: the parsed name; parameters `images` (the first so many) and `seed` (another draw).

    Raises:
        UsageError: an unknown parameter, a value out of range, or a detail.
    """
    if name.detail:
        raise misuse(
            "probe",
            "the name synthetic without a detail",
            f"synthetic:{name.detail}",
            "Parameters are written synthetic:images=300,seed=1.",
        )
    for key in name.params:
        if key not in ("images", "seed"):
            near = checks.nearest(key, ("images", "seed"))
            remedy = f"Nearest: {', '.join(near)}." if near else ""
            raise misuse(f"synthetic:{key}", "one of the parameters images, seed", key, remedy)
    images = name.params.get("images")
    seed = checks.integer("seed", name.params.get("seed", "0"), 0)
    return SyntheticProbe(None if images is None else checks.integer("images", images, 1), seed)
