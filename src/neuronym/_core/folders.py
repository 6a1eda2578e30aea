"""Names without the folders that they lie in: what is passed on tells nothing of a disk."""

from __future__ import annotations

import re
from typing import Any

_BEFORE = r"""(?:(?<=[\s:=+,|(\["'`])|^)"""
_ROOT = r"(?:~?/(?=[^/\s])|[A-Za-z]\\?:[\\/]+(?=[^\\/\s]))"
#: In a name, which may have spaces, a path ends where its grammar says; see `registry.parse`.
_IN_NAME = re.compile(rf"{_BEFORE}{_ROOT}(?:\\[+:,\\]|[^,+:\n])*")
#: In a sentence a path has two parts at least, so that "5 /s" stays, and ends at a space.
_IN_SENTENCE = re.compile(rf"""{_BEFORE}{_ROOT}[^\s/\\"'`,;()\]]+[/\\][^\s"'`,;()\]]*""")


def without_folders(data: Any) -> Any:
    r"""The same data, of absolute paths in its texts only the last part.

    >>> without_folders("folder:/home/ann/my photos,labels=no+synthetic")
    'folder:my photos,labels=no+synthetic'
    >>> without_folders({"note": "Made by `train.py /data/x/` at 5 /s.", "of": [r"D:\a\w.txt"]})
    {'note': 'Made by `train.py x` at 5 /s.', 'of': ['w.txt']}
    >>> without_folders("https://a.org/b/c"), without_folders("photos/cats and/or dogs")
    ('https://a.org/b/c', 'photos/cats and/or dogs')
    """
    if isinstance(data, str):
        first = _IN_NAME.search(data)
        if first is None:
            return data
        kind = _IN_SENTENCE if re.search(r"\s", data[: first.start()]) else _IN_NAME
        return kind.sub(lambda found: _last(found[0]), data)
    if isinstance(data, dict):
        return {key: without_folders(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(map(without_folders, data))
    return data


def _last(path: str) -> str:
    separators = r"[\\/]" if re.match(r"[A-Za-z]\\?:", path) else "/"
    bare = re.sub(rf"{separators}+$", "", path)
    return re.split(separators, bare)[-1]
