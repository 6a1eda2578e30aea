"""An atlas with fewer images, permuted activations or more words, for labelling a second time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int64

from neuronym._core.numerics.topk import Ranked, UnitStats, as_array, topk
from neuronym._core.progress import Progress, silent
from neuronym._core.types import Rows
from neuronym.atlas.context import LabelContext, Sources
from neuronym.inputs.probes.base import Annotation, Mask

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


class View(LabelContext):
    """What labelling reads of an atlas, as if it had been made from other images or words.

    Statistics of units, highest images, ties and annotations are those of the view.

    Args:
        whole: the context of all images.
        rows: of `whole.images`, ascending; None: all.
        more: further words after those of the atlas, with their unit vectors `[word, dim]`.
        permuted: the activations of these rows in place of their own, for what chance gives.
        progress: display for long work.
    """

    def __init__(
        self,
        whole: LabelContext,
        rows: Int64[np.ndarray, " image"] | None = None,
        *,
        more: tuple[Sequence[str], Float32[np.ndarray, "word dim"]] | None = None,
        permuted: Int64[np.ndarray, " image"] | None = None,
        progress: Progress = silent,
    ) -> None:
        self.rows = rows = np.arange(whole.count) if rows is None else rows
        self._whole, self._more = whole, more or ((), None)
        self._activated = rows if permuted is None else permuted
        self.atlas, self.progress = whole.atlas, progress
        self.sources = _ViewSources(whole.sources, rows)  # type: ignore[assignment]  # all that is used

    @functools.cached_property
    def images(self) -> pd.DataFrame:
        """The rows of the whole atlas's images."""
        return self._whole.images.iloc[self.rows].reset_index(drop=True)

    @functools.cached_property
    def tie(self) -> np.ndarray:
        """int64 `[image]`: of equal activations the image with the smaller one comes first."""
        return np.argsort(np.argsort(self._whole.tie[self.rows]))

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """The concepts, and further words."""
        return (*self._whole.words, *self._more[0])

    @functools.cached_property
    def image_embeddings(self) -> np.ndarray:
        """Unit vectors of the atlas's encoder, float32 `[image, dim]`."""
        return np.asarray(self._whole.image_embeddings)[self.rows]

    @functools.cached_property
    def text_embeddings(self) -> np.ndarray:
        """Unit vectors of the concepts and of further words, float32 `[word, dim]`."""
        texts, more = self._whole.text_embeddings, self._more[1]
        return texts if more is None else np.concatenate([texts, more])

    def activations(self, layer: str) -> Rows:
        """float32 `[image, unit]` of the view, read from the whole as they are asked for."""
        return _Picked(self._whole.activations(layer), self._activated)

    @functools.cache  # noqa: B019 - lives as long as the view, which is short
    def statistics(self, layer: str) -> pd.DataFrame:
        """min, mean, std, max, nonfinite and dead of every unit of a layer."""
        import pandas as pd

        stats = UnitStats(self.units(layer))
        topk(self.activations(layer), 1, self.tie, stats=stats)
        return pd.DataFrame(
            {
                "unit": np.arange(stats.units),
                "min": stats.minimum.astype(np.float32),
                "mean": stats.mean.astype(np.float32),
                "std": stats.std.astype(np.float32),
                "max": stats.maximum.astype(np.float32),
                "nonfinite": stats.nonfinite,
                "dead": stats.dead,
            }
        )

    def highest(self, layer: str, k: int) -> Ranked:
        """See `LabelContext.highest`; the exemplars of the atlas are those of all images."""
        return self._from_activations(layer, k)


class _Picked:
    """Some rows of an array that is read by slices."""

    def __init__(self, whole: Rows, rows: Int64[np.ndarray, " image"]) -> None:
        self._whole, self._rows = whole, rows
        self.shape = (len(rows), whole.shape[1])

    def __getitem__(self, part: slice) -> np.ndarray:
        rows = self._rows[part]
        if not len(rows):
            return np.empty((0, self.shape[1]), np.float32)
        first = int(rows.min())
        return as_array(self._whole[first : int(rows.max()) + 1])[rows - first]


class _ViewSources:
    """The sources of the whole atlas, with images numbered as in the view."""

    def __init__(self, whole: Sources, rows: np.ndarray) -> None:
        self._whole, self._rows = whole, rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def embed_images(self, encoder: Any) -> np.ndarray:
        vectors = self._whole.embed_images(encoder)
        return as_array(vectors[0 : vectors.shape[0]])[self._rows]

    def picture(self, row: int) -> Image:
        return self._whole.picture(int(self._rows[row]))

    def labels(self, row: int) -> Sequence[Annotation]:
        return self._whole.labels(int(self._rows[row]))

    def masks(self, row: int) -> Sequence[Mask]:
        return self._whole.masks(int(self._rows[row]))

    def maps(
        self, layers: Sequence[str], rows: Sequence[int] | np.ndarray | None = None, *args: Any
    ) -> Iterator[tuple[np.ndarray, Any]]:
        own = np.arange(len(self._rows)) if rows is None else np.asarray(rows, np.int64)
        at = 0
        for some, found in self._whole.maps(layers, self._rows[own], *args):
            yield own[at : at + len(some)], found
            at += len(some)
