"""open_clip's text networks, without the time they spend on padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def text_function(model: Any, tokenizer: Any) -> Callable[[list[str]], torch.Tensor]:
    """How to embed texts with this model: over as few token positions as give the same vectors."""

    def tokens_of(texts: list[str]) -> torch.Tensor:
        return tokenizer(texts).to(next(model.parameters()).device)

    def full(texts: list[str]) -> torch.Tensor:
        return model.encode_text(tokens_of(texts))

    def short(texts: list[str]) -> torch.Tensor:
        return _up_to_the_end(model, tokens_of(texts))

    return short if _agree(model, full, short) else full


def _up_to_the_end(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """The text embedding of a causal CLIP from the positions up to the last end token only.

    Attention never looks ahead, so positions behind the end token cannot change the vector; for
    single words they are nine tenths of the work.
    """
    ends = tokens.argmax(-1)  # the end token has the highest number
    used = int(ends.max()) + 1
    dtype = model.transformer.get_cast_dtype()
    x = model.token_embedding(tokens[:, :used]).to(dtype)
    x = x + model.positional_embedding[:used].to(dtype)
    x = model.transformer(x, attn_mask=model.attn_mask[:used, :used])
    x = model.ln_final(x)[torch.arange(len(x), device=x.device), ends]
    projection = model.text_projection
    if projection is None:
        return x
    return projection(x) if isinstance(projection, torch.nn.Module) else x @ projection


def _agree(model: Any, full: Callable, short: Callable) -> bool:
    """Whether the short way is this model's way: tried, since it relies on open_clip's insides."""
    if type(model).__name__ != "CLIP" or getattr(model, "attn_mask", None) is None:
        return False
    texts = ["a", "a photo of two dogs that play in the snow"]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        try:
            ours = torch.nn.functional.normalize(short(texts).float(), dim=-1)
        except (AttributeError, RuntimeError, TypeError, IndexError):
            return False
        theirs = torch.nn.functional.normalize(full(texts).float(), dim=-1)
    model.train(was_training)
    return bool(torch.allclose(ours, theirs, atol=1e-5))
