"""From words and templates to one text embedding per word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from neuronym._checks import integer, misuse
from neuronym._types import Progress, silent
from neuronym.encoders.base import Encoder, unit_rows


def embed_concepts(
    encoder: Encoder,
    words: Sequence[str],
    templates: Sequence[str] = ("{}",),
    batch_size: int = 256,
    progress: Progress = silent,
) -> np.ndarray:
    """Embed each word in all templates: the mean of the unit vectors, made a unit vector again.

    Args:
        encoder: gives the text embeddings.
        words: the concepts.
        templates: prompts that hold `{}` once.
        batch_size: texts per call of the encoder.
        progress: told the number of finished texts.

    Returns:
        float32 `[word, dim]`, in the order of `words`.

    Raises:
        UsageError: no words or templates, or a template without exactly one `{}`.
    """
    batch_size = integer("batch_size", batch_size, 1)
    if not words:
        raise misuse("concepts", "at least one word", 0)
    if isinstance(words, str) or isinstance(templates, str):
        raise misuse("words and templates", "lists of texts", "one text")
    for template in templates:
        if template.count("{}") != 1:
            raise misuse("template", "a text that holds {} once", template)
    if not templates:
        raise misuse("templates", "at least one template", 0)
    # One order throughout: word by word, all templates of one word side by side. Every text knows
    # the row it belongs to, so nothing is reshaped and batches may cut a word's templates apart.
    total = len(words) * len(templates)
    sums = torch.zeros(len(words), encoder.dim, dtype=torch.float64)
    with progress("embedding concepts", total) as tick:
        for start in range(0, total, batch_size):
            places = [
                divmod(i, len(templates)) for i in range(start, min(start + batch_size, total))
            ]
            texts = [templates[t].replace("{}", words[w]) for w, t in places]
            rows = torch.tensor([w for w, _ in places])
            sums.index_add_(0, rows, encoder.encode_texts(texts).double())
            tick.advance(len(texts))
    return unit_rows(sums, f"The text network of {encoder.name}").numpy()
