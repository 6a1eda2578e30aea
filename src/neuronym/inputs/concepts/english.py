"""The most frequent English words that can name something.

The rule, fixed so that every machine gets the same words: wordfreq's English words from the most
frequent on, of the letters a–z only, with three letters or more, without the function words of
`function_words.txt` and without the words that tables and programs take for a missing or a logical
value (null, nan, none, true, false), until the number is reached.
"""

from __future__ import annotations

import re
from importlib import resources

from neuronym._core.checks import missing_extra
from neuronym._core.errors import NeuronymError
from neuronym._core.registry import Name, known_params
from neuronym.inputs.concepts.base import CONCEPTS, Annotated

_VALUES = {"null", "nan", "none", "true", "false"}
_WORD = re.compile(r"[a-z]{3,}")


def english(count: int) -> list[str]:
    """The `count` most frequent English words by the rule of this module.

    Raises:
        MissingExtraError: wordfreq is absent.
        NeuronymError: wordfreq does not have so many.
    """
    try:
        from wordfreq import top_n_list
    except ImportError:
        raise missing_extra("The English word list", "wordfreq", "embedded") from None
    unwanted = function_words() | _VALUES
    # Two thirds of wordfreq's entries pass the rule.
    candidates = top_n_list("en", 2 * count + 2_000)
    words = [word for word in candidates if _WORD.fullmatch(word) and word not in unwanted][:count]
    if len(words) < count:
        raise NeuronymError(f"wordfreq has only {len(words):,} English words for our rule.")
    return words


def function_words() -> frozenset[str]:
    """Articles, pronouns, prepositions, conjunctions, auxiliaries and the like."""
    text = resources.files(__package__).joinpath("function_words.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(word for line in lines for word in line.split())


@CONCEPTS.register("english-3k")
def english_3k(name: Name, probe: Annotated | None) -> list[str]:
    """The 3,000 most frequent English words, without function words."""
    known_params(name)
    return english(3_000)


@CONCEPTS.register("english-10k")
def english_10k(name: Name, probe: Annotated | None) -> list[str]:
    """The 10,000 most frequent English words, without function words."""
    known_params(name)
    return english(10_000)


@CONCEPTS.register("english-20k")
def english_20k(name: Name, probe: Annotated | None) -> list[str]:
    """The 20,000 most frequent English words, without function words."""
    known_params(name)
    return english(20_000)
