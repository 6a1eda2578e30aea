"""What kind of thing a label names: an object, a part, a scene, a material, …"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from neuronym._core.errors import NeuronymError
from neuronym._core.words import fold
from neuronym.atlas.context import Sources

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas


#: Words that stand for each category; `other` is what names nothing one could see in a picture.
SEEDS: Mapping[str, tuple[str, ...]] = {
    name: tuple(words.split())
    for name, words in {
        "object": "animal vehicle tool furniture fruit vegetable toy machine insect plant "
        "instrument appliance goat lion parrot motorbike van tractor desk stool violin toaster "
        "kettle bucket suitcase backpack jacket sandwich peach mango rose tulip globe radio torch",
        "part": "limb handle lid hinge hoof knee elbow paw antler bumper windshield feather "
        "nostril ankle shoulder lip tooth claw fender knob nozzle pedal stalk twig corner edge",
        "scene": "landscape indoors outdoors countryside hallway valley airport classroom "
        "supermarket restaurant library island coastline village canyon meadow suburb bathroom "
        "warehouse courtyard downtown stadium seaside dusk",
        "material": "plastic glass wool cotton marble clay rubber ceramic steel copper cement "
        "silk cardboard plaster iron aluminium linen velvet granite asphalt wax soil porcelain "
        "bronze",
        "texture": "rough smooth pattern textured patterned grainy fuzzy ribbed plaid mottled "
        "speckled checkered fluffy stippled shiny glossy wavy spotted jagged hairy slimy curly "
        "tangled layered",
        "colour": "color crimson scarlet turquoise beige violet teal magenta maroon cyan indigo "
        "golden silver ivory reddish greenish bluish lavender khaki amber",
        "other": "idea think because policy monday government percent company important "
        "nevertheless history believe statistics january david language law maybe theory quickly "
        "money agreement london running decide happiness war twenty software president education "
        "received sent enjoyed nice happy similar described beautiful",
    }.items()
}
CATEGORIES = tuple(SEEDS)
#: How often the seeds are right, on words whose category is known; see docs/figures.md.
MEASURED = (
    "the rule is right for 65 % of the words of the probe synthetic (77 % if objects and parts "
    "count as one)"
)
#: Without the encoder so many seeds of each category must be among the concepts.
FEWEST = 5


def categorise(
    words: Float[np.ndarray, "word dim"], seeds: Mapping[str, Float[np.ndarray, "seed dim"]]
) -> list[str]:
    """The category of each word: that whose seeds' mean direction has the highest cosine with it.

    category(w) = argmax_c cos(w, Σ_{s∈c} s), all vectors of unit length.

    Args:
        words: text embeddings.
        seeds: by category the text embeddings of its seeds, of the same encoder.
    """
    means = np.stack(
        [vectors.sum(0) / np.linalg.norm(vectors.sum(0)) for vectors in seeds.values()]
    )
    names = list(seeds)
    return [names[place] for place in (np.asarray(words, np.float32) @ means.T).argmax(1)]


def of_words(atlas: Atlas, words: Sequence[str], **sources: Any) -> tuple[dict[str, str], str]:
    """The category of each word, and a sentence on how it was found.

    If the images of the probe are annotated and all words are names of annotations, it is the
    category in which most images have the name; else that of the nearest seeds (`categorise`).

    Args:
        atlas: from which the words' embeddings are read.
        words: labels of its units.
        **sources: what `Sources` needs to open the encoder, where that is necessary.

    Raises:
        NeuronymError: words have no embedding, and the encoder cannot be opened.
    """
    annotated = _annotated(atlas)
    if annotated and all(fold(word) in annotated for word in words):
        return {w: annotated[fold(w)] for w in words}, "categories of the probe's annotations"
    if atlas.imported:
        raise atlas.lacks("text embeddings, by which labels are sorted into categories")
    vectors = _embedded(atlas, words, **sources)
    seeds, which = _seeds(atlas, **sources)
    found = dict(zip(words, categorise(vectors, seeds), strict=True))
    return found, f"category: the nearest of {which} by cosine of text embeddings"


def _annotated(atlas: Atlas) -> dict[str, str]:
    """Name of an annotation, folded → its most frequent category."""
    counts: dict[str, dict[str, int]] = {}
    for entries in atlas.images["annotations"]:
        for entry in entries if entries is not None else ():
            of_name = counts.setdefault(fold(entry["name"]), {})
            of_name[entry["category"]] = of_name.get(entry["category"], 0) + 1
    return {name: max(sorted(kinds), key=kinds.__getitem__) for name, kinds in counts.items()}


def _embedded(atlas: Atlas, words: Sequence[str], **sources: Any) -> np.ndarray:
    rows = {word: row for row, word in enumerate(atlas.concepts["concept"])}
    vectors = np.asarray(atlas.embeddings()["concepts"])
    found = np.zeros((len(words), vectors.shape[1]), np.float32)
    strange = [place for place, word in enumerate(words) if word not in rows]
    known = [place for place, word in enumerate(words) if word in rows]
    found[known] = vectors[[rows[words[place]] for place in known]]
    if strange:
        found[strange] = _embed(atlas, [words[place] for place in strange], **sources)
    return found


def _seeds(atlas: Atlas, **sources: Any) -> tuple[dict[str, np.ndarray], str]:
    """The seeds' embeddings: by the encoder, else of those that are concepts, if they suffice."""
    total = sum(map(len, SEEDS.values()))
    try:
        every = _embed(atlas, [w for words in SEEDS.values() for w in words], **sources)
    except NeuronymError:
        concepts = set(atlas.concepts["concept"])
        there = {name: [w for w in words if w in concepts] for name, words in SEEDS.items()}
        if min(map(len, there.values())) < FEWEST:
            raise
        count = sum(map(len, there.values()))
        which = f"{count} of {total} seed words (the encoder is not at hand for the others)"
        return {name: _embedded(atlas, words) for name, words in there.items()}, which
    ends = np.cumsum([len(words) for words in SEEDS.values()])[:-1]
    return dict(zip(SEEDS, np.split(every, ends), strict=True)), f"{total} seed words"


def _embed(atlas: Atlas, words: Sequence[str], **sources: Any) -> np.ndarray:
    return Sources(atlas, **sources).embed_words(words)
