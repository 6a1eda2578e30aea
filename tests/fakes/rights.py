"""Rights of files that count for the superuser, too: tests run as root in many containers."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_VERSION_3 = 0x20080522
_OVERRIDES = (1 << 1) | (1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextmanager
def obeyed() -> Iterator[None]:
    """This thread, and those it starts, have no more rights than files give them."""
    if sys.platform == "win32" or (os.geteuid() == 0 and sys.platform != "linux"):
        pytest.skip("rights of files cannot be taken from this user")
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    if libc.capget(header, held):
        pytest.skip("capabilities cannot be read")
    less = (ctypes.c_uint32 * 6)(*held)
    less[0] &= ~_OVERRIDES
    assert libc.capset(header, less) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0


@contextmanager
def refused(*paths: Path, mode: int = 0o555) -> Iterator[None]:
    """Files and folders with all that is in them, without the right to write; 0: nor to read."""
    every = [p for path in paths for p in (*path.rglob("*"), path)]
    before = {path: path.stat().st_mode for path in every}
    try:
        for path in every:
            path.chmod(mode)
        with obeyed():
            yield
    finally:
        for path in reversed(every):
            path.chmod(before[path])
