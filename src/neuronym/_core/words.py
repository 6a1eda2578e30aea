"""Words as labels compare them: without case, and as singular and plural."""

from __future__ import annotations

import re

_IRREGULAR = {
    "children": "child",
    "dice": "die",
    "feet": "foot",
    "geese": "goose",
    "lice": "louse",
    "mice": "mouse",
    "oxen": "ox",
    "people": "person",
    "teeth": "tooth",
    "cacti": "cactus",
    "fungi": "fungus",
    "media": "medium",
    # -ves of -f and -fe; without a list "gloves" could not be told from "wolves".
    "calves": "calf",
    "dwarves": "dwarf",
    "elves": "elf",
    "halves": "half",
    "hooves": "hoof",
    "knives": "knife",
    "leaves": "leaf",
    "lives": "life",
    "loaves": "loaf",
    "scarves": "scarf",
    "shelves": "shelf",
    "thieves": "thief",
    "wharves": "wharf",
    "wives": "wife",
    "wolves": "wolf",
    # Plurals that end as singulars do.
    "bikinis": "bikini",
    "emus": "emu",
    "gnus": "gnu",
    "gurus": "guru",
    "kiwis": "kiwi",
    "menus": "menu",
    "safaris": "safari",
    "skis": "ski",
    "taxis": "taxi",
    "zucchinis": "zucchini",
}
#: Singulars that end as plurals do, besides -ss, -us and -is.
_SINGULAR = {
    "asbestos",
    "atlas",
    "canvas",
    "chaos",
    "christmas",
    "cosmos",
    "lens",
    "news",
    "rhinoceros",
}
_NO_MEN = {"abdomen", "acumen", "bitumen", "omen", "regimen", "semen", "specimen", "stamen"}


def lemma(text: str) -> str:
    """A key that singular and plural of an English noun share; of phrases, word by word.

    It is a key and not always a word: `boxes` and `box` give `box`, `horses` and `horse` give
    `hors`, which spares a dictionary of which words end in e. Only the number of nouns is
    levelled: `stripe` and `stripes` have one key, `striped` has another.

    Args:
        text: folded, see `matching.fold`.

    >>> [lemma(w) for w in ("drums", "berries", "movies", "wolves", "policemen", "bus", "glass")]
    ['drum', 'berry', 'movy', 'wolf', 'policeman', 'bus', 'glass']
    >>> lemma("fox-terriers") == lemma("fox terrier")
    True
    """
    return " ".join(_lemma(word) for word in re.split(r"[\s-]+", text.strip()))


def _lemma(word: str) -> str:
    word = _IRREGULAR.get(word, word)
    if word.endswith("men") and word not in _NO_MEN:
        word = word[:-2] + "an"
    if len(word) > 3 and word[-1] == "s" and word[-2] not in "sui'" and word not in _SINGULAR:
        word = word[:-1]
    # Whether the e before the s belonged to the singular does not show: it goes in both.
    if len(word) > 3 and word.endswith("ie"):
        return word[:-2] + "y"
    if len(word) > 3 and word.endswith(("se", "xe", "ze", "che", "she", "oe")):
        return word[:-1]
    return word


def fold(word: str) -> str:
    """The word without case, with spaces for underscores: words are exactly the same by it.

    >>> fold("Fire_Truck")
    'fire truck'
    """
    return " ".join(word.replace("_", " ").casefold().split())
