"""What a concept set is: an ordered set of words, cleaned in one place, with prompt templates."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from neuronym import _fingerprint
from neuronym._checks import Verbatim, misuse
from neuronym._names import Name
from neuronym._registry import Registry

CONCEPTS = Registry("concepts", "concepts")

#: The prompt that leaves a word as it is.
PLAIN = "{}"
#: Longer lines are not words or phrases, but text that got into the file by mistake.
MAX_LENGTH = 200


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
        return _fingerprint.of_data(
            [_fingerprint.of_texts(self.words), _fingerprint.of_texts(self.templates)]
        )

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


# Invisible characters that come with copied text: control characters, soft hyphen, zero-width
# space and joiner of words, byte-order mark, direction marks, lone surrogates. The joiners U+200C
# and U+200D stay: several scripts need them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064"
    "\u2066-\u2069\ufeff\ud800-\udfff]"
)


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
