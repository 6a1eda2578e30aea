"""Folders of images that are not on this machine's disk: any URL that fsspec can list."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import CorruptImageError, MissingExtraError, NeuronymError, UsageError
from neuronym._core.registry import Name, known_params, write
from neuronym._core.texts import Texts
from neuronym.inputs.probes.base import PROBES, Probe, RawImage, valid_text
from neuronym.inputs.probes.folder import PathsProbe, is_hidden, none_there, sort_out

#: How often a request is made that fails for a reason that may pass.
_TRIES = 3
#: Seconds before the second try; each further wait is twice as long.
_PAUSE = 0.5
_T = TypeVar("_T")


@PROBES.register(
    "url",
    syntax="SCHEME://PATH[,labels=no|CATEGORY]",
    example="s3://bucket/photos",
)
def open_url(name: Name) -> Probe:
    """The images below a URL (s3, http, gs, zip, …); sub-folder names become labels.

    URLs of .tar files are opened as shards.

    Raises:
        UsageError: nobody knows the scheme, or there are no images.
        NeuronymError: it cannot be listed.
        MissingExtraError: the package for the scheme is absent.
    """
    scheme, _, rest = name.detail.partition(":")
    written = valid_text(write(Name(scheme, rest, name.params)))
    if name.detail.endswith(".tar"):
        return PROBES["wds"].make(Name("wds", name.detail, name.params))
    known_params(name, "labels")
    category = name.params.get("labels", "folder")
    return UrlProbe(name.detail, written, None if category == "no" else category)


class UrlProbe(PathsProbe):
    """The images below a URL, in the order of their paths, which are their ids.

    Folders are listed one after the other; an image is fetched when it is read.

    Args:
        url: of a folder.
        name: the name that opens it again.
        category: of the labels that the names of sub-folders give, or None for no labels.
    """

    def __init__(self, url: str, name: str, category: str | None) -> None:
        self._files, self._root = filesystem(url)
        self._url = url.rstrip("/")
        # Index pages of servers quote names; the names themselves are the ids.
        self._quote = quote if url.startswith("http") else str
        plain = unquote if url.startswith("http") else str
        found, others = Texts(), Counter[str]()

        def look() -> None:
            for folder, _, files in self._files.walk(self._root, detail=False, on_error="raise"):
                inside = plain(folder[len(self._root) :].strip("/"))
                if any(map(is_hidden, inside.split("/") if inside else ())):
                    continue
                for file in map(plain, files):
                    if file and sort_out(file, others):
                        found.append(f"{inside}/{file}" if inside else file)

        request(look, f"Cannot list {url}")
        if not found:
            raise UsageError(none_there(url, others))
        super().__init__(found.take(found.order()), name, category, others)

    def source(self, index: int) -> str | None:
        return f"{self._url}/{self._quote(self._paths[index])}"

    def read(self, index: int) -> RawImage:
        path = f"{self._root.rstrip('/')}/{self._quote(self._paths[index])}"
        return RawImage(fetch(self._files, path if self._root else path[1:]))


def filesystem(url: str) -> tuple[Any, str]:
    """The file system that a URL or a local path names, and the path in it.

    Raises:
        UsageError: nobody knows the scheme.
        MissingExtraError: the package for it is absent.
        NeuronymError: it cannot be reached.
    """
    import fsspec

    try:
        # Listings are not kept: there may be millions.
        return fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise MissingExtraError(
            f"{url} needs a package that is not installed ({error}). For s3:// and http:// "
            'install it with: pip install "neuronym[remote]"'
        ) from None
    except ValueError as error:
        got = Verbatim(f"{url}: {str(error).rstrip('.')}")
        raise misuse(
            "probe", "a URL of a kind that fsspec knows, such as s3:// or http://", got
        ) from error
    except Exception as error:
        raise NeuronymError(f"Cannot open {url}: {reason(error)}.") from error


def fetch(files: Any, path: str, start: int | None = None, size: int | None = None) -> bytes:
    """The bytes of a file, or `size` of them from `start` on.

    Raises:
        CorruptImageError: they cannot be read, also at the third try.
    """
    end = None if start is None or size is None else start + size
    try:
        data = request(lambda: files.cat_file(path, start=start, end=end), "cannot be read")
    except NeuronymError as error:
        raise CorruptImageError(str(error).rstrip(".")) from error
    if size is not None and len(data) < size:
        raise CorruptImageError(f"is cut off: {len(data):,} of {size:,} bytes are there")
    return data


def request(work: Callable[[], _T], what: str) -> _T:
    """What `work` gives, which is tried again where the reason may pass.

    Raises:
        NeuronymError: it cannot be done.
    """
    for number in range(_TRIES):
        try:
            return work()
        except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
            raise NeuronymError(f"{what}: {reason(error)}.") from error
        except ImportError as error:
            raise MissingExtraError(f"{what}: {error}") from error
        except Exception as error:  # each library has its own
            if number == _TRIES - 1:
                raise NeuronymError(f"{what}: {reason(error)}.") from error
        time.sleep(_PAUSE * 2**number)
    raise AssertionError


def reason(error: Exception) -> str:
    """The text of an error from a library, on one line."""
    if isinstance(error, FileNotFoundError):
        return "it is not there"
    text = " ".join(str(error).split()) or type(error).__name__
    return valid_text(text[:300]).rstrip(".")
