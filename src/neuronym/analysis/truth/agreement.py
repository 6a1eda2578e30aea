"""How far people agree, and one truth out of several people's answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import pandas as pd

from neuronym._core.words import fold
from neuronym.analysis.truth.base import Answer, Truth

#: The merging rule, in words.
RULE = (
    "Of several people's answers about a unit the most frequent one counts, words being the same "
    "but for case and underscores; `unsure` is no answer; where the first two are as frequent, the "
    "unit is unsure."
)


def value(answer: Answer) -> str | None:
    """What an answer says, for comparing: a folded word, nothing for non-interpretable, or None."""
    if answer.status == "unsure":
        return None
    return fold(answer.label)


def alpha(units: Iterable[Sequence[Hashable]]) -> float:
    r"""Krippendorff's alpha for nominal values.

    1 − (n − 1)·Σ_{c≠k} o_ck / Σ_{c≠k} n_c·n_k, where o_ck counts the ordered pairs of values c and
    k within units, each weighted by 1/(values of the unit − 1), n_c = Σ_k o_ck and n = Σ_c n_c.
    1 is perfect agreement, 0 what chance gives, below 0 systematic disagreement. Units with fewer
    than two values say nothing.

    Args:
        units: the values that each unit got; missing ones left out.

    Returns:
        NaN where no unit has two values, or all values are the same: then nothing could differ.

    Reference: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability.

    >>> alpha([("a", "a"), ("b", "b"), ("a", "b")])
    0.4444444444444444
    """
    totals: Counter[Hashable] = Counter()
    differing = 0.0
    for values in units:
        counts = Counter(values)
        size = counts.total()
        if size < 2:
            continue
        totals.update(counts)
        differing += sum(c * (size - c) for c in counts.values()) / (size - 1)
    n = totals.total()
    expected = n * n - sum(c * c for c in totals.values())
    return 1 - (n - 1) * differing / expected if expected else float("nan")


def agreeing(units: Iterable[Sequence[Hashable]]) -> float:
    """Percent agreement as a share: of all pairs of values that one unit got, those that agree.

    NaN where no unit has two values.
    """
    same = pairs = 0
    for values in units:
        counts = Counter(values)
        size = counts.total()
        pairs += size * (size - 1)
        same += sum(c * (c - 1) for c in counts.values())
    return same / pairs if pairs else float("nan")


def by_chance(units: Iterable[Sequence[Hashable]]) -> float:
    """`agreeing` on average if the values were permuted over the units with several of them.

    >>> by_chance([("a", "a"), ("b", "b"), ("a", "b")])
    0.4
    """
    several = [values for values in units if len(values) > 1]
    totals = Counter(value for values in several for value in values)
    n = totals.total()
    return sum(c * (c - 1) for c in totals.values()) / (n * (n - 1)) if n else float("nan")


def merge(answers: Iterable[Answer], source: str) -> Truth:
    """One truth of several people's answers, by `RULE`.

    Args:
        answers: at most one per person and unit, in any order.
        source: see `Truth`.
    """
    units: dict[tuple[str, int], list[Answer]] = {}
    for answer in answers:
        units.setdefault((answer.layer, answer.unit), []).append(answer)
    rows = []
    for (layer, unit), given in units.items():
        won = _most_frequent(given)
        labels: tuple[str, ...] = ()
        status = "unsure"
        if won:
            status = min((a.status for a in won), key=["label", "own", "non-interpretable"].index)
            # Of several spellings the most frequent one, of these the first in the alphabet.
            spelled = Counter(a.label for a in won if a.named)
            labels = tuple(sorted(spelled, key=lambda w: (-spelled[w], w))[:1])
        rows.append({"layer": layer, "unit": unit, "labels": labels, "status": status})
    several = max(map(len, units.values()), default=0) > 1
    frame = pd.DataFrame(rows, columns=["layer", "unit", "labels", "status"])
    return Truth(source, frame, (RULE,) if several else ())


def _most_frequent(given: list[Answer]) -> list[Answer]:
    """The answers that won; none if no one is sure, or the first two are as frequent."""
    votes = Counter(v for v in map(value, given) if v is not None)
    first = votes.most_common(2)
    if not first or (len(first) > 1 and first[0][1] == first[1][1]):
        return []
    return [a for a in given if value(a) == first[0][0]]
