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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from scipy.spatial import cKDTree

from neuronym._core.errors import NeuronymError
from neuronym._core.progress import Progress, silent
from neuronym._core.storage import RowsFile, arranged
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
#: Images that are compared at once with others.
_BLOCK = 1024
#: Images that tell in which directions pictures differ most, and how many of these are looked at.
_SAMPLE, _DIRECTIONS = 2048, 12
#: Alike to the eye are pictures that are not further apart than this, but for rounding.
_REACH = (2 * (1 - LIKENESS)) ** 0.5 + 1e-3
#: Where more than one pair in so many is near, all are multiplied.
_SPARSE = 64
#: Pairs that are held at once.
_PAIRS = 1 << 18
#: Rows that are read at once.
_READ = 2048
_Pairs = tuple[np.ndarray, np.ndarray]


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
        self.beside: Mapping[str, CacheEntry] = {}
        self.arrays = {SMALL: {"values": (SIDE * SIDE * 3, np.uint8)}}

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
    probe: Probe, done: Extraction, *, progress: Progress = silent, **how: Any
) -> Int64[np.ndarray, " image"]:
    """`groups` of the images of a pass that fed an encoder, and `SmallCopies` aside.

    Small copies that a cache of an earlier version lacks are made by another pass and not kept:
    its shards stay as they are.

    Args:
        how: batch_size and workers of the pass.
    """
    hashes = done.images.column("content_hash")
    with small_copies(probe, done, progress=progress, **how) as small:
        return groups(hashes, done.tie, done.rows(IMAGES), small, progress=progress)


@contextmanager
def small_copies(
    probe: Probe, done: Extraction, *, progress: Progress = silent, **how: Any
) -> Iterator[Rows]:
    """The small copies of the images of a pass, uint8 `[image, value]`; see `find_groups`."""
    if all(path.exists() for path, rows in done.parts[SMALL] if rows):
        yield done.rows(SMALL)
        return
    with tempfile.TemporaryDirectory() as folder:
        brief = Cache(folder)
        again = extract(probe, [SmallCopies(brief)], brief, progress=progress, **how)
        if again.images.column("content_hash") != done.images.column("content_hash"):
            raise NeuronymError(
                f"The images of {probe.name} have changed during the run. Run the same command "
                "again."
            )
        yield again.rows(SMALL)


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
    hashes: Any,
    tie: Int64[np.ndarray, " image"],
    embeddings: Rows,
    small: Rows,
    *,
    progress: Progress = silent,
) -> Int64[np.ndarray, " image"]:
    """For every image the row of the one that stands for its group; for that one its own.

    The work grows with the number of images, and with how many others each of them comes near in
    the few directions in which pictures differ most (see `_Near`). Memory holds some thirty numbers
    per image; embeddings and small copies lie in temporary files.

    Args:
        hashes: content hashes, a list of texts or a column.
        tie: the place of each image in the order of content hashes, then ids.
        embeddings: unit vectors `[image, dim]`.
        small: the small copies `[image, value]`.
    """
    order = np.argsort(tie)
    fresh = ~_as_before(hashes, order)
    distinct, place = order[fresh], np.cumsum(fresh) - 1  # place: of every image in hash order
    stands = np.arange(len(distinct))
    with (
        arranged(embeddings, distinct) as vectors,
        arranged(small, distinct) as seen,
        progress("looking for copies", len(distinct)) as tick,
    ):
        alike, near = _Alike(vectors, seen), _Near(seen, looks(seen[:_SAMPLE]))
        for low in range(0, len(stands), _BLOCK):
            rows = np.arange(low, min(low + _BLOCK, len(stands)))
            points = near.points(looks(seen[rows]))
            _join(stands, alike, near.pairs(points, rows))
            rest = rows[stands[rows] == rows]
            _lead(stands, alike, near.among(points[rest - low], rest))
            own = rest[stands[rest] == rest]
            near.add(points[own - low], own)
            tick.advance(len(rows))
    found = np.empty(len(order), np.int64)
    found[order] = distinct[stands[place]]
    return found


def _as_before(hashes: Any, order: np.ndarray) -> Bool[np.ndarray, " image"]:
    """Of the images in order, which have the content of the one before them."""
    import pyarrow as pa

    column = hashes if isinstance(hashes, pa.ChunkedArray) else pa.chunked_array([hashes])
    same = np.zeros(len(order), bool)
    for low in range(0, len(order), _READ):
        part = column.take(order[low : low + _READ + 1]).to_numpy()
        same[low + 1 : low + len(part)] = part[1:] == part[:-1]
    return same


