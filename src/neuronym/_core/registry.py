"""Names that users write: their grammar, what is registered under them, their parameters."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Self, TypeVar, cast

from neuronym._core import checks
from neuronym._core.checks import misuse, nearest

_SPECIAL = "+:,\\"
#: What names of the user's own classes and functions begin with.
OWN = "python"


@dataclass(frozen=True)
class Name:
    """A parsed name: ``conse:efficientnet-lite2,classes=5``."""

    kind: str
    detail: str = ""
    params: dict[str, str] = field(default_factory=dict)


def split(text: str, separator: str, limit: int = -1) -> list[str]:
    r"""Split at unescaped separators; escapes stay in the parts.

    >>> split(r"folder:a\+b+synthetic", "+")
    ['folder:a\\+b', 'synthetic']
    """
    parts, i = list[str](), 0
    current: list[str] = []
    while i < len(text):
        if text[i] == "\\" and i + 1 < len(text) and text[i + 1] in _SPECIAL:
            current += text[i : i + 2]
            i += 2
        elif text[i] == separator and limit != 0:
            parts.append("".join(current))
            current, limit, i = [], limit - 1, i + 1
        else:
            current.append(text[i])
            i += 1
    return [*parts, "".join(current)]


def unescape(text: str) -> str:
    """Remove the backslashes of the grammar."""
    return re.sub(r"\\([+:,\\])", r"\1", text)


def escape(text: str) -> str:
    """Write any text so that `parse` gives it back as a detail."""
    return re.sub(r"([+:,\\])", r"\\\1", text)


def write(name: Name) -> str:
    r"""The text that `parse` reads as this name.

    >>> write(Name("folder", "C:/cats", {"labels": "no"}))
    'folder:C\\:/cats,labels=no'
    """
    params = [f"{key}={escape(value)}" for key, value in name.params.items()]
    rest = ",".join(([escape(name.detail)] if name.detail else []) + params)
    return escape(name.kind) + (f":{rest}" if rest else "")


def known_params(name: Name, *known: str) -> None:
    """Refuse parameters of a name that nothing reads.

    Raises:
        UsageError: naming the valid ones.
    """
    for key in name.params:
        if key not in known:
            valid = f"one of {', '.join(known)}" if known else "left out: there are none here"
            near = nearest(key, known)
            raise misuse(
                f"parameter of {name.kind}", valid, key, f"Nearest: {near[0]}." if near else ""
            )


def parse(text: str, argument: str = "name") -> Name:
    r"""Parse one name. The detail is what stands before the first `key=value`.

    >>> parse("soft-wpmi:top_k=5,a=10")
    Name(kind='soft-wpmi', detail='', params={'top_k': '5', 'a': '10'})
    >>> parse(r"folder:C\:/cats\, dogs").detail
    'C:/cats, dogs'
    """
    kind, *rest = split(text.strip(), ":", 1)
    if not kind:
        raise misuse(argument, "a name such as kind or kind:detail", text)
    detail, params = "", {}
    parts = split(rest[0], ",") if rest else []
    if parts and not parts[0].strip():
        del parts[0]  # `folder:` has an empty detail: who opens it says what is missing
    for part in parts:
        key, equals, value = part.partition("=")
        if equals and re.fullmatch(r"[A-Za-z_]\w*", key.strip()):
            if key.strip() in params:
                raise misuse(argument, f"a name with {key.strip()!r} at most once", text)
            params[key.strip()] = unescape(value.strip())
        elif params or not part:
            raise misuse(
                argument,
                "a name whose parameters are written key=value,key=value",
                text,
                r"A comma, colon or plus inside a path is written with a backslash: \, \: \+",
            )
        else:
            detail += ("," if detail else "") + unescape(part)
    return Name(unescape(kind), detail, params)


def import_files(package: str) -> None:
    """Import every file and folder of a package, which register what they hold."""
    for found in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{found.name}")


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

    def __init__(self, noun: str, plural: str, package: str = "") -> None:
        """Args: what one and many entries are called; the package whose files register them."""
        self.noun = noun
        self.plural = plural
        self._package = package
        self._entries: dict[str, Entry] = {}
        self._aliases: dict[str, str] = {}

    def _load(self) -> None:
        """Import the files of the package, once: each registers what it holds."""
        package, self._package = self._package, ""
        if package:
            from neuronym._core.plugins import load_plugins  # not before a registry is asked

            import_files(package)
            load_plugins()

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
        self._load()
        head, _, detail = text.partition(":")
        full = self._aliases.get(head)
        if full is None:
            return text
        if not detail:
            return full
        return f"{full}{',' if ':' in full else ':'}{detail}"

    def __getitem__(self, name: str) -> Entry:
        self._load()
        try:
            return self._entries[name]
        except KeyError:
            raise self.unknown(name) from None

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        self._load()
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))

    @property
    def aliases(self) -> dict[str, str]:
        """Short names and what they stand for."""
        self._load()
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


def whole(default: int | None, low: int, high: int | None = None) -> Any:
    """A dataclass field that holds a whole number of at least `low`, and at most `high`."""
    return _field(default, partial(checks.integer, low=low, high=high))


def number(default: float | None, low: float, high: float = float("inf")) -> Any:
    """A dataclass field that holds a number within [low, high]."""
    return _field(default, partial(checks.real, low=low, high=high))


def word(default: str, allowed: Iterable[str]) -> Any:
    """A dataclass field that holds one of a few words."""
    return _field(default, partial(checks.choice, allowed=tuple(allowed)))


def flag(default: bool) -> Any:
    """A dataclass field that holds yes or no."""
    return _field(default, _yes_or_no)


def text(default: str | None) -> Any:
    """A dataclass field that holds any text."""
    return _field(default, lambda _, value: str(value))


def _yes_or_no(argument: str, value: object) -> bool:
    words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    return words[checks.choice(argument, str(value).lower(), words)]


def _reader(owner: type, field: str, hint: Any) -> Callable[[str, object], object]:
    """How a plain field of a dataclass reads a value, by the type that it states."""
    options = [option for option in typing.get_args(hint) if option is not type(None)]
    if typing.get_origin(hint) is typing.Literal:
        return partial(checks.choice, allowed=tuple(str(option) for option in options))
    if type(None) in typing.get_args(hint) and len(options) == 1:
        return _reader(owner, field, options[0])
    readers: dict[Any, Callable[[str, object], object]] = {
        int: checks.integer,
        float: checks.real,
        bool: _yes_or_no,
        str: lambda _, value: str(value),
    }
    if hint not in readers:
        raise TypeError(
            f"{owner.__name__}.{field}: a parameter is an int, float, bool, str or Literal, or "
            f"comes with how it is read (`neuronym.whole`, …); got {hint}."
        )
    return readers[hint]


def _field(default: object, read: Callable[[str, object], object]) -> Any:
    return dataclasses.field(default=default, metadata={"read": read})


class Parameterised:
    """What a name with parameters stands for; subclasses are frozen dataclasses of the parameters.

    A field made by `whole`, `number`, `word`, `flag` or `text` states what it accepts. A plain
    one, such as `k: int = 10`, takes what its type says: int, float, bool, str or
    `Literal["a", "b"]`, each also with `| None`.

    Attributes:
        name: under which it is registered.
        address: `python:MODULE.CLASS` where a name opened a class of the user's own.
    """

    name: ClassVar[str]
    address: ClassVar[str | None] = None
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]  # of every subclass
    _derived: ClassVar[bool] = False

    def __init_subclass__(cls, **more: Any) -> None:
        """A class that states no name is called after itself: `NearestWords` is `nearest-words`."""
        super().__init_subclass__(**more)
        stated = [base for base in cls.__mro__ if "name" in vars(base)]
        if not stated or "_derived" in vars(stated[0]):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()
            cls._derived = True

    def __post_init__(self) -> None:
        """Bring every field into its type, or raise UsageError.

        None is accepted where it is the default: it stands for a value that is filled in later.
        """
        hints: dict[str, Any] = {}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if value is None and entry.default is None:
                continue
            read = entry.metadata.get("read")
            if read is None:
                hints = hints or typing.get_type_hints(type(self))
                read = _reader(type(self), entry.name, hints[entry.name])
            object.__setattr__(self, entry.name, read(entry.name, value))

    @classmethod
    def from_name(cls, name: Name) -> Self:
        """What a parsed name stands for.

        Raises:
            UsageError: a parameter it does not have, one that is missing, or a value that does not
                fit.
        """
        fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
        known = [entry.name for entry in fields]
        detail = [name.detail] if name.detail else []
        strangers = detail + [k for k in name.params if k not in known]
        form = f"{name.kind}:name=value,name=value" if known else name.kind
        expected = f"have parameters among {', '.join(known)}" if known else "have no parameters"
        if strangers:
            near = checks.nearest(strangers[0], known)
            remedy = f"Nearest: {', '.join(near)}. " if near else ""
            raise checks.misuse(name.kind, expected, strangers[0], f"{remedy}Write it {form}.")
        unset = dataclasses.MISSING
        needed = [e.name for e in fields if e.default is unset and e.default_factory is unset]
        if missing := [key for key in needed if key not in name.params]:
            raise checks.misuse(
                name.kind, f"have {', '.join(missing)}", "none", f"Write it {form}."
            )
        return cls(**name.params)

    @property
    def spec(self) -> str:
        """The full name that opens this again, with the parameters that differ from their defaults.

        `str` gives the same.
        """
        given = [
            f"{entry.name}={escape(_text(getattr(self, entry.name)))}"
            for entry in dataclasses.fields(self)
            if getattr(self, entry.name) != entry.default
        ]
        full = vars(type(self)).get("address") or self.name  # not that of a class it is made from
        separator = "," if ":" in full else ":"
        return full + (separator + ",".join(given) if given else "")

    def __str__(self) -> str:
        return self.spec


T = TypeVar("T", bound=Parameterised)


def opened(registry: Registry, kind: Callable[..., T], given: str | T) -> T:
    """What a name with parameters stands for, or what is given if it is of that kind already.

    `kind` is a class; type checkers would not take one with abstract methods as a `type[T]`.

    Raises:
        UsageError: no such entry, no such parameter, or a value that does not fit.
        NeuronymError: a module of one's own cannot be imported.
    """
    own = cast(type[T], kind)
    if isinstance(given, own):
        return given
    if not isinstance(given, str):
        article = "an" if own.__name__[0] in "AEIOU" else "a"
        raise checks.misuse(registry.noun, f"a name or {article} {own.__name__}", given)
    name = parse(registry.expand(given), registry.noun)
    if name.kind == OWN:
        return _own(registry.noun, own, name)
    make: Any = registry[name.kind].make
    return make.from_name(name)


def kept(text: str) -> str:
    """How an atlas keeps a name that a user typed; imports the module of one of the user's own.

    >>> kept("clip-avg:k=5"), kept("python:json:JSONDecoder")
    ('clip-avg:k=5', 'python:json.JSONDecoder')
    """
    if not text.startswith(f"{OWN}:"):
        return text
    name = parse(text)
    if ":" in name.detail:
        from neuronym._core.plugins import imported

        imported(name.detail, "name", f"{OWN}:MODULE:CLASS")
    return f"{OWN}:{text.removeprefix(f'{OWN}:').replace(':', '.', 1)}"


def _own(noun: str, kind: type[T], name: Name) -> T:
    """What a class of the user's own makes of a name's parameters.

    `python:MODULE:CLASS` imports the module. `python:MODULE.CLASS`, as atlases keep it, takes a
    class that is imported already: an atlas must not decide what code is run.
    """
    from neuronym._core.plugins import imported

    address = f"{OWN}:{name.detail.replace(':', '.')}"
    form = f"{OWN}:MODULE:CLASS, where CLASS is a {kind.__name__}"
    if ":" in name.detail:
        found = imported(name.detail, noun, form)
    else:
        module, _, own = name.detail.rpartition(".")
        found = getattr(sys.modules.get(module), own, None)
        if found is None:
            remedy = f"Import its module first, or write {OWN}:{module or 'MODULE'}:{own}."
            raise misuse(noun, f"one of neuronym's or {form}", address, remedy)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise misuse(noun, form, checks.Verbatim(f"{address}, which is none"))
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise misuse(noun, f"have {lacking}", checks.Verbatim(f"{address}, which lacks it"))
    found.address = address
    return found.from_name(Name(address, "", name.params))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
