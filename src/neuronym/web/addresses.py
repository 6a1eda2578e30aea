"""Addresses of pages: on a server, and as files that link to each other relatively."""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence, Set
from urllib.parse import quote, urlencode

#: Words that stand in an address as they are; what else there is (slashes, dots, control
#: characters, ten thousand letters) is named by a hash.
_PLAIN = re.compile(r"[\w][\w '+&-]{0,79}", re.UNICODE)

_HASHED = re.compile("~[0-9a-f]{16}")

#: What Windows takes for devices, whatever the ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)

#: How the files of pages end. A layer `x.html` would be a folder where the page of `x` is a file.
_ENDINGS = (".html", ".json")


#: What stands behind the question mark of an address; in pairs, a name may come several times.
Asked = Mapping[str, str] | Sequence[tuple[str, str]]


#: The address of a page that is not exported; see `without_dead_links`.
NOWHERE = "#nowhere"
_DEAD = re.compile(rf'<a\b([^>]*?) href="{NOWHERE}[^"]*"([^>]*)>(.*?)</a>', re.DOTALL)
_DEAD_HEAD = re.compile(rf'<link\b[^>]* href="{NOWHERE}[^"]*"[^>]*>')


def without_dead_links(page: str) -> str:
    """A page whose links to pages that there are not are plain text.

    >>> without_dead_links('<a class="tile" rel="next" href="#nowhere">7</a> <a href="8">8</a>')
    '<span class="tile">7</span> <a href="8">8</a>'
    """

    def plain(found: re.Match[str]) -> str:
        attributes = re.sub(r' (rel|tabindex)="[^"]*"', "", found[1] + found[2])
        return f"<span{attributes}>{found[3]}</span>"

    return _DEAD_HEAD.sub("", _DEAD.sub(plain, page))


class Part(str):
    """A part of an address, as against the name that it stands for."""


@functools.lru_cache(1 << 14, typed=True)
def segment(text: str) -> Part:
    """One part of an address for any text: itself where it can be, else a hash of it.

    A part stays what it is. A mere name that looks like a hash is hashed like other odd names, so
    that no two names share a part.

    Dots may stand inside, because layers have them, but never at either end.

    >>> segment("polka dot"), segment("layer4.1.conv2")
    ('polka dot', 'layer4.1.conv2')
    >>> segment("../x").startswith("~"), segment("con").startswith("~")
    (True, True)
    """
    if isinstance(text, Part):
        return text
    plain = (
        all(_PLAIN.fullmatch(part) for part in text.split("."))
        and len(text.encode()) <= 120  # names of files may have 255 bytes
        and text == text.strip()
        and not _DEVICES.fullmatch(text)
        and not text.lower().endswith(_ENDINGS)
        # macOS takes é and e + ´ for the same name.
        and unicodedata.is_normalized("NFC", text)
    )
    return Part(text if plain else f"~{_digest(text, 8)}")


def received(text: str) -> str:
    """What stands in an address or form that somebody sent: a part if it is a hash, else a name."""
    return Part(text) if _HASHED.fullmatch(text) else text


def file_part(text: str) -> str:
    """A part of an address as the name of a file or folder, different also without case.

    >>> file_part("polka dot"), file_part("Mixed_5b")
    ('polka dot', 'Mixed_5b~5c85')
    """
    part = segment(text)
    return part if part == part.lower() else f"{part}~{_digest(part, 2)}"


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


@functools.lru_cache(1 << 14, typed=True)
def _quoted(part: str) -> str:
    return quote(segment(part), safe="~")


class Addresses:
    """How pages of a served site link to each other: from the root of the server."""

    #: Whether the site is a folder of files, without a server behind it.
    files = False
    root = "/"

    def page(self, *parts: str, query: Asked | None = None) -> str:
        """The address of a page, such as `page("a", "demo", "unit", "_fc", "417")`."""
        path = "/" + "/".join(map(_quoted, parts))
        return path + ("?" + urlencode(query) if query else "")

    def json(self, *parts: str) -> str:
        """The address of a page's data."""
        return (self.page(*parts) if parts else "/index") + ".json"

    def file(self, path: str) -> str:
        """The address of a file that is no page, such as `static/style.css`."""
        return "/" + quote(path)


class FileAddresses(Addresses):
    """How the files of an exported site link to each other.

    Args:
        here: the parts of the page that holds the links.
        there: the files of the pages that there are. None: all.
    """

    files = True

    def __init__(self, *here: str, there: Set[str] | None = None) -> None:
        self._there = there
        #: The files that are no pages to which the page has links.
        self.used: set[str] = set()
        #: From the page to the folder of the site.
        self.root = "../" * self.name(*here).count("/") or "./"

    @staticmethod
    def name(*parts: str, ending: str = "html") -> str:
        """The file of a page, relative to the root of the site."""
        return "/".join(map(file_part, parts or ("index",))) + f".{ending}"

    def page(self, *parts: str, query: Asked | None = None) -> str:
        """A relative link; a query is left to scripts. `NOWHERE`: there is no such page."""
        name = self.name(*parts)
        if self._there is not None and name not in self._there and parts[2:3] != ("search",):
            return NOWHERE
        link = self._to(name)
        return link + ("?" + urlencode(query) if query else "")

    def json(self, *parts: str) -> str:
        return self._to(self.name(*parts, ending="json"))

    def file(self, path: str) -> str:
        self.used.add(path)
        return self._to(path)

    def _to(self, path: str) -> str:
        return self.root + quote(path, safe="/~")
