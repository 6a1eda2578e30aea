"""Units that are alike: by labels, by the images they respond to, by activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Int64

from neuronym._core.cached import cached
from neuronym._core.checks import choice
from neuronym._core.errors import NeuronymError

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas


WAYS = ("labels", "exemplars", "activations")


class Units:
    """All units of an atlas in one line, numbered from 0: layers in network order."""

    def __init__(self, atlas: Atlas) -> None:
        self.layers = list(atlas.layers)
        self.counts = [atlas.layers[layer]["units"] for layer in self.layers]
        self.starts = dict(zip(self.layers, np.cumsum([0, *self.counts]).tolist(), strict=False))
        self._counts = dict(zip(self.layers, self.counts, strict=True))
        self.layer = np.repeat(np.arange(len(self.layers)), self.counts)
        self.unit = np.concatenate([np.arange(count) for count in self.counts])

    def __len__(self) -> int:
        return len(self.unit)

    def numbers(self, frame: pd.DataFrame) -> Int64[np.ndarray, " row"]:
        """The number of the unit that each row of a table with `layer` and `unit` is about.

        Raises:
            NeuronymError: a row is about no unit of the atlas: one of its files is of another run.
        """
        unit = frame["unit"].to_numpy()
        starts = frame["layer"].map(self.starts).to_numpy(np.float64, na_value=np.nan)
        counts = frame["layer"].map(self._counts).to_numpy(np.float64, na_value=np.nan)
        if not ((unit >= 0) & (unit < counts)).all():  # also where the layer is unknown: NaN
            raise NeuronymError(
                "A table of the atlas has rows about neurons that atlas.json does not list: the "
                "atlas is damaged. Make it anew with `neuronym dissect --overwrite`."
            )
        return starts.astype(np.int64) + unit

    def frame(self, numbers: np.ndarray, **columns: Any) -> pd.DataFrame:
        """layer, unit of some numbers, and further columns."""
        names = np.array(self.layers, object)[self.layer[numbers]]
        return pd.DataFrame({"layer": names, "unit": self.unit[numbers], **columns})


def products(rows: np.ndarray, one: np.ndarray) -> np.ndarray:
    """`rows @ one`, in one thread.

    For so little work BLAS costs more than it does: its threads wait for more, each at full speed,
    which a server with many requests at once cannot afford.
    """
    return np.einsum("nd,d->n", rows, one)


class Relations:
    """The units of an atlas, ready to be compared with each other.

    Args:
        atlas: any; each way of comparing needs what it is named after.
        method: whose labels. None: the first method's.
    """

    def __init__(self, atlas: Atlas, method: str | None = None) -> None:
        self._atlas, self._method, self.units = atlas, method, Units(atlas)
        self._moments_of: dict[str, tuple[Any, np.ndarray, np.ndarray]] = {}

    def like(self, layer: str, unit: int, by: str = "exemplars", count: int = 12) -> pd.DataFrame:
        """layer, unit, likeness of the units most like one, best first; without itself.

        Args:
            layer, unit: which.
            by: `labels`: cosine of the kept labels, each weighted by 1/rank. `exemplars`: cosine of
                the mean embeddings of the highest images, less the probe's mean. `activations`:
                Pearson's correlation over the probe.
            count: at most so many. Units that have nothing in common are left out.

        Raises:
            UsageError: no such unit, or no such way.
            NeuronymError: the atlas lacks what it takes.
        """
        self._atlas.check_unit(layer, unit)
        number = self.units.starts[layer] + unit
        likeness = getattr(self, f"_by_{choice('by', by, WAYS)}")(number)
        likeness[number] = 0
        best = np.argsort(-np.nan_to_num(likeness), kind="stable")[:count]
        best = best[likeness[best] > 0]
        return self.units.frame(best, likeness=likeness[best])

    def _by_labels(self, number: int) -> Float[np.ndarray, " unit"]:
        matrix = self._label_matrix
        return (matrix @ matrix[[number]].T).toarray().ravel()

    @cached
    def _label_matrix(self) -> Any:
        """Sparse `[unit, word]`, rows of length 1: 1/rank of every label."""
        from scipy import sparse

        frame = self._atlas.labels(method=self._method)
        frame = frame[~frame["abstained"]]
        numbers, (words, _) = self.units.numbers(frame), pd.factorize(frame["concept"])
        weights = 1 / frame["rank"].to_numpy(np.float64)
        lengths = np.sqrt(np.bincount(numbers, weights**2, len(self.units)))
        shape = (len(self.units), words.max(initial=0) + 1)
        return sparse.csr_array((weights / lengths[numbers], (numbers, words)), shape)

    def _by_exemplars(self, number: int) -> Float[np.ndarray, " unit"]:
        return products(self.directions, self.directions[number]).astype(np.float64)

    @cached
    def directions(self) -> Float32[np.ndarray, "unit dim"]:
        """Mean embedding of each unit's exemplars, less the probe's mean, of length 1.

        Units without exemplars have zeros.
        """
        from scipy import sparse

        images = np.asarray(self._atlas.embeddings()["images"])
        row_of = {name: row for row, name in enumerate(self._atlas.images["image_id"])}
        frame = self._atlas.exemplars()
        numbers, rows = self.units.numbers(frame), frame["image_id"].map(row_of).to_numpy(np.int64)
        counts = np.bincount(numbers, minlength=len(self.units))
        shape = (len(self.units), len(images))
        mean = sparse.csr_array((1 / counts[numbers], (numbers, rows)), shape) @ images
        mean -= (counts > 0)[:, None] * images.mean(0, dtype=np.float64)
        lengths = np.linalg.norm(mean, axis=1, keepdims=True)
        return (mean / np.where(lengths > 1e-9, lengths, np.inf)).astype(np.float32)

    def _by_activations(self, number: int) -> Float[np.ndarray, " unit"]:
        layer, unit = self.units.layers[self.units.layer[number]], self.units.unit[number]
        rows, means, lengths = self._moments(layer)
        one = (np.asarray(rows[:, unit], np.float64) - means[unit]) / lengths[unit]
        found = []
        for name in self.units.layers:
            rows, means, lengths = self._moments(name)
            # Σ (x − x̄)(y − ȳ) = Σ (x − x̄) y: the large array is read once and never copied.
            found.append((one.astype(np.float32) @ rows - one.sum() * means) / lengths)
        return np.concatenate(found)

    def _moments(
        self, layer: str
    ) -> tuple[np.ndarray, Float[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
        """Activations `[image, unit]`, means, lengths of the centred columns (NaN: constant)."""
        if layer not in self._moments_of:
            rows, facts = self._atlas.activations(layer), self._atlas.units
            facts = facts[facts["layer"] == layer]
            lengths = facts["std"].to_numpy(np.float64) * np.sqrt(len(rows))
            lengths[facts["dead"].to_numpy(bool) | (facts["nonfinite"] > 0)] = np.nan
            self._moments_of[layer] = rows, facts["mean"].to_numpy(np.float64), lengths
        return self._moments_of[layer]
