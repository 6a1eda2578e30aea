"""Your own network, from a function."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.hub import reason
from neuronym._core.plugins import imported
from neuronym._core.registry import Name
from neuronym.inputs.targets._options import only, spell
from neuronym.inputs.targets.base import TARGETS, Target, of_module, unwrapped
from neuronym.inputs.targets.weights import load_weights

_FORM = "python:MODULE:FUNCTION, such as python:mynets:small_cnn"


@TARGETS.register("python", syntax="python:MODULE:FUNCTION", example="python:mynets:small_cnn")
def python_target(name: Name, weights: Path | None) -> Target:
    """Your own network: what a function of an importable module, or of a file here, returns.

    The function is called without arguments and returns a torch module, a pair of a torch module
    and its preprocessing (a `Preprocess`, or what else `--preprocess` and `preprocess=` take), or a
    `Target`. Its module is looked for in the current folder too.

    Args:
        name: `python:MODULE:FUNCTION`.
        weights: a file of weights to load into it.

    Raises:
        UsageError: there is no such module or function, or it returns something else.
        NeuronymError: importing the module or calling the function fails.
    """
    only(name, {"weights": "a file"})
    stated = name.params.get("weights")
    if weights is None and stated is not None:
        weights = Path(stated)
    maker = imported(name.detail, "target", _FORM)
    try:
        made = maker()
    except Exception as error:
        raise NeuronymError(
            f"{spell(name)} failed: {type(error).__name__}: {reason(error)}."
        ) from error
    preprocess: Any = None
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module):
        made, preprocess = made
    shown = spell(name, weights)
    if isinstance(made, Target):
        target = made
    elif isinstance(made, nn.Module):
        target = of_module(made, preprocess, shown)
    else:
        raise misuse(
            "target",
            "a function that returns a torch module, (module, preprocessing) or Target",
            Verbatim(f"{spell(name)}, which returns {type(made).__name__}"),
        )
    if weights is not None:
        load_weights(unwrapped(target.model), weights, name=spell(name))
    return replace(target, name=shown, maker=maker)
