"""What an encoder is: an image–text model with one embedding space."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch

from neuronym._errors import NeuronymError
from neuronym._registry import Registry
from neuronym.preprocess import Preprocess

ENCODERS = Registry("encoder", "encoders")


class Encoder(abc.ABC):
    """Images and texts to unit vectors of one space.

    Attributes:
        name: the full name that opens it again.
        preprocess: from a decoded image to the image network's input.
        dim: length of an embedding.
        sharpness: the scale `a` of the softmax over concepts that suits this encoder's spread of
            cosines (10 for CLIP); None: measured from the spread when it is needed.
        note: a caveat to show wherever results of this encoder are shown, or "".
        max_tokens: how many tokens of a text are read, special ones included; the rest is cut off
            by the tokenizer. None: unknown.
    """

    name: str
    preprocess: Preprocess
    dim: int
    sharpness: float | None = None
    note: str = ""
    max_tokens: int | None = None

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
