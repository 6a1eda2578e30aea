"""Concepts: ordered sets of words, from a name, a file or a list."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from neuronym._checks import Verbatim, misuse
from neuronym._names import escape, parse, split

# Each source registers itself.
from neuronym.concepts import english, files, from_probe, imagenet  # noqa: F401
from neuronym.concepts.base import (
    CONCEPTS,
    PLAIN,
    Annotated,
    Cleaning,
    ConceptSet,
    clean,
    normal,
)

__all__ = ["CONCEPTS", "PLAIN", "Cleaning", "ConceptSet", "clean", "normal", "open_concepts"]


def open_concepts(
    spec: Any,
    *,
    probe: Annotated | None = None,
    templates: str | Sequence[str] = (PLAIN,),
    exclude: str | Path | Iterable[str] | None = None,
) -> ConceptSet:
    """A concept set from what a user may give for one.

    Args:
        spec: a name (`english-3k`, `imagenet`, `probe`, `file:PATH`, unions `a+b`), a
            `pathlib.Path` of a text file, a list of words, or a concept set.
        probe: whose annotation names `probe` stands for.
        templates: prompts with `{}` in place of the word; their embeddings are averaged.
        exclude: a text file or a list of words to leave out, whatever their case.

    Raises:
        UsageError: nothing is known by this name, a template is wrong, a file is not text, or
            fewer than two concepts remain.
    """
    prompts = _templates(templates)
    unwanted = _excluded(exclude)
    if isinstance(spec, ConceptSet):
        if not unwanted and prompts == (PLAIN,):
            return spec
        kept = clean(spec.words, unwanted)
        own = spec.templates if prompts == (PLAIN,) else prompts
        return _checked(dataclasses.replace(spec, words=kept[0], templates=own, cleaning=kept[1]))
    name, words = _words(spec, probe)
    cleaned, report = clean(words, unwanted)
    return _checked(ConceptSet(name, cleaned, prompts, report))


def _words(spec: Any, probe: Annotated | None) -> tuple[str, list[str]]:
    if isinstance(spec, Path):
        spec = f"file:{escape(str(spec))}"
    if isinstance(spec, str):
        words: list[str] = []
        for text in split(spec, "+"):
            words.extend(_named(text, probe))
        return spec.strip(), words
    if isinstance(spec, bytes | dict) or not isinstance(spec, Iterable):
        expected = "a name, the path of a text file, or a list of words"
        raise misuse("concepts", expected, Verbatim(type(spec).__name__))
    given = list(spec)
    return f"{len(given)} words given in Python", given


def _named(text: str, probe: Annotated | None) -> Iterable[str]:
    if not text.strip():
        raise misuse("concepts", "a name", text, "See `neuronym list concepts`.")
    name = parse(CONCEPTS.expand(text.strip()), "concepts")
    if name.kind not in CONCEPTS:
        if Path(text).expanduser().is_file():
            hint = f"For this file write file:{escape(text)}."
            raise misuse("concepts", "a name of the form kind:detail", text, hint)
        raise CONCEPTS.unknown(name.kind)
    if name.detail and name.kind != "file":
        raise misuse("concepts", f"{name.kind} without anything behind it", text)
    return CONCEPTS[name.kind].make(name, probe)


def _checked(concepts: ConceptSet) -> ConceptSet:
    if len(concepts) >= 2:
        return concepts
    found = f"{len(concepts)} in {concepts.name}"
    if concepts.words:
        found += f" ({concepts.words[0]!r})"
    if report := str(concepts.cleaning):
        found += f"; {report}"
    raise misuse(
        "concepts", "at least 2 different words, because scores compare them", Verbatim(found)
    )


def _templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    given = (templates,) if isinstance(templates, str) else tuple(templates)
    if not given:
        raise misuse("templates", "at least one prompt", Verbatim("none"), "The plain one is {}.")
    for template in given:
        if not isinstance(template, str) or template.count(PLAIN) != 1:
            example = 'For example "a photo of a {}".'
            raise misuse("template", "a prompt with {} exactly once", template, example)
    if len(set(given)) < len(given):
        repeated = next(template for template in given if given.count(template) > 1)
        raise misuse("templates", "different prompts", repeated, "It would count twice.")
    return given


def _excluded(exclude: str | Path | Iterable[str] | None) -> list[str]:
    if exclude is None:
        return []
    if isinstance(exclude, str | Path):
        return files.read_lines(Path(exclude).expanduser(), "exclude")
    return list(exclude)
