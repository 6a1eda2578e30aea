"""Names of 0.1.0 that still work, with a warning, until 0.3: attributes and modules."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import warnings
from typing import Any

UNTIL = "0.3"
#: Modules of 0.1.0 that the documentation named → where what they held lies now.
MODULES = {
    "atlas": ("atlas.reader",),
    "calibrating": ("analysis.trust.calibration",),
    "concepts": ("inputs.concepts.base",),
    "encoders": ("inputs.encoders.base",),
    "encoders.base": ("inputs.encoders.base",),
    "evaluation": ("analysis.evaluation.base", "analysis.truth.base"),
    "grid": ("pipeline.grid",),
    "interchange": ("interchange.open", "interchange.importing", "interchange.exporting"),
    "labellers": ("labelling.base",),
    "labellers.base": ("labelling.base",),
    "material": ("atlas.context",),
    "preprocess": ("inputs.preprocess.base", "inputs.preprocess.published"),
    "probes": ("inputs.probes.base",),
    "probes.synthetic": ("inputs.probes.synthetic",),
    "report.document": ("report.document.compose",),
    "report.plots": ("report.plots.base",),
    "search": ("search.searcher",),
    "settings": ("inputs.settings",),
    "similarity": (
        "similarity.base",
        "similarity.wpmi",
        "similarity.cosine",
        "similarity.rank_reorder",
    ),
    "stability": (
        "analysis.stability.study",
        "analysis.stability.configurations",
        "analysis.stability.measures",
    ),
    "tables": ("_core.tables",),
    "targets": ("inputs.targets.base", "inputs.targets.weights"),
    "trust": ("analysis.trust.base",),
    "trust.calibration": ("analysis.trust.calibration",),
    "trust.sanity": ("analysis.trust.sanity",),
    "trust.explanation_metrics": ("analysis.trust.explanation_metrics",),
    "truth": (
        "analysis.truth.open",
        "analysis.truth.base",
        "analysis.truth.store",
        "analysis.truth.files",
        "analysis.truth.agreement",
    ),
}
#: Names of 0.1.0 in these modules that are called otherwise now.
RENAMED = {
    "Material": "LabelContext",
    "View": "Selection",
    "view": "select",
    "open_subject": "open_context",
    "measured_sharpness": "measured_logit_scale",
}


def told(what: str, old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that something has another name now."""
    warnings.warn(
        f"{what}{old} is called {new} now; the old name goes in {UNTIL}.",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


class Former(property):
    """An attribute under its former name: read and set as the new one, with a warning."""

    def __init__(self, old: str, new: str) -> None:
        def read(owner: Any) -> Any:
            told(f"{type(owner).__name__}.", old, new)
            return getattr(owner, new)

        def write(owner: Any, value: Any) -> None:
            told(f"{type(owner).__name__}.", old, new)
            setattr(owner, new, value)

        super().__init__(read, write, doc=f"The former name of `{new}`, until {UNTIL}.")


def find(module: str, name: str) -> Any:
    """What a module of 0.1.0 held under a name.

    Raises:
        AttributeError: nothing that is known.
    """
    ours = name.startswith("_") or importlib.util.find_spec(f"neuronym.{module}.{name}")
    for place in () if ours else MODULES.get(module, ()):
        home = importlib.import_module(f"neuronym.{place}")
        for now in (name, RENAMED.get(name, name)):
            if hasattr(home, now):
                found = getattr(home, now)
                where = getattr(found, "__module__", home.__name__)
                where = where if where.startswith("neuronym.") else home.__name__
                told(f"neuronym.{module}.", name, f"{where}.{now}", stacklevel=4)
                return found
    raise AttributeError(f"module 'neuronym.{module}' has no attribute {name!r}")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports modules of 0.1.0 that lie elsewhere now.

    It stands behind the finders of files: what is there is never looked for here. Packages that are
    still there have a `__getattr__` for what they held.
    """

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        root, _, module = fullname.partition(".")
        parent = any(known.startswith(f"{module}.") for known in MODULES)
        if root != "neuronym" or not (module in MODULES or parent):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        old = module.__name__.partition(".")[2]
        module.__getattr__ = lambda name: find(old, name)


def install() -> None:
    """Let imports of 0.1.0 find what they are looking for."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
