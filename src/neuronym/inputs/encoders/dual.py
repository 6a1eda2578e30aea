"""Encoders made of one image network and one text network trained together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch

from neuronym._core import hashing, module_fingerprint
from neuronym._core.errors import NeuronymError
from neuronym._core.hub import quiet
from neuronym.inputs.encoders.base import Encoder, Reading, unit_rows
from neuronym.inputs.preprocess.base import Preprocess


class DualEncoder(Encoder):
    """A dual encoder of any library: the model, and how to call its two halves.

    Args:
        name: the full name that opens it again.
        model: holds both networks.
        preprocess: from a decoded image to the image network's input.
        images: float batch `[image, 3, height, width]` on the model's device and in its dtype →
            vectors `[image, dim]`.
        texts: list of texts → vectors `[text, dim]`, any device.
        settings: whatever else decides the embeddings (configuration, tokenizer), as JSON-able
            data; goes into the fingerprint.
        reads: how the tokenizer reads texts; None: it is not known.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        preprocess: Preprocess,
        *,
        images: Callable[[torch.Tensor], torch.Tensor],
        texts: Callable[[list[str]], torch.Tensor],
        settings: dict[str, Any],
        logit_scale: float | None = None,
        max_tokens: int | None = None,
        note: str = "",
        reads: Callable[[Sequence[str]], Reading] | None = None,
    ) -> None:
        self.name, self.preprocess, self.note = name, preprocess, note
        self.logit_scale, self.max_tokens = logit_scale, max_tokens
        # Parameters keep requiring gradients: autocast keeps converted weights only then.
        self._model = model.eval()
        self._images, self._texts, self._settings = images, texts, settings
        self._reads = reads
        try:
            self.dim = self.encode_texts(["a"]).shape[1]
        except IndexError as error:
            raise NeuronymError(
                f"The tokenizer of {name} gives numbers beyond its text network's vocabulary: "
                "they do not belong together."
            ) from error

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights' bytes, configuration, tokenizer and preprocessing; not of the name."""
        return hashing.of_data(
            [module_fingerprint.of_module(self._model), self._settings, self.preprocess.to_dict()]
        )

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        """Normalised float batch `[image, 3, height, width]` → unit vectors `[image, dim]`."""
        with torch.no_grad():
            vectors = self._images(batch.to(self._device, self._dtype))
        if vectors.shape != (len(batch), self.dim):
            raise NeuronymError(
                f"The image network of {self.name} gives vectors of shape "
                f"{list(vectors.shape[1:])}, its text network of {[self.dim]}: they share no space."
            )
        return unit_rows(vectors, f"The image network of {self.name}")

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → unit vectors `[text, dim]`, float32, on the CPU."""
        with torch.no_grad(), quiet():
            vectors = self._texts(list(texts))
        return unit_rows(vectors, f"The text network of {self.name}").cpu()

    def read_texts(self, texts: Sequence[str]) -> Reading | None:
        """How the tokenizer reads these texts, if it is known."""
        with quiet():
            return self._reads(texts) if self._reads else None

    def to(self, device: torch.device | str) -> DualEncoder:
        """Move both networks; returns self."""
        self._model.to(device)
        return self

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters()).device

    @property
    def _dtype(self) -> torch.dtype:
        return next(self._model.parameters()).dtype
