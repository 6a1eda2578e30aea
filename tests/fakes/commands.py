"""Commands as a user types them, run within the process of the tests."""

from __future__ import annotations

import io
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from neuronym.cli import main
from places import FAKES


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


def run(*arguments: str, cwd: Path) -> Done:
    """Run `neuronym ARGUMENTS…` in a folder, with a cache of its own there.

    A process of its own would spend seconds on imports, for every command.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n") for _ in range(2))
    code = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        warnings.simplefilter("default")  # as in a process of its own, but for our own warnings
        warnings.filterwarnings("error", category=DeprecationWarning, module="neuronym")
        patch.chdir(cwd)
        patch.syspath_prepend(str(FAKES))
        patch.setenv("NEURONYM_CACHE", str(cwd / "cache"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("COLUMNS", "120")
        patch.setattr("sys.argv", ["neuronym", *arguments])
        patch.setattr("neuronym.cli._leave", sys.exit)  # the other way out ends the tests
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    return Done(code, *texts)
