"""What the parts of `atlas.json` are: typed fields, read strictly and written in their order."""

from __future__ import annotations

import functools
import types
import typing
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self

from neuronym._core.former import UNTIL

#: Keys of schema 1 and what they are called now.
RENAMED = {
    "sharpness": "logit_scale",
    "sharpness_measured": "logit_scale_measured",
    "engine": "backend",
    "settled": "with_defaults",
}


@dataclass(kw_only=True)
class Facts:
    """A part of the manifest: typed fields, and `more` for what only some kinds of it have."""

    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Any, where: str = "") -> Self:
        """From what `atlas.json` holds.

        Raises:
            ValueError: with the name of what is missing or of the wrong type.
        """
        if not isinstance(data, Mapping):
            raise ValueError(where)
        hints, values = typing.get_type_hints(cls), dict(data)
        given = {}
        for entry in fields(cls):
            if entry.name == "more":
                continue
            if entry.name in values:
                place = f"{where}.{entry.name}".lstrip(".")
                given[entry.name] = _typed(values.pop(entry.name), hints[entry.name], place)
            elif entry.default is MISSING and entry.default_factory is MISSING:
                raise ValueError(f"{where}.{entry.name}".lstrip("."))
        return cls(**given, more=values)

    def to_data(self) -> dict[str, Any]:
        """As `atlas.json` holds it; optional fields that are None are left out."""
        found = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name != "more" and (value is not None or entry.default is not None):
                found[entry.name] = _plain(value)
        return found | self.more

    def keys(self) -> Iterator[str]:
        """The names of what there is: `facts["name"]` gives the same as `facts.name`."""
        return iter(self.to_data())

    def get(self, name: str, default: Any = None) -> Any:
        """A field, or what `more` has by this name; a field that is None counts as absent."""
        found = getattr(self, name) if name in self._fields() else self.more.get(name)
        return default if found is None else found

    def __getitem__(self, name: str) -> Any:
        if name in self._fields():
            return getattr(self, name)
        if name not in self.more and (now := RENAMED.get(name)) in self:
            warnings.warn(
                f"{name!r} of a manifest is {now!r} now; the old name goes in {UNTIL}.",
                DeprecationWarning,
                stacklevel=2,
            )
            return self[str(now)]
        return self.more[name]

    def __contains__(self, name: object) -> bool:
        return name in self.more or name in self._fields()

    @classmethod
    @functools.cache
    def _fields(cls) -> frozenset[str]:
        return frozenset(entry.name for entry in fields(cls)) - {"more"}


def _typed(value: Any, hint: Any, where: str) -> Any:
    """The value as a type says: facts are read, everything else must be of it already."""
    if isinstance(hint, type) and issubclass(hint, Facts):
        return hint.read(value, where)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is dict and issubclass(typing.get_origin(inner[1]) or inner[1], Facts):
        if not isinstance(value, dict):
            raise ValueError(where)
        return {name: _typed(one, inner[1], f"{where}.{name}") for name, one in value.items()}
    if origin is list and typing.is_typeddict(inner[0]) and isinstance(value, list):
        for one in value:
            for name, kind in typing.get_type_hints(inner[0]).items():
                _typed(one.get(name) if isinstance(one, dict) else MISSING, kind, where)
    kinds = inner if origin is types.UnionType else (hint,)
    if value is not None and isinstance(kinds[0], type) and issubclass(kinds[0], Facts):
        return kinds[0].read(value, where)
    plain = tuple(typing.get_origin(kind) or kind for kind in kinds)
    allowed = (*plain, int) if float in plain else plain
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in plain):
        raise ValueError(where)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Facts):
        return value.to_data()
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value
