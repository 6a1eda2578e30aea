"""Concepts: ordered sets of words, cleaned, from a name, a file or a list."""

from __future__ import annotations

import codecs
import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from neuronym._core import hashing
from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.registry import Name, Registry, escape, parse, split

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)

CONCEPTS = Registry("concepts", "concepts", "neuronym.inputs.concepts")

#: The prompt that leaves a word as it is.
PLAIN = "{}"
#: Longer lines are not words or phrases, but text that got into the file by mistake.
MAX_LENGTH = 200
# Invisible characters that come with copied text: control characters, soft hyphen, zero-width
# space and joiner of words, byte-order mark, direction marks, lone surrogates. The joiners U+200C
# and U+200D stay: several scripts need them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064"
    "\u2066-\u2069\ufeff\ud800-\udfff]"
)


class Annotated(Protocol):
    """What the source `probe` needs of a probe."""

    name: str

    def vocabulary(self) -> Sequence[Any]: ...


#: A registered source: the parsed name and the run's probe (None if there is none) → words.
Source = Callable[[Name, Annotated | None], Iterable[str]]


@dataclass(frozen=True)
class Cleaning:
    """What cleaning did to a list of words.

    Attributes:
        given: how many words came in, blank ones included.
        blank: how many were blank.
        changed: how many were kept in another form (white space, Unicode form, control characters).
        duplicates: dropped because an equal word came before.
        excluded: dropped on demand.
        too_long: dropped because they have more than `MAX_LENGTH` characters; their beginnings.
        case_variants: kept, although they differ from an earlier word only in case.
    """

    given: int
    blank: int = 0
    changed: int = 0
    duplicates: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    too_long: tuple[str, ...] = ()
    case_variants: tuple[str, ...] = ()

    def __str__(self) -> str:
        """What was done, as a list in one line, or an empty text if nothing was.

        >>> print(Cleaning(5, blank=2, duplicates=("dog",)))
        2 blank lines dropped; 1 duplicate dropped: dog
        """
        parts = []
        if self.blank:
            parts.append(f"{_count(self.blank, 'blank line')} dropped")
        if self.duplicates:
            parts.append(_listing("duplicate", "dropped", self.duplicates))
        if self.excluded:
            parts.append(f"{_count(len(self.excluded), 'word')} excluded")
        if self.too_long:
            kind = f"line of more than {MAX_LENGTH} characters"
            many = f"lines of more than {MAX_LENGTH} characters"
            parts.append(_listing(kind, "dropped", self.too_long, many))
        if self.changed:
            parts.append(f"{_count(self.changed, 'word')} tidied (white space, Unicode form)")
        if self.case_variants:
            parts.append(_listing("word", "differing only in case kept", self.case_variants))
        return "; ".join(parts)


@dataclass(frozen=True)
class ConceptSet:
    """An ordered set of distinct words and the templates they are embedded with.

    Attributes:
        name: the full name that opens the set again, or a description.
        words: distinct, in Unicode normal form C, no outer or repeated white space, in given order.
        templates: each holds `{}` once; the embeddings of all templates are averaged.
        cleaning: what was dropped or changed on the way.
    """

    name: str
    words: tuple[str, ...]
    templates: tuple[str, ...] = (PLAIN,)
    cleaning: Cleaning = field(default_factory=lambda: Cleaning(0), compare=False)

    def __len__(self) -> int:
        return len(self.words)

    @property
    def fingerprint(self) -> str:
        """Changes with any word, their order, and the templates."""
        return hashing.of_data([hashing.of_texts(self.words), hashing.of_texts(self.templates)])

    @property
    def summary(self) -> str:
        """One line for people: how many concepts, and what cleaning did.

        >>> ConceptSet("x", ("a", "b"), cleaning=Cleaning(3, duplicates=("a",))).summary
        '2 concepts (1 duplicate dropped: a)'
        """
        report = str(self.cleaning)
        return _count(len(self.words), "concept") + (f" ({report})" if report else "")

    def prompts(self, template: str) -> list[str]:
        """Every word in one template, in the order of `words`."""
        return [template.replace(PLAIN, word) for word in self.words]


def normal(word: str) -> str:
    """One word in its normal form: Unicode NFC, nothing invisible, single inner spaces.

    >>> normal("  great   white shark ")
    'great white shark'
    """
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", word)).split())


def clean(words: Iterable[str], exclude: Iterable[str] = ()) -> tuple[tuple[str, ...], Cleaning]:
    """Distinct words in their normal form and given order, and what was done to get them.

    The one place where words are cleaned: everything that counts concepts counts these. Case is
    kept: "Cardigan" is a dog and "cardigan" a garment.

    Args:
        words: in any form.
        exclude: words to leave out, whatever their case.

    Raises:
        UsageError: something is not text.
    """
    unwanted = {normal(word).casefold() for word in exclude}
    kept: dict[str, None] = {}
    folded: set[str] = set()
    given = blank = changed = 0
    duplicates, excluded, too_long, case_variants = [], [], [], []
    for given, word in enumerate(words, start=1):
        if not isinstance(word, str):
            got = Verbatim(f"{word!r} ({type(word).__name__}) at position {given - 1}")
            raise misuse("concepts", "a list of words", got)
        tidy = normal(word)
        if not tidy:
            blank += 1
        elif len(tidy) > MAX_LENGTH:
            too_long.append(tidy[:40] + "…")
        elif tidy.casefold() in unwanted:
            excluded.append(tidy)
        elif tidy in kept:
            duplicates.append(tidy)
        else:
            changed += tidy != word
            if tidy.casefold() in folded:
                case_variants.append(tidy)
            kept[tidy] = None
            folded.add(tidy.casefold())
    report = Cleaning(
        given,
        blank,
        changed,
        tuple(duplicates),
        tuple(excluded),
        tuple(too_long),
        tuple(case_variants),
    )
    return tuple(kept), report


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _listing(noun: str, done: str, words: tuple[str, ...], many: str | None = None) -> str:
    few = ", ".join(words[:5]) + (", …" if len(words) > 5 else "")
    count = f"{len(words):,} {many}" if many and len(words) != 1 else _count(len(words), noun)
    return f"{count} {done}: {few}"


# Each source registers itself.


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
        return read_lines(Path(exclude).expanduser(), "exclude")
    return list(exclude)


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
