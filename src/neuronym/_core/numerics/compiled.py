"""Compiled inner loops: where numba is there, and how functions are compiled with it.

Modules with compiled functions are imported inside functions, where `available()` says so: numba
costs a third of a second to import. Their callers keep a way without numba.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


@functools.cache
def available() -> bool:
    """Whether compiled functions can be used: numba imports, and NUMBA_DISABLE_JIT is not set."""
    try:
        import numba
    except Exception:  # missing, too old for this NumPy or Python, or its library does not load
        return False
    return not numba.config.DISABLE_JIT  # type: ignore[attr-defined]  # set when it is imported


def compiled(*flags: str) -> Callable[[Callable], Callable]:
    """Compile for one thread, without the interpreter lock, kept on disk where there is a place.

    The copy on disk is renewed when the function's own file changes, not when a file changes from
    which it calls compiled functions: keep those in one file.

    Args:
        flags: LLVM's fast-math flags beside contraction (`a·b + c` in one step). `reassoc` lets a
            sum vectorise. Never `nnan` or `ninf`: they make tests for such values meaningless.
    """
    import numba

    options: dict[str, Any] = {
        "nogil": True,
        "fastmath": {"contract", *flags},
        "error_model": "numpy",
    }

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no folder can be written to: compile every time
            return numba.njit(**options)(function)

    return decorate
