"""What a page is: data that is shown twice, as HTML and as JSON at the same address."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from neuronym._core.errors import UsageError
from neuronym._core.registry import import_files
from neuronym.web.view import View


class NotFoundError(UsageError):
    """There is no such page."""


@dataclass(frozen=True)
class Page:
    """The data of one page; subclasses add theirs.

    Attributes:
        template: its HTML.
        steady: it depends on nothing but its address, and is costly: worth keeping.
        title: of the browser's window, and of previews.
        description: one sentence for previews.
        parts: its address.
    """

    template: ClassVar[str]
    steady: ClassVar[bool] = False
    title: str
    description: str
    parts: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The same page as JSON-able data."""
        return dataclasses.asdict(self)


class Query(dict[str, Any]):
    """What a reader asked for beside the address (`?sort=score`), or sent by a form.

    Of a name that comes several times it has the last value; `every` has all.
    """

    def __init__(self, pairs: Iterable[tuple[str, Any]] = ()) -> None:
        self._pairs = list(pairs)
        super().__init__(self._pairs)

    def every(self, name: str) -> list[Any]:
        """All values of a name, in the order in which they came."""
        return [value for key, value in self._pairs if key == name]

    def texts(self) -> Query:
        """The same without files."""
        return Query(pair for pair in self._pairs if isinstance(pair[1], str))


@dataclass(frozen=True)
class Kind:
    """A kind of page of an atlas.

    Attributes:
        name: the part of the address behind the atlas; "" for its home.
        build: (view, further parts of the address, query) → page; raises `NotFoundError`.
        every: all further parts for which an exported site has a page; None: it has none.
    """

    name: str
    build: Callable[[View, tuple[str, ...], Query], Page]
    every: Callable[[View], Iterator[tuple[str, ...]]] | None


_KINDS: dict[str, Kind] = {}


@functools.cache
def kinds() -> dict[str, Kind]:
    """All kinds of pages, by the part of the address that stands for them."""
    import_files("neuronym.web.pages")
    return _KINDS


def page(
    name: str,
    every: Callable[[View], Iterator[tuple[str, ...]]] | None = lambda view: iter([()]),
) -> Callable[[Callable[[View, tuple[str, ...], Query], Page]], Any]:
    """Decorator: register what builds the pages at `/a/<atlas>/<name>/…`."""

    def decorate(build: Callable[[View, tuple[str, ...], Query], Page]) -> Any:
        _KINDS[name] = Kind(name, build, every)
        return build

    return decorate
