"""Fingerprints of tokenizers: of what they do, not of where their files lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neuronym._core import hashing


def of_tokenizer(tokenizer: Any) -> str:
    """Fingerprint of a tokenizer of open_clip, transformers or sentence-transformers.

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
