"""Tiny random models of every encoder family, saved as published ones are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from neuronym._core.torchvision_compat import prepare_torchvision

prepare_torchvision()

WIDTH, DIM, WINDOW, SIDE, PATCH, LAYERS, HEADS = 32, 24, 19, 48, 16, 2, 4
TEXTS = ["dog", "a photo of a striped cat", "honeycomb", "two red boats near a lighthouse at dawn"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Import this where tiny networks run: several threads only get into each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def images(count: int = 7, side: int = SIDE, seed: int = 0) -> torch.Tensor:
    """A normalised random batch `[image, 3, side, side]`."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Weights large enough that every part of the network matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1, generator=generator)
            elif "class_embedding" in name:
                parameter.normal_(0, 1, generator=generator)


def open_clip_config(arch: str, folder: Path, **changes: Any) -> None:
    """Register a tiny CLIP architecture with open_clip."""
    import open_clip

    vision = {
        "image_size": SIDE,
        "layers": LAYERS,
        "width": WIDTH,
        "patch_size": PATCH,
        "head_width": WIDTH // HEADS,
    }
    text = {
        "context_length": WINDOW,
        "vocab_size": 49408,
        "width": WIDTH,
        "heads": HEADS,
        "layers": LAYERS,
    }
    config = {"embed_dim": DIM, "vision_cfg": vision, "text_cfg": text} | changes
    (folder / f"{arch}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{arch}.json")


def open_clip_weights(arch: str, **options: Any) -> dict[str, torch.Tensor]:
    """A random state dict of an architecture."""
    import open_clip

    model = open_clip.create_model(arch, **options)
    randomise(model)
    return {k: v.contiguous().clone() for k, v in model.state_dict().items()}


def clip_tokenizer() -> Any:
    """CLIP's own tokenizer in transformers' form, from the vocabulary in open_clip's package."""
    import open_clip
    from transformers import CLIPTokenizer

    own = open_clip.SimpleTokenizer()
    merges = [tuple(pair) for pair in own.bpe_ranks]
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(word, word): number for word, number in own.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=WINDOW)


def save_clip(folder: Path, state: dict[str, torch.Tensor] | None = None, **text: Any) -> Any:
    """Save a tiny transformers CLIP; `state` is a state dict of open_clip to convert."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    shared = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "projection_dim": DIM,
        "hidden_act": "gelu",
    }
    config = CLIPConfig(
        text_config=shared
        | {
            "vocab_size": 49408,
            "max_position_embeddings": WINDOW,
            "bos_token_id": 49406,
            "eos_token_id": 49407,
            "pad_token_id": 1,
        }
        | text,
        vision_config=shared | {"image_size": SIDE, "patch_size": PATCH} | text,
        projection_dim=DIM,
    )
    model = CLIPModel(config)
    randomise(model)
    if state is not None:
        missing, unexpected = model.load_state_dict(to_transformers(state), strict=False)
        assert not unexpected
        assert not [name for name in missing if "position_ids" not in name]
    model.save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(folder)
    return model.eval()


def to_transformers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A CLIP state dict of open_clip under transformers' names."""
    found = {
        "logit_scale": state["logit_scale"],
        "text_projection.weight": state["text_projection"].T,
        "visual_projection.weight": state["visual.proj"].T,
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
    }
    norms = {
        "ln_final": "text_model.final_layer_norm",
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
    }
    for ours, theirs in norms.items():
        for part in ("weight", "bias"):
            found[f"{theirs}.{part}"] = state[f"{ours}.{part}"]
    inner = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for ours, theirs in (("transformer", "text_model"), ("visual.transformer", "vision_model")):
        for layer in range(LAYERS):
            a, b = f"{ours}.resblocks.{layer}", f"{theirs}.encoder.layers.{layer}"
            for part in ("weight", "bias"):
                for old, new in inner.items():
                    found[f"{b}.{new}.{part}"] = state[f"{a}.{old}.{part}"]
                stacked = state[f"{a}.attn.in_proj_{part}"].chunk(3)
                for letter, values in zip("qkv", stacked, strict=True):
                    found[f"{b}.self_attn.{letter}_proj.{part}"] = values
    return {name: values.contiguous().clone() for name, values in found.items()}


def _word_tokenizer(words: list[str]) -> Any:
    """A word tokenizer with an end token, in transformers' form, without any file."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *words])}
    rules = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    rules.normalizer = normalizers.NFC()
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    rules.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=rules,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=WINDOW,
        padding_side="right",
    )


def _letter_tokenizer() -> Any:
    """SigLIP 2's own kind of tokenizer with letters for a vocabulary."""
    from transformers import Siglip2Tokenizer

    letters = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *"abcdefghijklmnopqrstuvwxyz"]
    return Siglip2Tokenizer(
        vocab={letter: i for i, letter in enumerate(letters)},
        merges=[],
        add_eos_token=True,
        model_max_length=WINDOW,
    )


def save_siglip(folder: Path, version: int = 1) -> tuple[Any, Any]:
    """Save a tiny SigLIP or flexible-resolution SigLIP 2; returns model and tokenizer."""
    import transformers

    words = sorted({word for text in TEXTS for word in text.split()})
    shared = {
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
    }
    text = shared | {
        "vocab_size": 41,
        "max_position_embeddings": WINDOW,
        "projection_size": WIDTH,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
    }
    if version == 1:
        vision = shared | {"image_size": SIDE, "patch_size": PATCH}
        config = transformers.SiglipConfig(text_config=text, vision_config=vision)
        model = transformers.SiglipModel(config)
        processor = transformers.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    else:
        vision = shared | {"num_patches": 9, "patch_size": PATCH}
        config = transformers.Siglip2Config(text_config=text, vision_config=vision)
        model = transformers.Siglip2Model(config)
        processor = transformers.Siglip2ImageProcessor(patch_size=PATCH, max_num_patches=9)
    randomise(model)
    tokenizer = _word_tokenizer(words) if version == 1 else _letter_tokenizer()
    for part in (model, tokenizer, processor):
        part.save_pretrained(folder)
    return model.eval(), tokenizer
