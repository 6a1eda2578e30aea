"""Tiny random Grounding DINO and SAM, saved as published ones are."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch

from neuronym._core.torchvision_compat import prepare_torchvision
from tiny_encoders import randomise

prepare_torchvision()

#: Tokens that a prompt of the tiny detector may have, from start to end token.
WINDOW = 24
#: The shorter side that the detector sees, and the longer one that the segmenter sees.
SHORT, LONG = 72, 64


def tokenizer() -> Any:
    """BERT's tokenizer with letters for a vocabulary and the borders that the detector expects."""
    from transformers import BertTokenizer

    words = [f"[unused{i}]" for i in range(1100)]
    for place, word in {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]"}.items():
        words[place] = word
    words[1012], words[1029] = ".", "?"
    for place, letter in enumerate(string.ascii_lowercase + string.digits + "-'"):
        words[200 + 2 * place], words[201 + 2 * place] = letter, f"##{letter}"
    words[300:305] = ["dog", "cat", "sky", "lamp", "##s"]
    return BertTokenizer(vocab={word: place for place, word in enumerate(words)})


def save_detector(folder: Path) -> None:
    """A Grounding DINO of under a megabyte, its tokenizer and its processor."""
    import transformers as hf

    text = hf.BertConfig(
        vocab_size=1100,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=64,
    )
    backbone = hf.SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 4],
        window_size=4,
        out_indices=[2, 3, 4],
    )
    config = hf.GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        num_queries=11,
        encoder_layers=1,
        encoder_ffn_dim=33,
        encoder_attention_heads=4,
        decoder_layers=2,
        decoder_ffn_dim=35,
        decoder_attention_heads=4,
        d_model=32,
        max_text_len=WINDOW,
    )
    torch.manual_seed(0)
    hf.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    frames = hf.GroundingDinoImageProcessor(size={"shortest_edge": SHORT, "longest_edge": 100})
    hf.GroundingDinoProcessor(frames, tokenizer()).save_pretrained(folder)


def save_segmenter(folder: Path) -> None:
    """A SAM of a hundred kilobytes and its processor."""
    import transformers as hf

    vision = {
        "hidden_size": 16,
        "output_channels": 8,
        "num_hidden_layers": 1,
        "image_size": LONG,
        "num_attention_heads": 2,
        "patch_size": 8,
        "window_size": 4,
        "num_pos_feats": 4,
        "global_attn_indexes": [0],
        "mlp_dim": 17,
    }
    prompt = {"hidden_size": 8, "image_size": LONG, "patch_size": 8, "mask_input_channels": 4}
    mask = {
        "hidden_size": 8,
        "mlp_dim": 9,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 7,
        "iou_head_depth": 2,
    }
    config = hf.SamConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask
    )
    torch.manual_seed(1)
    model = hf.SamModel(config)
    randomise(model, seed=3)
    model.save_pretrained(folder)
    square, small = {"height": LONG, "width": LONG}, {"height": 16, "width": 16}
    frames = hf.SamImageProcessor(
        size={"longest_edge": LONG},
        pad_size=square,
        mask_size={"longest_edge": 16},
        mask_pad_size=small,
    )
    hf.SamProcessor(frames).save_pretrained(folder)
