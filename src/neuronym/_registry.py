"""Registries: one decorator registers a target, probe, concept set, encoder or similarity.

The library, the command line, the tests and the documentation read the same registry, so a new
entry appears in all of them at once. Unknown names answer with the known ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from neuronym._checks import misuse, nearest


@dataclass(frozen=True)
class Entry:
    """One registered thing."""

    name: str
    make: Callable[..., Any]
    syntax: str
    example: str
    extra: str | None

    @property
    def summary(self) -> str:
        """The first line of the docstring of what was registered."""
        return (inspect.getdoc(self.make) or "").split("\n", 1)[0]


class Registry:
    """Named entries of one kind, for example all encoders."""

    def __init__(self, noun: str, plural: str) -> None:
        self.noun = noun
        self.plural = plural
        self._entries: dict[str, Entry] = {}
        self._aliases: dict[str, str] = {}

    def register(
        self,
        name: str,
        *,
        syntax: str | None = None,
        example: str | None = None,
        extra: str | None = None,
    ) -> Callable[[Any], Any]:
        """Decorator: register a class or function under `name`.

        Args:
            name: the word users write (the `kind` of `kind:detail`).
            syntax: how the full name is written, for help texts. Default: `name`.
            example: a name that works as it stands. Default: `syntax`.
            extra: the optional-dependency group of the package that it needs.
        """

        def decorate(make: Any) -> Any:
            if name in self._entries or name in self._aliases:
                raise ValueError(f"{self.noun} {name!r} is registered twice")
            shown = syntax or name
            self._entries[name] = Entry(name, make, shown, example or shown, extra)
            return make

        return decorate

    def alias(self, short: str, full: str) -> None:
        """Let `short` stand for the full name `full` (which may carry a detail)."""
        if short in self._entries or short in self._aliases:
            raise ValueError(f"{self.noun} {short!r} is registered twice")
        self._aliases[short] = full

    def expand(self, text: str) -> str:
        """`text` with a leading alias replaced: 'clip' → 'open-clip:ViT-B-16/openai'."""
        head, _, detail = text.partition(":")
        full = self._aliases.get(head)
        if full is None:
            return text
        if not detail:
            return full
        return f"{full}{',' if ':' in full else ':'}{detail}"

    def __getitem__(self, name: str) -> Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise self.unknown(name) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))

    @property
    def aliases(self) -> dict[str, str]:
        """Short names and what they stand for."""
        return dict(sorted(self._aliases.items()))

    def unknown(self, name: str) -> Exception:
        """The error for a name that is not registered."""
        known = [entry.name for entry in self] + list(self._aliases)
        near = nearest(name, known)
        remedy = f"Nearest: {', '.join(near)}. " if near else ""
        forms = ", ".join(f"{e.name}:…" if ":" in e.syntax else e.name for e in self)
        return misuse(
            self.noun, f"one of {forms}", name, f"{remedy}See `neuronym list {self.plural}`."
        )