def _join(stands: np.ndarray, alike: _Alike, pairs: Iterator[_Pairs]) -> None:
    """Let images join the first of the leaders that they are alike to."""
    for rows, leaders in pairs:
        keep = alike(rows, leaders)
        np.minimum.at(stands, rows[keep], leaders[keep])


def _lead(stands: np.ndarray, alike: _Alike, pairs: _Pairs) -> None:
    """Let images that join nobody before them lead others that come after them."""
    keep = alike(*pairs)
    first, second = (part[keep] for part in pairs)
    for place in np.lexsort((second, first)):
        one, other = first[place], second[place]
        if stands[one] == one and stands[other] == other:
            stands[other] = one


class _Alike:
    """Which pairs of images are alike, in their embeddings and to the eye."""

    def __init__(self, vectors: RowsFile, seen: RowsFile) -> None:
        self._vectors, self._seen = vectors, seen

    def __call__(self, first: np.ndarray, second: np.ndarray) -> Bool[np.ndarray, " pair"]:
        alike = np.zeros(len(first), bool)
        for low in range(0, len(first), _BLOCK):
            part = slice(low, low + _BLOCK)
            a, b = (self._vectors[rows[part]].astype(np.float64) for rows in (first, second))
            near = low + np.flatnonzero(np.einsum("ij,ij->i", a, b) >= COSINE)
            if not len(near):
                continue
            a, b = (looks(self._seen[rows[near]]).astype(np.float64) for rows in (first, second))
            alike[near] = 1 - np.square(a - b).sum(1) / 2 >= LIKENESS
        return alike


class _Near:
    """Finds the pairs that may be alike to the eye, among images and those that lead groups.

    What images look like is turned so that its first directions are those in which pictures differ
    most, and compared in these alone: no two pictures are further apart there than they are. Of
    photographs not one pair in a million comes near in twelve directions without being alike. Trees
    of leaders are joined as they grow, so that there are few.

    Args:
        seen: the images.
        some: what some of them look like, `[image, feature]`.
    """

    def __init__(self, seen: RowsFile, some: Float32[np.ndarray, "image feature"]) -> None:
        centred = some - some.mean(0)
        turn = np.random.default_rng(0).standard_normal((some.shape[1], _DIRECTIONS))
        for _ in range(4):  # towards the principal components; any directions give the same groups
            turn = np.linalg.qr(centred.T @ (centred @ turn))[0]
        self._turn = turn
        self._seen = seen
        self._trees: list[tuple[cKDTree, np.ndarray]] = []

    def points(self, seen: Float32[np.ndarray, "image feature"]) -> Float[np.ndarray, "image k"]:
        """What images look like, in the first directions."""
        return seen @ self._turn

    def among(self, points: np.ndarray, rows: np.ndarray) -> _Pairs:
        """Pairs of these images, the first of a pair before the second."""
        if len(rows) < 2:
            return rows[:0], rows[:0]
        pairs = cKDTree(points).query_pairs(_REACH, output_type="ndarray")
        return rows[pairs.min(1)], rows[pairs.max(1)]

    def pairs(self, points: np.ndarray, rows: np.ndarray) -> Iterator[_Pairs]:
        """Pairs of one of these images and a leader."""
        for tree, leaders in self._trees:
            counts = tree.query_ball_point(points, _REACH, return_length=True)
            if counts.sum() > len(rows) * len(leaders) / _SPARSE + _BLOCK:
                # Noise, say, differs in all directions alike: then products are faster.
                yield from self._multiplied(rows, leaders)
                continue
            cuts = np.flatnonzero(np.diff(np.cumsum(counts) // _PAIRS)) + 1
            for part in np.split(np.arange(len(rows)), cuts):
                found = cKDTree(points[part]).query_ball_tree(tree, _REACH)
                sizes = [len(places) for places in found]
                places = np.fromiter(chain.from_iterable(found), np.int64, sum(sizes))
                yield np.repeat(rows[part], sizes), leaders[places]

    def _multiplied(self, rows: np.ndarray, leaders: np.ndarray) -> Iterator[_Pairs]:
        own = looks(self._seen[rows])
        for low in range(0, len(leaders), _BLOCK):
            some = leaders[low : low + _BLOCK]
            theirs = looks(self._seen[some])
            apart = np.square(own).sum(1)[:, None] + np.square(theirs).sum(1) - 2 * own @ theirs.T
            first, second = np.nonzero(apart <= _REACH**2)
            yield rows[first], some[second]

    def add(self, points: np.ndarray, rows: np.ndarray) -> None:
        """These images lead groups from now on."""
        while self._trees and len(self._trees[-1][1]) <= len(rows):
            tree, leaders = self._trees.pop()
            points, rows = np.concatenate([tree.data, points]), np.concatenate([leaders, rows])
        if len(rows):
            self._trees.append((cKDTree(points), rows))
