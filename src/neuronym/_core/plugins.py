"""Code from outside the package: what `python:MODULE:NAME` names, and installed plugins."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import warnings
from importlib import metadata
from typing import Any

from neuronym._core.checks import misuse, nearest
from neuronym._core.errors import NeuronymError
from neuronym._core.hub import reason

#: Entry points of this group name modules; importing one registers what it holds.
GROUP = "neuronym"


def imported(address: str, noun: str, form: str) -> Any:
    """The class or function that `MODULE:NAME` names, of an installed module or a file here.

    Args:
        address: `mynets:small_cnn`.
        noun: what is asked for, for errors.
        form: how it is written, for errors: `python:MODULE:FUNCTION`, with an example.

    Raises:
        UsageError: there is no such module, or nothing callable of this name in it.
        NeuronymError: importing the module fails.
    """
    module_name, _, name = address.rpartition(":")
    if not module_name or not name:
        raise misuse(noun, form, f"python:{address}")
    if "/" in module_name or module_name.endswith(".py"):
        stem = os.path.splitext(os.path.basename(module_name))[0]
        raise misuse(
            noun,
            f"name a module, not a file ({form})",
            module_name,
            f"Run in the folder of the file and write python:{stem}:{name}.",
        )
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.split(".")[0] == error.name.split(".")[0]:
            raise misuse(
                noun,
                f"name an importable module ({form})",
                module_name,
                f"Looked in {here} and in the installed packages.",
            ) from error
        raise _broken(module_name, error) from error
    except Exception as error:
        raise _broken(module_name, error) from error
    finally:
        if added:
            sys.path.remove(here)
    found = getattr(module, name, None)
    if not callable(found):
        known = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        near = nearest(name, known)
        remedy = f"Nearest: {', '.join(near)}." if near else ""
        raise misuse(noun, f"name a class or function of {module_name}", name, remedy)
    return found


@functools.cache
def load_plugins() -> tuple[str, ...]:
    """Import every installed plugin, once; what fails to import is left out with a warning.

    Returns:
        the names of those that were imported.
    """
    loaded = []
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            entry.load()
        except Exception as error:
            told = f"{type(error).__name__}: {reason(error)}"
            warnings.warn(
                f"The plugin {entry.name} ({entry.value}) is left out: {told}.", stacklevel=2
            )
        else:
            loaded.append(entry.name)
    return tuple(loaded)


def _broken(module: str, error: Exception) -> NeuronymError:
    return NeuronymError(
        f"The module {module} cannot be imported: {type(error).__name__}: {reason(error)}."
    )
