"""What an encoder is: an image–text model; how it embeds words, and how sharply it tells."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neuronym._core import registry
from neuronym._core.checks import integer, misuse
from neuronym._core.devices import resolve_device
from neuronym._core.errors import NeuronymError
from neuronym._core.former import Former, told
from neuronym._core.progress import Progress, silent
from neuronym._core.registry import Registry
from neuronym._core.types import Rows
from neuronym.inputs.preprocess.base import Preprocess

ENCODERS = Registry("encoder", "encoders", "neuronym.inputs.encoders")
#: Standard deviation of one image's cosines over English words for CLIP ViT-B/16, for which the
#: papers' logit scale was chosen.
CLIP_SPREAD, CLIP_LOGIT_SCALE = 0.02, 10.0
_LETTERS = 32  # longer texts come in smaller batches


@dataclass(frozen=True)
class Reading:
    """What a tokenizer makes of texts.

    Attributes:
        lengths: of each text its number of tokens, special ones included, before it is cut.
        unknown: whether nothing in it is a token that the text network knows.
    """

    lengths: tuple[int, ...]
    unknown: tuple[bool, ...]


class Encoder(abc.ABC):
    """Images and texts to unit vectors of one space.

    Attributes:
        name: the full name that opens it again.
        preprocess: from a decoded image to the image network's input.
        dim: length of an embedding.
        logit_scale: the scale `a` of the softmax over concepts that suits this encoder's spread of
            cosines (10 for CLIP); None: measured from the spread when it is needed.
        note: a caveat to show wherever results of this encoder are shown, or "".
        max_tokens: how many tokens of a text are read, special ones included; the rest is cut off
            by the tokenizer. None: unknown.
        texts_at_once: how many short texts suit one call of `encode_texts`.
    """

    name: str
    preprocess: Preprocess
    dim: int
    logit_scale: float | None = None
    note: str = ""
    max_tokens: int | None = None
    texts_at_once: int = 512
    sharpness = Former("sharpness", "logit_scale")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "sharpness" in vars(cls):
            told(f"{cls.__name__}.", "sharpness", "logit_scale")
            cls.logit_scale = vars(cls)["sharpness"]
            del cls.sharpness

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Of everything that decides the embeddings: weights' bytes, tokenizer, settings."""

    @abc.abstractmethod
    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        """Normalised batch `[image, 3, height, width]` → unit vectors `[image, dim]`, float32."""

    @abc.abstractmethod
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → unit vectors `[text, dim]`, float32, on the CPU. Batching is the caller's job."""

    def read_texts(self, texts: Sequence[str]) -> Reading | None:
        """How the tokenizer reads these texts; None: it is not known."""
        return None

    @abc.abstractmethod
    def to(self, device: torch.device | str) -> Encoder:
        """Move the image and text networks; returns self."""


def unit_rows(vectors: torch.Tensor, what: str) -> torch.Tensor:
    """Rows divided by their lengths, in float32 whatever precision they were computed in.

    Args:
        vectors: `[row, dim]`.
        what: whose vectors they are, for the error.

    Raises:
        NeuronymError: a row holds NaN or infinity, or is zero, and so has no direction.
    """
    vectors = vectors.float()
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    if not bool((torch.isfinite(lengths) & (lengths > 0)).all()):
        raise NeuronymError(
            f"{what} gave an embedding that is zero, infinite or not a number. "
            "Half precision overflows in some networks: try float32 (`--dtype float32`)."
        )
    return vectors / lengths


