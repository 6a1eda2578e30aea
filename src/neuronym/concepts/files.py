"""Concepts from a text file, one word or phrase per line."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from neuronym._checks import Verbatim, misuse
from neuronym._errors import NeuronymError
from neuronym._names import Name, known_params, write
from neuronym.concepts.base import CONCEPTS, Annotated

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


@CONCEPTS.register("file", syntax="file:PATH", example="file:words.txt")
def from_file(name: Name, probe: Annotated | None) -> list[str]:
    """The lines of a UTF-8 text file: one word or phrase per line, nothing is a comment.

    Raises:
        UsageError: no such file, or it is not text.
        NeuronymError: it cannot be read.
    """
    known_params(name)
    if not name.detail:
        raise misuse("concepts", "file:PATH", write(name))
    return read_lines(Path(name.detail).expanduser(), "concepts")


def read_lines(path: Path, argument: str) -> list[str]:
    """The lines of a text file in UTF-8, with or without a byte-order mark.

    Raises:
        UsageError: no such file, or it is empty, binary or in another encoding.
        NeuronymError: it cannot be read.
    """
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise misuse(argument, "an existing text file", Verbatim(f"{path}, which {kind}"))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NeuronymError(f"Cannot read {path}: {error.strerror or error}.") from error
    if not data:
        raise misuse(argument, "a text file with one word per line", Verbatim(f"{path}, empty"))
    if data.startswith(_WIDE):
        raise misuse(
            argument,
            "a text file in UTF-8",
            Verbatim(f"{path}, in UTF-16 or UTF-32"),
            "Save it again as UTF-8.",
        )
    try:
        text = data.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("a zero byte")
    except ValueError as error:
        place = getattr(error, "start", data.find(b"\0"))
        line = data.count(b"\n", 0, place) + 1
        raise misuse(
            argument,
            "a text file in UTF-8",
            Verbatim(f"{path}, which is not: byte 0x{data[place]:02x} in line {line}"),
            "Save it as UTF-8, one word per line.",
        ) from None
    lines = re.split(r"\r\n|\r|\n", text)
    return lines[:-1] if lines[-1] == "" else lines
