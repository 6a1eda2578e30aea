"""Command-line options made from a settings dataclass, so that both can never disagree."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any

import typer


def from_settings(settings: type, positional: str) -> Callable[[Callable], Callable]:
    """Decorator: give a command an option for each field; unset ones arrive as None.

    The command receives them in its keyword argument `given`, without those left out.
    """

    def decorate(command: Callable) -> Callable:
        hints = typing.get_type_hints(settings)
        own = inspect.signature(command, eval_str=True).parameters
        made = {
            f.name: _parameter(f, hints[f.name], f.name == positional) for f in fields(settings)
        }

        def wrapper(**kwargs: Any) -> Any:
            given = {name: kwargs.pop(name) for name in made}
            return command(given={k: v for k, v in given.items() if v not in (None, [])}, **kwargs)

        rest = [
            p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for p in own.values()
            if p.name != "given"
        ]
        wrapper.__signature__ = inspect.Signature([*made.values(), *rest])  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in [*made.values(), *rest]}
        wrapper.__doc__, wrapper.__name__ = command.__doc__, command.__name__
        return wrapper

    return decorate


def _parameter(field: Field, hint: Any, positional: bool) -> inspect.Parameter:
    default = field.default if field.default is not MISSING else field.default_factory()  # type: ignore[misc]
    shown = ",".join(map(str, default)) if isinstance(default, list) else default
    about: dict[str, Any] = {
        "help": _help(field, shown),
        "metavar": field.metadata["metavar"],
        "rich_help_panel": {
            "What": "What to label, with what",
            "How": "How",
            "Where": "Where it runs",
        }[field.metadata["group"]],
    }
    if positional:
        option: Any = typer.Argument(
            help=about["help"], metavar=about["metavar"], show_default=False
        )
    else:
        option = typer.Option(f"--{field.name.replace('_', '-')}", show_default=False, **about)
    kind = hint
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kind = next(a for a in typing.get_args(hint) if a is not type(None))
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _help(field: Field, default: Any) -> str:
    text = field.metadata["help"]
    return text if default in (None, "", 0) else f"{text} Default: {default}."
