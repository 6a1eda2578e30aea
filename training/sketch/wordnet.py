"""Kinds of things that the classifier's classes belong to, from WordNet 3.0's files.

Debian's package `wordnet-base` brings them to /usr/share/wordnet. WordNet 3.0 Copyright 2006 by
Princeton University; its licence, which allows derived data, is in the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FILE = Path("/usr/share/wordnet/data.noun")
#: Kinds too wide to look like anything; the way up ends at the first of them.
WIDE = frozenset(
    """abstraction,artifact,chordate,entity,instrumentality,living thing,matter,object,organism,
physical entity,placental,unit,vertebrate,whole""".replace("\n", "").split(",")
)


@dataclass(frozen=True)
class Synset:
    """Words of one meaning, and the meanings above it."""

    words: tuple[str, ...]
    above: tuple[int, ...]


def nouns(file: Path = FILE) -> dict[int, Synset]:
    """All noun synsets by their offset in the file."""
    if not file.is_file():
        raise SystemExit(f"{file} is not there: apt-get install wordnet-base, or --wordnet FILE.")
    found = {}
    for line in file.read_text("latin-1").splitlines():
        if line.startswith("  "):  # the licence
            continue
        fields = line.split(" | ")[0].split()
        count = int(fields[3], 16)
        words = tuple(fields[4 + 2 * k].replace("_", " ") for k in range(count))
        start = 4 + 2 * count
        pointers = [
            fields[start + 1 + 4 * k : start + 5 + 4 * k] for k in range(int(fields[start]))
        ]
        above = tuple(int(offset) for sign, offset, *_ in pointers if sign in ("@", "@i"))
        found[int(fields[0])] = Synset(words, above)
    return found


def matched(names: tuple[str, ...], synsets: dict[int, Synset]) -> dict[int, int]:
    """Class → offset of its synset.

    ImageNet's classes are in the order of their offsets, so of all ways to take one synset of that
    name for every class, the one that names most classes by rising offsets is right for nearly all.
    """
    known: dict[str, list[int]] = {}
    for offset, synset in sorted(synsets.items()):
        for word in synset.words:
            known.setdefault(word.lower(), []).append(offset)
    # (offset, classes named so far, (class, state before)): only states that no other one beats.
    states: list[tuple[int, float, object]] = [(0, 0.0, None)]
    for number, name in enumerate(names):
        grown = list(states)
        for offset in known.get(name.lower(), []):
            exact = 0.1 * (name in synsets[offset].words)
            before = max((s for s in states if s[0] < offset), key=lambda s: s[1])
            grown.append((offset, before[1] + 1 + exact, (number, before)))
        grown.sort(key=lambda s: (s[0], -s[1]))
        states, most = [], -1.0
        for state in grown:
            if state[1] > most:
                states.append(state)
                most = state[1]
    chain, found = max(states, key=lambda s: s[1]), {}
    while chain[2] is not None:
        number, before = chain[2]
        found[number] = chain[0]
        chain = before
    return found


def kinds(names: tuple[str, ...], file: Path = FILE) -> list[list[tuple[str, ...]]]:
    """For each class the kinds above it, from the narrowest to the widest with a look."""
    synsets = nouns(file)
    places = matched(names, synsets)
    found = []
    for number in range(len(names)):
        way, at = [], places.get(number)
        while at is not None and synsets[at].above:
            at = synsets[at].above[0]
            if synsets[at].words[0] in WIDE:
                break
            way.append(synsets[at].words)
        found.append(way)
    return found
