"""What holds for all tests."""

import os

# One thread for each process: tests run side by side, and idle threads of one would keep the
# others waiting. Torch reads it when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests side by side are told the width of their terminal, which nothing they print has to fit in.
os.environ.pop("COLUMNS", None)

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _unexamined_runs() -> Iterator[object]:
    """Runs made in a test's own process leave out `trust`, which most tests do not look at.

    Those that do ask for `examined_runs`, call `analyse`, or run a command.
    """
    from neuronym.atlas.reader import open_atlas
    from neuronym.pipeline import run

    real = run._examined
    run._examined = lambda plan, progress: open_atlas(plan.out)
    yield real
    run._examined = real


@pytest.fixture
def examined_runs(_unexamined_runs: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end with the analyses, as they do for users."""
    monkeypatch.setattr("neuronym.pipeline.run._examined", _unexamined_runs)
