"""The tables of a study, one file each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuronym._core.checks import choice, misuse
from neuronym._core.registry import opened
from neuronym._core.tables import Table
from neuronym.analysis.evaluation.base import TABLES, StudyTable, Subject
from neuronym.analysis.matching import MATCHES
from neuronym.analysis.truth.base import Truth
from neuronym.analysis.truth.open import open_truth
from neuronym.atlas.reader import Atlas


def open_table(spec: str | StudyTable) -> StudyTable:
    """A table from its name with parameters, or the table that is given.

    Args:
        spec: for example `accuracy`, `bins:high=0.5,medium=0.4,low=0.3`.

    Raises:
        UsageError: no such table, no such parameter, or a value that does not fit.
    """
    return opened(TABLES, StudyTable, spec)


def open_subject(
    atlas: Atlas,
    methods: Sequence[str] | None = None,
    *,
    truth: str | Truth | None = None,
    match: str = "exact",
    **further: Any,
) -> Subject:
    """What tables are about.

    Args:
        atlas: whose labels.
        methods: method-ids or other names of methods. None: all.
        truth: see `open_truth`. None: not known.
        match: `exact`, `lemma` or `synonyms`.
        **further: see `Subject`.

    Raises:
        UsageError: an unknown method, truth or way to match.
    """
    given = atlas.methods if methods is None else list(methods)
    if not given:
        raise misuse("methods", "at least one method", given)
    names = tuple(dict.fromkeys(map(atlas.method, given)))
    opened = None if truth is None else open_truth(atlas, truth)
    return Subject(atlas, names, opened, choice("match", match, MATCHES), **further)


def table(spec: str | StudyTable, subject: Subject) -> Table:
    """Make one table; see `open_table` and `open_subject`."""
    return open_table(spec).make(subject)
