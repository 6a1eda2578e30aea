"""Names of encoders, embedding of concepts, and the spread of cosines."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.progress import silent
from neuronym._core.registry import Name, parse, write
from neuronym.inputs.encoders.base import (
    ENCODERS,
    Encoder,
    cosine_spread,
    embed_concepts,
    measured_logit_scale,
    open_encoder,
    unit_rows,
)
from neuronym.inputs.preprocess.base import Preprocess


class Letters(Encoder):
    """Counts letters: an embedding that a test can compute."""

    name, preprocess, dim = "letters", Preprocess(), 26

    def __init__(self) -> None:
        self.batches: list[int] = []

    @property
    def fingerprint(self) -> str:
        return "letters"

    def encode_images(self, batch):
        raise NotImplementedError

    def encode_texts(self, texts):
        self.batches.append(len(texts))
        return torch.tensor(np.array([count(text) for text in texts]), dtype=torch.float32)

    def to(self, device):
        self.device = device
        return self


def count(text: str) -> np.ndarray:
    vector = np.array([1.0 + text.lower().count(chr(97 + i)) ** 2 for i in range(26)])
    return vector / np.linalg.norm(vector)


WORDS = ["dog", "great white shark", "{x}", "maillot", "Crane"]
TEMPLATES = ["a photo of a {}", "{}", "many zebras near the {} here"]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 15, 100])
def test_each_word_gets_the_mean_over_its_own_templates(batch_size):
    encoder = Letters()
    found = embed_concepts(encoder, WORDS, TEMPLATES, batch_size)
    for word, vector in zip(WORDS, found, strict=True):
        mean = sum(count(template.replace("{}", word)) for template in TEMPLATES) / len(TEMPLATES)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert found.dtype == np.float32
    assert found.shape == (5, 26)
    assert max(encoder.batches) <= batch_size
    assert sum(encoder.batches) == 15


def test_progress_counts_texts():
    seen = []

    class Ticks:
        def __enter__(self):
            return self

        def __exit__(self, *exc):
            return None

        def advance(self, steps=1):
            seen.append(steps)

    embed_concepts(
        Letters(), WORDS, TEMPLATES, 4, lambda text, total: seen.append(total) or Ticks()
    )
    assert seen == [15, 4, 4, 4, 3]


@pytest.mark.parametrize(
    ("words", "templates", "message"),
    [
        ([], ["{}"], "Expected `concepts` to be at least one word, got 0"),
        (["a"], [], "Expected `templates` to be at least one template"),
        (["a"], ["a photo"], "Expected `template` to be a text that holds {} once, got 'a photo'"),
        (["a"], ["{} {}"], "holds {} once"),
        ("dog", ["{}"], "lists of texts"),
    ],
)
def test_words_and_templates_are_checked(words, templates, message):
    with pytest.raises(UsageError, match=message):
        embed_concepts(Letters(), words, templates, 3, silent)


def some(rows: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)) + 0.3
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("block", [1, 3, 4096])
def test_spread_is_that_of_the_full_matrix(block):
    images, texts = some(7, 5, 0), some(11, 5, 1)
    cosines = images.astype(np.float64) @ texts.T.astype(np.float64)
    expected = np.mean([np.sqrt(np.mean((row - row.mean()) ** 2)) for row in cosines])
    assert cosine_spread(images, texts, block=block) == pytest.approx(expected, rel=1e-9)


def test_sharpness_is_clips_ten_at_clips_spread():
    # One text on either side of the image: cosines c and −c have the spread c.
    def at(cosine):
        rest = np.sqrt(1 - cosine**2)
        return np.array([[1.0, 0.0]]), np.array([[cosine, rest], [-cosine, rest]])

    assert measured_logit_scale(*at(0.02)) == 10.0
    assert measured_logit_scale(*at(0.062)) == 3.2
    assert measured_logit_scale(*at(0.0037)) == 54.0


@pytest.mark.parametrize(
    ("images", "texts", "message"),
    [
        (some(7, 5, 0), some(1, 5, 1), "at least two embeddings, got 1"),
        (some(7, 5, 0)[:0], some(3, 5, 1), "`images` to be at least one embedding"),
        (some(7, 5, 0), some(3, 4, 1), "vectors of length 4, as the texts are, got 5"),
        (some(7, 5, 0), np.repeat(some(1, 5, 1), 3, 0), "at least two different embeddings"),
    ],
)
def test_spread_refuses_what_has_none(images, texts, message):
    with pytest.raises(UsageError, match=message):
        measured_logit_scale(images, texts)


def test_unit_rows_refuse_what_has_no_direction():
    rows = torch.tensor([[3.0, 4.0], [1.0, 0.0]], dtype=torch.bfloat16)
    assert unit_rows(rows, "it").dtype == torch.float32
    torch.testing.assert_close(unit_rows(rows, "it"), torch.tensor([[0.6, 0.8], [1.0, 0.0]]))
    for bad in (0.0, float("nan"), float("inf")):
        with pytest.raises(NeuronymError, match="The text network gave an embedding that is zero"):
            unit_rows(torch.tensor([[1.0, 0.0], [bad, 0.0]]), "The text network")


def test_an_encoder_passes_through():
    encoder = Letters()
    assert open_encoder(encoder, device="cpu") is encoder
    assert encoder.device == torch.device("cpu")
    with pytest.raises(UsageError, match="Expected `device` to be auto, cpu, cuda"):
        open_encoder(encoder, device="gpu")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("clp", r"Expected `encoder` to be one of conse.*got 'clp'. Nearest: clip"),
        ("", "a name such as 'clip' or 'sketch'"),
        (7, "a name such as 'clip' or 'sketch', or an Encoder, got 7"),
    ],
)
def test_unknown_names(spec, message):
    with pytest.raises(UsageError, match=message):
        open_encoder(spec)


def test_registry():
    assert [entry.name for entry in ENCODERS] == ["conse", "hf", "open-clip", "sketch"]
    assert ENCODERS.aliases == {
        "clip": "open-clip:ViT-B-16/openai",
        "siglip": "hf:google/siglip-base-patch16-224",
    }
    for entry in ENCODERS:
        assert entry.summary.endswith(".")
        assert parse(entry.example).kind == entry.name


@pytest.mark.parametrize(
    "name",
    [
        Name("conse"),
        Name("open-clip", "ViT-B-16/a+b,c\\d.pt"),
        Name("hf", r"C:\models, mine", {"revision": "a,b+c"}),
        Name("conse", "torchvision:resnet50", {"classes": "5"}),
    ],
)
def test_written_names_parse_back(name):
    assert parse(write(name)) == name
