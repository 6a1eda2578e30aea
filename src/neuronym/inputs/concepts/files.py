"""Concepts from a text file, one word or phrase per line."""

from __future__ import annotations

from pathlib import Path

from neuronym._core.checks import misuse
from neuronym._core.registry import Name, known_params, write
from neuronym.inputs.concepts.base import CONCEPTS, Annotated, read_lines


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
