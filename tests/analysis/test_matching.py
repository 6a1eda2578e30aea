"""When two labels are the same: folded, as singular and plural, by embeddings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.words import fold, lemma
from neuronym.analysis import matching
from neuronym.analysis.matching import MATCHES, Vocabulary, rare_cosine, vocabulary


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("drum", "drums"),
        ("berry", "berries"),
        ("cookie", "cookies"),
        ("pie", "pies"),
        ("box", "boxes"),
        ("axe", "axes"),
        ("horse", "horses"),
        ("glass", "glasses"),
        ("bus", "buses"),
        ("gas", "gases"),
        ("lens", "lenses"),
        ("church", "churches"),
        ("shoe", "shoes"),
        ("tomato", "tomatoes"),
        ("photo", "photos"),
        ("sky", "skies"),
        ("glove", "gloves"),
        ("wolf", "wolves"),
        ("knife", "knives"),
        ("menu", "menus"),
        ("child", "children"),
        ("mouse", "mice"),
        ("policeman", "policemen"),
        ("woman", "women"),
        ("specimen", "specimens"),
        ("day", "days"),
        ("zebra", "zebras"),
        ("fox-terrier", "fox terriers"),
        ("house", "houses"),
        ("brush", "brushes"),
    ],
)
def test_singular_and_plural_share_a_key(one: str, many: str) -> None:
    assert lemma(one) == lemma(many)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("new", "news"),
        ("stripe", "striped"),
        ("len", "lens"),
        ("oman", "omen"),
        ("as", "a"),
        ("bras", "brass"),
        ("mar", "maris"),
        ("can", "canvas"),
        ("tenni", "tennis"),
        ("cat", "cart"),
        ("his", "hi"),
        ("viru", "virus"),
    ],
)
def test_other_words_do_not(a: str, b: str) -> None:
    assert lemma(a) != lemma(b)


def test_folding() -> None:
    assert fold(" Fire_Truck ") == fold("fire  truck") == "fire truck"
    assert fold("null") == "null"


def words() -> Vocabulary:
    """red, crimson and Reds, of which crimson is near red; nothing is known of "x y"."""
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    rows = {"red": 0, "crimson": 1, "Reds": 2}
    return Vocabulary(["red", "Red", "crimson", "Reds", "x y", "X_Y"], rows, vectors, 0.8)


@pytest.mark.parametrize(
    ("a", "b", "least"),
    [
        ("red", "red", "exact"),
        ("red", "Red", "exact"),
        ("x y", "X_Y", "exact"),
        ("red", "Reds", "lemma"),
        ("Red", "Reds", "lemma"),
        ("red", "crimson", "synonyms"),
        ("Reds", "crimson", None),
        ("Red", "crimson", None),
        ("red", "x y", None),
    ],
)
def test_each_way_accepts_what_the_one_before_accepts(a: str, b: str, least: str | None) -> None:
    first = len(MATCHES) if least is None else MATCHES.index(least)
    for place, how in enumerate(MATCHES):
        assert words().same(a, b, how) is (place >= first)
        assert words().same(b, a, how) is (place >= first)


@pytest.mark.parametrize("how", MATCHES)
def test_pairs_are_those_of_single_words(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_UNITS", 2)
    known, rng = words(), np.random.default_rng(0)
    a, b = rng.integers(-1, 6, (7, 3)), rng.integers(-1, 6, (7, 2))
    found = known.pairs(a, b, how)
    for unit, i, j in np.ndindex(7, 3, 2):
        left, right = a[unit, i], b[unit, j]
        wanted = min(left, right) >= 0 and known.same(known.words[left], known.words[right], how)
        assert found[unit, i, j] == wanted


def test_nothing_is_the_same_as_no_word() -> None:
    known = words()
    none = known.numbers([None, None])[:, None]
    assert none.tolist() == [[-1], [-1]]
    assert not known.pairs(none, none, "synonyms").any()
    with pytest.raises(UsageError, match="`match` to be one of exact, lemma, synonyms, got 'near'"):
        known.same("red", "Reds", "near")


def test_the_threshold_follows_the_spread_of_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(500, 9))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (vectors @ vectors.T)[np.triu_indices(500, 1)]
    threshold = rare_cosine(vectors)
    assert (cosines >= threshold).sum() == len(cosines) // 10_000 == 12
    assert rare_cosine(vectors[:50]) == 1  # too few pairs to tell
    assert rare_cosine(np.zeros((0, 9))) == 1
    monkeypatch.setattr(matching, "_SAMPLE", 200)
    assert rare_cosine(vectors) == pytest.approx(threshold, abs=0.1)


def test_an_atlas_without_embeddings_has_no_synonyms(tmp_path: Path) -> None:
    found = vocabulary(SimpleNamespace(folder=tmp_path), ["red", "crimson", "red"])
    assert found.words == ["red", "crimson"]
    assert found.unembedded == ("red", "crimson")
    assert found.threshold == 1
    assert not found.same("red", "crimson", "synonyms")
    assert matching.threshold_text(found, True).startswith("No synonyms were looked for")


def test_words_without_concepts_are_embedded_or_do_without(tmp_path: Path) -> None:
    atlas = SimpleNamespace(folder=tmp_path)
    vectors = {"red": [1, 0], "crimson": [0.6, 0.8], "moss": [0, 1]}
    found = vocabulary(atlas, vectors, 0.55, lambda words: np.array([vectors[w] for w in words]))
    assert found.same("red", "crimson", "synonyms")
    assert not found.same("red", "moss", "synonyms")

    def absent(words: object) -> np.ndarray:
        raise NeuronymError("no encoder")

    assert vocabulary(atlas, vectors, 0.5, absent).unembedded == ("red", "crimson", "moss")
