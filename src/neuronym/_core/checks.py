"""Argument checks. Every message has one form: argument, expected, got, remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from neuronym._core.errors import MissingExtraError, UsageError


def misuse(argument: str, expected: str, got: object, remedy: str = "") -> UsageError:
    """Build the error for a wrong argument.

    >>> print(misuse("top_k", "a whole number of at least 1", 0))
    Expected `top_k` to be a whole number of at least 1, got 0.
    """
    shown = got if isinstance(got, Verbatim) else repr(got)
    if len(str(shown)) > 200:
        shown = str(shown)[:197] + "…"
    message = f"Expected `{argument}` to {_be(expected)}, got {shown}."
    return UsageError(f"{message} {remedy}".rstrip())


class Verbatim(str):
    """Text that `misuse` shows as it is, without quotes."""


def _be(expected: str) -> str:
    verbs = ("be ", "have ", "name ", "hold ", "contain ", "match ", "give ", "fit ", "exist")
    return expected if expected.startswith(verbs) else f"be {expected}"


def nearest(word: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known words that look most like `word`, best first."""
    by_fold = {k.casefold(): k for k in known}
    found = difflib.get_close_matches(word.casefold(), by_fold, n=limit, cutoff=0.5)
    starts = (
        [f for f in by_fold if f.startswith(word.casefold()) and f not in found] if word else []
    )
    return [by_fold[f] for f in (found + starts)[:limit]]


def integer(argument: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """`value` as an int within [low, high], from an int or its text."""
    bounds = "a whole number"
    if low is not None:
        bounds += f" of at least {low}" if high is None else f" {low}…{high}"
    try:
        number = int(str(value)) if not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or (low is not None and number < low) or (high is not None and number > high):
        raise misuse(argument, bounds, value)
    return number


def real(
    argument: str, value: object, low: float = float("-inf"), high: float = float("inf")
) -> float:
    """`value` as a finite float within [low, high], from a number or its text."""
    bounds = "a number"
    if low != float("-inf"):
        bounds += f" of at least {low:g}" if high == float("inf") else f" {low:g}…{high:g}"
    try:
        given: Any = value
        number = float(given) if not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or not low <= number <= high or number == float("inf"):
        raise misuse(argument, bounds, value)
    return number


def choice(argument: str, value: object, allowed: Iterable[str]) -> str:
    """`value` if it is one of the allowed words."""
    words = list(allowed)
    if value not in words:
        raise misuse(argument, f"one of {', '.join(words)}", value)
    return str(value)


def missing_extra(what: str, package: str, extra: str) -> MissingExtraError:
    """The error for an optional package that is absent."""
    return MissingExtraError(
        f"{what} needs the package {package}, which is not installed. "
        f'Install it with: pip install "neuronym[{extra}]"'
    )
