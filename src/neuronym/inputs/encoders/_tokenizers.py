"""Tokenizers of several libraries: what they do as a fingerprint, and how they read texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neuronym._core import hashing
from neuronym.inputs.encoders.base import Reading


def of_tokenizer(tokenizer: Any) -> str:
    """Fingerprint of a tokenizer of open_clip or transformers.

    Changes with its class, vocabulary, merges, normalisation and special tokens. Padding and
    truncation, which a tokenizer remembers from its last call, do not count.
    """
    kind = type(tokenizer).__name__
    if hasattr(tokenizer, "bpe_ranks"):  # open_clip's own
        words = hashing.of_texts(tokenizer.encoder)
        merges = hashing.of_texts(" ".join(pair) for pair in tokenizer.bpe_ranks)
        return hashing.of_data([kind, words, merges])
    if hasattr(tokenizer, "tokenizer"):  # open_clip's wrapper around one of transformers
        cleaning = getattr(getattr(tokenizer, "clean_fn", None), "__name__", "")
        return hashing.of_data([kind, cleaning, of_tokenizer(tokenizer.tokenizer)])
    special = {key: str(value) for key, value in sorted(tokenizer.special_tokens_map.items())}
    about = [kind, special, tokenizer.padding_side]
    if hasattr(tokenizer, "backend_tokenizer"):
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        rules.pop("padding", None)
        rules.pop("truncation", None)
        return hashing.of_data([*about, rules])
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    file = getattr(tokenizer, "vocab_file", None)
    data = hashing.of_bytes(Path(file).read_bytes()) if file and Path(file).is_file() else ""
    return hashing.of_data([*about, vocabulary, data])


def reads(tokenizer: Any, texts: Sequence[str], clean: Callable[[str], str] = str) -> Reading:
    """How a tokenizer of open_clip or transformers reads texts.

    Args:
        tokenizer: any.
        texts: to be read.
        clean: what is done to a text before it comes to the tokenizer.
    """
    if hasattr(tokenizer, "bpe_ranks"):  # open_clip's own: bytes at least are always known
        found = [tokenizer.encode(clean(text)) for text in texts]
        return Reading(tuple(len(ids) + 2 for ids in found), tuple(not ids for ids in found))
    if hasattr(tokenizer, "tokenizer"):  # open_clip's wrapper around one of transformers
        return reads(tokenizer.tokenizer, texts, getattr(tokenizer, "clean_fn", clean))
    given = [clean(text) for text in texts]
    how = {"truncation": False, "padding": False}
    whole = tokenizer(given, **how)["input_ids"]
    plain = tokenizer(given, add_special_tokens=False, **how)["input_ids"]
    unknown = tokenizer.unk_token_id
    return Reading(
        tuple(map(len, whole)), tuple(all(one == unknown for one in ids) for ids in plain)
    )
