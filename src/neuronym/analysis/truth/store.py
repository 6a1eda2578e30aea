"""annotations.sqlite: people's answers, saved one by one, none ever changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from neuronym._core import storage
from neuronym._core.errors import NeuronymError
from neuronym.analysis.truth.base import STATUSES, Answer, utc
from neuronym.atlas.reader import Atlas
from neuronym.atlas.writer import ANNOTATIONS

if TYPE_CHECKING:
    import pandas as pd


_VERSION = 1
_WAIT = 30.0  # seconds for another writer, each of whose transactions takes milliseconds
_COLUMNS = "layer, unit, status, label, annotator, time"
_SCHEMA = """
CREATE TABLE answers (
    id INTEGER PRIMARY KEY,
    layer TEXT NOT NULL,
    unit INTEGER NOT NULL,
    status TEXT NOT NULL,
    label TEXT NOT NULL,
    annotator TEXT NOT NULL,
    time TEXT NOT NULL,
    undoes INTEGER UNIQUE REFERENCES answers (id)
);
CREATE INDEX by_unit ON answers (layer, unit);
CREATE INDEX by_annotator ON answers (annotator);
"""
_STANDING = "undoes IS NULL AND id NOT IN (SELECT undoes FROM answers WHERE undoes IS NOT NULL)"
#: The standing answers, the latest of each person on each unit.
_LATEST = f"""
SELECT {_COLUMNS} FROM (
    SELECT *, row_number() OVER (
        PARTITION BY annotator, layer, unit ORDER BY time DESC, id DESC) AS place
    FROM answers WHERE {_STANDING}
) WHERE place = 1
"""


class Annotations:
    """The answers that people gave about an atlas's units.

    Answers are only added. The latest one (by its time) of each annotator on each unit counts; an
    undone one counts no more. Every call is one transaction of its own connection: objects may be
    used from several threads and processes at once. The file comes with the first answer; it is
    a single one at any time, so that an atlas can be copied.

    Args:
        atlas: whose units are annotated.
    """

    def __init__(self, atlas: Atlas) -> None:
        self.atlas, self.path = atlas, atlas.folder / ANNOTATIONS

    def check_writable(self) -> None:
        """Refuse at the start an atlas into which no answer could be saved.

        Raises:
            NeuronymError: the folder or the file cannot be written to.
        """
        try:
            storage.check_writable(self.atlas.folder)  # SQLite's journal lies beside the file
            if self.path.exists():
                with open(self.path, "r+b"):
                    pass
        except OSError as error:
            raise NeuronymError(
                f"Answers cannot be saved in {self.atlas.folder}: {error.strerror or error}. "
                "Annotate a copy of the atlas in a folder that can be written to, or change the "
                "permissions."
            ) from error

    def add(self, answer: Answer) -> None:
        """Save one answer at once.

        Raises:
            UsageError: the atlas has no such unit.
            NeuronymError: the file cannot be written.
        """
        self.add_many([answer])

    def add_many(self, answers: Iterable[Answer]) -> int:
        """Save all of the answers, or none; those that are there already are left out.

        Returns:
            How many were saved.
        """
        rows = []
        for answer in answers:
            self.atlas.check_unit(answer.layer, answer.unit)
            rows.append(_row(answer))
        names = _COLUMNS.split(", ")
        there = " AND ".join(f"{name} = ?" for name in names)
        with self._writing() as database:
            before = database.total_changes
            database.executemany(
                f"INSERT INTO answers ({_COLUMNS}) SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS "
                f"(SELECT 1 FROM answers WHERE {there} AND {_STANDING})",
                [(*row, *row) for row in rows],
            )
            return database.total_changes - before

    def undo(self, annotator: str) -> Answer | None:
        """Take back the answer that an annotator saved last; the one before it counts again.

        Returns:
            The answer that no more counts; None: there is none left.
        """
        if not self.path.exists():
            return None
        with self._writing() as database:
            row = database.execute(
                f"SELECT id, {_COLUMNS} FROM answers WHERE annotator = ? AND {_STANDING} "
                "ORDER BY id DESC LIMIT 1",
                [annotator],
            ).fetchone()
            if row is None:
                return None
            answer = Answer(*row[1:])
            database.execute(
                f"INSERT INTO answers ({_COLUMNS}, undoes) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [*_row(answer)[:5], utc(), row[0]],
            )
            return answer

    def latest(self, annotator: str | None = None) -> list[Answer]:
        """The answers that count, in the order of layers, units and annotators.

        Args:
            annotator: only this one's. None: everyone's.
        """
        where, values = ("", []) if annotator is None else ("AND annotator = ?", [annotator])
        found = self._read(f"{_LATEST} {where}", values)
        order = {layer: place for place, layer in enumerate(self.atlas.layers)}
        return sorted(found, key=lambda a: (order.get(a.layer, len(order)), a.unit, a.annotator))

    def history(self, layer: str, unit: int) -> list[Answer]:
        """All answers about one unit in the order in which they came, but for undone ones."""
        where = f"layer = ? AND unit = ? AND {_STANDING}"
        return self._read(
            f"SELECT {_COLUMNS} FROM answers WHERE {where} ORDER BY id", [layer, unit]
        )

    def progress(self) -> pd.DataFrame:
        """layer, annotator, units, answered, and how many answers have each status."""
        import pandas as pd

        found: dict[tuple[str, str], dict[str, int]] = {}
        for answer in self.latest():
            counts = found.setdefault(
                (answer.layer, answer.annotator), dict.fromkeys(("answered", *STATUSES), 0)
            )
            counts["answered"] += 1
            counts[answer.status] += 1
        rows = [
            {"layer": layer, "annotator": annotator, "units": self._units(layer), **counts}
            for (layer, annotator), counts in found.items()
        ]
        return pd.DataFrame(rows, columns=["layer", "annotator", "units", "answered", *STATUSES])

    def _units(self, layer: str) -> int:
        return int(self.atlas.layers[layer]["units"])

    def _read(self, query: str, values: list) -> list[Answer]:
        if not self.path.exists():
            return []
        with self._open() as database:
            if not _version(database):  # the first answer is being written
                return []
            return [Answer(*row) for row in database.execute(query, values)]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which no other writer interrupts."""
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            if not _version(database):
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {_VERSION}")
            yield database
            database.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if self.path.is_symlink():
            raise NeuronymError(
                f"{self.path} is a link, and answers are written into the atlas only. Put the file "
                "itself in its place."
            )
        try:
            # The journal is SQLite's plain one: a write-ahead log would be a second file, and does
            # not work on network disks. Closing takes back what was not committed.
            database = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
        except sqlite3.Error as error:
            raise self._broken(error) from error
        try:
            database.execute("PRAGMA synchronous = FULL")
            if _version(database) > _VERSION:
                raise NeuronymError(
                    f"{self.path} was written by a later version of neuronym. Install that one."
                )
            yield database
        except sqlite3.Error as error:
            raise self._broken(error) from error
        finally:
            database.close()

    def _broken(self, error: sqlite3.Error) -> NeuronymError:
        return NeuronymError(
            f"Cannot use {self.path}: {error}. Nothing that was saved before is lost by this; "
            "check the disk and the permissions, or move the file away if it is damaged."
        )


def _row(answer: Answer) -> tuple:
    return tuple(getattr(answer, name) for name in _COLUMNS.split(", "))


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
