"""Forms that a browser sends, with or without a file."""

from __future__ import annotations

from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

from neuronym.web.pages.base import Query

_FIELDS = 30  # of a form with files, at most
_LONGEST = 16384  # bytes of a form without files


def parts_of(body: bytes, kind: str) -> Query:
    """The fields of a form: text, but bytes for files.

    Args:
        body: what was sent.
        kind: its content type, `multipart/form-data; boundary=…` or anything else: then it is
            taken for `application/x-www-form-urlencoded`.
    """
    header = Message()
    header["content-type"] = kind
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        if len(body) > _LONGEST:
            return Query()
        return Query(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    found: list[tuple[str, Any]] = []
    mark = b"\r\n--" + boundary.encode("utf-8", "replace")
    for part in (b"\r\n" + body).split(mark, _FIELDS)[1:]:
        head, end, content = part.partition(b"\r\n\r\n")
        if not end:
            continue
        told = Message()
        for line in head.decode("utf-8", "replace").splitlines():
            name, colon, value = line.partition(":")
            if colon and name.strip().lower() == "content-disposition":
                told["content-disposition"] = value.strip()
        field = told.get_param("name", header="content-disposition")
        if isinstance(field, str):
            is_file = told.get_param("filename", header="content-disposition") is not None
            found.append((field, content if is_file else content.decode("utf-8", "replace")))
    return Query(found)