def embed_concepts(
    encoder: Encoder,
    words: Sequence[str],
    templates: Sequence[str] = ("{}",),
    batch_size: int | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Embed each word in all templates: the mean of the unit vectors, made a unit vector again.

    Args:
        encoder: gives the text embeddings.
        words: the concepts.
        templates: prompts that hold `{}` once.
        batch_size: texts per call of the encoder. None: as many as suit it, fewer of long ones.
        progress: told the number of finished texts.

    Returns:
        float32 `[word, dim]`, in the order of `words`.

    Raises:
        UsageError: no words or templates, or a template without exactly one `{}`.
    """
    size = encoder.texts_at_once if batch_size is None else integer("batch_size", batch_size, 1)
    if not words:
        raise misuse("concepts", "at least one word", 0)
    if isinstance(words, str) or isinstance(templates, str):
        raise misuse("words and templates", "lists of texts", "one text")
    for template in templates:
        if template.count("{}") != 1:
            raise misuse("template", "a text that holds {} once", template)
    if not templates:
        raise misuse("templates", "at least one template", 0)
    # Short words together, template by template, so that little is padded. Every text knows the row
    # it belongs to, so nothing is put back in order and batches may end anywhere.
    by_length = sorted(range(len(words)), key=lambda row: len(words[row]))
    texts = ((row, t.replace("{}", words[row])) for t in templates for row in by_length)
    sums = torch.zeros(len(words), encoder.dim, dtype=torch.float64)
    with progress("embedding concepts", len(words) * len(templates)) as tick:
        for some in _batches(texts, size, math.inf if batch_size else size * _LETTERS):
            rows = torch.tensor([row for row, _ in some])
            sums.index_add_(0, rows, encoder.encode_texts([text for _, text in some]).double())
            tick.advance(len(some))
    return unit_rows(sums, f"The text network of {encoder.name}").numpy()


def _batches(
    texts: Iterable[tuple[int, str]], most: int, letters: float
) -> Iterator[list[tuple[int, str]]]:
    """At most so many texts, and so many letters if all were as long as the longest."""
    batch: list[tuple[int, str]] = []
    longest = 0
    for row, text in texts:
        longest = max(longest, len(text))
        if batch and (len(batch) == most or longest * (len(batch) + 1) > letters):
            yield batch
            batch, longest = [], len(text)
        batch.append((row, text))
    yield batch


def cosine_spread(images: Rows, texts: Rows, *, block: int = 4096) -> float:
    """Mean over images of the standard deviation, over texts, of their cosines.

    For unit vectors x and t with covariance C of the texts, the variance of x·t over the texts is
    xᵀCx, so the image × text matrix is never built.

    Args:
        images: unit vectors `[image, dim]`.
        texts: unit vectors `[text, dim]`.
        block: rows held in float64 at a time.

    Returns:
        The spread, on the cosines' own scale.

    Raises:
        UsageError: no image, fewer than two texts, or different lengths of vectors.
    """
    count, dim = texts.shape
    if count < 2:
        raise misuse("texts", "at least two embeddings", count)
    if images.shape[0] < 1:
        raise misuse("images", "at least one embedding", images.shape[0])
    if images.shape[1] != dim:
        raise misuse("images", f"vectors of length {dim}, as the texts are", images.shape[1])
    mean = sum(part.sum(0) for part in _blocks(texts, block)) / count
    covariance = np.zeros((dim, dim))
    for part in _blocks(texts, block):
        centred = part - mean
        covariance += centred.T @ centred
    covariance /= count
    total = 0.0
    for part in _blocks(images, block):
        variances = np.einsum("nd,nd->n", part @ covariance, part)
        total += float(np.sqrt(np.maximum(variances, 0)).sum())
    return total / images.shape[0]


def measured_logit_scale(images: Rows, texts: Rows) -> float:
    """The logit scale `a` at which concept scores spread as CLIP's do with a = 10.

    a = 10 · 0.02 / spread, rounded to two significant digits.

    Args:
        images: unit vectors `[image, dim]`.
        texts: unit vectors `[text, dim]`.

    Raises:
        UsageError: as `cosine_spread`; or all texts have one and the same embedding.
    """
    spread = cosine_spread(images, texts)
    if spread < 1e-9:
        raise misuse("texts", "at least two different embeddings", f"a spread of {spread:.1g}")
    return float(f"{CLIP_LOGIT_SCALE * CLIP_SPREAD / spread:.2g}")


def _blocks(rows: Rows, size: int):
    for start in range(0, rows.shape[0], size):
        yield np.asarray(rows[start : start + size], dtype=np.float64)


def open_encoder(spec: str | Encoder, *, device: torch.device | str = "cpu") -> Encoder:
    """Open an encoder by its name, ready to encode.

    Args:
        spec: a name such as `clip`, `open-clip:ViT-B-16/openai`, `hf:PATH` or `sketch`; an
            `Encoder` is only moved.
        device: where its networks shall run; `auto` takes a GPU if there is one.

    Raises:
        UsageError: the name, a parameter or a file is wrong.
        NeuronymError: it cannot be loaded: no network, a missing package, damaged files.
    """
    where = resolve_device(str(device))
    if isinstance(spec, Encoder):
        return spec.to(where)
    if not isinstance(spec, str) or not spec.strip():
        raise misuse("encoder", "a name such as 'clip' or 'sketch', or an Encoder", spec)
    name = registry.parse(ENCODERS.expand(spec.strip()), "encoder")
    return ENCODERS[name.kind].make(name).to(where)
