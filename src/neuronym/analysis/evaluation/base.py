"""What a table of the study is, and how one is made: of an atlas, its labels, perhaps a truth."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from neuronym._core.checks import choice, misuse
from neuronym._core.registry import Parameterised, Registry, opened
from neuronym._core.tables import Table
from neuronym.analysis.matching import MATCHES, Embed
from neuronym.analysis.truth.base import Truth
from neuronym.analysis.truth.open import open_truth
from neuronym.atlas.reader import Atlas

if TYPE_CHECKING:
    import pandas as pd


TABLES = Registry("table", "tables", "neuronym.analysis.evaluation")


@dataclass(frozen=True, eq=False)
class EvaluationContext:
    """What a table is about.

    Attributes:
        atlas: whose labels.
        methods: method-ids, in the order of the rows.
        truth: what the units respond to; None where it is not known.
        match: when a label is right, see `matching.MATCHES`.
        synonyms: cosine from which on words are synonyms. None: see `matching.vocabulary`.
        embed: for words that are no concepts of the atlas.
        context: for `LabelContext`, where a table needs more than labels: device, cache, progress.
    """

    atlas: Atlas
    methods: tuple[str, ...]
    truth: Truth | None = None
    match: str = "exact"
    synonyms: float | None = None
    embed: Embed | None = None
    context: dict[str, Any] = field(default_factory=dict)

    def first(self, method: str) -> pd.DataFrame:
        """The first label of every unit of a method, whatever is known of other methods.

        Returns:
            layer, unit, concept, score: as the method gives them; `labelled`: whether it gives
            one; `abstained`: as `Atlas.first_labels` says it, which is what pages and figures
            count; `significant`: whether it beats chance, NA where that was not examined.
        """
        first = self.atlas.first_labels(method=method, trust=False)
        frame = first[["layer", "unit", "concept", "score"]].copy()
        frame["labelled"] = frame["concept"].notna()
        frame["abstained"] = self.atlas.first_labels(method=method)["abstained"].to_numpy(bool)
        if "significance" not in self.atlas.analyses(method):
            return frame.assign(significant=None).astype({"significant": "boolean"})
        found = self.atlas.trust("significance", method=method)[["layer", "unit", "significant"]]
        frame = frame.merge(found, "left", ["layer", "unit"])
        return frame.assign(significant=frame["significant"].eq(True).astype("boolean"))

    def layers(self, method: str) -> list[str]:
        """The layers that a method has labelled."""
        return self.atlas.labelled_layers(method)

    @property
    def known(self) -> Truth:
        """The truth.

        Raises:
            UsageError: there is none.
        """
        if self.truth is None:
            raise misuse(
                "truth",
                "given for this table",
                None,
                "Write --truth classes, --truth annotations or --truth FILE.",
            )
        return self.truth


class StudyTable(Parameterised, abc.ABC):
    """A table; subclasses are frozen dataclasses of its parameters.

    Attributes:
        needs: `truth`, where nothing can be said without it.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def make(self, evaluation: EvaluationContext) -> Table:
        """Compute it.

        Raises:
            UsageError, NeuronymError: something is lacking; says how to get it.
        """


def open_table(spec: str | StudyTable) -> StudyTable:
    """A table from its name with parameters, or the table that is given.

    Args:
        spec: for example `accuracy`, `bins:high=0.5,medium=0.4,low=0.3`.

    Raises:
        UsageError: no such table, no such parameter, or a value that does not fit.
    """
    return opened(TABLES, StudyTable, spec)


def open_context(
    atlas: Atlas,
    methods: Sequence[str] | None = None,
    *,
    truth: str | Truth | None = None,
    match: str = "exact",
    **further: Any,
) -> EvaluationContext:
    """What tables are about.

    Args:
        atlas: whose labels.
        methods: method-ids or other names of methods. None: all.
        truth: see `open_truth`. None: not known.
        match: `exact`, `lemma` or `synonyms`.
        **further: see `EvaluationContext`.

    Raises:
        UsageError: an unknown method, truth or way to match.
    """
    given = atlas.methods if methods is None else list(methods)
    if not given:
        raise misuse("methods", "at least one method", given)
    names = tuple(dict.fromkeys(map(atlas.method, given)))
    known = None if truth is None else open_truth(atlas, truth)
    return EvaluationContext(atlas, names, known, choice("match", match, MATCHES), **further)


def table(spec: str | StudyTable, evaluation: EvaluationContext) -> Table:
    """Make one table; see `open_table` and `open_context`."""
    return open_table(spec).make(evaluation)


def heading(atlas: Atlas, what: str) -> str:
    """A title that names the network."""
    return f"{what}: {atlas.manifest.target.name}"


def groups(
    evaluation: EvaluationContext, frames: Sequence[Any]
) -> Iterator[tuple[dict[str, str], Any]]:
    """Rows to be: each layer of each method; with several layers, all of them together.

    Args:
        evaluation: whose methods.
        frames: one per method, with a column `layer`.

    Yields:
        `layer` and `method` of the row, and the frame's rows that it is about. The sums come last.
    """
    sums = []
    for method, frame in zip(evaluation.methods, frames, strict=True):
        layers = [layer for layer in evaluation.atlas.layers if (frame["layer"] == layer).any()]
        for layer in layers:
            yield {"layer": layer, "method": method}, frame[frame["layer"] == layer]
        if len(layers) > 1:
            sums.append(({"layer": "all", "method": method}, frame))
    yield from sums
