"""Groups of images that are one picture: each group counts once, as the image that stands for it.

Equal images have one content hash. Nearly equal ones (encoded again, resized, cut by a little, the
next frame of a video) are alike for the encoder *and* to the eye: the cosine of their embeddings is
at least `COSINE`, and the correlation of small copies of them at least `LIKENESS`. The eye's
level is the strict one, because encoders err both ways: some give two photographs of one kind of
thing the same embedding, and some see another thing in a picture of a third of the size.

Images are visited in the order of their content hashes. One that is alike to an image standing for
a group joins the first such group; any other begins a group and stands for it. So the order of the
images changes nothing, every member is alike to the image that stands for it (a slow film is cut
into several groups, where a chain of likenesses would make one), and that image has the smallest
content hash of its group.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8

from neuronym._core.errors import NeuronymError
from neuronym._core.progress import Progress, Ticker, silent
from neuronym._core.storage import arranged
from neuronym._core.types import Rows
from neuronym.extraction.cache import Cache, CacheEntry
from neuronym.extraction.passes import IMAGES
from neuronym.extraction.run import Extraction, extract
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import Probe

#: Nearly equal images have embeddings of this cosine at least …
COSINE = 0.7
#: … and small copies of this correlation at least.
LIKENESS = 0.95
LEVELS = {"cosine": COSINE, "likeness": LIKENESS}
#: The one output of a `SmallCopies`. No layer can have this name: none starts with a dot.
SMALL = ".small copies"
#: Height and width of a small copy.
SIDE = 16
#: Contrast below this standard deviation (of 0…255) is taken for noise of the encoding.
_FAINT = 4.0
#: Mean colours that differ by this much (of 0…255) differ as much as uncorrelated pictures.
_COLOURS = 16.0
#: Images that are compared at once with as many others.
_BLOCK = 2048


class SmallCopies:
    """Keeps a small copy of every image: a consumer of the pass.

    Its one output `values` is uint8 `[image, 16 · 16 · 3]`.
    """

    preprocess = Preprocess(
        (SIDE, SIDE), (SIDE, SIDE), "squash", "box", mean=(0, 0, 0), std=(1, 1, 1)
    )

    def __init__(self, cache: Cache) -> None:
        about = {"what": "small copies", "preprocess": self.preprocess.to_dict()}
        self.entries: Mapping[str, CacheEntry] = {SMALL: cache.entry("images", about)}
        self.arrays = {SMALL: {"values": (SIDE * SIDE * 3, np.uint8)}}
        self.beside: Mapping[str, CacheEntry] = {}

    def running(self) -> nullcontext[None]:
        """Nothing to set up."""
        return nullcontext()

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> dict[str, dict[str, np.ndarray]]:
        """uint8 `[image, 16, 16, 3]` → the same, one row per image."""
        return {name: {"values": pixels.reshape(len(pixels), -1)} for name in wanted}

    def shard_ends(self) -> dict[str, dict[str, np.ndarray]]:
        """Nothing."""
        return {}


def find_groups(
    probe: Probe,
    done: Extraction,
    *,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    **how: int,
) -> Int64[np.ndarray, " image"]:
    """`groups` of the images of a pass that fed an encoder, and `SmallCopies` aside.

    Small copies that a cache of an earlier version lacks are made by another pass, if any are
    needed, and not kept: its shards stay as they are.

    Args:
        how: batch_size and workers of the pass.
    """
    hashes = [image.content_hash for image in done.images]

    def small() -> Rows:
        if all(path.exists() for path, rows in done.parts[SMALL] if rows):
            return done.rows(SMALL)
        brief = Cache(held.enter_context(tempfile.TemporaryDirectory()))
        again = extract(probe, [SmallCopies(brief)], brief, progress=progress, **how)
        if [image.content_hash for image in again.images] != hashes:
            raise NeuronymError(
                f"The images of {probe.name} have changed during the run. Run the same command "
                "again."
            )
        return again.rows(SMALL)

    with ExitStack() as held:
        return groups(hashes, done.tie, done.rows(IMAGES), small, device=device, progress=progress)


def looks(small: UInt8[np.ndarray, "image value"]) -> Float32[np.ndarray, "image feature"]:
    """What small copies look like, as vectors x with likeness(i, j) = 1 − ‖x_i − x_j‖² / 2.

    For two pictures of one mean colour this is the correlation of their pixels, each channel
    around its own mean. Contrast that is fainter than an encoder's noise counts for little, so that
    two plain pictures are alike; colours that are 16 levels apart in one channel take away a half.
    """
    pixels = small.reshape(len(small), SIDE * SIDE, 3).astype(np.float64)
    colour = pixels.mean(1)
    shape = (pixels - colour[:, None]).reshape(len(small), -1)
    contrast = np.sqrt(np.square(shape).mean(1))
    shape /= np.maximum(contrast, _FAINT)[:, None] * np.sqrt(shape.shape[1])
    return np.concatenate([shape, colour / _COLOURS], 1).astype(np.float32)


def groups(
    hashes: Sequence[str],
    tie: Int64[np.ndarray, " image"],
    embeddings: Rows,
    small: Callable[[], Rows],
    *,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Int64[np.ndarray, " image"]:
    """For every image the row of the one that stands for its group; for that one its own.

    The work grows with the square of the number of groups (100,000 different images with
    embeddings of 512: about a minute on two cores); memory does not, but for a few numbers per
    image: embeddings and small copies lie in a temporary file.

    Args:
        hashes: content hashes.
        tie: the place of each image in the order of content hashes, then ids.
        embeddings: unit vectors `[image, dim]`.
        small: gives the small copies `[image, value]`; called only if any embeddings are alike.
        device: where vectors are multiplied.
    """
    order = np.argsort(tie)
    fresh = np.array([not n or hashes[order[n - 1]] != hashes[i] for n, i in enumerate(order)])
    distinct, place = order[fresh], np.cumsum(fresh) - 1  # place: of every image in hash order
    stands = np.arange(len(distinct))
    with (
        arranged(embeddings, distinct) as vectors,
        _Small(small, distinct) as seen,
        progress("looking for copies", len(distinct)) as tick,
    ):
        _lead(stands, vectors, seen, torch.device(device), tick)
    found = np.empty(len(order), np.int64)
    found[order] = distinct[stands[place]]
    return found


def _lead(
    stands: Int64[np.ndarray, " image"],
    vectors: np.ndarray,
    seen: _Small,
    device: torch.device,
    tick: Ticker,
) -> None:
    """Fill in who stands for whom, block by block; `stands` counts places in hash order."""
    for low in range(0, len(stands), _BLOCK):
        here = np.arange(low, min(low + _BLOCK, len(stands)))
        block, free = _on(vectors[here], device), np.ones(len(here), bool)
        leading = np.flatnonzero(stands[:low] == np.arange(low))
        for start in range(0, len(leading), _BLOCK):
            if not free.any():
                break
            others = leading[start : start + _BLOCK]
            alike = seen.alike(block @ _on(vectors[others], device).T, here, others)
            alike &= free[:, None]
            joins = alike.any(1)
            stands[here[joins]] = others[alike[joins].argmax(1)]
            free &= ~joins
        rest = here[free]
        block = block[torch.from_numpy(free).to(device)]
        alike = seen.alike(block @ block.T, rest, rest)
        free = np.ones(len(rest), bool)
        for one in np.flatnonzero(alike.any(1)):
            if free[one]:
                members = alike[one] & free
                stands[rest[members]] = rest[one]
                free &= ~members
        tick.advance(len(here))


class _Small:
    """What the images look like, made when it is first asked for. Use as a context manager."""

    def __init__(self, small: Callable[[], Rows], rows: Int64[np.ndarray, " image"]) -> None:
        self._small, self._rows, self._stack = small, rows, ExitStack()
        self._found: np.ndarray | None = None

    def __enter__(self) -> _Small:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def alike(
        self, cosines: torch.Tensor, first: np.ndarray, second: np.ndarray
    ) -> Bool[np.ndarray, "first second"]:
        """Which pairs of images are alike, in their embeddings and to the eye.

        Of the pairs of images with themselves those whose first comes before the second.
        """
        near = (cosines >= COSINE).cpu().numpy()
        near = np.triu(near, 1) if first is second else near
        rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        if not len(rows):
            return near
        if self._found is None:
            self._found = self._stack.enter_context(arranged(self._small(), self._rows))
        a, b = (_on(looks(self._found[x]), cosines.device) for x in (first[rows], second[columns]))
        apart = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * (a @ b.T)
        near[np.ix_(rows, columns)] &= (1 - apart / 2 >= LIKENESS).cpu().numpy()
        return near


def _on(array: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
