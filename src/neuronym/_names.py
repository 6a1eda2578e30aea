r"""The grammar of names: `kind:detail`, parameters `a=1,b=2`, unions with `+`.

A backslash takes the special meaning from the `+`, `:`, `,` or `\` behind it, so any path can be
written: ``folder:/data/a\+b``. Before any other character a backslash stands for itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from neuronym._checks import misuse, nearest

_SPECIAL = "+:,\\"


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
    parts, current, i = [], [], 0
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
