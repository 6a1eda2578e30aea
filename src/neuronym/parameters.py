"""Parameters of similarities and methods: dataclass fields that check values, and their text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, Self, TypeVar

from neuronym import _checks, _names
from neuronym._registry import Registry


def whole(default: int | None, low: int, high: int | None = None) -> Any:
    """A dataclass field that holds a whole number of at least `low`, and at most `high`."""
    return _field(default, partial(_checks.integer, low=low, high=high))


def number(default: float | None, low: float, high: float = float("inf")) -> Any:
    """A dataclass field that holds a number within [low, high]."""
    return _field(default, partial(_checks.real, low=low, high=high))


def word(default: str, allowed: Iterable[str]) -> Any:
    """A dataclass field that holds one of a few words."""
    return _field(default, partial(_checks.choice, allowed=tuple(allowed)))


def flag(default: bool) -> Any:
    """A dataclass field that holds yes or no."""
    return _field(default, _yes_or_no)


def text(default: str | None) -> Any:
    """A dataclass field that holds any text."""
    return _field(default, lambda _, value: str(value))


def _yes_or_no(argument: str, value: object) -> bool:
    words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    return words[_checks.choice(argument, str(value).lower(), words)]


def _field(default: object, read: Callable[[str, object], object]) -> Any:
    return dataclasses.field(default=default, metadata={"read": read})


class Parameterised:
    """What a name with parameters stands for; subclasses are frozen dataclasses of the parameters.

    Attributes:
        name: under which it is registered.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        """Bring every field into its type, or raise UsageError.

        None is accepted where it is the default: it stands for a value settled later.
        """
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if value is None and entry.default is None:
                continue
            object.__setattr__(self, entry.name, entry.metadata["read"](entry.name, value))

    @classmethod
    def from_name(cls, name: _names.Name) -> Self:
        """What a parsed name stands for.

        Raises:
            UsageError: a parameter it does not have, or a value that does not fit.
        """
        known = [entry.name for entry in dataclasses.fields(cls)]
        detail = [name.detail] if name.detail else []
        strangers = detail + [k for k in name.params if k not in known]
        if strangers:
            near = _checks.nearest(strangers[0], known)
            remedy = f"Nearest: {', '.join(near)}. " if near else ""
            form = f"{name.kind}:name=value,name=value" if known else name.kind
            expected = (
                f"have parameters among {', '.join(known)}" if known else "have no parameters"
            )
            raise _checks.misuse(name.kind, expected, strangers[0], f"{remedy}Write it {form}.")
        return cls(**name.params)

    @property
    def spec(self) -> str:
        """The full name that opens this again, with the parameters that differ from their defaults.

        `str` gives the same.
        """
        given = [
            f"{entry.name}={_names.escape(_text(getattr(self, entry.name)))}"
            for entry in dataclasses.fields(self)
            if getattr(self, entry.name) != entry.default
        ]
        return self.name + (":" + ",".join(given) if given else "")

    def __str__(self) -> str:
        return self.spec


T = TypeVar("T", bound=Parameterised)


def opened(registry: Registry, kind: type[T], given: str | T) -> T:
    """What a name with parameters stands for, or what is given if it is of that kind already.

    Raises:
        UsageError: no such entry, no such parameter, or a value that does not fit.
    """
    if isinstance(given, kind):
        return given
    if not isinstance(given, str):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise _checks.misuse(registry.noun, f"a name or {article} {kind.__name__}", given)
    name = _names.parse(registry.expand(given), registry.noun)
    return registry[name.kind].make.from_name(name)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
